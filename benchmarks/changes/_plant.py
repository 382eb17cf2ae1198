"""A plant of ten correlated measurements of two sources, as a record and as blocks of samples.

Two slow latent movements (load, ambient) drive all tags; each has movement of its own, white noise,
and the decimals that its source serves; by seed some tags come with all digits of a float.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.configuration.schema import Configuration
from agent.core.spec import EngineSpec
from agent.fit.model import fit_model
from agent.records.table import Table
from agent.runtime.assemble import build_spec
from agent.types import Block, Float64, Int64

SECOND = 1_000_000_000
EVERY = 10 * SECOND
START = 1_700_000_000 * SECOND
TRAINED = 4_000
MODEL = "m"

SOURCES = {
    "plc": {"protocol": "modbus", "host": "h"}, "hub": {"protocol": "mqtt", "host": "h"},
}


@dataclass(frozen=True, slots=True)
class Sensor:
    """One tag: where it runs, how it follows load and ambient, its own movement and its noise."""

    name: str
    source: str
    unit: str
    level: float
    spread: float
    load: float
    ambient: float
    noise: float
    decimals: int


SENSORS = (
    Sensor("feed_temp", "plc", "degC", 62.0, 2.5, 0.6, 0.6, 0.15, 1),
    Sensor("bed_temp", "plc", "degC", 184.0, 4.0, 0.9, 0.1, 0.2, 1),
    Sensor("jacket_temp", "plc", "degC", 148.0, 3.0, 0.8, 0.2, 0.2, 1),
    Sensor("head", "plc", "bar", 6.2, 0.4, 0.8, -0.2, 0.1, 2),
    Sensor("suction", "plc", "bar", 2.4, 0.15, -0.6, 0.3, 0.15, 3),
    Sensor("flow", "plc", "m3/h", 42.0, 3.0, 0.9, 0.0, 0.15, 1),
    Sensor("bypass", "hub", "m3/h", 12.5, 1.2, -0.7, 0.2, 0.3, 2),
    Sensor("level", "hub", "%", 55.0, 4.0, 0.4, 0.5, 0.3, 1),
    Sensor("moisture", "hub", "fraction", 0.42, 0.03, -0.5, -0.6, 0.3, 4),
    Sensor("speed", "hub", "rpm", 1482.0, 9.0, 0.9, 0.0, 0.25, 1),
)
NAMES = tuple(one.name for one in SENSORS)


def ar1(tau: float, n: int, rng: np.random.Generator) -> Float64:
    """float64[n] of unit variance and this correlation time in samples."""
    phi = float(np.exp(-1.0 / tau))
    steps = rng.standard_normal(n) * np.sqrt(1.0 - phi * phi)
    made = np.empty(n)
    last = rng.standard_normal()
    for place, step in enumerate(steps.tolist()):
        last = phi * last + step
        made[place] = last
    return made


@dataclass(frozen=True, slots=True)
class Plant:
    """One plant by its seed: which tags come with all their digits."""

    seed: int
    fine: frozenset[str]

    @staticmethod
    def of(seed: int) -> Plant:
        """The plant of a seed: every second one serves some tags as plain floats."""
        rng = np.random.default_rng([seed, 1])
        count = 0 if seed % 2 else 4
        return Plant(seed, frozenset(rng.choice(NAMES, count, replace=False).tolist()))

    def values(self, rows: int, part: int, moved: Float64 | None = None) -> Float64:
        """float64[rows, 10] of this part of its time; `moved` is added to the load."""
        return self.shown(self.exact(rows, part, moved))

    def exact(self, rows: int, part: int, moved: Float64 | None = None) -> Float64:
        """The same before any source rounds it."""
        rng = np.random.default_rng([self.seed, 2, part])
        load = ar1(30.0, rows, rng) + (0.0 if moved is None else moved)
        ambient = ar1(200.0, rows, rng)
        columns = []
        for one in SENSORS:
            rest = max(1.0 - one.load**2 - one.ambient**2, 0.05)
            own = np.sqrt(rest) * ar1(15.0, rows, rng)
            moves = one.load * load + one.ambient * ambient + own
            white = one.noise * rng.standard_normal(rows)
            columns.append(one.level + one.spread * (moves + white))
        return np.column_stack(columns)

    def shown(self, exact: Float64) -> Float64:
        """As the sources serve it: rounded, but for what is served with all digits."""
        return np.column_stack([
            exact[:, place] if one.name in self.fine else np.round(exact[:, place], one.decimals)
            for place, one in enumerate(SENSORS)
        ])  # fmt: skip


def configuration() -> Configuration:
    """The agent's, of one model that takes all tags."""
    addresses = {
        one.name: f"holding {100 + place} uint16 scale {10.0 ** -one.decimals:g}"
        if one.source == "plc" else f"plant/{one.name} /v"
        for place, one in enumerate(SENSORS)
    }
    return Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"}, "sources": SOURCES,
        "tags": {
            one.name: {"source": one.source, "address": addresses[one.name], "unit": one.unit}
            for one in SENSORS
        },
        "models": {MODEL: {
            "version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": "m.json",
            "scan": "10s", "inputs": list(NAMES),
        }},
    })  # fmt: skip


def guarded(plant: Plant) -> EngineSpec:
    """What the engine guards, by a baseline of the plant's first part."""
    times = START + np.arange(TRAINED, dtype=np.int64) * EVERY
    values = np.asfortranarray(plant.values(TRAINED, 0))
    fitted = fit_model(configuration(), MODEL, Table(times, NAMES, values, EVERY))
    ids = {name: row + 1 for row, name in enumerate(NAMES)}
    return build_spec(
        configuration(), ids, {MODEL: fitted.baseline}, recorded=dict.fromkeys(NAMES, EVERY)
    )


@dataclass(frozen=True, slots=True)
class Told:
    """Samples in order of arrival: tag ids, values, and both clocks in ns."""

    tag: Int64
    value: Float64
    arrival: Int64
    source: Int64

    def blocks(self, rows_at_once: int = 1) -> Iterator[Block]:
        """Blocks sealed in the middle between two rows."""
        step = rows_at_once * EVERY
        first, last = int(self.arrival[0]), int(self.arrival[-1])
        for number, begin in enumerate(range(first - EVERY // 2, last + 1, step)):
            own = slice(*np.searchsorted(self.arrival, [begin, begin + step]))
            yield Block(
                number + 10, begin + step, self.tag[own].astype(np.int32), self.source[own],
                self.arrival[own], self.value[own], np.zeros(own.stop - own.start, np.uint16),
            )


def told(values: Float64, start_ns: int = START + 2 * TRAINED * EVERY) -> Told:
    """Rows of all tags, one every ten seconds; NaN is not sent."""
    times = start_ns + np.arange(len(values), dtype=np.int64) * EVERY
    row, column = np.nonzero(~np.isnan(values))
    arrival = times[row]
    return Told(column.astype(np.int64) + 1, values[row, column], arrival, arrival.copy())
