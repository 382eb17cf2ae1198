"""The plant's side: what it says, and a publisher that knows what was acknowledged."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from common import wait
from paho.mqtt.enums import CallbackAPIVersion

PERIOD_S = 0.1
MODE_S = 3.0


def values(number: int) -> dict[str, float]:
    """What the plant says in message `number`, from 1: two inputs, and a mode that changes."""
    rng = np.random.default_rng(number)
    mode = int(number * PERIOD_S / MODE_S) % 2
    common = rng.standard_normal()
    return {
        "mode": mode, "a": 20.0 + 5 * mode + common,
        "b": 7.0 - mode + 0.5 * common + 0.3 * rng.standard_normal(),
    }  # fmt: skip


class Publisher:
    """Publishes with QoS 1, and remembers which numbers the broker acknowledged."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self.acknowledged: set[int] = set()
        self._numbers: dict[int, int] = {}  # packet id -> number, of what is not acknowledged
        self._early: set[int] = set()  # packet ids acknowledged before `publish` returned
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pause = threading.Event()
        self._turn = threading.Lock()  # of one message: a pause begins between two
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="publisher")
        self._client.on_publish = self._published
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _published(self, _client: Any, _data: Any, mid: int, *_more: Any) -> None:
        with self._lock:
            number = self._numbers.pop(mid, None)
            if number is None:
                self._early.add(mid)
            else:
                self.acknowledged.add(number)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            due = max(due + PERIOD_S, time.monotonic())
            self._stop.wait(max(0.0, due - time.monotonic()))
            with self._turn:
                if not self._pause.is_set():
                    self.publish()

    def publish(self) -> int:
        """One message, now; returns its number."""
        self.sent += 1
        moment = datetime.now(UTC).isoformat()
        said = {"number": self.sent, "time": moment, **values(self.sent)}
        # not under our lock: paho calls `_published` under one of its own, which this needs too
        info = self._client.publish("plant/line", json.dumps(said), qos=1)
        with self._lock:
            if info.mid in self._early:
                self._early.remove(info.mid)
                self.acknowledged.add(self.sent)
            else:
                self._numbers[info.mid] = self.sent
        return self.sent

    def rest(self) -> None:
        """Pause, and wait until the broker has acknowledged all."""
        with self._turn:
            self._pause.set()
        wait("PUBACK of every message", lambda: len(self.acknowledged) == self.sent)

    def go_on(self) -> None:
        """End the pause."""
        self._pause.clear()

    def stop(self) -> None:
        """End the thread and the connection."""
        self._stop.set()
        self._thread.join(5)
        self._client.disconnect()
        self._client.loop_stop()
