"""The MQTT link against a real broker that is killed, restarted, slow, old or hostile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import time

import pytest

from agent.mqtt import LinkError, Message, MqttLink, RefusedError, Will
from agent.mqtt.client import CONNECT_TIMEOUT_S
from simulators.ports import free_port
from tests.mosquitto import Mosquitto
from tests.waiting import PATIENCE_S, Beats, until


@pytest.fixture
def broker(tmp_path):
    broker = Mosquitto(tmp_path)
    broker.start()
    yield broker
    broker.stop()


@contextlib.asynccontextmanager
async def running(*links, wait=True):
    tasks = [asyncio.create_task(link.run()) for link in links]
    try:
        if wait:
            await until(lambda: all(link.connected for link in links))
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def link(broker, client_id, **arguments):
    return MqttLink(host="127.0.0.1", port=broker.port, client_id=client_id, **arguments)


async def test_publish_is_done_at_puback_and_arrives(broker):
    """A publish's future ends at PUBACK, and a subscriber has exactly what was published."""
    got: list[Message] = []
    here, there = link(broker, "here"), link(broker, "there", on_message=got.append)
    there.subscribe([("plant/#", 1)])
    async with running(here, there):
        await until(lambda: "Sending SUBACK to there" in broker.log())
        futures = [here.publish(f"plant/{n}", str(n).encode() * n) for n in range(500)]
        await asyncio.wait_for(asyncio.gather(*futures), PATIENCE_S)
        await until(lambda: len(got) == 500)
    assert [(m.topic, m.payload) for m in got] == [
        (f"plant/{n}", str(n).encode() * n) for n in range(500)
    ]
    assert {m.qos for m in got} == {1}


async def test_publish_without_connection_fails_at_once(tmp_path):
    """With no broker a publish fails at once, and the link keeps trying without raising."""
    states: list[tuple[bool, str]] = []
    here = MqttLink(
        host="127.0.0.1",
        port=free_port(),
        client_id="here",
        on_state=lambda connected, reason: states.append((connected, reason)),
    )
    async with running(here, wait=False):
        with pytest.raises(LinkError):
            await here.publish("a", b"")
        await until(lambda: bool(states))
    assert states[0][0] is False
    assert "refused" in states[0][1].lower()


async def test_link_survives_kill_of_the_broker(tmp_path):
    """SIGKILL of the broker fails what is in flight; the link and its subscriptions come back."""
    broker = Mosquitto(tmp_path)
    broker.start()
    got: list[Message] = []
    states: list[bool] = []
    reasons: list[str] = []

    def told(connected, reason):
        states.append(connected)
        reasons.append(reason)

    here = link(broker, "here", on_state=told)
    there = link(broker, "there", on_message=got.append)
    there.subscribe([("#", 1)])
    try:
        async with running(here, there):
            await here.publish("before", b"1")
            broker.kill()
            in_flight = here.publish("lost", b"2")
            with pytest.raises(LinkError):
                await asyncio.wait_for(in_flight, PATIENCE_S)
            await until(lambda: not here.connected and not there.connected)
            broker.start()
            await until(lambda: here.connected and there.connected)
            await until(lambda: broker.log().count("Sending SUBACK to there") == 2)
            await asyncio.wait_for(here.publish("after", b"3"), PATIENCE_S)
            await until(lambda: any(m.topic == "after" for m in got))
    finally:
        broker.stop()
    assert states[0] is True
    assert states.count(True) == 2
    assert reasons[1] in {"the broker closed the connection", "Connection reset by peer"}
    assert "lost" not in [m.topic for m in got]


