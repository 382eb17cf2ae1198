"""The forwarder against a real store and a real broker that is absent, killed, deaf or refusing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import jsonschema
import pytest

from agent.forward import FORMS, Identity, Sender, Uplink
from agent.forward import sender as sender_module
from agent.forward.blame import GUILTY, SUSPECT
from agent.forward.json_payload import event_message, schema, verdict_message
from agent.forward.spread import spread_ns
from agent.mqtt import MqttLink
from agent.mqtt import link as link_module
from agent.mqtt.client import FIVE, THREE
from agent.store import Batch, OutboxMessage, Reader, Store
from agent.store import acknowledge as acknowledge_module
from agent.types import Event
from simulators.ports import free_port
from tests.mosquitto import Mosquitto
from tests.waiting import until

MB = 1_000_000


class Gateway:
    """Store and sender with a commit every 50 ms, as the application does once a second."""

    def __init__(
        self, folder, port, time_quality=lambda: "unknown", told=dict, **link
    ):
        self.path = folder / "store.sqlite"
        self.store = Store.open(
            self.path,
            journal_limit_bytes=10 * MB,
            outbox_limit_bytes=10 * MB,
            delivery=link.get("delivery", "auto"),
        )
        self.reader = Reader(self.path)
        self.sender = Sender(
            Reader(self.path),
            FORMS["json"],
            Identity("north", "gw", self.store.store_id),
            Uplink("127.0.0.1", port, **link),
            boot=self.store.boot,
            version="1",
            now_ns=time.time_ns,
            time_quality=time_quality,
            told=told,
        )
        self.of_itself = told
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
            batch = Batch(
                delivered=delivered,
                rejected=rejected,
                acknowledged=self.sender.take_acknowledged(),
            )
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
async def central(port, got, name="central", **arguments):
    link = MqttLink(
        host="127.0.0.1",
        port=port,
        client_id=name,
        on_message=lambda m: (
            None if m.topic.endswith("/central") else got.append((m.topic, json.loads(m.payload)))
        ),
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


async def test_the_state_is_said_again_when_the_clock_is_set(tmp_path, broker):
    """With the next commit, under its number and retained: central need not wait for anything."""
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        quality = "implausible"
        gateway = Gateway(tmp_path, broker.port, time_quality=lambda: quality)
        async with gateway.running():
            await until(lambda: len(got) == 1)
            await gateway.commit()
            quality = "synchronised"
            await until(lambda: len(got) == 2)
            await gateway.commit()
            async with central(broker.port, later := [], name="later"):
                await until(lambda: later)
        await until(lambda: len(got) == 3)
    assert [(d["seq"], d["time_quality"], d["data"]["online"]) for _, d in got] == [
        (1, "implausible", True),
        (1, "synchronised", True),
        (2, "synchronised", False),
    ]
    assert later[0][1]["time_quality"] == "synchronised"


async def test_the_state_is_said_again_when_a_change_opens_or_ends(tmp_path, broker):
    """Central need not wait for the next connection, nor for an event; nothing is said twice."""
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        told = {"hash": "", "open_changes": 0}
        gateway = Gateway(tmp_path, broker.port, told=lambda: {"contract": told})
        async with gateway.running():
            await until(lambda: len(got) == 1)
            for count in (1, 0):
                told = {"hash": "", "open_changes": count}
                await until(lambda: got[-1][1]["data"].items() >= gateway.of_itself().items())
                told = dict(told)
                await gateway.commit()
                await gateway.commit()
        await until(lambda: len(got) == 4)
    said = [(d["seq"], d["data"].get("contract", {}).get("open_changes")) for _, d in got]
    assert said == [(1, 0), (1, 1), (1, 0), (2, None)]


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
                gateway.sender._lanes.again()
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
    await gateway.commit()
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        async with gateway.running():
            await until(lambda: sum(d["stream"] != "state" for _, d in got) > 0)
            await until(lambda: gateway.books()["pending"] == 0)
    told = [t for t, d in got if d["stream"] != "state"]
    assert told == ["fieldwarden/1/north/gw/verdict/new"]
    assert gateway.reader.outbox()["dropped"] == {"rejected: expired": 1}


async def test_a_window_that_has_just_ended_waits_its_part_and_nothing_else_does(tmp_path, broker):
    """Events, verdicts and older windows go at once."""
    window_ns = 100 * 10**9
    part_s = spread_ns("north", "gw", window_ns) / 10**9
    assert 2 < part_s < 8
    gateway = Gateway(tmp_path, broker.port)
    arrived: dict = {}
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        async with gateway.running():
            await until(lambda: got)
            now = time.time_ns()
            gateway.say(summary(now, window_ns))
            gateway.say(summary(now - 60 * 10**9, window_ns))
            gateway.tell(1)
            gateway.say(
                verdict_message("m", "trusted", [], time_ns=now, since_ns=now, valid_until_ns=2**62)
            )
            while len(arrived) < 4:
                await asyncio.sleep(0.02)
                for _, told in got:
                    if told["stream"] != "state":
                        arrived.setdefault((told["stream"], told["seq"]), time.time_ns())
                assert time.time_ns() - now < 60 * 10**9
            await until(lambda: gateway.books()["pending"] == 0)
    late_s = {key: (at - now) / 10**9 for key, at in arrived.items()}
    assert late_s.pop(("summary", 1)) > part_s > max(late_s.values())
    assert late_s.keys() == {("summary", 2), ("event", 1), ("verdict", 1)}


def summary(end_ns, window_ns):
    common = {"model": "m", "start_ns": end_ns - window_ns, "end_ns": end_ns}
    payload = json.dumps({"common": common, "columns": {"tag": ["a"]}}).encode()
    return OutboxMessage("summary", "summary", payload, end_ns)


MUCH = {f"x{i}": "y" * 70 for i in range(80)}  # nothing of it can be left out


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
            big = Event("engine", time.time_ns(), "gateway", {"change": "3", **MUCH})
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
    before, now = gateway.store.boot, again.store.boot
    assert sorted(keys) == [*((before, seq) for seq in (1, 2, 3, 4)), (now, 1)]


def answer(gateway, received, **more):
    document = {"schema": 1, "store": gateway.store.store_id, "central": "c", "received": received}
    return json.dumps({**document, **more})


async def acknowledge(link, gateway, through, missing=(), boot=None, stream="event"):
    one = {"boot": boot or gateway.store.boot, "stream": stream, "through": through}
    payload = answer(gateway, [{**one, "missing": [list(pair) for pair in missing]}])
    await link.publish("fieldwarden/1/north/gw/central", payload.encode())


async def test_rows_stay_until_central_acknowledges_and_come_again_where_missing(
    tmp_path, broker, monkeypatch
):
    """Once a central spoke, PUBACK alone deletes nothing: what it misses is sent again, at once
    after a restart too, and what it has is deleted; the sums stay exact.
    """
    monkeypatch.setattr(acknowledge_module, "AGAIN_S", 0)
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        gateway = Gateway(tmp_path, broker.port)
        async with gateway.running():
            gateway.tell(10)
            await until(lambda: len(events_in(got)) == 10)
            await until(lambda: gateway.books()["delivered"] == 10)
            await acknowledge(link, gateway, 4)
            await until(lambda: gateway.books()["confirmed"])
            books = gateway.books()
            assert (books["delivered"], books["pending"]) == (4, 6)
            await acknowledge(link, gateway, 10, [(6, 7)])
            await until(lambda: events_in(got)[10:] == [6, 7])
            assert gateway.books()["pending"] == 2
            await until(lambda: gateway.reader.unacknowledged(9))
        state = [d["data"] for t, d in got if t.endswith("/state")]
        again = Gateway(tmp_path, broker.port)
        async with again.running():
            await until(lambda: sum(t.endswith("/state") for t, _ in got) > len(state))
            birth = [d for t, d in got if t.endswith("/state")][-1]["data"]
            held = {"boot": gateway.store.boot, "stream": "event", "first": 6, "last": 7}
            assert birth["unacknowledged"] == [held]
            assert birth["acknowledged"][0]["through"] == 5
            await acknowledge(link, again, 10, boot=gateway.store.boot)
            await until(lambda: again.books()["pending"] == 0)
        assert again.books()["delivered"] == 10


async def test_the_state_is_said_again_where_central_lacks_what_was_acknowledged(
    tmp_path, broker, monkeypatch
):
    """Under its number, with how far was acknowledged; one answer may only be late; no gap."""
    monkeypatch.setattr(acknowledge_module, "AGAIN_S", 600)
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        gateway = Gateway(tmp_path, broker.port)
        async with gateway.running():
            gateway.tell(3)
            await until(lambda: len(events_in(got)) == 3)
            await acknowledge(link, gateway, 3)
            await until(lambda: gateway.reader.acknowledged(9))
            for _ in range(2):
                await acknowledge(link, gateway, 3, [(1, 2)])
                await asyncio.sleep(0.2)
            assert gateway.reader.lacked() == 0
            monkeypatch.setattr(acknowledge_module, "AGAIN_S", 1)
            await asyncio.sleep(2)
            await acknowledge(link, gateway, 3, [(1, 2)])
            await until(lambda: sum(t.endswith("/state") for t, _ in got) == 2, 3)
            await gateway.commit()
            assert gateway.reader.outbox()["pending"] == 0
    states = [d for t, d in got if t.endswith("/state")]
    assert [(d["seq"], d["data"]["online"]) for d in states] == [(1, True), (1, True), (2, False)]
    (had,) = states[1]["data"]["acknowledged"]
    assert (had["stream"], had["through"]) == ("event", 3)
    assert {d["stream"] for _, d in got} == {"state", "event"}


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"[]", b"null", b"{" * 100_000, b"[" * 100_000, b"9" * 5_000, b"\xff\xfe",
        b'{"schema":1,"store":"STORE","received":[{"boot":BOOT,"stream":"event","through":9}]}',
        b'{"schema":1,"store":"00000000","received":[{"boot":BOOT,"stream":"event","through":3}]}',
        b'{"schema":1,"store":"STORE","received":[{"boot":BOOT,"stream":"gap","missing":[[3,1]]}]}',
        b'{"schema":1,"store":"STORE","received":[{"boot":BOOT,"stream":"event","through":true}]}',
        b'{"schema":1,"store":"STORE","received":[{"boot":BOOT,"stream":"state","through":1}]}',
        b'{"schema":1,"store":"STORE","received":[{"boot":1,"stream":"event","through":1}]}',
        b'{"schema":1,"store":"STORE","received":[{"boot":BOOT,"stream":"event","through":3},4]}',
    ],
)  # fmt: skip
async def test_a_false_acknowledgement_changes_nothing_and_is_counted(tmp_path, broker, payload):
    """Of another store, of numbers never sent, out of order, broken or huge: refused as a whole."""
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        gateway = Gateway(tmp_path, broker.port, delivery="central")
        async with gateway.running():
            gateway.tell(3)
            await until(lambda: len(events_in(got)) == 3)
            payload = payload.replace(b"STORE", gateway.store.store_id.encode())
            payload = payload.replace(b"BOOT", str(gateway.store.boot).encode())
            got_not_json = "fieldwarden/1/north/gw/central"
            with contextlib.suppress(ValueError):
                await link.publish(got_not_json, payload)

            def refused():
                told = gateway.sender.report()["answers_refused"]
                return told + gateway.books()["acknowledgements_refused"]

            await until(lambda: refused() == 1)
            assert gateway.books()["pending"] == 3
            await acknowledge(link, gateway, 3)
            await until(lambda: gateway.books()["pending"] == 0)


async def test_an_answer_of_any_size_stops_nobody(tmp_path, broker):
    """By MQTT 3.1.1, whose brokers know no limit: left out and counted; rows go on."""
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        gateway = Gateway(tmp_path, broker.port, delivery="central")
        gateway.sender._link._fixed, gateway.sender._link._version = True, THREE
        async with gateway.running():
            gateway.tell(1)
            await until(lambda: events_in(got) == [1])
            for below in ("central", "state"):
                await link.publish(f"fieldwarden/1/north/gw/{below}", b"[" * 5_000_000)
            await until(lambda: gateway.sender.report()["answers_refused"] == 1)
            gateway.tell(1)
            await until(lambda: events_in(got) == [1, 2])
            await acknowledge(link, gateway, 2)
            await until(lambda: gateway.books()["pending"] == 0)
        assert gateway.sender._announcer.connections == 1


async def test_delivery_by_the_broker_alone(tmp_path, broker):
    """With delivery = "broker" PUBACK deletes, and what a central says means nothing."""
    got: list = []
    async with central(broker.port, got) as link:
        await until(lambda: link.connected)
        gateway = Gateway(tmp_path, broker.port, delivery="broker")
        async with gateway.running():
            gateway.tell(3)
            await until(lambda: gateway.books()["delivered"] == 3)
            assert gateway.reader._all("SELECT count(*) FROM outbox") == [(0,)]


async def test_a_code_that_the_client_can_not_name_blocks_nothing(tmp_path):
    """mosquitto's message_size_limit answers 0x95: put aside with its reason, the others flow."""
    broker = Mosquitto(tmp_path, "message_size_limit 2000")
    broker.start()
    gateway = Gateway(tmp_path, broker.port)
    got: list = []
    try:
        async with central(broker.port, got) as link, gateway.running():
            await until(lambda: link.connected)
            gateway.tell(2)
            big = Event("engine", time.time_ns(), "gateway", {"change": "3", **MUCH})
            gateway._waiting.append((3, big))
            gateway.told = 3
            gateway.tell(2)
            await until(lambda: events_in(got) == [1, 2, 4, 5])
            await until(lambda: any(d["stream"] == "gap" for _, d in got))
    finally:
        broker.stop()
    aside = gateway.books()["dead_letters"]
    assert (aside["count"], aside["last_reason"]) == (1, "Packet too large")
    (letter,) = Reader(gateway.path).dead_letters()
    assert (letter["stream"], letter["seq"], b"yyyy" in letter["payload"]) == ("event", 3, True)


