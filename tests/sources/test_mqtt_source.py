"""The MQTT source against mosquitto: values, losses, acknowledgement after commit, hostile data."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import subprocess
import time

import pytest

from agent.configuration.schema import MqttSource
from agent.errors import ConfigurationError, SourceError
from agent.mqtt import MqttLink
from agent.sources import SOURCES
from agent.types import Block, Quality
from simulators import ports
from tests.mosquitto import Mosquitto
from tests.programs import program, why_not
from tests.sources.test_opcua_source import freezable_proxy
from tests.waiting import PATIENCE_S

MOSQUITTO = program("mosquitto")
LOST = int(Quality.COMMUNICATION_LOST)
UNDEFINED = int(Quality.BAD | Quality.NOT_A_NUMBER)


def config(port, **more):
    return MqttSource(protocol="mqtt", host="127.0.0.1", port=port, **more)


async def listening(port):
    async with asyncio.timeout(PATIENCE_S):
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
    if not MOSQUITTO:
        pytest.skip(why_not("mosquitto"))
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
        await asyncio.wait_for(connected.wait(), PATIENCE_S)
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
    bad, good = harness.qualities("a")[::2], harness.qualities("a")[1::2]
    assert good == [0] * len(HOSTILE) and all(bits & UNDEFINED == UNDEFINED for bits in bad)
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


REPLAYED, REPEATED = int(Quality.REPLAYED), int(Quality.REPEATED)


async def test_what_waited_and_what_was_committed_is_marked(make_harness, free_port, tmp_path):
    """Killed before the acknowledgement: what the journal has comes again and counts once; what had
    queued meanwhile is late; what comes live is good.
    """
    addresses = {"timed": "t /v time /ts", "plain": "u /v"}
    began = time.time() - 60
    async with broker(free_port, tmp_path), publisher(free_port) as out:

        async def both(number, age_s=0.0):
            stamp = began + number - age_s
            await out.publish("t", b'{"v": %d, "ts": %.3f}' % (number, stamp))
            await out.publish("u", b'{"v": %d}' % number)

        first = make_harness()
        async with first.running(config(free_port), addresses):
            await subscribed(first)
            for number in range(4):
                await both(number)
            entries = []

            def arrived():
                return len(first.values("timed")) == len(first.values("plain")) == 4

            while not arrived():
                entries += first.collect(commit=False).entries
                await asyncio.sleep(0.02)
        await both(4)  # nobody is there
        second = make_harness()
        link = second.create(config(free_port), addresses)
        link.recall([entry for entry in entries if isinstance(entry, Block)])
        task = asyncio.create_task(link.run())
        await second.until(lambda: len(second.samples["plain"]) == 5)
        await asyncio.sleep(0.4)
        await both(5)
        await second.until(lambda: len(second.samples["plain"]) == 6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    wanted = [REPLAYED | REPEATED] * 4 + [REPLAYED, 0]
    assert second.qualities("timed") == wanted
    assert second.qualities("plain") == wanted
    assert second.values("plain") == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


async def test_what_is_sent_again_on_a_new_connection_counts_once(harness, free_port, tmp_path):
    """The broker dies before the acknowledgement and comes back with its session: same messages."""
    server = Mosquitto(tmp_path, persistence=True, port=free_port)
    server.start()
    try:
        async with harness.running(config(free_port), {"a": "t /v"}):
            await subscribed(harness)
            async with publisher(free_port) as out:
                for number in (7, 7, 8):
                    await out.publish("t", b'{"v": %d}' % number)
                await harness.until(lambda: len(harness.values("a")) == 3, commit=False)
            server.stop()  # it saves the session
            await harness.until(lambda: harness.states[-1] == "failed", commit=False)
            server.start()
            await harness.until(lambda: len(harness.values("a")) == 6)
    finally:
        server.kill()
    assert harness.qualities("a") == [0, 0, 0, LOST] + [REPLAYED | REPEATED] * 3


def raw_publisher(port):
    """A connection that publishes with QoS 0 without the loop: it can stand still meanwhile."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01p")
    assert sock.recv(4) == b"\x20\x02\x00\x00"

    def publish(topic, payload):
        body = len(topic).to_bytes(2) + topic + payload
        sock.sendall(bytes([0x30, len(body)]) + body)

    return sock, publish


