"""Reading the status document: what has expired, what counts as healthy, how things are worded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.status import view
from agent.types import Quality
from tests.status.fake_status import NS, T0, document, model

TIMES = st.none() | st.integers(min_value=T0 - 100 * NS, max_value=T0 + 100 * NS)


@given(verdict=st.sampled_from([*view.VERDICTS, "TRUSTED", None]), until=TIMES, since=TIMES)
def test_a_verdict_past_its_time_or_without_one_reads_as_unassessable(verdict, until, since):
    """Whatever the document says, only a known verdict that is still valid is passed on."""
    given_model = {**model("m", verdict, now_ns=T0), "valid_until_ns": until, "since_ns": since}
    shown = view.effective_model(given_model, T0)
    if verdict in view.VERDICTS and until is not None and until >= T0:
        assert shown["verdict"] == verdict
        assert shown["last_known"] is None
    else:
        assert shown["verdict"] == "unassessable"


def test_an_expired_verdict_says_since_when_why_and_what_it_was():
    """Expiry is the reason, its time the new since; the old verdict is kept as last known."""
    old = model("m", "caution", now_ns=T0, reasons=[{"text": "drifts", "cause": "sensor"}])
    shown = view.effective_model(old, T0 + 16 * NS)
    assert shown["since_ns"] == old["valid_until_ns"]
    assert "was valid until 2026-03-01T02:00:15Z" in shown["reasons"][0]["text"]
    assert shown["reasons"][0]["hint"]
    assert shown["last_known"] == {
        "verdict": "caution",
        "since_ns": old["since_ns"],
        "reasons": old["reasons"],
    }


def test_a_verdict_holds_up_to_and_including_its_last_nanosecond():
    """The boundary itself is still valid; one nanosecond later is not."""
    until = T0 + 15 * NS
    trusted = model("m", "trusted", now_ns=T0)
    assert view.effective_model(trusted, until)["verdict"] == "trusted"
    assert view.effective_model(trusted, until + 1)["verdict"] == "unassessable"


def test_reading_a_model_does_not_change_the_document():
    """The document is shared by all readers."""
    before = document(5)
    kept = json.dumps(before)
    for each in before["models"]:
        view.effective_model(each, T0 + 10**6 * NS)
    assert json.dumps(before) == kept


def test_models_come_worst_first_then_by_name():
    """What needs a person comes before what does not."""
    models = [
        model(name, verdict, now_ns=T0)
        for name, verdict in (
            ("b", "trusted"),
            ("a", "trusted"),
            ("z", "untrusted"),
            ("c", "caution"),
            ("u", "unassessable"),
        )
    ]
    assert [m["name"] for m in view.worst_first(models)] == ["z", "u", "c", "a", "b"]


def test_open_conditions_are_the_gravest_and_newest_first_without_cleared_ones():
    """c-5 and c-8 are cleared; of the two high ones c-4 is newer."""
    shown = [c["id"] for c in view.open_conditions(document())]
    assert shown == ["c-4", "c-2", "c-3", "c-7", "c-6", "c-1"]


def test_incidents_are_told_by_their_first_condition_open_and_gravest_first():
    """c-2 has three more conditions, one of them cleared; c-5 is over as a whole."""
    found = view.incidents(document())
    assert [one["id"] for one in found] == ["c-4", "c-2", "c-3", "c-1", "c-5"]
    stuck = found[1]
    assert stuck["text"] == "reactor.temperature is stuck at 81.3 degC"
    assert stuck["cause"] == "sensor"
    assert (stuck["conditions"], stuck["open"]) == (["c-2", "c-8", "c-7", "c-6"], 3)
    assert (stuck["severity"], stuck["state"]) == ("high", "active")
    assert stuck["models"] == ["energy", "yield"]
    assert stuck["since_ns"] == T0 - 720 * NS
    assert (found[-1]["state"], found[-1]["open"]) == ("cleared", 0)


def test_an_incident_whose_first_condition_cleared_is_told_by_the_gravest_that_is_open():
    """What a person must act on now is its headline; since when it lasts stays."""
    whole = document()
    for condition in whole["conditions"]:
        if condition["id"] == "c-2":
            condition["state"] = "cleared"
    found = {one["id"]: one for one in view.incidents(whole)}["c-2"]
    assert (found["told_by"], found["text"]) == ("c-7", "feed.flow is lower by 0.8 m3/h")
    assert (found["severity"], found["open"]) == ("medium", 2)
    assert found["since_ns"] == T0 - 720 * NS
    assert len(found["conditions"]) == 4


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from(view.CONDITION_STATES), st.integers(1, 9)
        ),
        max_size=12,
    )
)
def test_each_condition_is_part_of_exactly_one_incident(rows):
    """Whatever they are; a document of an earlier version names no incident, and loses none."""
    conditions = [
        {"id": f"x{i}", "state": state, "raised_ns": at, "severity": "low", "text": f"{i}"}
        | ({"incident": name} if name != "c" else {})
        for i, (name, state, at) in enumerate(rows)
    ]
    found = view.incidents({"conditions": conditions})
    assert sorted(name for one in found for name in one["conditions"]) == sorted(
        c["id"] for c in conditions
    )
    assert sum(one["open"] for one in found) == len(
        view.open_conditions({"conditions": conditions})
    )
    assert len(found) == len({c.get("incident", c["id"]) for c in conditions})
    for one in found:
        assert (one["state"] == "cleared") == (one["open"] == 0)
        assert one["told_by"] in one["conditions"]


def test_how_much_of_its_time_a_model_was_outside_of_training_is_said():
    """The inputs that were so most, and all of them together; nothing where none was."""
    said = view.extrapolated(document()["models"][2])
    assert said == (
        "outside of training in the last day: cooling.flow 12 %, "
        "all inputs together, each within its range, 0.63 %"
    )
    assert view.extrapolated(document()["models"][1]) == ""
    assert view.extrapolated({"name": "m"}) == ""
    inputs = [{"tag": f"t{i}", "extrapolation": {"share": 0.0001 * i}} for i in range(9)]
    assert "t8 < 0.1 %, t7 < 0.1 %, t6 < 0.1 %, 5 more inputs" in view.extrapolated(
        {"inputs": inputs}
    )


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        (0, "good"),
        (Quality.REPLAYED | Quality.HELD, "good"),
        (Quality.UNCERTAIN, "uncertain"),
        (Quality.UNCERTAIN | Quality.STALE, "bad"),
        (Quality.COMMUNICATION_LOST, "bad"),
    ],
)
def test_quality_is_bad_when_any_bit_makes_the_value_unusable(bits, expected):
    """The page, the metrics and the terminal count tags by the engine's own rule."""
    assert view.quality_class({"arrival_ns": T0, "quality": int(bits)}) == expected


