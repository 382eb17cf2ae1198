"""Texts of a time column -> ns since 1970: which format they have, and what that leaves open.

What can be meant two ways (day or month first, local time, days or seconds) is not guessed: the
error names the option that says it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np

from agent.types import Int64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
DAY_NS = 86_400 * 10**9
_FIRST_YEAR, END_YEAR = 1970, 2200  # what recorded data can be of; int64 ns end in 2262
_GAPLESS = 5.0  # usual steps that the longest of a record without gaps has
_FAR_NS = 27 * DAY_NS  # what midnight is where day and month are swapped
END_S = int(np.datetime64(f"{END_YEAR}-01-01", "s").astype(np.int64))
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", re.ASCII)

_CLOCK = (
    r"(?:[T ,]+(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})"
    r"(?:[.,:](?P<fraction>\d{1,9})\d*)?)?\s*(?P<half>[AaPp]\.?[Mm]\.?)?(?:\s*(?:Uhr|h))?)?"
    r"\s*(?P<zone>[A-Za-z]{1,5}|[+-]\d{2}:?\d{2})?"
)
_NUMERIC = re.compile(
    r"(?P<a>\d{1,4})(?P<mark>[./-])(?P<b>\d{1,2})(?P=mark)(?P<c>\d{1,4})" + _CLOCK, re.ASCII
)
_NAMED = (
    re.compile(r"(?P<day>\d{1,2})[-/. ]+(?P<month>[^\W\d_]{3,10})\.?[-/., ]+"
               r"(?P<year>\d{4}|\d{2})" + _CLOCK),
    re.compile(r"(?P<month>[^\W\d_]{3,10})\.? +(?P<day>\d{1,2}),? +(?P<year>\d{4})" + _CLOCK),
    re.compile(r"(?P<month>[^\W\d_]{3,10}) +(?P<day>\d{1,2})" + _CLOCK + r" +(?P<year>\d{4})"),
)  # fmt: skip
_DAY_OF_WEEK = re.compile(
    r"^(?:[^\W\d_]{2,10}\.?,? +(?=[^\W\d_]{3,10}\.? )|[^\W\d_]{2,10}\.?, *(?=\d))"
)
_WORD_AT_END = re.compile(
    r"(.*\d)\s*([A-Za-z]{1,5}|\[?[A-Z]\w+/[\w/-]+\]?|[A-Z]{3}\d[A-Z]{3})", re.ASCII
)
_ZONES_H = {
    "z": 0, "utc": 0, "gmt": 0, "wet": 0, "west": 1, "cet": 1, "cest": 2, "mez": 1, "mesz": 2,
    "eet": 2, "eest": 3, "msk": 3, "jst": 9, "edt": -4, "cdt": -5, "mdt": -6, "mst": -7,
    "pdt": -7, "pst": -8, "akst": -9, "akdt": -8, "hst": -10,
}  # fmt: skip
"""Names of zones that mean one thing: IST, BST, CST and EST do not."""
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
    """What a person said about a file; what is empty is found out.

    Attributes:
        time_column: name of the column.
        time_format: as for `strptime`, or a key of `COUNTS`.
        timezone: IANA name of the zone that times without one are in.
        day_first: whether 03/01/2026 is 3 January.
        decimal: "point" or "comma".
        interval: a duration: how far rows are apart that have no time, or reports are put.
        no_value: numbers that mean "no value", separated by blanks or commas; "none" keeps all.
        good: cells of columns of quality that mean good, separated by commas.
        encoding: as Python calls it.
        tag_column: column that names the tag of each row, in long format; "none" if wide.
        member: file of an archive.
        sheet: of a workbook.
    """

    time_column: str = ""
    time_format: str = ""
    timezone: str = ""
    day_first: bool | None = None
    decimal: str = ""
    interval: str = ""
    no_value: str = ""
    tag_column: str = ""
    good: str = ""
    encoding: str = ""
    member: str = ""
    sheet: str = ""

    @property
    def no_values(self) -> tuple[float, ...]:
        """The numbers that mean "no value"; ValueError where one is none."""
        if self.no_value == "none":
            return ()
        return tuple(float(word) for word in re.split(r"[,;\s]+", self.no_value.strip()) if word)

    @property
    def good_values(self) -> frozenset[str]:
        """What cells of quality say of a good sample, in lower case."""
        return frozenset(word.strip().lower() for word in self.good.split(",") if word.strip())

    @property
    def decimal_mark(self) -> str:
        """The sign; empty where nobody said."""
        return {"point": ".", "comma": ","}.get(self.decimal, "")

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


def _longest_step(year: Int64, month: Int64, day: Int64, ns: Int64) -> tuple[int, float]:
    """(the longest, the usual) step between two rows, in ns."""
    months = ((year - 1970) * 12 + np.clip(month, 1, 12) - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + day
    steps = np.abs(np.diff(days * DAY_NS + ns))
    steps = steps[steps > 0]
    return (int(steps.max()), float(np.median(steps))) if len(steps) else (0, 0.0)


def _zone_ns(word: str) -> int:
    """What a zone at the end of a time is ahead of UTC."""
    if word[0] in "+-":
        digits = word[1:].replace(":", "")
        ahead = (int(digits[:2]) * 60 + int(digits[2:])) * 60 * 10**9
        return ahead if word[0] == "+" else -ahead
    if word.lower() not in _ZONES_H:
        name = word.strip("[]") if "/" in word else "with the name of a place"
        raise ValueError(f"the zone {word!r} is not known for certain: say --timezone {name}")
    return _ZONES_H[word.lower()] * 3600 * 10**9


def _clock_ns(match: re.Match[str]) -> int:
    """ns since midnight UTC (or since local midnight), from the groups of `_CLOCK`."""
    hour, minute, second = (int(match[name] or 0) for name in ("hour", "minute", "second"))
    if match["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("no such hour of AM or PM")
        hour = hour % 12 + 12 * (match["half"][0] in "pP")
    fraction = int((match["fraction"] or "0").ljust(9, "0"))
    ends = hour == 24 and not (minute or second or fraction)  # where the next day begins
    if (hour > 23 and not ends) or minute > 59 or second > 60:
        raise ValueError("no such time of day")
    ns = ((hour * 60 + minute) * 60 + second) * 10**9 + fraction
    return ns - _zone_ns(match["zone"]) if match["zone"] else ns


def _year(text: str) -> int:
    year = int(text)
    if len(text) == 2:
        year += 2000 if year < 70 else 1900
    return _plausible(year)


def _plausible(year: int) -> int:
    if not _FIRST_YEAR <= year < END_YEAR:
        raise ValueError(f"the year {year} is not plausible ({_FIRST_YEAR} to {END_YEAR - 1})")
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


def _hint(error: Exception) -> str:
    return "say --day-first or --month-first" if "for certain: a year" in str(error) else ""


def moment_of(moment: datetime) -> tuple[int, bool]:
    """(ns since 1970, whether it has a zone); ValueError for a year that is not plausible."""
    _plausible(moment.year)
    zoned = moment.tzinfo is not None
    moment = moment if zoned else moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND * 1000, zoned


def local(cell: str, zone: str) -> str:
    """With the offset instead of a name that means something in the zone that was said alone.

    CST is one thing in America/Chicago, and tells there which of two equal hours is meant. A name
    that is none there tells nothing: the zone that was said holds.
    """
    match = _WORD_AT_END.fullmatch(cell)
    if match is None or match[2].lower() in {*_ZONES_H, "am", "pm"}:
        return cell
    return match[1] + _offsets(zone).get(match[2].lower(), "")


@lru_cache(maxsize=8)
def _offsets(zone: str) -> Mapping[str, str]:
    """The names of a zone, in winter and in summer -> offset from UTC; none for no such zone."""
    try:
        there = [datetime(2020, month, 1, tzinfo=ZoneInfo(zone)) for month in (1, 7)]
    except (KeyError, ValueError, OSError):
        return {}
    return {moment.strftime("%Z").lower(): moment.strftime("%z") for moment in there}


def iso(cell: str) -> tuple[int, bool]:
    """(ns, whether it has a zone) of ISO 8601, or of its digits alone; ValueError for no such."""
    zone = ""
    last = cell[-1:]
    if (
        (last.isalpha() or last == "]")
        and last not in "Zz"
        and (match := _WORD_AT_END.fullmatch(cell))
    ):
        cell, zone = match[1], match[2]
        if zone.lower() in {"am", "pm"}:
            raise ValueError("another format")
    if len(cell) in {12, 14} and cell.isascii() and cell.isdigit():
        cell = f"{cell[:8]}T{cell[8:]}"
    ns, zoned = moment_of(datetime.fromisoformat(cell.replace(",", ".")))
    return (ns - _zone_ns(zone), True) if zone else (ns, zoned)


def named(cell: str) -> tuple[int, bool]:
    """(ns, whether it has a zone) of a date with the month's name; ValueError for no such."""
    cell = _DAY_OF_WEEK.sub("", cell)
    match = next((found for form in _NAMED if (found := form.fullmatch(cell))), None)
    if match is None:
        raise ValueError("another format")
    name = match["month"].lower()
    month = _MONTHS.get(name[:4]) or _MONTHS.get(name[:3])
    if month is None:
        raise ValueError(f"no such month: {match['month']}")
    day = datetime(_year(match["year"]), month, int(match["day"]), tzinfo=UTC)
    return (day - _EPOCH).days * DAY_NS + _clock_ns(match), bool(match["zone"])


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
                raise CellError(self._done + position, _cause(error), _hint(error)) from error
            if len(self._zoned) > 1 or len(self._forms) > 1:
                cause = "it is written otherwise than the times above it"
                raise CellError(self._done + position, cause)
        self._parts.append(found)
        self._done += len(cells)

    def _apart(self, cell: str) -> tuple[int, int, int, int]:
        match = _NUMERIC.fullmatch(local(cell, self._how.timezone) if self._how.timezone else cell)
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
        elif self._day_first(year, first, second, ns):
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
        return days.astype(np.int64) * DAY_NS + ns, self._zoned == {True}

    def _day_first(self, year: Int64, first: Int64, second: Int64, ns: Int64) -> bool:
        if self._how.day_first is not None:
            return self._how.day_first
        if (first > 12).any() and not (second > 12).any():
            return True
        if (second > 12).any() and not (first > 12).any():
            return False
        if "." in self._forms:
            return True  # nobody writes the month before a dot
        by_day, by_month = (
            _longest_step(year, month, day, ns) for month, day in ((second, first), (first, second))
        )
        for one, other, is_day in ((by_day, by_month, True), (by_month, by_day, False)):
            if one[0] <= _GAPLESS * one[1] and other[0] >= _FAR_NS:
                return is_day  # midnight passes without a gap, or else with one of a month
        cause = "which number is the day and which the month can not be told"
        raise CellError(0, cause, "say --day-first or --month-first")
