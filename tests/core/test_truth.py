"""Late truth in the engine: predictions, labels in any order, their losses and what these say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.conversions import Change
from agent.core.engine import Engine
from agent.core.expected_loss import Errors, ExpectedLoss, Limit, LossReference
from agent.core.label_watch import LabelReference
from agent.core.loss import LossSums
from agent.core.retraining_criteria import Criteria
from agent.core.spec import EngineSpec, LabelSpec, ModelSpec, TagSpec
from agent.core.summary import merge
from agent.types import Block, Event
from tests.core.small import (
    SECOND,
    START,
    TAGS,
    baseline,
    command,
    conditions,
    cut,
    events_of,
    state_of,
    tell,
    verdicts,
)

WITHIN = 60
EVERY = 5
"""Seconds between two labels."""

REFERENCE = LossReference(
    labels=2000, scans_per_label=float(EVERY), clip=6.0, risk=1.0, risk_error=0.02, deviation=1.0,
    peak=1.0,
    correlation=0.5, slope=0.5, memory=1.0, block=1, alone=Limit(1.0, 0.0, 4.29),
    powered=Limit(0.7, 0.0, 4.5), arl=1000.0,
    expected=ExpectedLoss(
        tuple(0.25 * n for n in range(1, 8)), (-1.0, 0.0, 1.0),
        tuple(tuple(0.6 + 0.1 * row for _ in range(4)) for row in range(8)),
    ),
    errors=Errors((10.0, 100.0), (-0.5, -0.2), (0.8, 0.3), 0.04),
)  # fmt: skip
LABEL = LabelSpec("y", "lab", WITHIN * SECOND)


def spec_of(
    *labels: LabelSpec, reference: LossReference | None = REFERENCE, version: str = "1",
    digest: str = "d" * 64,
) -> EngineSpec:
    labels = labels or (LABEL,)
    losses = {"absolute of y": reference} if reference is not None else {}
    model = ModelSpec(
        "m", version, SECOND, TAGS, frozenset(TAGS),
        replace(baseline(digest=digest), losses=losses), outputs=("y",), labels=labels,
        retraining=Criteria(outputs_shifted_ns=120 * SECOND),
    )
    tags = tuple(
        TagSpec(row + 1, tag, "one", interval_ns=SECOND, max_silence_ns=5 * SECOND)
        for row, tag in enumerate((*TAGS, "y"))
    )
    lab = TagSpec(5, "lab", "lims", interval_ns=SECOND, max_silence_ns=1 << 60)
    return EngineSpec((*tags, lab), ("one", "lims"), (model,), summary_ns=60 * SECOND)


def block_of(
    rows: list[tuple[int, int, int, float]], until_s: float, sequence: int = 1
) -> Block:
    """Samples of (arrival, source time, tag, value)."""
    rows = sorted(rows, key=lambda row: (row[0], row[2]))
    arrival, source, tag, value = (np.array(column) for column in zip(*rows, strict=True))
    return Block(
        sequence, START + round(until_s * SECOND), tag.astype(np.int32), source.astype(np.int64),
        arrival.astype(np.int64), value.astype(np.float64), np.zeros(len(rows), np.uint16),
    )


def plant(
    seconds: int, *, off: dict[range, float] | None = None, delay: int = 20, seed: int = 1,
    stuck: range = range(0), silent: range = range(0),
) -> Block:
    """Inputs and a prediction each second, and labels `delay` seconds late, errors of size 1.

    `off`: how much larger errors are of predictions of these seconds; `silent`: without labels.
    """
    rng = np.random.default_rng(seed)
    inputs, y = rng.standard_normal((seconds, 3)), rng.standard_normal(seconds)
    error = np.abs(1.0 + 0.3 * rng.standard_normal(seconds))
    rows: list[tuple[int, int, int, float]] = []
    for second in range(seconds):
        now = START + second * SECOND
        for column in range(3):
            held = stuck.start if column == 0 and second in stuck else second
            rows.append((now, now, column + 1, inputs[held, column]))
        rows.append((now + SECOND // 4, now + SECOND // 4, 4, y[second]))
        if second % EVERY == 0 and second + delay < seconds and second not in silent:
            more = sum(size for span, size in (off or {}).items() if second in span)
            truth = y[second] + error[second] + more
            came = now + delay * SECOND + SECOND // 3
            rows.append((came, now + SECOND // 2, 5, truth))
    return block_of(rows, seconds)


def state_json(engine: Engine) -> dict:
    return engine.truth.pairs[0][0].state.to_json()


def test_a_model_that_errs_more_is_untrusted_with_cause_model_until_it_no_longer_does():
    """The condition has figures, and is gone some labels after errors are as trained again."""
    engine = Engine(spec_of())
    events = events_of(engine, [plant(900, off={range(200, 400): 2.0})])
    assert conditions(events) == [
        ("raised", "model/m", "errors grew"), ("cleared", "model/m", "errors grew")
    ]
    raised = next(e for e in events if e.kind == "condition")
    assert raised.data["cause"] == "model"
    assert raised.data["severity"] == "high"
    assert raised.data["detectors"] == ["loss of y@m"]
    assert START + 220 * SECOND < raised.time_ns < START + 300 * SECOND
    for part in ("y errs more", "mean loss (absolute) is", "labels, of ", "from training: 1;"):
        assert part in raised.data["text"]
    assert verdicts(events)[-3:] == ["trusted", "untrusted", "trusted"]


def test_a_model_that_errs_as_trained_raises_nothing():
    """Nor does one of which no record says how it erred."""
    assert conditions(events_of(Engine(spec_of()), [plant(1500)])) == []
    events = events_of(Engine(spec_of(reference=None)), [plant(600, off={range(600): 9.0})])
    assert conditions(events) == []


def test_losses_that_stay_high_open_a_request_once_with_evidence():
    """Bets open it; what opened it stands in an event."""
    engine = Engine(spec_of())
    events = events_of(engine, [plant(3000, off={range(100, 3000): 4.0})])
    told = [e for e in events if e.kind == "evidence" and e.data["change"] == "opened"]
    assert told
    first = told[0]
    assert first.subject == "model/m"
    assert first.data["expected"] == 1.0
    assert first.data["mean_loss"] > 3.0
    assert first.data["labels"] > 5
    assert not first.data["inputs_moved"]
    (request,) = [e for e in events if e.kind == "retraining"]
    raised = next(e for e in events if e.kind == "condition")
    assert raised.time_ns == request.data["since_ns"] <= first.time_ns <= request.time_ns
    assert first.data["text"] in request.data["text"]


def test_labels_of_predictions_on_a_stuck_sensor_are_left_out():
    """They tell of the sensor: no condition of the model, and their losses are summed apart."""
    fault = range(200, 500)
    engine = Engine(spec_of())
    outcome = [engine.step(plant(900, off={fault: 5.0}, stuck=fault))]
    events = [event for one in outcome for event in one.events]
    assert {(c[1], c[2]) for c in conditions(events)} == {("tag/a", "stuck")}
    sums = LossSums("absolute", 6.0)
    for one in outcome[0].summaries:
        if one["tag"] == "absolute of y by lab":
            sums = sums.merge(LossSums.from_json(one["losses_left_out"]))
    assert sums.count > 40
    assert sums.mean > 4.0


def test_truths_that_repeat_one_value_are_no_measurements():
    """A laboratory that is stuck says nothing of the model: its losses are left out."""
    stuck = block_of([
        row if row[2] != 5 or row[0] < START + 300 * SECOND else (*row[:3], 2.5)
        for row in rows_of(plant(1500))
    ], 1500)  # fmt: skip
    for watched, wanted in ((True, 0), (False, 1)):
        stream = {"lab": LabelReference(-6.0, 6.0, 1, 9, EVERY * SECOND)} if watched else {}
        made = spec_of()
        model = replace(made.models[0], baseline=replace(made.models[0].baseline, labels=stream))
        engine = Engine(replace(made, models=(model,)))
        events = events_of(engine, [stuck])
        assert len([e for e in events if e.kind == "retraining"]) == wanted
    assert state_json(engine)["spoilt"] == 0


def test_truths_in_another_unit_say_nothing_of_the_model():
    """From a moment on they come a thousand times as large: told, left out, and no request."""
    other = block_of([
        row if row[2] != 5 or row[0] < START + 300 * SECOND else (*row[:3], 1000.0 * row[3])
        for row in rows_of(plant(1500))
    ], 1500)  # fmt: skip
    for thought_of, wanted in (((Change("", "1000", 1000.0, 0.0),), 0), ((), 1)):
        stream = {"lab": LabelReference(-6.0, 6.0, 1, 9, EVERY * SECOND)}
        made = replace(spec_of(), changes=thought_of)
        model = replace(made.models[0], baseline=replace(made.models[0].baseline, labels=stream))
        engine = Engine(replace(made, models=(model,)))
        events = events_of(engine, [other])
        assert len([e for e in events if e.kind == "retraining"]) == wanted
        odd = [e.data["text"] for e in events if e.data.get("change") == "labels odd"]
        assert any("another unit: 1000 times" in text for text in odd) == bool(thought_of)


@pytest.mark.parametrize("value", [-1000.0, 1e308])
@pytest.mark.parametrize(("every", "wanted"), [(4, 0), (1, 1)])
def test_truths_that_stand_off_now_and_then_say_nothing_of_the_model(value, every, wanted):
    """One in four is no measurement: told, left out, no request; all of them are the plant's."""
    since = [row for row in rows_of(plant(1500)) if row[2] == 5 and row[0] > START + 300 * SECOND]
    absurd = dict.fromkeys(since[::every])
    odd = block_of([
        (*row[:3], value * (1.0 + 1e-3 * row[3])) if row in absurd else row
        for row in rows_of(plant(1500))
    ], 1500)  # fmt: skip
    stream = {"lab": LabelReference(-6.0, 6.0, 1, 9, EVERY * SECOND)}
    made = spec_of()
    model = replace(made.models[0], baseline=replace(made.models[0].baseline, labels=stream))
    engine = Engine(replace(made, models=(model,)))
    events = events_of(engine, [odd])
    assert len([e for e in events if e.kind == "retraining"]) == wanted
    assert (state_json(engine)["spoilt"] == len(absurd)) == (wanted == 0)
    told = [e.data["text"] for e in events if e.data.get("change") == "labels odd"]
    assert any("single ones are left out" in text for text in told)


