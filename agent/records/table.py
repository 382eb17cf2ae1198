"""Recorded data: delimited text or Parquet -> `Table`, for `fit`, `init`, `replay` and `drill`.

One column is time and every other one a tag (wide), or each row is one report of one tag (long).
How the file is written is found out (`delimited`, `clocks`, `long`, `marks`, `quality`); what was
understood, put in order or left out is said in the table; what can not be understood is an error
that names column and line.

polars parses (`frames`, `columns`); it is imported late, for an agent in service needs none of it.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from agent.configuration.schema import Configuration
from agent.configuration.values import duration_ns
from agent.decode.columns import TEXT_TYPES, Dictionary
from agent.errors import FieldwardenError
from agent.records.cells import data_error
from agent.records.clocks import find_time
from agent.records.delimited import layout_of
from agent.records.lake.named import is_lake
from agent.records.long import long_shape
from agent.records.order import Order, in_order
from agent.records.packed import Plain, plain_file
from agent.records.reports import held, is_by_exception, usual_interval_ns
from agent.records.times import CellError, Reading
from agent.records.units import plain_unit, unit_in
from agent.types import Float64, Int64

if TYPE_CHECKING:
    from agent.records.columns import Raw, Source, Wish

_LIMIT_BYTES = 4 * 1024**3
_MOST_LINES = 30  # of columns that are described one by one


@dataclass(frozen=True, slots=True)
class Extremes:
    """The least and the largest different values of a column, each with how often it is there, and
    how many values there are: over all rows of a record.
    """

    low: tuple[tuple[float, int], ...]
    high: tuple[tuple[float, int], ...]
    count: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What a table holds of a record that is longer, and what all rows of that tell.

    Attributes:
        rows, first_ns, last_ns: of the record.
        used: rows of it that the table holds.
        starts: rows of the table at which stretches begin; before each but the first is a row of
            nothing.
        stretches_ns: first and last time of each stretch.
        extremes: by column.
        gaps: by column, the most rows without a value in a row.
        text: what was used and why, for a person.
    """

    rows: int
    first_ns: int
    last_ns: int
    used: int
    starts: tuple[int, ...]
    stretches_ns: tuple[tuple[int, int], ...]
    extremes: Mapping[str, Extremes]
    gaps: Mapping[str, int]
    text: str

    def spans(self, time_ns: Int64) -> list[tuple[int, int]]:
        """First and last time of each stretch of the table with these times."""
        stops = [*(start - 1 for start in self.starts[1:]), len(time_ns)]
        return [
            (int(time_ns[start]), int(time_ns[stop - 1]))
            for start, stop in zip(self.starts, stops, strict=True)
        ]


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
        silences_ns: name of a column -> longest time between two reports, of reports by exception.
        no_values: name of a column -> the numbers in it that were taken as "no value".
        columns: a line on each column, for a person.
        selection: where the record is longer than the table; None where it is all of it.
    """

    time_ns: Int64
    names: tuple[str, ...]
    values: Float64
    interval_ns: int
    notes: tuple[str, ...] = ()
    understood: tuple[str, ...] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[int, str] = field(default_factory=dict)
    silences_ns: Mapping[str, int] = field(default_factory=dict)
    no_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    selection: Selection | None = None

    def column(self, name: str) -> Float64:
        """float64[n] of one tag; KeyError where there is none."""
        try:
            return self.values[:, self.names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def steps_ns(self, name: str) -> Int64:
        """int64[k], ns from each value of one tag to its next in the same stretch."""
        at = np.flatnonzero(np.isfinite(self.column(name)))
        steps = np.diff(self.time_ns[at])
        if self.selection is None:
            return steps
        stretch = np.searchsorted(self.selection.starts, at, side="right")
        within: Int64 = steps[np.diff(stretch) == 0]
        return within

    @property
    def covered_ns(self) -> int:
        """The time that its rows cover: of stretches, what each of them does."""
        spans = [(int(self.time_ns[0]), int(self.time_ns[-1]))]
        if self.selection is not None:
            spans = self.selection.spans(self.time_ns)
        return sum(last - first + self.interval_ns for first, last in spans)

    def select(self, names: Sequence[str]) -> Table:
        """The same rows with only the columns `names`, in that order; no copy where they follow.

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
        first = order[0] if order else 0
        follow = order == list(range(first, first + len(order)))
        chosen = slice(first, first + len(order)) if follow else order
        values = np.asfortranarray(self.values[:, chosen])
        return replace(self, names=tuple(names), values=values)


def tags_of_texts(configuration: Configuration) -> frozenset[str]:
    """The tags whose values are texts, kept as codes."""
    return frozenset(
        name for name, tag in configuration.tags.items() if tag.data_type.lower() in TEXT_TYPES
    )


