"""Conditions of control loops in the engine: where they stand, what they are called, what lasts."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from agent.core.baseline import Baseline, InputBaseline, ModeBaseline, to_document
from agent.core.baseline_form import fault_of
from agent.core.engine import Engine
from agent.core.identity import FindingKey
from agent.core.spec import EngineSpec, ModelSpec, TagSpec
from agent.core.verdict import EXTRAPOLATING
from agent.fit.loops import fit_loops
from agent.types import Block
from tests.core.small import DETECTORS, SECOND, START
from tests.fit.loop_plant import NAMES, PARTS, Faults, record, standard, training

ONSET, END = 600, 1000


@pytest.fixture(scope="module")
def spec():
    train = training()
    centre, scale = standard(train)
    noise = np.diff(train, axis=0).std(axis=0) / np.sqrt(2.0)
    kept = {name: DETECTORS[name] for name in ("range", "rate")}
    inputs = tuple(
        InputBaseline(
            tag=name, unit="", centre=float(centre[j]), scale=float(scale[j]),
            noise=float(noise[j]), interval_ns=SECOND, tau=20.0, n_eff=800.0,
            trained=(float(train[:, j].min()), float(train[:, j].max())), edges=(),
            longest_gap=0, r2=0.0, provisional=False, detectors=kept,
        )
        for j, name in enumerate(NAMES)
    )  # fmt: skip
    joint = {"loops": fit_loops(train, NAMES, PARTS, centre, scale)}
    mode = ModeBaseline("", None, inputs, joint)
    trained = Baseline("m", "1", SECOND, (mode,), False, "", 0, digest="d" * 64)
    tags = tuple(
        TagSpec(j + 1, name, "plant", loop=PARTS[name].loop, loop_part=PARTS[name].part)
        for j, name in enumerate(NAMES)
    )
    model = ModelSpec("m", "1", SECOND, NAMES, frozenset(NAMES), trained)
    return EngineSpec(tags, ("plant",), (model,))


def blocks(values, length):
    """The rows in blocks of so many, one row a second."""
    for number, start in enumerate(range(0, len(values), length)):
        part = values[start : start + length]
        n, d = part.shape
        times = np.repeat(START + (start + np.arange(n)) * SECOND, d)
        yield Block(
            number + 1, int(times[-1]) + SECOND, np.tile(np.arange(1, d + 1, dtype=np.int32), n),
            times, times, part.ravel(), np.zeros(n * d, np.uint16),
        )  # fmt: skip


def conditions(spec, values, *, length=60, resumed_at=-1):
    """The events of conditions; `resumed_at`: after so many blocks goes on from a snapshot."""
    engine, events = Engine(spec), []
    for number, block in enumerate(blocks(values, length)):
        if number == resumed_at:
            state, engine = engine.snapshot(), Engine(spec)
            engine.resume(state)
        events += engine.step(block).events
    return [event for event in events if event.kind == "condition"], engine


@pytest.fixture(scope="module")
def biased():
    """A transmitter's bias for 400 s, then it is right again."""
    return record(2400, 31, Faults(bias={"A": lambda since: -3.0 if since < END - ONSET else 0.0}),
                  ONSET)  # fmt: skip


def test_fault_of_a_loop_stands_at_its_measurement(spec, biased):
    """What charts find of the output is a sign of the loop: the incident is its pv's, `sensor`."""
    told, _ = conditions(spec, biased[:END])
    assert {event.subject for event in told} <= {"tag/A.PV", "tag/B.PV"}  # B is fed by A
    assert {event.data["incident"] for event in told} == {told[0].data["id"]}
    first = [event for event in told if event.subject == told[0].subject]
    assert (first[-1].subject, first[-1].data["cause"]) == ("tag/A.PV", "sensor")
    told_of = first[-1].data["text"]
    assert re.match(r"A\.PV is off by about \d[\d.]*( \+- [\d.]+)?: the controller of", told_of)
    assert re.search(r", since 2023-11-14T22:\d\d:\d\dZ$", told_of)