def test_classes_that_stay_the_same_count():
    """A process that gives good products for long; only numbers that do not move are stuck."""
    stream = {"lab": LabelReference(1.0, 2.0, 2, 0, SECOND)}
    rows = [(t, t, 4, 1.0) for t in range(1, 41)]
    rows += [(t + 0.5, t + 0.2, 5, 1.0) for t in range(1, 41)]
    for loss, left_out in (("brier", 0), ("absolute", 36)):
        label = replace(LABEL, loss=loss, classes=("good", "bad") if loss == "brier" else ())
        made = spec_of(label)
        model = replace(made.models[0], baseline=replace(made.models[0].baseline, labels=stream))
        engine = Engine(replace(made, models=(model,)))
        for code, text in ((1, "good"), (2, "bad")):
            engine.step(command(0, "text", sequence=code, code=code, text=text))
        engine.step(block_of(timed([*calm(45), *rows]), 45, 3))
        state = engine.truth.pairs[0][0].state
        assert (state.labels, state.spoilt) == (40 - left_out, left_out)


def test_a_truth_that_is_delivered_again_and_again_repeats_nothing():
    """Whoever sends the latest result each minute until there is another: none is left out."""
    told = []
    for number in range(2):
        told += [(15 + 10 * number, "predictions", item(id=f"{number}", value=7.0))]
        told += [
            (16 + 10 * number + n, "labels", item(id=f"{number}", value=7.5)) for n in range(8)
        ]
    stream = {"lab": LabelReference(-9.0, 9.0, 1, 1, SECOND)}
    engine = by_commands(*told, labels=stream)
    state = engine.truth.pairs[0][0].state
    assert (state.labels, state.spoilt, state.repeated, state.same) == (2, 0, 14, 2)
    assert state.odd == []


