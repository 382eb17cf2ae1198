"""Recorded data: delimited text or Parquet -> `Table`, for `fit`, `init`, `replay` and `drill`.

One column is time, every other one a tag. How the file is written is found out (`delimited`,
`times`); what was understood, put in order or left out is said in the table; what can not be
understood is an error that names column and line.

pyarrow parses where it is installed; anything it refuses is read again in plain Python, piece by
piece, which is slower and knows exactly what is wrong and where.
"""

from __future__ import annotations

import csv
import importlib.util
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np

from agent.configuration.schema import Configuration
from agent.decode.columns import TEXT_TYPES, Dictionary
from agent.errors import FieldwardenError
from agent.records.cells import Raw, column_of, data_error, wanted_columns
from agent.records.delimited import Layout, layout_of, rows_of
from agent.records.times import CellError, Reading
from agent.records.zones import newest_first, put_back, to_utc, zone_named
from agent.types import Float64, Int64

_LIMIT_BYTES = 4 * 1024**3
_ROWS_AT_ONCE = 8192
_MOST_DUPLICATES = 0.01  # share of rows; above it the time stamps are too coarse to order rows


@dataclass(frozen=True, slots=True)
class Table:
    """Samples of many tags on common times.

    Attributes:
        time_ns: int64[n], nanoseconds since 1970-01-01 UTC, strictly increasing.
        names: the d tags, as the columns are named.
        values: float64[n, d] in column-major order, NaN where missing.
        interval_ns: the median step between rows.
        notes: what was put in order, taken as missing or left out, in sentences for a person.
        understood: how the file was read, likewise.
        units: name of a column -> its unit, where the file says it.
        texts: code -> text, of the tags of texts.
    """

    time_ns: Int64
    names: tuple[str, ...]
    values: Float64
    interval_ns: int
    notes: tuple[str, ...] = ()
    understood: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[int, str] = field(default_factory=dict)

    def column(self, name: str) -> Float64:
        """float64[n] of one tag; KeyError where there is none."""
        try:
            return self.values[:, self.names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def steps_ns(self, name: str) -> Int64:
        """int64[k], ns from each value of one tag to its next."""
        return np.diff(self.time_ns[np.isfinite(self.column(name))])

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
        return replace(self, names=tuple(names), values=values)


def read_table(
    path: Path | str, columns: Sequence[str] | None = None, *,
    text: Literal["error", "skip"] = "error", texts: Collection[str] = (), lenient: bool = False,
    how: Reading | None = None,
) -> Table:  # fmt: skip
    """Read delimited text, or a Parquet file (by its ending `.parquet` or `.pq`).

    Args:
        path: the file.
        columns: the tags to read, in this order; others are not looked at. None reads all.
        text: what to do with a column that is not numeric: stop, or leave it out with a note.
        texts: columns of tags of texts, read as codes.
        lenient: read those of `columns` that the file has.
        how: what a person said about the file's times.

    Raises:
        FieldwardenError: the file can not be read or understood; column and line are named.
    """
    file, how = Path(path), how or Reading()
    try:
        size = file.stat().st_size
        if size > _LIMIT_BYTES:
            cause = f"larger than {_LIMIT_BYTES >> 30} GiB"
            raise data_error(file, cause, "thin it out, or cut it")
        order = _Order(how)
        found: dict[int, str] = {}
        dictionary = Dictionary(on_new=lambda code, word: found.setdefault(code, word) == word)
        if file.suffix.lower() in {".parquet", ".pq"}:
            raw: Raw = _arrow(file).read_parquet(
                file, columns, how, order.settle, lenient=lenient, skip_text=text == "skip",
                texts=texts, dictionary=dictionary,
            )  # fmt: skip
        else:
            raw = _Delimited(file, how, order).read(
                columns, texts, dictionary, lenient=lenient, skip_text=text == "skip"
            )
    except OSError as error:
        raise data_error(file, error.strerror or str(error), "give the path of a file") from error
    return _ordered(file, raw, order, found)


def tags_of_texts(configuration: Configuration) -> frozenset[str]:
    """The tags whose values are texts, kept as codes."""
    return frozenset(
        name for name, tag in configuration.tags.items() if tag.data_type.lower() in TEXT_TYPES
    )


class _Order:
    """The rows' order and zone: what is settled once all times of a file are known."""

    def __init__(self, how: Reading) -> None:
        self._zone = zone_named(how.timezone) if how.timezone else None
        self.newest_first = False
        self.text = ""  # the zone

    def settle(self, times: Int64, utc: bool) -> Int64:  # noqa: FBT001 - as formats return it
        """UTC of int64[n] ns, in the file's order.

        Raises:
            CellError: a time that there was not, or an hour that comes twice.
        """
        self.newest_first = newest_first(times)
        if utc or not len(times):
            self.text = "UTC"
            return times
        forward = times[::-1] if self.newest_first else times
        try:
            if self._zone is not None:
                forward = to_utc(forward, self._zone)
                if self._zone.key != "UTC" and (row := put_back(forward)) is not None:
                    cause = f"the time goes back by an hour, but clocks in {self._zone.key} did not"
                    raise CellError(row, cause, "say another --timezone, or --timezone UTC")
            elif (row := put_back(forward)) is not None:
                cause = "the time goes back by an hour: local time, of which one hour comes twice"
                hint = "say --timezone Europe/Berlin (or another), or --timezone UTC if it is that"
                raise CellError(row, cause, hint)
        except CellError as error:
            at = len(times) - 1 - error.position if self.newest_first else error.position
            raise CellError(at, error.cause, error.hint) from error
        self.text = (
            self._zone.key if self._zone is not None
            else "without a zone: taken as UTC (for local time say --timezone)"
        )  # fmt: skip
        return forward[::-1] if self.newest_first else forward


def _ordered(file: Path, raw: Raw, order: _Order, texts: Mapping[int, str]) -> Table:
    """Rows by time, each time once."""
    times, values, notes = raw.times, raw.values, list(raw.notes)
    if len(times) < 2:
        raise data_error(file, f"only {len(times)} rows of data", "at least two are needed")
    if order.newest_first:
        notes.append("rows were newest first: turned round")
        times, values = times[::-1], values[::-1]
    if np.any(np.diff(times) < 0):
        by_time = np.argsort(times, kind="stable")
        moved = int(np.count_nonzero(by_time != np.arange(len(by_time))))
        notes.append(f"rows were not in order of time: {moved} were moved")
        times, values = times[by_time], values[by_time]
    keep = np.append(np.diff(times) > 0, True)  # the last of each run of equal times
    doubles = len(keep) - int(np.count_nonzero(keep))
    if doubles > max(3, _MOST_DUPLICATES * len(times)):
        cause = f"{doubles} of {len(times)} rows have the time of the row after them"
        hint = "export times with fractions of a second, or thin the rows out"
        if 2 * doubles > len(times):
            hint = "is the clock in another column? put date and time in one"
        raise data_error(file, cause, hint)
    if doubles:
        notes.append(f"{doubles} rows had the time of the row after them and were dropped")
        times, values = times[keep], values[keep]
    if len(times) < 2:
        raise data_error(file, "all rows have one time", "at least two times are needed")
    interval = int(np.median(np.diff(times)))
    span = f"{_iso(times[0])} to {_iso(times[-1])}, {len(times):,} rows, every {interval / 1e9:g} s"
    *before, how = raw.understood or [""]
    understood = (*before, f"{how}, {order.text}; {span}".removeprefix(", "))
    return Table(
        np.ascontiguousarray(times), tuple(raw.names), np.asfortranarray(values), interval,
        tuple(notes), understood, raw.units, dict(texts),
    )  # fmt: skip


def _iso(time_ns: np.int64) -> str:
    text = datetime.fromtimestamp(int(time_ns) / 1e9, UTC).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")


def _arrow(file: Path) -> ModuleType:
    try:
        # Late: pyarrow is an extra and costs 50 MB and 0.2 s, which the agent in service spares.
        from agent.records import arrow  # noqa: PLC0415
    except ModuleNotFoundError as error:
        hint = "pip install 'fieldwarden[parquet]'"
        raise data_error(file, "reading Parquet needs pyarrow", hint) from error
    return arrow


class _Delimited:
    """One file of delimited text."""

    def __init__(self, file: Path, how: Reading, order: _Order) -> None:
        self._file, self._how, self._order = file, how, order
        self._lines = array("q")  # of the file, for errors

    def read(
        self, columns: Sequence[str] | None, texts: Collection[str], dictionary: Dictionary,
        *, lenient: bool, skip_text: bool,
    ) -> Raw:  # fmt: skip
        """All that is wanted of it."""
        file = self._file
        layout = layout_of(file, self._how)
        wanted = wanted_columns(file, layout.names, layout.time, columns, lenient=lenient)
        if columns is None:
            wanted = [place for place in wanted if place not in layout.index]
        raw: Raw | None = None
        plain = not {layout.names[place] for place in wanted} & set(texts)
        if plain and importlib.util.find_spec("pyarrow") is not None:
            raw = _arrow(file).read_csv(file, layout, wanted, self._order.settle)
            if raw is None:
                layout = layout_of(file, self._how)  # its time format is used up
        if raw is None:
            raw = self._read(layout, wanted, texts, dictionary, skip_text=skip_text)
        mark = f", decimal {layout.decimal!r}" if layout.decimal == "," else ""
        how = (
            f"separator {layout.separator!r}{mark}; time in column {layout.names[layout.time]!r}: "
            f"{layout.time_format.text}"
        )
        return replace(raw, units=layout.units, understood=[*layout.notes, how])

    def _read(
        self, layout: Layout, wanted: list[int], texts: Collection[str], dictionary: Dictionary,
        *, skip_text: bool,
    ) -> Raw:  # fmt: skip
        made = [column_of(layout.names[at], texts, dictionary, layout.decimal) for at in wanted]
        form, lines = layout.time_format, self._lines
        try:
            rows = self._rows(layout)
            while part := list(islice(rows, _ROWS_AT_ONCE)):
                start = len(lines) - len(part)
                form.add([row[layout.time] for row in part])
                for column, at in zip(made, wanted, strict=True):
                    column.add([row[at] for row in part], lines[start:])
            if not lines:
                raise data_error(self._file, "no header with data below it")
            times = self._order.settle(*form.finish())
        except CellError as error:
            raise self._no_time(layout, error) from error
        except csv.Error as error:
            raise data_error(self._file, f"no delimited text: {error}") from error
        names, arrays, notes = [], [], []
        for column in made:
            if column.fault and not skip_text:
                hint = "mend the cell, or leave the column out of the model"
                raise data_error(self._file, column.fault, hint)
            if column.fault or column.note:
                notes.append(f"left out: {column.fault}" if column.fault else column.note)
            if not column.fault:
                names.append(column.name)
                arrays.append(column.values())
        values = np.column_stack(arrays) if arrays else np.empty((len(times), 0))
        return Raw(times, names, values, notes)

    def _rows(self, layout: Layout) -> Iterator[list[str]]:
        """Rows of data; the line of each goes to `_lines`."""
        width = len(layout.names)
        with self._file.open(encoding=layout.encoding, errors="replace", newline="") as stream:
            for line, cells in rows_of(stream, layout.separator):
                if line <= layout.head:
                    continue
                if len(cells) < width or (len(cells) > width and any(cells[width:])):
                    cause = f"line {line} has {len(cells)} cells, the first line has {width}"
                    raise data_error(self._file, cause, "was the export cut off?")
                self._lines.append(line)
                yield cells

    def _no_time(self, layout: Layout, error: CellError) -> FieldwardenError:
        """The error of a cell, with its line, its column and what stands there."""
        line = self._lines[error.position]
        place = layout.time
        rows = self._rows(layout)
        self._lines = array("q")
        cell = next((row[place] for row in rows if self._lines[-1] == line), "")
        cause = f"line {line}, column {layout.names[place]!r}: {cell[:40]!r}: {error.cause}"
        hint = error.hint or "mend the cell, or say --time-format; --time-column names another"
        return data_error(self._file, cause, hint)
