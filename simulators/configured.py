"""The plant behind any agent configuration: what `init` wrote is served where it says.

A tag that the simulated plant has gets its signal. Any other gets the values of a recorded table
(given, or the record that the model was fitted on), and without one a steady wander of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from agent.clock import monotonic_ns, wall_ns
from agent.configuration.load import load
from agent.configuration.schema import Configuration, ModbusSource, MqttSource, OpcUaSource
from agent.core.baseline_file import read_baseline
from agent.errors import FieldwardenError
from agent.records.table import Table, read_table, tags_of_texts
from agent.records.times import Reading
from simulators.broker import BrokerProcess
from simulators.faults import SOURCE_KINDS, Fault, Injector, drive, outputs_injector
from simulators.history import HistoryOrder, make_history
from simulators.modbus_server import ModbusServer
from simulators.model import SoftSensor
from simulators.mqtt_publisher import MqttPublisher
from simulators.opcua_server import OpcUaServer
from simulators.plant import Laboratory, Plant, PlantSettings
from simulators.ports import port_is_free
from simulators.tags import COLUMN, LAB_YIELD, PREDICTED, PlantTag

Value = float | str
Server = OpcUaServer | ModbusServer | MqttPublisher

_SENSOR_ROWS = 5_000  # of plant that the soft sensor is fitted on
_LAB_EVERY = 50  # rows
_WANDER = 0.99  # of a signal of its own: what is kept from one row to the next
_LOOPBACK = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


class Signals:
    """A value a row for every tag of a configuration; NaN where there is none at that row.

    Args:
        configuration: of the agent.
        settings: of the simulated plant.
        faults: put into the plant's signals.
        data: a recorded table for tags that the plant does not have.
        skip: rows of plant run before the first one.
    """

    def __init__(
        self, configuration: Configuration, settings: PlantSettings, faults: tuple[Fault, ...],
        data: Path | None, skip: int,
    ) -> None:  # fmt: skip
        if lost := [fault for fault in faults if fault.kind in SOURCE_KINDS]:
            cause = f"{lost[0].kind} needs the demo's own configuration"
            raise FieldwardenError("injecting", lost[0].subject, cause, "use configs/demo.toml")
        self._interval_s = settings.interval_s
        self._plant = Plant(settings)
        if skip:
            self._plant.advance(skip)
        self._faults = faults
        self._injector = Injector(faults, settings.seed)
        self._wrong = outputs_injector(faults, settings.seed)
        self._laboratory = Laboratory(settings.seed, _LAB_EVERY)
        self._sensor: SoftSensor | None = None
        if PREDICTED in configuration.tags:
            self._sensor = make_history(HistoryOrder(_SENSOR_ROWS, settings)).soft_sensor
        known = {*COLUMN, PREDICTED, LAB_YIELD}
        self._other = [name for name in configuration.tags if name not in known]
        self._recorded = _recorded(configuration, self._other, data) if self._other else None
        in_record = self._recorded.names if self._recorded else ()
        self.wandering = tuple(name for name in self._other if name not in in_record)
        self._random = np.random.default_rng([settings.seed, 2])
        self._own = self._random.standard_normal(len(self.wandering))

    def rows(self) -> Iterator[Mapping[str, Value]]:
        """One mapping of tag to value a row, for ever."""
        row = 0
        while True:
            drive(self._plant, self._faults, row * self._interval_s)
            measured, yields = self._plant.advance(1)
            second = np.array([row * self._interval_s])
            reading = self._injector.apply(second, measured)
            values = np.where(reading.bad, np.nan, reading.value)[0]
            found: dict[str, Value] = {name: float(values[at]) for name, at in COLUMN.items()}
            if self._sensor is not None:
                predicted = self._sensor.predict(values[None, :])[:, None]
                found[PREDICTED] = float(self._wrong.apply(second, predicted).value[0, 0])
            found[LAB_YIELD] = float(self._laboratory.analyse(yields)[0])
            if self._recorded is not None:
                found |= _of_record(self._recorded, row)
            self._own *= _WANDER
            kick = (1.0 - _WANDER**2) ** 0.5
            self._own += kick * self._random.standard_normal(len(self._own))
            found |= dict(zip(self.wandering, (50.0 + self._own).tolist(), strict=True))
            yield found
            row += 1


def _of_record(table: Table, row: int) -> dict[str, Value]:
    values = table.values[row % len(table.values)].tolist()
    return {
        name: table.texts.get(int(value), value) if value == value else value  # noqa: PLR0124
        for name, value in zip(table.names, values, strict=True)
    }


def _recorded(
    configuration: Configuration, names: Sequence[str], data: Path | None
) -> Table | None:
    """The table that has the tags' values: the one given, else a record of `fit`; None for none."""
    how, texts = Reading(), tags_of_texts(configuration)
    if data is not None:
        return read_table(data, names, texts=texts, lenient=True, how=how)
    for model in configuration.models.values():
        try:
            facts = read_baseline(Path(model.baseline)).facts
            record = Path(str(facts["record"]))
            how = Reading().over(facts.get("reading"))
            return read_table(record, names, texts=texts, lenient=True, how=how)
        except (FieldwardenError, KeyError):
            continue  # not fitted yet, or its record is gone: there may be another
    return None