def rows_of(block: Block) -> list[tuple[int, int, int, float]]:
    columns = (block.arrival_ns, block.source_ns, block.tag, block.value)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_labels_that_stop_are_told_once_and_so_is_that_they_are_back():
    """"Not assessed since" the time that the last label was of."""
    engine = Engine(spec_of())
    silent = range(300, 700)
    events = [e for e in events_of(engine, [plant(1000, silent=silent)]) if e.kind == "evidence"]
    assert [event.data["change"] for event in events] == ["not assessed", "assessed again"]
    limit_s = (WITHIN * SECOND + 3 * EVERY * SECOND) / SECOND
    last_s = 295 + 20 + 1 / 3
    assert (events[0].time_ns - START) / SECOND == pytest.approx(last_s + limit_s)
    assert events[0].data["since_ns"] == START + 295 * SECOND + SECOND // 2
    assert "y is not assessed since 20" in events[0].data["text"]


def some(rows: list[tuple[float, float, int, float]], until_s: float = 300.0) -> Engine:
    """An engine after predictions and labels of (arrival, source time, tag, value), in seconds."""
    engine = Engine(spec_of())
    engine.step(block_of(timed([*calm(int(until_s)), *rows]), until_s))
    return engine


def calm(seconds: int) -> list[tuple[float, float, int, float]]:
    """Inputs as trained, each second."""
    values = np.random.default_rng(7).standard_normal((seconds, 3))
    return [(s, s, column + 1, values[s, column]) for s in range(seconds) for column in range(3)]


