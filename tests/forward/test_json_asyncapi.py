"""The AsyncAPI document says what is really sent: topics, schemas, retained or not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from agent.cli import cli
from agent.forward.form import Identity, Presence
from agent.forward.json_asyncapi import CHANNELS, document
from agent.forward.json_payload import (
    answers_topic,
    birth,
    event_message,
    goodbye,
    summary_messages,
    verdict_message,
    will,
    wire,
)
from agent.runtime.contract_told import contract_told
from agent.store.reader import OutboxRow
from agent.types import Event
from tests.forward.test_json_payload import EVENTS, NOW, WHO, row_of, window
from tests.status.fake_changes import changes

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "asyncapi.yaml"
DOCUMENT = document()
REGISTRY = Registry().with_resource("urn:doc", Resource(DOCUMENT, DRAFT202012))
HEAD = """\
# What a gateway says to central ops over MQTT, and what it reads there; AsyncAPI 3.0.
# Made by agent/forward/json_asyncapi.py: pytest tests/forward/test_json_asyncapi.py --update-golden
"""


def test_the_document_in_the_repository_is_what_the_code_says(request):
    """A schema or channel that was changed shows here; --update-golden writes it anew."""
    text = HEAD + yaml.safe_dump(DOCUMENT, sort_keys=False, allow_unicode=True, width=100)
    if request.config.getoption("--update-golden"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text("utf-8") == text, "stale: see the head of the file"
    assert yaml.safe_load(text) == DOCUMENT


def refused(message, payload):
    """Whether the schema of a message in the document refuses a payload."""
    pointer = f"#/components/messages/{message}/payload"
    pointer = REGISTRY.resolver("urn:doc").lookup(pointer).contents.get("$ref", pointer)
    checker = jsonschema.Draft202012Validator(
        {"$ref": f"urn:doc{pointer}/schema"}, registry=REGISTRY
    )
    return not checker.is_valid(payload)


PROMISE = {
    "false_alarms": "1 per 30 days", "expected_per_30_days": 1.0, "watched_days": 12, "raised": 3,
    "acknowledged": 2, "false": 1, "exceeded": False,
}  # fmt: skip


def sent():
    """(channel, message of the document, what goes on the wire), one of each that a gateway says"""
    for kind, data in EVENTS.items():
        event = event_message(9, 2, Event(kind, NOW, "tag/a", data))
        yield "event", f"event_{kind}", wire(row_of(event), WHO, NOW)
    yield "summary", "summary", wire(row_of(summary_messages([window("a")])[0]), WHO, NOW)
    verdict = verdict_message(
        "a/b", "caution", EVENTS["verdict"]["reasons"], time_ns=NOW, since_ns=NOW,
        valid_until_ns=NOW + 10**10, version="7", baseline="ab", provisional=True,
    )  # fmt: skip
    yield "verdict", "verdict", wire(row_of(verdict), WHO, NOW)
    gap = {"of": "event", "boot": 1, "reason": "outbox_full", "count": 2, "ranges": [[1, 2]]}
    payload = json.dumps({**gap, "start_ns": 1, "end_ns": 2}).encode()
    yield "gap", "gap", wire(OutboxRow(1, 1, "gap", 1, "gap", payload, NOW, False, None, []),
                             WHO, NOW)  # fmt: skip
    contract = contract_told({"hash": "5e" * 32, "made": "2026"}, changes(NOW))
    told = {"contract": contract, "promise": PROMISE}
    for say in (birth, goodbye, will):
        yield "state", "state", say(WHO, Presence(1, "1", 3, NOW, told=told))


SENT = list(sent())


def test_each_message_that_is_sent_is_described():
    """Its topic, whether it is retained or expires, its content type, and its payload."""
    for name, message, said in SENT:
        channel = DOCUMENT["channels"][name]
        binding = DOCUMENT["operations"][f"send_{name}"]["bindings"]["mqtt"]
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(channel["address"]))
        assert re.fullmatch(pattern, said.topic), (channel["address"], said.topic)
        assert message in channel["messages"]
        assert binding["retain"] is said.retain
        assert ("messageExpiryInterval" in binding) is (said.expiry_s is not None)
        described = DOCUMENT["components"]["messages"][message]
        assert described["contentType"] == (said.content_type or "application/json")
        payload = json.loads(said.payload)
        assert not refused(message, payload), message
        assert refused(message, {**payload, "data": {}}), message


def test_nothing_is_described_that_is_not_sent():
    """Each channel and each message of it is one of those that the test above sent."""
    described = {
        (name, message)
        for name, channel in DOCUMENT["channels"].items() for message in channel["messages"]
    }  # fmt: skip
    assert described == {(name, message) for name, message, _ in SENT} | {("central", "central")}
    assert answers_topic(WHO).endswith("/" + CHANNELS["central"].below)


def test_an_event_of_one_kind_is_none_of_another():
    """Each kind has its own message; the wrong `type` is refused."""
    (_, _, said) = next(one for one in SENT if one[1] == "event_gap")
    payload = json.loads(said.payload)
    taken = [kind for kind in EVENTS if not refused(f"event_{kind}", payload)]
    assert taken == ["gap"]


def test_what_central_answers_is_described():
    """The one message that a gateway reads."""
    one = {"boot": 1, "stream": "event", "through": 9, "missing": [[2, 3]]}
    answer = {"schema": 1, "store": WHO.store, "central": "c", "received": [one]}
    assert not refused("central", answer)
    assert refused("central", {**answer, "received": [{**one, "stream": "verdict"}]})


def test_every_reference_leads_somewhere():
    """Tools that draw or generate from the document follow them all."""
    references = re.findall(r'"\$ref": "(#[^"]+)"', json.dumps(DOCUMENT))
    assert references
    resolver = REGISTRY.resolver("urn:doc")
    for one in set(references):
        assert resolver.lookup(one).contents, one


def test_each_parameter_of_an_address_is_explained():
    """As AsyncAPI asks: those of the address, and no others."""
    for channel in DOCUMENT["channels"].values():
        assert set(channel["parameters"]) == set(re.findall(r"{(\w+)}", channel["address"]))


def test_one_gateway_has_topics_without_parameters_but_models():
    """`contract export --format asyncapi`: of this gateway, at its broker."""
    made = document(Identity("north", "gw-07", ""), "broker:1883", "1.2", tls=False)
    assert made["servers"]["upstream"]["host"] == "broker:1883"
    assert made["servers"]["upstream"]["protocol"] == "mqtt"
    assert "variables" not in made["servers"]["upstream"]
    assert made["channels"]["state"]["address"] == "fieldwarden/1/north/gw-07/state"
    assert "parameters" not in made["channels"]["state"]
    assert set(made["channels"]["verdict"]["parameters"]) == {"model"}


@pytest.mark.parametrize("config", ["demo", "mqtt"])
def test_the_command_writes_it_for_a_gateway(tmp_path, config):
    """It needs no contract, only the configuration."""
    arguments = [
        "contract", "export", str(ROOT / "configs" / f"{config}.toml"), "--format", "asyncapi",
        "--out", str(tmp_path),
    ]  # fmt: skip
    found = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    made = yaml.safe_load((tmp_path / "asyncapi.yaml").read_text("utf-8"))
    assert made["asyncapi"] == "3.0.0"
    assert "{site}" not in made["channels"]["event"]["address"]
