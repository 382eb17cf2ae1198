"""What a Modbus source tells of its device, before the values that the device gave."""

from __future__ import annotations

import asyncio
import contextlib
import struct

from hypothesis import given
from hypothesis import strategies as st
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.sources import SOURCES
from agent.sources.modbus_identity import Asking, identity_in
from tests.sources.test_modbus_source import config, raw_device, registers

ILLEGAL = "illegal data address (exception 2)"


@contextlib.asynccontextmanager
async def device(port, vendor, values, revision="2.0"):
    """A pymodbus server that says who it is, with these holding registers from 0."""
    words = [SimData(0, values=list(values), datatype=DataType.REGISTERS)]
    other = [SimData(0, values=[7], datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[True] * 8, datatype=DataType.BITS)]
    identity = ModbusDeviceIdentification(
        info_name={"VendorName": vendor, "ProductCode": "P1", "MajorMinorRevision": revision}
    )
    server = ModbusTcpServer(
        SimDevice(1, (bits, bits, words, other)), identity=identity, address=("127.0.0.1", port)
    )
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()


def identified(frame, vendor, *, more=False):
    """The answer to function 43: one object; `more`: the others come after it."""
    objects = {0: vendor, 1: "P1", 2: "2.0"}
    first = frame[10]
    chosen = {first: objects[first]} if more else objects
    following = first + 1 if more and first < 2 else 0
    pdu = bytes([0x2B, 0x0E, 1, 1, 0xFF if following else 0, following, len(chosen)])
    for number, text in chosen.items():
        pdu += bytes([number, len(text)]) + text.encode()
    return frame[:4] + struct.pack(">H", len(pdu) + 1) + frame[6:7] + pdu


def refusing(frame, code=1):
    """The answer that a device gives which does not know the function."""
    return frame[:4] + b"\x00\x03" + frame[6:7] + bytes([frame[7] | 0x80, code])


def asked(requests):
    """How often function 43 was asked."""
    return sum(frame[7] == 0x2B for frame in requests)


async def test_a_snapshot_and_a_running_source_tell_the_same(make_harness, free_port):
    """Who the device is, and what it refuses: the first that is told has no difference."""
    addresses = {"a": "holding 0", "b": "holding 1", "far": "holding 300"}
    async with device(free_port, "Acme", [1, 2]):
        found = await SOURCES["modbus"].probe(
            "s", config(free_port), make_harness().bind(addresses), 2.0
        )
        harness = make_harness().listen()
        async with harness.running(config(free_port), addresses):
            await harness.until(lambda: len(harness.values("b")) > 3)
    (told,) = harness.told
    assert told.identity == found.identity == {
        "vendor": "Acme", "product_code": "P1", "revision": "2.0"
    }  # fmt: skip
    assert told.tags == {tag.name: tag.served for tag in found.tags}
    assert told.tags == {"a": {}, "b": {}, "far": {"refused": ILLEGAL}}
    assert told.how == "connected" and not told.partial


async def test_another_device_is_told_before_its_first_value(harness, free_port):
    """It took the place while nobody looked."""
    harness.listen()
    at = {}
    async with contextlib.AsyncExitStack() as first:
        await first.enter_async_context(device(free_port, "Acme", [1]))
        async with harness.running(config(free_port), {"a": "holding 0"}):
            await harness.until(lambda: harness.values("a"))
            await first.aclose()
            async with device(free_port, "Other", [2]):
                await harness.until(lambda: 2.0 in harness.values("a"), 20)
                at = [(one.identity or {}).get("vendor") for one in harness.told]
    assert at == ["Acme", "Other"]
    assert harness.told[1].since_ns > 0


async def test_a_device_swapped_between_two_polls_is_told(harness, free_port):
    """The connection broke and was made anew at once: the source was never lost."""
    harness.listen()
    state = {"vendor": "Acme", "value": 1}

    def answer(_number, frame):
        if frame[7] == 0x2B:
            return [(0, identified(frame, state["vendor"], more=True))]
        return [(0, registers(frame, state["value"]))]

    writers = []
    async with raw_device(free_port, answer), proxied(free_port, writers) as port:
        async with harness.running(config(port), {"a": "holding 0"}):
            await harness.until(lambda: len(harness.values("a")) > 3)
            state.update(vendor="Other", value=2)
            for writer in writers:
                writer.close()
            await harness.until(lambda: 2.0 in harness.values("a"))
            await harness.until(lambda: len(harness.told) > 1)
    assert harness.told[0].identity["revision"] == "2.0"
    assert harness.identity["vendor"] == "Other" and "failed" not in harness.states
    assert len(harness.told) == 2


