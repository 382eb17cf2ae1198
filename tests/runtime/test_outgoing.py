"""What central is told of models that come and go."""

from __future__ import annotations

import json
from types import SimpleNamespace

import jsonschema
import pytest

from agent.central.receipt import Receipt
from agent.central.subscriber import Central
from agent.core.engine import Engine
from agent.core.loss import LossSums
from agent.forward import Identity
from agent.forward.json_payload import schema, summary_messages, wire
from agent.runtime.errors_told import IN_SHORT_MOST, errors_of, in_short
from agent.runtime.outgoing import RETELL, Outgoing
from agent.store.reader import OutboxRow
from tests.core.small import command
from tests.core.test_truth import plant, spec_of


def engine():
    return SimpleNamespace(
        time_ns=10**18, time_quality="synchronised", judge=SimpleNamespace(verdicts={}, since={})
    )


def configured(*models):
    upstream = SimpleNamespace(format="json")
    return SimpleNamespace(upstream=upstream, models=dict.fromkeys(models))


def test_a_model_that_is_gone_is_told_once_and_does_not_expire():
    """Renamed or removed, before a start or by a reload: its last verdict is taken back, once."""
    outgoing = Outgoing(configured("new"), told=["old", "new"])
    (message,) = outgoing.verdicts(engine(), set())
    data = json.loads(message.payload)
    assert (message.topic, message.retain, message.expiry_s) == ("verdict/old", True, None)
    assert (data["verdict"], data["reasons"][0]["text"]) == ("unassessable", "no longer watched")
    assert message.time_quality == "synchronised"
    assert outgoing.told == {"new"}
    assert outgoing.verdicts(engine(), set()) == []
    outgoing.configuration = configured()
    assert [one.topic for one in outgoing.verdicts(engine(), set())] == ["verdict/new"]


def erring(seconds=1500):
    """A model that errs more than it was trained to, its events and its summaries."""
    made = Engine(spec_of())
    outcome = made.step(plant(seconds, off={range(100, seconds): 4.0}))
    return made, outcome


def owned():
    owner = SimpleNamespace(team="process data", contact="data@plant.example")
    model = SimpleNamespace(version="1", owner=owner)
    return SimpleNamespace(upstream=SimpleNamespace(format="json"), models={"m": model})


def test_a_verdict_carries_errors_in_short_and_the_request_that_is_open():
    """As the schema has it; losses beside training, the estimate marked as one, and what to do."""
    made, _ = erring()
    (message,) = Outgoing(owned()).verdicts(made, set())
    row = OutboxRow(1, 1, "verdict", 1, message.topic, message.payload, message.time_ns,
                    message.retain, message.expiry_s, [])  # fmt: skip
    document = json.loads(wire(row, Identity("north", "gw", "00000001"), made.time_ns).payload)
    jsonschema.Draft202012Validator(schema("verdict")).validate(document)
    (error,) = document["data"]["errors"]
    assert error["raised"] and error["recent_loss"] > 3 * error["expected_loss"]
    assert (error["output"], error["recent_labels"], error["not_assessed"]) == ("y", 20, "")
    assert error["estimated"].keys() == {"loss", "low", "high"}
    (request,) = made.retraining.requests
    assert document["data"]["retraining"] == [request]


def test_what_a_person_decided_goes_out_with_the_next_verdict():
    """A request that is closed is not named any more; its event tells the verdict anew."""
    made, outcome = erring()
    assert {"retraining", "evidence"} <= {e.kind for e in outcome.events} & RETELL
    (name,) = made.retraining.requests
    told = {"request": name, "by": "Mara", "note": "fouled"}
    made.step(command(1500.0, "close", sequence=2, **told))
    (message,) = Outgoing(owned()).verdicts(made, set())
    assert json.loads(message.payload)["retraining"] == []


def test_errors_in_short_are_bounded_with_what_is_wrong_first():
    """A model of very many outputs does not make a message that no broker takes."""
    made, _ = erring(200)
    (one,) = errors_of(made, 0)
    many = [{**one, "output": f"o{i}", "raised": False} for i in range(500)]
    told = in_short([*many, {**one, "raised": True}])
    assert len(told) == IN_SHORT_MOST
    assert [error["raised"] for error in told[:2]] == [True, False]


def test_losses_in_summaries_add_up_at_central():
    """Through messages: the sums that central has are those of the gateway."""
    made, outcome = erring(900)
    central = Central()
    messages = summary_messages([{**one, "entry": 1} for one in outcome.summaries])
    for number, message in enumerate(messages, 1):
        row = OutboxRow(number, 1, "summary", number, "summary", message.payload,
                        message.time_ns, False, None, [])  # fmt: skip
        payload = wire(row, Identity("north", "gw", "00000001"), made.time_ns).payload
        jsonschema.Draft202012Validator(schema("summary")).validate(json.loads(payload))
        central.take(payload, Receipt(0))
    whole = central.windows.merged("m", "absolute of y by lab", "d" * 64)
    state = made.truth.pairs[0][0].state
    sums = LossSums.from_json(whole["losses"])
    assert sums.count + state.sums.count == state.labels > 100
    assert sums.mean * sums.count + state.sums.mean * state.sums.count == pytest.approx(state.total)
