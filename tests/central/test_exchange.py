"""A gateway's store and central, each as it is, until neither has anything more to say."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent.central.answers import PACE_NS, Answers
from agent.central.receipt import Receipt
from agent.central.subscriber import Central
from agent.forward import FORMS, Identity
from agent.forward.answers import Answers as Heard
from agent.forward.form import Presence
from agent.forward.json_payload import event_message
from agent.store import Batch, Reader, Store
from agent.store import acknowledge as acknowledge_module
from agent.store.reader import OutboxRow
from agent.types import Event

NOW = 1_790_000_000_000_000_000
FORM = FORMS["json"]
MOST_EXCHANGES = 12


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(acknowledge_module, "AGAIN_S", 0)
    monkeypatch.setattr(acknowledge_module, "TAIL_AGAIN_S", 0)


class Pair:
    """One gateway's store, as its sender would use it, and one central."""

    def __init__(self, path):
        self._path = path
        self.central, self.now, self.told = Central(), 0, 0
        self.answers = Answers(self.central, "ops")
        self.start()

    def start(self):
        """A run of the agent on the store."""
        self.store = Store.open(
            self._path, journal_limit_bytes=10**6, outbox_limit_bytes=10**6, delivery="central"
        )
        self.identity = Identity("north", "gw", self.store.store_id)
        self.heard = Heard(FORM, self.identity, self.store.boot)
        self.connections = 0

    def connect(self):
        """The birth, with what the store says of its runs."""
        self.connections += 1
        reader = Reader(self._path)
        birth = FORM.birth(
            self.identity,
            Presence(
                self.store.boot, "1", self.connections, NOW,
                unacknowledged=reader.unacknowledged(100), acknowledged=reader.acknowledged(100),
            ),
        )  # fmt: skip
        reader.close()
        self._say((birth.topic, birth.payload))

    def _say(self, birth):
        topic, payload = birth
        self.central.take(payload, Receipt(self.now, topic))

    async def commit(self, batch):
        """What the sender does with the next commit."""
        await self.store.commit(batch)

    def waiting(self, limit) -> list[OutboxRow]:
        reader = Reader(self._path)
        rows = reader.pending(limit=limit)
        reader.close()
        return rows

    def newest(self):
        reader = Reader(self._path)
        newest = reader.newest_outbox_id()
        reader.close()
        return newest

    async def tell(self, count):
        """Events, of any length."""
        batch = Batch()
        for _ in range(count):
            self.told += 1
            event = Event("engine", NOW, "gateway", {"change": str(self.told)})
            batch.events.append((self.told, 0, event))
            batch.messages.append(event_message(self.told, 0, event))
        await self.commit(batch)

    async def send(self, limit, *, arrives, taken):
        """Rows go out; they may arrive, and the broker's word on it may be lost."""
        rows = self.waiting(limit)
        for row in rows:
            self.heard.sent(row)
            wire = FORM.wire(row, self.identity, NOW)
            if arrives:
                self.central.take(wire.payload, Receipt(self.now, wire.topic))
        if taken:
            await self.commit(Batch(delivered=[row.id for row in rows]))

    async def reject(self, count):
        """The broker refuses rows, whatever they say."""
        await self.commit(Batch(rejected={row.id: "no" for row in self.waiting(count)}))

    async def hear(self, *, lost=False):
        """Central stores and answers; whether it said something."""
        self.now += PACE_NS
        self.central.settled()
        answers = self.answers.due(self.now)
        for answer in answers:
            if not lost:
                assert self.heard.hear(answer.payload) or not json.loads(answer.payload)["received"]
        await self.commit(Batch(acknowledged=self.heard.take()))
        return bool(answers)

    async def lose_rows(self, stream):
        """As with a damaged page of the outbox, of which a start takes over what can be read."""
        with contextlib.closing(sqlite3.connect(self._path)) as db, db:
            db.execute("DELETE FROM outbox WHERE stream = ?", (stream,))

    async def restart(self):
        await self.store.close()
        self.start()
        self.connect()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("tell"), st.integers(1, 6)),
        st.tuples(st.just("arrives"), st.integers(1, 8)),
        st.tuples(st.just("arrives, puback lost"), st.integers(1, 4)),
        st.tuples(st.just("is lost"), st.integers(1, 8)),
        st.tuples(st.just("reject"), st.integers(1, 2)),
        st.tuples(st.just("hear"), st.just(0)),
        st.tuples(st.just("answer lost"), st.just(0)),
        st.tuples(st.just("connect"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("gap records are damaged"), st.just(0)),
        st.tuples(st.just("events are damaged"), st.just(0)),
    ),
    max_size=25,
)


