"""What a simulated source is: its tags, where they are, and what it tells of itself."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import FieldwardenError
from agent.types import Float64
from simulators.tags import COLUMN

PROTOCOLS = ("opcua", "modbus", "mqtt")


@dataclass(frozen=True, slots=True)
class SourceTag:
    """A tag of a source.

    Attributes:
        name: as the agent's configuration has it.
        address: likewise.
        column: the signal of the plant that it shows.
        unit: engineering unit, as text; told by OPC UA, and by MQTT under `units` of a topic.
        span: engineering range in `unit`; told by OPC UA.
        data_type: of OPC UA, such as ``Double``.
        step: what a value is rounded to by the instrument, in `unit`; 0: not at all.
    """

    name: str
    address: str
    column: str
    unit: str = ""
    span: tuple[float, float] | None = None
    data_type: str = "Double"
    step: float = 0.0


@dataclass(frozen=True, slots=True)
class Definition:
    """A source of its own process.

    Attributes:
        protocol: one of `PROTOCOLS`.
        host: of the server; of the broker for MQTT.
        port: likewise.
        interval_s: from one row to the next, wall time.
        tags: what it serves.
        identity: what it tells of itself, by the names of the contract (``server_uri``,
            ``product_uri``, ``manufacturer``, ``product``, ``version``, ``namespaces``;
            ``vendor``, ``product_code``, ``revision``).
        rows: file (.npy) of float64[n, columns], served in order and then again; empty: the
            simulated plant, as it runs.
        columns: of `rows`; by default those of the simulated plant.
        first: row that is served first.
        retained: whether MQTT messages are.
        units: key under which an MQTT message tells the unit of each of its tags, or empty.
        added: of MQTT messages: topic -> what else it holds.
    """

    protocol: str
    host: str
    port: int
    interval_s: float
    tags: tuple[SourceTag, ...]
    identity: Mapping[str, Any] = field(default_factory=dict)
    rows: str = ""
    columns: tuple[str, ...] = tuple(COLUMN)
    first: int = 0
    retained: bool = False
    units: str = ""
    added: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def values(self) -> Iterator[dict[str, float]]:
        """Tag -> value of each row, in the tag's unit, for ever."""
        where = [self.columns.index(tag.column) for tag in self.tags]
        steps = np.array([tag.step for tag in self.tags])
        rounding = np.where(steps > 0, steps, 1.0)
        for row in self._record():
            own = row[where]
            shown = np.where(steps > 0, np.round(np.rint(own / rounding) * rounding, 9), own)
            yield dict(zip((tag.name for tag in self.tags), shown.tolist(), strict=True))

    def _record(self) -> Iterator[Float64]:
        if not self.rows:
            from simulators.plant import Plant, PlantSettings  # noqa: PLC0415 - numba, only here

            plant = Plant(PlantSettings(interval_s=self.interval_s))
            plant.advance(max(self.first, 1))
            while True:
                yield plant.advance(1)[0][0]
        record = np.load(self.rows, mmap_mode="r")
        for at in itertools.count(self.first):
            yield np.asarray(record[at % len(record)], np.float64)

    def to_json(self) -> dict[str, Any]:
        """As `read_definition` reads it."""
        own = {name: getattr(self, name) for name in Definition.__slots__}
        tags = [{name: getattr(tag, name) for name in SourceTag.__slots__} for tag in self.tags]
        return own | {"tags": tags, "identity": dict(self.identity)}


def read_definition(path: Path) -> Definition:
    """A definition from its JSON file.

    Raises:
        FieldwardenError: it can not be read, or is none.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        tags = tuple(
            SourceTag(**{**one, "span": tuple(one["span"]) if one.get("span") else None})
            for one in told.pop("tags")
        )
        columns = tuple(told.pop("columns", COLUMN))
        found = Definition(**told, tags=tags, columns=columns)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FieldwardenError("reading a source from", str(path), repr(error)) from error
    if found.protocol not in PROTOCOLS:
        hint = f"one of {', '.join(PROTOCOLS)}"
        raise FieldwardenError("reading", str(path), f"no protocol {found.protocol}", hint)
    return found
