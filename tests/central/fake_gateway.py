"""The gateway's side of acknowledged delivery, as the agreement has it and no more.

Rows are kept until a central acknowledges them; the rest is sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json

from agent.forward import Identity
from agent.forward.json_payload import event_message, topic_of, wire
from agent.mqtt import LinkError, MqttLink
from agent.mqtt.packets import TOO_LARGE
from agent.store.reader import OutboxRow
from agent.types import Event

NOW = 1_790_000_000_000_000_000


class FakeGateway:
    """Holds events by (boot, seq); what was acknowledged is gone."""

    def __init__(self, name="gw", store="00000001", site="north"):
        self.identity = Identity(site, name, store)
        self.held: dict[tuple[int, int], bytes] = {}
        self.made: dict[tuple[int, int], bytes] = {}
        self.acknowledged: set[tuple[int, int]] = set()
        self.last: dict[int, int] = {}
        self.connections = 0

    @property
    def topic(self):
        return topic_of(self.identity, "event")

    def topic_of(self, below):
        return topic_of(self.identity, below)

    def make(self, boot):
        """One more event of this run."""
        seq = self.last[boot] = self.last.get(boot, 0) + 1
        message = event_message(
            seq, 0, Event("engine", NOW, "gateway", {"change": f"{boot}.{seq}"})
        )
        row = OutboxRow(seq, boot, "event", seq, "event", message.payload, NOW, False, None, [])
        self.made[boot, seq] = self.held[boot, seq] = wire(row, self.identity, NOW).payload
        return boot, seq

    def born(self, boot):
        """The birth message, with what is held."""
        self.connections += 1
        boots = sorted({held for held, _ in self.held})
        rows = {one: [seq for of, seq in self.held if of == one] for one in boots}
        data = {
            "online": True, "version": "1", "reason": "connected",
            "unacknowledged": [
                {"boot": one, "stream": "event", "first": min(seqs), "last": max(seqs)}
                for one, seqs in rows.items()
            ],
            "acknowledged": [
                {"boot": one, "stream": "event", "through": max(
                    seq for of, seq in self.acknowledged if of == one
                )}
                for one in {of for of, _ in self.acknowledged}
            ],
        }  # fmt: skip
        head = {
            "schema": 1, "site": self.identity.site, "gateway": self.identity.gateway,
            "store": self.identity.store, "boot": boot, "stream": "state",
            "seq": 2 * self.connections - 1, "time": "2026-01-31T12:00:00.000000001Z",
            "historical": False, "time_quality": "synchronised",
        }  # fmt: skip
        return json.dumps({**head, "data": data}).encode()

    def answered(self, payload):
        """Delete what a central acknowledges; the rows of those runs that it does not have."""
        document = json.loads(payload)
        assert document["schema"] == 1 and document["central"]
        if document["store"] != self.identity.store:
            return []
        again = []
        for one in document["received"]:
            assert sum(1 for _ in one["missing"]) <= 500
            for boot, seq in list(self.held):
                if boot != one["boot"] or one["stream"] != "event":
                    continue
                missing = any(first <= seq <= last for first, last in one["missing"])
                if seq <= one["through"] and not missing:
                    del self.held[boot, seq]
                    self.acknowledged.add((boot, seq))
                else:
                    again.append((boot, seq))
        return again


class Online:
    """A `FakeGateway` on a real broker: sends what it holds, and again what it is asked for."""

    def __init__(self, gateway, port, **link):
        self.gateway = gateway
        self.boot = 7
        self.answers = self.sent = 0
        self.link = MqttLink(
            host="127.0.0.1", port=port, client_id=gateway.identity.gateway,
            on_message=self._answered, on_state=self._on_state, **link,
        )  # fmt: skip
        self.link.subscribe([(gateway.topic_of("central"), 1)])

    def _on_state(self, connected, _reason):
        if connected:
            topic = self.gateway.topic_of("state")
            self.link.publish(topic, self.gateway.born(self.boot), retain=True)

    def _answered(self, message):
        if message.payload.strip(TOO_LARGE) == b"":
            return
        self.answers += 1
        for row in self.gateway.answered(message.payload):
            self.send(row)

    def send(self, row):
        self.sent += 1
        with contextlib.suppress(LinkError):
            self.link.publish(self.gateway.topic, self.gateway.held[row])


@contextlib.asynccontextmanager
async def running(*coroutines):
    tasks = [asyncio.create_task(one) for one in coroutines]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