def test_what_is_found_of_an_output_stands_at_its_measurement(spec):
    """A stuck valve: the output runs away, and its chart's finding is told of the loop's pv."""
    faults = Faults(stuck_valve=frozenset("A"))
    told, _ = conditions(spec, record(ONSET + 400, 34, faults, ONSET))
    found = {key: event.subject for event in told for key in event.data["detectors"]}
    assert found["range of A.OUT@m"] == "tag/A.PV"
    assert "tag/A.OUT" not in found.values()
    of_effect = [e.data["text"] for e in told if e.data["kind"] == "output without effect"]
    assert of_effect
    figures = r"never before: it reads [\d.]+, its set point is [\d.]+, since "
    assert all(re.search(figures, text) for text in of_effect)


def swings(since):
    """A load that makes its loop hunt, from 500 s after the onset on."""
    return 12.0 * np.sin(2.0 * np.pi * (since - 500.0) / 160.0) if since > 500.0 else 0.0


def test_what_a_leap_showed_is_not_refuted_by_what_comes_later(spec):
    """A reading leaps once; long after, its loop swings: the transmitter is the one to mend."""
    biased = Faults(bias={"A": lambda _: -3.0}, load={"A": swings})
    for faults, cause in ((biased, "sensor"), (Faults(load={"A": swings}), "process")):
        told, _ = conditions(spec, record(ONSET + 1600, 35, faults, ONSET))
        of_loop = [event.data for event in told if event.subject == "tag/A.PV"]
        assert of_loop[-1]["cause"] == cause, [(one["kind"], one["cause"]) for one in of_loop]


def test_condition_clears_when_all_that_was_found_is_gone(spec, biased):
    """The way back is another leap of the reading; then nothing stays open."""
    told, engine = conditions(spec, biased)
    assert told[-1].data["change"] == "cleared"
    assert not [one for one in engine.judge.conditions.active.values() if one.findings]


@pytest.mark.parametrize("length", [7, 450])
def test_cutting_blocks_and_resuming_change_nothing(spec, biased, length):
    """The same conditions with the same names at the same times."""
    whole, _ = conditions(spec, biased)
    cut, _ = conditions(spec, biased, length=length, resumed_at=(ONSET + 100) // length)
    assert cut == whole


def test_moved_set_point_is_told_at_the_set_point(spec):
    """Where anything is told: out of the trained range alone is a fact, and no alarm."""
    faults = Faults(set_point={"A": lambda since: min(since / 60.0, 1.0) * 3.0})
    told, engine = conditions(spec, record(ONSET + 300, 32, faults, ONSET))
    assert {(event.subject, event.data["cause"]) for event in told} <= {("tag/A.SP", "process")}
    reasons = engine.judge.verdicts["m"].reasons
    outside = {str(reason.subject) for reason in reasons if reason.kind == EXTRAPOLATING}
    assert {"tag/A.SP", "tag/A.PV"} <= outside


def test_outputs_set_points_and_modes_are_never_sensors(spec):
    """Whatever happens to them."""
    for part in ("SP", "OUT", "MODE"):
        column = NAMES.index(f"A.{part}")
        values = record(ONSET + 200, 33)
        values[ONSET:, column] = values[ONSET, column] + np.where(np.arange(200) % 50 < 3, 400, 0)
        told, _ = conditions(spec, values)
        assert all(event.data["cause"] != "sensor" for event in told)


def test_keys_of_findings_are_read_as_they_are_written():
    """Also with a tag, whose name may hold anything."""
    for key in (
        FindingKey("level"), FindingKey("level", "m"), FindingKey("level", "m", "A.OUT"),
        FindingKey("level", "m", "a of b@c"),
    ):  # fmt: skip
        assert FindingKey.parse(str(key)) == key


def test_damaged_loops_of_a_baseline_are_refused(spec):
    """Before anything is judged by them."""
    document = json.loads(json.dumps(to_document(spec.models[0].baseline)))
    assert fault_of(document) == ""
    loops = document["modes"][0]["joint"]["loops"]
    for name, wrong in (("answers", [99]), ("gains", [[0.0]]), ("leap", [-1.0] * len(NAMES)),
                        ("covariance", "x"), ("follows", [0.5])):  # fmt: skip
        document["modes"][0]["joint"]["loops"] = loops | {name: wrong}
        assert "loops" in fault_of(document)
