"""Limits of the level chart's EWMA: what they promise on records of any kind, what they find."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import lfilter

from agent.fit.univariate import EWMA_SHARE, InputFit, fit_input
from tests.fit.streams import SECOND, ar1, first_flags, raised, tau_of

ARL = 1e5
RECORDS = 24  # the rate is a mean over them
LENGTH = 60_000


def skewed(phi: float) -> Callable[[int, int], np.ndarray]:
    """AR(1) driven by exponential steps."""

    def stream(n: int, seed: int) -> np.ndarray:
        steps = np.random.default_rng(seed).exponential(size=n + 200)
        return np.asarray(lfilter([1.0], [1.0, -phi], steps))[200:]

    return stream


STREAMS = {
    "white": lambda n, seed: ar1(0.0, n, seed),
    "AR(1) 0.9": lambda n, seed: ar1(0.9, n, seed),
    "AR(1) 0.98": lambda n, seed: ar1(0.98, n, seed),
    "t4": lambda n, seed: np.random.default_rng(seed).standard_t(4, n),
    "whole units": lambda n, seed: np.round(0.5 * np.random.default_rng(seed).standard_normal(n)),
    "skewed": skewed(0.0),
    "skewed, slow": skewed(0.9),
    "slow under noise": lambda n, seed: 0.5 * ar1(0.99, n, seed) + ar1(0.0, n, seed + 5000),
}


def ewma_only(values: np.ndarray, arl: float = ARL) -> InputFit:
    """An input whose level chart has no CUSUM."""
    fit = fit_input(values, interval_ns=SECOND, arl=arl, name="x")
    fit.detectors["level"] |= {"h_up": 1e300, "h_down": 1e300}
    return fit


@pytest.mark.parametrize(("rows", "times"), [(2000, 3.0), (20_000, 2.0)])
@pytest.mark.parametrize("kind", STREAMS)
def test_it_keeps_its_part_of_the_run_length(kind, rows, times):
    """Over records: no more than twice its part, three times where the record is short."""
    alarms = 0
    for seed in range(RECORDS):
        fit = ewma_only(STREAMS[kind](rows, seed))
        alarms += len(raised(fit, STREAMS[kind](LENGTH, 9000 + seed))["level"])
    assert alarms <= times * EWMA_SHARE * RECORDS * LENGTH / ARL


@pytest.mark.parametrize(("shift", "most"), [(3.0, 12.0), (5.0, 5.0)])
def test_large_shifts_are_found_within_correlation_times(shift, most):
    """At the run length that ships on a gateway of 24 inputs, one alarm in 30 days."""
    phi, delays = 0.98, []
    tau = tau_of(phi)
    lead = int(20 * tau)
    for seed in range(4):
        fit = ewma_only(ar1(phi, int(2000 * tau), seed), 8e8)
        streams = [ar1(phi, lead + int(100 * tau), 100 * seed + turn) for turn in range(30)]
        for stream in streams:
            stream[lead:] -= shift
        first = first_flags(fit, "level", streams, lead)
        assert min(first) >= 0
        delays += first
    assert np.mean(delays) <= most * tau
