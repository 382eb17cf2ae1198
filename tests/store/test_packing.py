"""Packed summaries come back exactly, and are small."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.store.packing import pack, unpack

numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
one = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["a", "b"]),
        "tag": st.text(max_size=5),
        "sum": numbers,
        "min": st.none() | numbers | st.booleans(),
        "histogram": st.lists(st.integers(0, 9), max_size=3),
    }
)


@given(st.lists(one, min_size=1, max_size=6))
def test_round_trip_is_exact(summaries):
    """Any summaries come back equal, each value of its own type (1, 1.0 and true differ)."""
    back = unpack(json.loads(pack(summaries)))
    in_order = [{key: row[key] for key in summaries[0]} for row in back]
    assert repr(in_order) == repr([{key: row[key] for key in summaries[0]} for row in summaries])


@pytest.mark.parametrize(
    ("one", "other"), [(0.0, -0.0), (1, 1.0), (1, True), ([0.0], [-0.0]), ([1], [1.0])]
)
def test_equal_values_that_are_written_otherwise_are_kept_apart(one, other):
    """Equal is not the same: a minus zero and a nested whole number come back as they were."""
    rows = [{"tag": "a", "min": one}, {"tag": "b", "min": other}]
    assert repr([row["min"] for row in unpack(json.loads(pack(rows)))]) == repr([one, other])


def test_nan_and_different_keys_are_refused():
    """What JSON can not hold, and what does not fit together, is an error, not a wrong message."""
    with pytest.raises(ValueError, match="JSON"):
        pack([{"tag": "a", "sum": float("nan")}])
    with pytest.raises(ValueError, match="same keys"):
        pack([{"tag": "a"}, {"tag": "b", "sum": 1}])
    with pytest.raises(ValueError, match="same keys"):
        pack([])


def test_fifty_tags_take_less_than_170_bytes_each():
    """A window of 50 tags, with 20 bins each, is a small message."""
    window = [
        {
            "model": "yield", "tag": f"reactor.temperature.{n}", "baseline": "0123456789ab",
            "start_ns": 10**18, "end_ns": 10**18 + 6 * 10**11, "count": 600, "good": 600,
            "sum": -12345 + n, "sum_sq": 650_000_000 + n, "min": -2345, "max": 2345,
            "histogram": [31] * 20,
        }
        for n in range(50)
    ]  # fmt: skip
    assert len(pack(window)) / 50 < 170
