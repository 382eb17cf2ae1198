"""What is told of a lake's blocks: counts, extremes and the like, of each tag in each block.

A block is a span of the grid (see `survey`), so what is told of it depends on the record alone.
Several blocks in a row are read as one: one piece is `TOGETHER` of the grid, wherever it is read.
Their statistics are put together in order of time, by exact arithmetic (counts, extremes) or by
sums that are rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agent.decode.columns import Dictionary
from agent.records import sentinels
from agent.records.cells import data_error
from agent.records.columns import Raw, Wish, read_wide
from agent.records.lake.opening import Opening
from agent.records.times import Reading
from agent.types import Float64

TOGETHER = 64
"""Blocks of the grid that are read as one piece: about a million rows."""

_ENDS = 8  # different values at each end of a column that are counted
_MOST_CELLS = 1000  # different cells of a column of quality


@dataclass(frozen=True, slots=True)
class Ends:
    """The least and the largest different values of a column, and how often each is there."""

    low: tuple[tuple[float, int], ...] = ()
    high: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class BlockStatistics:
    """One block.

    Attributes:
        number: in the grid.
        rows, first_ns, last_ns: of it.
        empty: rows that hold nothing.
        told: by column, cells that hold a value or say that there is none.
        values: by column, cells that hold a value.
        middle: by column, the median of its values, NaN without any.
        total, square: by column, sums of the values and of their squares.
        gap: by column, the most rows without a value in a row; `before` and `after` are those
            before its first and after its last value.
        ends: by column.
        codes: of the mode tag, what it says -> in how many rows.
    """

    number: int
    rows: int
    first_ns: int
    last_ns: int
    empty: int
    told: tuple[int, ...]
    values: tuple[int, ...]
    middle: tuple[float, ...]
    total: tuple[float, ...]
    square: tuple[float, ...]
    gap: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    ends: tuple[Ends, ...]
    codes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """What is told of the blocks of one piece; texts in the order in which they come."""

    blocks: tuple[BlockStatistics, ...]
    joined: int
    clashes: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is read of each block.

    Attributes:
        columns: tags with numbers, in order.
        texts: tags of texts.
        mode: the mode tag; empty where there is none.
        how: what a person said, completed by what all of the record says.
        no_values: by column, numbers that mean "no value".
    """

    columns: tuple[str, ...]
    texts: frozenset[str]
    mode: str
    how: Reading
    no_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)


