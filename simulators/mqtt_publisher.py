"""The line's MQTT publisher: one JSON message a topic and row, through a real broker.

paho runs its own thread in this process; the plant only hands messages over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.decode.mqtt import parse_address
from simulators.tags import LAB_TOPIC, NAMES, SNAPSHOT_TOPIC, PlantTag


def iso(ns: int) -> str:
    """Wall ns as ISO 8601 with milliseconds, UTC."""
    moment = datetime.fromtimestamp(ns / 1e9, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class MqttPublisher:
    """Publishes `tags`, a snapshot of every tag for the soft sensor, and laboratory values.

    Args:
        host: of the broker.
        port: of the broker.
        tags: published in groups of one topic, at their addresses.
        client_id: under which it connects.
    """

    def __init__(
        self, host: str, port: int, tags: Sequence[PlantTag], *, client_id: str = "plant-line1"
    ) -> None:
        self._broker = (host, port)
        self._client_id = client_id
        self._places = [parse_address(tag.address) for tag in tags]
        self._client: paho.Client | None = None

    async def start(self) -> None:
        """Connect in the background and stay connected."""
        if self._client is None:
            self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=self._client_id)
            self._client.reconnect_delay_set(1, 2)
            self._client.max_queued_messages_set(200)
            self._client.connect_async(*self._broker, keepalive=15)
            self._client.loop_start()

    async def lose(self) -> None:
        """Disconnect; nothing is published until `restore`."""
        if self._client is not None:
            client, self._client = self._client, None
            client.disconnect()
            client.loop_stop()

    restore = start
    stop = lose

    def publish(
        self, values: Sequence[float | str], bad: Sequence[bool], clock_ns: Sequence[int]
    ) -> None:
        """Publish one row: NaN is a member left out, a bad value is ``null``.

        A topic's ``time`` is the earliest of its tags' (a frozen clock freezes the message's).
        """
        topics: dict[str, dict[str, Any]] = {}
        times: dict[str, int] = {}
        for place, value, is_bad, ns in zip(self._places, values, bad, clock_ns, strict=True):
            topic = place.topic
            times[topic] = min(ns, times.get(topic, ns))
            if value != value:  # noqa: PLR0124 - NaN
                topics.setdefault(topic, {})
            elif place.pointer:
                _put(topics.setdefault(topic, {}), place.pointer, None if is_bad else value)
            else:
                self._send(topic, None if is_bad else value)
            if place.time:
                _put(topics.setdefault(topic, {}), place.time, iso(times[topic]))
        for topic, document in topics.items():
            self._send(topic, {"time": iso(times[topic]), **document})

    def publish_snapshot(
        self, values: Sequence[float], bad: Sequence[bool], now_ns: int,
        second: float | None = None,
    ) -> None:  # fmt: skip
        """Publish every measured value by tag name; what is bad or missing is left out.

        `second` is that of the fault script, for who reads the script too; None: before it.
        """
        known = {
            name: value
            for name, value, is_bad in zip(NAMES, values, bad, strict=True)
            if value == value and not is_bad  # noqa: PLR0124 - not NaN
        }
        self._send(SNAPSHOT_TOPIC, {"time": iso(now_ns), "second": second, "values": known})

    def publish_lab(self, value: float, taken_ns: int) -> None:
        """Publish one laboratory analysis in percent."""
        self._send(LAB_TOPIC, {"time": iso(taken_ns), "value": value})

    def _send(self, topic: str, document: Any) -> None:
        if self._client is not None and self._client.is_connected():
            self._client.publish(topic, json.dumps(document), qos=0)


def _put(document: dict[str, Any], pointer: Sequence[str], value: object) -> None:
    for name in pointer[:-1]:
        document = document.setdefault(name, {})
    document[pointer[-1]] = value
