"""Faults of devices: Modbus answers that belong to no request, an OPC UA server that stands still.

Each value says which register it is of, so a value in another's place is seen. What counts is
`wrong_as_good`, a wrong value journaled with good quality, and `false_conditions`, a sensor called
broken because its link stood still.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from books import Audit
from common import PATIENCE_S, free_port, history, process, wait, wait_for
from device import Device, DeviceAgent
from proxy import Proxy

from agent.types import Block

REGISTERS = tuple(range(0, 640, 40))  # far apart, so each is a request of its own
BLOCKS = len(REGISTERS)
MODBUS_S = 0.25
_STEP = 100  # the value of register r is r * 100 + a count below 100


class ModbusServer:
    """A device that answers holding registers, and does so wrongly as told.

    Args:
        fault: ``""``, or how it misbehaves; see `_answers`.
    """

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.mended = threading.Event()
        self._count = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError, struct.error):
            while True:
                head = _exactly(link, 12)
                number, _, _, unit, function, first, count = struct.unpack(">HHHBBHH", head)
                self._count += 1
                for wait_s, answer in self._answers(number, unit, function, first, count):
                    time.sleep(wait_s)
                    link.sendall(answer)
                if self._fault == "closes" and not self.mended.is_set():
                    link.close()
                    return

    def _answers(
        self, number: int, unit: int, function: int, first: int, count: int
    ) -> list[tuple[float, bytes]]:
        """(seconds to wait, bytes) for each thing that is sent."""
        values = [r * _STEP + self._count % _STEP for r in range(first, first + count)]
        words = [value % 65_536 for value in values]
        body = struct.pack(f">BBB{count}H", unit, function, 2 * count, *words)
        right = struct.pack(">HHH", number, 0, len(body)) + body
        zero = struct.pack(">HHH", 0, 0, len(body)) + body
        if self.mended.is_set():
            return [(0, right)]
        rare = self._count % 17 == 0
        return {
            "wrong id": [(0, zero)],
            "doubled": [(0, right), (0, right)] if rare else [(0, right)],
            "wrong id and doubled": [(0, zero), (0, zero)] if rare else [(0, zero)],
            "late": [(0.7 if rare else 0, right)],
            "late without id": [(0.7 if rare else 0, zero)],
            "short": [(0, right[:-1] if rare else right)],
            "one silent block": [] if first == REGISTERS[3] else [(0, right)],
            "closes": [(0, right)],
        }[self._fault]


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = link.recv(size - len(data))
        if not more:
            raise OSError("closed")
        data += more
    return data


MODBUS = (
    "wrong id", "doubled", "wrong id and doubled", "late", "late without id", "short",
    "one silent block", "closes",
)  # fmt: skip


def modbus(folder: Path, seconds: float) -> Iterator[tuple[str, Audit]]:
    """One agent reads all misbehaving devices at once, then each is mended: (fault, audit)."""
    servers = {f"d{number}": ModbusServer(fault) for number, fault in enumerate(MODBUS)}
    devices = [_modbus_device(name, server.port) for name, server in servers.items()]
    noise = np.random.default_rng(1).uniform(0, 65_535, (2_000, 3))  # wider than what they say
    try:
        with DeviceAgent(folder, devices, noise, MODBUS_S) as agent:
            for one in devices:
                wait(f"good values of {one.name}", lambda one=one: 2 * _good(agent, one) >= BLOCKS)
            time.sleep(seconds)
            for server in servers.values():
                server.mended.set()
            # a silent block is asked again after a back-off of its own
            took = _until_good(agent, devices, PATIENCE_S + 20)
    finally:
        for server in servers.values():
            server.stop()
    counts = _judged(agent.journaled(), agent.ids())
    for fault, one in zip(MODBUS, devices, strict=True):
        mine = counts[one.name]
        made = Audit(accepted=mine["all"], delivered=mine["right"])
        made.recovery_s, made.extra = took.get(one.name), {"wrong_as_good": mine["wrong"]}
        made.notes = [] if one.name in took else ["not all tags became good again"]
        yield f"Modbus: {fault}", made


def _modbus_device(name: str, port: int) -> Device:
    source = f'protocol = "modbus"\nhost = "127.0.0.1"\nport = {port}\n'
    source += 'every = "250ms"\ntimeout = "500ms"\nmax_gap = 0\n'
    return Device(name, source, {f"{name}-{r}": f"holding {r} uint16" for r in REGISTERS})


def _good(agent: DeviceAgent, device: Device) -> int:
    return len(agent.good() & device.tags.keys())


def _until_good(agent: DeviceAgent, devices: list[Device], timeout_s: float) -> dict[str, float]:
    """Device -> seconds until all its tags were good; without those that never were."""
    began, took = time.monotonic(), dict[str, float]()

    def all_good() -> bool:
        good = agent.good()
        for one in devices:
            if one.tags.keys() <= good:
                took.setdefault(one.name, time.monotonic() - began)
        return len(took) == len(devices)

    with contextlib.suppress(TimeoutError):
        wait("good tags", all_good, timeout_s)
    return took


def _judged(blocks: Iterator[Block], ids: dict[str, int]) -> dict[str, Counter[str]]:
    """Device -> how many samples are good, and how many of these are another register's."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    names = {number: name.split("-") for name, number in ids.items()}
    for block in blocks:
        good = (block.quality == 0) & np.isfinite(block.value)
        for number in np.unique(block.tag[good]).tolist():
            device, register = names[number]
            values = block.value[good & (block.tag == number)]
            off = (values - int(register) * _STEP) % 65_536
            counts[device]["all"] += len(values)
            counts[device]["right"] += int((off < _STEP).sum())
            counts[device]["wrong"] += int((off >= _STEP).sum())
    return counts


