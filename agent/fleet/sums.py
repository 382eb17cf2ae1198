"""Summaries of a batch: the rows they become, and what they add to the totals of their days. Pure.

Windows count once whatever came before: those of a message that a later one of the batch covers
leave again, and the totals of days from which rows leave are added up anew by `agent.fleet.saving`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from agent.central.windows import Origin, Windows
from agent.core.loss import KEYS
from agent.fleet.words import json_of, key_of, text_of, us_of_ns

DAY_US: Final = 86_400_000_000
LARGEST: Final = 2**63 - 1
_LARGEST_SUM: Final = 10**60  # beyond it no window of any gateway comes
_MOST_BINS: Final = 1_000
_MOST_COUNT: Final = 2**53
_PLAIN: Final = {int, type(None)}
SERIES_KEPT: Final = 300_000  # that a worker remembers


class Series(NamedTuple):
    """What a window is of, by whom."""

    gateway_id: int
    model: str
    tag: str
    baseline: str
    centre: float
    scale: float


class Sums(NamedTuple):
    """What adds up; `least` and `greatest` are None where nothing was good."""

    samples: int
    good: int
    sum: int
    sum_sq: int
    least: int | None
    greatest: int | None
    scans: int
    extrapolating: int
    jointly: int

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        return Sums(
            self.samples + other.samples, self.good + other.good, self.sum + other.sum,
            self.sum_sq + other.sum_sq,
            other.least if self.least is None else
            self.least if other.least is None else min(self.least, other.least),
            other.greatest if self.greatest is None else
            self.greatest if other.greatest is None else max(self.greatest, other.greatest),
            self.scans + other.scans, self.extrapolating + other.extrapolating,
            self.jointly + other.jointly,
        )  # fmt: skip


class Window(NamedTuple):
    """One row."""

    start_us: int
    end_us: int
    sums: Sums
    histogram: str
    losses: str | None


@dataclass(slots=True)
class Message:
    """One message's windows, by series."""

    origin: Origin
    windows: list[tuple[Series, Window]]
    heard_us: int = 0


@dataclass(slots=True)
class Sheet(Windows):
    """What the summaries of a batch come to.

    Attributes:
        ids: of the gateways, by (site, gateway).
        series: that were told before, by what was told; kept from batch to batch.
        messages: that count, by origin.
        units: (unit, per hour) of each series.
        known: of each run's summaries that had arrived before the batch.
        leaving: (gateway id, store, boot, first, last) of rows that are covered now.
        again: messages whose windows are in the totals of days that have no rows any more, maybe.
    """

    ids: Mapping[tuple[str, str], int]
    series: dict[tuple[Any, ...], Series] = field(default_factory=dict)
    messages: dict[Origin, Message] = field(default_factory=dict)
    units: dict[Series, tuple[str, bool]] = field(default_factory=dict)
    known: dict[tuple[int, str, int], list[tuple[int, int]]] = field(default_factory=dict)
    leaving: list[tuple[int, str, int, int, int]] = field(default_factory=list)
    again: set[Origin] = field(default_factory=set)
    heard_us: int = 0

    def take(
        self, origin: Origin, windows: list[dict[str, Any]], covered: Iterable[tuple[int, int, int]]
    ) -> None:
        """One message's windows in place of those that it covers: (boot, first, last).

        Raises:
            ValueError, TypeError, KeyError, OverflowError: it can not be kept.
        """
        number = self.ids[origin[:2]]
        rows = [self._row(number, one) for one in windows]
        for boot, first, last in covered:
            self._cover(origin, number, boot, first, last)
        self.messages[origin] = Message(origin, rows, self.heard_us)

    def _cover(self, origin: Origin, number: int, boot: int, first: int, last: int) -> None:
        for one in [
            one for one in self.messages
            if one[:4] == (*origin[:3], boot) and first <= one.seq <= last
        ]:  # fmt: skip
            del self.messages[one]
        for begin, end in self.known.get((number, origin.store, boot), ()):
            if begin <= last and first <= end:
                self.leaving.append((number, origin.store, boot, max(begin, first), min(end, last)))
                self.again.add(origin)

    def _row(self, number: int, one: Mapping[str, Any]) -> tuple[Series, Window]:
        told = (
            number, one["model"], one["tag"], one["baseline"], one["centre"], one["scale"]
        )  # fmt: skip
        series = self.series.get(told) or self._new(told)
        least, greatest = one["min"], one["max"]
        sums = Sums(
            one["count"], one["good"], one["sum"], one["sum_sq"], least, greatest,
            one.get("scans", 0), one.get("extrapolating", 0), one.get("jointly", 0),
        )  # fmt: skip
        if not _plain(sums):
            sums = _checked(sums)
        losses = {key: one[key] for key in KEYS if one.get(key)}
        if series not in self.units:
            self.units[series] = (text_of(one.get("unit"), 100), one.get("per_hour") is True)
        return series, Window(
            us_of_ns(_whole(one["start_ns"], LARGEST)), us_of_ns(_whole(one["end_ns"], LARGEST)),
            sums, _bins(one["histogram"]), json_of(losses) if losses else None,
        )  # fmt: skip

    def _new(self, told: tuple[Any, ...]) -> Series:
        """A series that is seen for the first time, if it is one."""
        number, model, tag, baseline, centre, scale = told
        made = Series(
            number, key_of(model), key_of(tag), key_of(baseline), _finite(centre), _finite(scale)
        )
        self.series[told] = made
        while len(self.series) > SERIES_KEPT:
            del self.series[next(iter(self.series))]
        return made


