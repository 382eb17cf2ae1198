"""The status document: what it says of a model's inputs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from agent.configuration.schema import Configuration
from agent.core import identity
from agent.core.spec import LabelSpec
from agent.core.steward import Steward
from agent.runtime.document import Surroundings, View, status_document
from agent.types import Command
from tests.core.small import SECOND, START, block, normal, spec
from tests.core.test_truth import LABEL, spec_of

CONFIGURATION = {
    "schema": 1,
    "gateway": {"site": "s", "name": "g"},
    "sources": {name: {"protocol": "mqtt", "host": "127.0.0.1"} for name in ("one", "two")},
    "tags": {
        tag: {"source": "one" if tag == "a" else "two", "address": f"t/{tag}"} for tag in "abc"
    },
    "models": {
        "m": {"version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": "x.json",
              "scan": "1s", "inputs": list("abc")},
    },
}  # fmt: skip


def shown(engine, events=(), summaries=()):
    """The whole document of an agent whose store holds nothing yet."""
    agent = SimpleNamespace(
        configuration=Configuration.model_validate(CONFIGURATION), engine=engine, trouble={},
        reload={}, surroundings=lambda budget: Surroundings(1, START, [], {}, budget, {}),
    )  # fmt: skip
    reader = SimpleNamespace(
        condition_marks=lambda _: [], watched_ns=lambda *_: 0, events=lambda **_: []
    )
    view = View(agent, reader)
    view.count(events, summaries)
    return view.document()


def inputs(engine):
    """Tag -> state of every input, as page and API have them."""
    around = Surroundings(1, START, [], {}, {}, {})
    configuration = Configuration.model_validate(CONFIGURATION)
    document = status_document(configuration, engine, around, history=False)
    return {item["tag"]: item["state"] for item in document["models"][0]["inputs"]}


def test_inputs_of_a_lost_source_are_not_good_although_they_raise_no_alarm_of_their_own():
    """One fault is one alarm, but five inputs without a value are not "all good"."""
    engine = Steward(spec())
    engine.step(block(normal(20), sealed=START + 20 * SECOND))
    assert inputs(engine) == {"a": "good", "b": "good", "c": "good"}
    lost = {"source": "two", "state": "failed", "reason": "refused"}
    engine.step(Command(2, START + 21 * SECOND, "source_state", lost))
    rows = normal(10, seed=2)
    rows[:, 1:] = np.nan
    engine.step(block(rows, start=21, sequence=3))
    assert inputs(engine) == {"a": "good", "b": "source lost", "c": "source lost"}
    engine.step(Command(4, START + 32 * SECOND, "source_state", lost | {"state": "live"}))
    engine.step(block(normal(15, seed=3), start=32, sequence=5))
    assert identity.source("two") in engine.judge.conditions.active  # not cleared yet
    assert inputs(engine) == {"a": "good", "b": "good", "c": "good"}


def test_scans_outside_of_training_are_told_for_models_and_inputs():
    """Now, as counts, and as a share; a scan with two inputs outside is one scan of the model."""
    engine = Steward(spec())
    rows = normal(40)
    rows[20:30, :2] = 1e3
    outcome = engine.step(block(rows[:30], sealed=START + 30 * SECOND))
    model = shown(engine, outcome.events)["models"][0]
    assert model["extrapolation"]["now"] is True
    counted = {item["tag"]: item["extrapolation"] for item in model["inputs"]}
    assert counted["c"]["extrapolating"] < counted["a"]["extrapolating"] >= 9
    assert counted["a"]["share"] == counted["a"]["extrapolating"] / counted["a"]["scans"]
    own = model["extrapolation"]["extrapolating"]
    assert counted["a"]["extrapolating"] <= own <= model["extrapolation"]["scans"]
    outcome = engine.step(block(rows[30:], start=30, sequence=2))
    model = shown(engine, outcome.events)["models"][0]
    assert model["extrapolation"]["now"] is False
    assert model["extrapolation"]["extrapolating"] >= own


def test_conditions_of_one_fault_are_one_incident_of_the_document():
    """Two inputs of a model stop together: one incident, and one more since the start."""
    engine = Steward(spec())
    rows = normal(60)
    rows[20:, :2] = 1e6
    outcome = engine.step(block(rows))
    document = shown(engine, outcome.events)
    assert len(document["conditions"]) >= 1
    assert len(document["incidents"]) == document["incidents_since_start"] == 1
    told = document["incidents"][0]
    assert set(told["conditions"]) == {c["id"] for c in document["conditions"]}
    assert told["models"] == ["m"]


def test_every_output_is_told_also_where_training_did_not_have_it_or_it_has_no_tag():
    """Nobody is to think that an output is watched like an input because it is not mentioned."""
    by_api = LabelSpec("quality", "", 60 * SECOND)
    around = Surroundings(1, START, [], {}, {}, {})
    engine = Steward(spec_of(LABEL, by_api))
    configuration = Configuration.model_validate(CONFIGURATION)
    (model,) = status_document(configuration, engine, around, history=False)["models"]
    told = {"required": True, "state": "good", "worst": None, "trained": None}
    assert model["outputs"] == [{"tag": "y", **told}, {"tag": "quality", **told}]
    assert [one["output"] for one in model["errors"]] == ["y", "quality"]
    assert model["errors"][1]["evidence"] is None  # no record says how it errs