DAMAGE = {
    "payload": "payload = X'7B6E6F7421'",
    "list": "payload = X'5B5D'",
    "covers": "covers = '[[1,'",
    "topic": "topic = CAST(X'FFFE' AS TEXT)",
    "time": "time_ns = 9223372036854775807, stream = CAST(X'C3' AS TEXT)",
}


@pytest.mark.parametrize("how", DAMAGE)
async def test_a_damaged_row_blocks_nothing(tmp_path, broker, how):
    """A row that can not be said is put aside with its reason; all the others arrive."""
    gateway = Gateway(tmp_path, broker.port)
    gateway.tell(4)
    await gateway.commit()
    await gateway.store._in_thread(
        lambda: gateway.store._writer.connection.execute(
            f"UPDATE outbox SET {DAMAGE[how]} WHERE seq = 2"
        )
    )
    got: list = []
    async with central(broker.port, got) as link, gateway.running():
        await until(lambda: link.connected)
        await until(lambda: sorted(set(events_in(got))) == [1, 3, 4])
        await until(lambda: gateway.books()["dead_letters"]["count"] == 1)


class Proxy:
    """Between gateway and broker; hangs up when a packet holds `word`; what comes within `delay_s`
    goes on together, or not at all.
    """

    def __init__(self, port, word, delay_s=0.0):
        self.upstream, self.word, self.delay_s, self.hung_up = port, word, delay_s, 0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def _serve(self, reader, writer):
        there, back = await asyncio.open_connection("127.0.0.1", self.upstream)

        async def pump(source, sink, word):
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    if word and self.delay_s:
                        await asyncio.sleep(self.delay_s)
                        data += source._buffer
                        source._buffer.clear()
                    if word and word in data:
                        self.hung_up += 1
                        break
                    sink.write(data)
                    await sink.drain()
            writer.close()
            back.close()

        await asyncio.gather(pump(reader, back, self.word), pump(there, writer, None))


