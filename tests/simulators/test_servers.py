"""The simulators' servers really serve: real clients, a real broker, sockets on loopback."""

from __future__ import annotations

import asyncio
import io
import json
import math
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from asyncua import Client, ua
from pymodbus.client import AsyncModbusTcpClient

from agent.errors import FieldwardenError
from agent.forward.json_payload import time_of
from simulators.broker import BrokerProcess
from simulators.faults import parse_faults
from simulators.model import Predictor, SoftSensor, serve_soft_sensor
from simulators.plant import Plant, PlantSettings
from simulators.ports import port_is_free
from simulators.service import PlantService, addresses_of
from simulators.tags import COLUMN, LAB_TOPIC, MODEL_INPUTS, PREDICTED_TOPIC, TAGS
from tests.waiting import PATIENCE_S, START_S, Beats, until

SETTINGS = PlantSettings(seed=11, interval_s=0.05)
ROOT = Path(__file__).parents[2]


class Running:
    """A plant in the test's own loop, which ends with the block."""

    def __init__(self, addresses, tables=(), **more):
        self.truth = io.StringIO()
        faults = parse_faults(list(tables))
        self.service = PlantService(SETTINGS, addresses, faults, self.truth, **more)

    async def __aenter__(self):
        ready = asyncio.Event()
        self.task = asyncio.create_task(self.service.run(10 * PATIENCE_S, ready.set))
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({self.task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self.task.done():
            self.task.result()
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Notifications:
    """An OPC UA subscription's handler: every data value by node id."""

    def __init__(self):
        self.seen: dict[str, list] = {}

    def datachange_notification(self, node, _value, data):
        self.seen.setdefault(node.nodeid.to_string(), []).append(data.monitored_item.Value)


def address(name: str) -> str:
    return TAGS[COLUMN[name]].address


async def test_opcua_client_reads_every_reactor_tag(addresses):
    """Each OPC UA tag reads as a good Double near its usual value, with the source's time."""
    async with Running(addresses), Client(addresses.opcua) as client:
        await asyncio.sleep(0.3)
        usual = Plant(SETTINGS).advance(2000)[0]
        for index, tag in enumerate(TAGS):
            if tag.source == "reactor":
                value = await client.get_node(tag.address).read_data_value()
                assert value.StatusCode.is_good() and value.SourceTimestamp is not None
                assert abs(value.Value.Value - usual[:, index].mean()) < 7 * usual[:, index].std()


async def test_opcua_subscription_sees_bad_quality_and_dropout(addresses):
    """Bad quality arrives as a bad status code; a dropped tag stays silent meanwhile."""
    tables = [
        {"kind": "bad_quality", "tag": "reactor.pressure", "start": 0.5, "duration": 60},
        {"kind": "dropout", "tag": "reactor.level", "start": 0.5, "duration": 60},
    ]
    handler = Notifications()
    async with Running(addresses, tables), Client(addresses.opcua) as client:
        subscription = await client.create_subscription(50, handler)
        names = ("reactor.pressure", "reactor.level", "reactor.temperature")
        await subscription.subscribe_data_change([client.get_node(address(n)) for n in names])
        await until(lambda: len(handler.seen.get(address("reactor.temperature"), ())) > 30)
        pressure = handler.seen[address("reactor.pressure")][-1]
        assert pressure.StatusCode.value == ua.StatusCodes.BadSensorFailure
        level = len(handler.seen[address("reactor.level")])
        assert level < len(handler.seen[address("reactor.temperature")]) - 10
        await subscription.delete()


async def test_opcua_by_exception_reports_only_changes(addresses):
    """With report by exception, a stuck tag is told once while others go on."""
    tables = [{"kind": "stuck", "tag": "reactor.level", "start": 0.0, "duration": 60}]
    handler = Notifications()
    async with Running(addresses, tables, by_exception=True), Client(addresses.opcua) as client:
        subscription = await client.create_subscription(50, handler)
        names = ("reactor.level", "reactor.temperature")
        await subscription.subscribe_data_change([client.get_node(address(n)) for n in names])
        await until(lambda: len(handler.seen.get(address("reactor.temperature"), ())) > 15)
        assert len(handler.seen[address("reactor.level")]) <= 2
        await subscription.delete()


async def test_lost_opcua_source_closes_the_socket_and_comes_back(addresses):
    """While lost, nobody listens and the old session is dead; then a new client reads again."""
    port = int(addresses.opcua.rsplit(":", 1)[1].split("/")[0])
    tables = [{"kind": "source_lost", "source": "reactor", "start": 1.0, "duration": 1.0}]
    async with Running(addresses, tables) as running:
        client = Client(addresses.opcua, timeout=1)
        await client.connect()
        handler = Notifications()
        subscription = await client.create_subscription(50, handler)
        await subscription.subscribe_data_change(client.get_node(address("reactor.level")))
        await until(lambda: port_is_free(port))
        assert handler.seen[address("reactor.level")]
        with pytest.raises((ConnectionError, TimeoutError, OSError, ua.UaError)):
            await client.get_node(address("reactor.level")).read_value()
        await asyncio.gather(client.disconnect(), return_exceptions=True)
        await until(lambda: not port_is_free(port))
        async with Client(addresses.opcua) as again:
            assert math.isfinite(await again.get_node(address("reactor.level")).read_value())
        phases = [json.loads(line)["phase"] for line in running.truth.getvalue().splitlines()]
        assert phases == ["start", "end"]


async def test_modbus_client_reads_floats_and_scaled_integers(addresses):
    """One request each for holding and input registers gives every utility's usual value."""
    async with Running(addresses, serve=["utilities"]):
        await asyncio.sleep(0.2)
        client = AsyncModbusTcpClient("127.0.0.1", port=addresses.modbus_port)
        await client.connect()
        holding = (await client.read_holding_registers(100, count=10, device_id=1)).registers
        steam = (await client.read_input_registers(200, count=2, device_id=1)).registers
        float32 = client.DATATYPE.FLOAT32
        assert 4.5 < client.convert_from_registers(holding[0:2], float32) < 7.5
        assert 34 < client.convert_from_registers(holding[2:4], float32) < 46
        assert 1350 < holding[6] < 1550
        assert 10 < holding[7] * 0.01 < 13
        assert 3.4 < client.convert_from_registers(steam[::-1], float32) < 4.6
        client.close()


async def test_modbus_shows_no_value_and_is_read_only(addresses):
    """A dropped float reads NaN, a bad integer -32768; writes are refused."""
    tables = [
        {"kind": "dropout", "tag": "feed.flow", "start": 0, "duration": 60},
        {"kind": "bad_quality", "tag": "pump.speed", "start": 0, "duration": 60},
    ]
    async with Running(addresses, tables, serve=["utilities"]):
        await asyncio.sleep(0.2)
        client = AsyncModbusTcpClient("127.0.0.1", port=addresses.modbus_port)
        await client.connect()
        holding = (await client.read_holding_registers(100, count=10, device_id=1)).registers
        assert math.isnan(client.convert_from_registers(holding[0:2], client.DATATYPE.FLOAT32))
        assert holding[6] == 0x8000
        assert (await client.write_register(100, 1, device_id=1)).isError()
        client.close()


async def test_lost_modbus_source_drops_its_connection_and_comes_back(addresses):
    """While lost, the port is free and reads fail; afterwards a new connection reads again."""
    tables = [{"kind": "source_lost", "source": "utilities", "start": 0.5, "duration": 1.0}]
    async with Running(addresses, tables, serve=["utilities"]):
        reader, writer = await asyncio.open_connection("127.0.0.1", addresses.modbus_port)
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""
        writer.close()
        assert port_is_free(addresses.modbus_port)
        await until(lambda: not port_is_free(addresses.modbus_port))
        client = AsyncModbusTcpClient("127.0.0.1", port=addresses.modbus_port)
        await client.connect()
        assert not (await client.read_holding_registers(100, count=2, device_id=1)).isError()
        client.close()


async def test_mqtt_messages_arrive_with_pointers_and_time(addresses, inbox):
    """Each MQTT tag is found at its topic and JSON pointer; labels come too."""
    async with Running(addresses, serve=["line"]):
        for tag in TAGS:
            if tag.source == "line":
                topic, pointer = tag.address.split()
                document = (await inbox.wait(topic))[0]
                assert document["time"].endswith("Z")
                for name in pointer.strip("/").split("/"):
                    document = document[name]
                assert tag.physical[0] <= document <= tag.physical[1]
        assert 70 < (await inbox.wait(LAB_TOPIC))[0]["value"] < 95


async def test_mqtt_shows_frozen_clock_bad_value_and_dropout(addresses, inbox):
    """A frozen clock repeats the message's time, bad is null, a dropped member is left out."""
    tables = [
        {"kind": "frozen_clock", "tag": "ambient.humidity", "start": 0, "duration": 60},
        {"kind": "bad_quality", "tag": "product.density", "start": 0, "duration": 60},
        {"kind": "dropout", "tag": "product.viscosity", "start": 0, "duration": 60},
    ]
    async with Running(addresses, tables, serve=["line"]):
        site = await inbox.wait("plant/line1/site", 10)
        assert len({document["time"] for document in site}) == 1
        analysers = await inbox.wait("plant/line1/analysers", 3)
        assert len({document["time"] for document in analysers}) > 1
        assert analysers[-1]["product"] == {"density": None}


async def test_lost_line_falls_silent_and_comes_back(addresses, inbox):
    """No message is of a row of the second in which the line is lost; before and after they come.

    Judged by the rows' own times: how late this process is does not matter.
    """
    tables = [{"kind": "source_lost", "source": "line", "start": 0.2, "duration": 1.0}]
    async with Running(addresses, tables, hold=True, serve=["line"]) as running:
        await inbox.wait("plant/line1/site", 3)
        running.service.release()
        await until(lambda: '"end"' in running.truth.getvalue())
        lost_ns = json.loads(running.truth.getvalue().splitlines()[0])["start_ns"]
        back_ns = lost_ns + 1_000_000_000

        def sent_ns() -> list[int]:
            messages = inbox.of("plant/line1/site")
            return [time_of(document["time"]) for document in messages]

        await until(lambda: sum(ns >= back_ns for ns in sent_ns()) >= 3)
        assert sum(ns < lost_ns for ns in sent_ns()) >= 3
        assert [ns for ns in sent_ns() if lost_ns <= ns < back_ns - 1_000_000] == []


async def test_repeated_script_plays_again(addresses):
    """With a period of 1 s the fault starts and ends in each period, at its time in it."""
    tables = [{"kind": "stuck", "tag": "feed.flow", "start": 0.3, "duration": 0.3}]
    async with (
        Running(addresses, tables, repeat_s=1.0, serve=["utilities"]) as running,
        Beats(0.05) as beats,
    ):
        await until(lambda: len(running.truth.getvalue().splitlines()) >= 5)
        lines = [json.loads(line) for line in running.truth.getvalue().splitlines()]
        assert [line["phase"] for line in lines[:5]] == ["start", "end", "start", "end", "start"]
        assert lines[2]["start_ns"] - lines[0]["start_ns"] == 1_000_000_000
        assert 0 <= lines[2]["at_ns"] - lines[2]["start_ns"] < 500_000_000 + beats.late_s * 1e9
    with pytest.raises(FieldwardenError, match="ends after"):
        Running(addresses, tables, repeat_s=0.5)


async def test_held_script_begins_when_it_is_released(addresses, inbox):
    """Nothing happens while it is held; its times count from the first row after the release."""
    tables = [{"kind": "stuck", "tag": "feed.flow", "start": 0.2, "duration": 0.2}]
    async with Running(addresses, tables, hold=True, serve=["line"]) as running:
        held = await inbox.wait("plant/line1/site", 10)
        assert running.truth.getvalue() == ""
        released_ns = time.time_ns()
        running.service.release()
        await until(lambda: len(running.truth.getvalue().splitlines()) == 2)
        begin_ns = json.loads(running.truth.getvalue().splitlines()[0])["start_ns"] - 200_000_000
        # rows may lag behind the clock, never lead it by more than one
        assert time_of(held[-1]["time"]) < begin_ns < released_ns + 500_000_000


async def test_late_analyses_keep_the_time_of_their_sample(addresses, inbox):
    """A result comes so long after its sample, and says when that was taken."""
    async with Running(addresses, serve=["line"], lab_delay_s=1.0):
        first, second = (await inbox.wait(LAB_TOPIC, 2))[:2]
    known = [time_of(one["time"]) for one in inbox.of("plant/line1/snapshot")]
    assert time_of(second["time"]) - time_of(first["time"]) == 2_500_000_000  # 50 rows
    assert max(known) - time_of(second["time"]) >= 1_000_000_000


async def test_snapshots_tell_the_second_of_the_script(addresses, inbox):
    """None while it is held; the soft sensor does what the script says of its output then."""
    tables = [{"kind": "bias", "tag": "yield.predicted", "start": 0.2, "duration": 60, "size": 5.0}]
    sensor = SoftSensor(MODEL_INPUTS, (0.0,) * len(MODEL_INPUTS), 80.0)
    predictor = Predictor(sensor, parse_faults(tables))
    async with Running(addresses, tables, hold=True, serve=["line"]) as running:
        held = (await inbox.wait("plant/line1/snapshot", 3))[-1]
        assert held["second"] is None and predictor.at(held) == 80.0
        running.service.release()
        await until(lambda: (inbox.of("plant/line1/snapshot")[-1]["second"] or 0.0) > 0.4)
    for one in inbox.of("plant/line1/snapshot"):
        late = one["second"] is not None and one["second"] >= 0.2
        assert predictor.at(one) == (85.0 if late else 80.0)


def test_stuck_output_holds_its_last_prediction_and_begins_anew_with_the_script():
    """Each playing of the script holds the prediction before it; without an input there is none."""
    tables = [{"kind": "stuck", "tag": "yield.predicted", "start": 1, "duration": 1}]
    slope = (1.0,) + (0.0,) * (len(MODEL_INPUTS) - 1)
    predictor = Predictor(SoftSensor(MODEL_INPUTS, slope, 0.0), parse_faults(tables))

    def at(second, value):
        values = dict.fromkeys(MODEL_INPUTS, 0.0) | {MODEL_INPUTS[0]: value}
        return predictor.at({"second": second, "values": values})

    assert [at(0.5, 1.0), at(1.0, 2.0), at(1.9, 3.0), at(2.0, 4.0)] == [1.0, 1.0, 1.0, 4.0]
    assert [at(0.0, 5.0), at(1.5, 6.0)] == [5.0, 5.0]
    assert predictor.at({"second": 1.6, "values": {}}) is None


async def test_soft_sensor_predicts_from_the_plants_snapshots(addresses, inbox):
    """The model publishes a prediction a snapshot, equal to its formula."""
    sensor = SoftSensor(MODEL_INPUTS, (0.0, 2.0) + (0.0,) * (len(MODEL_INPUTS) - 2), 1.0)
    stop = threading.Event()
    thread = threading.Thread(
        target=serve_soft_sensor,
        args=(Predictor(sensor), "127.0.0.1", addresses.broker_port, stop, print),
    )
    thread.start()
    try:
        async with Running(addresses, serve=["line"]):
            predictions = await inbox.wait(PREDICTED_TOPIC, 5)
            by_time = {s["time"]: s["values"] for s in inbox.of("plant/line1/snapshot")}
            for prediction in predictions:
                feed = by_time[prediction["time"]]["feed.temperature"]
                assert prediction["value"] == pytest.approx(1.0 + 2.0 * feed, abs=2e-3)
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


async def test_taken_port_is_an_error_that_names_it(addresses):
    """A second plant on the same ports fails with the port and what to do."""
    async with Running(addresses):
        with pytest.raises(FieldwardenError, match="ss -ltnp"):
            async with Running(addresses):
                pass
    with pytest.raises(FieldwardenError, match="taken"):
        BrokerProcess(addresses.broker_port).start()


@pytest.mark.parametrize("embedded", [False, True])
async def test_broker_starts_passes_messages_and_ends(port, open_inbox, embedded):
    """Mosquitto and the embedded broker both start, pass a message, and free their port."""
    broker = BrokerProcess(port, embedded=embedded)
    broker.start(timeout_s=PATIENCE_S)
    try:
        box = open_inbox(port)
        await asyncio.sleep(0.5)
        box.client.publish("hello", '{"value": 1}')
        assert await box.wait("hello") == [{"value": 1}]
    finally:
        broker.stop()
    assert port_is_free(port) and broker.pid is None


async def test_plant_command_runs_and_stops_by_itself(addresses, inbox, tmp_path):
    """`python -m simulators plant` as a process: says its factor, serves, logs the truth, ends."""
    config = tmp_path / "agent.toml"
    config.write_text(
        f'[sources.reactor]\nprotocol = "opcua"\nendpoint = "{addresses.opcua}"\n'
        f'[sources.utilities]\nprotocol = "modbus"\nhost = "127.0.0.1"\n'
        f"port = {addresses.modbus_port}\n"
        f'[sources.line]\nprotocol = "mqtt"\nhost = "127.0.0.1"\nport = {addresses.broker_port}\n',
        encoding="utf-8",
    )
    assert addresses_of(config) == addresses
    script = tmp_path / "faults.toml"
    script.write_text(
        '[[fault]]\nkind = "stuck"\ntag = "feed.flow"\nstart = 1\nduration = 1\n', encoding="utf-8"
    )
    command = [sys.executable, "-m", "simulators", "plant", "--config", str(config), "--seconds"]
    command += ["3", "--faults", str(script), "--truth", str(tmp_path / "truth.jsonl")]
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False,
        timeout=START_S,
    )
    assert done.returncode == 0, done.stderr
    assert "40 times as fast" in done.stdout and "after 30 rows" in done.stdout
    assert len((tmp_path / "truth.jsonl").read_text().splitlines()) == 2
    assert len(inbox.of("plant/line1/site")) >= 20


def test_plant_command_ends_on_sigterm_and_frees_its_ports(addresses, tmp_path):
    """SIGTERM ends the plant cleanly, with exit code 0 and no port left behind."""
    config = tmp_path / "agent.toml"
    config.write_text(
        f'[sources]\nreactor = {{ endpoint = "{addresses.opcua}" }}\n'
        f'utilities = {{ host = "127.0.0.1", port = {addresses.modbus_port} }}\n'
        f'line = {{ host = "127.0.0.1", port = {addresses.broker_port} }}\n',
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "simulators", "plant", "--config", str(config)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert "as fast as the clock" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert "plant stopped" in process.stdout.read()
        assert process.wait(PATIENCE_S) == 0
    assert port_is_free(addresses.modbus_port)
