"""What people send of changes upstream: known keys alone, with numbers that convert something."""

from __future__ import annotations

import math

import pytest

from agent.commands.change import window_of
from agent.errors import FieldwardenError
from agent.status.commands import command_data

DAY_NS = 86_400 * 10**9
NOTE = {"note": "why"}
WINDOW = {"tags": ["a"], "from_ns": 5, "until_ns": 9, **NOTE}


def test_a_map_keeps_its_known_keys():
    """Numbers as numbers; what is known of the change is asked for by name; none is none."""
    part = {"factor": 2, "offset": -1.5, "unit": "degF", "address": "x", "swap_with": "b"}
    data = command_data("approve", {"change": "line-1", "map": {"a": part}, **NOTE})
    assert data == {"change": "line-1", "note": "why", "map": {"a": part}}
    for given, kept in ((None, None), ({}, None), ("suggested", "suggested")):
        told = command_data("approve", {"change": "line-1", "map": given, **NOTE})
        assert told["map"] == kept


@pytest.mark.parametrize("given", [
    [], "other", {"a": {}}, {"a": 5}, {"a": {"gain": 2}}, {"a": {"factor": 0}},
    {"a": {"factor": math.nan}}, {"a": {"offset": math.inf}}, {"a": {"factor": True}},
    {"a": {"factor": "2"}}, {"a": {"factor": 1e13}}, {"a": {"address": 5}},
    {"a": {"unit": "x" * 500}},
])  # fmt: skip
def test_a_map_that_says_something_else_is_refused(given):
    """It would be journaled, and converted by for ever."""
    with pytest.raises(FieldwardenError):
        command_data("approve", {"change": "line-1", "map": given, **NOTE})


@pytest.mark.parametrize("other", [
    {"tags": []}, {"tags": "a"}, {"tags": [5]}, {"source": "line"}, {"from_ns": "now"},
    {"from_ns": 9}, {"until_ns": 5 + 31 * DAY_NS}, {"until_ns": None}, {"from_ns": -1},
])  # fmt: skip
def test_a_window_needs_tags_or_a_source_a_begin_and_an_end(other):
    """At most 30 days, as everything by which somebody does not look."""
    assert command_data("announce", WINDOW)["tags"] == ["a"]
    with pytest.raises(FieldwardenError):
        command_data("announce", {**WINDOW, **other})


def test_a_proposal_is_an_object_of_bounded_size():
    """What it says is checked where the tags are known."""
    assert command_data("propose", {"change": {"text": "x"}, **NOTE})["change"] == {"text": "x"}
    for change in (None, "line-1", {"text": "x" * 600_000}):
        with pytest.raises(FieldwardenError):
            command_data("propose", {"change": change, **NOTE})


def test_windows_as_people_write_them():
    """Times of day are today's, in UTC; others are taken as they stand."""
    from datetime import UTC, datetime

    now = datetime(2026, 12, 1, 13, 30, tzinfo=UTC)
    at = round(now.timestamp())
    assert window_of("14:00..16:00", now) == ((at + 1800) * 10**9, (at + 9000) * 10**9)
    assert window_of("now..2026-12-01T15:00+01:00", now) == (at * 10**9, (at + 1800) * 10**9)
    for text in ("14:00", "soon..16:00", "14:00..", ".."):
        with pytest.raises(Exception, match=r"(?i)time|FROM"):
            window_of(text, now)