async def test_a_row_on_which_the_broker_hangs_up_is_given_up(tmp_path, broker, monkeypatch):
    """Others are sent first, it alone; after some connections it is put aside; nothing else is."""
    monkeypatch.setattr(link_module, "FIRST_RETRY_S", 0.02)
    got: list = []
    async with central(broker.port, got) as link, Proxy(broker.port, b"poison") as proxy:
        await until(lambda: link.connected)
        gateway = Gateway(tmp_path, proxy.port)
        async with gateway.running():
            gateway.tell(3)
            await until(lambda: len(events_in(got)) == 3)
            bad = Event("engine", time.time_ns(), "gateway", {"change": "4", "x": "poison"})
            gateway._waiting.append((4, bad))
            gateway.told = 4
            await gateway.commit()
            gateway.tell(20)
            await until(lambda: set(events_in(got)) == {1, 2, 3, *range(5, 25)})
            await until(lambda: gateway.books()["dead_letters"]["count"] == 1)
            gateway.tell(1)
            await until(lambda: 25 in events_in(got))
    # Two more where the answer of a row before it was lost on the way, with the connection.
    assert GUILTY <= proxy.hung_up <= GUILTY + SUSPECT
    assert Reader(gateway.path).dead_letters()[0]["seq"] == 4


async def test_rows_before_the_one_on_which_the_broker_hangs_up_are_not_to_blame(
    tmp_path, broker, monkeypatch
):
    """However many go out with it and are lost with it: it takes no more connections."""
    monkeypatch.setattr(link_module, "FIRST_RETRY_S", 0.02)
    got: list = []
    async with central(broker.port, got) as link, Proxy(broker.port, b"poison", 0.05) as proxy:
        await until(lambda: link.connected)
        gateway = Gateway(tmp_path, proxy.port)
        gateway.tell(10)
        bad = Event("engine", time.time_ns(), "gateway", {"change": "11", "x": "poison"})
        gateway._waiting.append((11, bad))
        gateway.told = 11
        gateway.tell(10)
        await gateway.commit()
        async with gateway.running():
            await until(lambda: gateway.books()["dead_letters"]["count"] == 1)
            await until(lambda: set(events_in(got)) == {*range(1, 11), *range(12, 22)})
            gateway.tell(150)
            await until(lambda: events_in(got)[-1] == 171)
    assert GUILTY <= proxy.hung_up <= GUILTY + SUSPECT
    assert Reader(gateway.path).dead_letters()[0]["seq"] == 11


