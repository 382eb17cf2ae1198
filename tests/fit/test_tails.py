"""Limits for per-sample statistics hold far beyond the record they come from."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, t

from agent.fit.tails import extrapolate, peaks_limit
from tests.fit.streams import ar1

ARL = 1e8


def rate(limit: float) -> float:
    """How often a standard normal value exceeds the limit, relative to once in `ARL`."""
    return float(norm.sf(limit) * ARL)


def test_normal_noise_over_a_hundred_million_samples():
    """From 20,000 samples: on average over records about once in 10^8, and not wildly wide."""
    limits = [
        peaks_limit(np.random.default_rng(seed).standard_normal(20_000), arl=ARL, apart=30)
        for seed in range(40)
    ]
    assert np.mean([rate(limit) for limit in limits]) < 1.5
    assert np.median(limits) < 1.3 * norm.isf(1 / ARL)


def test_correlated_noise():
    """Peaks of AR(1), phi 0.9, come in clusters; the marginal limit still holds."""
    limits = [peaks_limit(ar1(0.9, 40_000, seed), arl=ARL, apart=30) for seed in range(20)]
    assert np.mean([rate(limit) for limit in limits]) < 1.5
    assert np.median(limits) < 1.3 * norm.isf(1 / ARL)


def test_heavy_tails_are_seen():
    """Student t with 4 degrees of freedom: the limit lies far beyond a normal one."""
    values = np.random.default_rng(1).standard_t(4, 100_000)
    limit = peaks_limit(values, arl=1e6, apart=30)
    assert 0.5 * t.isf(1e-6, 4) < limit < 4 * t.isf(1e-6, 4)


@pytest.mark.parametrize("n", [8, 40, 100, 250, 1000])
def test_short_records(n):
    """Never below the largest value seen; with too few peaks for a tail, well above it."""
    for seed in range(20):
        values = np.random.default_rng(seed).standard_normal(n)
        limit = peaks_limit(values, arl=ARL, apart=30)
        assert np.isfinite(limit)
        assert limit > values.max()


def test_longer_run_lengths_need_wider_limits():
    """Monotone in the run length asked for."""
    values = ar1(0.5, 10_000, 1)
    limits = [peaks_limit(values, arl=arl, apart=30) for arl in (1e4, 1e6, 1e8, 1e10)]
    assert limits == sorted(limits)
    assert len(set(limits)) == 4


def test_bounded_values_get_a_finite_limit_beyond_them():
    """A tail is never taken to end: uniform noise gets room above its largest value."""
    values = np.random.default_rng(1).random(20_000)
    assert values.max() < peaks_limit(values, arl=1e8, apart=30) < 3.0


def test_exponential_excesses():
    """The excess of one in a million exponential peaks is ln 10^6 means, with the allowance."""
    excess = np.random.default_rng(2).exponential(2.0, 5000)
    assert 1.0 <= extrapolate(excess, 1e6) / (2.0 * np.log(1e6)) < 1.6