async def test_what_waited_while_the_process_stood_still_is_marked(harness, free_port, tmp_path):
    """Stopped or held up for seconds: what the kernel had kept is late, but for what is fresh."""
    addresses = {"timed": "t /v time /ts", "plain": "u /v"}
    async with broker(free_port, tmp_path), harness.running(config(free_port), addresses):
        await subscribed(harness)
        sock, publish = raw_publisher(free_port)
        with sock:
            publish(b"u", b'{"v": -1}')
            await harness.until(lambda: harness.values("plain"))
            stamps = []
            for number in range(6):  # in the loop's own thread: nothing else runs
                time.sleep(0.45)  # noqa: ASYNC251
                stamps.append(time.time())
                publish(b"t", b'{"v": %d, "ts": %.3f}' % (number, stamps[-1]))
                publish(b"u", b'{"v": %d}' % number)
            await harness.until(lambda: len(harness.values("plain")) == 7)
            await asyncio.sleep(0.4)
            publish(b"u", b'{"v": 6}')
            await harness.until(lambda: len(harness.values("plain")) == 8)
    assert harness.values("plain") == [-1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert harness.qualities("plain") == [0] + [REPLAYED] * 6 + [0]
    assert harness.qualities("timed")[0] == REPLAYED and harness.qualities("timed")[-1] == 0


@pytest.mark.parametrize(("count", "late"), [(5, 4), (30, 30)])
async def test_what_came_through_a_mended_link_at_once_is_marked(
    harness, free_port, tmp_path, count, late
):
    """No reconnect, no times. The newest of a few is live; of more than the broker sends without
    acknowledgements none is, as others wait behind them, however late these are acknowledged.
    """
    proxy_port = ports.free_port()
    async with (
        broker(free_port, tmp_path),
        freezable_proxy(proxy_port, free_port) as flowing,
        harness.running(config(proxy_port), {"a": "t /v", "b": "u /v"}),
        publisher(free_port) as out,
    ):
        await subscribed(harness)
        await out.publish("t", b'{"v": -1}')
        await harness.until(lambda: harness.values("a"))
        await asyncio.sleep(0.1)
        flowing.clear()
        for number in range(count):
            await out.publish("t", b'{"v": %d}' % number)
            await asyncio.sleep(2.2 / count)
        await out.publish("u", b'{"v": 7}')
        flowing.set()
        while len(harness.values("a")) <= count or not harness.values("b"):
            await asyncio.sleep(0.6)  # commits are seldom
            harness.collect()
        await asyncio.sleep(0.4)
        await out.publish("t", b'{"v": 99}')
        await harness.until(lambda: 99.0 in harness.values("a"))
    assert harness.states == ["live"]
    assert harness.values("a") == [-1.0, *map(float, range(count)), 99.0]
    assert harness.qualities("a") == [0] + [REPLAYED] * late + [0] * (count - late) + [0]
    assert harness.qualities("b") == [REPLAYED if late == count else 0]


async def test_a_device_that_repeats_an_unchanged_time_is_there(harness, free_port, tmp_path):
    """Equal value, equal time, again and again: the first counts, the others say "still so"."""
    payload = b'{"v": 5, "ts": %d}' % (time.time_ns() // 10**9)
    async with (
        broker(free_port, tmp_path),
        harness.running(config(free_port), {"a": "t /v time /ts"}),
        publisher(free_port) as out,
    ):
        await subscribed(harness)
        for _ in range(3):
            await out.publish("t", payload)
        await harness.until(lambda: len(harness.values("a")) == 3)
    assert harness.qualities("a") == [0, REPEATED, REPEATED]


async def test_a_topic_dropped_from_the_configuration_ends(make_harness, free_port, tmp_path):
    """The kept session still subscribes it; its first message ends that, and is acknowledged."""
    async with broker(free_port, tmp_path), publisher(free_port) as out:
        old = make_harness()
        async with old.running(config(free_port), {"a": "t /v", "b": "gone /v"}):
            await subscribed(old)
        new = make_harness()
        async with new.running(config(free_port), {"a": "t /v"}) as link:
            await subscribed(new)
            for number in range(3):
                await out.publish("gone", b'{"v": 1}')
                await out.publish("t", b'{"v": %d}' % number)
                await new.until(lambda n=number: len(new.values("a")) == n + 1)
                await asyncio.sleep(0.1)
            plan = " ".join(link.describe().plan)
    assert "1 messages came on topics that no tag has" in plan


async def test_two_agents_with_one_client_id_are_told(make_harness, free_port, tmp_path):
    """Each throws the other out: the reason names the client id and says what to do."""
    one, two = make_harness(), make_harness()
    settings = config(free_port, client_id="same")
    async with broker(free_port, tmp_path), one.running(settings, {"a": "t /v"}) as link:
        await subscribed(one)
        async with two.running(settings, {"a": "t /v"}):
            asked = "second agent with the client id 'same'"
            await one.until(lambda: any(asked in c.get("reason", "") for c in one.commands))
            assert any("client_id of its own" in text for text in link.describe().details)


async def test_times_and_types_that_are_none_are_told(harness, free_port, tmp_path, caplog):
    """Counted in the report, told in its details, and said by the log once."""
    async with (
        broker(free_port, tmp_path),
        harness.running(config(free_port), {"a": "t /v time /ts"}) as link,
        publisher(free_port) as out,
    ):
        await subscribed(harness)
        for stamp in ('"yesterday"', '"yesterday"', "86400", f'"{time.time_ns() // 10**6}"'):
            await out.publish("t", b'{"v": 1, "ts": %s}' % stamp.encode())
        await out.publish("t", b'{"v": true}')
        await harness.until(lambda: len(harness.samples["a"]) == 5)
        report = link.describe()
    assert report.times == {"unreadable": 2, "implausible": 1, "absent": 1}
    uncertain = int(Quality.UNCERTAIN)
    assert harness.qualities("a")[:4] == [uncertain] * 3 + [0]
    assert harness.qualities("a")[4] & Quality.WRONG_TYPE
    assert any("can not be read" in text and "'yesterday'" in text for text in report.details)
    said = [record.getMessage() for record in caplog.records if "can not be read" in record.message]
    assert len(said) == 1


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
    """Each tag's part of the payload; a silent topic, for how long it was listened to."""
    bindings = harness.bind({"a": "t /v", "b": "quiet /v", "c": "t /w"})
    async with broker(free_port, tmp_path), publisher(free_port) as out:
        await out.publish("t", b'{"v": 1, "Speed": {"W": 2}}', retain=True)
        found = await SOURCES["mqtt"].probe("s", config(free_port), bindings, 3.0)
    a, b, c = found.tags
    assert (a.value, a.quality, a.waited_s) == (1.0, 0, None)
    assert a.raw == "1" and "retained" in a.said
    assert '"v": 1' in c.raw
    assert (b.value, b.waited_s) == (None, 3.0)
    assert c.keys == ("/v", "/Speed/W") and c.nearest == "/Speed/W"


@pytest.mark.parametrize(
    ("stamp", "fault"),
    [
        ('"ts": "1795847767732x"', "unreadable: /ts is"),
        ('"ts": true', "unreadable: /ts is true"),
        ('"ts": "31.12.26 12:00"', "unreadable"),
        ('"TS": 1', "absent: the message has no /ts; nearest is /TS"),
        ('"ts": 4102444800000', "implausible: /ts is 4102444800000"),
        ('"ts": 86400', "implausible: /ts is 86400"),
    ],
)
async def test_probe_tells_why_a_configured_time_gives_none(
    harness, free_port, tmp_path, stamp, fault
):
    """Absent, unreadable and implausible are three things."""
    bindings = harness.bind({"a": "t /v time /ts"})
    async with broker(free_port, tmp_path), publisher(free_port) as out:
        await out.publish("t", f'{{"v": 1, {stamp}}}'.encode(), retain=True)
        found = await SOURCES["mqtt"].probe("s", config(free_port), bindings, 10.0)
    assert found.tags[0].value == 1.0
    assert found.tags[0].time_fault.startswith(fault)


async def test_probe_of_an_absent_broker(harness, free_port):
    """`check` says where it could not connect, and why."""
    with pytest.raises(SourceError, match=f"127.0.0.1:{free_port}.*refused"):
        await SOURCES["mqtt"].probe("s", config(free_port), harness.bind({"a": "t"}), 1.0)
