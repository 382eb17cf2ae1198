"""State by name: as bytes and back; what has another layout or meaning starts anew."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core import identity, state
from agent.core.engine import Engine
from agent.core.state import Lasting
from agent.errors import StoreError
from agent.types import Quality
from tests.core import small
from tests.core.small import SECOND, START, block, normal

KIND = np.dtype([("score", np.float64), ("run", np.int64)])
KEYS = {"input": ["m/a", "m/b"], "tag": ["a", "b", "c"], "model": ["m", "n"]}


def arrays(*, kind=KIND, rows=2, filled=True) -> list[Lasting]:
    one = np.zeros(rows, kind)
    ring = np.zeros((3, 4))
    lone = np.zeros(2, np.int64)
    if filled:
        one["score"] = np.arange(rows) + 0.5
        ring += np.arange(12).reshape(3, 4)
        lone += 9
    return [
        Lasting("state", "input", one), Lasting("ring", "tag", ring), Lasting("lone", "model", lone)
    ]


def load(data, into, keys=KEYS, kept=None) -> tuple[dict, list[str]]:
    """(facts, names of arrays that are new whole)."""
    saved = state.read(data)
    return dict(saved.facts), saved.fill(into, keys, kept or keys)


def test_equal_states_give_equal_bytes_and_come_back():
    """No time, address or order of insertion is in the bytes; every array and fact returns."""
    data = state.dump(arrays(), KEYS, {"b": 1, "a": [2, {"y": 1, "x": 2}]})
    assert data == state.dump(arrays(), KEYS, {"a": [2, {"x": 2, "y": 1}], "b": 1})
    into = arrays(filled=False)
    facts, fresh = load(data, into)
    assert facts == {"a": [2, {"x": 2, "y": 1}], "b": 1}
    assert fresh == []
    assert [item.array.tobytes() for item in into] == [item.array.tobytes() for item in arrays()]


def test_rows_are_found_again_by_their_key():
    """Rows that moved keep their state, new rows start at zero, rows that went are gone."""
    data = state.dump(arrays(), KEYS, {})
    into = arrays(rows=3, filled=False)
    load(data, into, {
        "input": ["m/b", "n/x", "m/a"], "tag": ["c", "new", "a"], "model": ["n", "m"],
    })
    assert into[0].array["score"].tolist() == [1.5, 0.0, 0.5]
    assert into[1].array.tolist() == [[8, 9, 10, 11], [0] * 4, [0, 1, 2, 3]]


def test_rows_that_mean_something_else_now_are_not_filled():
    """Each array says by which set of keys its rows count; what is taken over is handed back."""
    data, into = state.dump(arrays(), KEYS, {}), arrays(filled=False)
    taken = []
    into[1] = Lasting("ring", "tag", into[1].array, kept="other", take=taken.append)
    load(data, into, kept=dict(KEYS) | {"input": {"m/b"}, "other": {"a"}})
    assert into[0].array["score"].tolist() == [0.0, 1.5]
    assert into[1].array.tolist() == [[0, 1, 2, 3], [0] * 4, [0] * 4]
    assert taken[0] is into[1].array


@pytest.mark.parametrize(
    "kind",
    [
        np.dtype([("score", np.float64), ("run", np.int64), ("more", np.int64)]),
        np.dtype([("score", np.float64), ("runs", np.int64)]),
        np.dtype([("score", np.float32), ("run", np.int64)]),
        np.dtype([("run", np.int64), ("score", np.float64)]),
    ],
)
def test_an_array_whose_layout_changed_starts_anew_alone(kind):
    """A field more, another name, type or order: this array is reported, the others are filled."""
    data = state.dump(arrays(), KEYS, {})
    into = arrays(kind=kind, filled=False)
    _, fresh = load(data, into)
    assert fresh == ["state"]
    assert not np.frombuffer(into[0].array.tobytes(), np.uint8).any()
    assert into[1].array.tobytes() == arrays()[1].array.tobytes()
    assert into[2].array.tobytes() == arrays()[2].array.tobytes()


def test_an_array_that_the_snapshot_does_not_know_is_reported():
    """A detector that is new since then starts anew, and says so."""
    data = state.dump(arrays()[:2], KEYS, {})
    _, fresh = load(data, arrays(filled=False))
    assert fresh == ["lone"]


@pytest.mark.parametrize("cut", [0, 3, 4, 7, 8, 40, -1, -8])
def test_cut_short_is_damaged(cut):
    """However much is missing, it is an error with a name, and nothing was filled in."""
    data = state.dump(arrays(), KEYS, {})
    into = arrays(filled=False)
    with pytest.raises(StoreError):
        load(data[:cut], into)
    assert not any(item.array.tobytes().strip(b"\0") for item in into)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"arrays"', b'"errors"'), (b'"shape":[2]', b'"shape":[9]'), (b'"facts"', b'"tales"'),
        (b'"keys"', b'"kegs"'), (b"{", b"x"), (b'\\"<f8\\"', b'\\"<q8\\"'),
    ],
)  # fmt: skip
def test_a_damaged_header_is_refused(old, new):
    """A header that is no JSON, lacks a part or describes other bytes is an error with a name."""
    data = state.dump(arrays(), KEYS, {})
    assert old in data
    into = arrays(filled=False)
    with pytest.raises(StoreError, match="damaged"):
        load(data.replace(old, new, 1), into)


# --- in the engine ---


def stuck_and_bad() -> Engine:
    """An engine with `a` stuck and `b` bad, both raised, and evidence enough."""
    engine = Engine(small.spec())
    values, quality = normal(120), np.zeros((120, 3))
    values[50:, 0] = values[50, 0]
    quality[80:, 1] = Quality.BAD
    engine.step(block(values, quality=quality))
    assert set(engine.judge.conditions.active) >= {identity.tag("a"), identity.tag("b")}
    return engine


def with_other_layout(engine: Engine, name: str) -> bytes:
    """A snapshot as another version of one detector would have written it."""
    lasting = [
        Lasting(item.name, item.axis, np.zeros(len(item.array), [("other", np.int16)]))
        if item.name == name else item
        for item in [*engine.charts.modes.arrays(), *engine._lasting()]
    ]
    return state.dump(lasting, engine.charts.keys(), state.read(engine.snapshot()).facts)


def test_a_detector_whose_layout_changed_warms_up_alone():
    """Its state is new and an event says so; every other array is as it was."""
    engine = stuck_and_bad()
    again = Engine(small.spec())
    events = again.resume(with_other_layout(engine, "input.level"))
    assert [event.data["part"] for event in events if event.kind == "engine"] == ["input.level"]
    for old, new in zip(engine._lasting(), again._lasting(), strict=True):
        if old.name == "input.level":
            assert not np.frombuffer(new.array.tobytes(), np.uint8).any()
        else:
            assert old.array.tobytes() == new.array.tobytes(), old.name


@pytest.mark.parametrize(("part", "subject"), [("input.stuck", "tag/a"), ("tag.bad", "tag/b")])
def test_a_condition_does_not_hang_on_a_detector_that_started_anew(part, subject):
    """What a forgotten state had found would never clear itself: the condition clears in time."""
    engine = stuck_and_bad()
    again = Engine(small.spec())
    again.resume(with_other_layout(engine, part))
    cleared = [
        (event.subject, event.data["change"])
        for event in again.step(block(normal(300, 5), start=120, sequence=2)).events
        if event.kind == "condition"
    ]
    assert (subject, "cleared") in cleared
    assert not again.judge.conditions.active


def test_a_tag_that_is_new_since_the_snapshot_is_not_missing_since_the_epoch():
    """Its silence counts from the resumption on, at the times of the engine."""
    full = small.spec()
    fewer = type(full)(full.tags[:2], full.sources, (), full.summary_ns)
    engine = Engine(fewer)
    engine.step(block(normal(20)[:, :2]))
    again = Engine(type(full)(full.tags, full.sources, (), full.summary_ns))
    again.resume(engine.snapshot())
    events = again.step(small.tick(30.0, 2)).events
    missing = {e.subject: e.time_ns for e in events if e.kind == "finding"}
    assert missing == {
        "tag/a": START + 24 * SECOND, "tag/b": START + 24 * SECOND, "tag/c": START + 25 * SECOND,
    }


def test_a_tag_that_was_added_while_away_is_not_missing_in_what_was_journaled_before():
    """The journal's tail can not have it: its silence counts from the tail's end."""
    full = small.spec()
    fewer = type(full)(full.tags[:2], full.sources, (), full.summary_ns)
    engine = Engine(fewer)
    engine.step(block(normal(20)[:, :2]))
    again = Engine(type(full)(full.tags, full.sources, (), full.summary_ns))
    again.resume(engine.snapshot(), START + 60 * SECOND)
    tail = block(normal(40)[:, :2], start=20, sequence=2)
    assert again.step(tail).events == ()
    found = [e for e in again.step(small.tick(70.0, 3)).events if e.kind == "finding"]
    times = {event.subject: event.time_ns for event in found}
    assert times["tag/c"] == START + 65 * SECOND


def test_conditions_and_timers_resume_in_the_same_order():
    """Many conditions due at one instant come out the same way before and after a snapshot."""
    engine = Engine(small.spec())
    values = normal(60)
    values[50:] = values[50]
    engine.step(block(values))
    again = Engine(small.spec())
    again.resume(engine.snapshot())
    assert again.judge.conditions.to_json() == engine.judge.conditions.to_json()
    rest = np.repeat(values[50:51], 200, axis=0)
    told = [e.step(block(rest, start=60, sequence=2)) for e in (engine, again)]
    assert told[0] == told[1]
    assert len({e.subject for e in told[0].events if e.kind == "condition"}) == 3


def journal() -> list:
    """What a journal holds: blocks, what people and sources said, and a boot in between."""
    values = normal(300)
    values[30:90, 0] = values[30, 0]
    values[60:, 1] += 30.0
    values[100:130, 1:] = np.nan
    said = {
        50: ("acknowledge", {"subject": "tag/a", "by": "ann", "false": True}),
        80: ("shelve", {"subject": "tag/b", "by": "ann", "for_ns": 40 * SECOND}),
        100: ("source_state", {"source": "two", "state": "failed", "reason": "gone"}),
        128: ("source_state", {"source": "two", "state": "live", "reason": ""}),
        140: ("out_of_service", {"tag": "c", "by": "bob"}),
        180: ("in_service", {"tag": "c", "by": "bob"}),
        240: ("boot", {"boot": 2}),
    }
    entries = []
    for second in range(0, 300, 10):
        for at, (kind, data) in said.items():
            if second <= at < second + 10:
                entries.append(small.command(second, kind, sequence=len(entries) + 1, **data))
        if not 210 <= second < 240:  # the agent was away
            rows = values[second : second + 10]
            entries.append(block(rows, start=second, sequence=len(entries) + 1))
    return entries


def test_a_journal_with_commands_and_a_boot_folds_the_same_from_any_snapshot():
    """What people did is part of the fold: from any entry on, the same events and state."""
    entries = journal()
    whole = Engine(small.spec())
    told, states = [], []
    for entry in entries:
        states.append(whole.snapshot())
        told.append(whole.step(entry))
    kinds = {event.kind for outcome in told for event in outcome.events}
    assert kinds == {"finding", "condition", "verdict", "source", "configuration"}
    changes = {e.data.get("change") for outcome in told for e in outcome.events}
    assert changes >= {"raised", "cleared", "acknowledged", "shelved", "unshelved"}
    for start in range(0, len(entries), 3):
        again = Engine(small.spec())
        assert again.resume(states[start]) == []
        assert [again.step(entry) for entry in entries[start:]] == told[start:]
        assert again.snapshot() == whole.snapshot()