def _iso(time_ns: np.int64) -> str:
    text = datetime.fromtimestamp(int(time_ns) / 1e9, UTC).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")


def _described(names: Sequence[str], values: Float64, units: Mapping[str, str]) -> tuple[str, ...]:
    """A line for each column: name, unit, range, how much is missing."""
    wide = min(32, max(map(len, names), default=0))
    lines: list[str] = []
    plain = 0
    for at, name in enumerate(names):
        finite = values[np.isfinite(values[:, at]), at]
        missing = 1.0 - len(finite) / max(1, len(values))
        span = f"{finite.min():.6g} to {finite.max():.6g}" if len(finite) else "no value at all"
        share = f", {missing:.2%} missing" if missing else ""
        if len(lines) >= _MOST_LINES or (len(names) > _MOST_LINES and not missing):
            plain += 1
        else:
            lines.append(f"{name:{wide}}  {units.get(name) or unit_in(name):6}  {span}{share}")
    return (*lines, *([f"and {plain} columns more"] if plain else []))


def _wish(
    file: Path, columns: Sequence[str] | None, texts: Collection[str], found: dict[int, str], *,
    lenient: bool, skip: bool,
) -> Wish:  # fmt: skip
    """What is wanted; texts get their codes in `found`."""
    try:
        # Late: polars is an extra and costs 0.2 s, which the agent in service spares.
        from agent.records.columns import Wish  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise _not_installed(file, error) from error
    dictionary = Dictionary(on_new=lambda code, word: found.setdefault(code, word) == word)
    return Wish(columns, texts, lenient, skip, dictionary)


def _not_installed(file: Path, error: ModuleNotFoundError) -> FieldwardenError:
    extra = "parquet" if error.name == "pyarrow" else "fit"
    cause, hint = f"this needs {error.name}", f"pip install 'fieldwarden[{extra}]'"
    return data_error(file, cause, hint)


@contextmanager
def _plain(data: str, how: Reading) -> Iterator[Plain]:
    """The file to be read; what is said of a temporary one is said of that it came from."""
    with ExitStack() as stack:
        file = Path(data)
        try:
            plain = Plain(file) if is_lake(data) else plain_file(file, how, _LIMIT_BYTES, stack)
        except ModuleNotFoundError as error:
            raise _not_installed(file, error) from error
        try:
            yield plain
        except FieldwardenError as error:
            if plain.file == file or error.subject != str(plain.file):
                raise
            subject = f"{data} ({plain.inner})" if plain.inner else data
            raise FieldwardenError(error.operation, subject, error.cause, error.hint) from error


def _opened(
    data: str, wish: Wish, how: Reading, plain: Plain
) -> tuple[Source, tuple[str, ...], Mapping[str, str]]:
    """(the file, what was understood of it, units that it says)."""
    file = plain.file
    is_parquet = file.suffix.lower() in {".parquet", ".pq"}
    try:
        from agent.records.columns import Source  # noqa: PLC0415 - see _wish
        from agent.records.frames import DelimitedFrame  # noqa: PLC0415

        if is_lake(data):
            from agent.records.lake.opening import lake_source  # noqa: PLC0415
        elif is_parquet:
            from agent.records.parquet import ParquetFrame  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise _not_installed(file, error) from error
    if is_lake(data):
        return *lake_source(data, wish, how), {}
    if file.stat().st_size > _LIMIT_BYTES:
        cause = f"larger than {_LIMIT_BYTES >> 30} GiB"
        hint = "Parquet in a folder is read by parts: give the folder" if is_parquet else (
            "thin it out, cut it, or write it as Parquet in a folder"
        )
        raise data_error(file, cause, hint)
    if is_parquet:
        frame = ParquetFrame(file)
        body = frame.sample()
        if len(frame.names) < 2:
            cause = "one column only"
            raise data_error(file, cause, "the first column is time, each other a tag")
        if len(set(frame.names)) < len(frame.names):
            raise data_error(file, "two columns have one name", "name every column differently")
        time = frame.stamps(how) or find_time(file, frame.names, body, how)
        return Source(file, frame, frame.names, body, time, frozenset(), "", how), (), {}
    layout = layout_of(file, how, separator=plain.separator, decimal=plain.decimal)
    time = layout.time
    mark = f", decimal {layout.decimal!r}" if layout.decimal == "," else ""
    written = () if plain.separator else (f"separator {layout.separator!r}{mark}",)
    notes = (*((plain.inner,) if plain.inner else ()), *layout.notes, *written)
    source = Source(
        file, DelimitedFrame(file, layout), layout.names, layout.body, time, layout.index,
        layout.decimal, how, layout.grouped,
    )  # fmt: skip
    return source, notes, layout.units