def timed(rows: list[tuple[float, float, int, float]]) -> list[tuple[int, int, int, float]]:
    return [(START + round(a * SECOND), START + round(s * SECOND), t, v) for a, s, t, v in rows]


def test_a_label_is_matched_by_the_time_it_is_of():
    """The last prediction made by then, whatever came since; labels in any order."""
    made = [(t, t, 4, 10.0 * t) for t in range(1, 30)]
    engine = some([*made, (40, 12.5, 5, 121.0), (41, 3.0, 5, 30.0), (42, 5.9, 5, 53.0)])
    state = engine.truth.pairs[0][0].state
    assert (state.labels, state.total) == (3, 1.0 + 0.0 + 3.0)


def test_the_same_label_counts_once_and_another_of_its_time_corrects_it():
    """Sums are then of the corrected losses; the chart has the first one."""
    made = [(t, t, 4, 10.0 * t) for t in range(1, 30)]
    engine = some([*made, (40, 12.5, 5, 121.0), (41, 12.5, 5, 121.0), (42, 12.5, 5, 125.0)])
    pair = engine.truth.pairs[0][0]
    state = pair.state
    assert (state.labels, state.repeated, state.corrected, state.total) == (1, 1, 1, 5.0)
    assert pair.chart is not None
    assert pair.chart.state.labels == 1


def test_a_label_that_comes_too_late_or_of_no_prediction_is_counted_as_that():
    """`within` after what it is of; and not before there was a prediction."""
    made = [(t, t, 4, 10.0 * t) for t in range(1, 30)]
    engine = some([*made, (12 + WITHIN, 12, 5, 1.0), (12.1 + WITHIN, 12, 5, 1.0), (90, 60, 5, 1.0)])
    state = engine.truth.pairs[0][0].state
    assert (state.labels, state.late, len(state.early)) == (1, 1, 1)


def test_a_label_before_its_prediction_waits_for_it():
    """A source that delivers from its buffer: the truth was there first."""
    engine = some([(20, 12.5, 5, 7.0), (30, 12, 4, 5.0)])
    state = engine.truth.pairs[0][0].state
    assert (state.labels, state.total, state.early) == (1, 2.0, [])