async def test_live_events_overtake_a_backlog(tmp_path, broker):
    """While thousands of old events drain in order, a new one arrives within a second: before what
    is sent in one at most.
    """
    gateway = Gateway(tmp_path, broker.port)
    gateway.tell(6_000, age_s=300)
    await gateway.commit()
    got: list = []
    async with central(broker.port, got) as link, gateway.running():
        await until(lambda: link.connected)
        await until(lambda: len(events_in(got)) > 500)
        for number in (6_001, 6_002):
            before = len(set(events_in(got)))
            gateway.tell(1)
            await until(lambda number=number: number in events_in(got))
            assert events_in(got).index(number) - before <= sender_module.MESSAGES_PER_S
            assert len(set(events_in(got))) < 5_000
        await until(lambda: len(set(events_in(got))) == 6_002)
    backlog = [number for number in events_in(got) if number <= 6_000]
    assert backlog == sorted(backlog)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_two_gateways_of_one_name_are_told(tmp_path, broker, caplog, protocol, monkeypatch):
    """Both say so, once, in status and log, and then try seldom."""
    pairs = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        gateway = Gateway(tmp_path / name, broker.port)
        gateway.sender._link._fixed = True
        monkeypatch.setattr(
            gateway.sender._link, "_version", THREE if protocol == "3.1.1" else FIVE
        )
        pairs.append(gateway)
    one, two = pairs

    def told(gateway):
        return "two gateways are named north/gw" in gateway.sender.report()["reason"]

    async with one.running(), two.running():
        await until(lambda: told(one) and told(two))
        count = sum("two gateways" in record.message for record in caplog.records)
        await asyncio.sleep(1)
        assert count == sum("two gateways" in r.message for r in caplog.records) == 2
    assert "another client took over the name fieldwarden-north-gw" in caplog.text