@contextlib.asynccontextmanager
async def proxied(port, writers):
    """A TCP proxy whose connections can be cut."""

    async def serve(reader, writer):
        writers.append(writer)
        other = await asyncio.open_connection("127.0.0.1", port)

        async def pump(source, sink):
            with contextlib.suppress(ConnectionError):
                while data := await source.read(65536):
                    sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, other[1]), pump(other[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_the_interval_asks_a_device_that_answers(harness, free_port):
    """Another revision while the connection stands."""
    harness.listen()
    state = {"vendor": "Acme"}

    def answer(_number, frame):
        if frame[7] == 0x2B:
            return [(0, identified(frame, state["vendor"]))]
        return [(0, registers(frame, 5))]

    async with (
        raw_device(free_port, answer) as requests,
        harness.running(config(free_port, contract_check="100ms"), {"a": "holding 0"}),
    ):
        await harness.until(lambda: asked(requests) > 2)
        state["vendor"] = "Other"
        await harness.until(lambda: harness.identity.get("vendor") == "Other")
        assert [one.how for one in harness.told] == ["connected", "interval"]
    assert harness.states == ["live"]


async def test_a_device_without_the_function_is_asked_once(harness, free_port):
    """It refuses: that is known now, and it is disturbed no more."""
    harness.listen()

    def answer(_number, frame):
        return [(0, refusing(frame) if frame[7] == 0x2B else registers(frame, 5))]

    async with (
        raw_device(free_port, answer) as requests,
        harness.running(config(free_port, contract_check="50ms"), {"a": "holding 0"}),
    ):
        await harness.until(lambda: len(harness.values("a")) > 10)
    assert asked(requests) == 1 and harness.told[0].identity == {}
    assert harness.states == ["live"]


async def test_no_answer_to_who_it_is_is_not_known(harness, free_port):
    """Silence costs one time-out, no value and no difference; it is not asked again soon."""
    harness.listen()

    def answer(_number, frame):
        return [] if frame[7] == 0x2B else [(0, registers(frame, 5))]

    settings = {"contract_check": "50ms", "timeout": "500ms"}
    async with (
        raw_device(free_port, answer) as requests,
        harness.running(config(free_port, **settings), {"a": "holding 0"}),
    ):
        await harness.until(lambda: len(harness.values("a")) > 10)
    assert asked(requests) == 1
    assert [one.identity for one in harness.told] == [None] and harness.states == ["live"]


async def test_a_device_that_answered_once_and_is_silent_now_stays_who_it_was(harness, free_port):
    """A time-out is no other vendor."""
    harness.listen()
    state = {"answers": True}

    def answer(_number, frame):
        if frame[7] == 0x2B:
            return [(0, identified(frame, "Acme"))] if state["answers"] else []
        return [(0, registers(frame, 5))]

    settings = {"contract_check": "150ms", "timeout": "300ms"}
    async with (
        raw_device(free_port, answer) as requests,
        harness.running(config(free_port, **settings), {"a": "holding 0"}),
    ):
        await harness.until(lambda: asked(requests) > 1)
        state["answers"] = False
        before = asked(requests)
        await harness.until(lambda: asked(requests) > before + 2)
    assert harness.identity["vendor"] == "Acme" and len(harness.told) == 1


async def test_what_is_refused_is_told_before_its_sample(harness, free_port, monkeypatch):
    """And what is there again."""
    monkeypatch.setattr("agent.sources.modbus_plan.LONGEST_PAUSE_S", 0.2)
    harness.listen()
    state = {"refused": False}

    def answer(_number, frame):
        if frame[7] == 0x2B:
            return [(0, refusing(frame))]
        start = struct.unpack(">H", frame[8:10])[0]
        is_refused = state["refused"] and start == 300
        return [(0, refusing(frame, 2) if is_refused else registers(frame, start))]

    addresses = {"a": "holding 0", "far": "holding 300"}
    async with raw_device(free_port, answer), harness.running(config(free_port), addresses):
        await harness.until(lambda: harness.values("far"))
        state["refused"] = True
        await harness.until(lambda: harness.term("far", "refused") == ILLEGAL)
        await harness.until(lambda: harness.qualities("far")[-1])
        state["refused"] = False
        await harness.until(lambda: harness.term("far", "refused") is None)
    assert [terms for tag, _, terms in harness.marks if tag == "far"] == [
        {}, {"refused": ILLEGAL}, {}
    ]  # fmt: skip
    assert [tag for tag, _, _ in harness.marks].count("a") == 1


async def test_an_answer_of_another_length_is_told(harness, free_port):
    """It is no value; when the length is right again, that is told too."""
    harness.listen()
    state = {"words": (300,)}

    def answer(_number, frame):
        if frame[7] == 0x2B:
            return [(0, refusing(frame))]
        start = struct.unpack(">H", frame[8:10])[0]
        return [(0, registers(frame, *(state["words"] if start else (0,))))]

    addresses = {"a": "holding 0", "far": "holding 300"}
    async with raw_device(free_port, answer), harness.running(config(free_port), addresses):
        await harness.until(lambda: harness.values("far"))
        state["words"] = (1, 2)
        await harness.until(lambda: "4 bytes where 2" in str(harness.term("far", "answer")))
        state["words"] = (301,)
        await harness.until(lambda: 301.0 in harness.values("far"))
    assert harness.terms["far"] == {} and set(harness.values("far")) == {300.0, 301.0}


@given(st.binary(max_size=80))
def test_whatever_answers_is_no_exception(data):
    """Three texts at most, whatever came."""
    for pdu in data, b"\x2b\x0e" + data:
        assert set(identity_in(pdu)) <= {"vendor", "product_code", "revision"}


@given(st.lists(st.tuples(st.sampled_from(["poll", "fresh", "lost"]), st.booleans()), max_size=60))
def test_a_silent_device_is_asked_at_most_three_times(events):
    """However often it is lost and comes back, and whatever its connections do."""
    asking, made, count = Asking(1.0), 0, 0
    for number, (event, _) in enumerate(events):
        if event == "lost":
            asking.lost()
        made += event == "fresh"
        if asking.is_due(number * 400.0, made):
            count += 1
            asking.answered(None, number * 400.0, made)
    assert count <= 3
