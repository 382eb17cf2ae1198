"""Central ops in the demonstration: the reference subscriber on the uplink's broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.central.memory import Memory
from agent.central.run import Subscriber
from agent.central.subscriber import Accepted
from agent.clock import wall_ns
from agent.errors import FieldwardenError, explained
from agent.forward.json_payload import time_of
from agent.mqtt import Protocol
from simulators.demo_report import Reported

CLIENT_ID = "central-view"
_EMPTY: Mapping[str, Any] = {"gateways": [], "messages": 0, "duplicates": 0}


class CentralView:
    """The reference subscriber, on a thread of its own; remembers when which event arrived.

    Args:
        port: of the uplink's broker on loopback.
        store: file of what was received.
        protocol: that the broker speaks.
    """

    def __init__(self, port: int, store: Path, protocol: Protocol = "auto") -> None:
        self._lock = threading.Lock()
        self._fresh: list[tuple[Reported, bool]] = []
        self._document = _EMPTY
        self._over = False
        self._failure: FieldwardenError | None = None
        self.arrived: dict[tuple[str, str, int, str], int] = {}
        arguments = (port, store, protocol)
        self._thread = threading.Thread(target=self._serve, args=arguments, name="demo-central")
        self._thread.start()

    def close(self) -> None:
        """Disconnect."""
        self._over = True
        self._thread.join()

    def require(self) -> None:
        """Raise when it ended by itself.

        Raises:
            FieldwardenError: why.
        """
        if self._failure is not None:
            raise self._failure

    def fresh(self) -> list[tuple[Reported, bool]]:
        """Events that arrived since the last call, each with its `historical` mark."""
        with self._lock:
            fresh, self._fresh = self._fresh, []
        return fresh

    def document(self) -> Mapping[str, Any]:
        """What central knows now, as `fieldwarden central` shows it."""
        return self._document

    def _serve(self, port: int, store: Path, protocol: Protocol) -> None:
        try:
            memory = Memory(store)
            try:
                subscriber = Subscriber(
                    "127.0.0.1", port, on_accepted=self._take, client_id=CLIENT_ID,
                    memory=memory, protocol=protocol,
                )  # fmt: skip
                asyncio.run(self._run(subscriber))
            finally:
                memory.close()
        except Exception as error:  # noqa: BLE001 - raised by `require`, on the demo's own thread
            self._failure = explained(error, "running", "central ops")

    async def _run(self, subscriber: Subscriber) -> None:
        def look() -> None:
            self._document = subscriber.document()

        await subscriber.run(lambda: self._over, look)

    def _take(self, accepted: Accepted) -> None:
        if accepted.stream != "event":
            return
        told = told_of(accepted.document)
        with self._lock:
            self.arrived.setdefault(told.key, wall_ns())
            self._fresh.append((told, bool(accepted.document.get("historical"))))


def told_of(document: Mapping[str, Any]) -> Reported:
    """The event in a CloudEvents message (structured JSON)."""
    kind = str(document["type"]).rpartition(".")[2]
    return Reported(kind, time_of(document["time"]), str(document["subject"]), document["data"])