async def test_unacknowledged_messages_come_again_after_a_lost_connection(tmp_path):
    """With manual ack and a kept session, what was not acknowledged is delivered again."""
    broker = Mosquitto(tmp_path)
    broker.start()
    got: list[Message] = []
    settings = {"clean_start": False, "session_expiry_s": 3600, "manual_ack": True}
    try:
        there = link(broker, "there", on_message=got.append, **settings)
        there.subscribe([("q", 1)])
        here = link(broker, "here")
        async with running(here):
            async with running(there):
                await until(lambda: "Sending SUBACK to there" in broker.log())
                for n in range(60):
                    await here.publish("q", b"%d" % n)
                await until(lambda: len(got) == 60)
                for message in got[:40]:
                    there.ack(message)
                await asyncio.sleep(0.2)
            got2: list[Message] = []
            again = link(broker, "there", on_message=got2.append, **settings)
            async with running(again):
                await until(lambda: len(got2) == 20)
    finally:
        broker.stop()
    assert [m.payload for m in got2] == [b"%d" % n for n in range(40, 60)]


async def test_ack_of_an_earlier_connection_is_ignored(tmp_path):
    """Acknowledging a message of a lost connection does not acknowledge another one of the new."""
    broker = Mosquitto(tmp_path, persistence=True)
    broker.start()
    got: list[Message] = []
    settings = {"clean_start": False, "session_expiry_s": 3600, "manual_ack": True}
    there = link(broker, "there", on_message=got.append, **settings)
    there.subscribe([("q", 1)])
    here = link(broker, "here")
    try:
        async with running(here, there):
            await until(lambda: "Sending SUBACK to there" in broker.log())
            await here.publish("q", b"first")
            await until(lambda: len(got) == 1)
            broker.stop()
            await until(lambda: not there.connected)
            broker.start()
            await until(lambda: there.connected and len(got) == 2)
            assert got[0].connection != got[1].connection
            pubacks = broker.log().count("Received PUBACK from there")
            there.ack(got[0])
            await asyncio.sleep(0.3)
            assert broker.log().count("Received PUBACK from there") == pubacks
            there.ack(got[1])
            await until(lambda: broker.log().count("Received PUBACK from there") == pubacks + 1)
    finally:
        broker.stop()


async def test_will_is_sent_on_a_lost_connection_but_not_on_a_goodbye(broker):
    """Cancelling `run` says DISCONNECT and sends no will; a connection that breaks sends it."""
    got: list[Message] = []
    watcher = link(broker, "watcher", on_message=got.append)
    watcher.subscribe([("state/#", 1)])
    async with running(watcher):
        await until(lambda: "Sending SUBACK to watcher" in broker.log())
        polite = link(broker, "polite", will=Will("state/polite", b"offline"))
        async with running(polite):
            pass
        rude = link(broker, "rude", will=Will("state/rude", b"offline"))
        async with running(rude):
            rude._connection._client.socket().shutdown(socket.SHUT_RDWR)
            await until(lambda: bool(got))
    assert [(m.topic, m.payload) for m in got] == [("state/rude", b"offline")]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_both_protocol_versions_are_spoken(broker, protocol):
    """Version 5 and 3.1.1 can both be asked for; expiry is simply not there in 3.1.1."""
    here = link(broker, "here", protocol=protocol)
    async with running(here):
        await here.publish("a", b"x", retain=True, expiry_s=60, content_type="text/plain")
    assert {"5": "as here (p5,", "3.1.1": "as here (p2,"}[protocol] in broker.log()


async def old_broker(reader, writer, *, answer: bytes, seen: list[int]):
    """Speaks 3.1.1 only: accepts protocol level 4, answers others with `answer` and hangs up."""
    packet = await reader.read(1024)
    seen.append(packet[8])
    if packet[8] == 4:
        writer.write(b"\x20\x02\x00\x00")
        await writer.drain()
        await reader.read(1024)
    else:
        writer.write(answer)
        await writer.drain()
    writer.close()


@pytest.mark.parametrize("answer", [b"\x20\x02\x00\x01", b""], ids=["refused", "hung up"])
async def test_auto_falls_back_to_3_1_1(answer):
    """A broker that refuses version 5, or hangs up on it, gets 3.1.1 without a wait."""
    seen: list[int] = []
    server = await asyncio.start_server(
        lambda r, w: old_broker(r, w, answer=answer, seen=seen), "127.0.0.1", 0
    )
    port = server.sockets[0].getsockname()[1]
    async with server:
        here = MqttLink(host="127.0.0.1", port=port, client_id="here")
        async with running(here):
            pass
    assert seen == [5, 4]


