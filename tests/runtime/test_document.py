"""The status document: what it says of a model's inputs."""

from __future__ import annotations

import numpy as np

from agent.configuration.schema import Configuration
from agent.core import identity
from agent.core.engine import Engine
from agent.runtime.document import Surroundings, status_document
from agent.types import Command
from tests.core.small import SECOND, START, block, normal, spec

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


def inputs(engine):
    """Tag -> state of every input, as page and API have them."""
    around = Surroundings(1, START, [], {}, {}, {})
    configuration = Configuration.model_validate(CONFIGURATION)
    document = status_document(configuration, engine, around, history=False)
    return {item["tag"]: item["state"] for item in document["models"][0]["inputs"]}


def test_inputs_of_a_lost_source_are_not_good_although_they_raise_no_alarm_of_their_own():
    """One fault is one alarm, but five inputs without a value are not "all good"."""
    engine = Engine(spec())
    engine.step(block(normal(20), sealed=START + 20 * SECOND))
    assert inputs(engine) == {"a": "good", "b": "good", "c": "good"}
    lost = {"source": "two", "state": "failed", "reason": "refused"}
    engine.step(Command(2, START + 21 * SECOND, "source_state", lost))
    rows = normal(10, seed=2)
    rows[:, 1:] = np.nan
    engine.step(block(rows, start=21, sequence=3))
    assert inputs(engine) == {"a": "good", "b": "source lost", "c": "source lost"}
    engine.step(Command(4, START + 32 * SECOND, "source_state", lost | {"state": "live"}))
    engine.step(block(normal(30, seed=3), start=32, sequence=5))
    assert identity.source("two") in engine.judge.conditions.active  # not cleared yet
    assert inputs(engine) == {"a": "good", "b": "good", "c": "good"}
