"""A training column as its kind is judged: a counter's rate, an angle on the circle.

The same as `kernels.admission` makes of it in service.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np

from agent.core.kernels import DETECTORS, admission, category
from agent.core.kernels import range as trained_range
from agent.core.kinds import ANGLE, ANNOUNCED, COUNTERS, STATE
from agent.types import Float64, Int64

_TURNS = tuple(sorted(
    {float(10**k) for k in range(2, 13)}
    | {2.0**bits / 10**digits for bits in (16, 24, 32) for digits in range(4)}
))  # fmt: skip
_FULL_CIRCLES = {"rad": 2 * pi, "rev": 1.0, "turn": 1.0, "gon": 400.0}
_WILD = 3.0  # times the rate that one in a thousand intervals exceeds: no rate, another meter
_BINS = 72
_UNMEASURED = ANNOUNCED | {STATE}


Charts = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Judged:
    """A column as it is judged, NaN where nothing is; `turn`, `cut`, `fastest` of its baseline."""

    values: Float64
    turn: float = 0.0
    cut: float = 0.0
    fastest: float = 0.0
    notes: tuple[str, ...] = ()


def judged(
    values: Float64, kind: str, *, interval_ns: int, unit: str = "",
    rolls_over_at: float | None = None, period: float | None = None, breaks: Sequence[int] = (),
) -> Judged:  # fmt: skip
    """Make of a raw column float64[n] what its kind is judged by.

    Args:
        values: in the tag's unit at a fixed interval, NaN where missing.
        kind: of the tag.
        interval_ns: the record's sampling interval.
        unit: of the tag; the full circle of an angle where no `period` is given.
        rolls_over_at: of a counter; None: found in the record where it shows there.
        period: full circle of an angle in its unit.
        breaks: rows at which stretches begin that do not follow what stands before them.
    """
    if kind in COUNTERS:
        return _counter(values, interval_ns, rolls_over_at, breaks)
    if kind == ANGLE:
        turn = period or _FULL_CIRCLES.get(unit.lower(), 360.0)
        cut = emptiest(values, turn)
        return Judged(values - turn * np.floor((values - cut) / turn), turn, cut)
    return Judged(values)


def emptiest(values: Float64, turn: float) -> float:
    """Where on the circle the fewest values lie: amid the widest gap, or the emptiest of 72 parts.

    The cut is given in [0, turn).
    """
    around = np.sort(np.mod(values[np.isfinite(values)], turn))
    if not len(around):
        return 0.0
    gaps = np.diff(around, append=around[0] + turn)
    place = int(np.argmax(gaps))
    if gaps[place] > turn / _BINS:
        return float(np.mod(around[place] + gaps[place] / 2, turn))
    counts = np.histogram(around, _BINS, (0.0, turn))[0]
    near = counts + np.roll(counts, 1) + np.roll(counts, -1)
    return float((int(np.argmin(near)) + 0.5) * turn / _BINS)


def _counter(
    values: Float64, interval_ns: int, rolls_over_at: float | None, breaks: Sequence[int]
) -> Judged:
    place = np.flatnonzero(np.isfinite(values))
    across = np.diff(np.searchsorted(np.array(breaks, np.int64), place, side="right")) > 0
    raw = values[place]
    spans = np.diff(place) * float(interval_ns)
    gone = np.diff(raw)
    rates = gone * admission.HOUR_NS / np.maximum(spans, 1.0)
    rates[across] = np.nan
    ahead = rates[rates > 0]
    fastest = (
        float(min(ahead.max(), _WILD * np.quantile(ahead, 0.999))) if len(ahead) else 0.0
    )
    drops = np.flatnonzero((gone < 0) & ~across)
    turn = rolls_over_at or _rolls_over(raw, drops, spans, fastest)
    reach = admission.SLACK * fastest * spans / admission.HOUR_NS
    for at in drops.tolist():
        known, rate = admission.rate(
            float(raw[at + 1]), float(raw[at]), int(spans[at]), turn, fastest
        )
        rates[at] = rate if known else np.nan
    if turn:
        rates[reach >= turn] = np.nan
    series = np.full(len(values), np.nan)
    series[place[1:]] = rates
    notes = []
    if back := int((rates < 0).sum()):
        notes.append(f"runs backwards {back} times in the record")
    if turn and not rolls_over_at:
        notes.append(f"rolls over at {turn:.10g}, as the record shows")
    return Judged(series, turn, 0.0, fastest, tuple(notes))


def _rolls_over(raw: Float64, drops: Int64, spans: Float64, fastest: float) -> float:
    """What a counter rolls over at: the least usual number of which a fall is one; 0: none is."""
    for turn in _TURNS:
        for at in drops.tolist():
            reach = admission.SLACK * fastest * spans[at] / admission.HOUR_NS
            before, after = float(raw[at]), float(raw[at + 1])
            low = -turn / 2 if after < 0 else 0.0
            if (
                reach < turn / 4
                and low + turn - reach <= before <= low + turn
                and low <= after <= low + reach
            ):
                return turn
    return 0.0


def without_charts(kind: str, detectors: Charts) -> Charts:
    """The parameters of an input's charts, those off that do not fit its kind.

    What people set and states have none of a measurement: the trained range stays as a fact. Of a
    constant only that it leaves its value is watched.
    """
    off = {d.name: dict(d.disabled) for d in DETECTORS}
    if kind == "constant":
        name = trained_range.NAME
        return off | {name: detectors[name]}
    if kind not in _UNMEASURED:
        return detectors
    return off | ({category.NAME: detectors[category.NAME]} if kind == STATE else {})
