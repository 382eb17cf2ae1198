"""Source clock: time stamps that stand still, repeat, or go back again and again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.types import Quality
from tests.core.kernels.folding import SECOND, START, detector, fold, params

CLOCK = detector("source_clock")
TEN = params(CLOCK, count=10)


def flags(source: np.ndarray, **more) -> list[tuple[int, int]]:
    return fold(CLOCK, TEN, np.zeros(len(source)), source=source, **more).flags


def ticking(n: int) -> np.ndarray:
    return START + np.arange(n, dtype=np.int64) * SECOND


def test_golden_frozen():
    """Ten samples in a row that did not advance raise it; ten that did clear it."""
    source = ticking(100)
    source[30:60] = source[30]
    assert flags(source) == [(40, 1), (69, 0)]


def test_a_buffer_that_is_served_again_and_again():
    """The same sample, with its value and time, for ever: duplicates are no news."""
    assert flags(np.full(50, START, np.int64))[0] == (10, 1)


@pytest.mark.parametrize("back", [2, 60, 3600, 10**6])
def test_a_clock_that_is_set_back_once_is_no_fault(back):
    """NTP corrects, summer time ends: one step back raises nothing, however far."""
    source = ticking(500)
    source[200:] -= back * SECOND
    assert flags(source) == []


def test_golden_a_clock_that_goes_back_again_and_again():
    """Every 20 samples 5 s back: the third step raises it; it clears when steps are forgotten."""
    source = ticking(600)
    for step in (100, 120, 140, 160):
        source[step:] -= 5 * SECOND
    assert flags(source) == [(140, 1), (359, 0)]


def test_steps_back_now_and_then_are_forgotten():
    """A step every ten minutes is a clock that is corrected, not one that is broken."""
    source = ticking(6000)
    for step in range(600, 6000, 600):
        source[step:] -= 5 * SECOND
    assert flags(source) == []


def test_jitter_below_a_second_is_no_step_back():
    """Samples a little out of order count as not advancing, and no more."""
    source = ticking(600)
    source[::2] += 9 * SECOND // 10 + SECOND
    assert flags(source) == []


def test_two_publishers_with_different_clocks():
    """Every other sample an hour back: flagged, and for as long as it goes on."""
    source = ticking(700)
    source[101:300:2] -= 3600 * SECOND
    (first, up), (last, down) = flags(source)
    assert (up, down) == (1, 0)
    assert 101 <= first <= 111
    assert 300 < last < 600


def test_samples_of_one_notification_are_not_compared():
    """What arrives together may be ordered as the server likes."""
    arrival = START + (np.arange(400, dtype=np.int64) // 4 * 4) * SECOND
    source = arrival - np.arange(400) % 4 * SECOND * 2
    source[::4] = arrival[::4] + SECOND
    late_first = fold(CLOCK, TEN, np.zeros(400), arrival=arrival, source=source).flags
    assert late_first == []


def test_replayed_samples_do_not_count():
    """History delivered in between says nothing about the clock."""
    source, quality = ticking(400), np.zeros(400, np.uint16)
    source[50:300:10] -= 5000 * SECOND
    quality[50:300:10] = Quality.REPLAYED
    assert flags(source, quality=quality) == []


@pytest.mark.parametrize("told", [-(2**63), 2**63 - 1])
def test_hostile_time_stamps_overflow_nothing(told):
    """The ends of int64 among good time stamps are steps like others."""
    source = ticking(200)
    source[100] = told
    assert flags(source) == []


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.sampled_from([-5, 0, 1, 1, 1]), min_size=2, max_size=200),
    cuts=st.lists(st.integers(1, 199), max_size=8),
)
def test_cutting_blocks_changes_nothing(steps, cuts):
    """The same flags and state bytes, however the samples are cut."""
    source = START + np.cumsum(np.array(steps, np.int64)) * SECOND
    cuts = [cut for cut in cuts if cut < len(steps)]
    values = np.zeros(len(steps))
    assert fold(CLOCK, TEN, values, source=source) == fold(
        CLOCK, TEN, values, source=source, cuts=cuts
    )
