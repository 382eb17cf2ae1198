"""Engine time is set anew: nothing that counts spans notices, and times are right from then on."""

from __future__ import annotations

import dataclasses
import json
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.baseline import ModeBaseline
from agent.core.condition import MOMENTS, Condition
from agent.core.engine import Engine
from agent.core.kernels.base import SAMPLE_CLOCK
from agent.core.spec import EngineSpec, TagSpec
from agent.types import Block, Command, TimeQuality
from tests.core import small
from tests.core.small import SECOND, START, command, eventful, samples, spec, tick

YEAR = 365 * 86_400 * SECOND
SHIFTS = st.sampled_from([-20 * YEAR, -3600 * SECOND, -SECOND, SECOND, 1200 * SECOND, 14 * YEAR])


def moved(entry, shift_ns, sequence, *, own_clock=False):
    """The same entry as it comes after the clock was set by so much."""
    if isinstance(entry, Command):
        return Command(sequence, entry.sealed_ns + shift_ns, entry.kind, entry.data)
    source = entry.source_ns if own_clock else entry.source_ns + shift_ns
    return Block(sequence, entry.sealed_ns + shift_ns, entry.tag, source,
                 entry.arrival_ns + shift_ns, entry.value, entry.quality)


def clock_set(at_ns, shift_ns, sequence, **more):
    """The wall clock was set at `at_ns` of the time before."""
    data = {"shift_ns": shift_ns, "away_ns": 0, "quality": "synchronised", "boot_id": "k",
            "offset_ns": 7, **more}
    return Command(sequence, at_ns + shift_ns + data["away_ns"], "clock", data)


LATER = ("id", "incident", "raised_ns", "reasons")
"""What of an event holds times of then: ids are made of them, texts say since when."""


def heard(engine, entries, shift_ns=0):
    """What people are told, with times as they were before the shift; ids are as they were told."""
    told = []
    for entry in entries:
        for event in engine.step(entry).events:
            if event.kind == "clock":
                continue
            data = json.dumps({k: v for k, v in event.data.items() if k not in LATER})
            data = re.sub(r", since [-0-9T:]+Z", "", data)  # whole seconds; the state is compared
            told.append([event.kind, event.time_ns - shift_ns, event.subject, data])
    return told


def without_names(engine):
    """Its whole state but for what people know it by: the timeline, ids, and the last number.

    Of a sample clock only the steps count, wherever it began.
    """
    items = engine._lasting()
    clock = next(i.array["clock_ns"] for i in items if "clock_ns" in i.moments).copy()
    for item in items:
        for name, moment in item.moments.items():
            if moment is SAMPLE_CLOCK:
                item.array[name][item.array[name] != 0] -= clock[item.array[name] != 0]
    engine.sequence, engine.timeline = 0, type(engine.timeline)()
    engine.judge.conditions.turns = 0
    incidents = engine.judge.conditions.incidents
    number = {one["id"]: str(place) for place, one in enumerate(incidents.to_json())}
    incidents.from_json([one | {"id": number[one["id"]]} for one in incidents.to_json()])
    for condition in engine.judge.conditions.active.values():
        condition.occurrence, condition.incident = "", number.get(condition.incident, "")
    for verdict in engine.judge.verdicts.values():
        object.__setattr__(verdict, "reasons", ())
    watch = engine.retraining.watch
    watch.counting = dict(enumerate(watch.counting.values()))
    for span in (span for spans in watch.left_out.values() for span in spans):
        span.of = ""
    return engine.snapshot()


