"""The Modbus source against a pymodbus server, and against devices that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.configuration.schema import ModbusSource
from agent.errors import ConfigurationError, SourceError
from agent.sources import SOURCES
from agent.types import Quality

LOST = int(Quality.COMMUNICATION_LOST)
BAD = int(Quality.BAD)


def config(port, **more):
    settings = {"every": "50ms", "timeout": "500ms", **more}
    return ModbusSource(protocol="modbus", host="127.0.0.1", port=port, **settings)


@contextlib.asynccontextmanager
async def device(port, holding, unit=1):
    """A pymodbus server that has these blocks of holding registers and no other."""
    words = [
        SimData(start, values=list(values), datatype=DataType.REGISTERS)
        for start, values in holding.items()
    ]
    bits = [SimData(0, values=[True, False] * 8, datatype=DataType.BITS)]
    other = [SimData(0, values=[7], datatype=DataType.REGISTERS)]
    server = ModbusTcpServer(
        SimDevice(unit, (bits, bits, words, other)), address=("127.0.0.1", port)
    )
    await server.serve_forever(background=True)
    try:
        yield server
    finally:
        await server.shutdown()


@contextlib.asynccontextmanager
async def raw_device(port, answer, peers=None):
    """A server whose answer(n, frame) -> list of (delay, bytes) is all the test's own."""
    requests = []

    async def serve(reader, writer):
        if peers is not None:
            peers.append(writer.get_extra_info("peername"))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(6)
                frame = head + await reader.readexactly(struct.unpack(">H", head[4:])[0])
                requests.append(frame)
                for delay, data in answer(len(requests), frame):
                    await asyncio.sleep(delay)
                    writer.write(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield requests
    finally:
        server.close()
        await server.wait_closed()


def registers(frame, *values):
    """The regular answer to a read request."""
    data = struct.pack(f">{len(values)}H", *values)
    pdu = bytes([frame[7], len(data)]) + data
    return frame[:4] + struct.pack(">H", len(pdu) + 1) + frame[6:7] + pdu


FLOATS = struct.unpack(">4H", struct.pack(">2f", 21.5, -3.25))


async def test_values_arrive_and_the_source_is_live(harness, free_port):
    """Registers and bits of several areas are polled and decoded; the state says live."""
    addresses = {
        "a": "holding 10 float32",
        "b": "holding 12 float32",
        "c": "coil 0",
        "d": "input 0 int16 scale 0.5",
    }
    async with device(free_port, {10: FLOATS}), harness.running(config(free_port), addresses):
        await harness.until(lambda: len(harness.values("d")) >= 3)
    assert set(harness.values("a")) == {21.5} and set(harness.values("b")) == {-3.25}
    assert set(harness.values("c")) == {1.0} and set(harness.values("d")) == {3.5}
    assert harness.states == ["live"]
    report = harness.link.describe()
    assert report.state == "live" and report.received >= 12 and report.bytes > 30
    assert report.plan == (
        "every 0.05 s: coil 0..0 (1 bits) for c",
        "every 0.05 s: holding 10..13 (4 registers) for a, b",
        "every 0.05 s: input 0..0 (1 registers) for d",
    )


async def test_absent_at_start_then_there(harness, free_port):
    """No device: failed, with one lost sample a tag and the cause; then live by itself."""
    async with harness.running(config(free_port), {"a": "holding 0", "b": "holding 1"}):
        await harness.until(lambda: harness.states == ["failed"])
        assert harness.qualities("b") == [LOST]
        assert harness.qualities("a") == [LOST]
        reason = harness.link.describe().reason
        assert f"127.0.0.1:{free_port}" in reason and "refused" in reason.lower()
        async with device(free_port, {0: [1, 2]}):
            await harness.until(lambda: harness.values("b"))
    assert harness.states == ["failed", "live"]
    assert harness.qualities("a")[:2] == [LOST, 0]


async def test_dies_and_comes_back(harness, free_port):
    """A device that goes away is lost at once, one sample a tag, and read again when back."""
    async with contextlib.AsyncExitStack() as stack, contextlib.AsyncExitStack() as first:
        await first.enter_async_context(device(free_port, {0: [1]}))
        await stack.enter_async_context(harness.running(config(free_port), {"a": "holding 0"}))
        await harness.until(lambda: harness.values("a"))
        await first.aclose()
        await harness.until(lambda: "failed" in harness.states)
        await asyncio.sleep(0.3)
        async with device(free_port, {0: [2]}):
            await harness.until(lambda: 2.0 in harness.values("a"))
    assert harness.states == ["live", "failed", "live"]
    qualities = harness.qualities("a")
    assert qualities.count(LOST) == 1 and set(qualities) == {0, LOST}


async def test_a_refused_range_costs_only_its_own_tags(harness, free_port):
    """Missing registers between and among good ones: only their tags are bad, from the start."""
    addresses = {f"t{n}": f"holding {n}" for n in (0, 1, 2, 3, 9)} | {"far": "holding 300"}
    holding = {0: [10, 11], 3: [13], 9: [19]}
    async with device(free_port, holding), harness.running(config(free_port), addresses) as link:
        await harness.until(lambda: len(harness.samples["t9"]) >= 3)
        assert "illegal data address" in link.describe().reason
    for name, expected in {"t0": 10, "t1": 11, "t3": 13, "t9": 19}.items():
        assert set(harness.qualities(name)) == {0} and set(harness.values(name)) == {expected}
    assert set(harness.qualities("t2")) == {BAD} and set(harness.qualities("far")) == {BAD}
    assert harness.states == ["live"]


async def test_late_answer_is_never_taken_for_the_next(harness, free_port):
    """An answer after the timeout dies with its connection, even with the right-looking id."""

    def answer(number, frame):
        if number == 2:
            # Late, and dressed up as the answer to the following request of the connection.
            forged = struct.pack(">H", struct.unpack(">H", frame[:2])[0] + 1) + frame[2:]
            return [(0.4, registers(forged, 999))]
        return [(0, registers(frame, 5))]

    async with (
        raw_device(free_port, answer) as requests,
        harness.running(config(free_port, timeout="200ms"), {"a": "holding 0"}),
    ):
        await harness.until(lambda: len(requests) >= 12)
    assert set(harness.values("a")) == {5.0}
    assert harness.states == ["live"], "one lost answer is tried again before anything is said"


async def test_silent_device_fails_with_the_reason(harness, free_port):
    """Connected but never answering: failed with the timeout, and the connection is not kept."""
    async with (
        raw_device(free_port, lambda _number, _frame: []),
        harness.running(config(free_port, timeout="100ms"), {"a": "holding 0"}) as link,
    ):
        await harness.until(lambda: harness.states == ["failed"])
        assert "no answer within 0.1 s" in link.describe().reason
    assert harness.qualities("a") == [LOST]


@pytest.mark.parametrize(
    "broken",
    [
        lambda frame: b"\xff" * 60,
        lambda frame: frame[:4] + b"\x00\x03" + frame[6:7] + b"\x2b\x00",
        lambda frame: registers(frame[:7] + b"\x04" + frame[8:], 5),
        lambda frame: frame[:4] + b"\x00\x02" + frame[6:7] + b"\x83",
    ],
    ids=["garbage", "unknown function", "other function", "cut exception"],
)
async def test_hostile_answers_end_in_failed_not_in_values(harness, free_port, broken):
    """What is no answer to the question is no value; the source goes on trying."""

    def answer(_number, frame):
        return [(0, broken(frame))]

    async with (
        raw_device(free_port, answer) as requests,
        harness.running(config(free_port, timeout="150ms"), {"a": "holding 0"}),
    ):
        await harness.until(lambda: harness.states == ["failed"] and len(requests) >= 2)
    assert harness.values("a") == []


async def test_answer_of_wrong_length_is_bad_not_a_value(harness, free_port):
    """Two registers where one was asked for: bad quality, and the connection goes on."""

    def answer(_number, frame):
        return [(0, registers(frame, 5, 6))]

    async with (
        raw_device(free_port, answer),
        harness.running(config(free_port), {"a": "holding 0"}),
    ):
        await harness.until(lambda: len(harness.samples["a"]) >= 2)
    assert set(harness.qualities("a")) == {BAD} and harness.values("a") == []


async def test_a_gateway_that_lost_its_device_is_a_failed_source(harness, free_port):
    """Exception 11 on every read: nothing is behind the gateway, so the source is lost."""

    def answer(_number, frame):
        return [(0, frame[:4] + b"\x00\x03" + frame[6:7] + b"\x83\x0b")]

    async with (
        raw_device(free_port, answer),
        harness.running(config(free_port), {"a": "holding 0"}) as link,
    ):
        await harness.until(lambda: harness.states == ["failed"])
        assert "gateway target device failed to respond" in link.describe().reason
    assert harness.qualities("a") == [LOST]


async def test_units_behind_one_address_share_a_connection(make_harness, free_port):
    """Two sources, one host and port: one TCP connection, each unit's answers to its own."""
    peers = []

    def answer(_number, frame):
        return [(0, registers(frame, 100 + frame[6]))]

    first, second = make_harness(), make_harness()
    async with (
        raw_device(free_port, answer, peers),
        first.running(config(free_port, unit=1), {"a": "holding 0"}),
        second.running(config(free_port, unit=2), {"a": "holding 0"}),
    ):
        await first.until(lambda: len(first.values("a")) >= 3)
        await second.until(lambda: len(second.values("a")) >= 3)
    assert set(first.values("a")) == {101.0} and set(second.values("a")) == {102.0}
    assert len(set(peers)) == 1


async def test_only_reads_are_sent(harness, free_port):
    """Whatever is configured, only functions 1 to 4 leave the agent."""

    def answer(_number, frame):
        return [(0, registers(frame, 1))]

    addresses = {"a": "holding 0", "b": "input 0", "c": "coil 0", "d": "discrete 0"}
    async with (
        raw_device(free_port, answer) as requests,
        harness.running(config(free_port), addresses),
    ):
        await harness.until(lambda: len(requests) >= 8)
    assert {frame[7] for frame in requests} == {1, 2, 3, 4}


async def test_tags_have_their_own_intervals(harness, free_port):
    """A tag's interval overrides the source's; both are kept."""
    async with device(free_port, {0: [1, 2]}):
        bindings = harness.bind({"a": "holding 0", "b": "holding 1"})
        slow = bindings["b"].tag.model_copy(update={"interval": 400_000_000})
        bindings["b"] = type(bindings["b"])(101, "b", slow)
        link = SOURCES["modbus"].create(
            "s", config(free_port), bindings, harness.intake, dictionary=harness.dictionary
        )
        task = asyncio.create_task(link.run())
        await harness.until(lambda: len(harness.values("a")) >= 16)
        task.cancel()
    assert 2 <= len(harness.values("b")) <= len(harness.values("a")) // 3


def test_bad_addresses_are_all_reported(harness):
    """Every address at fault, each with its tag, before anything runs."""
    with pytest.raises(ConfigurationError) as caught:
        harness.create(config(502), {"a": "holding 0", "b": "holding x", "c": "coil 1 float32"})
    assert len(caught.value.faults) == 2
    assert "tag 'b'" in str(caught.value) and "tag 'c'" in str(caught.value)


async def test_probe_prints_the_plan(harness, free_port):
    """`check` shows the reads, having tried each."""
    bindings = harness.bind({"a": "holding 0", "b": "holding 1"})
    async with device(free_port, {0: [1, 2]}):
        lines = await SOURCES["modbus"].probe("s", config(free_port), bindings, 2.0)
    assert lines == ["every 0.05 s: holding 0..1 (2 registers) for a, b"]


async def test_probe_names_what_the_device_refuses(harness, free_port):
    """`check` fails on a tag the device does not have, and names no other."""
    bindings = harness.bind({"good": "holding 0", "worse": "holding 5"})
    async with device(free_port, {0: [1, 2]}):
        with pytest.raises(SourceError, match="worse: illegal data address") as caught:
            await SOURCES["modbus"].probe("s", config(free_port), bindings, 2.0)
    assert "good" not in str(caught.value)


async def test_probe_of_an_absent_device(harness, free_port):
    """`check` says where it could not connect."""
    with pytest.raises(SourceError, match=f"127.0.0.1:{free_port}"):
        await SOURCES["modbus"].probe("s", config(free_port), harness.bind({"a": "coil 0"}), 1.0)
