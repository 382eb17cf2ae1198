"""A line's publisher that changes its messages: keys, types, forms, topics, retained or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.decode.mqtt import parse_address
from simulators.mqtt_publisher import iso
from simulators.upstream.definition import Definition

_Put = Callable[[float], Any]
_FORMS: Mapping[str, _Put] = {
    "number": lambda value: value,
    "text": lambda value: f"{value:g}",
    "array": lambda value: [value],
    "object": lambda value: {"value": value},
    "bool": lambda value: value > 0,
    "null": lambda _value: None,
}
_PAYLOADS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "json": json.dumps,
    "array": lambda document: json.dumps([document]),
    "no_json": lambda document: ";".join(str(value) for value in document.values()),
    "list": lambda document: json.dumps(list(document.values())),
}


class MqttUpstream:
    """Publishes a message a topic and row, with its time.

    Args:
        definition: of the source.
    """

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._client: paho.Client | None = None
        self._reset()

    def _reset(self) -> None:
        self._where: dict[str, tuple[str, list[str]]] = {}
        self._units: dict[str, str] = {}
        for tag in self._definition.tags:
            place = parse_address(tag.address)
            self._where[tag.name] = (place.topic, list(place.pointer))
            self._units[tag.name] = tag.unit
        self._form: dict[str, str] = {}
        self._payload: dict[str, str] = {}
        self._retained: dict[str, bool] = {}
        self._added = {topic: dict(more) for topic, more in self._definition.added.items()}
        self._topics: dict[str, str] = {}
        self._extra: list[str] = []

    async def start(self) -> None:
        """Connect in the background and stay connected."""
        host, port = self._definition.host, self._definition.port
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(host, port, keepalive=15)
        self._client.loop_start()

    async def stop(self) -> None:
        """Disconnect."""
        if self._client is not None:
            client, self._client = self._client, None
            client.disconnect()
            client.loop_stop()

    async def order(self, what: str, told: Mapping[str, Any]) -> bool:
        """Change; False where it is no order for messages."""
        topic = str(told.get("topic", ""))
        if what == "as_before":
            self._reset()
        elif what == "key":  # `to`: another pointer; empty: the key is gone
            name = str(told["tag"])
            to = str(told.get("to", ""))
            self._where[name] = (self._where[name][0], to.split("/")[1:])
        elif what == "type":
            self._form[str(told["tag"])] = str(told["to"])
        elif what == "unit":
            self._units[str(told["tag"])] = str(told["to"])
        elif what == "add":
            self._added.setdefault(topic, {})[str(told["key"])] = told["value"]
        elif what == "drop":
            self._added[topic].pop(str(told["key"]))
        elif what == "payload":
            self._payload[topic] = str(told["to"])
        elif what == "retain":
            self._retained[topic] = bool(told["to"])
        elif what == "topic":
            self._topics[topic] = str(told["to"])
        elif what == "extra_topic":
            self._extra.append(topic)
        elif what == "restart":
            await self.stop()
            await self.start()
        else:
            return False
        return True

    async def publish(self, values: Mapping[str, float], now_ns: int) -> None:
        """One row; what has no value is left out."""
        topics: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            topic, pointer = self._where[name]
            document = topics.setdefault(topic, {"time": iso(now_ns)})
            if pointer:
                _put(document, pointer, _FORMS[self._form.get(name, "number")](value))
            if self._definition.units:
                document.setdefault(self._definition.units, {})[name] = self._units[name]
        for topic, document in topics.items():
            whole = document | self._added.get(topic, {})
            text = _PAYLOADS[self._payload.get(topic, "json")](whole)
            retained = self._retained.get(topic, self._definition.retained)
            self._send(self._topics.get(topic, topic), text, retained=retained)
        for topic in self._extra:
            self._send(topic, json.dumps({"time": iso(now_ns), "value": 1.0}), retained=False)

    def _send(self, topic: str, text: str, *, retained: bool) -> None:
        if self._client is not None:
            self._client.publish(topic, text, qos=0, retain=retained)


def _put(document: dict[str, Any], pointer: list[str], value: object) -> None:
    for name in pointer[:-1]:
        document = document.setdefault(name, {})
    document[pointer[-1]] = value