async def test_auto_falls_back_to_3_1_1_where_version_5_is_never_answered(monkeypatch):
    """A broker that stays silent at version 5 (amqtt) gets 3.1.1 once the wait is over."""
    monkeypatch.setattr("agent.mqtt.link.CONNACK_TIMEOUT_S", 0.3)
    seen: list[int] = []

    async def silent(reader, writer):
        packet = await reader.read(1024)
        seen.append(packet[8])
        if packet[8] == 4:
            writer.write(b"\x20\x02\x00\x00")
        await reader.read(1024)
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        here = MqttLink(host="127.0.0.1", port=port, client_id="here")
        async with running(here):
            pass
    assert seen == [5, 4]


async def test_version_5_is_kept_once_it_was_spoken(broker):
    """An outage of a broker that speaks 5 does not push the link down to 3.1.1."""
    here = link(broker, "here")
    async with running(here):
        broker.kill()
        await until(lambda: not here.connected)
        broker.start()
        await until(lambda: here.connected)
        await here.publish("a", b"b", expiry_s=1)
    assert broker.log().count("as here (p5") == 2


async def test_more_publishes_than_the_broker_takes_in_flight(tmp_path):
    """The broker's Receive Maximum is kept, so it never ends the connection for it."""
    broker = Mosquitto(tmp_path, "max_inflight_messages 5")
    broker.start()
    try:
        here = link(broker, "here", max_inflight=200)
        async with running(here):
            futures = [here.publish("a", b"%d" % n) for n in range(300)]
            await asyncio.wait_for(asyncio.gather(*futures), PATIENCE_S)
    finally:
        broker.stop()
    assert "exceeded" not in broker.log().lower()
    assert broker.log().count("New client connected") == 1


async def test_a_message_larger_than_the_broker_takes_is_refused_alone(tmp_path):
    """A packet over the broker's limit fails by itself; the connection and the others live on."""
    broker = Mosquitto(tmp_path, "max_packet_size 2000")
    broker.start()
    try:
        here = link(broker, "here")
        async with running(here):
            with pytest.raises(RefusedError, match="too large"):
                await here.publish("a", bytes(4000))
            await asyncio.wait_for(here.publish("a", bytes(1000)), PATIENCE_S)
    finally:
        broker.stop()


async def test_a_publish_that_is_not_authorised_is_refused_alone(tmp_path):
    """A PUBACK with a failure reason fails that publish with the reason."""
    (tmp_path / "acl").write_text("topic write allowed/#\n", encoding="utf-8")
    broker = Mosquitto(tmp_path, f"acl_file {tmp_path / 'acl'}")
    broker.start()
    try:
        here = link(broker, "here")
        async with running(here):
            with pytest.raises(RefusedError, match="Not authorized"):
                await asyncio.wait_for(here.publish("forbidden/a", b"1"), PATIENCE_S)
            await asyncio.wait_for(here.publish("allowed/a", b"1"), PATIENCE_S)
    finally:
        broker.stop()


async def test_wrong_password_is_a_reason(tmp_path):
    """A refused login shows as the reason, again and again, and never raises."""
    (tmp_path / "pw").write_text("", encoding="utf-8")
    broker = Mosquitto(tmp_path, f"password_file {tmp_path / 'pw'}", "allow_anonymous false")
    broker.start()
    states: list[tuple[bool, str]] = []
    try:
        here = link(
            broker, "here", username="u", password="p", on_state=lambda c, r: states.append((c, r))
        )
        async with running(here, wait=False):
            await until(lambda: bool(states))
    finally:
        broker.stop()
    assert states[0] == (False, "Not authorized")


