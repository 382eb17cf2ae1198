"""What a short record can not show: on streams whose movement is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.fit.univariate import fit_input
from agent.fit.unseen import HORIZON_NS, PARTS, unseen_movement
from agent.types import Float64
from tests.fit.streams import SECOND, ar1, raised

HOUR = 3600
SLOW = float(np.exp(-1.0 / HOUR))  # a level with a correlation time of an hour
MINUTES = 400
RECORDS = 20


def allowance(values: Float64) -> float:
    """Of a record at a value a second, in its own standard deviations."""
    z = (values - values.mean()) / values.std()
    return unseen_movement(z, len(z) * SECOND)


def test_a_record_of_days_has_seen_the_movement():
    """The same values, at a second or at minutes: nothing is allowed for then."""
    values = ar1(0.98, MINUTES, 1)
    assert unseen_movement(values, MINUTES * SECOND) > 0.5
    assert unseen_movement(values, 40 * HORIZON_NS) < 1e-12


def test_what_wanders_may_wander_on_and_what_does_not_may_do_so_little():
    """Medians of 40 records of 400 s: the record's whole spread and more, or a third of it."""
    still = [allowance(ar1(0.0, MINUTES, seed)) for seed in range(40)]
    wandering = [
        allowance(ar1(SLOW, MINUTES, seed) + 0.1 * ar1(0.0, MINUTES, 99 + seed))
        for seed in range(40)
    ]
    assert np.median(still) < 0.5
    assert np.median(wandering) > 2.0


@given(
    st.floats(1e-3, 1e3), st.floats(-10.0, 10.0), st.integers(PARTS, 500), st.integers(0, 1000)
)
def test_it_goes_with_the_unit_and_not_with_the_zero(unit, zero, n, seed):
    """Scaled as the values are, and the same wherever they lie."""
    values = ar1(0.9, n, seed)
    plain = unseen_movement(values, n * SECOND)
    assert unseen_movement(unit * values + zero, n * SECOND) == pytest.approx(
        unit * plain, rel=1e-6, abs=1e-9 * (unit + abs(zero))
    )


def test_minutes_of_a_steady_input_find_its_shift():
    """A shift of 1 sd after 400 s of record: found within 300 s in most of the cases."""
    found = []
    for seed in range(RECORDS):
        stream = ar1(0.0, MINUTES + 300, seed)
        fit = fit_input(stream[:MINUTES], interval_ns=SECOND, arl=1e7, name="x")
        stream[MINUTES:] += stream[:MINUTES].std()
        found.append(any(at >= MINUTES for at in raised(fit, stream)["level"]))
    assert np.mean(found) >= 0.6


def test_minutes_of_a_wandering_input_seldom_cry_wolf():
    """Fitted on 400 s of a level that wanders over hours, judged for the next hour of the same.

    Allowing every input alike for one standard deviation of its record, four of five raised.
    """
    alarms = 0
    for seed in range(RECORDS):
        stream = ar1(SLOW, MINUTES + HOUR, seed) + 0.1 * ar1(0.0, MINUTES + HOUR, 99 + seed)
        fit = fit_input(stream[:MINUTES], interval_ns=SECOND, arl=1e7, name="x")
        alarms += any(at >= MINUTES for at in raised(fit, stream)["level"])
    assert alarms <= 0.4 * RECORDS