def _plain(sums: Sums) -> bool:
    """Whether all is as every gateway sends it; what is odd is looked at one by one."""
    samples, good, total, squares, least, greatest, scans, outside, jointly = sums
    if not set(map(type, sums)) <= _PLAIN or (least is None) is not (greatest is None):
        return False
    try:
        return (
            0 <= samples < _MOST_COUNT and 0 <= good < _MOST_COUNT and 0 <= scans < _MOST_COUNT
            and 0 <= outside < _MOST_COUNT and 0 <= jointly < _MOST_COUNT
            and -_LARGEST_SUM <= total <= _LARGEST_SUM and 0 <= squares <= _LARGEST_SUM
            and (least is None or (-LARGEST <= least <= LARGEST
                                   and -LARGEST <= (greatest or 0) <= LARGEST))
        )  # fmt: skip
    except TypeError:
        return False


def _checked(sums: Sums) -> Sums:
    samples, good, total, squares, least, greatest, *seen = sums
    return Sums(
        _count(samples), _count(good), _whole(total, _LARGEST_SUM), _whole(squares, _LARGEST_SUM),
        _extreme(least), _extreme(greatest), *map(_count, seen),
    )  # fmt: skip


def _whole(value: Any, most: int) -> int:
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not int or not -most <= value <= most:
        raise ValueError("no whole number, or one that is too large")
    return value


def _count(value: Any) -> int:
    if (found := _whole(value, _MOST_COUNT)) < 0:
        raise ValueError("a negative count")
    return found


def _extreme(value: Any) -> int | None:
    return None if value is None else _whole(value, LARGEST)


def _finite(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(found := float(value)):
        raise ValueError("no number")
    return found


def _bins(value: Any) -> str:
    if not isinstance(value, list) or len(value) > _MOST_BINS:
        raise ValueError("no histogram")
    if value and (set(map(type, value)) != {int} or min(value) < 0 or max(value) >= _MOST_COUNT):
        raise ValueError("a bin that holds no count")
    return str(value)


def added(rows: Iterable[tuple[int, int, Sums]]) -> dict[tuple[int, int], tuple[int, Sums]]:
    """(windows, sums) by (series id, day); rows are (series id, begin in microseconds, sums)."""
    totals: dict[tuple[int, int], tuple[int, Sums]] = {}
    for series, start_us, sums in rows:
        key = (series, start_us // DAY_US)
        known = totals.get(key)
        totals[key] = (1, sums) if known is None else (known[0] + 1, known[1].plus(sums))
    return totals


class SeriesIds:
    """Numbers of series that are known to be committed; bounded.

    Attributes:
        told: series by what was told of them, see `Sheet`.
        newest: the one with the largest number, and that; None: none is known.

    Args:
        most: of them kept.
    """

    def __init__(self, most: int = SERIES_KEPT) -> None:
        self.told: dict[tuple[Any, ...], Series] = {}
        self.newest: tuple[Series, int] | None = None
        self._known: dict[Series, int] = {}
        self._most = most

    def split(self, some: Iterable[Series]) -> tuple[dict[Series, int], list[Series]]:
        """Those that are known, and those that are not."""
        found, absent = {}, []
        for one in some:
            number = self._known.get(one)
            if number is None:
                absent.append(one)
            else:
                found[one] = number
        return found, absent

    def add(self, found: Mapping[Series, int]) -> None:
        """They are committed."""
        self._known.update(found)
        for series, number in found.items():
            if self.newest is None or number > self.newest[1]:
                self.newest = series, number
        while len(self._known) > self._most:
            del self._known[next(iter(self._known))]


def sums_of(row: Sequence[Any]) -> Sums:
    """From the columns of a row, in the order of `Sums`."""
    samples, good, total, squares, least, greatest, *seen = row
    return Sums(samples, good, int(total), int(squares), least, greatest, *seen)
