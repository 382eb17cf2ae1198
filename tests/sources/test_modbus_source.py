"""The Modbus source against a pymodbus server, and against devices that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.configuration.schema import ModbusSource
from agent.errors import ConfigurationError, SourceError
from agent.sources import SOURCES, modbus, modbus_plan
from agent.types import Quality
from tests.waiting import Beats

LOST = int(Quality.COMMUNICATION_LOST)
BAD = int(Quality.BAD)
REFUSED = int(Quality.BAD | Quality.ADDRESS_REFUSED)


def config(port, **more):
    settings = {"every": "50ms", "timeout": "3s", **more}
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
        (told,) = [c["tags"] for c in harness.commands if c["kind"] == "refused"]
        assert told == {
            "t2": "the device refuses holding 2: illegal data address (exception 2)",
            "far": "the device refuses holding 300: illegal data address (exception 2)",
        }
    for name, expected in {"t0": 10, "t1": 11, "t3": 13, "t9": 19}.items():
        assert set(harness.qualities(name)) == {0} and set(harness.values(name)) == {expected}
        assert link.describe().details == [
            "holding 2: illegal data address (exception 2); asked again every 60 s",
            "holding 300: illegal data address (exception 2); asked again every 60 s",
        ]
    assert set(harness.qualities("t2")) == set(harness.qualities("far")) == {REFUSED}
    assert harness.states == ["live"]


async def test_late_answer_is_never_taken_for_the_next(harness, free_port):
    """An answer after the timeout dies with its connection, even with the right-looking id."""

    def answer(number, frame):
        if number == 2:
            # Late, and dressed up as the answer to the following request of the connection.
            forged = struct.pack(">H", struct.unpack(">H", frame[:2])[0] + 1) + frame[2:]
            return [(1.0, registers(forged, 999))]
        return [(0, registers(frame, 5))]

    async with (
        raw_device(free_port, answer) as requests,
        harness.running(config(free_port, timeout="500ms"), {"a": "holding 0"}),
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


async def test_an_answer_of_wrong_length_is_no_value(harness, free_port):
    """Two registers where one was asked for: nobody knows which, so there is no value."""

    def answer(_number, frame):
        return [(0, registers(frame, 5, 6))]

    async with (
        raw_device(free_port, answer),
        harness.running(config(free_port), {"a": "holding 0"}) as link,
    ):
        await harness.until(lambda: harness.states == ["failed"])
        assert "4 bytes where 2 were asked for" in link.describe().reason
    assert harness.values("a") == []


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


def foreign(frame, number):
    """A frame with another transaction id."""
    return struct.pack(">H", number) + frame[2:]


async def test_a_device_that_hangs_up_after_each_answer_is_read_whole(harness, free_port):
    """Each request of a poll gets a connection of its own where the device wants it so."""
    connections = []

    async def serve(reader, writer):
        connections.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            frame = await reader.readexactly(12)
            start, count = struct.unpack(">HH", frame[8:])
            writer.write(registers(frame, *range(start, start + count)))
        writer.close()

    addresses = {f"t{n}": f"holding {n}" for n in (0, 100, 200, 300)}
    server = await asyncio.start_server(serve, "127.0.0.1", free_port)
    async with server, harness.running(config(free_port), addresses):
        await harness.until(lambda: len(harness.values("t300")) >= 4)
        polls = len(harness.samples["t0"])
        assert len(connections) <= 4 * polls + 8
    for name in addresses:
        assert set(harness.qualities(name)) == {0}
        assert set(harness.values(name)) == {float(name[1:])}
    assert harness.states == ["live"]


@pytest.mark.parametrize("constant", [0, 1, 7])
async def test_a_constant_id_works_and_a_doubled_answer_shifts_nothing(
    harness, free_port, constant
):
    """Every fifth answer comes twice, the second one a little later: no value of another tag."""

    def answer(number, frame):
        start = struct.unpack(">H", frame[8:10])[0]
        data = foreign(registers(frame, start), constant)
        return [(0, data), (0.003, data)] if number % 5 == 0 else [(0, data)]

    addresses = {f"t{n}": f"holding {n}" for n in range(0, 800, 100)}
    async with (
        raw_device(free_port, answer),
        harness.running(config(free_port), addresses),
    ):
        await harness.until(lambda: len(harness.values("t700")) >= 8)
    for name in addresses:
        assert set(harness.values(name)) == {float(name[1:])}
    assert harness.states == ["live"]


KINDS = (
    "good", "zero id", "other id", "next id", "doubled", "doubled later", "late", "short",
    "other unit", "exception", "split", "garbage", "swapped", "silent", "hangs up",
)  # fmt: skip


def twisted(kind, number, frame, before):
    """One answer as a sick device gives it; `before`: its answer to the earlier question."""
    good = registers(frame, struct.unpack(">H", frame[8:10])[0])
    own = struct.unpack(">H", frame[:2])[0]
    return {
        "good": [(0, good)],
        "zero id": [(0, foreign(good, 0))],
        "other id": [(0, foreign(good, 12345))],
        "next id": [(0, foreign(good, own % 0xFFFF + 1))],
        "doubled": [(0, good + good)],
        "doubled later": [(0, foreign(good, 0)), (0.002 * (number % 3), foreign(good, 0))],
        "late": [(0.07, good)],
        "short": [(0, good[:4] + b"\x00\x04" + good[6:8] + b"\x01" + good[9:10])],
        "other unit": [(0, good[:6] + b"\x63" + good[7:])],
        "exception": [(0, frame[:4] + b"\x00\x03" + frame[6:7] + b"\x83\x06")],
        "split": [(0.001, bytes([byte])) for byte in good],
        "garbage": [(0, b"\x00\x00" + good)],
        "swapped": [(0, before or good)],
        "silent": [],
        "hangs up": None,
    }[kind]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(schedule=st.lists(st.sampled_from(KINDS), min_size=4, max_size=12))
def test_no_schedule_of_faults_gives_a_wrong_value_as_good(make_harness, schedule):
    """Wrong id, doubled, late, short, swapped, split, cut off, in any order: never another's value.

    Every register holds its own offset, so a value of another request is seen at once.
    """

    async def serve(reader, writer, counter):
        before = None
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frame = await reader.readexactly(12)
                counter.append(frame)
                number = len(counter)
                kind = schedule[number % len(schedule)] if number % 4 else "good"
                sent = twisted(kind, number, frame, before)
                before = registers(frame, struct.unpack(">H", frame[8:10])[0])
                if sent is None:
                    break
                for delay, data in sent:
                    await asyncio.sleep(delay)
                    writer.write(data)
        writer.close()

    async def run():
        harness, counter = make_harness(), []
        server = await asyncio.start_server(
            lambda r, w: serve(r, w, counter), "127.0.0.1", 0
        )
        port = server.sockets[0].getsockname()[1]
        addresses = {f"t{n}": f"holding {n}" for n in (0, 100, 200, 300)}
        async with server, harness.running(config(port, every="10ms", timeout="50ms"), addresses):
            await asyncio.sleep(0.5)
            harness.collect()
        assert counter
        for name in addresses:
            assert set(harness.values(name)) <= {float(name[1:])}

    asyncio.run(run())


async def test_one_block_that_never_answers_is_put_off_alone(harness, free_port):
    """Its tags are lost once and asked ever more seldom; the others keep their rate, all live."""
    asked = []

    def answer(_number, frame):
        start = struct.unpack(">H", frame[8:10])[0]
        asked.append(start)
        return [] if start == 100 else [(0, registers(frame, start))]

    addresses = {f"t{n}": f"holding {n}" for n in (0, 100, 200)}
    async with (
        raw_device(free_port, answer),
        harness.running(config(free_port, timeout="100ms"), addresses) as link,
    ):
        await harness.until(lambda: harness.values("t200"))
        async with Beats(0.05) as beats:
            await harness.until(lambda: len(harness.values("t200")) >= 30)
        report = link.describe()
    assert harness.states == ["live"] and beats.count * 0.05 < 30 * 0.05 + 1.5
    assert harness.qualities("t100") == [LOST] and set(harness.qualities("t0")) == {0}
    assert 2 <= asked.count(100) <= 5
    assert len(report.details) == 1 and report.details[0].startswith("holding 100: no answer")
    assert "holding 100" in report.reason


async def test_a_block_that_answers_again_is_read_again(harness, free_port, monkeypatch):
    """What was put off comes back by itself."""
    monkeypatch.setattr(modbus_plan, "_FIRST_PAUSE_S", 0.1)
    mute = [True]

    def answer(_number, frame):
        start = struct.unpack(">H", frame[8:10])[0]
        return [] if start == 100 and mute[0] else [(0, registers(frame, start))]

    addresses = {"a": "holding 0", "b": "holding 100"}
    async with (
        raw_device(free_port, answer),
        harness.running(config(free_port, timeout="100ms"), addresses) as link,
    ):
        await harness.until(lambda: harness.qualities("b") == [LOST] or link.describe().details)
        mute[0] = False
        await harness.until(lambda: len(harness.values("b")) >= 3)
        assert link.describe().details == []


async def test_refused_addresses_are_asked_once_a_pause_and_taken_back(
    harness, free_port, monkeypatch
):
    """Not at every poll; and a register that the device has by now is read together again."""
    monkeypatch.setattr(modbus, "LONGEST_PAUSE_S", 0.4)
    monkeypatch.setattr(modbus_plan, "LONGEST_PAUSE_S", 0.4)
    missing, asked = {2}, []

    def answer(_number, frame):
        start, count = struct.unpack(">HH", frame[8:12])
        asked.append((start, count))
        if missing & set(range(start, start + count)):
            return [(0, frame[:4] + b"\x00\x03" + frame[6:7] + b"\x83\x02")]
        return [(0, registers(frame, *range(start, start + count)))]

    addresses = {f"t{n}": f"holding {n}" for n in range(4)}
    async with (
        raw_device(free_port, answer),
        harness.running(config(free_port), addresses) as link,
    ):
        await harness.until(lambda: len(harness.values("t0")) >= 16)
        refused = [place for place in asked if place[0] <= 2 < sum(place)]
        assert len(refused) <= 8
        assert set(harness.qualities("t2")) == {REFUSED}
        missing.clear()
        await harness.until(lambda: len(harness.values("t2")) >= 3)
        assert link.describe().details == [] and asked[-1] == (0, 4)


async def test_a_dead_unit_behind_a_gateway_leaves_its_neighbour_alone(make_harness, free_port):
    """The dead one is lost and asked on a connection of its own; the other keeps its rate."""
    frames = []

    def answer(_number, frame):
        frames.append(frame)
        return [] if frame[6] == 2 else [(0, registers(frame, 5))]

    first, second = make_harness(), make_harness()
    async with (
        raw_device(free_port, answer),
        first.running(config(free_port, unit=1, timeout="300ms"), {"a": "holding 0"}),
        second.running(config(free_port, unit=2, timeout="300ms"), {"a": "holding 0"}),
    ):
        await second.until(lambda: second.states == ["failed"])
        count = len(first.values("a"))
        async with Beats(0.05) as beats:
            await asyncio.sleep(1.5)
        first.collect()
        assert len(first.values("a")) - count >= 0.8 * beats.count
    assert first.states == ["live"] and sum(frame[6] == 2 for frame in frames) >= 2


async def test_a_whole_number_beyond_float64_is_told(harness, free_port):
    """The value is good, and nobody takes its last digits for true."""
    words = [0x1000, 0, 0, 1]
    async with (
        device(free_port, {0: words}),
        harness.running(config(free_port), {"energy": "holding 0 uint64"}) as link,
    ):
        await harness.until(lambda: len(harness.values("energy")) >= 2)
        (told,) = link.describe().details
    assert set(harness.qualities("energy")) == {0}
    assert told.startswith("energy: larger than 2^53")


async def test_a_declared_code_is_not_available(harness, free_port):
    """0x8000 where it is declared to mean "no value" is none, and says why."""
    async with (
        device(free_port, {0: [0x8000]}),
        harness.running(
            config(free_port), {"a": "holding 0 int16 scale 0.1"}, not_available=["0x8000"]
        ),
    ):
        await harness.until(lambda: harness.samples["a"])
    assert set(harness.qualities("a")) == {BAD | Quality.NOT_AVAILABLE}


def test_bad_addresses_are_all_reported(harness):
    """Every address at fault, each with its tag, before anything runs."""
    with pytest.raises(ConfigurationError) as caught:
        harness.create(config(502), {"a": "holding 0", "b": "holding x", "c": "coil 1 float32"})
    assert len(caught.value.faults) == 2
    assert "tag 'b'" in str(caught.value) and "tag 'c'" in str(caught.value)


async def test_probe_shows_the_registers_of_each_tag(harness, free_port):
    """`check` sees what came, what it means, and what the same bytes would mean otherwise."""
    addresses = {
        "float": "holding 0 float32",
        "swapped": "holding 2 float32",
        "word": "holding 4 int16 scale 0.1",
        "bit": "coil 1",
    }
    swapped = struct.unpack(">2H", struct.pack(">f", 72.3))[::-1]
    async with device(free_port, {0: [*FLOATS[:2], *swapped, 0x8001]}):
        found = await SOURCES["modbus"].probe("s", config(free_port), harness.bind(addresses), 10.0)
    tags = {tag.name: tag for tag in found.tags}
    assert list(tags) == list(addresses)
    assert {name: tag.quality for name, tag in tags.items()} == dict.fromkeys(addresses, 0)
    assert (tags["float"].value, tags["float"].raw) == (21.5, "0x41ac 0000")
    assert dict(tags["swapped"].others)["CDAB"] == pytest.approx(72.3)
    assert tags["word"].value == pytest.approx(-3276.7)
    assert dict(tags["word"].others)["uint16"] == pytest.approx(3276.9)
    assert (tags["bit"].value, tags["bit"].raw) == (0.0, "0")


async def test_probe_names_what_the_device_refuses(harness, free_port):
    """In the device's words, at the tag's own address; the others are read."""
    bindings = harness.bind({"good": "holding 0", "worse": "holding 5"})
    async with device(free_port, {0: [1, 2]}):
        found = await SOURCES["modbus"].probe("s", config(free_port), bindings, 10.0)
    good, worse = found.tags
    assert (good.value, good.quality) == (1.0, 0)
    assert worse.quality == BAD | Quality.ADDRESS_REFUSED
    assert worse.said == "the device refuses holding 5: illegal data address (exception 2)"


async def test_probe_of_a_device_that_leaves_one_block_unanswered(harness, free_port):
    """Its tags have no answer, at a bounded cost; the others are read."""

    def answer(_, frame):
        return [(0.0, registers(frame, 7))] if frame[8:10] == b"\x00\x00" else []

    bindings = harness.bind(
        {"good": "holding 0", **{f"t{n}": f"holding {n}00" for n in range(2, 9)}}
    )
    async with raw_device(free_port, answer) as requests:
        found = await SOURCES["modbus"].probe("s", config(free_port), bindings, 0.5)
    assert found.tags[0].value == 7.0
    assert {tag.quality for tag in found.tags[1:]} == {BAD | LOST}
    assert all(tag.said for tag in found.tags[1:])
    assert len(requests) <= 6
    assert any(remark.level == "warning" for remark in found.remarks)


async def test_probe_of_a_device_that_closes_after_each_answer(harness, free_port):
    """It answers everything, one connection a time: nothing is wrong."""

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            head = await reader.readexactly(6)
            frame = head + await reader.readexactly(struct.unpack(">H", head[4:])[0])
            writer.write(registers(frame, 5))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", free_port)
    bindings = harness.bind({f"t{n}": f"holding {n}00" for n in range(4)})
    async with server:
        found = await SOURCES["modbus"].probe("s", config(free_port), bindings, 10.0)
    assert [tag.value for tag in found.tags] == [5.0] * 4


async def test_probe_of_an_absent_device(harness, free_port):
    """`check` says where it could not connect."""
    with pytest.raises(SourceError, match=f"127.0.0.1:{free_port}"):
        await SOURCES["modbus"].probe("s", config(free_port), harness.bind({"a": "coil 0"}), 1.0)
