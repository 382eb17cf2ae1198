"""What waits for the database on a thread: over before its caller is, unless it never answers."""

from __future__ import annotations

import asyncio
import threading

import pytest

from agent.fleet import aside as asides
from agent.fleet.aside import SEATS, aside
from agent.fleet.configuration import Broker, Central, FleetConfiguration
from agent.fleet.supervise import Service
from tests.fleet.serving import Serving
from tests.mosquitto import Mosquitto
from tests.waiting import PATIENCE_S, until


async def test_it_gives_what_the_work_gives_or_raises():
    """As if it had been called here."""
    assert await aside(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await aside(divmod, 7, 0)


async def test_one_that_is_cancelled_is_over_before_its_caller_is():
    """The database is closed then; nothing may use it any more."""
    begun, go, done = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        go.wait(PATIENCE_S)
        done.append(1)

    task = asyncio.create_task(aside(work))
    await until(begun.is_set)
    task.cancel()
    asyncio.get_running_loop().call_later(0.1, go.set)
    await asyncio.wait({task})
    assert task.cancelled() and done == [1]


async def test_one_that_never_ends_is_not_waited_for(monkeypatch):
    """Nor by the loop's end, as a pool's thread would be: it is a daemon."""
    monkeypatch.setattr(asides, "END_S", 0.1)
    begun, never = threading.Event(), threading.Event()

    def work():
        begun.set()
        never.wait(10 * PATIENCE_S)

    task = asyncio.create_task(aside(work))
    await until(begun.is_set)
    task.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait({task})
    assert all(one.daemon for one in threading.enumerate() if one.name == "aside")
    never.set()


async def test_no_more_are_under_way_than_there_are_connections():
    """The others wait for a seat instead of failing for want of a connection."""
    now, most, lock = 0, 0, threading.Lock()
    go = threading.Event()

    def work():
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        go.wait(PATIENCE_S)
        with lock:
            now -= 1

    tasks = [asyncio.create_task(aside(work)) for _ in range(3 * SEATS)]
    await until(lambda: now == SEATS)
    go.set()
    await asyncio.gather(*tasks)
    assert most == SEATS


def test_a_service_that_waits_for_a_silent_database_can_be_stopped(tmp_path, broker_port):
    """It takes the connection and says nothing: the process that asks it is ended, too."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        url = f"postgresql://central:secret@127.0.0.1:{listener.getsockname()[1]}/fleet"
        with Serving(tmp_path, broker_port, url) as service:
            taken, _ = listener.accept()
            with taken:
                assert service.stop() == 0
                taken.settimeout(PATIENCE_S)
                while taken.recv(4_096):  # whoever asked is gone
                    pass
        assert "Traceback" not in service.log()
        assert "the database is not there" not in service.log()


async def test_a_service_is_stopped_while_it_prepares(tmp_path, monkeypatch):
    """Whatever it waits for."""
    never = asyncio.Event()

    async def prepare(_):
        await never.wait()

    monkeypatch.setattr("agent.fleet.supervise.prepare", prepare)
    configuration = FleetConfiguration(
        schema=1, broker=Broker(host="127.0.0.1"), central=Central()
    )
    configuration._file = tmp_path / "central.toml"
    service = Service(configuration)
    preparing = asyncio.create_task(service._prepared())
    await asyncio.sleep(0)
    service._stop.set()
    assert await preparing is False


@pytest.fixture
def broker_port(tmp_path):
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker.port
    broker.stop()