def pieces_of(opening: Opening) -> list[int]:
    """Numbers of the pieces that may have rows."""
    return list(dict.fromkeys(block // TOGETHER for block in opening.survey.blocks()))


def read_span(
    opening: Opening, wanted: Wanted, span: tuple[int, int], dictionary: Dictionary
) -> tuple[Raw, int, int]:
    """(rows of a span, how many were joined, cells that clashed)."""
    # What means "no value" is settled by all of the record.
    how = replace(wanted.how, no_value="none")
    source, rows = opening.source(wanted.columns, span, how)
    wish = Wish(wanted.columns, wanted.texts, lenient=False, skip_text=False, dictionary=dictionary)
    if not source.frame.rows:
        raw = Raw(np.empty(0, np.int64), list(wanted.columns),
                  np.empty((0, len(wanted.columns)), order="F"))  # fmt: skip
        return raw, 0, 0
    raw = read_wide(source, wish, lambda times, utc: times, 0)
    for at, name in enumerate(raw.names):
        if numbers := wanted.no_values.get(name, ()):
            hit = np.isin(raw.values[:, at], numbers)
            raw.values[hit, at] = math.nan
            raw.bad[at] = raw.bad.get(at, np.zeros(len(hit), np.bool_)) | hit
    return raw, rows.joined, rows.clashes


def statistics_of(opening: Opening, wanted: Wanted, piece: int) -> Piece:
    """The statistics of each block of a piece."""
    length = opening.survey.length_ns
    span = piece * TOGETHER * length, (piece + 1) * TOGETHER * length
    texts: dict[int, str] = {}
    dictionary = Dictionary(on_new=lambda code, word: texts.setdefault(code, word) == word)
    raw, joined, clashes = read_span(opening, wanted, span, dictionary)
    numbers = raw.times // length
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    blocks = tuple(
        _block(int(numbers[a]), raw, slice(int(a), int(b)), wanted, texts)
        for a, b in zip(starts, np.append(starts[1:], len(numbers)), strict=True)
    )
    return Piece(blocks, joined, clashes)


def _block(
    number: int, raw: Raw, part: slice, wanted: Wanted, texts: dict[int, str]
) -> BlockStatistics:
    times, values = raw.times[part], raw.values[part]
    finite = np.isfinite(values)
    told = finite.copy()
    for at, marks in raw.bad.items():
        told[:, at] |= marks[part]
    own = [_column(values[:, at], finite[:, at]) for at in range(values.shape[1])]
    count, middle, total, square, gap, before, after, ends = zip(*own, strict=True)
    codes: tuple[tuple[str, int], ...] = ()
    if wanted.mode:
        mode = values[:, raw.names.index(wanted.mode)]
        known, counts = np.unique(mode[np.isfinite(mode)], return_counts=True)
        is_text = wanted.mode in wanted.texts
        codes = tuple(
            (texts[int(code)] if is_text else f"{code!r}", int(count))
            for code, count in zip(known.tolist(), counts.tolist(), strict=True)
        )
    return BlockStatistics(
        number=number, rows=len(times), first_ns=int(times[0]), last_ns=int(times[-1]),
        empty=int(np.count_nonzero(~told.any(axis=1))), told=tuple(told.sum(axis=0).tolist()),
        values=count, middle=middle, total=total, square=square, gap=gap, before=before,
        after=after, ends=ends, codes=codes,
    )


def _column(
    values: Float64, finite: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> tuple[int, float, float, float, int, int, int, Ends]:
    """(values, middle, total, square, gap, before, after, ends) of one column."""
    found = np.sort(values[finite])
    rows = len(values)
    if not len(found):
        return 0, math.nan, 0.0, 0.0, rows, rows, rows, Ends()
    at = np.flatnonzero(finite)
    gap = int(np.diff(at).max()) - 1 if len(at) > 1 else 0
    places = np.flatnonzero(np.diff(found, prepend=-np.inf) > 0)
    counts = np.diff(np.append(places, len(found)))
    low, high = (
        tuple(zip(found[places[side]].tolist(), counts[side].tolist(), strict=True))
        for side in (slice(None, _ENDS), slice(-_ENDS, None))
    )
    square = float(np.add.reduce(found * found))
    return (
        len(found), float(found[len(found) // 2]), float(found.sum()), square, gap,
        int(at[0]), rows - 1 - int(at[-1]), Ends(low, high),
    )  # fmt: skip


# --- all blocks together --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Whole:
    """The statistics of all rows, by column where they are of one.

    Attributes:
        gap: the most rows without a value in a row.
        mean, deviation: NaN without values.
        no_values: numbers that mean "no value", as they are proposed.
    """

    rows: int
    first_ns: int
    last_ns: int
    empty: int
    told: tuple[int, ...]
    values: tuple[int, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    gap: tuple[int, ...]
    ends: tuple[Ends, ...]
    no_values: tuple[dict[float, int], ...]


def together(blocks: Sequence[BlockStatistics]) -> Whole:
    """What the blocks of a record, in order of time, tell of all of it."""
    columns = range(len(blocks[0].values))
    values = tuple(sum(one.values[at] for one in blocks) for at in columns)
    ends = tuple(_ends([one.ends[at] for one in blocks]) for at in columns)
    mean = tuple(
        math.fsum(one.total[at] for one in blocks) / values[at] if values[at] else math.nan
        for at in columns
    )
    return Whole(
        rows=sum(one.rows for one in blocks), first_ns=blocks[0].first_ns,
        last_ns=blocks[-1].last_ns, empty=sum(one.empty for one in blocks),
        told=tuple(sum(one.told[at] for one in blocks) for at in columns), values=values, mean=mean,
        deviation=tuple(_deviation(blocks, at, values[at], mean[at]) for at in columns),
        gap=tuple(_gap(blocks, at) for at in columns), ends=ends,
        no_values=tuple(_no_values(blocks, at, ends[at], values[at]) for at in columns),
    )  # fmt: skip


def _deviation(
    blocks: Sequence[BlockStatistics], at: int, count: int, mean: float
) -> float:
    """About the mean, by blocks: squares of large numbers would swallow it."""
    if not count:
        return math.nan
    parts = []
    for one in blocks:
        if n := one.values[at]:
            own = one.total[at] / n
            parts.append(max(one.square[at] - n * own * own, 0.0) + n * (own - mean) ** 2)
    return math.sqrt(math.fsum(parts) / count)


def _gap(blocks: Sequence[BlockStatistics], at: int) -> int:
    longest = running = 0
    for one in blocks:
        running += one.before[at]
        longest = max(longest, running, one.gap[at])
        if one.values[at]:
            running = one.after[at]
    return longest


def _ends(found: Sequence[Ends]) -> Ends:
    sides = []
    for low in (True, False):
        counts: dict[float, int] = {}
        for one in found:
            for value, count in one.low if low else one.high:
                counts[value] = counts.get(value, 0) + count
        pairs = sorted(counts.items())
        sides.append(tuple(pairs[:_ENDS] if low else pairs[-_ENDS:]))
    return Ends(*sides)


def _no_values(
    blocks: Sequence[BlockStatistics], at: int, ends: Ends, total: int
) -> dict[float, int]:
    """Numbers that look like "no value", as `sentinels` tells them of a whole column.

    It is asked with a column that has the same ends, and the blocks' medians between them.
    """
    counts = dict((*ends.low, *ends.high))
    inner = [one.middle[at] for one in blocks if one.values[at]]
    alike = [value for value, count in counts.items() for _ in range(min(count, 2))]
    rest = [value for value in inner if value not in counts]
    found = {value: counts[value] for value in sentinels.proposed(np.array([*alike, *rest]))}
    return found if sum(found.values()) <= 0.5 * total else {}


# --- qualities ------------------------------------------------------------------------------------


def cells_of(opening: Opening, piece: int) -> dict[str, tuple[str, ...]]:
    """The different cells of each column of quality in a piece."""
    import polars as pl  # noqa: PLC0415 - what columns are held in

    length = opening.survey.length_ns
    span = piece * TOGETHER * length, (piece + 1) * TOGETHER * length
    found = {}
    for quality, of in opening.beside:
        source, _ = opening.source([of], span, Reading())
        series = next(source.frame.columns([list(source.names).index(quality)]))
        cells = series.cast(pl.String).fill_null("").unique().sort().to_list()
        if len(cells) > _MOST_CELLS:
            cause = f"column {quality!r} has more than {_MOST_CELLS} different cells"
            raise data_error(source.file, cause, "it is no column of quality: rename it")
        found[quality] = tuple(cells)
    return found
