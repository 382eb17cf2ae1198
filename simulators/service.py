"""The plant as a running process: physics, faults and three servers on one schedule."""

from __future__ import annotations

import asyncio
import tomllib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from agent.clock import monotonic_ns, wall_ns
from agent.errors import FieldwardenError
from simulators.faults import Fault, Injector, TruthLog, drive
from simulators.modbus_server import ModbusServer
from simulators.mqtt_publisher import MqttPublisher
from simulators.opcua_server import OpcUaServer
from simulators.plant import Laboratory, Plant, PlantSettings
from simulators.tags import SOURCES, TAGS, columns_of

DEFAULT_LAB_EVERY = 50  # rows
EXCHANGED, EXCHANGED_UNIT = "jacket.outlet_temperature", "degF"
"""The tag whose transmitter `PlantService.exchange` exchanges, and the unit of the new one."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the three servers are; `broker_*` is the broker that the line publishes to."""

    opcua: str = "opc.tcp://127.0.0.1:4840/plant"
    modbus_host: str = "127.0.0.1"
    modbus_port: int = 5020
    broker_host: str = "127.0.0.1"
    broker_port: int = 1883


def addresses_of(path: Path) -> Addresses:
    """The addresses at which an agent's configuration expects the plant.

    Raises:
        FieldwardenError: the file can not be read or lacks one of the three sources.
    """
    try:
        sources = tomllib.loads(path.read_text(encoding="utf-8"))["sources"]
        reactor, utilities, line = (sources[n] for n in ("reactor", "utilities", "line"))
        return Addresses(
            reactor["endpoint"],
            utilities["host"],
            utilities.get("port", 502),
            line["host"],
            line.get("port", 1883),
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        hint = "it needs the sources reactor, utilities and line, as configs/demo.toml has them"
        raise FieldwardenError("reading plant addresses", str(path), repr(error), hint) from error


def is_demo(path: Path) -> bool:
    """Whether a configuration names the demo's three sources, so that its script can run.

    Raises:
        FieldwardenError: the file can not be read.
    """
    try:
        sources = tomllib.loads(path.read_text(encoding="utf-8")).get("sources", {})
    except (OSError, ValueError) as error:
        raise FieldwardenError("reading configuration", str(path), str(error)) from error
    return isinstance(sources, dict) and all(
        isinstance(sources.get(name), dict)
        and sources[name].get("protocol", protocol) == protocol
        for name, protocol in zip(SOURCES, ("opcua", "modbus", "mqtt"), strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Play:
    """One playing of the fault script: when it began (s, wall ns), its injector and its log.

    `held`: it is the wait before the first, and has no faults.
    """

    start_s: float
    start_ns: int
    injector: Injector
    truth: TruthLog
    held: bool


class PlantService:
    """Runs the plant and serves it.

    Args:
        settings: of the plant; `speed` is shown by whoever starts it.
        addresses: of the servers.
        faults: script; times count from the first row.
        truth: where the truth log goes, or None.
        on_edge: told ``("start"|"end", fault)`` as it happens.
        skip: rows of plant run before the first one, so that it is not the fitted history again.
        repeat_s: begin the fault script again every so many seconds; None: play it once.
        hold: the fault script begins only when `release` is called.
        by_exception: OPC UA reports only what changed.
        serve: the sources that are served at all.
        lab_delay_s: so long after its sample an analysis is published.
    """

    def __init__(
        self,
        settings: PlantSettings,
        addresses: Addresses,
        faults: tuple[Fault, ...] = (),
        truth: TextIO | None = None,
        on_edge: Callable[[str, Fault], None] | None = None,
        *,
        skip: int = 0,
        repeat_s: float | None = None,
        hold: bool = False,
        by_exception: bool = False,
        serve: Sequence[str] = SOURCES,
        lab_delay_s: float = 0.0,
    ) -> None:
        self._held = hold
        self._exchange = False
        self._lab_delay_ns = round(lab_delay_s * 1e9)
        self._analyses: deque[tuple[int, float]] = deque()
        self._settings = settings
        self._faults = faults
        self._repeat_s = repeat_s
        if repeat_s is not None and any(fault.end > repeat_s for fault in faults):
            cause = f"a fault ends after {repeat_s:g} s"
            raise FieldwardenError("repeating the fault script every", f"{repeat_s:g} s", cause)
        self._truth = truth
        self._on_edge = on_edge
        self._plant = Plant(settings)
        if skip:
            self._plant.advance(skip)
        self._laboratory = Laboratory(settings.seed, DEFAULT_LAB_EVERY)
        self._columns = {source: columns_of(source) for source in SOURCES}
        tags = {source: [TAGS[i] for i in where] for source, where in self._columns.items()}
        self.opcua = OpcUaServer(addresses.opcua, tags["reactor"], by_exception=by_exception)
        self.modbus = ModbusServer(addresses.modbus_host, addresses.modbus_port, tags["utilities"])
        self.mqtt = MqttPublisher(addresses.broker_host, addresses.broker_port, tags["line"])
        servers: dict[str, OpcUaServer | ModbusServer | MqttPublisher] = {
            "reactor": self.opcua,
            "utilities": self.modbus,
            "line": self.mqtt,
        }
        self._servers = {source: servers[source] for source in serve}
        self.text = (
            f"{addresses.opcua}, modbus {addresses.modbus_host}:{addresses.modbus_port}, "
            f"mqtt {addresses.broker_host}:{addresses.broker_port}"
        )

    async def run(self, seconds: float | None, on_ready: Callable[[], None]) -> int:
        """Serve for `seconds` of wall time, or until cancelled; the result is the rows served.

        Raises:
            FieldwardenError: a port is taken.
        """
        row = 0
        try:
            for server in self._servers.values():
                await server.start()
            on_ready()
            start_ns, start_wall_ns = monotonic_ns(), wall_ns()
            play = self._play(start_wall_ns)
            while seconds is None or row * self._settings.interval_s < seconds:
                second = row * self._settings.interval_s
                await asyncio.sleep(max(0.0, start_ns / 1e9 + second - monotonic_ns() / 1e9))
                if play.held and not self._held:
                    play = self._play(start_wall_ns, second)
                elif self._repeat_s is not None and second - play.start_s >= self._repeat_s:
                    await self._edges(play.truth, self._repeat_s)
                    play = self._play(start_wall_ns, play.start_s + self._repeat_s)
                await self._edges(play.truth, second - play.start_s)
                if self._exchange:
                    self._exchange = False
                    await self.opcua.exchange(EXCHANGED, EXCHANGED_UNIT)
                await self._publish(play, second - play.start_s)
                row += 1
            play.truth.advance(row * self._settings.interval_s - play.start_s, wall_ns())
        finally:
            for server in self._servers.values():
                await server.stop()
        return row

    def _play(self, start_wall_ns: int, start_s: float = 0.0) -> _Play:
        start_ns = start_wall_ns + round(start_s * 1e9)
        faults = () if self._held else self._faults
        injector = Injector(faults, self._settings.seed)
        truth = TruthLog(faults, self._truth, start_ns)
        return _Play(start_s, start_ns, injector, truth, self._held)

    def release(self) -> None:
        """Begin the fault script at the next row."""
        self._held = False

    def exchange(self) -> None:
        """From the next row on another transmitter serves `EXCHANGED`, in another unit."""
        self._exchange = True

    async def _edges(self, truth: TruthLog, second: float) -> None:
        for phase, fault in truth.advance(second, wall_ns()):
            if fault.kind == "source_lost":
                server = self._servers[fault.source]
                await (server.lose() if phase == "start" else server.restore())
            if self._on_edge is not None:
                self._on_edge(phase, fault)

    async def _publish(self, play: _Play, second: float) -> None:
        drive(self._plant, () if play.held else self._faults, second)
        measured, yields = self._plant.advance(1)
        reading = play.injector.apply(np.array([second]), measured)
        values, bad = reading.value[0].tolist(), reading.bad[0].tolist()
        clock = (play.start_ns + np.rint(reading.clock[0] * 1e9).astype(np.int64)).tolist()

        def of(source: str) -> tuple[list[float], list[bool], list[int]]:
            where = self._columns[source]
            return [values[i] for i in where], [bad[i] for i in where], [clock[i] for i in where]

        await self.opcua.publish(*of("reactor"))
        self.modbus.publish(*of("utilities")[:2])
        self.mqtt.publish(*of("line"))
        now_ns = play.start_ns + round(second * 1e9)
        self.mqtt.publish_snapshot(values, bad, now_ns, None if play.held else second)
        lab = self._laboratory.analyse(yields)[0]
        if np.isfinite(lab):
            self._analyses.append((now_ns, float(lab)))
        while self._analyses and self._analyses[0][0] + self._lab_delay_ns <= now_ns:
            taken_ns, value = self._analyses.popleft()
            self.mqtt.publish_lab(value, taken_ns)