def interval_of(path: Path) -> float:
    """Seconds between two rows: the scan of the fastest model, or 1 without any.

    Raises:
        ConfigurationError: the file is none of an agent.
    """
    return min((model.scan for model in load(path).models.values()), default=10**9) / 1e9


class ConfiguredPlant:
    """Serves every tag of a configuration at its address.

    Args:
        path: of the configuration.
        settings: of the plant; its interval is that of the fastest model.
        faults: script for the plant's own signals; times count from the first row.
        data: values of tags that the plant does not have.
        skip: rows of plant run before the first one.
    """

    def __init__(
        self, path: Path, settings: PlantSettings, faults: tuple[Fault, ...] = (),
        data: Path | None = None, *, skip: int = 0,
    ) -> None:  # fmt: skip
        configuration = load(path)
        self._interval_s = settings.interval_s
        self._signals = Signals(configuration, settings, faults, data, skip)
        self._tags: dict[str, list[PlantTag]] = {name: [] for name in configuration.sources}
        for name, tag in configuration.tags.items():
            physical = tag.physical or (-np.inf, np.inf)
            self._tags[tag.source].append(
                PlantTag(name, tag.unit, physical, 0.0, 0.0, tag.source, tag.address,
                         tag.description)
            )  # fmt: skip
        self._texts = tags_of_texts(configuration)
        self._servers: dict[str, Server] = {}
        self._broker: BrokerProcess | None = None
        self._places = []
        for name, source in configuration.sources.items():
            self._servers[name] = self._server(name, source)
            host, port = source.place
            self._places.append(f"{source.protocol} {host}:{port}")

    def _server(self, name: str, source: object) -> Server:
        tags = self._tags[name]
        if isinstance(source, OpcUaSource):
            if source.security != "None":
                cause = "the simulated server has no security"
                raise FieldwardenError("serving source", name, cause, 'set security = "None"')
            return OpcUaServer(source.endpoint, tags, texts=self._texts)
        if isinstance(source, ModbusSource):
            return ModbusServer(source.host, source.port, tags, source.unit)
        if isinstance(source, MqttSource):
            if source.tls or source.username:
                cause = "the simulator publishes without TLS and without a login"
                raise FieldwardenError("serving source", name, cause, "leave them out to try it")
            if self._broker is None and _LOOPBACK.fullmatch(source.host):
                self._broker = BrokerProcess(source.port) if port_is_free(source.port) else None
            return MqttPublisher(source.host, source.port, tags, client_id=f"plant-{name}")
        raise FieldwardenError("serving source", name, "the simulator has no such protocol")

    @property
    def text(self) -> str:
        """Where it serves, and what it made up."""
        made_up = self._signals.wandering
        more = ""
        if made_up:
            more = (
                f"\n{len(made_up)} tags wander about 50, for neither the plant nor a record has"
                f" them: {', '.join(made_up[:5])} (--data FILE, or fit first)"
            )
        own = " (its own broker)" if self._broker is not None else ""
        return f"a row every {self._interval_s:g} s: {', '.join(self._places)}{own}{more}"

    async def run(self, seconds: float | None, on_ready: Callable[[], None]) -> int:
        """Serve for `seconds` of wall time, or until cancelled; the result is the rows served.

        Raises:
            FieldwardenError: a port is taken.
        """
        row = 0
        try:
            if self._broker is not None:
                self._broker.start()
            for server in self._servers.values():
                await server.start()
            on_ready()
            start_ns, start_wall_ns = monotonic_ns(), wall_ns()
            for values in self._signals.rows():
                second = row * self._interval_s
                if seconds is not None and second >= seconds:
                    break
                await asyncio.sleep(max(0.0, start_ns / 1e9 + second - monotonic_ns() / 1e9))
                await self._publish(values, start_wall_ns + round(second * 1e9))
                row += 1
        finally:
            for server in self._servers.values():
                await server.stop()
            if self._broker is not None:
                self._broker.stop()
        return row

    async def _publish(self, values: Mapping[str, Value], now_ns: int) -> None:
        for name, server in self._servers.items():
            own = [values[tag.name] for tag in self._tags[name]]
            clean = [str(v) if tag.name in self._texts else v
                     for v, tag in zip(own, self._tags[name], strict=True)]  # fmt: skip
            good = [False] * len(own)
            if isinstance(server, ModbusServer):
                server.publish([float("nan") if isinstance(v, str) else v for v in own], good)
            elif isinstance(server, MqttPublisher):
                server.publish(clean, good, [now_ns] * len(own))
            else:
                await server.publish(clean, good, [now_ns] * len(own))

    def release(self) -> None:
        """A held fault script is the demo's."""

    exchange = release
