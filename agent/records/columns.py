"""Columns of a file -> times and numbers: what `table` reads with, wide format and long.

Import this late, and only where polars is installed (the extra `fit`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from agent.decode.columns import Dictionary
from agent.records import sentinels
from agent.records.cells import MISSING, data_error, says_no_value, wanted_columns
from agent.records.clocks import TimeAt, joined_time
from agent.records.formats import ISO
from agent.records.frames import Frame
from agent.records.long import LongShape
from agent.records.numbers import Column, numbers
from agent.records.quality import AmbiguousQualityError, bad_of, companions
from agent.records.times import END_S, CellError, Reading
from agent.types import Float64, Int64

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]
Settle = Callable[[Int64, bool], Int64]
_ROWS_AT_ONCE = 65_536
_MOST_CELLS = 5 * 10**8


@dataclass(slots=True)
class Raw:
    """A table as it stands in the file, rows in the file's order.

    Attributes:
        bad: position of a column -> where words or qualities say that there is no value.
        by_quality: column of values -> its column of quality.
        no_values: column -> numbers in it that mean "no value".
    """

    times: Int64
    names: list[str]
    values: Float64
    bad: dict[int, Bools] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    by_quality: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    no_values: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """One file, opened, and what its beginning told."""

    file: Path
    frame: Frame
    names: Sequence[str]
    body: Sequence[Sequence[str]]
    time: TimeAt
    index: frozenset[int]
    decimal: str
    how: Reading
    grouped: bool = False  # whether marks of thousands are beyond doubt


@dataclass(frozen=True, slots=True)
class Wish:
    """What of a file is wanted; see `agent.records.table.read_table`."""

    columns: Sequence[str] | None
    texts: Collection[str]
    lenient: bool
    skip_text: bool
    dictionary: Dictionary


def read_wide(source: Source, wish: Wish, settle: Settle, interval_ns: int) -> Raw:
    """Read a table with a column for each tag."""
    names = source.names
    times = settle(*read_times(source, interval_ns))
    wanted = wanted_columns(
        source.file, names, source.time.taken, wish.columns, lenient=wish.lenient
    )
    beside = companions(names, source.body)
    if wish.columns is None:
        wanted = [at for at in wanted if at not in source.index and at not in beside]
    qualities = {of: at for at, of in beside.items() if of in wanted and at not in wanted}
    values = np.empty((len(times), len(wanted)), order="F")
    raw = Raw(times, [], values)
    kept = 0
    is_text = [names[at] in wish.texts for at in wanted]
    plain = [at for at, text in zip(wanted, is_text, strict=True) if not text]
    found = source.frame.numbers(plain, source.decimal)
    for at, text in zip(wanted, is_text, strict=True):
        series = next(source.frame.columns([at])) if text else next(found)
        column = _column(source, wish, names[at], series)
        if column.fault:
            if not wish.skip_text:
                raise data_error(source.file, column.fault, _MEND)
            raw.notes.append(f"left out: {column.fault}")
            continue
        if at in qualities:
            quality = next(source.frame.columns([qualities[at]]))
            _mark(source, column, names[qualities[at]], quality)
            raw.by_quality[names[at]] = names[qualities[at]]
        _finish(raw, column, kept, source.how, is_text=names[at] in wish.texts)
        kept += 1
    raw.values = values[:, :kept] if kept < len(wanted) else values
    return raw


_MEND = (
    "mend the cell, or leave the column out of the model; a mark of thousands is told from a "
    "decimal one by --decimal point or --decimal comma"
)


def _finish(raw: Raw, column: Column, at: int, how: Reading, *, is_text: bool) -> None:
    """Take a column's numbers that stand for no value out, and put it into the table."""
    if column.note:
        raw.notes.append(column.note)
    if column.remark:
        raw.notes.append(f"{column.name}: {column.remark}")
    if column.unit:
        raw.units.setdefault(column.name, column.unit)
    if not is_text:
        for number, count in _no_values(column.values, how).items():
            hit = column.values == number
            column.values[hit] = math.nan
            column.bad = column.bad | hit
            raw.no_values[column.name] = (*raw.no_values.get(column.name, ()), number)
            more = "" if how.no_value else " (if it is a value, say --no-value none)"
            raw.notes.append(
                f'{column.name}: {count:,} cells hold {number:.10g}, proposed as "no value" and '
                f"taken as missing{more}"
            )
    raw.names.append(column.name)
    raw.values[:, at] = column.values
    if column.bad.any():
        raw.bad[at] = column.bad


def _no_values(values: Float64, how: Reading) -> dict[float, int]:
    if not how.no_value:
        return sentinels.proposed(values)
    said = how.no_values
    counts = {number: int(np.count_nonzero(values == number)) for number in said}
    return {number: count for number, count in counts.items() if count}


