"""Stuck: what a record shows of values that it rests at, and of runs elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agent.fit.univariate import fit_input
from agent.types import Float64
from tests.core.kernels.folding import detector, fold, params

STUCK = detector("stuck")
SECOND = 1_000_000_000


def fitted(values: Float64) -> tuple[dict[str, Any], Float64]:
    """(parameters of `stuck`, the record as its chart sees it)."""
    found = fit_input(values, interval_ns=SECOND, arl=1e6, name="x")
    return found.detectors["stuck"], (values - found.centre) / found.scale


def standing(seed: int, n: int = 4000) -> Float64:
    """A machine that runs, noisy, and stands at 0 at night, exactly."""
    rng = np.random.default_rng(seed)
    values = 50.0 + rng.normal(size=n)
    for start in range(300, n, 800):
        values[start : start + 200] = 0.0
    return values


def test_zero_of_a_standing_machine_is_a_plateau():
    """Where it rests again and again it may rest; amid its range it may not."""
    values = standing(1)
    parameters, z = fitted(values)
    assert parameters["count"] == 1
    assert parameters["limit"] <= 20
    at_rest, dead = np.full(2000, z[300]), np.full(2000, z[10])
    assert fold(STUCK, params(STUCK, **parameters), np.append(z[:10], at_rest)).flags == []
    found = fold(STUCK, params(STUCK, **parameters), np.append(z[:10], dead)).flags
    assert found == [(9 + parameters["limit"], 1)]


def test_a_saturated_end_is_a_plateau_seen_once():
    """The end of a transmitter's range: one long stay there is enough to know it."""
    values = np.random.default_rng(2).normal(size=4000)
    values = np.minimum(values, 3.6)
    values[1000:1100] = 3.6
    parameters, z = fitted(values)
    assert parameters["values"][: parameters["count"]] == pytest.approx([z[1000]])


def test_one_long_run_amid_the_range_is_no_plateau():
    """It is more likely a dead instrument in the record than a limit of the plant."""
    values = np.random.default_rng(3).normal(size=4000)
    values[1000:1040] = 0.25
    parameters, _ = fitted(values)
    assert parameters["count"] == 0


def test_a_signal_of_coarse_steps_has_no_plateaus():
    """Each of its values rests, none longer than others."""
    rng = np.random.default_rng(4)
    values = np.round(np.repeat(rng.normal(size=800), rng.integers(1, 9, 800)), 1)
    assert fitted(values)[0]["count"] == 0


def test_three_neighbouring_values_are_alive():
    """A signal that moves by single steps about a value is not stuck, however near it stays."""
    rng = np.random.default_rng(5)
    values = 2.98 + 0.01 * rng.integers(-1, 2, 6000)
    parameters, z = fitted(values)
    limit = parameters["limit"]
    assert limit < 200
    low = high = z[0]
    run = longest = 0
    for value in z.tolist():
        low, high = min(low, value), max(high, value)
        run = run + 1 if high - low <= parameters["tolerance"] else 1
        if run == 1:
            low = high = value
        longest = max(longest, run)
    assert longest < limit


def stood(level: float, seed: int, n: int = 3000) -> Float64:
    """A machine that runs, noisy and without a resolution, and stands at a level that is its own,
    exactly, for 60 samples now and then.
    """
    values = 10.0 + np.random.default_rng(seed).normal(size=n)
    for start in range(300, n, 500):
        values[start : start + 60] = level
    return values


@pytest.mark.parametrize("seed", range(12))
def test_a_machine_may_stand_in_service_where_it_stood_in_training(seed):
    """Whatever the level: the agent multiplies by the inverse of what `fit` divides by, and the
    last bit of what it sees is not the record's. At a level of its own run it is a dead instrument.
    """
    level = float(np.random.default_rng(seed + 100).uniform(-3.0, 3.0))
    values = stood(level, seed)
    found = fit_input(values, interval_ns=SECOND, arl=1e6, name="x")
    parameters = params(STUCK, **found.detectors["stuck"])
    inverse = 1.0 / found.scale

    def flags(rest: float) -> int:
        seen = np.append(stood(level, seed + 50)[:290], np.full(500, rest))
        return len(fold(STUCK, parameters, (seen - found.centre) * inverse).flags)

    assert found.detectors["stuck"]["count"] == 1
    assert flags(level) == 0
    assert flags(float(values[10])) == 1
