"""The scorers of the scenario suite, on event lists written by hand: they can not flatter."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "scenarios"))

from _outcome import Named, diagnosis, lacks, named, requests, summary

from agent.types import Event

S = 1_000_000_000


def condition(at_s, subject, change="raised", *, cause="sensor", kind="bias", id_="", **more):
    data = {"id": id_ or f"{subject}@{at_s}", "change": change, "cause": cause, "kind": kind}
    return Event("condition", at_s * S, subject, data | more)


def test_a_condition_has_its_latest_name_and_the_time_of_its_raising():
    """What clears it names nothing; what began before the onset is not of the fault."""
    events = [
        condition(5, "tag/old", id_="0"),
        condition(10, "tag/a", cause="unknown", id_="1"),
        condition(12, "tag/a", "updated", id_="1"),
        condition(13, "tag/a", "cleared", cause="", kind="", id_="1"),
        condition(20, "tag/b", id_="2", incident="0"),
        condition(21, "model/m", "updated", id_="never raised"),
    ]
    (one,) = named(events, 8 * S)
    assert one == Named("tag/a", "bias", "sensor", ("a",), 10 * S, "1")


@pytest.mark.parametrize(("cause", "tags", "causes", "may_name", "wanted"), [
    ("sensor", ("a",), {"sensor"}, ["a"], "right"),
    ("sensor", ("b",), {"sensor"}, ["a"], "wrong"),
    ("process", ("a",), {"sensor"}, ["a"], "wrong"),
    ("unknown", ("a",), {"sensor"}, ["a"], "unknown"),
    ("model", ("predicted",), {"model"}, [], "right"),
    ("sensor", ("a",), set(), ["a"], "no fault"),
])  # fmt: skip
def test_a_name_is_right_by_its_cause_and_its_tags(cause, tags, causes, may_name, wanted):
    """A right cause on another tag is wrong."""
    one = Named("tag/x", "bias", cause, tags, 10 * S, "1")
    assert diagnosis([one], causes, may_name) == wanted


def test_the_first_condition_names_the_fault_and_silence_misses_it():
    """Those that come after it do not mend a wrong name."""
    first = Named("tag/a", "level shift", "process", ("a",), 10 * S, "1")
    second = Named("tag/a", "bias", "sensor", ("a",), 20 * S, "2")
    assert diagnosis([first, second], {"sensor"}, ["a"]) == "wrong"
    assert diagnosis([], {"sensor"}, ["a"]) == "missed"


def test_each_request_counts_once():
    """As it is opened; what people decide on it is none."""
    events = [
        Event("retraining", at * S, "model/m", {"change": change})
        for at, change in ((1, "requested"), (2, "declared"), (3, "requested"))
    ]
    assert [event.time_ns for event in requests(events)] == [S, 3 * S]


@pytest.mark.parametrize(("spans", "wanted"), [
    ([(10, 20, "sensor")], []), ([(14, 0, "sensor")], []), ([(16, 20, "sensor")], ["a"]),
    ([(10, 12, "sensor"), (11, 13, "integration"), (12, 14, "sensor")], ["a"]),
    ([(10, 20, "process")], ["a"]), ([], ["a"]),
])  # fmt: skip
def test_a_fault_must_be_left_out_for_half_of_its_time(spans, wanted):
    """By causes that are to be mended, each instant once; a span that goes on has no end."""
    left = [{"from_ns": a * S, "to_ns": b * S, "cause": cause} for a, b, cause in spans]
    assert lacks(left, [("a", 10 * S, 20 * S)], 30 * S) == wanted


def test_the_last_line_adds_up():
    """False requests are those beyond the most that are right, missed ones below the least."""
    rows = [
        {"diagnosis": d, "requests": n, "requests_least": least, "requests_most": most}
        for d, n, least, most in (
            ("right", 0, 0, 0), ("wrong", 2, 0, 0), ("unknown", 0, 1, 1), ("missed", 1, 0, 1),
            ("no fault", 3, 1, 1),
        )
    ]  # fmt: skip
    assert summary(rows) == {
        "suite": "scenarios", "n": 5, "detected": 3, "diagnosis_right": 1, "diagnosis_wrong": 1,
        "diagnosis_unknown": 1, "false_retraining": 4, "missed_retraining": 1,
    }
