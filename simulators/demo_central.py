"""Central ops in the demonstration: the reference subscriber on the uplink's broker."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.central.subscriber import Central
from agent.clock import wall_ns
from agent.forward.json_payload import time_of
from simulators.demo_report import Reported

_EVERYTHING = "fieldwarden/1/#"


class CentralView:
    """The reference subscriber on the uplink's broker; remembers when which event arrived.

    Args:
        port: of the uplink's broker on loopback.
    """

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._fresh: list[tuple[Reported, bool]] = []
        self._central = Central()
        self.arrived: dict[tuple[str, str, int, str], int] = {}
        self.connected = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="central-view", clean_session=False
        )
        self._client.on_connect = self._subscribe
        self._client.on_disconnect = self._disconnected
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 1)
        self._client.connect_async("127.0.0.1", port, keepalive=15)
        self._client.loop_start()

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def fresh(self) -> list[tuple[Reported, bool]]:
        """Events that arrived since the last call, each with its `historical` mark."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
        return fresh

    def document(self) -> dict[str, Any]:
        """What central knows now, as `fieldwarden central` shows it."""
        with self._lock:
            return self._central.document(wall_ns())

    def _subscribe(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(_EVERYTHING, qos=1)
        self.connected = True

    def _disconnected(self, *_: Any) -> None:
        self.connected = False

    def _take(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        now = wall_ns()
        with self._lock:
            accepted = self._central.take(bytes(message.payload), now, retained=message.retain)
            if accepted is None or accepted.stream != "event":
                return
            told = told_of(accepted.document)
            self.arrived.setdefault(told.key, now)
            self._fresh.append((told, bool(accepted.document.get("historical"))))


def told_of(document: Mapping[str, Any]) -> Reported:
    """The event in a CloudEvents message (structured JSON)."""
    kind = str(document["type"]).rpartition(".")[2]
    return Reported(kind, time_of(document["time"]), str(document["subject"]), document["data"])
