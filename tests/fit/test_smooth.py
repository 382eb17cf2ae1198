"""Limits of the level chart's EWMA: what they promise on records of any kind, what they find."""

from __future__ import annotations

import numpy as np
import pytest

from agent.fit import bootstrap
from agent.fit.univariate import EWMA_SHARE, InputFit, fit_input
from tests.fit.streams import KINDS, SECOND, ar1, first_flags, fit_alone, raised, tau_of

ARL = 1e5
RECORDS = 24  # the rate is a mean over them
LENGTH = 60_000

SMOOTHED = (
    "white", "AR(1) 0.9", "AR(1) 0.98", "t4", "whole units", "skewed", "skewed, slow",
    "slow under noise",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _quick_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The EWMA's limits take nothing from a bootstrap: it may be as short as it likes."""
    fit_alone(monkeypatch, "level")
    monkeypatch.setattr(bootstrap, "CHAINS", 10)


def ewma_only(values: np.ndarray, arl: float = ARL) -> InputFit:
    """An input whose level chart has no CUSUM."""
    fit = fit_input(values, interval_ns=SECOND, arl=arl, name="x")
    fit.detectors["level"] |= {"h_up": 1e300, "h_down": 1e300}
    return fit


@pytest.mark.parametrize(("rows", "times"), [(2000, 3.0), (20_000, 2.0)])
@pytest.mark.parametrize("kind", SMOOTHED)
def test_it_keeps_its_part_of_the_run_length(kind, rows, times):
    """Over records: no more than twice its part, three times where the record is short."""
    alarms = 0
    for seed in range(RECORDS):
        fit = ewma_only(KINDS[kind](rows, seed))
        alarms += len(raised(fit, KINDS[kind](LENGTH, 9000 + seed))["level"])
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