def test_predictions_are_thinned_and_the_oldest_forgotten():
    """Memory is bounded, whatever comes; labels of what is still remembered find it."""
    engine = some([(t / 50, t / 50, 4, float(t)) for t in range(1, 5000)], 120.0)
    memory = engine.truth.pairs[0][0].memory
    assert 3000 <= memory.count <= 4096
    times = memory.rows["when_ns"][: memory.count]
    assert (np.diff(times) >= WITHIN * SECOND // 4096).all()


def test_summaries_add_up_to_all_losses():
    """Windows merge to the bit; a correction counts in the window in which it comes."""
    engine = Engine(spec_of())
    outcome = engine.step(plant(900))
    end = engine.step(block_of([(START + 960 * SECOND, START + 960 * SECOND, 1, 0.0)], 961, 2))
    windows = [one for one in (*outcome.summaries, *end.summaries) if "losses" in one]
    whole = windows[0]
    for one in windows[1:]:
        whole = merge(whole, json.loads(json.dumps(one)))
    sums = LossSums.from_json(whole["losses"])
    assert len(windows) > 10
    assert sums.count == state_json(engine)["labels"]
    assert sums.mean == pytest.approx(state_json(engine)["total"] / sums.count)


def test_the_estimated_loss_needs_no_label_and_has_an_interval():
    """Of a day's scans; none where no record says how the model errs."""
    engine = Engine(spec_of())
    engine.step(plant(100, silent=range(100)))
    found = engine.truth.pairs[0][0].estimate()
    assert found is not None
    estimate, scans = found
    assert 90 <= scans <= 100
    assert estimate.low < estimate.value < estimate.high
    assert 0.6 < estimate.value < 1.4


EVENTFUL = plant(
    420, off={range(100, 180): 3.0, range(240, 300): 4.0}, stuck=range(220, 260),
    silent=range(310, 400),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 420 * 8 - 1), max_size=12))
def test_cutting_blocks_changes_nothing(ends):
    """The same samples in other blocks: the same events, summaries and state bytes."""
    whole = tell(Engine(spec_of()), [EVENTFUL])
    parts = cut(EVENTFUL, [START + end * SECOND // 8 for end in ends])
    told = tell(Engine(spec_of()), parts)
    assert (told.events, told.summaries) == (whole.events, whole.summaries)
    assert told.state == whole.state


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 419))
def test_snapshot_and_resume_change_nothing(second):
    """A start from any snapshot goes on as if there had been none."""
    first, *rest = cut(EVENTFUL, [START + second * SECOND])
    straight, begun = Engine(spec_of()), Engine(spec_of())
    straight.step(first)
    begun.step(first)
    resumed = Engine(spec_of())
    resumed.resume(begun.snapshot())
    assert resumed.snapshot() == begun.snapshot()
    for one in rest:
        assert events_of(resumed, [one]) == events_of(straight, [one])
    assert state_of(resumed) == state_of(straight)


def shifted(block: Block, shift_ns: int, since_s: int) -> Block:
    move = np.where(block.arrival_ns >= START + since_s * SECOND, shift_ns, 0)
    sealed = block.sealed_ns + shift_ns
    own = np.where(block.source_ns == block.arrival_ns, move, 0)
    return replace(block, sealed_ns=sealed, arrival_ns=block.arrival_ns + move,
                   source_ns=block.source_ns + own)


@pytest.mark.parametrize("shift_s", [-3600, 7200])
def test_a_clock_that_is_set_anew_changes_no_span(shift_s):
    """Labels without a time of their own: events come as late after each other as they would."""
    whole = plant(420, off={range(100, 300): 3.0}, delay=0)
    whole = replace(whole, source_ns=whole.arrival_ns.copy())
    first, rest = cut(whole, [START + 150 * SECOND])
    straight = Engine(spec_of())
    expected = events_of(straight, [first, rest])
    stepped = Engine(spec_of())
    events = events_of(stepped, [first])
    at = START + 150 * SECOND
    told = command(150 + shift_s, "clock", sequence=2, before_ns=at, quality="synchronised",
                   boot_id="b", offset_ns=0, shift_ns=shift_s * SECOND)
    found = events_of(stepped, [told])
    assert [event.kind for event in found] == ["clock"]
    after = events_of(stepped, [replace(shifted(rest, shift_s * SECOND, 150), sequence=3)])
    events += after

    def timed(events: list[Event], since_ns: int, shift_ns: int) -> list[tuple[str, str, int]]:
        """Kind, change and time of what is told, as it would be without the step."""
        return [
            (e.kind, e.data.get("change", ""), e.time_ns - shift_ns * (place >= since_ns))
            for place, e in enumerate(events) if e.kind in {"condition", "evidence"}
        ]

    before = len(events) - len(after)
    assert timed(events, before, shift_s * SECOND) == timed(expected, 0, 0)
    assert conditions(events) == conditions(expected) != []