async def play(pair, what, count):
    if what == "tell":
        await pair.tell(count)
    elif what.startswith("arrives"):
        await pair.send(count, arrives=True, taken="lost" not in what)
    elif what == "is lost":
        await pair.send(count, arrives=False, taken=True)
    elif what == "reject":
        await pair.reject(count)
    elif what in {"hear", "answer lost"}:
        await pair.hear(lost=what == "answer lost")
    elif what == "connect":
        pair.connect()
    elif what == "restart":
        await pair.restart()
    else:
        await pair.lose_rows("gap" if "gap" in what else "event")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=steps)
@example(steps=[("tell", 1), ("reject", 1), ("reject", 1)])
@example(steps=[("tell", 3), ("reject", 2), ("gap records are damaged", 0)])
@example(steps=[("tell", 2), ("restart", 0), ("events are damaged", 0), ("tell", 1)])
async def test_every_exchange_ends_with_every_number_known(tmp_path_factory, steps):
    """After any losses, refusals, restarts and damage a bounded number of exchanges leaves no row,
    central knows of every number that a run gave that it arrived or is lost, and neither side says
    anything more.
    """
    pair = Pair(tmp_path_factory.mktemp("pair") / "s.sqlite")
    pair.connect()
    for what, count in steps:
        await play(pair, what, count)
    pair.connect()
    newest, quiet = -1, 0
    for _ in range(MOST_EXCHANGES):
        await pair.send(10_000, arrives=True, taken=True)
        pair.now += 60 * 10**9
        said = await pair.hear()
        quiet = quiet + 1 if not said and pair.newest() == newest else 0
        newest = pair.newest()
        if quiet == 2:
            break
    reader = Reader(pair._path)
    rows = reader._all("SELECT boot, stream, last FROM numbers")
    given_ = {(boot, stream): last for boot, stream, last in rows}
    counters = reader.counters()
    given_ |= {(pair.store.boot, name): counters.get(f"seq:{name}", 0) for name in ("event", "gap")}
    left = reader._all("SELECT stream, seq FROM outbox")
    reader.close()
    await pair.store.close()
    assert left == []
    assert quiet == 2, "the exchange does not end"
    (view,) = pair.central.gateways.values()
    assert sum(last for (_, stream), last in given_.items() if stream == "event") == pair.told
    for (boot, stream), last in given_.items():
        known = view.streams.get((pair.store.store_id, boot, stream))
        if stream == "event" and last:
            assert known is not None, f"central never heard of run {boot}"
            assert (known.settled_through, known.asked()) == (last, [])


async def test_thousands_of_losses_are_told_exactly(tmp_path):
    """Every second number, of which no gap record is left: central knows of each, and says of no
    other that it was lost, also while the others wait.
    """
    pair = Pair(tmp_path / "s.sqlite")
    await pair.tell(1_300)
    odd = {row.id: "no" for row in pair.waiting(2_000) if row.seq % 2}
    await pair.store.commit(Batch(rejected=odd))
    await pair.lose_rows("gap")
    pair.connect()
    for _ in range(3):
        await pair.hear()
        gaps = [json.loads(row.payload) for row in pair.waiting(5_000) if row.stream == "gap"]
        for gap in gaps:
            assert all(first % 2 == 1 and first == last for first, last in gap["ranges"])
        pair.now += 60 * 10**9
    for _ in range(MOST_EXCHANGES):
        await pair.send(5_000, arrives=True, taken=True)
        pair.now += 60 * 10**9
        await pair.hear()
    assert pair.waiting(10) == []
    (gateway,) = pair.central.document(pair.now)["gateways"]
    assert sum(gateway["dropped"].values()) == 650
    assert gateway["missing"] == {}
    await pair.store.close()