def _column(source: Source, wish: Wish, name: str, series: pl.Series) -> Column:
    if name in wish.texts:
        return _codes(series, name, wish.dictionary)
    if series.dtype == pl.String:
        said = bool(source.how.decimal) or source.grouped
        return numbers(series, name, source.decimal, source.frame.place, said=said)
    if not (series.dtype.is_numeric() or isinstance(series.dtype, pl.Boolean | pl.Null)):
        fault = f"column {name!r} is of type {str(series.dtype).lower()}, no number"
        return Column(name, np.empty(0), np.empty(0, np.bool_), Counter(), fault)
    values = series.cast(pl.Float64).fill_null(math.nan).to_numpy().copy()
    infinite = np.isinf(values)
    values[infinite] = math.nan
    words = Counter({"inf": int(infinite.sum())} if infinite.any() else {})
    return Column(name, values, infinite, words)


def _codes(series: pl.Series, name: str, dictionary: Dictionary) -> Column:
    """A tag of texts as codes, as decoders give them."""
    texts = series.cast(pl.String)
    codes: dict[str, float] = {}
    fault = ""
    for text in texts.drop_nulls().unique(maintain_order=True).to_list():
        if text.lower() not in MISSING and not says_no_value(text):
            code = dictionary.code(text)
            if code is None:
                fault = f"column {name!r}: too many texts, or too long ones"
            codes[text] = math.nan if code is None else float(code)
    made = texts.replace_strict(codes, default=None, return_dtype=pl.Float64)
    values = made.fill_null(math.nan).to_numpy().copy()
    return Column(name, values, np.zeros(len(values), np.bool_), Counter(), fault)


def _mark(source: Source, column: Column, name: str, quality: pl.Series) -> None:
    """Take out what a column of quality calls bad."""
    texts = quality.cast(pl.String).fill_null("")
    told = _told(source, name, texts.unique().to_list())
    bad = texts.is_in([cell for cell, is_bad in told.items() if is_bad]).to_numpy()
    hit = bad & np.isfinite(column.values)
    counts = texts.filter(pl.Series(hit)).value_counts(sort=True)
    for cell, count in counts.iter_rows():
        column.words[f"{name}: {cell}"] += count
    column.values[bad] = math.nan
    column.bad = column.bad | bad


def _told(source: Source, name: str, cells: list[str]) -> Mapping[str, bool]:
    try:
        return bad_of(name, cells, source.how.good_values)
    except AmbiguousQualityError as error:
        cause = f"column {name!r}: which of its codes ({', '.join(error.codes)}) mean good"
        hint = f"say it: --good {' or --good '.join(error.codes[:2])}; several, such as 0,4, too"
        raise data_error(source.file, cause, hint) from error


# --- times ---------------------------------------------------------------------------------


def read_times(source: Source, interval_ns: int) -> tuple[Int64, bool]:
    """(int64[n] ns, whether they are UTC), in the file's order.

    Raises:
        CellError: a cell that is no time.
    """
    time, frame = source.time, source.frame
    if not frame.rows:
        raise data_error(source.file, "no header with data below it")
    if time.form is None and not time.places:
        return np.arange(frame.rows, dtype=np.int64) * interval_ns, True
    columns = list(frame.columns(time.places))
    if len(columns) == 1 and isinstance(columns[0].dtype, pl.Datetime | pl.Date):
        return _stamps(columns[0])
    if time.form is None:
        raise CellError(0, "it is no time")
    texts = [column.cast(pl.String).fill_null("") for column in columns]
    if len(texts) == 1 and time.form.text == ISO and (quick := _plain_iso(texts[0])):
        return quick[0] + _millis_ns(source), quick[1]
    for start in range(0, frame.rows, _ROWS_AT_ONCE):
        parts = [text.slice(start, _ROWS_AT_ONCE).to_list() for text in texts]
        cells = parts[0] if len(parts) == 1 else list(map(joined_time, zip(*parts, strict=True)))
        time.form.add(cells)
    times, utc = time.form.finish()
    return times + _millis_ns(source), utc


def _millis_ns(source: Source) -> Int64 | int:
    """int64[n]: what a column of milliseconds adds to the times; 0 where there is none."""
    if source.time.millis is None:
        return 0
    column = next(source.frame.columns([source.time.millis]))
    millis = column.cast(pl.Int64, strict=False)
    good = millis.is_between(0, 999).fill_null(value=False)
    if (wrong := column.is_not_null() & (column != "") & ~good).any():
        cause = f"column {source.names[source.time.millis]!r} holds no milliseconds"
        raise CellError(int(wrong.arg_true()[0]), cause)
    made: Int64 = millis.fill_null(0).to_numpy() * 10**6
    return made


