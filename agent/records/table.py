"""Recorded data: wide CSV or Parquet -> `Table`, for `fit`, `init`, `replay` and `drill`.

The first column is time (ISO 8601, or epoch in s, ms, us or ns), every other one a tag. Separator,
decimal comma and encoding are found out. Empty and NaN mean missing. What was put in order is said
in `Table.notes`; what can not be understood is an error that names column and row.

pyarrow parses where it is installed; anything it refuses is read again in plain Python, which is
slower and knows exactly what is wrong and where.
"""

from __future__ import annotations

import csv
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np

from agent.errors import FieldwardenError
from agent.records.cells import NUMBER, Dialect, Raw, data_error, numbers, times_ns, wanted_columns
from agent.types import Float64, Int64

_LIMIT_BYTES = 4 * 1024**3
_SAMPLE_BYTES = 256 * 1024  # enough to tell separator and decimal mark
_MOST_DUPLICATES = 0.01  # share of rows; above it the time stamps are too coarse to order rows


@dataclass(frozen=True, slots=True)
class Table:
    """Samples of many tags on common times.

    Attributes:
        time_ns: int64[n], nanoseconds since 1970-01-01 UTC, strictly increasing.
        names: the d tags, as the columns are named.
        values: float64[n, d] in column-major order, NaN where missing.
        interval_ns: the median step between rows.
        notes: what was put in order or left out, in sentences for a person.
    """

    time_ns: Int64
    names: tuple[str, ...]
    values: Float64
    interval_ns: int
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> Float64:
        """float64[n] of one tag; KeyError where there is none."""
        try:
            return self.values[:, self.names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def select(self, names: Sequence[str]) -> Table:
        """The same rows with only the columns `names`, in that order.

        Raises:
            FieldwardenError: a column is missing.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise FieldwardenError(
                "selecting columns",
                ", ".join(missing),
                f"the data has no such column; it has {', '.join(self.names[:12])}",
                "columns are named as the tags are",
            )
        order = [self.names.index(name) for name in names]
        values = np.asfortranarray(self.values[:, order])
        return Table(self.time_ns, tuple(names), values, self.interval_ns, self.notes)


def read_table(
    path: Path | str,
    columns: Sequence[str] | None = None,
    *,
    text: Literal["error", "skip"] = "error",
) -> Table:
    """Read a wide CSV, or a Parquet file (by its ending `.parquet` or `.pq`).

    Args:
        path: the file.
        columns: the tags to read, in this order; others are not looked at. None reads all.
        text: what to do with a column that is not numeric: stop, or leave it out with a note.

    Raises:
        FieldwardenError: the file can not be read or understood; column and row are named.
    """
    file = Path(path)
    try:
        size = file.stat().st_size
    except OSError as error:
        raise data_error(file, error.strerror or str(error), "give the path of a file") from error
    if size > _LIMIT_BYTES:
        raise data_error(file, f"larger than {_LIMIT_BYTES >> 30} GiB", "thin it out, or cut it")
    if file.suffix.lower() in {".parquet", ".pq"}:
        raw: Raw = _arrow(file).read_parquet(file, columns, text)
    else:
        raw = _read_csv(file, columns, text)
    return _ordered(file, raw)


def _ordered(file: Path, raw: Raw) -> Table:
    """Rows by time, each time once."""
    times, names, values, notes = raw
    if len(times) < 2:
        raise data_error(file, f"only {len(times)} rows of data", "at least two are needed")
    if np.any(np.diff(times) < 0):
        order = np.argsort(times, kind="stable")
        moved = int(np.count_nonzero(order != np.arange(len(order))))
        notes.append(f"rows were not in order of time: {moved} were moved")
        times, values = times[order], values[order]
    keep = np.append(np.diff(times) > 0, True)  # the last of each run of equal times
    doubles = len(keep) - int(np.count_nonzero(keep))
    if doubles > max(3, _MOST_DUPLICATES * len(times)):
        cause = f"{doubles} of {len(times)} rows have the time of the row after them"
        raise data_error(
            file, cause, "export times with fractions of a second, or thin the rows out"
        )
    if doubles:
        notes.append(f"{doubles} rows had the time of the row after them and were dropped")
        times, values = times[keep], values[keep]
    interval = int(np.median(np.diff(times)))
    return Table(times, tuple(names), np.asfortranarray(values), interval, tuple(notes))


def _arrow(file: Path) -> ModuleType:
    try:
        # Late: pyarrow is an extra and costs 50 MB and 0.2 s, which the agent in service spares.
        from agent.records import arrow  # noqa: PLC0415
    except ModuleNotFoundError as error:
        hint = "pip install 'fieldwarden[parquet]'"
        raise data_error(file, "reading Parquet needs pyarrow", hint) from error
    return arrow


def _read_csv(file: Path, columns: Sequence[str] | None, text: str) -> Raw:
    dialect = _dialect(file)
    wanted = wanted_columns(file, dialect.names, columns)
    if importlib.util.find_spec("pyarrow") is not None:
        fast: Raw | None = _arrow(file).read_csv(file, dialect, wanted)
        if fast is not None:
            return fast
    return _read_csv_plain(file, dialect, wanted, text)


def _dialect(file: Path) -> Dialect:
    with file.open("rb") as stream:
        sample = stream.read(_SAMPLE_BYTES)
        more = bool(stream.read(1))
    if b"\0" in sample:
        raise data_error(file, "not a text file", "give CSV, or name a Parquet file .parquet")
    encoding = "utf-8-sig"
    try:
        # A character may be cut at the end of the sample.
        sample[: -4 if more else None].decode(encoding)
    except UnicodeDecodeError:
        encoding = "cp1252"  # what spreadsheets write for degC and mu
    lines = [line for line in sample.decode(encoding, "replace").splitlines() if line.strip()]
    if more:
        lines = lines[:-1]
    if len(lines) < 2:
        raise data_error(file, "no header with data below it", "the first line names the columns")
    separator = max(";\t,|", key=lines[0].count)
    names = next(csv.reader([lines[0]], delimiter=separator))
    names = [name.strip() for name in names]
    if len(names) < 2:
        raise data_error(file, "one column only", "columns are separated by ; , | or tab")
    _check_names(file, names)
    body = lines[1:200]
    comma = separator != "," and not any(
        re.search(r"\d\.\d", cell) for line in body for cell in line.split(separator)[1:]
    )
    return Dialect(encoding, separator, "," if comma else ".", names)


def _check_names(file: Path, names: list[str]) -> None:
    if all(NUMBER.fullmatch(name) for name in names[1:] if name):
        raise data_error(
            file, "the first line holds numbers, not names", "add a line of names on top"
        )
    for index, name in enumerate(names[1:], start=2):
        if not name:
            raise data_error(
                file, f"column {index} has no name", "name every column in the first line"
            )
        if name in names[1 : index - 1]:
            raise data_error(
                file, f"two columns are named {name!r}", "name every column differently"
            )


def _read_csv_plain(file: Path, dialect: Dialect, wanted: list[int], text: str) -> Raw:
    with file.open(encoding=dialect.encoding, errors="replace", newline="") as stream:
        reader = csv.reader(stream, delimiter=dialect.separator)
        rows: list[list[str]] = []
        lines: list[int] = []  # of the line in the file, for errors
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if len(row) != len(dialect.names):
                cause = f"line {reader.line_num} has {len(row)} cells, the first line has "
                raise data_error(file, f"{cause}{len(dialect.names)}", "was the export cut off?")
            rows.append(row)
            lines.append(reader.line_num)
    rows, lines = rows[1:], lines[1:]
    times = times_ns(file, [row[0] for row in rows], decimal=dialect.decimal, lines=lines)
    names, columns, notes = [], [], []
    for index in wanted:
        cells = [row[index] for row in rows]
        column = numbers(cells, dialect.decimal)
        name = dialect.names[index]
        if isinstance(column, int):
            cause = f"column {name!r}, line {lines[column]}: {cells[column]!r} is no number"
            if text == "error":
                raise data_error(file, cause, "mend the cell, or leave the column out of the model")
            notes.append(f"left out: {cause}")
            continue
        names.append(name)
        columns.append(column)
    values = np.column_stack(columns) if columns else np.empty((len(rows), 0))
    return times, names, values, notes
