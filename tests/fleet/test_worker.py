"""Workers on a real mosquitto: shared, acknowledged after the commit, bounded, and honest."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from collections import Counter

import pytest

from agent.central.reading import Reading
from agent.configuration.connection import Broker
from agent.errors import StoreError
from agent.fleet import intake, look
from agent.fleet.configuration import Central, FleetConfiguration
from agent.fleet.database import Database
from agent.fleet.intake import RECEIVE_MAXIMUM
from agent.fleet.ledger import Ledger, Owed, Settled
from agent.fleet.prepare import end_sessions, retired
from agent.fleet.worker import Worker, filters
from agent.mqtt import Message, MqttLink
from tests.central.fake_gateway import FakeGateway, Online, running
from tests.mosquitto import Mosquitto
from tests.waiting import PATIENCE_S, until

pytest.importorskip("sqlalchemy")


@pytest.fixture
def broker(tmp_path):
    broker = Mosquitto(tmp_path, "max_queued_messages 0")
    broker.start()
    yield broker
    broker.stop()


class Books:
    """In place of a ledger: what was committed, and how often."""

    def __init__(self):
        self.committed: Counter[tuple] = Counter()
        self.topics: list[str] = []
        self.receipts = []
        self.poison: set[tuple] = set()
        self.away = 0  # so many times it is not there
        self.full = False  # there is room for a beat
        self.open = threading.Event()
        self.open.set()
        self.largest = 0
        self.beats: list[dict] = []
        self.asked = 0

    def settle(self, arrivals):
        self.open.wait(PATIENCE_S)
        if self.away:
            self.away -= 1
            raise StoreError("writing", "the database", "it is away", "start it")
        keys = [self._key(one) for one in arrivals]
        if self.poison.intersection(keys):
            raise ValueError("what nobody can store")
        self.largest = max(self.largest, len(arrivals))
        self.committed.update(keys)
        self.topics += [one.receipt.topic for one in arrivals]
        self.receipts += [one.receipt for one in arrivals]
        readings = [one.reading for one in arrivals if isinstance(one.reading, Reading)]
        owed = [
            Owed(one.site, one.gateway, one.store, one.stream == "state", [
                {"boot": one.boot, "stream": "event", "through": one.seq, "missing": []}
            ])
            for one in readings
            if one.stream in {"event", "state"}
        ]  # fmt: skip
        return Settled(len(arrivals), len(arrivals), 0, 0, owed)

    @staticmethod
    def _key(arrival):
        reading = arrival.reading
        if isinstance(reading, Reading):
            return reading.gateway, reading.stream, reading.seq
        return arrival.receipt.topic, "unreadable", 0

    def owed(self, names):
        self.asked += 1
        return [Owed(*name, False, []) for name in names]

    def unsettled(self, most=1_000):
        return []

    def beat(self, name, **counts):
        if self.away and not self.full:
            raise StoreError("writing", "the database", "it is away", "start it")
        self.beats.append({"name": name, **counts})


def configured(port, **central):
    return FleetConfiguration(
        schema=1, broker=Broker(host="127.0.0.1", port=port), central=Central(**central)
    )


class At:
    """Workers running in this process, ended with the block."""

    def __init__(self, port, books, *numbers, fresh=True, **central):
        self.stop = asyncio.Event()
        configuration = configured(port, **central)
        self.workers = [Worker(configuration, one, books, fresh=fresh) for one in numbers]

    async def __aenter__(self):
        self.tasks = [asyncio.create_task(one.run(self.stop)) for one in self.workers]
        await until(lambda: all(one._link.connected for one in self.workers))
        await asyncio.sleep(0.2)  # for the subscriptions, which nobody acknowledges to us
        return self

    async def __aexit__(self, *_):
        self.stop.set()
        await asyncio.gather(*self.tasks)

    async def killed(self):
        """As by SIGKILL: no goodbye, nothing finished."""
        for worker in self.workers:
            worker._link._connection.close("killed")
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks = []


async def acknowledged(worker):
    """The broker has read all acknowledgements: it answers what came after them."""
    await asyncio.sleep(0.05)  # they are written in the next turn of the loop
    await worker._link.publish("nobody/listens", b"")


async def published(port, gateways, count):
    """`count` events of each gateway, in turn."""
    link = MqttLink(host="127.0.0.1", port=port, client_id="many", max_inflight=1_000)
    async with running(link.run()):
        await until(lambda: link.connected)
        sent = []
        for _ in range(count):
            for gateway in gateways:
                row = gateway.make(7)
                sent.append(link.publish(gateway.topic, gateway.held[row]))
        await asyncio.gather(*sent)


async def test_each_message_goes_to_one_worker_and_is_acknowledged_to_its_gateway(broker):
    """Two workers share; neither is given what central itself says."""
    gateways, books = [FakeGateway(f"gw-{one}") for one in range(4)], Books()
    online = [Online(one, broker.port) for one in gateways]
    async with At(broker.port, books, 1, 2) as at, running(*(one.link.run() for one in online)):
        await until(lambda: all(one.link.connected for one in online))
        for gateway, one in zip(gateways, online, strict=True):
            for _ in range(20):
                one.send(gateway.make(7))
        await until(lambda: not any(one.held for one in gateways))
        took = [one.sums.messages for one in at.workers]
    events = {key: count for key, count in books.committed.items() if key[1] == "event"}
    assert events.keys() == {(one.identity.gateway, "event", n) for one in gateways
                             for n in range(1, 21)}  # fmt: skip
    # A gateway that is answered late sends again; what was sent goes to one worker, never to both.
    assert sum(events.values()) <= sum(one.sent for one in online)
    assert min(took) > 20
    assert not any(topic.endswith("/central") for topic in books.topics)
    assert {beat["name"] for beat in books.beats} == {"central-1", "central-2"}


async def test_a_worker_killed_before_the_commit_gets_it_again_and_after_it_does_not(broker):
    """The broker is told after the commit, and only then."""
    gateway, books = FakeGateway(), Books()
    async with At(broker.port, books, 1) as at:
        books.open.clear()
        await published(broker.port, [gateway], 3)
        await until(lambda: not len(at.workers[0]._intake))  # it is under way
        await at.killed()
    books.open.set()
    await until(lambda: sum(books.committed.values()) == 3)  # that thread did commit
    async with At(broker.port, books, 1, fresh=False):
        await until(lambda: sum(books.committed.values()) == 6)  # and all three came again
    async with At(broker.port, books, 1, fresh=False):
        await published(broker.port, [gateway], 1)
        await until(lambda: books.committed["gw", "event", 4])
    assert books.committed["gw", "event", 1] == 2


async def test_what_a_worker_holds_is_bounded_however_much_there_is(broker):
    """The database stands still: the broker keeps the rest, and nothing of it is lost."""
    gateway, books = FakeGateway(), Books()
    count = RECEIVE_MAXIMUM + 3_000
    async with At(broker.port, books, 1) as at:
        held = []
        books.open.clear()
        await published(broker.port, [gateway], count)
        await until(lambda: len(at.workers[0]._intake) > RECEIVE_MAXIMUM - intake.BATCH - 1)
        for _ in range(20):
            held.append(len(at.workers[0]._intake))
            await asyncio.sleep(0.02)
        books.open.set()
        await until(lambda: len(books.committed) == count)
    assert max(held) <= RECEIVE_MAXIMUM
    assert books.largest <= intake.BATCH
    assert set(books.committed.values()) == {1}


async def test_births_that_the_broker_kept_are_read_at_the_start_though_nobody_sends_them(
    broker, monkeypatch
):
    """A shared subscription is given none; the look leaves nothing behind at the broker."""
    monkeypatch.setattr(look, "QUIET_S", 0.5)
    gateways = [FakeGateway(f"gw-{one}") for one in range(30)]
    link = MqttLink(host="127.0.0.1", port=broker.port, client_id="many")
    async with running(link.run()):
        await until(lambda: link.connected)
        for one in gateways:
            await link.publish(one.topic_of("state"), one.born(7), retain=True)
            await link.publish(one.topic_of("verdict/m"), b"{}", retain=True)
        books = Books()
        async with At(broker.port, books, 1, 2) as at:
            await until(lambda: at.workers[0]._looking is not None)
            await until(at.workers[0]._looking.done)
            births = {key[0] for key in books.committed if key[1] == "state"}
            assert births == {one.identity.gateway for one in gateways}
            assert all(one.retained for one in books.receipts)
            assert len(books.topics) == 60  # no worker was sent them again, as mosquitto would
            assert at.workers[1]._looking is None
            before = len(books.topics)
            await link.publish(gateways[0].topic_of("state"), gateways[0].born(7), retain=True)
            await until(lambda: len(books.topics) > before)
            await asyncio.sleep(0.3)
            assert len(books.topics) == before + 1  # by the shared subscription alone
    again = Books()
    async with At(broker.port, again, 1, fresh=False) as at:
        await asyncio.sleep(0.3)
        assert at.workers[0]._looking is None  # its session was kept: it missed nothing


async def test_a_database_that_is_away_is_waited_for_told_and_nothing_is_acknowledged(
    broker, caplog
):
    """Once in the log, with the hint; in the beat for the page; and well again by itself."""
    gateway, books = FakeGateway(), Books()
    books.away = 3
    with caplog.at_level(logging.INFO):
        async with At(broker.port, books, 1) as at:
            await published(broker.port, [gateway], 5)
            await until(lambda: "it is away" in at.workers[0].trouble)
            await until(lambda: len(books.committed) == 5)
            await until(lambda: at.workers[0].trouble == "")
    told = [one.getMessage() for one in caplog.records if "nothing is acknowledged" in one.message]
    assert len(told) == 1 and "hint: start it" in told[0]
    assert set(books.committed.values()) == {1}


async def test_a_database_that_can_only_be_read_is_not_there_again(broker, caplog):
    """Questions that it answers meanwhile end no trouble: neither in the log nor on the page."""
    gateway, books = FakeGateway(), Books()
    books.away = 10**6
    with caplog.at_level(logging.INFO):
        async with At(broker.port, books, 1) as at:
            await published(broker.port, [gateway], 1)
            await until(lambda: "it is away" in at.workers[0].trouble)
            at.workers[0]._answers.again(("north", "gw"), ["store"])
            await until(lambda: books.asked)
            await asyncio.sleep(0)
            assert "it is away" in at.workers[0].trouble and "there again" not in caplog.text
            books.away = 0
            await until(lambda: at.workers[0].trouble == "")
    assert caplog.text.count("nothing is acknowledged") == 1


async def test_a_disk_that_has_room_for_a_beat_and_no_more_is_not_there_again(
    broker, caplog, monkeypatch
):
    """The page goes on saying that nothing is stored; each beat tells it."""
    monkeypatch.setattr("agent.fleet.worker.BEAT_S", 0.05)
    gateway, books = FakeGateway(), Books()
    books.away, books.full = 10**6, True
    with caplog.at_level(logging.INFO):
        async with At(broker.port, books, 1) as at:
            await published(broker.port, [gateway], 1)
            await until(lambda: "it is away" in at.workers[0].trouble)
            told = len(books.beats)
            await until(lambda: len(books.beats) > told + 3)
            assert all("it is away" in one["trouble"] for one in books.beats[told + 1 :])
            assert "there again" not in caplog.text
            books.away = 0
            await until(lambda: at.workers[0].trouble == "")
    assert caplog.text.count("there again") == 1


async def test_what_can_not_be_read_is_told_by_its_topic(broker, caplog, tmp_path):
    """Who looks for it needs to know where it comes from; and no text of it steers a terminal."""
    database = Database(f"sqlite:///{tmp_path}/central.db")
    database.migrate()
    link = MqttLink(host="127.0.0.1", port=broker.port, client_id="odd")
    async with At(broker.port, Ledger(database), 1) as at, running(link.run()):
        await until(lambda: link.connected)
        odd = "\x1b[2J\u202e"
        for payload in (b"{", json.dumps({"schema": 1, odd: odd}).encode(), b"[" * 100_000):
            await link.publish("fieldwarden/1/north/gw\u202e/event", payload)
        await until(lambda: at.workers[0].sums.unreadable == 3)
    database.close()
    told = [one.getMessage() for one in caplog.records if "a message is left out" in one.message]
    assert len(told) == 3 and all("on 'fieldwarden/1/north/gw\\u202e/event'" in one for one in told)
    assert all(one.isprintable() for one in told)


async def test_one_message_that_can_not_be_stored_stops_no_other(broker, caplog):
    """It is told by its topic, counted, and acknowledged; all others of its batch are stored."""
    gateway, books = FakeGateway(), Books()
    books.poison = {("gw", "event", 17)}
    async with At(broker.port, books, 1) as at:
        await published(broker.port, [gateway], 40)
        await until(lambda: len(books.committed) == 39)
        await until(lambda: at.workers[0].sums.unreadable == 1)
        await acknowledged(at.workers[0])
    assert set(books.committed.values()) == {1}
    assert f"a message on {gateway.topic} can not be stored" in caplog.text
    again = Books()
    async with At(broker.port, again, 1, fresh=False):
        await published(broker.port, [gateway], 1)
        await until(lambda: again.committed)
        assert list(again.committed) == [("gw", "event", 41)]


async def test_where_not_a_single_message_can_be_stored_it_is_not_their_fault(broker):
    """A fault of ours, or of the tables: nothing is thrown away for it."""
    gateway, books = FakeGateway(), Books()
    books.poison = {("gw", "event", one) for one in range(1, 60)}
    async with At(broker.port, books, 1) as at:
        await published(broker.port, [gateway], 40)
        await until(lambda: "not a single one" in at.workers[0].trouble)
        assert at.workers[0].sums.unreadable == 0
        books.poison = set()
        await until(lambda: len(books.committed) == 40)


async def test_an_end_does_not_wait_for_a_database_that_is_away(broker, monkeypatch):
    """Its messages wait at the broker; of what is under way in vain nothing would come."""
    monkeypatch.setattr("agent.fleet.worker.END_S", 10 * PATIENCE_S)
    monkeypatch.setattr("agent.fleet.worker.LONGEST_RETRY_S", 10 * PATIENCE_S)
    monkeypatch.setattr("agent.fleet.worker.SLOW_S", 0.2)
    gateway, books = FakeGateway(), Books()
    books.away = 10**9
    async with At(broker.port, books, 1) as at:
        await published(broker.port, [gateway], 3)
        await until(lambda: "it is away" in at.workers[0].trouble)
        at.stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*at.tasks)
    books.away = 0
    books.open.clear()  # it stands still
    async with At(broker.port, books, 1, fresh=False) as at:
        await until(lambda: "no answer for 0.2 s" in at.workers[0].trouble)
        at.stop.set()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*at.tasks)
    books.open.set()
    async with At(broker.port, books, 1, fresh=False):
        await until(lambda: all(books.committed["gw", "event", n] for n in (1, 2, 3)))


async def test_trouble_that_only_names_another_file_is_told_once(caplog):
    """A full disk has many files, and a retry every few seconds."""
    worker = Worker(configured(1883), 1, Books(), fresh=False)
    for cause in ('could not extend "base/5/1"', 'could not extend "base/5/22"', "it is gone",
                  'could not extend "base/5/1"'):  # fmt: skip
        worker._store_failed(StoreError("writing", "the database", cause))
        assert cause in worker.trouble
    assert caplog.text.count("could not extend") == 1 and caplog.text.count("it is gone") == 1


async def test_two_of_one_name_are_told_what_they_do_to_each_other(broker, caplog):
    """Each throws the other out; the log says what to change."""
    books = Books()
    async with At(broker.port, books, 1):
        other = MqttLink(
            host="127.0.0.1", port=broker.port, client_id="central-1", clean_start=False,
            session_expiry_s=60,
        )  # fmt: skip
        async with running(other.run()):
            await until(lambda: "two services need two names" in caplog.text)


async def test_sessions_of_workers_that_are_no_more_take_no_share(broker, monkeypatch):
    """A broker goes on giving a session its share though nobody fetches it."""
    gateway, books = FakeGateway(), Books()
    async with At(broker.port, books, 1, 2):
        pass
    forgotten = []
    monkeypatch.setattr(
        "agent.fleet.prepare.elsewhere", lambda _work, _given, name: forgotten.append(name)
    )
    configuration = configured(broker.port, workers=1)
    assert retired(configuration, ["central-1", "central-2", "other-2", "central-x"]) == [
        "central-2"
    ]
    async with At(broker.port, books, 1, fresh=False, workers=1):
        await published(broker.port, [gateway], 10)
        await asyncio.sleep(0.5)
        assert len(books.committed) < 10  # half of it waits for central-2
        await end_sessions(configuration, ["central-2"])
        assert forgotten == ["central-2"]
        before = len(books.committed)
        await published(broker.port, [gateway], 10)
        await until(lambda: len(books.committed) == before + 10)


async def test_a_birth_that_is_said_now_is_no_kept_one_though_a_broker_leaves_its_flag():
    """HiveMQ passes a shared subscription what the publisher said: retain."""
    worker = Worker(configured(1883), 1, Books(), fresh=False)
    worker._take(Message("fieldwarden/1/north/gw/state", b"{}", 1, True, 1, expiry_s=30))
    (taken,) = worker._intake.batch()
    assert not taken.receipt.retained and taken.receipt.expiry_s == 30


def test_a_worker_loads_no_kernel_and_no_server():
    """It is started again within a second, and there are many of them."""
    code = (
        "import sys, agent.fleet.worker, agent.fleet.ledger, agent.fleet.child\n"
        "print(sorted({'numba', 'aiohttp', 'alembic', 'scipy', 'polars'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_stream_of_a_gateway_is_subscribed_to_and_no_answer_of_central():
    """The filters are those of the document that describes the messages."""
    import yaml

    from tests.fleet.test_configuration import SAMPLE

    text = (SAMPLE.parents[1] / "docs" / "asyncapi.yaml").read_text(encoding="utf-8")
    channels = yaml.safe_load(text)["channels"].values()
    below = {one["address"].split("/", 4)[4].split("/")[0] for one in channels}
    ours = {one.split("/", 6)[6].split("/")[0] for one in filters("g")}
    assert below - ours == {"central"}
    assert json.dumps(filters("g")[0]) == '"$share/g/fieldwarden/1/+/+/state"'
