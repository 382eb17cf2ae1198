"""Messages as central gets them: valid against the schemas, exact in time, safe in any text."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.forward import Identity
from agent.forward.form import Presence
from agent.forward.json_payload import (
    acknowledgements,
    birth,
    event_message,
    goodbye,
    schema,
    summary_messages,
    time_of,
    time_text,
    to_json,
    verdict_message,
    will,
    wire,
)
from agent.store.packing import unpack
from agent.store.reader import OutboxRow
from agent.types import Event

WHO = Identity("north", "gw-07", "0badcafe")
NOW = 1_790_000_000_123_456_789
EVENTS = {
    "finding": {"detector": "stuck", "up": True, "score": 1.5, "model": "yield"},
    "condition": {
        "id": "tag/a@5", "incident": "tag/a@5", "change": "raised", "kind": "stuck",
        "cause": "sensor", "severity": "high",
        "text": "a is stuck", "hint": "mend it", "models": ["yield"], "raised_ns": 5,
        "state": "active", "detectors": ["stuck"], "score": float("inf"),
    },
    "verdict": {
        "verdict": "untrusted", "was": "", "version": "1",
        "reasons": [{"text": "a is stuck", "cause": "sensor", "tag": "a"}],
    },
    "source": {"state": "failed", "reason": "refused", "was": "live"},
    "gap": {"reason": "intake_full", "count": 3},
    "mode": {"mode": "running", "was": "stopped"},
    "configuration": {"change": "out_of_service", "by": "ada"},
    "retraining": {
        "change": "declared", "id": "yield@1700000000", "model": "yield", "state": "declared",
        "since_ns": NOW - 10**15, "opened_ns": NOW - 10**14, "until_ns": NOW, "further": 0,
        "criteria": ["at least 2 of 3 inputs shifted by the process for 24 h"],
        "moved": [{"tag": "a", "off": 4.1, "value": 108.2, "centre": 100.0, "scale": 2.0,
                   "trained": [92.0, 108.0], "unit": "degC"}],
        "left_out": [{"from_ns": NOW - 10**14, "to_ns": 0, "of": "tag/b@1", "subject": "tag/b",
                      "kind": "stuck", "cause": "sensor"}],
        "decisions": [{"state": "declared", "by": "ada", "note": "new catalyst", "time_ns": NOW}],
        "text": "at least 2 ...", "hint": "train", "by": "ada", "note": "new catalyst",
    },
    "change": {
        "change": "approved", "id": "line-3", "state": "approved", "how": "interval",
        "source": "line", "tags": ["a"], "tag_count": 1, "models": ["yield"], "grade": "breaking",
        "differences": [{"subject": "tag/a", "source": "line", "term": "served unit",
                         "was": "degC", "now": "degF", "grade": "breaking", "models": ["yield"],
                         "text": "a: engineering unit was degC, is degF"}],
        "text": "a: engineering unit was degC, is degF", "hint": "", "found_ns": 5, "since_ns": 4,
        "hold": "held", "assessment": None, "needs": [], "in_force_from": 17, "window": None,
        "approvals": [{"side": "owner", "by": "ada", "at_ns": 6, "note": "new transmitter"}],
        "map": {"a": {"unit": "degF", "factor": 5 / 9, "offset": -160 / 9}}, "expires_ns": 0,
        "by": "ada", "note": "new transmitter", "sides": ["owner"],
    },
    "review": {"change": "reviewed", "by": "ada", "note": "read", "evidence": "0f" * 32,
               "since_ns": 5, "until_ns": 9},
    "engine": {"change": "warming up", "part": "stuck"},
    "clock": {
        "change": "set", "shift_ns": -(10**18), "away_ns": 0, "time_quality": "synchronised",
        "was": "implausible",
    },
    "evidence": {
        "change": "opened", "output": "y", "tag": "lab", "loss": "absolute", "mean_loss": 2.5,
        "labels": 15, "since_ns": 5, "of_ns": 9, "expected": 1.0, "allowed": 1.25,
        "tolerance": 0.2, "inputs_moved": False,
    },
}  # fmt: skip


def row_of(message, seq=17, covers=()):
    return OutboxRow(
        1, 3, message.stream, seq, message.topic, message.payload, message.time_ns,
        message.retain, message.expiry_s, list(covers),
    )  # fmt: skip


def validated(message, name, **arguments):
    document = json.loads(wire(row_of(message, **arguments), WHO, NOW).payload)
    checker = jsonschema.Draft202012Validator(
        schema(name), format_checker=jsonschema.FormatChecker()
    )
    checker.validate(document)
    return document


def window(tag, **more):
    return {
        "model": "yield", "tag": tag, "baseline": "ab", "start_ns": 0, "end_ns": NOW,
        "count": 600, "good": 599, "sum": -5, "sum_sq": 2**70, "min": -1.5, "max": None,
        "histogram": [1, 2], **more,
    }  # fmt: skip


@pytest.mark.parametrize("kind", EVENTS)
def test_every_kind_of_event_is_a_valid_cloud_event(kind):
    """Each kind of event gives a CloudEvent that both its schemas accept."""
    event = Event(kind, NOW - 5_000_000_000, "tag/a", EVENTS[kind])
    document = validated(event_message(9, 2, event), "event")
    jsonschema.Draft202012Validator(schema(f"event-{kind}")).validate(document["data"])
    assert document["type"] == f"fieldwarden.event.{kind}"
    assert document["cause"] == "9.2"
    assert (document["boot"], document["stream"], document["seq"]) == (3, "event", 17)
    assert time_of(document["time"]) == event.time_ns
    assert document["historical"] is False


@pytest.mark.parametrize(
    "path", ["event", "verdict", "summary", "state", "gap", *(f"event-{kind}" for kind in EVENTS)]
)
def test_every_schema_is_a_schema_and_refuses_an_empty_message(path):
    """The schemas are valid themselves, and none accepts just anything."""
    jsonschema.Draft202012Validator.check_schema(schema(path))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema(path)).validate({})


def test_old_messages_are_historical():
    """More than 60 s between what happened and sending makes it history."""
    for age_s, historical in ((59, False), (61, True), (-10, False)):
        event = Event("source", NOW - age_s * 10**9, "source/a", EVENTS["source"])
        assert validated(event_message(1, 0, event), "event")["historical"] is historical


def test_verdict_message_expires_and_replaces():
    """A verdict is retained, expires when it is no longer valid, and replaces its predecessor."""
    message = verdict_message(
        "a/b+c", "caution", EVENTS["verdict"]["reasons"], time_ns=NOW, since_ns=NOW - 1,
        valid_until_ns=NOW + 10_500_000_000, version="7", baseline="ab", provisional=True,
    )  # fmt: skip
    document = validated(message, "verdict")
    assert (message.topic, message.retain, message.expiry_s) == ("verdict/a%2Fb%2Bc", True, 11)
    assert message.replace_key == message.topic
    assert time_of(document["data"]["valid_until"]) == NOW + 10_500_000_000
    assert document["data"]["version"] == "7"


def test_summaries_of_one_window_share_a_message():
    """Tags of one model and window go together, others apart; nothing is changed or lost."""
    windows = [window("a"), window("b", sum=7), window("c", baseline="other"), window("d")]
    messages = summary_messages(windows)
    documents = [validated(message, "summary", covers=[(1, 4)]) for message in messages]
    assert [d["data"]["columns"]["tag"] for d in documents] == [["a", "b", "d"], ["c"]]
    assert documents[0]["covers"] == [[1, 4]]
    back = [one for d in documents for one in unpack(d["data"])]
    assert sorted(back, key=lambda one: one["tag"]) == sorted(windows, key=lambda one: one["tag"])
    assert messages[0].summary is windows[0]


def test_a_thousand_tags_stay_within_20_mb_a_day():
    """1,000 inputs at the default window of 10 minutes take at most 20 MB a day, with envelopes."""
    many = [
        window(f"line{n % 7}.unit{n}.temperature", sum=-(10**6) - n, sum_sq=10**9 + n, min=-2345,
               max=2345 + n, good=600, histogram=[600 // 16] * 16)
        for n in range(1000)
    ]  # fmt: skip
    size = sum(len(wire(row_of(m), WHO, NOW).payload) + 100 for m in summary_messages(many))
    assert size * 144 <= 20e6


def test_gap_record_of_the_store_is_valid():
    """What the store writes for dropped messages is what the schema describes."""
    gap = {"of": "event", "boot": 1, "reason": "outbox_full", "count": 2, "ranges": [[1, 2]]}
    payload = json.dumps({**gap, "start_ns": 1, "end_ns": 2}).encode()
    row = OutboxRow(1, 1, "gap", 1, "gap", payload, NOW, False, None, [])
    document = json.loads(wire(row, WHO, NOW).payload)
    jsonschema.Draft202012Validator(schema("gap")).validate(document)


def test_state_is_valid():
    """Birth, goodbye and will are the same message but for what they say."""
    numbers = {}
    for say in (birth, goodbye, will):
        message = say(WHO, Presence(boot=1, version="1", connection=3, time_ns=NOW))
        document = json.loads(message.payload)
        jsonschema.Draft202012Validator(schema("state")).validate(document)
        assert message.topic == "fieldwarden/1/north/gw-07/state" and message.retain
        assert document["data"]["online"] is (say is birth)
        numbers[say.__name__] = document["seq"]
    assert numbers["birth"] < numbers["goodbye"] == numbers["will"]


@given(st.integers(0, 4_000_000_000 * 10**9))
def test_time_is_exact_to_the_nanosecond(time_ns):
    """Time goes through its text without losing a nanosecond."""
    assert time_of(time_text(time_ns)) == time_ns


@given(
    st.recursive(
        st.none() | st.floats() | st.text(st.characters()) | st.integers(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_any_data_becomes_strict_json(value):
    """Whatever a device says (NaN, infinities, lone surrogates) becomes JSON that anyone reads."""

    def refuse(name):
        raise AssertionError(name)

    text = to_json({"data": value}).decode("utf-8", "strict")
    json.loads(text, parse_constant=refuse)


def test_an_answer_of_central_is_described():
    """The schema of what central says accepts what the gateway reads."""
    one = {"boot": 1_000_001, "stream": "event", "through": 9, "missing": [[2, 3]]}
    document = {"schema": 1, "store": WHO.store, "central": "c", "received": [one]}
    jsonschema.Draft202012Validator(schema("central")).validate(document)
    (read,) = acknowledgements(json.dumps(document).encode(), WHO)
    assert (read.boot, read.through, read.missing) == (1_000_001, 9, ((2, 3),))