# --- OPC UA ---------------------------------------------------------------------------------------

OPCUA_TAGS = 3
INTERVAL_S = 0.25
BEFORE_S, AFTER_S = 5.0, 8.0  # an accusation comes within 10 samples, if it comes


@dataclass
class OpcuaServer:
    """A server of its own, behind a link of its own."""

    name: str
    process: subprocess.Popen[bytes]
    proxy: Proxy

    def device(self) -> Device:
        """As the agent reads it."""
        source = f'protocol = "opcua"\nendpoint = "opc.tcp://127.0.0.1:{self.proxy.port}/bench"\n'
        tags = {f"{self.name}-{i}": f"ns=2;s=n{i}" for i in range(OPCUA_TAGS)}
        return Device(self.name, source + 'publishing = "250ms"\n', tags)


def frozen(server: OpcuaServer, seconds: float) -> None:
    """SIGSTOP of the server."""
    server.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    server.process.send_signal(signal.SIGCONT)


def half_open(server: OpcuaServer, seconds: float) -> None:
    """The link takes bytes and delivers none."""
    server.proxy.freeze()
    time.sleep(seconds)
    server.proxy.thaw()


STALLS = {"frozen server": frozen, "half-open link": half_open}


def opcua(folder: Path, lengths: Sequence[float]) -> Iterator[tuple[str, Audit]]:
    """OPC UA servers stand still for a while, all at once: no sensor is broken because of that."""
    plan = [(fault, seconds) for fault in STALLS for seconds in lengths]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(_opcua_server(f"s{n}")) for n in range(len(plan))]
        devices = [one.device() for one in servers]
        record = history(6_000, OPCUA_TAGS, seed=11)
        with DeviceAgent(folder, devices, record, INTERVAL_S) as agent:
            for one in devices:
                wait("good values", lambda one=one: _good(agent, one) == OPCUA_TAGS)
            time.sleep(BEFORE_S)

            def stalled(server: OpcuaServer, fault: str, seconds: float) -> float | None:
                STALLS[fault](server, seconds)
                return _until_good(agent, [server.device()], PATIENCE_S).get(server.name)

            with ThreadPoolExecutor(len(plan)) as pool:
                took = list(pool.map(lambda s, what: stalled(s, *what), servers, plan))
            time.sleep(AFTER_S)
    told = [e for e in agent.events("condition") if e["data"]["change"] == "raised"]
    accused = [e for e in told if e["data"].get("cause") == "sensor"]
    ids = agent.ids()
    blocks = list(agent.journaled())
    for (fault, seconds), one, again_s in zip(plan, devices, took, strict=True):
        mine = [e for e in accused if e["subject"].removeprefix("tag/") in one.tags]
        made = Audit(notes=[json.dumps([e["subject"], e["data"]["kind"]]) for e in mine])
        numbers = [ids[name] for name in one.tags]
        made.accepted = sum(int(np.isin(block.tag, numbers).sum()) for block in blocks)
        made.delivered, made.recovery_s = made.accepted, again_s
        made.extra = {"false_conditions": len(mine)}
        if again_s is None:
            made.notes.append("not all tags became good again")
        yield f"OPC UA: {fault}, {seconds:g} s", made


@contextlib.contextmanager
def _opcua_server(name: str) -> Iterator[OpcuaServer]:
    port = free_port()
    script = str(Path(__file__).parents[1] / "_load.py")
    arguments = ("opcua", str(port), str(OPCUA_TAGS), str(INTERVAL_S), "1")
    with process(sys.executable, script, *arguments) as child:
        wait_for(port)
        proxy = Proxy(port, free_port()).start()
        try:
            yield OpcuaServer(name, child, proxy)
        finally:
            proxy.stop()
