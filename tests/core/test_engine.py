"""The engine's invariants: judgement is a fold, whatever the cuts and the restarts."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import identity
from agent.core.engine import Engine
from agent.core.spec import EngineSpec
from agent.core.summary import merge
from agent.errors import FieldwardenError, StoreError
from agent.types import Block, Command, Quality
from tests.core.small import (
    SECOND,
    START,
    TAGS,
    baseline,
    block,
    command,
    conditions,
    cut,
    eventful,
    events_of,
    normal,
    samples,
    spec,
    state_of,
    tell,
    tick,
    verdicts,
)

EVENTFUL = eventful()


def engine_of(held: bool | tuple[str, ...]) -> Engine:
    """The small engine; where tags are `held` (report by exception), with joint charts too."""
    return Engine(spec(by_exception=held, trained=baseline(joint=bool(held))))


WHOLE = {held: tell(engine_of(held), [EVENTFUL]) for held in (False, True)}

# --- cuts -------------------------------------------------------------------------------------

instants = st.integers(START, EVENTFUL.sealed_ns) | st.sampled_from(EVENTFUL.arrival_ns.tolist())


def test_the_recording_is_eventful():
    """The recording that the properties below run over makes the engine say many things."""
    told = WHOLE[False]
    kinds = {json.loads(line)[0] for line in told.events}
    assert kinds == {"finding", "condition", "verdict"}
    changes = {json.loads(line)[3].get("change") for line in told.events} - {None}
    assert changes == {"raised", "updated", "cleared"}
    named = {json.loads(line)[3].get("kind") for line in told.events} - {None}
    assert {"stuck", "unit change", "missing", "source lost", "bad quality"} <= named
    assert len(told.summaries) == 3 * 7
    assert WHOLE[True].events != told.events


@settings(max_examples=40, deadline=None)
@given(ends=st.lists(instants, max_size=12), held=st.booleans())
def test_cutting_the_same_samples_into_other_blocks_changes_nothing(ends, held):
    """The same events, summaries and state bytes, with empty ticks, gaps and bad qualities."""
    told = tell(engine_of(held), cut(EVENTFUL, ends))
    assert told.events == WHOLE[held].events
    assert told.summaries == WHOLE[held].summaries
    assert told.state == WHOLE[held].state


@pytest.mark.parametrize("held", [False, True])
def test_a_block_a_sample_time_is_the_same_as_one_block(held):
    """The finest cut: every arrival time in a block of its own, a tick between any two."""
    ends = [int(end) for end in np.unique(EVENTFUL.arrival_ns)]
    ends += [end + SECOND // 3 for end in ends]
    told = tell(engine_of(held), cut(EVENTFUL, ends))
    assert told == WHOLE[held]


values = st.sampled_from([0.0, 0.0, 1.0, -1.5, 9.0, -30.0, 2000.0, np.nan, np.inf])
marks = st.sampled_from([0, 0, 0, 0, 1, 2, 4, 16])
rows = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(TAGS), values, marks), min_size=1, max_size=120
)


@settings(max_examples=40, deadline=None)
@given(rows=rows, ends=st.lists(st.integers(1, 300), max_size=6), held=st.booleans())
def test_cuts_change_nothing_over_any_samples(rows, ends, held):
    """Any mix of tags, values, qualities and silences, several at one arrival time."""
    second, placed = 0.0, []
    for step, tag, value, mark in rows:
        second += {0: 0.0, 8: 0.1, 9: 20.0}.get(step, 1.0)
        placed.append((second, tag, value, mark))
    whole = samples(placed, sealed=second + 100)
    told = tell(engine_of(held), [whole])
    parts = tell(engine_of(held), cut(whole, [START + s * SECOND for s in ends]))
    assert parts == told


# --- snapshots --------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(ends=st.lists(instants, min_size=1, max_size=6), held=st.booleans(), data=st.data())
def test_snapshot_and_resume_anywhere_change_nothing(ends, held, data):
    """An engine resumed from bytes goes on exactly as the one that made them."""
    blocks = cut(EVENTFUL, ends)
    at = data.draw(st.integers(0, len(blocks)))
    first = engine_of(held)
    before = tell(first, blocks[:at])
    second = engine_of(held)
    assert second.resume(first.snapshot()) == []
    assert second.snapshot() == first.snapshot()
    after = tell(second, blocks[at:])
    assert before.events + after.events == WHOLE[held].events
    assert before.summaries + after.summaries == WHOLE[held].summaries
    assert after.state == WHOLE[held].state


def test_commands_last_in_snapshots():
    """Acknowledgement, shelving with its expiry, out of service, source states and texts last."""
    engine = Engine(spec())
    values = normal(200)
    values[50:, 0] = values[50, 0]
    values[50:, 1] += 30.0
    engine.step(block(values[:100]))
    now = START + 100 * SECOND
    for sequence, (kind, detail) in enumerate([
        ("acknowledge", {"subject": "tag/a", "by": "ann"}),
        ("shelve", {"subject": "tag/b", "by": "ann", "for_ns": 30 * SECOND}),
        ("out_of_service", {"tag": "c", "by": "ann"}),
        ("source_state", {"source": "one", "state": "live", "reason": ""}),
        ("text", {"code": 7, "text": "running"}),
    ], 2):
        engine.step(Command(sequence, now, kind, detail))
    again = Engine(spec())
    again.resume(engine.snapshot())
    assert again.texts == {7: "running"}
    assert again.judge.sources.states == {"one": ("live", "", now)}
    assert again.judge.conditions.active[identity.tag("a")].state == "acknowledged"
    rest = block(values[100:], start=100, sequence=7)
    told = tell(again, [rest])
    assert told == tell(engine, [rest])
    assert [line for line in told.events if '"unshelved"' in line]
    assert "out of service" in told.state.decode("latin-1")


def test_a_changed_baseline_warms_up_its_model_alone():
    """Detector states are in units of the baseline: another digest starts anew, and says so."""
    one = spec()
    other = replace(one.models[0], name="n")
    both = EngineSpec(one.tags, one.sources, (one.models[0], other), one.summary_ns)
    engine = Engine(both)
    engine.step(block(normal(95)))
    refitted = replace(other, baseline=replace(other.baseline, digest="e" * 64))
    again = Engine(EngineSpec(one.tags, one.sources, (one.models[0], refitted), one.summary_ns))
    told = again.resume(engine.snapshot())
    assert [(event.kind, event.data) for event in told if event.kind == "engine"] == [
        ("engine", {"change": "warming up", "part": "model n"})
    ]
    for name, state in again.charts._state.items():
        assert state[:3].tobytes() == engine.charts._state[name][:3].tobytes()
        assert not np.frombuffer(state[3:].tobytes(), np.uint8).any()
    assert again.charts.scans[0].good_run == engine.charts.scans[0].good_run > 10
    assert again.charts.scans[1].good_run == 0


def test_an_input_that_joins_starts_anew_and_the_others_go_on():
    """Rows are found again by model and tag, so a changed tag list keeps what stayed."""
    whole, less = spec(), spec()
    engine = Engine(whole)
    engine.step(block(normal(95)))
    tags = (less.tags[2], less.tags[0])
    model = less.models[0]
    inputs = tuple(model.baseline.modes[0].inputs[i] for i in (2, 0))
    baseline = replace(model.baseline, modes=(replace(model.baseline.modes[0], inputs=inputs),))
    model = replace(model, inputs=("c", "a"), required=frozenset("ac"), baseline=baseline)
    again = Engine(EngineSpec(tags, less.sources, (model,), less.summary_ns))
    again.resume(engine.snapshot())
    for name, state in again.charts._state.items():
        old = engine.charts._state[name]
        assert state[0].tobytes() == old[2].tobytes()
        assert state[1].tobytes() == old[0].tobytes()


@pytest.mark.parametrize("damage", [b"", b"nothing of ours", b"FWS1\x00"])
def test_what_is_no_snapshot_is_refused_and_the_state_stays(damage):
    """Damaged bytes are an error with a name, never half a state."""
    engine = Engine(spec())
    engine.step(block(normal(20)))
    before = engine.snapshot()
    with pytest.raises(StoreError):
        engine.resume(damage)
    with pytest.raises(StoreError):
        engine.resume(before[: len(before) // 2])
    assert engine.snapshot() == before


def test_the_snapshot_of_another_engine_version_is_refused():
    """States of another engine version mean something else; the journal is folded anew."""
    engine = Engine(spec())
    data = engine.snapshot()
    (length,) = struct.unpack_from("<I", data, 4)
    header = json.loads(data[8 : 8 + length])
    header["engine"] += 1
    text = json.dumps(header).encode()
    with pytest.raises(StoreError, match="engine version"):
        engine.resume(data[:4] + struct.pack("<I", len(text)) + text + data[8 + length :])


# --- order ------------------------------------------------------------------------------------


def test_an_entry_out_of_order_is_refused_and_changes_nothing():
    """An old sequence number, or an arrival before what was judged, raises; the state stays."""
    engine = Engine(spec())
    engine.step(block(normal(20), sequence=5))
    before = engine.snapshot()
    for entry in (
        block(normal(5), start=20, sequence=5),
        block(normal(5), start=20, sequence=4),
        block(normal(5), start=19, sequence=6),
        tick(19.0, sequence=6),
        Command(6, START + 19 * SECOND, "acknowledge", {"subject": "tag/a"}),
        Command(5, START + 21 * SECOND, "acknowledge", {"subject": "tag/a"}),
    ):
        with pytest.raises(FieldwardenError, match="before"):
            engine.step(entry)
        assert engine.snapshot() == before
    engine.step(block(normal(5), start=20, sequence=6))


# --- bad samples ------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    content=st.lists(
        st.tuples(
            st.sampled_from(TAGS), st.floats(width=64),
            st.sampled_from([Quality.BAD, Quality.COMMUNICATION_LOST, Quality.NOT_A_NUMBER,
                             Quality.STALE, Quality.CONTRACT_BROKEN, Quality.MASKED]),
        ), min_size=1, max_size=20,
    )
)
def test_a_bad_sample_never_moves_a_detectors_state(content):
    """Whatever its value, a sample with a bad bit leaves every detector of every input alone."""
    engine = Engine(spec())
    engine.step(block(normal(50)))
    before = {name: state.tobytes() for name, state in engine.charts._state.items()}
    rows = [(50.1 + i / 100, *one) for i, one in enumerate(content)]
    engine.step(samples(rows, sealed=51, sequence=2))
    assert {name: state.tobytes() for name, state in engine.charts._state.items()} == before


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1001.0, -1e300])
def test_what_can_not_be_is_bad_without_being_called_so(value):
    """NaN, infinities and values out of the physical range of good quality move nothing either."""
    engine = Engine(spec())
    engine.step(block(normal(50)))
    before = {name: state.tobytes() for name, state in engine.charts._state.items()}
    engine.step(samples([(50.5, "a", value)], sealed=51, sequence=2))
    assert {name: state.tobytes() for name, state in engine.charts._state.items()} == before
    assert engine.latest()["quality"][0] in {Quality.NOT_A_NUMBER, Quality.OUT_OF_PHYSICAL}


def test_samples_of_unknown_tags_change_nothing():
    """A tag that the configuration no longer has is left out, wherever its index lies."""
    engine, other = Engine(spec()), Engine(spec())
    engine.step(block(normal(20)))
    other.step(block(normal(20)))
    strange = samples([(20.5, "a", 1.0)] * 4, sealed=21, sequence=2)
    strange = replace(strange, tag=np.array([-1, 0, 4, 2**31 - 1], np.int32))
    assert not engine.step(strange).events
    assert not other.step(tick(21, sequence=2)).events
    assert state_of(engine) == state_of(other)


# --- boot -------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", [10, 86_400])
def test_time_away_raises_no_missing_alarm(away):
    """After a boot the silence counts from the boot; evidence starts anew: ten good scans."""
    engine = Engine(spec())
    engine.step(block(normal(50)))
    back = 50 + away
    told = list(engine.step(Command(2, START + back * SECOND, "boot", {"boot": 2})).events)
    assert verdicts(told) == ["unassessable"]
    told = events_of(engine, [block(normal(60, 2), start=back, sequence=3)])
    assert not conditions(told)
    assert not [event for event in told if event.kind == "finding"]
    trusted = [event for event in told if event.kind == "verdict"]
    assert verdicts(told) == ["trusted"]
    assert START + (back + 9) * SECOND <= trusted[0].time_ns <= START + (back + 11) * SECOND


def test_a_tag_that_does_not_come_back_after_a_boot_is_missing():
    """The silence after the boot is judged like any other."""
    engine = Engine(spec())
    engine.step(block(normal(50)))
    engine.step(Command(2, START + 500 * SECOND, "boot", {"boot": 2}))
    values = normal(30)
    values[:, 1] = np.nan
    told = events_of(engine, [block(values, start=500, sequence=3)])
    assert conditions(told) == [("raised", "tag/b", "missing")]


def test_a_boot_of_a_fresh_engine_is_harmless():
    """The first entry of the first boot finds nothing to restart."""
    engine = Engine(spec())
    engine.step(Command(1, START, "boot", {"boot": 1}))
    assert verdicts(events_of(engine, [block(normal(30), sequence=2)]))[-1] == "trusted"


# --- assessment -------------------------------------------------------------------------------


def test_a_model_is_trusted_only_after_ten_good_scans():
    """Nine good scans are too few, whatever they look like; a bad one starts the count again."""
    engine = Engine(spec())
    values = normal(40)
    values[8, 2] = np.nan
    quality = np.zeros(values.shape)
    quality[8, 2] = Quality.BAD
    told = events_of(engine, [block(values, quality=quality)])
    first = next(event for event in told if event.kind == "verdict"
                 and event.data["verdict"] == "trusted")
    assert START + 18 * SECOND < first.time_ns < START + 22 * SECOND


def test_a_model_with_nothing_arriving_is_never_trusted():
    """Ticks alone give no evidence."""
    engine = Engine(spec())
    told = events_of(engine, [tick(second, sequence=second) for second in range(1, 60)])
    assert "trusted" not in verdicts(told)


# --- summaries --------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(ends=st.lists(instants, max_size=8))
def test_summaries_count_every_sample_once(ends):
    """Windows add up to what was sent, however blocks were cut; bins add up to what was good."""
    engine = Engine(spec())
    blocks = cut(EVENTFUL, ends)
    after = tick((EVENTFUL.sealed_ns - START) / SECOND + 60, sequence=len(blocks) + 1)
    made = [summary for b in [*blocks, after] for summary in engine.step(b).summaries]
    for row, tag in enumerate(TAGS):
        own = [summary for summary in made if summary["tag"] == tag]
        total = own[0]
        for other in own[1:]:
            total = merge(total, other)
        assert total["count"] == int((EVENTFUL.tag == row + 1).sum())
        assert sum(total["histogram"]) == total["good"] <= total["count"]
        assert all(s["end_ns"] % (60 * SECOND) == 0 for s in own)
        assert all(s["end_ns"] - s["start_ns"] == 60 * SECOND for s in own)


def test_a_held_value_is_evidence_in_its_windows():
    """A tag that reports changes only has summaries of the windows in which it did not change."""
    engine = Engine(spec(by_exception=True))
    told = [engine.step(samples([(0.0, tag, 1.0, 0) for tag in TAGS], sealed=1))]
    told += [engine.step(tick(second, sequence=second)) for second in range(2, 300)]
    made = [s for outcome in told for s in outcome.summaries if s["tag"] == "a"]
    # The first window is short of the time after which silence alone shows that a value stands.
    assert [s["good"] for s in made] == [10, 60, 60, 60, 60]
    # nothing else speaks, so a value is held only once a loss would have been told
    assert [s["count"] for s in made] == [10, 60, 60, 60, 60]


# --- commands ---------------------------------------------------------------------------------


def shifted(n: int = 300) -> Block:
    values = normal(n)
    values[50:, 1] += 30.0
    return block(values)


def at(sequence: int, second: float, kind: str, **data: object) -> Command:
    return command(second, kind, sequence=sequence, **data)


def test_acknowledge_is_an_event_with_its_author():
    """An acknowledged condition says who did, and whether it was false."""
    engine = Engine(spec())
    first, rest = cut(shifted(), [START + 80 * SECOND])
    engine.step(first)
    told = engine.step(at(2, 80, "acknowledge", subject="tag/b", by="ann", note="n", false=True))
    change = next(event for event in told.events if event.kind == "condition")
    assert change.subject == "tag/b"
    assert change.data["change"] == change.data["state"] == "acknowledged"
    assert (change.data["by"], change.data["note"], change.data["false"]) == ("ann", "n", True)
    engine.step(replace(rest, sequence=3))
    assert engine.judge.conditions.active[identity.tag("b")].state == "acknowledged"


def test_shelving_ends_at_its_time():
    """A shelved condition comes back by itself when its time is over, not with the next sample."""
    engine = Engine(spec())
    first, rest = cut(shifted(), [START + 80 * SECOND])
    engine.step(first)
    engine.step(at(2, 80, "shelve", subject="tag/b", by="ann", for_ns=20 * SECOND + 7))
    told = engine.step(replace(rest, sequence=3)).events
    back = [event for event in told if event.data.get("change") == "unshelved"]
    assert [event.time_ns for event in back] == [START + 100 * SECOND + 7]


def test_shelving_again_prolongs_it_and_unshelving_ends_it():
    """Only the last word counts."""
    engine = Engine(spec())
    first, rest = cut(shifted(), [START + 80 * SECOND])
    engine.step(first)
    engine.step(at(2, 80, "shelve", subject="tag/b", by="ann", for_ns=20 * SECOND))
    engine.step(at(3, 81, "shelve", subject="tag/b", by="ann", for_ns=60 * SECOND))
    middle, rest = cut(rest, [START + 130 * SECOND])
    middle = replace(middle, arrival_ns=np.maximum(middle.arrival_ns, START + 81 * SECOND))
    told = engine.step(replace(middle, sequence=4)).events
    assert "unshelved" not in {event.data.get("change") for event in told}
    told = engine.step(at(5, 130, "unshelve", subject="tag/b", by="bob")).events
    assert [e.data["by"] for e in told if e.data.get("change") == "unshelved"] == ["bob"]
    told = engine.step(replace(rest, sequence=6)).events
    assert "unshelved" not in {event.data.get("change") for event in told}


@pytest.mark.parametrize(
    "command",
    [
        at(2, 80, "acknowledge", subject="tag/a"),
        at(2, 80, "acknowledge", subject="tag/nobody"),
        at(2, 80, "acknowledge"),
        at(2, 80, "shelve", subject="", for_ns="long"),
        at(2, 80, "unshelve", subject="tag/b"),
        at(2, 80, "out_of_service", tag="nobody"),
        at(2, 80, "source_state", source="nobody", state="failed"),
        at(2, 80, "no such thing", anything=1),
    ],
)
def test_a_command_about_nothing_says_nothing(command):
    """What names no open condition, tag or source changes nothing and does not fail."""
    engine = Engine(spec())
    engine.step(cut(shifted(), [START + 80 * SECOND])[0])
    assert not engine.step(command).events


@pytest.mark.parametrize("how_long", ["soon", None, -5, float("inf"), [1]])
def test_shelving_without_a_sensible_time_ends_at_once(how_long):
    """No condition stays shelved for ever because a duration could not be read."""
    engine = Engine(spec())
    first, rest = cut(shifted(), [START + 80 * SECOND])
    engine.step(first)
    told = list(engine.step(at(2, 80, "shelve", subject="tag/b", for_ns=how_long)).events)
    told += engine.step(replace(rest, sequence=3)).events
    changes = [event.data["change"] for event in told if event.kind == "condition"]
    assert changes[:2] == ["shelved", "unshelved"]


def test_out_of_service_makes_unassessable_and_raises_nothing():
    """A tag taken out of service withholds assessment with its reason, and alarms nobody."""
    engine = Engine(spec())
    first, second, third = cut(shifted(), [START + 40 * SECOND, START + 80 * SECOND])
    engine.step(first)
    told = engine.step(at(2, 40, "out_of_service", tag="b", by="ann")).events
    assert [(e.kind, e.subject) for e in told] == [
        ("configuration", "tag/b"), ("verdict", "model/m")
    ]
    assert told[0].data == {"change": "out_of_service", "by": "ann"}
    assert told[1].data["verdict"] == "unassessable"
    assert told[1].data["reasons"][0]["kind"] == "out of service"
    assert not conditions(engine.step(replace(second, sequence=3)).events)
    told = engine.step(at(4, 80, "in_service", tag="b", by="ann")).events
    told += engine.step(replace(third, sequence=5)).events
    assert conditions(told)[0][:2] == ("raised", "tag/b")


def test_a_source_that_says_it_failed_is_lost_at_once_and_comes_back():
    """The state of the connection makes one condition of the source, named with its reason."""
    engine = Engine(spec())
    engine.step(block(normal(50)))
    told = list(engine.step(
        at(2, 50, "source_state", source="two", state="failed", reason="no route")).events)
    assert [e.kind for e in told] == ["source", "condition", "verdict"]
    assert told[1].subject == "source/two"
    assert "no route" in told[1].data["text"]
    assert told[2].data["verdict"] == "unassessable"
    values = normal(90, 3)
    values[:20, 1:] = np.nan
    more = block(values, start=50, sequence=3)
    away, back = cut(more, [START + 70 * SECOND])
    told = list(engine.step(replace(away, sequence=3)).events)
    told += engine.step(at(4, 70, "source_state", source="two", state="live")).events
    told += engine.step(replace(back, sequence=5)).events
    assert [c for c in conditions(told) if c[0] == "raised"] == []
    assert ("cleared", "source/two", "source lost") in conditions(told)
    assert verdicts(told)[-1] == "trusted"


def test_a_source_that_comes_back_tells_the_gap():
    """What was never received is an event of its source: from, to, reason."""
    engine = Engine(spec())
    engine.step(at(1, 0, "source_state", source="two", state="failed", reason="no route"))
    gap = {"from_ns": START, "to_ns": START + 20 * SECOND, "reason": "no route"}
    told = engine.step(at(2, 20, "source_state", source="two", state="live", gap=gap)).events
    assert [(e.subject, dict(e.data)) for e in told if e.kind == "gap"] == [("source/two", gap)]
    assert [e.kind for e in told[:2]] == ["gap", "source"], "what was missed, then that it is back"



def test_connecting_is_no_loss():
    """A source that connects for the first time is told, and raises nothing."""
    engine = Engine(spec())
    told = engine.step(at(1, 0, "source_state", source="one", state="connecting")).events
    assert [e.kind for e in told if e.kind != "verdict"] == ["source"]