def test_a_tag_that_never_sent_anything_has_no_quality():
    """Good quality bits without an arrival mean nothing."""
    assert view.quality_class({"arrival_ns": None, "quality": 0}) == "none"


def test_health_follows_the_age_of_the_document():
    """10 s are fresh, more is not, and no document at all is not either."""
    whole = document(1)
    assert view.stalled(whole, T0 + 10 * NS) == ""
    assert "10.0 s" not in view.stalled(whole, T0 + 11 * NS)
    assert "11 s old" in view.stalled(whole, T0 + 11 * NS)
    assert view.stalled({}, T0) == "no status has been written yet"


def test_what_does_not_work_is_told_while_the_agent_goes_on():
    """A full disk or a part that was started again makes it degraded at once, not stalled."""
    full = {"text": "committing to s.db: database or disk is full", "hint": "free space"}
    (told,) = view.degraded({**document(1), "trouble": full})
    assert "disk is full" in told
    assert view.stalled({**document(1), "trouble": full}, T0) == ""
    part = {"name": "uplink", "state": "failing", "restarts": 2, "reason": "KeyError: 'x'"}
    (told,) = view.degraded({**document(1), "parts": [part, {**part, "state": "running"}]})
    assert told == "uplink failed 2 times and is started again: KeyError: 'x'"
    assert view.degraded({**document(1), "trouble": {}, "parts": []}) == []
    well = {**part, "name": "store", "state": "running", "reason": "it was empty", "since_ns": T0}
    (told,) = view.recovered({**document(1), "parts": [part, well]})
    assert told == f"store began anew at {view.utc(T0)}: it was empty"


