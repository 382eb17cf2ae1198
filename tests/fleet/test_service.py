"""The whole service against a real broker, real gateways and both databases, hurt in every way.

Lost 0, counted twice 0: each event that a gateway made is one row, and no gateway holds any longer
what it was acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from agent.forward import FORMS, Identity, Sender, Uplink
from agent.store import Reader, acknowledge
from simulators.ports import free_port
from simulators.postgres import Postgres, programs
from tests.central.fake_gateway import FakeGateway, Online, running
from tests.fleet.serving import ROOT, Serving, rows
from tests.forward.test_sender import Gateway
from tests.mosquitto import Mosquitto
from tests.processes import alive
from tests.programs import why_not
from tests.waiting import SETTLED_S, START_S, until, wait_until

pytest.importorskip("alembic")

MANY = 25
MADE = "SELECT g.gateway, e.boot, e.seq FROM event e JOIN gateway g ON g.id = e.gateway_id"


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """A gateway does not send again at once; here nothing takes long."""
    monkeypatch.setattr(acknowledge, "AGAIN_S", 2)
    monkeypatch.setattr(acknowledge, "TAIL_AGAIN_S", 2)


@pytest.fixture
def broker(tmp_path):
    broker = Mosquitto(tmp_path, "max_queued_messages 0")
    broker.start()
    yield broker
    broker.stop()


class Real(Gateway):
    """A store and a forwarder as an agent has them, of a name of its own."""

    def __init__(self, folder, port, name):
        folder.mkdir()
        super().__init__(folder, port)
        self.name = name
        self.sender = Sender(
            Reader(self.path), FORMS["json"], Identity("south", name, self.store.store_id),
            Uplink("127.0.0.1", port), boot=self.store.boot, version="1", now_ns=time.time_ns,
        )  # fmt: skip


class Plant:
    """Many gateways by the form of their messages, and a few as they are."""

    def __init__(self, folder, port, real=2):
        self.many = [FakeGateway(f"gw-{one}") for one in range(MANY)]
        self.online = [Online(one, port) for one in self.many]
        self.real = [Real(folder / f"real-{one}", port, f"real-{one}") for one in range(real)]

    @contextlib.asynccontextmanager
    async def running(self):
        async with contextlib.AsyncExitStack() as stack:
            for one in self.real:
                await stack.enter_async_context(one.running())
            await stack.enter_async_context(running(*(one.link.run() for one in self.online)))
            yield

    async def tell(self, seconds):
        """Events all the time, whether the broker is there or not."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            for one in self.online:
                one.send(one.gateway.make(7))
            for gateway in self.real:
                gateway.tell()
            await asyncio.sleep(0.1)

    def made(self):
        found = {(one.identity.gateway, *row) for one in self.many for row in one.made}
        for one in self.real:
            found |= {(one.name, one.store.boot, seq) for seq in range(1, one.told + 1)}
        return found

    def held(self):
        real = [(one.told, one.books()) for one in self.real]
        # What is delivered may be more than what was told: gap records are, too.
        left = [
            max(told - books["delivered"] * books["confirmed"], books["pending"])
            for told, books in real
        ]
        return sum(len(one.held) for one in self.many) + sum(left)

    async def settled(self, service):
        """Central has acknowledged all that was made."""
        told = lambda: f"{self.held()}\n{service.log()}"  # noqa: E731
        await until(lambda: not self.held(), SETTLED_S, told)


async def up(service, count=2):
    """Its workers are on the broker: so often was that said."""
    said = "connected to the broker"
    await until(lambda: service.log().count(said) >= count, START_S, service.log)


def check(url, plant):
    """Every event that was made is there once, and nothing else."""
    found = rows(url, MADE)
    assert len(found) == len(set(found)), "counted twice"
    assert set(found) == plant.made()
    assert rows(url, "SELECT count(*) FROM gateway_now WHERE missing > 0") == [(0,)]


@pytest.mark.slow
async def test_workers_killed_between_commit_and_acknowledgement_lose_and_double_nothing(
    tmp_path, broker, database_url
):
    """SIGKILL at random, again and again, while all is on its way; then of the whole service."""
    plant, chance = Plant(tmp_path, broker.port), random.Random(5)
    with Serving(tmp_path, broker.port, database_url) as service:
        async with plant.running():
            await up(service)
            telling = asyncio.create_task(plant.tell(12))
            killed = 0
            while killed < 6:
                await asyncio.sleep(chance.uniform(0.3, 1.5))
                killed += service.kill_child(f"worker {chance.choice((1, 2))}")
            service.kill()
            service.start()
            await telling
            await plant.settled(service)
        assert "is started again" in service.log()
        check(database_url, plant)
        assert service.stop() == 0


