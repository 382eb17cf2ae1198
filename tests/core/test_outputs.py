"""A fitted model's outputs in service: what is told of them, whose it is, and what it is worth."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.engine import Engine
from agent.records.replay import table_entries
from agent.types import Event, Float64
from tests.core.modelled import (
    EVERY,
    fitted,
    given,
    inputs,
    raised,
    run,
    spec_of,
    table,
    verdict,
)
from tests.core.small import START

ROWS, SINCE = 900, 400


def service(of: Float64 | None = None) -> Float64:
    """Rows as in training, of these inputs."""
    return given(inputs(ROWS, 100) if of is None else of, 101)


def of_output(events: list[Event], name: str) -> list[Event]:
    """What was told of an output's conditions."""
    return [e for e in events if e.kind == "condition" and e.subject == f"tag/{name}"]


def test_outputs_as_trained_say_nothing():
    """Two days as in training: trusted, and no condition."""
    events = run(service())
    assert raised(events) == []
    assert verdict(events) == "trusted"


def test_a_prediction_that_stands_still_is_the_models():
    """It repeats one value while its inputs move: the program is dead, and no transmitter is."""
    values = service()
    values[SINCE:, 2] = values[SINCE, 2]
    events = run(values)
    assert raised(events) == [("tag/y", "stuck", "model")]
    (first, *_) = of_output(events, "y")
    assert "look at the program that computes y" in first.data["hint"]
    assert "transmitter" not in first.data["hint"]
    assert first.time_ns < START + (SINCE + 30) * EVERY
    assert verdict(events) == "untrusted"


def test_an_output_outside_of_the_decisions_of_training_is_the_models():
    """Far out while the inputs are as trained; at once, and with the range that it had."""
    values = service()
    values[SINCE:, 2] += 30.0
    events = run(values)
    assert raised(events) == [("tag/y", "out of trained range", "model")]
    (first, *_) = of_output(events, "y")
    assert "was decided between" in first.data["text"]
    assert first.time_ns < START + (SINCE + 10) * EVERY


def test_an_output_that_shifts_within_its_range_is_seen_beside_its_inputs():
    """Half a deviation of its own: by the residual's chart, in minutes, and it stays untrusted."""
    values = service()
    values[SINCE:, 2] += 2.0
    events = run(values)
    assert raised(events) == [("tag/y", "bias", "model")]
    (first, *_) = of_output(events, "y")
    assert first.data["detectors"] == ["given_inputs@m"]
    assert "they gave" in first.data["text"]
    assert first.time_ns < START + (SINCE + 30) * EVERY
    assert verdict(events) == "untrusted"


def test_what_follows_from_an_input_is_not_the_models():
    """An input moves, and the outputs with it: one incident, begun by the input; no cause model."""
    moved = inputs(ROWS, 100)
    moved[SINCE:, 0] += 2.5
    events = run(service(moved))
    told = raised(events)
    assert told[0][0] == "tag/a"
    assert {subject for subject, _, _ in told} == {"tag/a", "tag/y", "tag/c"}
    own = [event for event in events if event.kind == "condition"]
    assert {event.data["cause"] for event in own} <= {"unknown", "process"}
    assert len({event.data["incident"] for event in own}) == 1
    assert "it follows a" in of_output(events, "y")[0].data["text"]
    assert "see to that first" in of_output(events, "y")[0].data["hint"]
    assert verdict(events) == "caution"


def test_an_output_of_a_model_that_extrapolates_is_no_alarm():
    """The input's fact tells it all; what comes of it for the output is nobody's fault."""
    moved = inputs(ROWS, 100)
    moved[SINCE:, 0] += 8.0
    events = run(service(moved))
    assert {subject for subject, _, _ in raised(events)} == {"tag/a"}
    assert verdict(events) == "caution"


def test_a_stuck_input_explains_what_its_model_gives():
    """The transmitter is to blame for the input, the model for nothing."""
    values = service()
    values[SINCE:, 0] = values[SINCE, 0]
    events = run(values)
    causes = {subject: cause for subject, _, cause in raised(events)}
    assert causes["tag/a"] == "sensor"
    assert set(causes.values()) <= {"sensor", "unknown"}


def test_classes_in_other_shares_are_told_with_their_shares():
    """A third of all decisions goes to another class: the model's, with what it was and is."""
    values = service()
    rng = np.random.default_rng(3)
    flip = (np.arange(ROWS) >= SINCE) & (rng.random(ROWS) < 0.35)
    values[flip, 3] = 2.0
    events = run(values)
    assert set(raised(events)) == {("tag/c", "class mix", "model")}
    assert "where it was" in of_output(events, "c")[0].data["text"]
    assert verdict(events) == "untrusted"


def test_a_class_that_training_never_had_is_told_as_that():
    """Not as a spike of a transmitter."""
    values = service()
    values[SINCE::4, 3] = 7.0
    events = run(values)
    assert ("tag/c", "unseen state", "model") in raised(events)
    assert "c reads 7, a class that training never had" in of_output(events, "c")[0].data["text"]


def test_outputs_that_the_record_did_not_have_stay_unwatched():
    """They are watched for their arrival alone, as before; the baseline knows the others."""
    names = ("a", "b", "y", "c", "new")
    values = np.column_stack([service(), np.full(ROWS, 5.0)])
    events = run(values, names)
    assert raised(events) == []


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_snapshot_in_the_middle_changes_nothing_that_is_told(share):
    """With a fault before and one after it."""
    values = service()
    values[200:260, 2] += 6.0
    values[SINCE:, 2] = values[SINCE, 2]
    spec = spec_of(fitted().baseline)
    entries = list(table_entries(spec, table(values), 16))
    whole, engine = Engine(spec), Engine(spec)
    expected = [event for entry in entries for event in whole.step(entry).events]
    told = []
    for number, entry in enumerate(entries):
        if number == int(share * len(entries)):
            snapshot = engine.snapshot()
            engine = Engine(spec)
            engine.resume(snapshot)
        told += engine.step(entry).events
    assert told == expected
    assert engine.snapshot() == whole.snapshot()


def test_fit_says_what_outputs_are_watched_for():
    """And of one without values in the record that it is not, and why."""
    rows = {row.tag: row for row in fitted().rows}
    assert [rows[name].role for name in "abyc"] == ["input", "input", "output", "output"]
    assert "level given its inputs" in rows["y"].watched.on
    assert "class mix" in rows["c"].watched.on
    (mode,) = fitted().baseline.modes
    assert [one.item.tag for one in mode.outputs] == ["y", "c"]
    assert mode.outputs[0].relation["r2"] > 0.9
    trial = fitted().trial
    assert trial is not None
    assert trial.incidents == 0
