"""Long histories without any server: the same plant and the same faults, written in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import FieldwardenError
from simulators.faults import (
    PROCESS_KINDS,
    SOURCE_KINDS,
    Fault,
    Injector,
    TruthLog,
    drive,
    outputs_injector,
)
from simulators.model import SoftSensor
from simulators.plant import Laboratory, Plant, PlantSettings
from simulators.tags import LAB_YIELD, NAMES, PREDICTED, columns_of

Float64 = NDArray[np.float64]

START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z: a history's times repeat too
CHUNK = 20_000  # rows; bounds memory, changes nothing in the values


@dataclass(frozen=True, slots=True)
class HistoryOrder:
    """What to write.

    Attributes:
        rows: how many.
        settings: of the plant.
        faults: applied to the measured values; `source_lost` removes the source's values.
        lab_every: rows between two laboratory values (the rest of that column is missing).
        start_ns: time of the first row.
        skip: rows of plant run before the first one: another part of the same process.
    """

    rows: int
    settings: PlantSettings = field(default_factory=PlantSettings)
    faults: tuple[Fault, ...] = ()
    lab_every: int = 50
    start_ns: int = START_NS
    skip: int = 0


@dataclass(slots=True)
class History:
    """A history in memory: `times` int64[n] ns, `columns` in order, each float64[n]."""

    times: NDArray[np.int64]
    columns: dict[str, Float64]
    soft_sensor: SoftSensor

    def without(self, name: str) -> History:
        """The same, less one column."""
        kept = {key: column for key, column in self.columns.items() if key != name}
        return replace(self, columns=kept)


def make_history(order: HistoryOrder, sensor: SoftSensor | None = None) -> History:
    """Run the plant; the soft sensor is fitted on this very record unless one is given."""
    plant = Plant(order.settings)
    for done in range(0, order.skip, CHUNK):
        plant.advance(min(CHUNK, order.skip - done))
    seconds = np.arange(order.rows, dtype=np.float64) * order.settings.interval_s
    clean = np.empty((order.rows, len(NAMES)))
    yields = np.empty(order.rows)
    for first, last in pairwise(_cuts(order, seconds)):
        drive(plant, order.faults, float(seconds[first]))
        clean[first:last], yields[first:last] = plant.advance(last - first)
    lab = Laboratory(order.settings.seed, order.lab_every).analyse(yields)
    sensor = sensor or SoftSensor.fit(clean, lab)
    values = _faulty(order, seconds, clean)
    columns = {name: values[:, index] for index, name in enumerate(NAMES)}
    wrong = outputs_injector(order.faults, order.settings.seed)
    columns[PREDICTED] = wrong.apply(seconds, sensor.predict(values)[:, None]).value[:, 0]
    columns[LAB_YIELD] = lab
    times = order.start_ns + np.rint(seconds * 1e9).astype(np.int64)
    return History(times, columns, sensor)


def _cuts(order: HistoryOrder, seconds: Float64) -> list[int]:
    """First rows of the parts in which the plant is run: bounded, and of one cause each."""
    edges = [
        int(np.searchsorted(seconds, edge))
        for fault in order.faults if fault.kind in PROCESS_KINDS
        for edge in (fault.start, fault.end)
    ]  # fmt: skip
    return sorted({*range(0, order.rows, CHUNK), *edges, order.rows})


def _faulty(order: HistoryOrder, seconds: Float64, clean: Float64) -> Float64:
    reading = Injector(order.faults, order.settings.seed).apply(seconds, clean)
    values = np.where(reading.bad, np.nan, reading.value)
    for fault in order.faults:
        if fault.kind in SOURCE_KINDS:
            lost = (seconds >= fault.start) & (seconds < fault.end)
            values[np.ix_(np.flatnonzero(lost), np.array(columns_of(fault.source)))] = np.nan
    return values


def write_history(history: History, path: Path) -> None:
    """Write wide CSV or, by suffix ``.parquet``, Parquet; the first column is ``time`` (UTC).

    Raises:
        FieldwardenError: the file can not be written, or pyarrow is missing for Parquet.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            _write_parquet(history, path)
        else:
            with path.open("w", encoding="utf-8") as out:
                out.writelines(_csv_lines(history))
    except OSError as error:
        raise FieldwardenError("writing history", str(path), str(error)) from error


def write_labels(history: History, path: Path) -> None:
    """Write what the laboratory found, at the times that it is of, as CSV.

    Raises:
        FieldwardenError: the file can not be written.
    """
    lab = history.columns[LAB_YIELD]
    known = np.flatnonzero(np.isfinite(lab))
    labels = replace(history, times=history.times[known], columns={LAB_YIELD: lab[known]})
    write_history(labels, path)


def _csv_lines(history: History) -> Iterator[str]:
    yield ",".join(["time", *history.columns]) + "\n"
    for first in range(0, len(history.times), CHUNK):
        part = slice(first, first + CHUNK)
        stamps = np.datetime_as_string(history.times[part].astype("datetime64[ns]"), unit="ms")
        columns = [[f"{v:.10g}" for v in column[part]] for column in history.columns.values()]
        for stamp, *values in zip(stamps, *columns, strict=True):
            yield f"{stamp}Z,{','.join(values)}\n".replace("nan", "")


def _write_parquet(history: History, path: Path) -> None:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra; CSV does without
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise FieldwardenError(
            "writing history", str(path), "pyarrow is not installed", "write .csv instead"
        ) from error
    times = pa.array(history.times).cast(pa.timestamp("ns", tz="UTC"))
    arrays = [pa.array(column, from_pandas=True) for column in history.columns.values()]
    table = pa.table([times, *arrays], names=["time", *history.columns])
    parquet.write_table(table, path, compression="zstd")


def write_truth(order: HistoryOrder, path: Path) -> None:
    """Write the truth log of a history's faults as JSON lines."""
    with path.open("w", encoding="utf-8") as out:
        TruthLog(order.faults, out, order.start_ns).advance(np.inf)
