"""The MQTT source against mosquitto: values, losses, acknowledgement after commit, hostile data."""

from __future__ import annotations

import asyncio
import contextlib
import math
import shutil
import subprocess

import pytest

from agent.configuration.schema import MqttSource
from agent.errors import ConfigurationError, SourceError
from agent.mqtt import MqttLink
from agent.sources import SOURCES
from agent.types import Quality

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
LOST = int(Quality.COMMUNICATION_LOST)
UNDEFINED = int(Quality.BAD | Quality.NOT_A_NUMBER)


def config(port, **more):
    return MqttSource(protocol="mqtt", host="127.0.0.1", port=port, **more)


async def listening(port):
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def broker(port, directory, settings="allow_anonymous true\n"):
    path = directory / "mosquitto.conf"
    path.write_text(f"listener {port} 127.0.0.1\npersistence false\n{settings}")
    assert MOSQUITTO, "install mosquitto"
    process = await asyncio.create_subprocess_exec(
        MOSQUITTO, "-c", str(path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await listening(port)
        yield process
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def publisher(port):
    connected = asyncio.Event()
    link = MqttLink(
        host="127.0.0.1",
        port=port,
        client_id="test-publisher",
        on_state=lambda is_connected, _reason: is_connected and connected.set(),
    )
    task = asyncio.create_task(link.run())
    try:
        await asyncio.wait_for(connected.wait(), 5)
        yield link
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def subscribed(harness):
    """Live means connected; the SUBSCRIBE is answered before anything published later."""
    await harness.until(lambda: harness.states[-1:] == ["live"])
    await asyncio.sleep(0.1)


async def test_values_times_and_texts_arrive(harness, free_port, tmp_path):
    """Several tags of one payload, with the payload's time; a tag of a bare number."""
    addresses = {
        "speed": "line/data /speed time /ts",
        "deep": "line/data /motor/0/amps time /ts",
        "bare": "line/level",
    }
    async with (
        broker(free_port, tmp_path),
        harness.running(config(free_port), addresses) as link,
        publisher(free_port) as out,
    ):
        await subscribed(harness)
        payload = b'{"speed": 3.5, "motor": [{"amps": 7}], "ts": "2026-01-02T12:00:00Z"}'
        await out.publish("line/data", payload)
        await out.publish("line/level", b"42", qos=0)
        await out.publish("line/data", b'{"speed": 4}')
        await harness.until(lambda: harness.values("bare") and len(harness.values("speed")) == 2)
        report = link.describe()
    assert harness.samples["speed"][0] == (3.5, 0, 1_767_355_200_000_000_000)
    assert harness.samples["deep"] == [(7.0, 0, 1_767_355_200_000_000_000)]
    assert harness.values("speed") == [3.5, 4.0] and harness.values("bare") == [42.0]
    assert harness.states == ["live"]
    assert report.received == 4 and report.bytes == len(payload) + 2 + 12
    assert "1 values were absent from their payloads" in report.plan


async def test_retained_values_are_marked(harness, free_port, tmp_path):
    """What the broker had kept is marked as replayed; what comes live is not."""
    async with broker(free_port, tmp_path), publisher(free_port) as out:
        await out.publish("t", b'{"v": 1}', retain=True)
        async with harness.running(config(free_port), {"a": "t /v"}):
            await harness.until(lambda: harness.values("a"))
            await out.publish("t", b'{"v": 2}')
            await harness.until(lambda: len(harness.values("a")) == 2)
    assert harness.qualities("a") == [Quality.REPLAYED, 0]


async def test_absent_at_start_then_there_then_gone_and_back(harness, free_port, tmp_path):
    """No broker: failed with the cause, one lost sample a tag; live, failed, live by itself."""
    async with harness.running(config(free_port), {"a": "t /v"}) as link:
        await harness.until(lambda: harness.states == ["failed"])
        assert harness.qualities("a") == [LOST]
        assert "refused" in link.describe().reason and str(free_port) in link.describe().reason
        for number in (1, 2):
            async with broker(free_port, tmp_path):
                await subscribed(harness)
                async with publisher(free_port) as out:
                    await out.publish("t", b'{"v": %d}' % number)
                    await harness.until(lambda n=number: len(harness.values("a")) == n)
            await harness.until(lambda: harness.states[-1] == "failed")
    assert harness.states == ["failed", "live", "failed", "live", "failed"]
    assert harness.qualities("a") == [LOST, 0, LOST, 0, LOST]


HOSTILE = [
    *(b'{"v": NaN}', b'{"v": 1e999}', b'{"v": -Infinity}', b'{"v": "ERROR"}', b'{"v": null}'),
    *(b'{"v": [1]}', b'{"v": {"v": 1}}', b"", b"\xff\xfe", b"[" * 50_000, b"x" * 1_000_001),
    *(b'{"v": ' + b"9" * 5_000 + b"}", b'{"v": 1' + b"0" * 400 + b"}"),
]


async def test_hostile_payloads_among_good_ones(harness, free_port, tmp_path):
    """Each hostile payload is one bad sample; the good one after it still arrives."""
    async with (
        broker(free_port, tmp_path),
        harness.running(config(free_port), {"a": "t /v"}),
        publisher(free_port) as out,
    ):
        await subscribed(harness)
        for number, payload in enumerate(HOSTILE):
            await out.publish("t", payload)
            await out.publish("t", b'{"v": %d}' % number)
        await harness.until(lambda: len(harness.samples["a"]) == 2 * len(HOSTILE))
    assert harness.values("a") == list(map(float, range(len(HOSTILE))))
    assert harness.qualities("a") == [UNDEFINED, 0] * len(HOSTILE)
    assert all(math.isnan(value) for value, quality, _ in harness.samples["a"] if quality)
    assert harness.states == ["live"]


async def test_uncommitted_messages_come_again(make_harness, free_port, tmp_path):
    """Killed between arrival and commit: the broker still has them; committed ones it has not."""
    async with broker(free_port, tmp_path), publisher(free_port) as out:
        first = make_harness()
        async with first.running(config(free_port), {"a": "t /v"}):
            await subscribed(first)
            await out.publish("t", b'{"v": 1}')
            await first.until(lambda: first.values("a") == [1.0], commit=True)
            await asyncio.sleep(0.1)
            await out.publish("t", b'{"v": 2}')
            await first.until(lambda: first.values("a") == [1.0, 2.0], commit=False)
        second = make_harness()
        async with second.running(config(free_port), {"a": "t /v"}):
            await second.until(lambda: second.values("a"))
            await asyncio.sleep(0.2)
            second.collect()
    assert second.values("a") == [2.0]


async def test_a_slow_commit_does_not_stop_the_flow(harness, free_port, tmp_path):
    """Hundreds of QoS 1 messages arrive before the first of them is committed."""
    async with (
        broker(free_port, tmp_path),
        harness.running(config(free_port), {"a": "t /v"}),
        publisher(free_port) as out,
    ):
        await subscribed(harness)
        await asyncio.gather(*(out.publish("t", b'{"v": %d}' % n) for n in range(500)))
        await harness.until(lambda: len(harness.values("a")) == 500, commit=False)
    assert harness.values("a") == list(map(float, range(500)))


async def test_a_refused_login_is_a_reason(harness, free_port, tmp_path):
    """A broker that does not know us: failed, with what it said."""
    async with (
        broker(free_port, tmp_path, "allow_anonymous false\n"),
        harness.running(config(free_port), {"a": "t /v"}) as link,
    ):
        await harness.until(lambda: harness.states == ["failed"])
        assert "not auth" in link.describe().reason.lower()


async def test_a_missing_password_file_is_a_reason(harness, free_port, tmp_path):
    """Credentials that are not there fail this source, and are looked for again."""
    path = tmp_path / "password"
    settings = config(free_port, username="u", password_file=str(path))
    async with (
        broker(free_port, tmp_path),
        harness.running(settings, {"a": "t /v"}) as link,
    ):
        await harness.until(lambda: harness.states == ["failed"])
        assert str(path) in link.describe().reason
        path.write_text("secret")
        await harness.until(lambda: harness.states[-1] == "live")


def test_bad_addresses_are_all_reported(harness):
    """Every address at fault before anything runs."""
    with pytest.raises(ConfigurationError) as caught:
        harness.create(config(1883), {"a": "t /v", "b": "t/# /v", "c": "t/+"})
    assert len(caught.value.faults) == 2


async def test_probe_tells_what_it_heard(harness, free_port, tmp_path):
    """`check` shows each topic; a silent one is no fault."""
    bindings = harness.bind({"a": "t /v", "b": "quiet /v"})
    async with broker(free_port, tmp_path), publisher(free_port) as out:
        await out.publish("t", b'{"v": 1}', retain=True)
        lines = await SOURCES["mqtt"].probe("s", config(free_port), bindings, 0.5)
    assert lines == ["t: 1 message heard", "quiet: no messages heard"]


async def test_probe_of_an_absent_broker(harness, free_port):
    """`check` says where it could not connect, and why."""
    with pytest.raises(SourceError, match=f"127.0.0.1:{free_port}.*refused"):
        await SOURCES["mqtt"].probe("s", config(free_port), harness.bind({"a": "t"}), 1.0)
