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
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from chain import PATIENCE_S, Audit, Device, wait
from proxy import Proxy

from agent.types import Block

REGISTERS = tuple(range(0, 640, 40))  # far apart, so each is a request of its own
SECONDS = 6.0
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


def modbus(folder: Path, fault: str, seconds: float = SECONDS) -> Audit:
    """An agent reads a misbehaving device, then the device is mended."""
    server = ModbusServer(fault)
    tags = {f"r{r}": f"holding {r} uint16" for r in REGISTERS}
    source = f'protocol = "modbus"\nhost = "127.0.0.1"\nport = {server.port}\n'
    source += 'every = "250ms"\ntimeout = "500ms"\nmax_gap = 0\n'
    with Device(folder, source, tags) as device:
        try:
            wait("good values", lambda: len(device.good()) >= len(tags) // 2)
            time.sleep(seconds)
            server.mended.set()
            began = time.monotonic()
            # a silent block is asked again after a back-off of its own
            wait("all tags good", lambda: len(device.good()) == len(tags), PATIENCE_S + 20)
            took = time.monotonic() - began
        finally:
            server.stop()
    counts = _judged(device.journaled(), device.ids())
    made = Audit(accepted=counts["all"], delivered=counts["right"], lost=0)
    made.recovery_s, made.extra = took, {"wrong_as_good": counts["wrong"]}
    return made


def _judged(blocks: Iterator[Block], ids: dict[str, int]) -> Counter[str]:
    """How many samples are good, and how many of these are another register's."""
    registers = np.zeros(max(ids.values()) + 1, np.int64)
    for name, number in ids.items():
        registers[number] = int(name[1:])
    counts: Counter[str] = Counter()
    for block in blocks:
        good = (block.quality == 0) & np.isfinite(block.value)
        first = registers[block.tag[good]] * _STEP % 65_536
        off = (block.value[good] - first) % 65_536
        counts["all"] += int(good.sum())
        counts["right"] += int((off < _STEP).sum())
        counts["wrong"] += int((off >= _STEP).sum())
    return counts


# --- OPC UA ---------------------------------------------------------------------------------------

OPCUA_TAGS = 3
INTERVAL_S = 0.25


def opcua(folder: Path, stall: Callable[[object, Proxy], None]) -> Audit:
    """An OPC UA server stands still for a while; no sensor is broken because of that."""
    from _load import free_port, history, process, wait_for

    port, seen = free_port(), free_port()
    script = str(Path(__file__).parents[1] / "_load.py")
    arguments = ("opcua", str(port), str(OPCUA_TAGS), str(INTERVAL_S), "1")
    with process(sys.executable, script, *arguments) as server:
        wait_for(port)
        proxy = Proxy(port, seen).start()
        tags = {f"t{i}": f"ns=2;s=n{i}" for i in range(OPCUA_TAGS)}
        source = f'protocol = "opcua"\nendpoint = "opc.tcp://127.0.0.1:{seen}/bench"\n'
        source += 'publishing = "250ms"\n'
        record = history(6_000, OPCUA_TAGS, seed=11)
        with Device(folder, source, tags, record=record, interval_s=INTERVAL_S) as device:
            wait("good values", lambda: len(device.good()) == len(tags))
            time.sleep(5)
            stall(server, proxy)
            began = time.monotonic()
            wait("all tags good", lambda: len(device.good()) == len(tags))
            took = time.monotonic() - began
            time.sleep(8)
            told = [e for e in device.events("condition") if e["data"]["change"] == "raised"]
        proxy.stop()
    accused = [e for e in told if e["data"].get("cause") == "sensor"]
    made = Audit(notes=[json.dumps([e["subject"], e["data"]["kind"]]) for e in accused])
    made.accepted = made.delivered = sum(len(block) for block in device.journaled())
    made.recovery_s, made.extra = took, {"false_conditions": len(accused)}
    return made


def frozen(seconds: float) -> Callable[[object, Proxy], None]:
    """SIGSTOP of the server."""

    def stall(server: object, _proxy: Proxy) -> None:
        server.send_signal(signal.SIGSTOP)  # type: ignore[attr-defined]
        time.sleep(seconds)
        server.send_signal(signal.SIGCONT)  # type: ignore[attr-defined]

    return stall


def half_open(seconds: float) -> Callable[[object, Proxy], None]:
    """The link takes bytes and delivers none."""

    def stall(_server: object, proxy: Proxy) -> None:
        proxy.freeze()
        time.sleep(seconds)
        proxy.thaw()

    return stall
