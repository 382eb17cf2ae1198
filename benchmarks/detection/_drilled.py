"""Records that the drill's faults are put into: what trains, what is tried, and which faults."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _recorded import SECOND, table_of
from _streams import ar1

from agent.drill.faults import FAULTS, Fault
from agent.records.table import Table, read_table
from agent.types import Float64
from simulators.plant import Plant, PlantSettings
from simulators.tags import NAMES

TEP_NAMES = [*(f"xmeas.{i}" for i in range(1, 42)), *(f"xmv.{i}" for i in range(1, 12))]
TEP_INTERVAL_NS = 180 * SECOND
PROMISED = tuple(fault for fault in FAULTS if not fault.hard)
"""What is promised to be found; a hard fault takes longer than the short records go."""


@dataclass(frozen=True)
class Drilled:
    """One record: `train` is fitted, `faults` are put into `test`."""

    data: str
    train: Table
    test: Table
    faults: tuple[Fault, ...]

    def select(self, names: Sequence[str]) -> Drilled:
        """The same with only the columns `names`."""
        return Drilled(self.data, self.train.select(names), self.test.select(names), self.faults)


def simulator() -> Drilled:
    """The plant: a history of one seed trains, one of another is tried."""
    def part(seed: int, rows: int) -> Table:
        measured, _ = Plant(PlantSettings(seed=seed)).advance(rows)
        return table_of(measured[:, : len(NAMES)], NAMES, SECOND)

    return Drilled("simulator", part(101, 100_000), part(202, 60_000), FAULTS)


def tennessee(folder: Path) -> Drilled | None:
    """Tennessee Eastman: 500 rows train, the normal test record is tried; None without data."""
    if not (folder / "d00.dat").exists():
        return None
    train = table_of(np.loadtxt(folder / "d00.dat").T, TEP_NAMES, TEP_INTERVAL_NS)
    test = table_of(np.loadtxt(folder / "d00_te.dat"), TEP_NAMES, TEP_INTERVAL_NS)
    return Drilled("tep", train, test, PROMISED)


def read_skab(path: Path) -> tuple[list[str], Float64]:
    """Names and float64[n, 8] of the clean record."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter=";"))
    names = [name.replace(" ", "_") for name in rows[0][1:9]]
    return names, np.array([[float(cell) for cell in row[1:9]] for row in rows[1:]])


def skab(folder: Path) -> Drilled | None:
    """SKAB's clean record: the whole of it trains, its last 40 % is tried; None without data."""
    path = folder / "anomaly-free.csv"
    if not path.exists():
        return None
    names, values = read_skab(path)
    last = values[int(0.6 * len(values)) :]
    return Drilled("skab", table_of(values, names, SECOND), table_of(last, names, SECOND), PROMISED)


def gas_turbine(folder: Path) -> Drilled | None:
    """Hourly means of a turbine: the first three years of five train; None without data."""
    path = folder / "gas_turbine.parquet"
    if not path.exists():
        return None
    whole = read_table(path)
    cut = int(0.6 * len(whole.time_ns))
    train, test = (
        Table(whole.time_ns[rows], whole.names, np.asfortranarray(whole.values[rows]),
              whole.interval_ns)
        for rows in (slice(0, cut), slice(cut, None))
    )  # fmt: skip
    return Drilled("gas turbine", train, test, FAULTS)


def states() -> Drilled:
    """A batch phase of four states beside two measurements: the other records have no state tag."""
    def part(seed: int) -> Table:
        stays = np.random.default_rng(seed).integers(30, 80, 400)
        phase = np.repeat(np.arange(len(stays)) % 4 + 1.0, stays)
        beside = ar1(0.9, len(phase), 2, seed)
        return table_of(np.column_stack([phase, beside]), ["phase", "a", "b"], SECOND)

    return Drilled("states", part(301), part(302), PROMISED)
