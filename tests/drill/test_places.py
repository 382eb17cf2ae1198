"""Where faults are put: in what the baseline never saw, where there is such a part."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.drill.places import HELD_BACK_FROM, places

S = 1_000_000_000
TIMES = (1_000 + np.arange(1_000, dtype=np.int64)) * S


def facts(began, ended, **more):
    return {"from_ns": (1_000 + began) * S, "to_ns": (1_000 + ended) * S, **more}


def test_what_comes_after_the_training_record_is_held_back():
    """A longer record of the same plant: only its new rows."""
    place = places(facts(0, 699), TIMES, 100)
    assert place.first == 700
    assert "the last 30%" in place.text and "never saw" in place.text


def test_the_part_that_the_fit_held_back_is_used_where_it_says_so():
    """Though its range and name were learnt from the whole file."""
    place = places(facts(0, 999, **{HELD_BACK_FROM: 1_800 * S}), TIMES, 100)
    assert (place.first, "never saw" in place.text) == (800, True)


def test_of_the_training_record_itself_the_last_part_is_used_and_it_is_said():
    """It is known to the baseline: figures are a little too good."""
    place = places(facts(0, 999), TIMES, 100)
    assert place.first == 600
    assert "fitted on too" in place.text
    assert places(facts(0, 950), TIMES, 100).first == 600  # too few rows are new


def test_another_record_is_used_as_a_whole():
    """Whether it is older or newer; so is one of a baseline that does not say what it saw."""
    for known in (facts(-5_000, -4_000), facts(5_000, 6_000), {}):
        place = places(known, TIMES, 100)
        assert (place.first, "all of the record" in place.text) == (0, True)
        assert ("never saw" in place.text) == bool(known)


@given(
    st.integers(-2_000, 2_000), st.integers(0, 2_000), st.none() | st.integers(-2_000, 4_000),
    st.integers(1, 3_000), st.integers(1, 1_000),
)  # fmt: skip
def test_there_is_always_room_for_the_longest_fault(began, length, held_back, least, rows):
    """Unless the whole record has no room."""
    known = facts(began, began + length)
    if held_back is not None:
        known[HELD_BACK_FROM] = (1_000 + held_back) * S
    place = places(known, TIMES[:rows], least)
    assert 0 <= place.first < rows
    assert rows - place.first >= min(least, rows)