def read_table(
    path: Path | str, columns: Sequence[str] | None = None, *,
    text: Literal["error", "skip"] = "error", texts: Collection[str] = (), lenient: bool = False,
    how: Reading | None = None, as_told: bool = False,
) -> Table:  # fmt: skip
    """Read delimited text, or a Parquet file (by its ending `.parquet` or `.pq`), or a workbook.

    Text and Parquet may be compressed or stand in an archive.

    Args:
        path: the file.
        columns: the tags to read, in this order; others are not looked at. None reads all.
        text: what to do with a column that is not numeric: stop, or leave it out with a note.
        texts: columns of tags of texts, read as codes.
        lenient: read those of `columns` that the file has.
        how: what a person said about the file.
        as_told: values stand where they were told alone; none holds until the next.

    Raises:
        FieldwardenError: the file can not be read or understood; column and line are named.
    """
    file, how = Path(path), how or Reading()
    interval_ns = _interval_ns(how)
    found: dict[int, str] = {}
    try:
        order = Order(how)
        wish = _wish(file, columns, texts, found, lenient=lenient, skip=text == "skip")
        with _plain(str(path), how) as plain:
            source, understood, units = _opened(str(path), wish, how, plain)
            with source.frame:
                raw, shape = _read(source, wish, order, interval_ns)
                notes = source.frame.notes
    except OSError as error:
        raise data_error(file, error.strerror or str(error), "give the path of a file") from error
    where = " and ".join(repr(source.names[at]) for at in source.time.places)
    form = f": {source.time.form.text}" if source.time.form else ""
    when = f"time in column {where}{form}, {order.text}" if where else "no time: rows are even"
    times, values, bad, moved = in_order(
        file, raw.times, raw.values, raw.bad, turned=order.newest_first
    )
    notes = [*notes, *order.notes, *raw.notes, *moved]
    silences: dict[str, int] = {}
    if not as_told and is_by_exception(values, bad):
        every = interval_ns or usual_interval_ns(times, values)
        try:
            times, values, longest = held(times, values, bad, every)
        except ValueError as error:
            raise data_error(file, str(error), "say a longer --interval") from error
        silences = dict(zip(raw.names, longest, strict=True))
        notes.append(
            "most cells are empty: read as reports by exception, each value holding until the next"
            f", on rows every {every / 1e9:g} s (--interval says another)"
        )
    interval = int(np.median(np.diff(times)))
    span = f"{_iso(times[0])} to {_iso(times[-1])}, {len(times):,} rows, every {interval / 1e9:g} s"
    told = {**units, **{name: plain_unit(unit) for name, unit in raw.units.items()}}
    return Table(
        times, tuple(raw.names), values, interval, tuple(notes),
        (*understood, *shape, *_beside(raw), f"{when}; {span}"),
        told, dict(found), silences, raw.no_values, _described(raw.names, values, told),
    )  # fmt: skip


def _interval_ns(how: Reading) -> int:
    try:
        _ = how.no_values
        codecs.lookup(how.encoding or "utf-8")
        return duration_ns(how.interval) if how.interval else 0
    except (ValueError, LookupError) as error:
        hint = "--interval 60s, --no-value -9999, --encoding cp1251"
        raise FieldwardenError("reading options", "", str(error), hint) from error


def _read(
    source: Source, wish: Wish, order: Order, interval_ns: int
) -> tuple[Raw, tuple[str, ...]]:
    from agent.records.columns import read_long, read_wide  # noqa: PLC0415 - see _opened

    try:
        shape = long_shape(source.names, source.body, source.time, source.how)
        if shape is None:
            return read_wide(source, wish, order.settle, interval_ns), ()
        raw = read_long(source, shape, wish, order.settle, newest=lambda: order.newest_first)
        order.newest_first = False
        tag, value = source.names[shape.tag], source.names[shape.value]
        return raw, (f"long format: tag in column {tag!r}, value in column {value!r}",)
    except CellError as error:
        raise _no_time(source, error) from error


def _no_time(source: Source, error: CellError) -> FieldwardenError:
    """The error of a cell, with its line, its column and what stands there."""
    places = source.time.places
    cells = [str(series[error.position] or "") for series in source.frame.columns(places)]
    where = " and ".join(repr(source.names[at]) for at in places)
    place = source.frame.place(error.position)
    cause = f"{place}, column {where}: {' '.join(cells)[:40]!r}: {error.cause}"
    hint = error.hint or "mend the cell, or say --time-format; --time-column names another"
    return data_error(source.file, cause, hint)


def _beside(raw: Raw) -> tuple[str, ...]:
    if not raw.by_quality:
        return ()
    pairs = ", ".join(f"{quality} for {value}" for value, quality in raw.by_quality.items())
    return (f"columns of quality, which mark bad samples and are no inputs: {pairs}",)