def test_what_does_not_mean_the_same_any_more_starts_anew_and_the_rest_goes_on():
    """Another version, tolerance or label: its truths begin anew, and a condition of them ends."""
    whole = plant(420, off={range(100, 420): 3.0})
    begun = Engine(spec_of())
    assert conditions(events_of(begun, [whole])) == [("raised", "model/m", "errors grew")]
    later = block_of([(START + 600 * SECOND, START + 600 * SECOND, 1, 0.0)], 601, 2)
    for other in (spec_of(version="2"), spec_of(replace(LABEL, tolerance=0.5)),
                  spec_of(digest="e" * 64)):
        resumed = Engine(other)
        resumed.resume(begun.snapshot())
        assert resumed.truth.pairs[0][0].state.labels == 0
        assert resumed.truth.pairs[0][0].memory.count == 0
        changes = conditions(events_of(resumed, [later]))
        assert ("cleared", "model/m", "errors grew") in changes
    same = Engine(spec_of())
    same.resume(begun.snapshot())
    assert same.truth.pairs[0][0].state == begun.truth.pairs[0][0].state


def test_classes_have_a_confusion():
    """Tags of texts: the decision counts, by name."""
    label = replace(LABEL, loss="brier", classes=("good", "bad"))
    engine = Engine(spec_of(label))
    for code, text in ((1, "good"), (2, "bad")):
        engine.step(command(0, "text", sequence=code, code=code, text=text))
    rows = [(t, t, 4, 1.0 + t % 2) for t in range(1, 21)]
    rows += [(t + 0.5, t + 0.2, 5, 1.0 if t < 15 else 2.0) for t in range(1, 21)]
    rows += [(25.0, 2.2, 5, 2.0)]  # corrected
    engine.step(block_of(timed([*calm(30), *rows]), 30, 3))
    sums = engine.truth.pairs[0][0].state.sums
    assert {key: count for key, count in sums.confusion.items() if count} == {
        ("good", "good"): 6, ("good", "bad"): 7, ("bad", "good"): 4, ("bad", "bad"): 3,
    }  # fmt: skip
    assert sums.mean == 2.0 * 11 / 20


def item(**more: object) -> dict[str, object]:
    """A prediction or a label as the door hands it over."""
    return {"id": "", "time_ns": 0, "output": "y", "value": 0.0, "class": "", "scores": {},
            "version": "", **more}  # fmt: skip


def by_commands(
    *told: tuple[float, str, dict[str, object]], label: LabelSpec = LABEL,
    labels: Mapping[str, LabelReference] | None = None,
) -> Engine:
    """An engine after commands of (second, kind, item), its inputs as trained."""
    spec = spec_of(label)
    model = replace(
        spec.models[0], baseline=replace(spec.models[0].baseline, labels=dict(labels or {}))
    )
    engine = Engine(replace(spec, models=(model,)))
    end = int(told[-1][0]) + 2
    sequence = 1
    blocks = cut(block_of(timed(calm(end)), end), [START + round(s * SECOND) for s, _, _ in told])
    for number, one in enumerate(blocks):
        engine.step(replace(one, sequence=sequence))
        sequence += 1
        for _, kind, what in told[number : number + 1]:
            engine.step(replace(
                command(told[number][0], kind, model="m", by="ann", items=[what]),
                sequence=sequence,
            ))  # fmt: skip
            sequence += 1
    return engine


