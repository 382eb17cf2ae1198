"""Retraining by evidence: one request for what lasts, none for what is to be mended."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.engine import Engine
from agent.core.retraining import ENDED_SHOWN
from agent.core.retraining_criteria import Criteria
from agent.core.retraining_evidence import Held, Share
from agent.core.retraining_request import Request
from agent.core.retraining_watch import KEPT, Span, Watch
from agent.types import Event, Quality
from tests.core.small import (
    DETECTORS,
    SECOND,
    START,
    baseline,
    block,
    command,
    cut,
    events_of,
    normal,
    spec,
    state_of,
    tell,
)

MINUTE = 60 * SECOND
SHORT = Criteria(
    shifted_for_ns=3 * MINUTE, extrapolating_over_ns=8 * MINUTE, outputs_shifted_ns=3 * MINUTE,
    cool_down_ns=10 * MINUTE,
)  # fmt: skip
ROWS, BEGIN, SHIFT = 700, 100, np.array([0.0, 4.0, 4.0])


CHARTS = {name: DETECTORS[name] for name in ("range", "stuck", "level")} | {
    "range": {"middle": 0.0, "half": 9.0, "hold": 5}
}
"""Few, and seldom up at random: so that minutes are folded in no time."""


def guarded(criteria=SHORT, **more):
    """The small model, whose inputs predict each other, with criteria of minutes."""
    one = baseline(joint=True, **more)
    items = tuple(replace(item, r2=0.9, detectors=CHARTS) for item in one.modes[0].inputs)
    made = spec(trained=replace(one, modes=(replace(one.modes[0], inputs=items),)))
    model = replace(made.models[0], retraining=criteria, owner="process data")
    return replace(made, models=(model,))


def shifted(rows=ROWS, begin=BEGIN, seed=1):
    values = normal(rows, seed)
    values[begin:] += SHIFT
    return values


def sensor_drift(values):
    values[BEGIN:, 1] += np.linspace(0.0, 8.0, len(values) - BEGIN)


def sensor_bias(values):
    values[BEGIN:, 1] += 5.0


def stuck(values):
    values[BEGIN:, 1] = values[BEGIN, 1]


def unit_change(values):
    values[BEGIN:, 1] = values[BEGIN:, 1] * 1.8 + 32.0


def lost_source(values):
    values[BEGIN:, 1:] = np.nan


def requests(events):
    return [event for event in events if event.kind == "retraining"]


def test_a_lasting_process_shift_gives_exactly_one_request():
    """With what moved, how far and since when, to the owner; and none more while it is open."""
    engine = Engine(guarded())
    (event,) = requests(events_of(engine, [block(shifted(900))]))
    told = event.data
    assert (event.subject, told["change"], told["state"]) == ("model/m", "requested", "open")
    assert told["owner"] == "process data"
    assert [one["tag"] for one in told["moved"]] == ["b", "c"]
    assert all(abs(one["off"] - 4.0) < 0.3 for one in told["moved"])
    assert START + BEGIN * SECOND <= told["since_ns"] <= START + (BEGIN + 60) * SECOND
    assert event.time_ns >= told["since_ns"] + SHORT.shifted_for_ns - MINUTE
    assert not told["left_out"] and not told["until_ns"]


@pytest.mark.parametrize(
    "fault", [sensor_drift, sensor_bias, stuck, unit_change, lost_source],
    ids=lambda fault: fault.__name__,
)  # fmt: skip
def test_what_is_to_be_mended_gives_none_and_is_left_out(fault):
    """A sensor or integration fault of any length; its time is known as left out."""
    values = normal(700)
    fault(values)
    engine = Engine(guarded())
    assert not requests(events_of(engine, [block(values)]))
    left = engine.retraining.watch.left_out["m"]
    assert {span.cause for span in left} <= {"sensor", "integration"}
    assert left[-1].to_ns == 0 and left[-1].from_ns < START + 500 * SECOND


def test_normal_noise_gives_none():
    """Nothing is counted where nothing is found."""
    engine = Engine(guarded())
    assert not requests(events_of(engine, [block(normal(600, 3))]))
    assert not engine.retraining.to_json()["evidence"]["m"]["inputs"]["held_ns"]


def test_a_sensor_fault_within_a_shift_stops_the_clock_and_is_left_out():
    """The request comes later by as much, and says what was left out."""
    plain = requests(events_of(Engine(guarded()), [block(shifted())]))[0].time_ns
    values = shifted(1000)
    values[240:480, 0] = values[240, 0]
    (event,) = requests(events_of(Engine(guarded()), [block(values)]))
    assert event.time_ns >= plain + 3 * MINUTE
    (left,) = event.data["left_out"]
    assert (left["subject"], left["cause"], left["kind"]) == ("tag/a", "sensor", "stuck")
    assert left["from_ns"] < left["to_ns"] <= event.time_ns


def test_bad_samples_of_an_input_that_moved_leave_out_their_own_time_only():
    """Its condition is called bad quality for some seconds: what was before is as it was."""
    values, quality = shifted(600), np.zeros((600, 3), np.uint16)
    quality[200:204, 1] = Quality.BAD
    engine = Engine(guarded())
    (event,) = requests(events_of(engine, [block(values, quality=quality)]))
    (left,) = event.data["left_out"]
    assert (left["subject"], left["kind"]) == ("tag/b", "bad quality")
    assert START + 199 * SECOND <= left["from_ns"] <= START + 205 * SECOND
    assert left["to_ns"] <= START + 240 * SECOND


@pytest.mark.parametrize(
    ("kind", "cause", "from_s"),
    [("source lost", "integration", 100), ("missing", "integration", 100), ("stuck", "sensor", 10),
     ("unit change", "integration", 10), ("bias", "sensor", 10)],
)  # fmt: skip
@pytest.mark.parametrize("before", ["unknown", "process"])
def test_what_is_lost_says_nothing_of_the_time_before(before, kind, cause, from_s):
    """A link that is down for a moment; but a fault that is known at last was one all the time."""
    if (before, kind) == ("process", "stuck"):
        from_s = 100  # what was the process's until then is no standing sensor's
    watch = Watch()
    for second, told in ((10, ("level shift", before)), (100, (kind, cause))):
        watch.take([Event("condition", second, "tag/a", {
            "id": "one", "change": "updated", "active": True, "kind": told[0], "cause": told[1],
            "models": ["m"], "raised_ns": 10,
        })])  # fmt: skip
    (span,) = watch.left_out["m"]
    assert span.from_ns == from_s


def told(watch, subject, second, kind="level shift", cause="unknown", active=True, one=""):
    watch.take([Event("condition", second, subject, {
        "id": one or f"{subject}@1", "change": "updated", "active": active, "kind": kind,
        "cause": cause, "models": ["m"], "raised_ns": second,
    })])  # fmt: skip


@pytest.mark.parametrize(("moved", "kind", "counts"), [
    ("ab", "level shift", 0), ("abc", "level shift", 3), ("abc", "excursion", 0),
    ("abz", "drift", 0),
])  # fmt: skip
def test_inputs_of_unknown_cause_count_where_several_stay_elsewhere(moved, kind, counts):
    """Two may be two faults; what is back, or is no input, is none of them."""
    watch = Watch({"m": frozenset({"tag/a", "tag/b", "tag/c", "tag/d"})})
    for second, name in enumerate(moved, 10):
        told(watch, f"tag/{name}", second, kind)
    assert len(watch.of("m")) == len(watch.moved("m")) == counts
    assert bool(watch.doubts("m")) == (counts == 0)
    told(watch, "tag/a", 50, "bias", "sensor")  # found to be a fault: what is left are two
    assert not watch.of("m") and watch.doubts("m") >= {"tag/b"}


def test_a_named_fault_of_inputs_of_unknown_cause_ends_with_them():
    """Once fewer than several stand elsewhere, nothing of it counts any more."""
    watch = Watch({"m": frozenset({"tag/a", "tag/b", "tag/c"})})
    for name in "abc":
        told(watch, f"tag/{name}", 10)
    watch.exclude("m", "m@1", 5, 20)
    assert watch.left_out["m"][0].to_ns == 0
    told(watch, "tag/a", 30, active=False)
    assert watch.left_out["m"][0].to_ns == 30


def test_what_the_truth_bears_out_counts_alone_until_it_is_called_a_fault():
    """After a snapshot, too."""
    watch = Watch({"m": frozenset({"tag/a"})})
    told(watch, "tag/a", 10)
    watch.borne.add("tag/a@1")
    again = Watch({"m": frozenset({"tag/a"})})
    told_now = Event("condition", 11, "tag/a", {
        "id": "tag/a@1", "kind": "level shift", "cause": "unknown", "models": ["m"],
        "raised_ns": 10, "active": True, "change": "updated",
    })  # fmt: skip
    again.from_json(watch.to_json(), ["m"], {"tag/a@1": told_now}, 11)
    for one in (watch, again):
        assert [item.subject for item in one.of("m")] == ["tag/a"] and not one.doubts("m")
        told(one, "tag/a", 20, "bias", "sensor")
        assert not one.of("m") and not one.borne


@pytest.mark.parametrize(("kind", "apart_h", "spans"), [
    ("spikes", 1, 1), ("bias", 23, 1), ("spikes", 25, 2), ("missing", 1, 2), ("stuck", 1, 2),
])  # fmt: skip
def test_a_fault_that_comes_back_soon_was_there_meanwhile(kind, apart_h, spans):
    """What flickers is left out as a whole; what itself says that it is no measurement is not."""
    watch, hour = Watch(), 3600 * SECOND
    for number, begin in enumerate((1, 2 + apart_h), 1):
        cause = "integration" if kind == "missing" else "sensor"
        told(watch, "tag/a", begin * hour, kind, cause, one=f"a@{number}")
        told(watch, "tag/a", (begin + 1) * hour, kind, cause, active=False, one=f"a@{number}")
    found = watch.left_out["m"]
    assert len(found) == spans
    assert (found[0].from_ns, found[-1].to_ns) == (hour, (3 + apart_h) * hour)


def test_another_tag_s_fault_is_another():
    """Only what comes back on the same tag was there meanwhile."""
    watch, hour = Watch(), 3600 * SECOND
    for begin, name in ((1, "a"), (3, "b")):
        told(watch, f"tag/{name}", begin * hour, "spikes", "sensor")
        told(watch, f"tag/{name}", (begin + 1) * hour, "spikes", "sensor", active=False)
    assert len(watch.left_out["m"]) == 2


def test_a_shift_that_ends_gives_none():
    """As long after it as it lasted nothing of it is left."""
    values = shifted()
    values[BEGIN + 70 :] -= SHIFT
    engine = Engine(guarded())
    assert not requests(events_of(engine, [block(values)]))
    assert engine.retraining.to_json()["evidence"]["m"]["inputs"]["held_ns"] == 0


def test_a_shift_that_a_person_called_false_does_not_count():
    """Who knows the plant says so."""
    engine, values = Engine(guarded()), shifted()
    events_of(engine, [block(values[:160])])
    for number, subject in enumerate(("tag/b", "tag/c"), 2):
        said = command(160, "acknowledge", sequence=number, subject=subject, false=True, by="ann")
        engine.step(said)
    assert not requests(events_of(engine, [block(values[160:], start=160, sequence=4)]))


def test_scans_outside_of_training_count_while_the_process_moved_an_input():
    """Also where fewer inputs moved than are asked for."""
    criteria = replace(SHORT, inputs_shifted=3.0, extrapolating=0.2)
    values = normal(900)
    values[BEGIN:] += 1.2 * SHIFT
    (event,) = requests(events_of(Engine(guarded(criteria)), [block(values)]))
    assert "outside of training" in event.data["criteria"][0]


def test_scans_that_an_input_of_unknown_cause_puts_outside_do_not_count():
    """The process moved one input a little; another, which nothing predicts, reads far outside."""
    criteria = replace(SHORT, inputs_shifted=3.0, extrapolating=0.2)
    made = guarded(criteria)
    one = made.models[0].baseline
    items = tuple(replace(item, r2=0.9 if item.tag != "a" else 0.1) for item in one.modes[0].inputs)
    baseline_of = replace(one, modes=(replace(one.modes[0], inputs=items),))
    made = replace(made, models=(replace(made.models[0], baseline=baseline_of),))
    values = normal(900)
    values[BEGIN:] += [8.0, 2.5, 2.5]
    engine = Engine(made)
    assert not requests(events_of(engine, [block(values)]))
    assert "tag/a" in {one.subject for one in engine.retraining.watch.doubted.values()}
    assert engine.retraining.watch.counting


@pytest.mark.parametrize(("cause", "wanted"), [
    ("unknown", 0), ("process", 1), ("sensor", 0), ("", 1),
])  # fmt: skip
def test_losses_wait_while_nobody_knows_why_an_input_moved(cause, wanted):
    """They count once it is the process, or has cleared; never where it was the sensor."""
    engine = Engine(guarded(replace(SHORT, inputs_shifted=3.0)))
    events_of(engine, [block(normal(120))])
    data = {"id": "tag/a@1", "change": "raised", "cause": "unknown", "kind": "drift",
            "models": ["m"], "raised_ns": engine.time_ns, "active": True}
    engine.retraining.take([Event("condition", engine.time_ns, "tag/a", data)])
    engine.retraining.note_losses("m", engine.time_ns, {"text": "errors are 1.4 times as large"})
    assert not requests(events_of(engine, [block(normal(180, 2), start=120, sequence=2)]))
    for told in ([{"cause": cause}] if cause else []) + [{"active": False}] * (cause != "unknown"):
        data |= told
        engine.retraining.take([Event("condition", engine.time_ns, "tag/a", dict(data))])
    rest = block(normal(240, 3), start=300, sequence=3)
    assert len(requests(events_of(engine, [rest]))) == wanted


@pytest.mark.parametrize(("kind", "since_s", "wanted"), [
    ("bias", 0, 0), ("bias", 200, 1), ("spikes", 0, 1), ("bad quality", 0, 1),
])  # fmt: skip
def test_errors_that_had_begun_when_a_fault_was_found_are_explained_by_it(kind, since_s, wanted):
    """Also once it is over, for as long as they go on; not by what may be false, or is no value."""
    engine = Engine(guarded(SHORT))
    events_of(engine, [block(normal(120))])
    data = {"id": "tag/a@1", "change": "raised", "cause": "sensor", "kind": kind,
            "models": ["m"], "raised_ns": engine.time_ns, "active": True}
    engine.retraining.take([Event("condition", engine.time_ns, "tag/a", dict(data))])
    engine.retraining.take([Event("condition", engine.time_ns, "tag/a", data | {"active": False})])
    told = {"change": "opened", "text": "twice", "since_ns": START + since_s * SECOND}
    engine.retraining.take([Event("evidence", engine.time_ns, "model/m", told)])
    rest = block(normal(360, 3), start=120, sequence=2)
    assert len(requests(events_of(engine, [rest]))) == wanted


@pytest.mark.parametrize("cause", ["model", "process"])
def test_a_chart_of_losses_that_only_warns_opens_none(cause):
    """The bets on losses do; that it warns is no output that is off, and no input that moved."""
    engine = Engine(guarded())
    data = {"id": "model/m@1", "change": "raised", "cause": cause, "kind": "errors grew",
            "models": ["m"], "raised_ns": START, "active": True}
    engine.retraining.take([Event("condition", START, "model/m", data)])
    assert not requests(events_of(engine, [block(normal(600, 2))]))


def test_losses_open_a_request_once_no_input_moved_for_a_while():
    """What the bets on the losses say is told; where losses are not wanted, nothing."""
    for wanted in (True, False):
        engine = Engine(guarded(replace(SHORT, losses=wanted)))
        events_of(engine, [block(normal(300))])
        at_ns = engine.time_ns
        engine.retraining.note_losses("m", at_ns, {"text": "errors are 1.4 times as large"})
        assert not requests(events_of(engine, [block(normal(120, 2), start=300, sequence=2)]))
        more = requests(events_of(engine, [block(normal(120, 3), start=420, sequence=3)]))
        assert [event.data["since_ns"] for event in more] == [at_ns] * wanted
        assert all("1.4 times" in event.data["text"] for event in more)


def test_an_output_that_is_off_counts_for_the_model_that_gives_it():
    """Not for a model that it is an input of; a condition told by hand, for so long as asked."""
    for outputs, wanted in ((("c",), 1), ((), 0)):
        made = guarded()
        made = replace(made, models=(replace(made.models[0], outputs=outputs),))
        engine = Engine(made)
        data = {"id": "tag/c@1", "change": "raised", "cause": "model", "kind": "stuck",
                "models": ["m"], "raised_ns": START, "active": True}
        engine.retraining.take([Event("condition", START, "tag/c", data)])
        more = requests(events_of(engine, [block(normal(400, 2))]))
        assert [event.data["criteria"][0][:15] for event in more] == ["outputs shifted"] * wanted


def open_one(criteria=SHORT, rows=420):
    engine = Engine(guarded(criteria))
    values = shifted(2400)
    (event,) = requests(events_of(engine, [block(values[:rows])]))
    return engine, values, event.data["id"]


def decide(engine, kind, name, second, why="line 2 runs on the new catalyst", sequence=2):
    said = command(second, kind, sequence=sequence, request=name, by="ann", note=why)
    return requests(engine.step(said).events)


def test_a_person_declares_and_there_is_no_other_until_the_model_is_trained_anew():
    """Who, why, when; the data is that of the time until then."""
    engine, values, name = open_one()
    (event,) = decide(engine, "declare", name, 420)
    assert (event.data["change"], event.data["by"]) == ("declared", "ann")
    assert event.data["until_ns"] == START + 420 * SECOND
    assert event.data["decisions"][0]["note"] == "line 2 runs on the new catalyst"
    rest = block(values[420:1300], start=420, sequence=3)
    assert not requests(events_of(engine, [rest]))
    assert engine.retraining.pins() == {"m": event.data["since_ns"]}
    assert not decide(engine, "declare", name, 1300, sequence=4)  # it is so already


def test_an_equipment_fault_excludes_its_time_and_what_goes_on_of_it():
    """From where it began until nothing of it counts any more; then for the cool-down no other."""
    engine, values, name = open_one()
    (event,) = decide(engine, "close", name, 420, "exchanger fouled")
    assert event.data["state"] == "closed" and not engine.retraining.pins()
    values[600:] -= SHIFT
    events_of(engine, [block(values[420:900], start=420, sequence=3)])
    (span,) = [s for s in engine.retraining.watch.left_out["m"] if s.kind == "equipment fault"]
    assert span.from_ns == event.data["since_ns"]
    assert START + 600 * SECOND <= span.to_ns <= START + 800 * SECOND


def test_a_shift_after_the_cool_down_gives_another_whose_data_is_without_the_fault():
    """Its own time only."""
    engine, values, name = open_one()
    decide(engine, "close", name, 420, "exchanger fouled")
    values[460:] -= SHIFT
    values[900:] += SHIFT
    (event,) = requests(events_of(engine, [block(values[420:1500], start=420, sequence=3)]))
    assert event.time_ns >= START + 420 * SECOND + SHORT.cool_down_ns
    assert event.data["since_ns"] > START + 830 * SECOND and event.data["id"] != name
    assert {one["tag"] for one in event.data["moved"]} == {"b", "c"}


def test_a_request_is_withdrawn_only_where_its_evidence_has_cleared():
    """What stands is named."""
    engine, values, name = open_one()
    assert "tag/b" in engine.retraining.why_not("withdraw", name)
    assert not decide(engine, "withdraw", name, 420)
    values[420:] -= SHIFT
    events_of(engine, [block(values[420:800], start=420, sequence=3)])
    (event,) = decide(engine, "withdraw", name, 800, "grade is back", sequence=4)
    assert event.data["state"] == "withdrawn"


@pytest.mark.parametrize("data", [{"request": "m@1"}, {"request": ""}, {}])
def test_a_decision_needs_a_request_and_a_reason(data):
    """Else nothing changes."""
    engine, _, name = open_one()
    was = state_of(engine)
    assert not engine.step(command(420, "declare", sequence=2, by="ann", **data)).events
    assert not decide(engine, "declare", name, 420, "", sequence=3)
    assert state_of(engine) == was


def test_another_baseline_keeps_requests_and_begins_evidence_anew():
    """A declared one is no longer in hand: its model was trained on it."""
    engine, _, name = open_one()
    decide(engine, "declare", name, 420)
    fresh = Engine(guarded(digest="e" * 64))
    fresh.resume(engine.snapshot())
    assert list(fresh.retraining.requests) == [name] and not fresh.retraining.pins()
    assert fresh.retraining.to_json()["evidence"]["m"]["inputs"]["held_ns"] == 0
    gone = Engine(replace(guarded(), models=()))
    gone.resume(engine.snapshot())
    assert not gone.retraining.requests


def test_a_snapshot_of_an_earlier_version_is_resumed():
    """What is open counts from its raising on."""
    engine = Engine(guarded())
    events_of(engine, [block(shifted(200))])
    now = engine.retraining.watch.to_json()
    fresh = Engine(guarded())
    conditions = engine.judge.conditions.active.values()
    fresh.retraining.from_json({}, engine.time_ns, {"model": {"m"}}, conditions)
    assert fresh.retraining.watch.to_json()["counting"] == now["counting"]


def test_what_is_in_doubt_is_so_after_a_snapshot_that_does_not_say():
    """Of an earlier version, which kept what counts, and not what nobody knows."""
    watch = Watch()
    told = {"id": "tag/a@1", "cause": "unknown", "kind": "level shift", "active": True,
            "change": "raised", "models": ["m"], "raised_ns": 5}  # fmt: skip
    event = Event("condition", 5, "tag/a", told)
    watch.take([event])
    kept = watch.to_json()
    del kept["doubted"]
    fresh = Watch({"m": frozenset({"tag/a"})})
    fresh.from_json(kept, ["m"], {"tag/a@1": event}, 9)
    assert fresh.to_json() == watch.to_json() and fresh.doubts("m")


SAID = [(500, "declare"), (560, "close"), (750, "withdraw"), (750, "declare")]
WHOLE = shifted(760, 100)
WHOLE[240:270, 0] = WHOLE[240, 0]
WHOLE[600:660] -= SHIFT
EVENTFUL = block(WHOLE)


def pieced(ends, said, stops):
    """All that is told, where blocks end there, decisions fall among them, and stops happen."""
    engine, events, number = Engine(guarded()), [], 0
    blocks = cut(EVENTFUL, [*ends, *(START + second * SECOND for second, _ in said)])
    left = list(said)
    for one in blocks:
        number += 1
        told = tell(engine, [replace(one, sequence=number)])
        events += told.events
        while left and START + left[0][0] * SECOND <= one.sealed_ns:
            number += 1
            name = next(iter(engine.retraining.requests), "")
            at = (one.sealed_ns - START) / SECOND
            told = tell(engine, [command(at, left.pop(0)[1], sequence=number, request=name,
                                         by="ann", note="so it is")])
            events += told.events
        if number in stops:
            fresh = Engine(guarded())
            fresh.resume(engine.snapshot())
            engine = fresh
    return events, state_of(engine)


@functools.cache
def told_whole(which):
    """What is told where nothing is cut and nothing stops."""
    return pieced([], [SAID[place] for place in which], set())


@settings(max_examples=8, deadline=None)
@given(
    ends=st.lists(st.integers(0, 760 * 4), max_size=8),
    which=st.sets(st.integers(0, len(SAID) - 1)), stops=st.sets(st.integers(0, 12)),
)  # fmt: skip
@example([], set(range(4)), set(range(12)))
@example([4 * 400, 4 * 400 + 1, 4 * 460], {0, 1}, {1, 2, 3})
def test_cuts_and_restarts_change_nothing(ends, which, stops):
    """The same events and state bytes, with any decisions among them."""
    said = [SAID[place] for place in sorted(which)]
    times = [START + end * SECOND // 4 for end in ends]
    assert pieced(times, said, stops) == told_whole(tuple(sorted(which)))


def test_the_recording_has_requests_and_decisions():
    """Else the property above would hold of nothing."""
    told = "".join(pieced([], SAID[:2], set())[0])
    for change in ("requested", "declared", "closed"):
        assert f'"change": "{change}"' in told


def test_the_clock_may_be_set_while_one_is_open():
    """All its times move, its name stays."""
    engine, _, name = open_one()
    was = engine.retraining.to_json()
    engine._move(-(10**15))
    now = engine.retraining.requests[name]
    assert now.since_ns == was["requests"][0]["since_ns"] - 10**15
    engine._move(10**15)
    assert engine.retraining.to_json() == was


# --- parts ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 100), st.booleans()), max_size=50))
def test_held_time_is_never_more_than_asked_for_nor_less_than_nothing(windows):
    """And it has a begin exactly while there is any."""
    held = Held()
    for span, holds in windows:
        held.add(span, 300, 7, holds=holds)
        assert 0 <= held.held_ns <= 300
        assert bool(held.since_ns) == (held.held_ns > 0)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 50), st.floats(0, 1)), max_size=200))
def test_a_share_is_over_about_the_time_asked_for_in_bounded_room(windows):
    """Whatever the lengths of windows are."""
    share, start = Share(), 1
    for span, scans, part in windows:
        share.add(start, span, 1000, scans, round(scans * part))
        start += span
        assert 0.0 <= share.share <= 1.0 and len(share.parts) <= 50
    total = sum(span for span, _, _ in windows)
    assert share.span_ns >= min(total, 1000) and share.span_ns <= 1000 + 2 * 400 + 1000


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 300)), max_size=300))
def test_joined_spans_leave_out_no_less(spans):
    """However many there are: what was left out stays so, in bounded room."""
    watch = Watch()
    for number, (start, length) in enumerate(spans):
        watch._add("m", Span(start, start + length, f"c{number}", "tag/a", "stuck", "sensor"))
    assert len(watch.left_out.get("m", ())) <= KEPT
    assert all(watch.meets("m", start, start + length) for start, length in spans)


@pytest.mark.parametrize(("wanted", "needed"), [(1, 1), (2, 2), (9, 4), (0.5, 2), (0.26, 2),
                                                (0.01, 1)])  # fmt: skip
def test_a_number_or_a_share_of_the_inputs(wanted, needed):
    """Of four; at least one, at most all."""
    assert Criteria(inputs_shifted=wanted).needed(4) == needed


def test_what_is_shown_is_bounded_and_what_waits_for_somebody_is_always_in_it():
    """Every status document has it: so years of decisions do not make it large, or slow to make."""
    engine = Engine(guarded())
    for number in range(3 * ENDED_SHOWN):
        one = Request(f"m@{number}", "m", "1", "o", "d", START, START, ["c"], [])
        if number % 100 != 5:
            one.decide("closed", START, "Mara", "fouled")
        engine.retraining.requests[one.id] = one
    shown = engine.retraining.shown(START)
    assert [one["id"] for one in shown if one["state"] == "open"] == ["m@105", "m@5"]
    assert engine.retraining.in_hand("m") == ["m@5", "m@105"]
    ended = [one["id"] for one in shown if one["state"] == "closed"]
    assert ended[:2] == ["m@149", "m@148"]
    assert len(ended) == ENDED_SHOWN


def test_what_was_shown_stays_as_it_was():
    """A document that was handed out tells of its own moment, whatever is decided later."""
    one = Request("m@1", "m", "1", "o", "d", START, START, ["c"], [])
    one.decide("declared", START, "Mara", "new catalyst")
    before = one.shown([])
    one.decide("closed", START + SECOND, "Ada", "it was fouled")
    one.move(5 * SECOND)
    assert before["state"] == "declared"
    (decision,) = before["decisions"]
    assert (decision["by"], decision["time_ns"]) == ("Mara", START)
