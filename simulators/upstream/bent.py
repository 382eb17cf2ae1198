"""What a source does to the values that it serves, without saying so. Pure.

`Bent` is told what to do (an order of `VALUE_ORDERS`) and then given each row. Orders add up, in
the order in which they were given; ``as_before`` takes all of them back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, float]
_KEPT = 400  # rows that may be repeated


@dataclass(slots=True)
class Bent:
    """The values of a source on their way out.

    Attributes:
        every: a row in so many is told at all; 1: each.
        only: the tags that `every` is of; all where empty.
    """

    every: int = 1
    only: tuple[str, ...] = ()
    _steps: list[Callable[[Row, int], None]] = field(default_factory=list)
    _past: deque[Row] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _row: int = 0

    def order(self, what: str, told: Mapping[str, Any]) -> bool:
        """Take an order; False where it is none of values.

        Raises:
            KeyError, TypeError, ValueError: something that it needs is missing or wrong.
        """
        if what == "as_before":
            self._steps.clear()
            self.every, self.only = 1, ()
        elif what == "rate":
            self.every = int(told["every"])
            self.only = (str(told["tag"]),) if "tag" in told else ()
        elif what in VALUE_ORDERS:
            self._steps.append(VALUE_ORDERS[what](told, self._past, self._row))
        else:
            return False
        return True

    def row(self, values: Mapping[str, float]) -> Row:
        """The next row as it is told: without the tags that have none this time."""
        shown = dict(values)
        self._past.append(dict(values))
        for step in self._steps:
            step(shown, self._row)
        self._row += 1
        if self.every > 1 and self._row % self.every:
            return {} if not self.only else {n: v for n, v in shown.items() if n not in self.only}
        return shown


_Step = Callable[[Row, int], None]
_Past = deque[Row]


def _rescale(told: Mapping[str, Any], _past: _Past, _now: int) -> _Step:
    tag, factor, offset = told["tag"], float(told.get("factor", 1)), float(told.get("offset", 0))

    def step(row: Row, _at: int) -> None:
        row[tag] = row[tag] * factor + offset

    return step


def _swap(told: Mapping[str, Any], _past: _Past, _now: int) -> _Step:
    tag, other = told["tag"], told["other"]

    def step(row: Row, _at: int) -> None:
        row[tag], row[other] = row[other], row[tag]

    return step


def _round(told: Mapping[str, Any], _past: _Past, _now: int) -> _Step:
    tag, unit = told["tag"], float(told.get("step", 1))

    def step(row: Row, _at: int) -> None:
        row[tag] = round(row[tag] / unit) * unit

    return step


def _repeat(told: Mapping[str, Any], past: _Past, now: int) -> _Step:
    tag, count = told["tag"], int(told["rows"])
    old = [row[tag] for row in past][-count:]

    def step(row: Row, at: int) -> None:
        row[tag] = old[(at - now) % len(old)]

    return step


def _resample(told: Mapping[str, Any], past: _Past, now: int) -> _Step:
    """A historian's: the mean of each `every` rows, told in each row of the next so many."""
    tag, every = told["tag"], int(told["every"])
    shown = [0.0]

    def step(row: Row, at: int) -> None:
        if (at - now) % every == 0:
            last = [one[tag] for one in past][-every:]
            shown[0] = sum(last) / len(last)
        row[tag] = shown[0]

    return step


def _lag(told: Mapping[str, Any], past: _Past, _now: int) -> _Step:
    """A filter of first order: each row moves by `share` of what is left."""
    tag, share = told["tag"], float(told["share"])
    shown = [past[-1][tag]] if past else []

    def step(row: Row, _at: int) -> None:
        shown[:] = [shown[0] + share * (row[tag] - shown[0]) if shown else row[tag]]
        row[tag] = shown[0]

    return step


def _delay(told: Mapping[str, Any], past: _Past, _now: int) -> _Step:
    """What was so many rows ago, or as many as were kept."""
    tag, rows = told["tag"], int(told["rows"])

    def step(row: Row, _at: int) -> None:
        row[tag] = past[-min(rows + 1, len(past))][tag]

    return step


def _clamp(told: Mapping[str, Any], _past: _Past, _now: int) -> _Step:
    tag, low, high = told["tag"], float(told["low"]), float(told["high"])

    def step(row: Row, _at: int) -> None:
        row[tag] = min(max(row[tag], low), high)

    return step


def _keep(told: Mapping[str, Any], _past: _Past, now: int) -> _Step:
    """The last value of each `every` rows, told in each of them."""
    tag, every = told["tag"], int(told["every"])
    shown = [0.0]

    def step(row: Row, at: int) -> None:
        if (at - now) % every == 0:
            shown[0] = row[tag]
        row[tag] = shown[0]

    return step


def _deadband(told: Mapping[str, Any], _past: _Past, _now: int) -> _Step:
    """The value as it was told last, until it is further than `band` from that."""
    tag, band = told["tag"], float(told["band"])
    shown: list[float] = []

    def step(row: Row, _at: int) -> None:
        if not shown or abs(row[tag] - shown[0]) > band:
            shown[:] = [row[tag]]
        row[tag] = shown[0]

    return step


VALUE_ORDERS: Mapping[str, Callable[[Mapping[str, Any], _Past, int], _Step]] = {
    "rescale": _rescale, "swap": _swap, "round": _round, "repeat": _repeat, "resample": _resample,
    "lag": _lag, "delay": _delay, "clamp": _clamp, "keep": _keep, "deadband": _deadband,
}  # fmt: skip
"""Order -> what it makes of rows. ``rescale`` (factor, offset; a sign is factor -1), ``swap``
(other), ``round`` (step; 1: whole numbers), ``repeat`` (rows: the latest so many, for ever),
``resample`` (every: rows), ``keep`` (every: rows), ``lag`` (share), ``delay`` (rows), ``clamp``
(low, high), ``deadband`` (band)."""
