"""Central ops as the demonstration shows it: a subscriber of its own to all that gateways send."""

from __future__ import annotations

import json
import threading
from collections import Counter
from datetime import datetime
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import wall_ns
from simulators.demo_report import Told

_EVERYTHING = "fieldwarden/1/#"


class CentralView:
    """Receives over the uplink's broker, drops duplicates, remembers when what arrived.

    Args:
        port: of the uplink's broker on loopback.
    """

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._seen: set[tuple[Any, ...]] = set()
        self._fresh: list[tuple[Told, bool]] = []
        self.arrived: dict[tuple[str, str, int, str], int] = {}
        self.streams: Counter[str] = Counter()
        self.duplicates = 0
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="central-view", clean_session=False
        )
        self._client.on_connect = lambda client, *_: client.subscribe(_EVERYTHING, qos=1)
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async("127.0.0.1", port, keepalive=15)
        self._client.loop_start()

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def fresh(self) -> list[tuple[Told, bool]]:
        """Events that arrived since the last call, each with its `historical` mark."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
        return fresh

    def _take(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            document = json.loads(message.payload)
        except ValueError:
            return  # a will of plain text, or a stranger
        if not isinstance(document, dict):
            return
        identity = tuple(document.get(key) for key in ("gateway", "boot", "stream", "seq"))
        with self._lock:
            if None not in identity and identity in self._seen:
                self.duplicates += 1
                return
            self._seen.add(identity)
            self.streams[str(document.get("stream"))] += 1
            told = told_of(document)
            if told is not None and told.key not in self.arrived:
                self.arrived[told.key] = wall_ns()
                self._fresh.append((told, bool(document.get("historical"))))


def told_of(document: dict[str, Any]) -> Told | None:
    """The event in a CloudEvents message (structured JSON); None for other streams."""
    if document.get("stream") != "event" or "specversion" not in document:
        return None
    kind = str(document.get("type", "")).rpartition(".")[2]
    data = document.get("data", {})
    return Told(kind, _time_ns(document), str(document.get("subject", "")), data)


def _time_ns(document: dict[str, Any]) -> int:
    """Nanoseconds since the epoch of an RFC 3339 time, exact to the last digit."""
    text = str(document["time"]).replace("Z", "+00:00")
    moment = datetime.fromisoformat(text)
    whole = int(moment.replace(microsecond=0).timestamp())
    fraction = text.partition(".")[2].partition("+")[0]
    return whole * 1_000_000_000 + int(fraction.ljust(9, "0")[:9] or 0)