@pytest.mark.slow
async def test_a_broker_that_is_killed_and_forgets_everything_costs_nothing(
    tmp_path, broker, database_url
):
    """Its sessions and queues are gone: gateways are asked for what went to nobody."""
    plant = Plant(tmp_path, broker.port)
    with Serving(tmp_path, broker.port, database_url) as service:
        async with plant.running():
            await up(service)
            telling = asyncio.create_task(plant.tell(6))
            for _ in range(2):
                await asyncio.sleep(1.5)
                broker.kill()
                await asyncio.sleep(0.5)
                broker.start()
            await telling
            await plant.settled(service)
        assert "no link to the broker" in service.log()
        check(database_url, plant)


@pytest.fixture
def durable():
    """A PostgreSQL whose commits outlast a kill, as in service; that of other tests has none."""
    if programs() is None:
        pytest.skip(why_not("initdb"))
    with Postgres(durable=True) as server:
        yield server


@pytest.mark.slow
async def test_a_database_that_is_killed_is_waited_for(tmp_path, broker, durable):
    """Nothing is acknowledged meanwhile; it is told once, with a hint, and when it is over."""
    plant = Plant(tmp_path, broker.port)
    with Serving(tmp_path, broker.port, durable.url()) as service:
        async with plant.running():
            await up(service)
            telling = asyncio.create_task(plant.tell(6))
            await asyncio.sleep(1.5)
            durable.kill()
            await asyncio.sleep(2)
            durable.start()
            await telling
            await plant.settled(service)
        assert "nothing is acknowledged" in service.log()
        assert "the database is there again" in service.log()
        check(durable.url(), plant)


@pytest.mark.slow
async def test_two_services_on_one_database_share_and_double_nothing(
    tmp_path, broker, database_url
):
    """Of one group, with names of their own; one is stopped and started in between."""
    plant = Plant(tmp_path, broker.port)
    one = Serving(tmp_path, broker.port, database_url, name="east", workers=1)
    other = Serving(tmp_path, broker.port, database_url, name="west", workers=1)
    with one, other:
        async with plant.running():
            await up(one, 1)
            await up(other, 1)
            telling = asyncio.create_task(plant.tell(8))
            await asyncio.sleep(2)
            assert await asyncio.to_thread(other.stop) == 0
            other.start()
            await up(other, 2)
            await telling
            await plant.settled(one)
        check(database_url, plant)
        assert one.stop() == other.stop() == 0  # a last beat says what each took
        took = dict(rows(database_url, "SELECT name, messages FROM worker"))
        assert took["east-1"] > 0 and took["west-1"] > 0


def test_the_service_ends_in_order_and_its_children_with_it_also_when_it_is_killed(
    tmp_path, broker
):
    """SIGTERM: code 0, nothing left running; SIGKILL of the supervisor: its children go too."""
    url = f"sqlite:///{tmp_path}/state/own.db"
    with Serving(tmp_path, broker.port, url) as service:
        wait_until(lambda: len(service.children()) == 3, told=service.log)
        assert set(service.children()) == {"worker 1", "worker 2", "front"}
        wait_until(lambda: service.log().count("connected to the broker") == 2, told=service.log)
        pids = service.children().values()
        assert service.stop() == 0
        assert not any(alive(pid) for pid in pids)
        assert "Traceback" not in service.log()
        service.start()
        wait_until(lambda: len(service.children()) == 3, told=service.log)
        pids = service.children().values()
        service.kill()
        wait_until(lambda: not any(alive(pid) for pid in pids), told=service.log)


def test_a_service_whose_database_is_not_there_yet_says_so_and_can_be_stopped(tmp_path, broker):
    """It waits, with the cause and what to do; SIGTERM ends that, too."""
    url = f"postgresql://central:secret@127.0.0.1:{free_port()}/fleet"
    with Serving(tmp_path, broker.port, url) as service:
        wait_until(lambda: "the database is not there" in service.log(), told=service.log)
        assert service.stop() == 0
    assert "hint: see that it is there" in service.log() and "secret" not in service.log()
    assert "Traceback" not in service.log()


def test_a_child_that_stands_still_is_killed_and_started_again(tmp_path, broker, monkeypatch):
    """A stopped process says nothing; after a while it is not waited for any longer."""
    service = Serving(tmp_path, broker.port, f"sqlite:///{tmp_path}/own.db", workers=1)
    text = (
        "import agent.fleet.supervise as s, asyncio, sys\n"
        "from agent.fleet.configuration import load\n"
        "s.SILENT_S = 6.0\n"
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "asyncio.run(s.serve(load(sys.argv[1])))\n"
    )
    with service._log.open("ab") as log:
        service._process = subprocess.Popen(
            [sys.executable, "-c", text, str(service.config)], cwd=ROOT, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: service.log().count("connected to the broker") == 1, told=service.log)
        first = service.children()["worker 1"]
        os.kill(first, signal.SIGSTOP)
        wait_until(lambda: "stands still" in service.log(), told=service.log)
        wait_until(lambda: service.children().get("worker 1", first) != first, told=service.log)
    finally:
        assert service.stop() == 0
