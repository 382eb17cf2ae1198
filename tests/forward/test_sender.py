"""The forwarder against a real store and a real broker that is absent, killed, deaf or refusing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import pytest

from agent.forward import FORMS, Identity, Sender, Uplink
from agent.forward import sender as sender_module
from agent.forward.json_payload import event_message, verdict_message
from agent.mqtt import MqttLink
from agent.store import Batch, Reader, Store
from agent.types import Event
from tests.mosquitto import Mosquitto, free_port

MB = 1_000_000


async def until(condition, seconds=12.0):
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "did not come true in time"
        await asyncio.sleep(0.02)


class Gateway:
    """Store and sender with a commit every 50 ms, as the application does once a second."""

    def __init__(self, folder, port, **link):
        self.path = folder / "store.sqlite"
        self.store = Store.open(self.path, journal_limit_bytes=10 * MB, outbox_limit_bytes=10 * MB)
        self.reader = Reader(self.path)
        self.sender = Sender(
            Reader(self.path),
            FORMS["json"],
            Identity("north", "gw", self.store.store_id),
            Uplink("127.0.0.1", port, **link),
            boot=self.store.boot,
            version="1",
            now_ns=time.time_ns,
        )
        self.told = 0
        self._waiting: list = []
        self._one_at_a_time = asyncio.Lock()  # as the application commits

    def tell(self, count=1, age_s=0):
        for _ in range(count):
            self.told += 1
            event = Event(
                "engine", time.time_ns() - age_s * 10**9, "gateway", {"change": str(self.told)}
            )
            self._waiting.append((self.told, event))

    def say(self, message):
        self._waiting.append((None, message))

    async def commit(self):
        async with self._one_at_a_time:
            waiting, self._waiting = self._waiting, []
            delivered, rejected = self.sender.take_delivered()
            batch = Batch(delivered=delivered, rejected=rejected)
            for number, what in waiting:
                if number is None:
                    batch.messages.append(what)
                else:
                    batch.events.append((number, 0, what))
                    batch.messages.append(event_message(number, 0, what))
            await self.store.commit(batch)
            self.sender.notify()

    async def work(self):
        while True:
            await self.commit()
            await asyncio.sleep(0.05)

    def books(self):
        return self.reader.outbox()

    @contextlib.asynccontextmanager
    async def running(self):
        tasks = [asyncio.create_task(self.sender.run()), asyncio.create_task(self.work())]
        try:
            yield
        finally:
            tasks[0].cancel()
            await asyncio.gather(tasks[0], return_exceptions=True)
            tasks[1].cancel()
            await asyncio.gather(tasks[1], return_exceptions=True)
            await self.store.close()


@contextlib.asynccontextmanager
async def central(port, got, **arguments):
    link = MqttLink(
        host="127.0.0.1",
        port=port,
        client_id="central",
        on_message=lambda m: got.append((m.topic, json.loads(m.payload))),
        **arguments,
    )
    link.subscribe([("fieldwarden/1/#", 1)])
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def events_in(got):
    return [int(d["data"]["change"]) for _, d in got if d["stream"] == "event"]


@pytest.fixture
def broker(tmp_path):
    broker = Mosquitto(tmp_path, "max_queued_messages 100000")
    broker.start()
    yield broker
    broker.stop()


async def test_rows_arrive_in_order_and_are_deleted_after_puback(tmp_path, broker):
    """Everything committed arrives once, in order, with seq 1, 2, ...; then the outbox is empty."""
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        gateway = Gateway(tmp_path, broker.port)
        async with gateway.running():
            gateway.tell(250)
            await until(lambda: gateway.books()["delivered"] == 250)
            assert gateway.books()["pending"] == 0
    events = [d for t, d in got if d["stream"] == "event"]
    assert events_in(got) == list(range(1, 251))
    assert [d["seq"] for d in events] == list(range(1, 251))
    assert {t for t, d in got if d["stream"] == "event"} == {"fieldwarden/1/north/gw/event"}
    assert not any(d["historical"] for d in events)


async def test_birth_goodbye_and_will(tmp_path, broker):
    """State says online at each connection and offline at the end, retained, numbered upwards."""
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        gateway = Gateway(tmp_path, broker.port)
        async with gateway.running():
            await until(lambda: gateway.sender.report()["connected"])
            gateway.sender._link._connection._client.socket().shutdown(2)
            await until(lambda: sum(d["data"]["online"] for _, d in got) == 2)
        await until(lambda: len(got) == 4)
    said = [(d["data"]["online"], d["data"]["reason"]) for _, d in got]
    assert said == [
        (True, "connected"),
        (False, "connection lost"),
        (True, "connected"),
        (False, "stopped"),
    ]
    assert [d["seq"] for _, d in got] == [1, 2, 3, 4]


async def test_an_absent_broker_at_start_and_an_outage_lose_nothing(tmp_path):
    """Started without a broker, killed broker in between: each event arrives, late ones marked."""
    broker = Mosquitto(tmp_path)
    gateway = Gateway(tmp_path, broker.port)
    got: list = []
    try:
        async with central(broker.port, got), gateway.running():
            gateway.tell(30, age_s=120)
            await until(lambda: gateway.books()["pending"] == 30)
            await asyncio.sleep(0.3)
            broker.start()
            await until(lambda: gateway.books()["delivered"] >= 30)
            broker.kill()
            gateway.tell(40)
            await until(lambda: not gateway.sender.report()["connected"])
            gateway.tell(40)
            await until(lambda: gateway.books()["pending"] == 80)
            broker.start()
            await until(lambda: gateway.books()["delivered"] == 110)
            await until(lambda: len(set(events_in(got))) == 110)
    finally:
        broker.stop()
    assert sorted(set(events_in(got))) == list(range(1, 111))
    keys = {
        (d["gateway"], d["boot"], d["stream"], d["seq"]) for _, d in got if d["stream"] == "event"
    }
    assert len(keys) == 110
    historical = {int(d["data"]["change"]) for _, d in got if d["historical"]}
    assert historical == set(range(1, 31))


async def test_nothing_is_lost_to_a_broker_that_forgot_the_subscriber(tmp_path, broker):
    """While central is not (yet) subscribed after a connect, PUBACK does not count as delivery."""
    gateway = Gateway(tmp_path, broker.port)
    got: list = []
    async with gateway.running():
        await until(lambda: gateway.sender.report()["connected"])
        gateway.tell(5)
        await until(lambda: "not subscribed" in gateway.sender.report()["reason"])
        assert gateway.books()["delivered"] == 0
        async with central(broker.port, got):
            await until(lambda: gateway.books()["delivered"] == 5)
        assert gateway.sender.report()["reason"] == "connected"
    assert events_in(got) == [1, 2, 3, 4, 5]


async def test_without_any_subscriber_puback_counts_after_the_grace(tmp_path, broker, monkeypatch):
    """Where nobody ever subscribes the outbox does not fill up: after the grace PUBACK counts."""
    monkeypatch.setattr(sender_module, "GRACE_NS", 500_000_000)
    gateway = Gateway(tmp_path, broker.port)
    async with gateway.running():
        gateway.tell(5)
        await until(lambda: gateway.books()["delivered"] == 5)


async def test_rows_in_flight_are_not_sent_twice(tmp_path, broker):
    """Many wake-ups while PUBACKs are outstanding send nothing a second time."""
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        gateway = Gateway(tmp_path, broker.port)
        async with gateway.running():
            for _ in range(40):
                gateway.tell(10)
                await gateway.commit()
                gateway.sender._rewind()
                await asyncio.sleep(0.005)
            await until(lambda: gateway.books()["delivered"] == 400)
    assert sorted(events_in(got)) == list(range(1, 401))


async def test_expired_verdicts_are_not_sent(tmp_path, broker):
    """A verdict that ran out during an outage is dropped and counted, without a gap record."""
    gateway = Gateway(tmp_path, broker.port)
    now = time.time_ns()
    for model, age_s in (("old", 60), ("new", 0)):
        then = now - age_s * 10**9
        gateway.say(
            verdict_message(
                model, "trusted", [], time_ns=then, since_ns=then, valid_until_ns=then + 30 * 10**9
            )
        )
    got: list = []
    async with central(broker.port, got), gateway.running():
        await until(lambda: sum(d["stream"] != "state" for _, d in got) > 0)
        await until(lambda: gateway.books()["pending"] == 0)
    assert [t for t, d in got if d["stream"] != "state"] == ["fieldwarden/1/north/gw/verdict/new"]
    assert gateway.reader.outbox()["dropped"] == {"rejected: expired": 1}


async def test_a_message_the_broker_never_takes_does_not_block_the_others(tmp_path):
    """Too large for the broker: dropped, counted, told in a gap record; the others arrive."""
    broker = Mosquitto(tmp_path, "max_packet_size 4000")
    broker.start()
    gateway = Gateway(tmp_path, broker.port)
    got: list = []
    try:
        async with central(broker.port, got) as link, gateway.running():
            await until(lambda: link.connected)
            gateway.tell(2)
            big = Event("engine", time.time_ns(), "gateway", {"change": "3", "x": "y" * 5000})
            gateway._waiting.append((3, big))
            gateway.told = 3
            gateway.tell(2)
            await until(lambda: gateway.books()["pending"] == 0)
            await until(lambda: any(d["stream"] == "gap" for _, d in got))
    finally:
        broker.stop()
    assert events_in(got) == [1, 2, 4, 5]
    (gap,) = [d["data"] for _, d in got if d["stream"] == "gap"]
    assert (gap["of"], gap["ranges"], gap["count"]) == ("event", [[3, 3]], 1)


async def test_not_authorised_is_shown_and_kept(tmp_path):
    """A broker that forbids the topic loses nothing: rows stay, the reason is shown."""
    (tmp_path / "acl").write_text("topic write other/#\n", encoding="utf-8")
    broker = Mosquitto(tmp_path, f"acl_file {tmp_path / 'acl'}")
    broker.start()
    gateway = Gateway(tmp_path, broker.port)
    try:
        async with gateway.running():
            gateway.tell(3)
            await until(lambda: "Not authorized" in gateway.sender.report()["reason"])
            await asyncio.sleep(0.2)
            assert gateway.books()["pending"] == 3
    finally:
        broker.stop()


async def test_a_restart_resends_only_what_was_not_deleted(tmp_path, broker):
    """After a restart of the agent pending rows are sent with the seq they had, boot included."""
    port = free_port()
    gateway = Gateway(tmp_path, port)
    async with gateway.running():
        gateway.tell(4)
        await until(lambda: gateway.books()["pending"] == 4)
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        again = Gateway(tmp_path, broker.port)
        again.told = 4
        async with again.running():
            again.tell(1)
            await until(lambda: again.books()["delivered"] == 5)
    keys = [(d["boot"], d["seq"]) for _, d in got if d["stream"] == "event"]
    assert keys == [(1, 1), (1, 2), (1, 3), (1, 4), (2, 5)]
