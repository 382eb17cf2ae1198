"""The gate at the edge: bits, maps and swaps by tag, and nothing of tags that are not meant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import EngineClock
from agent.gate import FOR_EVER, Gate
from agent.intake import Intake
from agent.types import Quality

IDS = {"a": 3, "b": 0, "c": 7, "d": 4}
HELD = int(Quality.CONTRACT_BROKEN)
TAGS = st.lists(st.sampled_from([0, 3, 4, 7, 9, 1000]), max_size=40)
NUMBERS = st.floats(-1e6, 1e6)
MAPS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.fixed_dictionaries({"factor": st.floats(0.1, 10), "offset": NUMBERS}),
)
HELD_TAGS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.just(HELD))


@given(TAGS, st.data(), MAPS, HELD_TAGS, st.booleans())
def test_each_sample_is_what_its_tag_says(tags, data, maps, bits, swapped):
    """As one sample after the other; the columns that were given stay as they are."""
    count = len(tags)
    tag = np.array(tags, np.int32)
    value = np.array(data.draw(st.lists(NUMBERS, min_size=count, max_size=count)), np.float64)
    quality = np.array(
        data.draw(st.lists(st.sampled_from([0, 1, 2]), min_size=count, max_size=count)), np.uint16
    )
    if swapped:
        maps = {**maps, "d": {"swap_with": "c"}}
    was = tag.copy(), value.copy(), quality.copy()
    gate = Gate(IDS, bits, maps)
    passed = gate.passed(tag, value, quality)
    names = {index: name for name, index in IDS.items()}
    other = {"c": "d", "d": "c"} if swapped else {}
    for row, index in enumerate(tags):
        name = names.get(index, "")
        name = other.get(name, name)
        part = maps.get(name, {})
        assert passed[0][row] == IDS.get(name, index)
        assert passed[1][row] == was[1][row] * part.get("factor", 1.0) + part.get("offset", 0.0)
        assert passed[2][row] == was[2][row] | bits.get(name, 0)
    for now, before in zip((tag, value, quality), was, strict=True):
        assert np.array_equal(now, before)


def test_what_came_last_of_a_held_tag_is_known_also_to_the_next_gate():
    """As the source sent it; of a tag that is not held nothing is."""
    gate = Gate(IDS, {"a": HELD}, {"a": {"factor": 2.0}})
    gate.passed(np.array([3, 0], np.int32), np.array([5.0, 6.0]), np.array([2, 0], np.uint16))
    again = Gate(IDS, {"a": HELD, "b": HELD}, {})
    again.inherit(gate)
    assert (again.last[3], again.last_quality[3]) == (5.0, 2)
    assert np.isnan(again.last[0])
    again.know(0, 7.0, 0)
    again.passed(np.array([3], np.int32), np.array([np.nan]), np.array([8], np.uint16))
    assert (again.last[3], again.old.tolist()[:4]) == (5.0, [True, False, False, False])


def test_a_gate_that_does_nothing_is_idle():
    """One that will do something later is not."""
    assert Gate(IDS, {}, {}).idle
    assert not Gate(IDS, {}, {}, until_ns=5).idle
    assert not Gate(IDS, {"a": HELD}, {}).idle
    assert not Gate(IDS, {}, {"a": {"offset": 1.0}}).idle
    assert not Gate(IDS, {}, {"a": {"swap_with": "b"}}).idle
    assert Gate({}, {}, {"x": {"factor": 2.0}}, FOR_EVER).idle


@pytest.mark.parametrize("over", [False, True])
def test_the_intake_sends_all_samples_through_it(over):
    """Whoever appends; where it is over by time, another one is asked for first."""
    intake = Intake(EngineClock())
    intake.gate = Gate(IDS, {"a": HELD}, {}, 1 if over else FOR_EVER)
    asked = []

    def renew():
        asked.append(True)
        intake.gate = None

    intake.gate_over = renew
    intake.append(
        np.array([3, 0], np.int32), None, np.array([1.0, 2.0]), np.zeros(2, np.uint16)
    )
    (block,) = intake.seal(1).entries
    assert block.quality.tolist() == ([0, 0] if over else [HELD, 0])
    assert bool(asked) == over
