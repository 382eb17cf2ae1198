"""Thresholds of CUSUM charts against simulation with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

from agent.fit import bootstrap


def run_length(k: float, h: float, seed: int = 1, chains: int = 4000) -> float:
    """Mean run length of a one-sided CUSUM of standard normal steps, by renewal."""
    rng = np.random.default_rng(seed)
    s, steps, alarms = np.zeros(chains), 2000, 0
    for _ in range(steps):
        s = np.maximum(s + rng.standard_normal(chains) - k, 0.0)
        over = s >= h
        alarms += int(over.sum())
        s[over] = 0.0
    return steps * chains / max(alarms, 1)


@pytest.mark.parametrize("k", [0.3, 0.5, 1.0, 1.4])
def test_normal_steps_are_the_least(k):
    """For normal block statistics the threshold gives the run length asked for."""
    pool = np.random.default_rng(3).standard_normal(4000)
    series = bootstrap.resample(pool, 1, np.random.default_rng(0))
    up, down = bootstrap.thresholds(series, k, np.log(3000))
    for h in (up, down):
        assert run_length(k, h) > 0.75 * 3000
    assert min(run_length(k, up), run_length(k, down)) < 4 * 3000


def test_a_skewed_statistic_widens_its_side():
    """Exponential steps reach far upwards: the upper threshold is the larger by far."""
    pool = np.random.default_rng(4).exponential(1.0, 20_000) - 1.0
    series = bootstrap.resample(pool, 1, np.random.default_rng(0))
    up, down = bootstrap.thresholds(series, 0.75, np.log(1e5))
    assert up > 1.5 * down


def test_longer_run_lengths_need_higher_thresholds():
    """ln ARL is linear in h: twice the logarithm, about twice the threshold."""
    pool = np.random.default_rng(5).standard_normal(4000)
    series = bootstrap.resample(pool, 1, np.random.default_rng(0))
    h = [bootstrap.thresholds(series, 0.5, log_arl)[0] for log_arl in (8.0, 12.0, 16.0)]
    assert h[1] - h[0] == pytest.approx(h[2] - h[1], rel=0.15)


@pytest.mark.parametrize("freedom", [20, 60, 200, 2000])
def test_allowance_for_the_variance(freedom):
    """With the factor, exp(-ln ARL) holds on average over what the variance may truly be."""
    log_arl, k = 9.0, 0.7
    _, factor = bootstrap.allowance(log_arl, k, 1e9, freedom)
    chance = (np.arange(20_000) + 0.5) / 20_000
    known = chi2.ppf(chance, freedom) / freedom
    assert np.log(np.mean(np.exp(-log_arl * factor * known))) == pytest.approx(-log_arl, abs=0.1)


def test_allowance_for_the_mean():
    """With k widened, exp(-2 k h) holds on average over what the mean may truly be."""
    log_arl, k, blocks = 9.0, 0.7, 150.0
    wider, _ = bootstrap.allowance(log_arl, k, blocks, 1e9)
    error = np.random.default_rng(1).standard_normal(400_000) / np.sqrt(blocks)
    h = log_arl / (2 * k)
    assert np.log(np.mean(np.exp(-2 * (k + wider - error) * h))) == pytest.approx(-log_arl, abs=0.1)


def test_allowances_vanish_with_the_record():
    """A very long record leaves nothing open; a tiny one does not make them infinite."""
    assert bootstrap.allowance(15.0, 0.7, 1e12, 1e12) == pytest.approx((0.0, 1.0), abs=1e-6)
    assert np.isfinite(bootstrap.allowance(40.0, 0.7, 1.0, 1.0)).all()


def test_the_same_seed_gives_the_same_series():
    """Baselines are repeatable."""
    pool = np.random.default_rng(6).standard_normal(500)
    a, b = (bootstrap.resample(pool, 7, np.random.default_rng(9)) for _ in range(2))
    assert np.array_equal(a, b)


def test_dependence_between_neighbours_is_made_good_for():
    """Resampled series of correlated blocks have unit long-run variance."""
    pool = np.convolve(np.random.default_rng(7).standard_normal(40_000), [1.0, 0.5], "valid")
    series = bootstrap.resample(pool, 1, np.random.default_rng(0))
    long_run = 50 * series.reshape(-1, 50, series.shape[1]).mean(axis=1).var()
    assert long_run == pytest.approx(1.0, rel=0.15)