def test_a_model_that_expired_once_keeps_what_it_was():
    """The agent's answer may be shown by another reader: what was known is not forgotten."""
    for one in document(1)["models"]:
        once = view.effective_model(one, T0 + 3600 * NS)
        assert view.effective_model(once, T0 + 7200 * NS) == once


@pytest.mark.parametrize("part", ["intake", "engine", "store"])
def test_health_names_the_part_that_stands_still(part):
    """Where the document carries progress, the reason says which part has none."""
    progress = {f"{name}_ns": T0 for name in ("intake", "engine", "store")}
    progress[f"{part}_ns"] = T0 - 60 * NS
    assert view.stalled({**document(1), "progress": progress}, T0).startswith(f"the {part} made no")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.44, "0.4 s"),
        (-3, "0.0 s"),
        (12.2, "12 s"),
        (125, "2 min"),
        (7500, "2 h 5 min"),
        (360_000, "4 d 4 h"),
        (None, "-"),
        (float("nan"), "-"),
    ],
)
def test_durations_are_worded_for_people(seconds, expected):
    """Two units at most, no more digits than a person uses."""
    assert view.duration(seconds) == expected


@given(st.none() | st.integers())
def test_no_time_makes_the_wording_fail(time_ns):
    """A damaged time is `unknown`, not an exception in the middle of a page."""
    assert view.utc(time_ns) == "unknown" or view.utc(time_ns).endswith("Z")


def test_the_audit_is_told_with_what_is_known_of_it():
    """Promise, alarms, those called false, kept or not; an older document has less."""
    budget = {
        "false_alarms": "1 per 30 days", "raised_30_days": 6, "acknowledged_false": 4,
        "text": "exceeded: 4 false in 30 days, 1 promised",
    }  # fmt: skip
    assert view.audited(budget) == (
        "promised: at most 1 per 30 days; in the last 30 days 6 incidents, 4 acknowledged as "
        "false; exceeded: 4 false in 30 days, 1 promised"
    )
    assert view.audited({"false_alarms": "1 per 30 days"}) == "promised: at most 1 per 30 days"
    assert view.audited({}) == "promised: at most unknown"


MOMENT = {"boot_id": "kernel", "boottime_ns": 500 * NS, "time_ns": T0}


@pytest.mark.parametrize(
    ("boot_id", "boottime_ns", "passed_ns"),
    [
        ("kernel", 500 * NS, 0), ("kernel", 507 * NS, 7 * NS), ("another", 507 * NS, None),
        ("", 507 * NS, None), ("kernel", 499 * NS, None),
    ],
)  # fmt: skip
def test_age_is_real_time_of_one_run_of_the_kernel(boot_id, boottime_ns, passed_ns):
    """The wall clock says nothing; after a start of the machine nobody knows."""
    assert view.passed_ns(MOMENT, boot_id, boottime_ns) == passed_ns
    assert view.passed_ns({"time_ns": T0}, boot_id, boottime_ns) is None


def test_a_verdict_of_unknown_age_is_not_valid():
    """It was told before the machine was started, however far ahead its time lies."""
    old = model("m", "trusted", now_ns=T0) | {"valid_until_ns": 1 << 61}
    shown = view.effective_model(old, None)
    assert shown["verdict"] == "unassessable"
    assert "before this machine was started" in shown["reasons"][0]["text"]
    assert shown["last_known"]["verdict"] == "trusted"
