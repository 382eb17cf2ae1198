"""Numbers as times: seconds, milliseconds and the like since 1970, or days of a spreadsheet.

Other tools count from other days: what can not be 1970's is read as theirs, what could be is asked.
"""

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
_ORIGINS = {
    "excel": (DAY_NS, 25_569), "excel1904": (DAY_NS, 24_107), "matlab": (DAY_NS, 719_529),
    "wincc": (DAY_NS // 10**6, 25_569 * 10**6), "labview": (10**9, 2_082_844_800),
    "filetime": (100, 116_444_736 * 10**9), "ticks": (100, 621_355_968 * 10**9),
}  # fmt: skip
"""Those that count from another day than 1970's first: ns of one, and what 1970 is there."""
NAMES = frozenset({*COUNTS, *_ORIGINS})
_ELAPSED = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "min": 60 * 10**9, "h": 3600 * 10**9,
            "d": DAY_NS}  # fmt: skip
_UNIT = re.compile(
    r"[\W_](?:in )?(s|sec|secs|seconds?|ms|msec|milliseconds?|us|µs|microseconds?|ns|nanoseconds?"
    r"|min|mins|minutes?|h|hrs?|hours?|d|days?)[\])]?$", re.IGNORECASE,
)  # fmt: skip
_SOON = 2_524_608_000  # 2050, in s: no record is of a time after it
_CERTAIN = {"matlab": (693_000, 770_000), "wincc": (25 * 10**9, 80 * 10**9),
            "filetime": (12 * 10**16, 17 * 10**16)}  # fmt: skip
"""What numbers are between that can be no others: seconds of years ahead, or before 1980."""


def unit_said(name: str) -> str:
    """The unit in the heading of a column of times: ``Time [ms]``; empty where there is none."""
    match = _UNIT.search(name)
    word = match[1].lower().replace("µ", "u") if match else ""
    plain = {"mi": "ms" if word.startswith("mil") else "us" if word.startswith("mic") else "min",
             "na": "ns", "ms": "ms", "us": "us", "ns": "ns"}  # fmt: skip
    return plain.get(word[:2], word[:1]) if word else ""


class Numbers:
    """Epoch numbers of one unit, or seconds since a recording began."""

    def __init__(self, how: Reading, heading: str = "") -> None:
        self.text = "number"
        self._unit, self._heading = how.time_format, unit_said(heading)
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
        if not self._unit and int(whole.max(initial=0)) < _NO_EPOCH_S:
            unit = self._small(whole, fraction)
            if unit in _ELAPSED:
                self.text = f"{unit} since the recording began"
                scale = _ELAPSED[unit]
                return whole * scale + np.rint(fraction * scale).astype(np.int64), True
        else:
            unit = self._unit or self._large(whole)
        scale, origin = _ORIGINS.get(unit) or (COUNTS[unit], 0)
        late = whole - origin > _END_NS // scale - 1
        early = whole < origin
        if not self._unit and unit not in _ORIGINS:  # one of 1970 among later ones is no time
            early |= whole < _NO_EPOCH_S * (10**9 // scale)
        if (late | early).any():
            position = int(np.flatnonzero(late | early)[0])
            raise CellError(position, _later() if late[position] else "it is before 1980")
        if scale == DAY_NS:
            self.text = {"excel": "Excel days", "excel1904": "Excel days from 1904"}.get(
                unit, "MATLAB days"
            )
            return _excel_ns(whole - origin, fraction), False
        self.text = f"{unit} since 1970" if not origin else f"numbers as {unit} counts them"
        made = (whole - origin) * scale + np.rint(fraction * scale).astype(np.int64)
        if unit == "wincc":  # of so many digits that whole seconds are what was meant
            seconds = np.rint(made / 1e9)
            near = np.abs(made / 1e9 - seconds).max(initial=0.0) <= _OFF_S
            made = seconds.astype(np.int64) * 10**9 if near else made
        return made, unit not in {"wincc", "labview", "ticks"}

    def _small(self, whole: Int64, fraction: Float64) -> str:
        """The unit of numbers that are no seconds since 1970: days, or since a recording began."""
        low, high = int(whole.min(initial=2**62)), int(whole.max(initial=0))
        if self._heading and self._heading != "d":
            return self._heading
        days = _days(whole, fraction)
        if _EXCEL_DAYS[0] <= low and high <= _EXCEL_DAYS[1]:
            if not days:
                cause = "days of a spreadsheet, or seconds: that can not be told"
                raise CellError(0, cause, "say --time-format excel, or --time-format s")
            if (low - _EXCEL_FROM_1970) * 86_400 > _SOON:
                cause = "as days of a spreadsheet it is later than 2050"
                raise CellError(0, cause, "if it is that, say --time-format excel")
            return "excel"
        matlab = _CERTAIN["matlab"]
        if days and matlab[0] <= low and high <= matlab[1]:
            return "matlab"
        if days and low >= 2_400_000 and high <= 2_500_000:
            raise CellError(0, "it looks like a Julian date", "export it as a date with a clock")
        return self._heading or "s"

    def _large(self, whole: Int64) -> str:
        """The unit of numbers since 1970, or of the other tools' numbers that large."""
        low, high = int(whole.min(initial=2**62)), int(whole.max(initial=0))
        for unit in ("wincc", "filetime"):
            if _CERTAIN[unit][0] <= low and high <= _CERTAIN[unit][1]:
                return unit
        limits = (("s", 10**11), ("ms", 10**14), ("us", 10**17))
        unit = next((unit for unit, limit in limits if high < limit), "ns")
        seconds = high // (10**9 // COUNTS[unit])
        if unit == "s" and _SOON < seconds < END_S:
            cause = "as seconds since 1970 it is later than 2050"
            hint = "say --time-format s, or --time-format labview for seconds since 1904"
            raise CellError(0, cause, hint)
        if unit == "ns" and low >= 62 * 10**16 and high <= 66 * 10**16:
            cause = "ns since 1970, which is 1990, or ticks of 100 ns since the year 1"
            raise CellError(0, cause, "say --time-format ns, or --time-format ticks")
        if self._heading in COUNTS and self._heading != unit:
            cause = f"the heading says {self._heading}, the size of the number {unit} since 1970"
            raise CellError(0, cause, f"say --time-format {self._heading}, or {unit}")
        return unit


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
