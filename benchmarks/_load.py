"""Load for benchmarks: a Modbus device, an OPC UA server, an MQTT broker and its publishers.

Each runs in a process of its own. Every tag is an AR(1) process with mean 100, standard deviation
1 and the same correlation from sample to sample, so one training record fits all of them and an
agent that judges them finds nothing. `python benchmarks/_load.py KIND PORT TAGS INTERVAL_S [QOS]`
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import FieldwardenError
from simulators.children import end_with_parent

MEAN, CORRELATION = 100.0, 0.8
SHORTEST_SLEEP_S = 0.002
ENDING_S = 20.0
"""What the processes of a benchmark take to end, at most as a rule."""


class Plant:
    """The values of all tags, float64[n]; `step` moves them on by one sample."""

    def __init__(self, tags: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._state = self._random.standard_normal(tags)

    def step(self) -> np.ndarray:
        noise = self._random.standard_normal(len(self._state))
        self._state = CORRELATION * self._state + np.sqrt(1 - CORRELATION**2) * noise
        return MEAN + self._state


def history(rows: int, tags: int, seed: int = 7) -> np.ndarray:
    """float64[rows, tags], a training record of the same plant."""
    plant = Plant(tags, seed)
    return np.asfortranarray([plant.step() for _ in range(rows)])


async def beats(interval_s: float):
    """One turn for each interval; late ones follow at once."""
    due = time.monotonic()
    while True:
        due += interval_s
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield


# --- servers --------------------------------------------------------------------------------------


async def serve_modbus(port: int, tags: int, interval_s: float, _qos: int) -> None:
    """Holding registers, two to a tag: float32, ABCD."""
    plant = Plant(tags, 1)
    registers = bytearray(4 * tags)

    class Device(asyncio.Protocol):
        def connection_made(self, transport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            for at in range(0, len(data), 12):
                number, _, _, unit, code, start, count = struct.unpack_from(">HHHBBHH", data, at)
                content = registers[2 * start : 2 * (start + count)]
                head = struct.pack(">HHHBBB", number, 0, 3 + len(content), unit, code, len(content))
                self.transport.write(head + content)

    await asyncio.get_running_loop().create_server(Device, "127.0.0.1", port)
    async for _ in beats(interval_s):
        registers[:] = plant.step().astype(">f4").tobytes()


async def serve_opcua(port: int, tags: int, interval_s: float, _qos: int) -> None:
    """Doubles ns=2;s=n0, n1 ... with a source time, all of them changed at each interval."""
    from asyncua import Server, ua

    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/bench")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:bench")
    nodes = [
        await server.nodes.objects.add_variable(ua.NodeId(f"n{i}", index), f"n{i}", MEAN)
        for i in range(tags)
    ]
    plant = Plant(tags, 2)
    async with server:
        async for _ in beats(interval_s):
            now = datetime.now(UTC)
            for node, value in zip(nodes, plant.step().tolist(), strict=True):
                data = ua.DataValue(ua.Variant(value), SourceTimestamp=now)
                await server.write_attribute_value(node.nodeid, data)


async def serve_mqtt(port: int, tags: int, interval_s: float, qos: int) -> None:
    """Topics bench/0, bench/1 ...: one value a message, spread evenly over the interval."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    name = b"bench-publisher"
    connect = b"\x00\x04MQTT\x04\x02\x00\x00" + struct.pack(">H", len(name)) + name
    writer.write(bytes([0x10, len(connect)]) + connect)
    asyncio.get_running_loop().create_task(_discard(reader))
    plant, number, sent = Plant(tags, 3), 0, 0
    while True:
        began = time.monotonic()
        values = plant.step()
        for i, value in enumerate(values.tolist()):
            wait_s = began + i * interval_s / tags - time.monotonic()
            if wait_s > SHORTEST_SLEEP_S:
                await asyncio.sleep(wait_s)
            number = number % 65_535 + 1
            writer.write(_publish(f"bench/{i}", b'{"value": %.6f}' % value, qos, number))
            sent += 1
        await asyncio.sleep(max(0.0, began + interval_s - time.monotonic()))


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


def _publish(topic: str, payload: bytes, qos: int, number: int) -> bytes:
    body = struct.pack(">H", len(topic)) + topic.encode()
    body += (struct.pack(">H", number) if qos else b"") + payload
    return bytes([0x30 | qos << 1, len(body)]) + body


# --- processes ------------------------------------------------------------------------------------


def wait_for(port: int) -> None:
    for _ in range(1_200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


@contextlib.contextmanager
def process(*command: str, log: Path | None = None, cwd: Path | None = None):
    """A child that is told to end on the way out, however that is; what it says goes to `log`."""
    with Path(log or os.devnull).open("ab") as output:
        child = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=cwd,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - only libc between fork and exec
        )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def broker(folder: Path, port: int) -> Iterator[None]:
    """mosquitto on the loopback interface."""
    program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise SystemExit("install mosquitto to measure MQTT")
    settings = folder / f"mosquitto-{port}.conf"
    settings.write_text(
        f"user {getpass.getuser()}\nlistener {port} 127.0.0.1\nallow_anonymous true\n"
    )
    with process(program, "-c", str(settings)):
        wait_for(port)
        yield


@contextlib.contextmanager
def server(kind: str, port: int, tags: int, interval_s: float, qos: int = 1) -> Iterator[None]:
    """One of the servers above, ready to be read; `mqtt` needs its broker running."""
    arguments = (kind, str(port), str(tags), str(interval_s), str(qos))
    with process(sys.executable, __file__, *arguments):
        wait_for(port)
        yield


class LateError(BaseException):
    """The time for all of it is over; no `except Exception` keeps it."""


class Bounded:
    """A benchmark that ends within a time, with one row whatever came of it.

    Args:
        table: of the row.
        limit_s: for all of it.

    Attributes:
        doing: what is done now.
    """

    def __init__(self, table: str, limit_s: float) -> None:
        self._table, self._limit_s = table, limit_s
        self.doing = "starting"
        self._began = time.monotonic()

    @property
    def left_s(self) -> float:
        """Until it has to end, without what its processes need for that."""
        return self._began + self._limit_s - ENDING_S - time.monotonic()

    def note(self, text: str) -> None:
        """Say what is done now, on stderr."""
        self.doing = text
        gone = time.monotonic() - self._began
        print(f"{self._table}: {text} ({gone:.0f} s)", file=sys.stderr, flush=True)

    def run(self, work: Callable[[Bounded], dict[str, Any]]) -> None:
        """Print the row that `work` makes; where there can be none, one that says why."""
        signal.signal(signal.SIGALRM, self._late)
        signal.setitimer(signal.ITIMER_REAL, self.left_s)
        try:
            row = work(self)
        except LateError:
            row = self._ended(f"not done after {self._limit_s:g} s: {self.doing}")
        except (FieldwardenError, SystemExit) as error:
            row = self._ended(f"{self.doing}: {str(error).splitlines()[0]}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        print(json.dumps(row), flush=True)
        if "ended" in row:
            raise SystemExit(1)

    def _ended(self, cause: str) -> dict[str, Any]:
        load = round(os.getloadavg()[0], 1)
        return {"table": self._table, "reached": None, "ended": cause, "machine_load": load}

    def _late(self, *_: object) -> None:
        raise LateError


SERVERS = {"modbus": serve_modbus, "opcua": serve_opcua, "mqtt": serve_mqtt}

if __name__ == "__main__":
    _, kind, port, tags, interval_s, qos = sys.argv
    asyncio.run(SERVERS[kind](int(port), int(tags), float(interval_s), int(qos)))