@given(SHIFTS, st.integers(1, 380), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_a_clock_that_is_set_changes_nothing_but_times(shift_ns, second, own_clock, by_exception):
    """Wherever it is set, and by how much: the same is told at the same spans, the state is equal.

    It finds every field of the state that holds a time and does not move.
    """
    whole = eventful(400)
    source_ns = whole.source_ns - 5 * SECOND - 3 if own_clock else whole.arrival_ns
    whole = dataclasses.replace(whole, source_ns=source_ns)
    first, second_half = small.cut(whole, [START + second * SECOND])
    made = spec(by_exception=("a",) if by_exception else False, summary_ns=1 << 62)
    plain, set_anew = Engine(made), Engine(made)
    expected = heard(plain, [first, second_half])
    at_ns = first.sealed_ns
    told = heard(set_anew, [first])
    told += heard(set_anew, [clock_set(at_ns, shift_ns, 2)], shift_ns)
    told += heard(set_anew, [moved(second_half, shift_ns, 3, own_clock=own_clock)], shift_ns)
    assert told == expected
    assert set_anew.time_quality is TimeQuality.SYNCHRONISED
    ids = {c.id for c in set_anew.judge.conditions.active.values() if c.raised}
    assert len(ids) == sum(c.raised for c in set_anew.judge.conditions.active.values())
    set_anew._move(-shift_ns)
    windows = plain._window_ns, plain._window_end_ns
    set_anew._window_ns, set_anew._window_end_ns = windows
    np.testing.assert_allclose(lags_taken_out(set_anew), lags_taken_out(plain), atol=1e-5)
    assert without_names(set_anew) == without_names(plain)


def lags_taken_out(engine):
    """What is a float of a lag (in s), which a shift by years rounds; it is 0 in the state then."""
    taken = []
    for item in engine._lasting():
        lags = [name for name, moment in item.moments.items() if moment.lag]
        for name in lags:
            taken.append(item.array[name] / SECOND)
            item.array[name] = 0.0
        if lags:
            taken.append(item.array["score"].copy())
            item.array["score"] = 0.0
    return np.array(taken)


def test_every_field_that_holds_a_time_says_how_it_moves():
    """By name: whatever ends in `_ns` in an array that lasts, or in a condition, is declared."""
    engine = Engine(spec())
    for item in [*engine.charts.modes.arrays(), *engine._lasting()]:
        names = {name for name in item.array.dtype.names or () if name.endswith("_ns")}
        assert names <= set(item.moments), item.name
        assert set(item.moments) <= set(item.array.dtype.names or ()), item.name
    spans = {"interval_ns", "off_delay_ns", "stay_ns"}
    times = {f.name for f in dataclasses.fields(Condition) if f.name.endswith("_ns")}
    assert times == spans | set(MOMENTS)


def test_an_open_condition_keeps_its_name_and_its_delay():
    """It was raised before the clock was set: its id stays, its time is right, it clears."""
    engine = Engine(spec())
    values = small.normal(200)
    values[20:60, 0] = 40.0
    told = [e for e in engine.step(small.block(values[:100])).events if e.kind == "condition"]
    raised = next(e for e in told if e.data["change"] == "raised")
    engine.step(clock_set(START + 100 * SECOND, 3600 * SECOND, 2))
    (active,) = engine.judge.conditions.active.values()
    assert active.id == raised.data["id"]
    assert active.raised_ns == raised.time_ns + 3600 * SECOND
    rest = moved(small.block(values[100:], start=100), 3600 * SECOND, 3)
    cleared = [e for e in engine.step(rest).events if e.data.get("change") == "cleared"]
    assert [e.data["id"] for e in cleared] == [raised.data["id"]]


def test_the_same_time_twice_gives_two_names():
    """The clock goes back to when the first alarm was raised: the second has another id."""
    engine = Engine(spec())
    values = small.normal(300)
    values[20:60, 0] = 40.0
    first = engine.step(small.block(values)).events
    engine.step(clock_set(START + 300 * SECOND, -300 * SECOND, 2))
    again = engine.step(dataclasses.replace(small.block(values), sequence=3)).events
    ids = [e.data["id"] for e in (*first, *again) if e.data.get("change") == "raised"]
    assert len(ids) == 2
    assert len(set(ids)) == 2


@pytest.mark.parametrize("away_ns", [None, 30 * SECOND])
@pytest.mark.parametrize("wall_s", [-20 * YEAR // SECOND, -86_400, 3600, 14 * YEAR // SECOND])
def test_a_boot_begins_at_the_wall_clock(wall_s, away_ns):
    """Before or after where the journal ended; what was open is moved, no silence is made up."""
    engine = Engine(spec())
    values = small.normal(60)
    values[20:, 0] = 40.0
    engine.step(small.block(values))
    (active,) = engine.judge.conditions.active.values()
    ago = engine.time_ns - active.raised_ns
    at = START + 60 * SECOND + wall_s * SECOND
    data = {"boot": 2, "away_ns": away_ns, "quality": "unsynchronised"}
    events = engine.step(Command(2, at, "boot", data)).events
    assert engine.time_ns == at
    if away_ns is not None:
        assert engine.time_ns - active.raised_ns == ago + away_ns
    else:
        assert engine.time_ns - active.raised_ns == ago + max(wall_s, 0) * SECOND
    assert all(e.time_ns <= at for e in events)
    rest = moved(small.block(values[:40], start=60), at - START - 60 * SECOND, 3)
    told = small.conditions(engine.step(rest).events)
    assert [one for one in told if "missing" in one] == []


def test_a_wrong_clock_does_not_tell_how_long_nobody_watched():
    """1970, then set, another kernel: the gap is not known, and an alarm's age leaves it out."""
    engine = Engine(spec())
    values = small.normal(60)
    values[20:, 0] = 40.0
    engine.step(command(-1, "boot", sequence=1, quality="implausible"))
    engine.step(dataclasses.replace(small.block(values), sequence=2))
    (active,) = engine.judge.conditions.active.values()
    ago = engine.time_ns - active.raised_ns
    at = START + 20 * YEAR
    told = engine.step(Command(3, at, "boot", {"away_ns": None, "quality": "synchronised"})).events
    assert at - active.raised_ns == ago
    assert [e.data["shift_ns"] for e in told if e.kind == "clock"] == [20 * YEAR - 60 * SECOND]


@pytest.mark.parametrize("wrong_s", [-1200, 86_400])
def test_a_clock_that_was_wrong_before_a_start_of_the_machine_makes_no_data_late(wrong_s):
    """The devices' clocks were right all the time; how far off the gateway's was, nobody told."""
    engine = Engine(spec())
    rows = small.block(small.normal(100))
    at = START + wrong_s * SECOND
    engine.step(Command(1, at, "boot", {"boot": 1, "quality": "unsynchronised"}))
    engine.step(moved(rows, wrong_s * SECOND, 2, own_clock=True))
    later = START + 500_000 * SECOND
    engine.step(Command(3, later, "boot", {"boot": 2, "quality": "synchronised"}))
    told = small.conditions(engine.step(moved(rows, later - START, 4)).events)
    assert [one for one in told if "late data" in one] == []


@pytest.mark.parametrize("scan_ns", [SECOND // 10, SECOND])
@pytest.mark.parametrize("gap_ns", [60 * SECOND, YEAR, 56 * YEAR])
@pytest.mark.parametrize("how", ["boot", "tick", "sample", "away", "in one block"])
def test_a_gap_of_any_length_costs_the_same(how, gap_ns, scan_ns):
    """At a start and within a run: well under a second, and nothing but silence is told of it."""
    made = spec()
    model = dataclasses.replace(made.models[0], scan_ns=scan_ns)
    engine = Engine(dataclasses.replace(made, models=(model,)))
    rows = small.block(small.normal(30))
    engine.step(rows)
    end = engine.time_ns
    began = time.process_time()
    match how:
        case "boot":
            engine.step(Command(2, end + gap_ns, "boot", {"boot": 2}))
        case "away":
            engine.step(clock_set(end, 0, 2, away_ns=gap_ns))
        case "tick":
            engine.step(tick((end + gap_ns - START) / SECOND, 2))
        case "sample":
            engine.step(moved(rows, end + gap_ns - START, 2))
        case "in one block":
            late = moved(rows, gap_ns + 60 * SECOND, 2)
            soon = moved(rows, 30 * SECOND, 2)
            both = [np.concatenate([getattr(soon, name), getattr(late, name)])
                    for name in ("tag", "source_ns", "arrival_ns", "value", "quality")]
            engine.step(Block(2, late.sealed_ns, *both))
    assert time.process_time() - began < 0.5
    assert engine.time_ns >= end + gap_ns
    engine.step(moved(rows, engine.time_ns - START, 3))
    assert np.diff([0, engine.charts.scans[0].count]) > 0


@given(st.integers(30, 4000), st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_scans_that_are_skipped_are_as_if_they_had_been_made(silence, pieces):
    """A long silence folded at once, and second by second, leaves the same state and events."""
    whole = small.block(small.normal(40))
    made = spec(trained=small.baseline(joint=True))
    at_once, slowly = Engine(made), Engine(made)
    end = (40 + silence) * SECOND + START
    one = small.tell(at_once, [whole, Block(2, end, *_nothing())])
    cuts = [40 * SECOND + START + silence * SECOND * k // pieces for k in range(1, pieces)]
    many = small.tell(slowly, [whole, *(Block(2 + k, at, *_nothing()) for k, at in enumerate(cuts)),
                               Block(99, end, *_nothing())])
    assert one == many


def _nothing():
    empty = samples([])
    return empty.tag, empty.source_ns, empty.arrival_ns, empty.value, empty.quality


def following_spec(window_s):
    """The small model, following a mode tag that is trained in two modes, masked for 3 s."""
    made = spec(summary_ns=window_s * SECOND)
    mode = TagSpec(len(made.tags) + 1, "mode", "one", "", interval_ns=SECOND,
                   max_silence_ns=5 * SECOND, by_exception=False)
    inputs = made.models[0].baseline.modes[0].inputs
    trained = dataclasses.replace(
        made.models[0].baseline, mask_ns=3 * SECOND,
        modes=tuple(ModeBaseline(str(code), code, inputs, {}) for code in (1.0, 2.0)),
    )
    model = dataclasses.replace(made.models[0], baseline=trained, mode_tag="mode")
    return EngineSpec((*made.tags, mode), made.sources, (model,), made.summary_ns)


TIMES = st.integers(0, 12)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("sample"), TIMES, st.sampled_from("abm"),
                  st.sampled_from([0.0, 1.0, 2.0, 7.0])),
        st.tuples(st.sampled_from(["acknowledge", "boot", "clock", "tick"]), TIMES,
                  st.just(""), st.sampled_from([0.0, -5.0, 5.0])),
    ),
    max_size=30,
)


@given(STEPS, st.sampled_from([1, 5, 60]))
@settings(max_examples=150, deadline=None)
def test_the_fold_always_moves_on(steps, window_s):
    """Equal times everywhere, of samples, modes, windows and commands: each entry is folded.

    Several values of a mode tag at one arrival time once made an endless loop.
    """
    made = following_spec(window_s)
    engine = Engine(made)
    engine.step(command(0, "boot", sequence=1))
    sequence, turns = 1, 0
    advance = engine._advance

    def counted(*arguments):
        nonlocal turns
        turns += 1
        assert turns < 200, "the fold does not move on"
        return advance(*arguments)

    engine._advance = counted
    tags = {"a": 1, "b": 2, "m": len(made.tags)}
    for kind, ahead, tag, value in steps:
        now, turns, sequence = engine.time_ns, 0, sequence + 1
        at = now + (ahead // 4) * SECOND
        if kind == "sample":
            values = [value, value + 1.0, value]
            engine.step(Block(sequence, at + 1, np.full(3, tags[tag], np.int32),
                              np.full(3, at), np.full(3, at), np.array(values),
                              np.zeros(3, np.uint16)))
        elif kind == "tick":
            engine.step(Block(sequence, at, *_nothing()))
        elif kind == "clock":
            engine.step(clock_set(at, round(value) * SECOND, sequence))
        else:
            shift = round(value) * SECOND if kind == "boot" else 0
            engine.step(Command(sequence, at + shift, kind, {"subject": "tag/a"}))
        assert engine.sequence == sequence
        assert engine._window_end_ns > engine.time_ns or not engine.charts.counted()
