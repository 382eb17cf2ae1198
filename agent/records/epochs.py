"""Numbers as times: seconds, milliseconds and the like since 1970, or days of a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from agent.records.times import DAY_NS, END_S, END_YEAR, CellError, Reading
from agent.types import Float64, Int64

_END_NS = END_S * 10**9
_NO_EPOCH_S = 315_532_800  # 1980: smaller numbers count from the start of a recording
_EXCEL_FROM_1970 = 25_569  # days from Excel's day 0 to 1970-01-01
_EXCEL_DAYS = (25_000, 80_000)
_OFF_S = 0.05  # what a second is off, in days of six digits
_FASTEST_S = 0.005  # nobody's record of seconds begins after half a day and has 200 rows a second
_COARSE_S = 10.0  # with steps as long as that, fractions of a second are digits left out

COUNTS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "excel": DAY_NS}
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
            return _excel_ns(whole - origin, fraction), False
        return (whole - origin) * scale + np.rint(fraction * scale).astype(np.int64), True

    @staticmethod
    def _found(whole: Int64, fraction: Float64) -> str:
        low, high = _EXCEL_DAYS
        if low <= whole.min(initial=low) and whole.max(initial=0) <= high:
            if _days(whole, fraction):
                return "excel"
            cause = "days of a spreadsheet, or seconds: that can not be told"
            raise CellError(0, cause, "say --time-format excel, or --time-format s")
        largest = int(whole.max(initial=0))
        limits = (("s", 10**11), ("ms", 10**14), ("us", 10**17))
        return next((unit for unit, limit in limits if largest < limit), "ns")


def _days(whole: Int64, fraction: Float64) -> bool:
    """Whether numbers can be days of a spreadsheet only.

    As days they are whole seconds (but for the digits written), as seconds no round steps: nobody
    samples every 0.000694 s. Steps such as 0.5 or 1 are round in both.
    """
    usual = np.abs(np.diff(whole - whole.min() + fraction))
    usual = usual[usual > 0]
    if len(usual) and float(np.median(usual)) < _FASTEST_S and fraction.any():
        return True
    seconds = fraction * 86_400.0
    off = float(np.median(np.abs(seconds - np.rint(seconds))))
    steps = np.abs(np.diff(whole - whole.min() + fraction)) * 1e3
    steps = steps[steps > 0]
    uneven = np.abs(steps - np.rint(steps)) > 1e-3
    return bool(off <= _OFF_S and len(steps) and 2 * np.count_nonzero(uneven) > len(steps))


def _excel_ns(days: Int64, fraction: Float64) -> Int64:
    """ns of days; whole seconds where the digits written allow no better."""
    seconds = days * 86_400 + fraction * 86_400.0
    rounded = np.rint(seconds)
    steps = np.abs(np.diff(rounded))
    usual = float(np.median(steps[steps > 0])) if steps.any() else 0.0
    if np.abs(seconds - rounded).max(initial=0.0) <= _OFF_S or usual >= _COARSE_S:
        return rounded.astype(np.int64) * 10**9
    return np.rint(seconds * 1e3).astype(np.int64) * 10**6


def _later() -> str:
    return f"it is later than the year {END_YEAR - 1}"
