"""Changes that values show: what they open, and charts as they were before."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.before import APART, KEPT, Before
from agent.core.engine import Engine
from agent.core.kernels import DETECTORS, OUTPUT_CHARTS
from agent.types import Block, Command, Entry, Event, Float64
from tests.core.small import (
    SECOND,
    START,
    TAGS,
    block,
    command,
    cut,
    events_of,
    normal,
    spec,
    tell,
)

ONSET, END = 200, 260
BEFORE = 160  # where the last window ended before the onset
AGREED = {"source": "one", "how": "connected", "since_ns": 0, "contract": "c", "differences": [],
          "hold": "hold", "compatibility": "backward", "needs": ["owner"]}  # fmt: skip
APPROVED = {"change": "one-1", "side": "owner", "by": "Ada", "note": "new unit",
            "map": {"a": {"factor": 1 / 1.8, "offset": -32 / 1.8}}}  # fmt: skip


def values(rows: int, end: int = 10**6) -> Float64:
    """Tag a in degF from the onset to the end."""
    made = normal(rows, 3)
    made[ONSET : min(end, rows), 0] = made[ONSET : min(end, rows), 0] * 1.8 + 32.0
    return made


def entries(rows: int, *, approve: bool = False, end: int = 10**6) -> list[Entry]:
    """With the source under a contract, and approved at `END` where asked for."""
    made: list[Entry] = [command(0, "contract", sequence=1, **AGREED)]
    if not approve:
        return [*made, block(values(rows, end), sequence=2)]
    whole = values(rows, END)  # the edge converts from then on
    return [
        *made, block(whole[:END], sequence=2), command(END, "approve", sequence=3, **APPROVED),
        block(whole[END:], start=END, sequence=4),
    ]


def told(events: list[Event], kind: str) -> list[tuple[str, float]]:
    """(what happened, row) of every event of a kind on tag a or its source."""
    return [
        (event.data["change"], (event.time_ns - START) / SECOND) for event in events
        if event.kind == kind and event.subject in {"tag/a", "source/one"}
    ]


def test_a_unit_that_changed_opens_a_change_with_its_onset_and_the_map_that_undoes_it():
    """It is not held: the model is not trusted, and a person is asked."""
    engine = Engine(spec())
    events = events_of(engine, entries(240))
    ((what, row),) = told(events, "change")
    assert what == "detected"
    assert row <= ONSET + 30
    (change,) = engine.judge.changes.shown()
    assert (change["how"], change["hold"], change["tags"]) == ("values", "none", ["a"])
    assert abs(change["since_ns"] - (START + ONSET * SECOND)) <= 2 * SECOND
    assert change["suggested"]["a"] == {
        "factor": pytest.approx(1 / 1.8), "offset": pytest.approx(-32 / 1.8)}  # fmt: skip
    assert [one["name"] for one in change["models"]] == ["m"]
    assert engine.judge.verdicts["m"].verdict == "untrusted"


def test_what_is_left_out_of_evidence_begins_with_the_onset():
    """Not with the alarm."""
    engine = Engine(spec())
    events_of(engine, entries(240))
    (span,) = engine.retraining.watch.left_out["m"]
    assert abs(span.from_ns - (START + ONSET * SECOND)) <= 2 * SECOND
    assert span.to_ns == 0


def test_an_approved_change_leaves_no_trace_in_the_charts():
    """The condition is over at once, and charts on blocks are what they were before the onset."""
    changed, then = Engine(spec()), Engine(spec())
    made = entries(END + 1, approve=True)
    events = events_of(changed, made[:-1])
    assert told(events, "change")[-1][0] == "approved"
    assert told(events, "condition")[-1] == ("cleared", float(END))
    assert not changed.judge.upstream.found
    events_of(then, [block(normal(BEFORE, 3), sealed=START + BEFORE * SECOND)])
    for one in (d for d in DETECTORS if d.blocked):
        was, now = (engine.charts._state[one.name][0] for engine in (then, changed))
        assert now.tobytes() == was.tobytes(), one.name
    events_of(changed, made[-1:])
    later = events_of(changed, [block(normal(200, 5), start=END + 1, sequence=9)])
    assert not [event for event in later if event.kind == "condition"]


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_went_by_an_hour_is_a_change_and_what_is_usual_once_it_was_approved(hours):
    """Its tag's condition is over with the approval, and does not come again; another hour does."""
    engine = Engine(spec())

    def off(rows: Float64, start: int, sequence: int, by: int) -> Block:
        made = block(rows, start=start, sequence=sequence)
        source = made.source_ns + np.where(made.tag == 1, by * 3_600 * SECOND, 0)
        return replace(made, source_ns=source)

    rows = normal(700, 3)
    note = {key: value for key, value in APPROVED.items() if key != "map"}
    events = events_of(engine, [
        command(0, "contract", sequence=1, **AGREED), block(rows[:200], sequence=2),
        off(rows[200:260], 200, 3, hours), command(260, "approve", sequence=4, **note),
        off(rows[260:500], 260, 5, hours), off(rows[500:], 500, 6, 2 * hours),
    ])
    assert [what for what, _ in told(events, "change")] == ["detected", "approved", "detected"]
    (_, found), (_, approved), (_, again) = told(events, "change")
    assert 200 < found < 230 and approved == 260 and 500 < again < 530
    names = [
        (event.data["kind"], event.data["active"]) for event in events
        if event.kind == "condition" and event.subject == "tag/a"
        and event.data["change"] in {"raised", "renamed", "cleared"}
    ]
    assert names[-1] == ("source clock moved", True)
    assert ("source clock moved", False) in names


