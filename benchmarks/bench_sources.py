"""CPU of each source, from the socket to a sealed block, in microseconds a value.

Each runs against a real server in a process of its own, side by side with the way in which the
library is usually used, in turns; medians are printed as JSON lines. Only this process' CPU
counts. `python benchmarks/bench_sources.py [seconds of one turn] [turns]`
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

from _load import broker, server

from agent.clock import EngineClock
from agent.configuration.schema import ModbusSource, MqttSource, OpcUaSource, Tag
from agent.decode.columns import Dictionary
from agent.intake import Intake
from agent.sources import SOURCES, TagBinding
from simulators.ports import free_port

GOALS_US = {"modbus": 3.0, "opcua": 30.0, "mqtt": 45.0}
TAGS = {"modbus": 500, "opcua": 200, "mqtt": 200}
INTERVAL_S = {"modbus": 0.05, "opcua": 0.1, "mqtt": 0.1}
WARM_UP_S = 1.0


# --- ways of reading ----------------------------------------------------------------------------


def configuration(kind: str, port: int):
    """The source's configuration, and the addresses of its tags."""
    if kind == "modbus":
        config = ModbusSource(protocol="modbus", host="127.0.0.1", port=port, every="50ms")
        return config, [f"holding {2 * i} float32 ABCD" for i in range(TAGS[kind])]
    if kind == "opcua":
        endpoint = f"opc.tcp://127.0.0.1:{port}/bench"
        config = OpcUaSource(protocol="opcua", endpoint=endpoint, publishing="200ms")
        return config, [f"ns=2;s=n{i}" for i in range(TAGS[kind])]
    config = MqttSource(protocol="mqtt", host="127.0.0.1", port=port)
    return config, [f"bench/{i} /value" for i in range(TAGS[kind])]


class Ours:
    def __init__(self, kind: str, port: int) -> None:
        config, addresses = configuration(kind, port)
        tags = {
            f"t{i}": TagBinding(i, f"t{i}", Tag(source="s", address=address))
            for i, address in enumerate(addresses)
        }
        self.intake = Intake(EngineClock())
        self._link = SOURCES[kind].create("s", config, tags, self.intake, dictionary=Dictionary())
        self._sequence = 1

    def count(self) -> int:
        return self._link.describe().received

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._link.run())
            while True:
                batch = await self.intake.sealed(self._sequence)
                self._sequence = batch.next_sequence
                batch.committed()


class Usual:
    """How the library's documentation does it, a value at a time."""

    def __init__(self, kind: str, port: int) -> None:
        self.run = {"modbus": self._modbus, "opcua": self._opcua, "mqtt": self._mqtt}[kind]
        self._port = port
        self._values: list[float] = []

    def count(self) -> int:
        return len(self._values)

    async def _modbus(self) -> None:
        from pymodbus.client import AsyncModbusTcpClient

        client = AsyncModbusTcpClient("127.0.0.1", port=self._port)
        await client.connect()
        try:
            while True:
                for start in range(0, 2 * TAGS["modbus"], 124):
                    size = min(124, 2 * TAGS["modbus"] - start)
                    answer = await client.read_holding_registers(start, count=size)
                    self._values += client.convert_from_registers(
                        answer.registers, client.DATATYPE.FLOAT32
                    )
                await asyncio.sleep(0.05)
        finally:
            client.close()

    async def _opcua(self) -> None:
        from asyncua import Client

        async with Client(f"opc.tcp://127.0.0.1:{self._port}/bench") as client:
            subscription = await client.create_subscription(200, self)
            nodes = [client.get_node(f"ns=2;s=n{i}") for i in range(TAGS["opcua"])]
            await subscription.subscribe_data_change(nodes, queuesize=100)
            await asyncio.Event().wait()

    def datachange_notification(self, _node, value, _data) -> None:
        self._values.append(value)

    async def _mqtt(self) -> None:
        from paho.mqtt import client as paho

        loop = asyncio.get_running_loop()
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.on_message = lambda _client, _data, message: loop.call_soon_threadsafe(
            self._values.append, json.loads(message.payload)["value"]
        )
        client.connect("127.0.0.1", self._port)
        client.subscribe("bench/#")
        client.loop_start()
        try:
            await asyncio.Event().wait()
        finally:
            client.loop_stop()


async def measure(subject: Ours | Usual, seconds: float) -> tuple[float, int]:
    """CPU microseconds a value, and how many values."""
    task = asyncio.create_task(subject.run())
    try:
        while not subject.count():
            if task.done():
                await task
            await asyncio.sleep(0.05)
        await asyncio.sleep(WARM_UP_S)
        count, cpu_s = subject.count(), time.process_time()
        await asyncio.sleep(seconds)
        cpu_s, count = time.process_time() - cpu_s, subject.count() - count
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return 1e6 * cpu_s / max(count, 1), count


def main(seconds: float, turns: int) -> None:
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    for kind, goal in GOALS_US.items():
        port = free_port()
        costs: dict[str, list[float]] = {"fieldwarden": [], "usual": []}
        values = 0
        with contextlib.ExitStack() as stack:
            if kind == "mqtt":
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                stack.enter_context(broker(folder, port))
            stack.enter_context(server(kind, port, TAGS[kind], INTERVAL_S[kind], qos=0))
            for _ in range(turns):
                for method, make in (("fieldwarden", Ours), ("usual", Usual)):
                    cost, count = asyncio.run(measure(make(kind, port), seconds))
                    costs[method].append(cost)
                    values += count if method == "fieldwarden" else 0
        row = {
            "table": "sources",
            "source": kind,
            "us_per_value": round(statistics.median(costs["fieldwarden"]), 2),
            "usual_us_per_value": round(statistics.median(costs["usual"]), 2),
            "goal": goal,
            "values": values,
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main(
        float(sys.argv[1]) if len(sys.argv) > 1 else 2.0,
        int(sys.argv[2]) if len(sys.argv) > 2 else 3,
    )
