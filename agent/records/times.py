"""Texts of a time column -> ns since 1970: which format they have, and what that leaves open.

What can be meant two ways (day or month first, local time, days or seconds) is not guessed: the
error names the option that says it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np

from agent.types import Float64, Int64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DAY_NS = 86_400 * 10**9
_FIRST_YEAR, _END_YEAR = 1970, 2200  # what recorded data can be of; int64 ns end in 2262
END_S = int(np.datetime64(f"{_END_YEAR}-01-01", "s").astype(np.int64))
_END_NS = END_S * 10**9
_NO_EPOCH_S = 315_532_800  # 1980: smaller numbers count from the start of a recording
_EXCEL_FROM_1970 = 25_569  # days from Excel's day 0 to 1970-01-01
_EXCEL_DAYS = (25_000, 80_000)
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)

_CLOCK = (
    r"(?:[T ,]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})"
    r"(?:[.,:](?P<fraction>\d{1,9})\d*)?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?"
    r"\s*(?P<zone>[A-Za-z]{1,5}|[+-]\d{2}:?\d{2})?"
)
_NUMERIC = re.compile(
    r"(?P<a>\d{1,4})(?P<mark>[./-])(?P<b>\d{1,2})(?P=mark)(?P<c>\d{1,4})" + _CLOCK, re.ASCII
)
_NAMED = (
    re.compile(r"(?P<day>\d{1,2})[-/. ]+(?P<month>[^\W\d_]{3,10})\.?[-/., ]+"
               r"(?P<year>\d{4}|\d{2})" + _CLOCK),
    re.compile(r"(?P<month>[^\W\d_]{3,10})\.? +(?P<day>\d{1,2}),? +(?P<year>\d{4})" + _CLOCK),
)  # fmt: skip
_WORD_AT_END = re.compile(r"(.*\d)\s*([A-Za-z]{1,5})")
_ZONES_H = {"z": 0, "utc": 0, "gmt": 0, "cet": 1, "cest": 2, "mez": 1, "mesz": 2}
_MONTHS = {
    start: number
    for number, starts in enumerate(
        ("jan ene gen", "feb fév", "mar mär mrz", "apr avr abr", "may mai mag", "jun juin giu",
         "jul juil lug", "aug ago aoû", "sep set", "oct okt ott", "nov", "dec dez déc dic"),
        start=1,
    )
    for start in starts.split()
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """What a person said about a file's times; what is empty is found out.

    Attributes:
        time_column: name of the column.
        time_format: as for `strptime`, or a key of `COUNTS`.
        timezone: IANA name of the zone that times without one are in.
        day_first: whether 03/01/2026 is 3 January.
    """

    time_column: str = ""
    time_format: str = ""
    timezone: str = ""
    day_first: bool | None = None

    def to_json(self) -> dict[str, str | bool]:
        """What was said, JSON-ready."""
        return {key: value for key, value in asdict(self).items() if value not in {"", None}}

    def options(self) -> list[str]:
        """The words of a command line that say it."""
        words = []
        for key, value in self.to_json().items():
            if key == "day_first":
                words.append("--day-first" if value else "--month-first")
            else:
                words += [f"--{key.replace('_', '-')}", str(value)]
        return words

    def over(self, earlier: object) -> Reading:
        """What is said now, and for the rest what was said `earlier` (as of `to_json`)."""
        known = {field.name for field in fields(Reading)}
        said = earlier if isinstance(earlier, Mapping) else {}
        return Reading(**({k: v for k, v in said.items() if k in known} | self.to_json()))


class CellError(Exception):
    """A cell that is no usable time; `position` counts cells from 0."""

    def __init__(self, position: int, cause: str, hint: str = "") -> None:
        super().__init__(cause)
        self.position, self.cause, self.hint = position, cause, hint


class TimeFormat(Protocol):
    """Takes the cells of a column piece by piece; what is open is settled by all of them."""

    text: str  # what it is called

    def add(self, cells: Sequence[str]) -> None:
        """Take cells; `CellError` where one is none of this format."""

    def finish(self) -> tuple[Int64, bool]:
        """(int64[n] ns, whether they are UTC); `CellError` where something stays open."""


def _zone_ns(word: str) -> int:
    """What a zone at the end of a time is ahead of UTC."""
    if word[0] in "+-":
        digits = word[1:].replace(":", "")
        ahead = (int(digits[:2]) * 60 + int(digits[2:])) * 60 * 10**9
        return ahead if word[0] == "+" else -ahead
    if word.lower() not in _ZONES_H:
        raise ValueError(f"the zone {word!r} is not known")
    return _ZONES_H[word.lower()] * 3600 * 10**9


def _clock_ns(match: re.Match[str]) -> int:
    """ns since midnight UTC (or since local midnight), from the groups of `_CLOCK`."""
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    if match["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("no such hour of AM or PM")
        hour = hour % 12 + 12 * (match["half"][0] in "pP")
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError("no such time of day")
    fraction = int((match["fraction"] or "0").ljust(9, "0"))
    ns = ((hour * 60 + minute) * 60 + second) * 10**9 + fraction
    return ns - _zone_ns(match["zone"]) if match["zone"] else ns


def _year(text: str) -> int:
    year = int(text)
    if len(text) == 2:
        year += 2000 if year < 70 else 1900
    return _plausible(year)


def _plausible(year: int) -> int:
    if not _FIRST_YEAR <= year < _END_YEAR:
        raise ValueError(f"the year {year} is not plausible ({_FIRST_YEAR} to {_END_YEAR - 1})")
    return year


class Stamps:
    """A format of which each cell is a time by itself."""

    def __init__(self, text: str, parse: Callable[[str], tuple[int, bool]]) -> None:
        self.text = text
        self._parse = parse
        self._parts: list[Int64] = []
        self._done = 0
        self._zoned: set[bool] = set()

    def add(self, cells: Sequence[str]) -> None:
        """Parse them one by one."""
        times = np.empty(len(cells), np.int64)
        for position, cell in enumerate(cells):
            try:
                times[position], zoned = self._parse(cell)
            except (ValueError, OverflowError) as error:
                raise CellError(self._done + position, _cause(error)) from error
            if zoned not in self._zoned:
                self._zoned.add(zoned)
                if len(self._zoned) > 1:
                    raise CellError(self._done + position, "some times have a zone, others none")
        self._parts.append(times)
        self._done += len(cells)

    def finish(self) -> tuple[Int64, bool]:
        """Join what was parsed."""
        return np.concatenate(self._parts), self._zoned == {True}


def _cause(error: Exception) -> str:
    """What a parser said of its own accord; libraries say less than "it is no time"."""
    text = str(error)
    own = ("the year", "the zone", "no such")
    return text if text.startswith(own) else "it is no time of the column's format"


def _moment(moment: datetime) -> tuple[int, bool]:
    _plausible(moment.year)
    zoned = moment.tzinfo is not None
    moment = moment if zoned else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND * 1000, zoned


def _iso(cell: str) -> tuple[int, bool]:
    zone = ""
    if cell[-1:].isalpha() and cell[-1] not in "Zz" and (match := _WORD_AT_END.fullmatch(cell)):
        cell, zone = match[1], match[2]
    ns, zoned = _moment(datetime.fromisoformat(cell.replace(",", ".")))
    return (ns - _zone_ns(zone), True) if zone else (ns, zoned)


def _named(cell: str) -> tuple[int, bool]:
    match = next((found for form in _NAMED if (found := form.fullmatch(cell))), None)
    if match is None:
        raise ValueError("another format")
    name = match["month"].lower()
    month = _MONTHS.get(name[:4]) or _MONTHS.get(name[:3])
    if month is None:
        raise ValueError(f"no such month: {match['month']}")
    day = datetime(_year(match["year"]), month, int(match["day"]), tzinfo=UTC)
    return (day - _EPOCH).days * _DAY_NS + _clock_ns(match), bool(match["zone"])


class NumericDates:
    """03/01/2026, 01.03.26 and the like: which is the day may show in any row of the file."""

    def __init__(self, how: Reading) -> None:
        self.text = "date of three numbers"
        self._how = how
        self._parts: list[Int64] = []  # (year, first, second, ns of the day)
        self._done = 0
        self._zoned: set[bool] = set()
        self._forms: set[str] = set()

    def add(self, cells: Sequence[str]) -> None:
        """Take them apart."""
        found = np.empty((len(cells), 4), np.int64)
        for position, cell in enumerate(cells):
            try:
                found[position] = self._apart(cell)
            except ValueError as error:
                raise CellError(self._done + position, _cause(error)) from error
            if len(self._zoned) > 1 or len(self._forms) > 1:
                cause = "it is written otherwise than the times above it"
                raise CellError(self._done + position, cause)
        self._parts.append(found)
        self._done += len(cells)

    def _apart(self, cell: str) -> tuple[int, int, int, int]:
        match = _NUMERIC.fullmatch(cell)
        if match is None:
            raise ValueError("another format")
        self._zoned.add(bool(match["zone"]))
        year_first = len(match["a"]) == 4
        self._forms.add("year first" if year_first else match["mark"])
        if year_first:
            return _year(match["a"]), int(match["b"]), int(match["c"]), _clock_ns(match)
        if len(match["c"]) not in {2, 4}:
            raise ValueError("another format")
        if len(match["c"]) == 2 and match["mark"] != "." and self._how.day_first is None:
            raise ValueError("no such date for certain: a year of two digits can be any of three")
        return _year(match["c"]), int(match["a"]), int(match["b"]), _clock_ns(match)

    def finish(self) -> tuple[Int64, bool]:
        """Settle which number is the day."""
        year, first, second, ns = np.concatenate(self._parts).T
        if "year first" in self._forms:
            month, day, self.text = first, second, "year, month, day"
        elif self._day_first(first, second):
            month, day, self.text = second, first, "day, month, year"
        else:
            month, day, self.text = first, second, "month, day, year"
        wrong = (month < 1) | (month > 12) | (day < 1) | (day > 31)
        months = (year - 1970) * 12 + np.where(wrong, 1, month) - 1
        days = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1)
        wrong |= days.astype("datetime64[M]").astype(np.int64) != months
        if wrong.any():
            cause = f"there is no such day where the order is {self.text}"
            raise CellError(int(np.flatnonzero(wrong)[0]), cause)
        return days.astype(np.int64) * _DAY_NS + ns, self._zoned == {True}

    def _day_first(self, first: Int64, second: Int64) -> bool:
        if self._how.day_first is not None:
            return self._how.day_first
        if (first > 12).any() and not (second > 12).any():
            return True
        if (second > 12).any() and not (first > 12).any():
            return False
        if "." in self._forms:
            return True  # nobody writes the month before a dot
        cause = "which number is the day and which the month can not be told"
        raise CellError(0, cause, "say --day-first or --month-first")


COUNTS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "excel": _DAY_NS}
"""`time_format` of times that are numbers -> ns of one; "excel" counts days from 1899-12-30."""


class Numbers:
    """Epoch numbers of one unit, or seconds since a recording began."""

    def __init__(self, how: Reading) -> None:
        self.text = "number"
        self._unit = how.time_format
        self._whole: list[Int64] = []
        self._fraction: list[Float64] = []
        self._done = 0

    def add(self, cells: Sequence[str]) -> None:
        """Whole and fraction apart, for float64 can not hold ns."""
        texts = [cell.replace(",", ".") for cell in cells]
        for position, text in enumerate(texts):
            if not re.fullmatch(r"\+?\d{1,19}(\.\d*)?", text, re.ASCII) or len(text) > 60:
                cause = "it is no time: no number from 1970 on"
                raise CellError(self._done + position, cause)
        parts = [text.lstrip("+").partition(".") for text in texts]
        whole = [int(part[0]) for part in parts]
        if max(whole, default=0) >= _END_NS:
            raise CellError(self._done + whole.index(max(whole)), _later())
        self._whole.append(np.array(whole, np.int64))
        self._fraction.append(np.array([float(f"0.{part[2] or 0}") for part in parts]))
        self._done += len(cells)

    def finish(self) -> tuple[Int64, bool]:
        """ns by the unit that was said, or that follows from the size of the numbers."""
        whole, fraction = np.concatenate(self._whole), np.concatenate(self._fraction)
        unit = self._unit or self._found(whole, fraction)
        scale, origin = COUNTS[unit], _EXCEL_FROM_1970 if unit == "excel" else 0
        late = whole - origin > _END_NS // scale - 1
        early = whole < origin
        counted = not self._unit and int(whole.max(initial=0)) < _NO_EPOCH_S
        if not counted and not self._unit:  # one of 1970 among later ones is no time
            early |= whole < _NO_EPOCH_S * (10**9 // scale)
        if (late | early).any():
            position = int(np.flatnonzero(late | early)[0])
            raise CellError(position, _later() if late[position] else "it is before 1980")
        self.text = f"{unit} since the recording began" if counted else f"{unit} since 1970"
        if unit == "excel":
            self.text = "Excel days"
            return np.rint(((whole - origin) + fraction) * 86_400e3).astype(np.int64) * 10**6, False
        return (whole - origin) * scale + np.rint(fraction * scale).astype(np.int64), True

    @staticmethod
    def _found(whole: Int64, fraction: Float64) -> str:
        low, high = _EXCEL_DAYS
        if low <= whole.min(initial=low) and whole.max(initial=0) <= high and fraction.any():
            cause = "days of a spreadsheet, or seconds: that can not be told"
            raise CellError(0, cause, "say --time-format excel, or --time-format s")
        largest = int(whole.max(initial=0))
        limits = (("s", 10**11), ("ms", 10**14), ("us", 10**17))
        return next((unit for unit, limit in limits if largest < limit), "ns")


def _later() -> str:
    return f"it is later than the year {_END_YEAR - 1}"


def _said(pattern: str) -> Callable[[str], tuple[int, bool]]:
    return lambda cell: _moment(datetime.strptime(cell, pattern))  # noqa: DTZ007 - see _moment


def time_formats(how: Reading) -> list[Callable[[], TimeFormat]]:
    """The formats that may be tried; only one where a person said which."""
    if how.time_format in COUNTS:
        return [lambda: Numbers(how)]
    if how.time_format:
        text, parse = f"format {how.time_format}", _said(how.time_format)
        return [lambda: Stamps(text, parse)]
    return [
        lambda: Numbers(how),
        lambda: Stamps("ISO 8601", _iso),
        lambda: NumericDates(how),
        lambda: Stamps("date with the month's name", _named),
    ]