def test_values_that_are_as_agreed_again_end_the_change():
    """Once the condition has returned to normal."""
    engine = Engine(spec())
    events = events_of(engine, entries(1500, end=END))
    assert [what for what, _ in told(events, "change")] == ["detected", "ended"]
    assert not engine.judge.upstream.found
    assert engine.retraining.watch.left_out["m"][0].to_ns > 0


@given(
    ends=st.lists(st.integers(1, 420), max_size=6), at=st.integers(1, 420),
    approve=st.booleans(),
)  # fmt: skip
@settings(max_examples=15, deadline=None)
def test_cuts_and_a_snapshot_change_nothing(ends, at, approve):
    """Wherever blocks end, and wherever it is resumed: the same events, the same bytes."""
    plain = entries(420, approve=approve)
    pieces: list[Entry] = []
    for entry in plain:
        pieces += [entry] if isinstance(entry, Command) else cut(
            entry, [at for end in ends if (at := START + end * SECOND) > entry.arrival_ns[0]]
        )
    pieces = [replace(one, sequence=number + 1) for number, one in enumerate(pieces)]
    plain = [replace(one, sequence=number + 1) for number, one in enumerate(plain)]
    whole, cuts = tell(Engine(spec()), plain), tell(Engine(spec()), pieces)
    assert _sequenced(cuts.events) == _sequenced(whole.events)
    first = Engine(spec())
    place = min(at * len(pieces) // 420, len(pieces) - 1)
    before = tell(first, pieces[:place])
    second = Engine(spec())
    second.resume(first.snapshot())
    after = tell(second, pieces[place:])
    assert before.events + after.events == cuts.events
    assert after.state == cuts.state


def _sequenced(events: list[str]) -> list[Any]:
    """Events but for numbers of entries, which cuts change."""
    found = [json.loads(event) for event in events]
    for event in found:
        event[3].pop("in_force_from", None)
    return found


def test_the_states_that_are_kept_are_light():
    """Half a kilobyte an input: 5 MB of ten thousand."""
    before = Before(10_000, {}, SECOND)
    assert sum(item.array.nbytes for item in before.arrays()) <= 6_000_000


def test_the_newest_state_from_before_an_onset_is_given():
    """None is where all are younger; they are taken apart in time."""
    states = {one.name: np.zeros(1, one.state) for one in DETECTORS}
    outputs = {one.name: np.zeros(0, one.state) for one in OUTPUT_CHARTS}
    before = Before(1, {}, SECOND)
    for number in range(1, 5):
        for state in states.values():
            state["score"] = number
        before.take(number * APART * SECOND, states, outputs)
        before.take(number * APART * SECOND + 1, states, outputs)
    assert before.times == [(4 - place) * APART * SECOND for place in range(KEPT)]
    assert before.copy(0, 2 * APART * SECOND) == {}
    assert before.copy(0, 4 * APART * SECOND) != before.copy(0, 4 * APART * SECOND - 1)
    assert len(TAGS) == 3


def test_an_output_has_its_own_charts_kept_and_put_back():
    """Row 1 is an output, the first of them; row 0, an input, takes none of it along."""
    states = {one.name: np.zeros(2, one.state) for one in DETECTORS}
    outputs = {one.name: np.zeros(1, one.state) for one in OUTPUT_CHARTS}
    before = Before(2, {1: 0}, SECOND)
    for state in (*states.values(), *outputs.values()):
        state["score"] = 3.0
        state["active"] = 1
    before.take(SECOND, states, outputs)
    copies = [before.copy(row, SECOND) for row in (0, 1)]
    blocked = {one.name for one in OUTPUT_CHARTS if one.blocked}
    assert blocked and blocked.isdisjoint(copies[0]) and blocked <= copies[1].keys()
    for state in (*states.values(), *outputs.values()):
        state["score"] = 9.0
    before.put_back(states, outputs, 0, copies[0])
    assert all(state["score"][0] == 9.0 for state in outputs.values())
    before.put_back(states, outputs, 1, copies[1])
    assert all(outputs[name]["score"][0] == 3.0 for name in blocked)
    assert not any(state["active"].any() for state in outputs.values())
    before.forget(range(1, 2))
    again = before.copy(1, SECOND)
    assert all(not any(bytes.fromhex(again[name])) for name in blocked)
    assert before.copy(0, SECOND) == copies[0]