async def test_a_verdict_that_is_too_large_leaves_no_older_one_standing(tmp_path):
    """Where the broker refuses the whole, what matters most of it is said."""
    reasons = [{"text": "t" * 400, "hint": "h" * 400, "cause": "sensor", "kind": "stuck"}] * 3
    now = time.time_ns()
    broker = Mosquitto(tmp_path, "message_size_limit 900")
    broker.start()
    gateway, got = Gateway(tmp_path, broker.port), []
    try:
        async with central(broker.port, got), gateway.running():
            await say_verdict(gateway, "trusted", [], now)
            await until(lambda: verdicts_in(got)[-1:] == ["trusted"])
            await say_verdict(gateway, "untrusted", reasons, now + 1)
            await until(lambda: verdicts_in(got)[-1:] == ["untrusted"])
    finally:
        broker.stop()
    told = next(d for t, d in reversed(got) if "/verdict/" in t)["data"]
    assert told["shortened"] and told["reasons"][0]["text"] == "t" * 80
    jsonschema.validate(told, schema("verdict")["properties"]["data"])


async def say_verdict(gateway, verdict, reasons, time_ns):
    gateway.say(
        verdict_message(
            "m", verdict, reasons, time_ns=time_ns, since_ns=time_ns,
            valid_until_ns=time_ns + 300 * 10**9,
        )
    )  # fmt: skip
    await gateway.commit()


def verdicts_in(got):
    return [d["data"]["verdict"] for t, d in got if "/verdict/" in t]