def _plain_iso(texts: pl.Series) -> tuple[Int64, bool] | None:
    """Stamps that are all written alike, in UTC or without a zone; None for others.

    A tenth of the time that they take one by one.
    """
    zoned = texts.str.ends_with("Z")
    if zoned.any() and not zoned.all():
        return None
    utc = bool(zoned.all())
    mark = "T" if "T" in str(texts[0]) else " "
    form = f"%Y-%m-%d{mark}%H:%M:%S%.f{'Z' if utc else ''}"
    moments = texts.str.to_datetime(form, time_unit="us", strict=False)
    if moments.null_count():
        return None
    counts: Int64 = moments.to_physical().to_numpy().copy()
    if (counts < 0).any() or (counts >= END_S * 10**6).any():
        return None
    return counts * 1000, utc


def _stamps(column: pl.Series) -> tuple[Int64, bool]:
    if column.null_count():
        raise CellError(int(column.is_null().arg_true()[0]), "it has no time; every row needs one")
    column = column.cast(pl.Datetime("ns")) if column.dtype == pl.Date else column
    unit = str(getattr(column.dtype, "time_unit", "ns"))
    per_second = {"ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    counts = column.to_physical().cast(pl.Int64).to_numpy().copy()
    far = np.flatnonzero((counts < 0) | (counts >= END_S * per_second))
    if len(far):
        raise CellError(int(far[0]), "it is not between the years 1970 and 2199")
    return counts * (10**9 // per_second), getattr(column.dtype, "time_zone", None) is not None


# --- long format ---------------------------------------------------------------------------


def read_long(
    source: Source, shape: LongShape, wish: Wish, settle: Settle, *, newest: Callable[[], bool]
) -> Raw:
    """Read a table with a row for each report, as one with a column for each tag."""
    every, utc = read_times(source, 0)
    tags, values = source.frame.columns([shape.tag, shape.value])
    names = [name for name in tags.cast(pl.String).unique(maintain_order=True).to_list() if name]
    chosen = [names[at] for at in wanted_columns(
        source.file, names, (), wish.columns, lenient=wish.lenient
    )]  # fmt: skip
    quality, unit = (
        None if at is None else next(source.frame.columns([at])).cast(pl.String)
        for at in (shape.quality, shape.unit)
    )
    parts, raw = [], Raw(np.empty(0, np.int64), [], np.empty((0, 0)))
    doubles = 0
    for name in chosen:
        rows = (tags == name).fill_null(value=False).arg_true().to_numpy()
        column = _column(source, wish, name, values.gather(rows))
        if column.fault:
            if not wish.skip_text:
                raise data_error(source.file, column.fault, _MEND)
            raw.notes.append(f"left out: {column.fault}")
            continue
        if quality is not None:
            _mark(source, column, source.names[shape.quality or 0], quality.gather(rows))
        if unit is not None and (told := unit.gather(rows[:1])[0]):
            raw.units[name] = told
        times = _settled(every[rows], rows, settle, utc=utc)
        order = np.argsort(times[::-1], kind="stable") if newest() else None
        order = len(times) - 1 - order if order is not None else np.argsort(times, kind="stable")
        last = np.append(np.diff(times[order]) > 0, True)
        doubles += len(order) - int(last.sum())
        order = order[last]
        parts.append((times[order], column, order))
    if doubles:
        raw.notes.append(f"{doubles:,} reports had the time of the one after them and were dropped")
    return _pivoted(source, raw, parts, wish)


def _settled(times: Int64, rows: Int64, settle: Settle, *, utc: bool) -> Int64:
    try:
        return settle(times, utc)
    except CellError as error:
        raise CellError(int(rows[error.position]), error.cause, error.hint) from error


def _pivoted(
    source: Source, raw: Raw, parts: Sequence[tuple[Int64, Column, Int64]], wish: Wish
) -> Raw:
    times = np.unique(np.concatenate([part[0] for part in parts])) if parts else raw.times
    if len(times) * len(parts) > _MOST_CELLS:
        cause = f"{len(parts)} tags at {len(times):,} different times are too much at once"
        raise data_error(source.file, cause, "cut it, or export fewer tags")
    raw.times = times
    raw.values = np.full((len(times), len(parts)), np.nan, order="F")
    for at, (own, column, order) in enumerate(parts):
        place = np.searchsorted(times, own)
        spread = np.full(len(times), math.nan)
        bad = np.zeros(len(times), np.bool_)
        spread[place], bad[place] = column.values[order], column.bad[order]
        column.values, column.bad = spread, bad
        _finish(raw, column, at, source.how, is_text=column.name in wish.texts)
    return raw
