"""Central against real brokers: stored before it is acknowledged, kept over a kill, honest."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from agent.central.memory import Memory
from agent.central.run import Subscriber
from agent.central.table import table_of
from agent.errors import StoreError
from agent.forward.json_payload import time_text
from agent.mqtt import MqttLink
from agent.mqtt.client import LARGEST_RECEIVED
from agent.store.received import InUseError, ReceivedStore
from tests.central.fake_gateway import FakeGateway, Online, running
from tests.mosquitto import Mosquitto
from tests.waiting import PATIENCE_S, until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def broker(tmp_path):
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


def never():
    return False


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_what_the_broker_forgot_is_sent_again(tmp_path, broker, protocol):
    """A broker killed with events on their way, its sessions gone: central gets each one once."""
    gateway, printed = FakeGateway(), Counter()
    online = Online(gateway, broker.port, protocol=protocol)
    memory = Memory(tmp_path / "c.db")

    def accepted(one):
        if one.stream == "event":
            printed[one.document["seq"]] += 1

    central = Subscriber(
        "127.0.0.1", broker.port, on_accepted=accepted, client_id="ops", memory=memory,
        protocol=protocol,
    )  # fmt: skip
    async with running(online.link.run(), central.run(never, lambda: None)):
        await until(lambda: online.answers)
        for _ in range(5):
            online.send(gateway.make(7))
        await until(lambda: not gateway.held)
        broker.kill()
        await until(lambda: not central.link_state.connected)
        assert "no link to the broker since" in central.document()["trouble"]
        out = io.StringIO()
        Console(file=out, width=200).print(table_of(central.document()))
        assert "no link to the broker, last known: online" in out.getvalue()
        for _ in range(5):
            gateway.make(7)
        broker.start()
        await until(lambda: not gateway.held)
        assert central.document()["trouble"] == ""
    memory.close()
    assert printed == dict.fromkeys(range(1, 11), 1)
    (view,) = central.central.gateways.values()
    assert central.central.missing(view) == {}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_message_of_any_size_stops_nobody(tmp_path, broker, protocol):
    """Retained, so that it comes again with each connection, and in a session that the broker
    keeps: it is left out, and what comes after it counts. MQTT 5 lets the broker leave it out.
    """
    gateway, printed = FakeGateway(), []
    online = Online(gateway, broker.port, protocol=protocol)
    memory = Memory(tmp_path / "c.db")
    central = Subscriber(
        "127.0.0.1", broker.port, client_id="ops", memory=memory, protocol=protocol,
        on_accepted=lambda one: printed.append(one.stream),
    )  # fmt: skip
    big = MqttLink(host="127.0.0.1", port=broker.port, client_id="big")
    huge = b"x" * (LARGEST_RECEIVED + 1_000_000)
    async with running(online.link.run(), big.run()):
        await until(lambda: big.connected and online.link.connected)
        for below in ("state", "central", "verdict/m"):
            await big.publish(f"fieldwarden/1/far/away/{below}", huge, retain=True)
        await big.publish(gateway.topic_of("central"), huge, retain=True)
        async with running(central.run(never, lambda: None)):
            await until(lambda: online.answers)
            await big.publish(gateway.topic, huge)
            online.send(gateway.make(7))
            await until(lambda: not gateway.held)
            assert central.central.unreadable == (0 if protocol == "5" else 3)
            assert (central._link._count, online.link._count) == (1, 1)
    memory.close()
    assert printed.count("event") == 1


def central_process(port, store, **more):
    command = [sys.executable, "-m", "agent.cli", "central", "--json", "--port", str(port)]
    command += ["--store", str(store)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **more)


async def test_a_killed_central_goes_on_where_it_was(tmp_path, broker):
    """SIGKILL amid the traffic, twice: every event is printed, none is missing, none comes new."""
    gateway = FakeGateway()
    online, lines = Online(gateway, broker.port), []
    async with running(online.link.run()):
        await until(lambda: online.link.connected)
        for _ in range(2):
            process = central_process(broker.port, tmp_path / "c.db")
            answers = online.answers
            await until(lambda at=answers: online.answers > at)
            for _ in range(20):
                online.send(gateway.make(7))
                await asyncio.sleep(0.01)
            process.kill()
            lines += process.communicate()[0].splitlines()
        process = central_process(broker.port, tmp_path / "c.db")
        await until(lambda: not gateway.held)
        process.send_signal(signal.SIGTERM)
        lines += process.communicate(timeout=PATIENCE_S)[0].splitlines()
    documents = [json.loads(line) for line in lines]
    events = [one for one in documents if one.get("stream") == "event"]
    assert {(one["boot"], one["seq"]) for one in events} == set(gateway.made)
    (view,) = documents[-1]["central"]["gateways"]
    assert (view["missing"], view["messages"] >= 40) == ({}, True)
    assert process.returncode == 0


async def test_nothing_is_acknowledged_that_could_not_be_stored(tmp_path, broker):
    """While the file can not be written the gateway keeps its rows, and central says why."""
    gateway = FakeGateway()
    online = Online(gateway, broker.port)
    memory = Memory(tmp_path / "c.db")
    central = Subscriber(
        "127.0.0.1", broker.port, on_accepted=lambda _: None, memory=memory
    )  # fmt: skip
    connection = memory._store._connection
    connection.execute("PRAGMA query_only = ON")
    async with running(online.link.run(), central.run(never, lambda: None)):
        await until(lambda: online.link.connected and central.link_state.connected)
        online.send(gateway.make(7))
        await until(lambda: central.trouble)
        assert "nothing is acknowledged" in central.document()["trouble"]
        assert len(gateway.held) == 1 and online.answers == 0
        connection.execute("PRAGMA query_only = OFF")
        await until(lambda: not gateway.held)
    memory.close()


async def test_a_retained_verdict_counts_what_is_left_of_it(broker):
    """Got at connect, by MQTT 5, it is valid for the rest of its expiry, whatever year it names."""
    gateway = FakeGateway()
    head = json.loads(gateway.born(7))
    until_text = time_text(2_208_988_800_000_000_000)  # 2040
    head |= {"stream": "verdict", "time": until_text, "data": {
        "model": "m", "verdict": "trusted", "since": until_text, "valid_until": until_text,
        "valid_for_s": 300, "reasons": [],
    }}  # fmt: skip
    link = MqttLink(host="127.0.0.1", port=broker.port, client_id="gw")
    central = Subscriber("127.0.0.1", broker.port, on_accepted=lambda _: None)
    async with running(link.run()):
        await until(lambda: link.connected)
        topic, payload = gateway.topic_of("verdict/m"), json.dumps(head).encode()
        await link.publish(topic, payload, retain=True, expiry_s=3)
        async with running(central.run(never, lambda: None)):
            await until(lambda: central.central.gateways)
            (model,) = central.document()["gateways"][0]["models"]
            assert model["verdict"] == "trusted" and 0 < model["valid_for_s"] <= 3
            await until(lambda: verdict_of(central) == "unassessable")
            await link.publish(topic, b"", retain=True)
            await until(lambda: not central.document()["gateways"][0]["models"])


def verdict_of(central):
    return central.document()["gateways"][0]["models"][0]["verdict"]


def test_a_pipe_that_nobody_reads_ends_central_quietly(tmp_path, broker):
    """As `central | head` does: no word, killed by SIGPIPE; and the event is not acknowledged."""
    gateway = FakeGateway()
    with central_process(broker.port, tmp_path / "c.db", stderr=subprocess.PIPE) as process:

        async def publish():
            link = MqttLink(host="127.0.0.1", port=broker.port, client_id="gw")
            async with running(link.run()):
                await until(lambda: "SUBSCRIBE from fieldwarden-central" in broker.log())
                await until(lambda: link.connected)
                process.stdout.close()  # by now: it also looks whether there is still somebody
                for _ in range(50):
                    await link.publish(gateway.topic, gateway.held[gateway.make(7)])
                await until(lambda: process.poll() is not None)

        asyncio.run(publish())
        assert process.stderr.read() == ""
    assert process.returncode == -signal.SIGPIPE
    with contextlib.closing(sqlite3.connect(tmp_path / "c.db")) as connection:
        assert connection.execute("SELECT count(*) FROM mark").fetchone() == (0,)


def test_a_pipe_that_nobody_reads_ends_central_in_a_quiet_plant_too(tmp_path, broker):
    """Nothing is written that could fail: it looks whether there is still somebody."""
    with central_process(broker.port, tmp_path / "c.db", stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.wait(PATIENCE_S) == -signal.SIGPIPE
        assert process.stderr.read() == ""


def test_a_damaged_file_is_set_aside_and_said(tmp_path):
    """Noise, or numbers that are none: central begins anew, the old file stays beside."""
    path = tmp_path / "c.db"
    for number, damage in enumerate(
        [lambda: path.write_bytes(os.urandom(9_000)), lambda: ruin(path)]
    ):
        damage()
        store = ReceivedStore(path)
        assert "damaged" in store.trouble and store.take_marks() == []
        assert (tmp_path / f"c.db.damaged-{number + 1}").exists()
        store.close()
    store = ReceivedStore(path)
    assert store.trouble == ""
    with pytest.raises(InUseError, match="another central"):
        ReceivedStore(path)
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer version"):
        ReceivedStore(path)


def ruin(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "INSERT INTO mark VALUES ('s', 'g', '1', 1, 'event', '[[9, 2]]', '[]', '[]', 1, 0)"
        )
        connection.commit()