def test_predictions_and_labels_come_by_commands_and_are_matched_by_id():
    """In whatever order; another version is scored beside, on the same labels."""
    engine = by_commands(
        (15, "predictions", item(id="one", value=3.0)),
        (15.2, "predictions", item(id="one", value=4.5, version="2")),
        (16, "predictions", item(id="two", value=9.0)),
        (30, "labels", item(id="two", value=11.0)),
        (31, "labels", item(id="one", value=4.0)),
        (32, "labels", item(id="one", value=4.0)),
        (33, "labels", item(id="never", value=4.0)),
        (40, "labels", item(time_ns=START + 15 * SECOND + SECOND // 2, value=4.0)),
    )
    state = engine.truth.pairs[0][0].state
    assert (state.labels, state.repeated, len(state.early)) == (3, 1, 1)
    assert state.total == 2.0 + 1.0 + 1.0
    found = state.rivals["2"]
    assert (found["labels"], found["total"], found["own"]) == (2, 1.0, 2.0)
    resumed = Engine(spec_of())
    resumed.resume(engine.snapshot())
    assert resumed.truth.pairs[0][0].state == state


@pytest.mark.parametrize(("tags", "counted"), [
    (("lab", ""), [0, 1]), (("", ""), [1, 1]), (("lab", "lab"), [1, 1]),
])  # fmt: skip
def test_an_output_may_have_several_truths_and_its_predictions_are_of_all(tags, counted):
    """What the API tells is of those that no tag brings, where there are any, else of all."""
    losses = ("absolute", "squared")
    spec = spec_of(*(replace(LABEL, tag=tag, loss=how)
                     for tag, how in zip(tags, losses, strict=True)))  # fmt: skip
    engine = Engine(spec)
    engine.step(block_of(timed(calm(20)), 20))
    for number, (kind, value) in enumerate((("predictions", 3.0), ("labels", 5.0)), 2):
        told = [item(id="one", value=value)]
        engine.step(command(20, kind, sequence=number, model="m", by="ann", items=told))
    states = [pair.state for pair in engine.truth.pairs[0]]
    assert [state.labels for state in states] == counted
    assert [state.predictions > 0 for state in states] == [True, True]
    assert [state.total for state in states if state.labels] == [
        size for size, count in zip((2.0, 4.0), counted, strict=True) if count
    ]


def test_scores_of_classes_count_by_what_the_true_class_had():
    """The Brier score is over all classes; a class that no text is known of goes by its code."""
    label = replace(LABEL, loss="brier", classes=("good", "bad"))
    engine = by_commands(
        (15.5, "predictions", item(id="one", value=7.0, scores={"7": 0.75, "8": 0.25})),
        (30, "labels", item(id="one", value=7.0)), label=label,
    )  # fmt: skip
    state = engine.truth.pairs[0][0].state
    assert (state.labels, state.total) == (1, 2 * 0.25**2)


def test_scores_that_give_no_loss_are_counted_and_poison_nothing():
    """Neither the mean of all, nor that of a version beside, whatever the truth is said to be."""
    label = replace(LABEL, loss="brier", classes=("good", "bad"))
    broken = {"7": 1e200, "8": 1.0}
    told = [
        (15.5, "predictions", item(id="one", value=7.0, scores=broken)),
        (15.7, "predictions", item(id="one", value=7.0, scores={"7": 1.0}, version="2")),
        (16.5, "predictions", item(id="two", value=7.0, scores={"7": 1.0})),
    ]
    labels = [("one", 7.0), ("one", 8.0), ("two", 7.0)]
    told += [(30 + n, "labels", item(id=i, value=v)) for n, (i, v) in enumerate(labels)]
    state = by_commands(*told, label=label).truth.pairs[0][0].state
    assert (state.labels, state.total, state.corrected) == (1, 0.0, 1)
    assert (state.sums.count, state.sums.unusable) == (1, 1)
    assert (state.rivals["2"]["labels"], state.rivals["2"]["own"]) == (0, 0.0)


def test_a_flood_of_versions_is_bounded():
    """Four versions are scored beside, and no more."""
    engine = by_commands(*(
        (15 + n, "predictions", item(id=f"{n}", version=f"v{n}")) for n in range(8)
    ))  # fmt: skip
    assert sorted(engine.truth.pairs[0][0].state.rivals) == ["v0", "v1", "v2", "v3"]
