"""A line's publisher that changes its messages: keys, types, forms, topics, retained or not."""

from __future__ import annotations

import asyncio
import gzip
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
    "comma": lambda value: f"{value:g}".replace(".", ","),
    "unit_text": lambda value: f"{value:g} C",
    "whole": round,
}
_PAYLOADS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "json": json.dumps,
    "array": lambda document: json.dumps([document]),
    "no_json": lambda document: ";".join(str(value) for value in document.values()),
    "list": lambda document: json.dumps(list(document.values())),
    "turned": lambda document: json.dumps(dict(reversed(document.items())), indent=1),
}
_ENCODINGS: Mapping[str, Callable[[str], bytes]] = {
    "utf-8": str.encode,
    "utf-16": lambda text: text.encode("utf-16"),
    "bom": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "gzip": lambda text: gzip.compress(text.encode()),
}
_TIMES: Mapping[str, Callable[[int], Any]] = {
    "iso": iso,
    "s": lambda ns: ns / 1e9,
    "ms": lambda ns: ns // 1_000_000,
    "us": lambda ns: ns // 1_000,
    "ns": lambda ns: ns,
    "hour_behind": lambda ns: iso(ns - 3_600_000_000_000),
    "hour_ahead": lambda ns: iso(ns + 3_600_000_000_000),
    "never_set": lambda _ns: "1970-01-01T00:00:00Z",
    "none": lambda _ns: None,
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
        self._encoding: dict[str, str] = {}
        self._stamp: dict[str, str] = {}
        self._stood: dict[str, int] = {}
        self._qos = 0
        self._times_sent = 1
        self._words = {
            "type": self._form, "unit": self._units, "payload": self._payload,
            "topic": self._topics, "encoding": self._encoding, "stamp": self._stamp,
        }  # fmt: skip

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
        elif what in self._words:  # of a tag or topic: `to`
            self._words[what][str(told.get("tag", topic))] = str(told["to"])
            self._stood.pop(topic, None)
        elif what == "key":  # `to`: another pointer; empty: the key is gone
            name = str(told["tag"])
            to = str(told.get("to", ""))
            self._where[name] = (self._where[name][0], to.split("/")[1:])
        elif what == "add":
            self._added.setdefault(topic, {})[str(told["key"])] = told["value"]
        elif what == "drop":
            self._added[topic].pop(str(told["key"]))
        elif what == "retain":
            self._retained[topic] = bool(told["to"])
        elif what == "extra_topic":
            self._extra.append(topic)
        elif what == "send":
            self._qos, self._times_sent = int(told.get("qos", 0)), int(told.get("times", 1))
        elif what == "restart":
            await self.stop()
            await asyncio.sleep(float(told.get("away_s", 0.0)))
            await self.start()
        else:
            return False
        return True

    async def publish(self, values: Mapping[str, float], now_ns: int) -> None:
        """One row; what has no value is left out."""
        topics: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            topic, pointer = self._where[name]
            document = topics.setdefault(topic, self._time(topic, now_ns))
            if pointer:
                _put(document, pointer, _FORMS[self._form.get(name, "number")](value))
            if self._definition.units:
                document.setdefault(self._definition.units, {})[name] = self._units[name]
        for topic, document in topics.items():
            whole = document | self._added.get(topic, {})
            text = _PAYLOADS[self._payload.get(topic, "json")](whole)
            retained = self._retained.get(topic, self._definition.retained)
            data = _ENCODINGS[self._encoding.get(topic, "utf-8")](text)
            for _ in range(self._times_sent):
                self._send(self._topics.get(topic, topic), data, retained=retained)
        for topic in self._extra:
            text = json.dumps({"time": iso(now_ns), "value": 1.0})
            self._send(topic, text.encode(), retained=False)

    def _time(self, topic: str, now_ns: int) -> dict[str, Any]:
        """The beginning of a message: its time, where it has one."""
        how = self._stamp.get(topic, "iso")
        if how == "stands":
            return {"time": iso(self._stood.setdefault(topic, now_ns))}
        time = _TIMES[how](now_ns)
        return {} if time is None else {"time": time}

    def _send(self, topic: str, data: bytes, *, retained: bool) -> None:
        if self._client is not None:
            self._client.publish(topic, data, qos=self._qos, retain=retained)


def _put(document: dict[str, Any], pointer: list[str], value: object) -> None:
    for name in pointer[:-1]:
        document = document.setdefault(name, {})
    document[pointer[-1]] = value