async def test_a_handler_that_raises_harms_nothing(broker):
    """An exception in `on_message` is logged; the next message still arrives."""
    got: list[bytes] = []

    def handler(message):
        got.append(message.payload)
        raise RuntimeError("bad handler")

    here = link(broker, "here", on_message=handler)
    here.subscribe([("a", 1)])
    async with running(here):
        await until(lambda: "Sending SUBACK to here" in broker.log())
        await here.publish("a", b"1")
        await here.publish("a", b"2")
        await until(lambda: got == [b"1", b"2"])
        assert here.connected


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x30\xff\xff\xff\xff\x7f",
        b"\x30\x02\xff\xff",
        b"\x40\x00",
        b"\x90\x01\x00",
        b"\xf7\x03abc",
    ],
)
async def test_garbage_costs_the_connection_not_the_process(garbage):
    """A peer that sends broken packets loses the connection, with a reason; `run` goes on."""
    states: list[tuple[bool, str]] = []

    async def hostile(reader, writer):
        await reader.read(1024)
        writer.write(b"\x20\x03\x00\x00\x00" + garbage)
        await writer.drain()
        with contextlib.suppress(OSError):
            await reader.read(1024)
        writer.close()

    server = await asyncio.start_server(hostile, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        here = MqttLink(
            host="127.0.0.1",
            port=port,
            client_id="here",
            protocol="5",
            on_state=lambda c, r: states.append((c, r)),
        )
        async with running(here, wait=False):
            await until(lambda: len([s for s in states if not s[0]]) >= 1)


async def test_a_black_hole_does_not_block_the_loop_or_the_exit():
    """A server that accepts TCP and never answers holds up neither the loop nor cancelling.

    What waited for it would do so to the end of `CONNECT_TIMEOUT_S`.
    """
    server = await asyncio.start_server(lambda _r, _w: asyncio.sleep(60), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    here = MqttLink(host="127.0.0.1", port=port, client_id="here", tls=ssl.create_default_context())
    task = asyncio.create_task(here.run())
    worst = 0.0
    for _ in range(30):
        began = time.perf_counter()
        await asyncio.sleep(0.01)
        worst = max(worst, time.perf_counter() - began)
    task.cancel()
    began = time.perf_counter()
    await asyncio.gather(task, return_exceptions=True)
    assert time.perf_counter() - began < CONNECT_TIMEOUT_S / 2
    assert worst < CONNECT_TIMEOUT_S / 2
    server.close()


def self_signed(key, certificate):
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    options += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", *options, "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )


async def test_tls_delivers_everything_that_comes_in_one_record(tmp_path):
    """Bytes that wait decrypted inside TLS are read too, not only at the next packet."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    self_signed(key, certificate)
    broker = Mosquitto(tmp_path, f"certfile {certificate}", f"keyfile {key}")
    broker.start()
    got: list[Message] = []
    try:
        context = ssl.create_default_context(cafile=str(certificate))
        here = link(broker, "here", tls=context)
        there = link(broker, "there", tls=context, on_message=got.append)
        there.subscribe([("a", 1)])
        async with running(here, there):
            await until(lambda: "Sending SUBACK to there" in broker.log())
            await asyncio.gather(*(here.publish("a", b"%d" % n) for n in range(300)))
            await until(lambda: len(got) == 300)
    finally:
        broker.stop()
    assert [m.payload for m in got] == [b"%d" % n for n in range(300)]


async def test_gathered_messages_come_together_and_none_is_late(broker):
    """With `gather_s` messages come in few reads, each within it; without it, in many."""
    came: dict[str, list[float]] = {"gathers": [], "eager": []}

    def counting(name):
        return lambda _: came[name].append(asyncio.get_running_loop().time())

    def turns(name):
        return len({round(at / 0.02) for at in came[name]})

    here = link(broker, "here")
    gathers = link(broker, "gathers", gather_s=0.2, on_message=counting("gathers"))
    eager = link(broker, "eager", on_message=counting("eager"))
    for there in (gathers, eager):
        there.subscribe([("a", 0)])
    async with running(here, gathers, eager):
        await until(lambda: broker.log().count("Sending SUBACK") == 2)
        async with Beats(0.02) as beats:
            for _ in range(50):
                here.publish("a", b"", qos=0)
                await asyncio.sleep(0.02)
            await until(lambda: len(came["gathers"]) == len(came["eager"]) == 50)
    took_s = came["eager"][-1] - came["eager"][0]
    assert turns("gathers") <= 2 * took_s / 0.2 and turns("eager") > 10
    late = [one - other for one, other in zip(came["gathers"], came["eager"], strict=True)]
    assert max(late) < 0.2 + 0.15 + beats.late_s


async def test_acknowledgements_of_one_turn_go_out_together_and_all_arrive(broker):
    """Hundreds of messages are acknowledged, by themselves or by hand, each exactly once."""
    got: list[Message] = []
    here = link(broker, "here")
    auto = link(broker, "auto")
    by_hand = link(broker, "by-hand", manual_ack=True, on_message=got.append)
    for there in (auto, by_hand):
        there.subscribe([("a", 1)])
    async with running(here, auto, by_hand):
        await until(lambda: broker.log().count("Sending SUBACK") == 2)
        await asyncio.gather(*(here.publish("a", b"%d" % n) for n in range(300)))
        await until(lambda: len(got) == 300)
        assert "Received PUBACK from by-hand" not in broker.log()
        for message in got:
            by_hand.ack(message)
        await until(lambda: broker.log().count("Received PUBACK from by-hand") == 300)
        await until(lambda: broker.log().count("Received PUBACK from auto") == 300)


async def test_a_peer_that_only_publishes_is_alive_and_one_that_is_silent_is_not():
    """PUBLISH counts as a sign of life even where no PINGRESP comes; silence ends the link."""
    states: list[tuple[bool, str]] = []
    publishing = asyncio.Event()
    publishing.set()

    async def deaf(reader, writer):
        await reader.read(1024)
        writer.write(b"\x20\x03\x00\x00\x00")
        with contextlib.suppress(OSError):
            while True:
                await publishing.wait()
                writer.write(b"\x30\x05\x00\x01a\x00x")
                await writer.drain()
                await asyncio.sleep(0.1)

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    here = MqttLink(
        host="127.0.0.1",
        port=port,
        client_id="here",
        protocol="5",
        keepalive_s=1,
        on_state=lambda c, r: states.append((c, r)),
    )
    async with server, running(here):
        await asyncio.sleep(4.0)
        assert states == [(True, "connected")]
        publishing.clear()
        await until(lambda: len(states) > 1)
    assert states[1][0] is False


async def test_quality_two_takes_the_long_way_and_arrives(broker):
    """QoS 2, which only paho handles, arrives once and leaves the connection whole."""
    got: list[Message] = []
    here = link(broker, "here")
    there = link(broker, "there", on_message=got.append)
    there.subscribe([("a", 2)])
    async with running(here, there):
        await until(lambda: "Sending SUBACK to there" in broker.log())
        here._connection._client.publish("a", b"two", qos=2)
        await here.publish("a", b"one")
        await until(lambda: len(got) == 2)
        assert there.connected
    assert sorted((m.payload, m.qos) for m in got) == [(b"one", 1), (b"two", 2)]


async def test_a_topic_that_is_no_utf_8_is_acknowledged_and_ignored():
    """A hostile topic does not stand in the way of the next message."""
    got: list[Message] = []
    heard = bytearray()

    async def hostile(reader, writer):
        await reader.read(1024)
        writer.write(b"\x20\x03\x00\x00\x00")
        writer.write(b"\x32\x07\x00\x01\xff\x00\x07\x00x" + b"\x32\x07\x00\x01a\x00\x08\x00y")
        with contextlib.suppress(OSError):
            while data := await reader.read(1024):
                heard.extend(data)

    server = await asyncio.start_server(hostile, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    here = MqttLink(
        host="127.0.0.1", port=port, client_id="here", protocol="5", on_message=got.append
    )
    async with server, running(here):
        await until(lambda: bool(got) and len(heard) >= 8)
    assert [(m.topic, m.payload, m.mid) for m in got] == [("a", b"y", 8)]
    assert heard[:8] == b"\x40\x02\x00\x07\x40\x02\x00\x08"
