"""Which column of a file is time: one of stamps, one of dates beside one of clocks, or none."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from agent.configuration.rules import nearest
from agent.errors import FieldwardenError
from agent.records.cells import MISSING, data_error
from agent.records.formats import time_formats
from agent.records.times import NUMBER, CellError, Reading, TimeFormat

_TIME_WORDS = frozenset({
    "time", "timestamp", "timestamps", "date", "datetime", "zeit", "zeitstempel", "zeitpunkt",
    "datum", "uhrzeit", "stamp", "ts", "t", "utc", "epoch", "clock", "heure", "horodatage", "fecha",
    "hora", "tijd", "tid", "seconds", "second", "sec", "elapsed", "datenum", "ticks",
    "日時", "時刻", "时间",
})  # fmt: skip
_FILL_WORDS = frozenset({
    "since", "start", "of", "in", "unix", "ms", "us", "ns", "s", "local", "min", "h", "d",
    "hours", "days", "minutes",
})  # fmt: skip
_INDEX_WORDS = frozenset({
    "", "index", "idx", "id", "nr", "no", "row", "unnamed", "#", "level", "record", "sample",
    "line", "lfd", "number", "nummer", "zeile", "rec", "ligne", "n°",
})  # fmt: skip
_MILLIS = re.compile(
    r"(time[\s_]*)?(ms|msec|millis|millitm|milli[\s_]?sec(?:onds?)?|millisekunden?)", re.IGNORECASE
)


def says_time(name: str) -> bool:
    """Whether a heading calls its column a time."""
    words = re.findall(r"[A-Z]+(?![a-z])|[^\W\d_][^\W\dA-Z_]*", name)
    return any(word.lower() in _TIME_WORDS for word in words) or bool(
        re.search(r"timestamp|datetime|unixtime|epoch|zeitstempel", name.lower())
    )


_CLOCK_ONLY = re.compile(
    r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?\s*([AaPp]\.?[Mm]\.?)?"
    r"(\s*(Z|UTC|[+-]\d{2}:?\d{2}))?",
    re.ASCII,
)
_MIDNIGHT = re.compile(r"[T ]0?0:00(:00([.,]0+)?)?(\s*(Z|UTC))?$", re.ASCII)
_COMPACT_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])", re.ASCII)
_COMPACT_TIME = re.compile(_COMPACT_DATE.pattern + r"([01]\d|2[0-3])[0-5]\d([0-5]\d)?", re.ASCII)
_COMPACT_CLOCK = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)?", re.ASCII)
_CLOCK_DIGITS = re.compile(r"(?=\d{1,6}$)(\d{0,2}?)([0-5]?\d)?([0-5]?\d)", re.ASCII)
_EXCEL = (25_000.0, 80_000.0)


@dataclass(frozen=True, slots=True)
class TimeAt:
    """Where the times of a file are.

    Attributes:
        places: the column; or those of the date and of the clock; none where rows are that far
            apart that a person said.
        form: parses their texts, joined by a blank.
        millis: the column of their milliseconds, where that is one of its own.
    """

    places: tuple[int, ...]
    form: TimeFormat | None
    millis: int | None = None

    @property
    def taken(self) -> tuple[int, ...]:
        """All columns that tell the time: no tag is there."""
        return self.places if self.millis is None else (*self.places, self.millis)


@dataclass(frozen=True, slots=True)
class _Candidate:
    place: int
    kind: int
    is_number: bool
    says: bool
    repeated: bool
    cells: tuple[str, ...]

    @property
    def rank(self) -> tuple[bool, bool, bool, int]:
        return self.is_number, not self.says, self.repeated, self.place


def find_time(
    file: Path, names: Sequence[str], body: Sequence[Sequence[str]], how: Reading
) -> TimeAt:
    """Find the column, or the two columns, of times.

    Args:
        file: for errors.
        names: of the columns.
        body: rows of cells from the file's beginning.
        how: what a person said.

    Raises:
        FieldwardenError: no column is one, or several may be, or not the one that was said.
    """
    places: Sequence[int] = range(len(names))
    if how.time_column:
        if how.time_column not in names:
            hint = nearest(how.time_column, [name for name in names if name])
            raise data_error(file, f"no column {how.time_column!r} for --time-column", hint)
        places = [names.index(how.time_column)]
    columns = [tuple(row[at] if at < len(row) else "" for row in body) for at in range(len(names))]
    clocks = [at for at in range(len(names)) if _mostly(_CLOCK_ONLY, columns[at])]
    clocks = clocks or [at for at, name in enumerate(names) if _is_compact(name, columns[at])]
    found = [c for at in places if (c := _candidate(names[at], at, columns[at], how))]
    if pair := _pair(found, columns, clocks, how):
        return replace(pair, millis=_millis(names, columns, pair.places))
    if not found and how.interval and not how.time_column:
        return TimeAt((), None)
    if not found:
        raise _no_time(file, names, body, how)
    best = min(found, key=lambda item: item.rank)
    _no_clock_alone(file, names, columns, best, how)
    rivals = [c for c in found if c.rank[:3] == best.rank[:3] and c.cells != best.cells]
    if rivals and best.says and not best.is_number:
        cause = f"columns {names[best.place]!r} and {names[rivals[0].place]!r} are both times"
        raise data_error(file, cause, "say which with --time-column")
    form = time_formats(how, names[best.place])[best.kind]()
    return TimeAt((best.place,), form, _millis(names, columns, (best.place,)))


def _millis(
    names: Sequence[str], columns: Sequence[Sequence[str]], places: tuple[int, ...]
) -> int | None:
    """The column right after the times that holds their milliseconds, if there is one."""
    at = max(places) + 1
    if at >= len(names) or not _MILLIS.fullmatch(names[at].strip()):
        return None
    return at if all(re.fullmatch(r"\d{1,3}", cell) for cell in columns[at] if cell) else None


def _candidate(name: str, place: int, column: Sequence[str], how: Reading) -> _Candidate | None:
    cells = tuple(cell for cell in column if cell)
    kind = _kind(cells, how)
    if kind is None:
        return None
    is_number = kind == 0 and not how.time_format and not how.time_column
    if is_number and not _counts_time(name, cells):
        return None
    repeated = 2 * len(set(cells)) < len(cells)
    return _Candidate(place, kind, is_number, says_time(name), repeated, cells)


def _pair(
    found: Sequence[_Candidate], columns: Sequence[Sequence[str]], clocks: Sequence[int],
    how: Reading,
) -> TimeAt | None:  # fmt: skip
    """A column of dates without a clock, and one of clocks without a date."""
    if not clocks or how.time_format:
        return None
    dates = [item.place for item in found if all(":" not in cell for cell in item.cells)]
    midnight = [c.place for c in found if all(_MIDNIGHT.search(cell) for cell in c.cells)]
    compact = [at for at in range(len(columns)) if _mostly(_COMPACT_DATE, columns[at])]
    if any(not c.is_number and c.place not in {*dates, *midnight} for c in found):
        return None  # there is a column of whole stamps
    for date in (*dates, *midnight, *compact):
        clock = min(clocks, key=lambda at: (at < date, abs(at - date)))
        texts = [joined_time(cells) for cells in zip(columns[date], columns[clock], strict=True)]
        kind = _kind([text for text in texts if text], how)
        if kind:
            return TimeAt((date, clock), time_formats(how)[kind]())
    return None


def joined_time(cells: Sequence[str | None]) -> str:
    """The text of one time from the cells of its columns."""
    if len(cells) == 1:
        return cells[0] or ""
    date, clock = (cell or "" for cell in cells)
    if match := _COMPACT_CLOCK.fullmatch(clock):
        clock = f"{match[1]}:{match[2]}:{match[3] or '00'}"
    return f"{_MIDNIGHT.sub('', date)} {clock}".strip()


def _is_compact(name: str, cells: Sequence[str]) -> bool:
    """Whether a column that is called a time holds nothing but clocks such as 063000."""
    filled = [cell for cell in cells if cell]
    alike = len({len(cell) for cell in filled}) == 1
    return alike and says_time(name) and all(map(_COMPACT_CLOCK.fullmatch, filled))


def _no_clock_alone(
    file: Path, names: Sequence[str], columns: Sequence[Sequence[str]], best: _Candidate,
    how: Reading,
) -> None:  # fmt: skip
    """Refuse clocks as seconds since a start, where dates stand beside them: 63000 is 6:30."""
    if not best.is_number or how.time_column:
        return
    dates = [at for at, cells in enumerate(columns) if _mostly(_COMPACT_DATE, cells)]
    if dates and best.place not in dates and _mostly(_CLOCK_DIGITS, best.cells):
        pair = f"{names[dates[0]]!r} looks like dates, {names[best.place]!r} like clocks or seconds"
        hint = f"write clocks as 06:30:00; if it is seconds, say --time-column {names[best.place]}"
        raise data_error(file, f"column {pair}", hint)


def _mostly(pattern: re.Pattern[str], cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell]
    return bool(filled) and 10 * sum(map(bool, map(pattern.fullmatch, filled))) > 9 * len(filled)


def _no_time(
    file: Path, names: Sequence[str], body: Sequence[Sequence[str]], how: Reading
) -> FieldwardenError:
    which = f"column {how.time_column!r}" if how.time_column else "no column"
    cause = f"{which} is {'no' if how.time_column else 'a'} time"
    shown = body[0] if body else [""] * len(names)
    seen = ", ".join(f"{n!r}: {c[:40]!r}" for n, c in list(zip(names, shown, strict=False))[:4])
    if names[0] and not how.time_column and _rises([row[0] for row in body]):
        hint = f"if column {names[0]!r} counts time, say --time-column {names[0]!r}"
        return data_error(file, cause, hint)
    hint = (
        "times are ISO 8601 (2026-03-01T06:00:00Z), dates such as 01.03.2026 06:00 or"
        " 01-Mar-26 06:00, or epoch numbers; others are told by --time-format; where the file has"
        " none, say how far its rows are apart: --interval 60s"
    )
    return data_error(file, f"{cause} ({seen})", hint)


def _rises(cells: Sequence[str]) -> bool:
    """Whether all cells are numbers, each larger than the one above, in even steps."""
    if len(cells) < _FEWEST_RISING or not all(map(_is_number, cells)):
        return False
    numbers = [float(cell.replace(",", ".")) for cell in cells]
    steps = [b - a for a, b in pairwise(numbers)]
    return min(steps) > 0 and max(steps) <= 1.01 * min(steps)


def _kind(cells: Sequence[str], how: Reading) -> int | None:
    """Which of `time_formats` the first cell and most others have."""
    cells = [cell for cell in cells if cell.lower() not in MISSING]
    compact = not how.time_format and _mostly(_COMPACT_TIME, cells)
    for kind, make in enumerate(time_formats(how)):
        if cells and not (compact and kind == 0) and parses(cells[0], make()):
            good = sum(parses(cell, make()) for cell in cells)
            return kind if 2 * good >= len(cells) else None
    return None


def parses(cell: str, form: TimeFormat) -> bool:
    """Whether a cell is a time of a format, if no good one."""
    try:
        form.add([cell])
    except CellError as error:
        return error.cause.startswith(("the year", "no such", "the zone"))
    return True


def is_index(name: str, body: Sequence[Sequence[str]], place: int) -> bool:
    """Whole numbers, each one more than the one above it, in a column without a name of its own."""
    words = re.split(r"[\s_.:]+", re.sub(r":.*", "", name.lower()).strip())
    if any(word not in _INDEX_WORDS for word in words) or len(body) < 2:
        return False
    cells = [row[place] if place < len(row) else "" for row in body]
    if not all(re.fullmatch(r"\d{1,15}(\.0)?", cell) for cell in cells):
        return False
    numbers = [int(cell.removesuffix(".0")) for cell in cells]
    return all(b == a + 1 for a, b in pairwise(numbers))


def _is_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell) is not None


def _counts_time(name: str, cells: Sequence[str]) -> bool:
    """Whether numbers are times: they rise, and are called so; a mere `t` must count evenly."""
    numbers = [float(cell.replace(",", ".")) for cell in cells if _is_number(cell)]
    if any(math.isinf(number) for number in numbers):
        return False
    steps = [b - a for a, b in pairwise(numbers)]
    falling = sum(step < 0 for step in steps)
    if min(falling, len(steps) - falling) > max(1, len(steps) // 4):
        return False
    words = re.findall(r"[^\W\d_]+", re.sub(r"[\[(].*", "", name).lower())
    least = min((step for step in steps if step > 0), default=0.0)
    even = all(abs(step / least - round(step / least)) < 0.01 for step in steps if least)
    if words == ["t"] and not even and numbers[0] < _LEAST_MS:
        return False
    epoch = any(low <= numbers[0] < high for low, high in _EPOCHS)
    excel = all(low <= number <= high for number in numbers for low, high in [_EXCEL])
    if epoch or (excel and any(number % 1 for number in numbers)):
        return says_time(name) or not set(words) - _INDEX_WORDS
    if not words or any(word not in _TIME_WORDS | _FILL_WORDS for word in words):
        return False
    return any(word in _TIME_WORDS for word in words)


_FEWEST_RISING = 8
_LEAST_MS = 4.7e11
_EPOCHS = tuple((4.7e8 * scale, 7.2e9 * scale) for scale in (1.0, 1e3, 1e6, 1e9))
"""What epoch numbers of s, ms, us and ns are from 1984 to 2199."""
