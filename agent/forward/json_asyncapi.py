"""What a gateway says over MQTT and what it reads, as one AsyncAPI 3.0 document.

It is made of the same `schemas/` that describe each message, and of one table of channels, so it
needs nothing else to be read. `docs/asyncapi.yaml` is it for any gateway; `fieldwarden contract
export --format asyncapi` writes it for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from agent.forward.form import Identity
from agent.forward.json_payload import (
    EVENT_CONTENT,
    EVENT_TYPE,
    JSON_CONTENT,
    PREFIX,
    SCHEMA,
    schema,
    topic_of,
)

ASYNCAPI: Final = "3.0.0"
SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"
_MQTT: Final = {"bindingVersion": "0.2.0"}


class Channel(NamedTuple):
    """A topic below ``fieldwarden/1/<site>/<gateway>/``.

    Attributes:
        below: the rest of the topic, with parameters in braces.
        action: what the gateway does with it.
        retain: whether the broker keeps the latest message.
        content: its content type.
        expires: whether the broker may drop it after a while (MQTT 5).
    """

    below: str
    action: Literal["send", "receive"]
    retain: bool
    content: str = JSON_CONTENT
    expires: bool = False


CHANNELS: Final[Mapping[str, Channel]] = {
    "state": Channel("state", "send", retain=True),
    "verdict": Channel("verdict/{model}", "send", retain=True, expires=True),
    "event": Channel("event", "send", retain=False, content=EVENT_CONTENT),
    "summary": Channel("summary", "send", retain=False),
    "gap": Channel("gap", "send", retain=False),
    "central": Channel("central", "receive", retain=False),
}
"""Name, which is also that of its schema -> the channel."""

PARAMETERS: Final[Mapping[str, str]] = {
    "site": "`site` under [gateway] of the configuration",
    "gateway": "`name` under [gateway]: unique within its site",
    "model": "name of the model; what MQTT reserves in a topic (/ + #) is percent-encoded",
}
"""Parameter of an address -> what it is."""

_DESCRIPTION = """\
What a Fieldwarden gateway tells central ops over MQTT 5, and what it reads there: verdicts on
models, events, summaries of inputs, what is missing, and whether the gateway is there.

Everything is published with QoS 1. Messages may come more than once and in any order: de-duplicate
on (site, gateway, boot, stream, seq). A hole in `seq` of a run (`boot`) is a message that is still
to come, unless `gap` says that it never will. A verdict holds until `valid_until`; past it, it
reads as unassessable. The broker says `state` with `online: false` where a gateway is lost."""


def document(
    gateway: Identity | None = None, server: str = "", version: str = "", *, tls: bool = True
) -> dict[str, Any]:
    """The document; JSON-ready, and the same for the same arguments.

    Args:
        gateway: whose; None: of any gateway, with site and name as parameters.
        server: ``host:port`` of the broker; empty: open.
        version: of the program.
        tls: whether the broker is reached over TLS.
    """
    kinds = [str(one).removeprefix(EVENT_TYPE) for one in _event_types()]
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "Fieldwarden, gateway to central",
            "version": version or f"{SCHEMA}",
            "description": _DESCRIPTION,
            "license": {
                "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": JSON_CONTENT,
        "servers": {"upstream": _server(server, tls)},
        "channels": {
            name: _channel(name, channel, gateway, kinds) for name, channel in CHANNELS.items()
        },
        "operations": {
            f"{channel.action}_{name}": _operation(name, channel)
            for name, channel in CHANNELS.items()
        },
        "components": {
            "messages": {
                **{
                    name: _message(name, channel)
                    for name, channel in CHANNELS.items() if name != "event"
                },
                **{f"event_{kind}": _event(kind) for kind in kinds},
            },
            "schemas": {
                name: {"schemaFormat": SCHEMA_FORMAT, "schema": _schema(name)}
                for name in (*CHANNELS, *(f"event-{kind}" for kind in kinds))
            },
        },
    }  # fmt: skip


def _event_types() -> list[str]:
    types: list[str] = schema("event")["properties"]["type"]["enum"]
    return types


def _schema(name: str) -> dict[str, Any]:
    """A schema as it stands within a document that says by `schemaFormat` how it is written."""
    return {key: value for key, value in schema(name).items() if key != "$schema"}


def _server(host: str, tls: bool) -> dict[str, Any]:  # noqa: FBT001 one caller
    told: dict[str, Any] = {
        "host": host or "{broker}",
        "protocol": "mqtts" if tls else "mqtt",
        "protocolVersion": "5.0",
        "description": "the broker of central ops, [upstream] of the configuration",
    }
    if not host:
        told["variables"] = {"broker": {"description": "host and port", "default": "central:8883"}}
    return told


def _channel(
    name: str, channel: Channel, gateway: Identity | None, kinds: list[str]
) -> dict[str, Any]:
    who = gateway or Identity("{site}", "{gateway}", "")
    address = topic_of(who, channel.below)
    messages = [f"event_{kind}" for kind in kinds] if name == "event" else [name]
    told: dict[str, Any] = {
        "address": address,
        "title": schema(name)["title"],
        "messages": {one: {"$ref": f"#/components/messages/{one}"} for one in messages},
    }
    parameters = {
        one: {"description": text} for one, text in PARAMETERS.items() if f"{{{one}}}" in address
    }
    return told | ({"parameters": parameters} if parameters else {})


def _operation(name: str, channel: Channel) -> dict[str, Any]:
    binding: dict[str, Any] = {"qos": 1, "retain": channel.retain, **_MQTT}
    if channel.expires:
        binding["messageExpiryInterval"] = {
            "type": "integer", "minimum": 1, "description": "until `valid_until`, in seconds",
        }  # fmt: skip
    return {
        "action": channel.action,
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": schema(name)["title"],
        "bindings": {"mqtt": binding},
    }


def _message(name: str, channel: Channel) -> dict[str, Any]:
    return {
        "name": f"{PREFIX}.{name}",
        "title": schema(name)["title"],
        "contentType": channel.content,
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }


def _event(kind: str) -> dict[str, Any]:
    """A kind of event: the envelope of all, with `type` and `data` of its own."""
    payload = {
        "allOf": [{"$ref": "#/components/schemas/event/schema"}],
        "properties": {
            "type": {"const": f"{EVENT_TYPE}{kind}"},
            "data": {"$ref": f"#/components/schemas/event-{kind}/schema"},
        },
    }
    return {
        "name": f"{EVENT_TYPE}{kind}",
        "title": schema(f"event-{kind}")["title"],
        "contentType": EVENT_CONTENT,
        "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": payload},
    }
