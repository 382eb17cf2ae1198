"""Limits of the charts that see how values are served: their digits, repetitions, straight lines.

Each counts something whose chance the record tells: that a value that moved lies on a coarser grid,
equals one so many samples before, comes several times, lies on a line. The chance is that of what
follows another of the kind, which is larger where such values come together; none seen in n counts
as three (the upper 95 % limit). A run of k has the chance p^k, so one is expected in `arl` samples
from k = log arl / log 1/p on; and no run that the record has may flag.
"""

from __future__ import annotations

from math import ceil, log
from typing import Any

import numpy as np

from agent.core.kernels import again, digits, lines
from agent.fit.record import Record
from agent.types import Float64

_FINEST, _COARSEST = -6, 4  # powers of ten that a record's digits may be
_PARTS = (50, 40, 30, 25, 20, 15, 12, 10, 8, 6, 5, 4, 3, 2)  # times a power of ten: a step
_STEPS = (3.0, 4.0, 5.0)  # times its step that is looked for, and decades, halves and powers of two
_FEW = 3  # of these where a record has all digits: what lies on a coarser grid lies on them too
_SELDOM = 0.03  # chance at most that the last values of a dead instrument lie on a coarse grid
_LEAP = 6.0  # times its usual move that noise alone does not go: four standard deviations
_OFTEN = 0.35  # share of the record's values from which a power of two tells too little
_LONGEST = 25
"""Values in a row from which a chart says nothing in time; it is off then."""
_LEAST_DIGITS, _LEAST_RESTING, _LEAST_AGAIN, _LEAST_OFTEN = 4, 6, 5, 3
_NEVER = 1 << 30
_TWOS = tuple(2.0**power for power in range(-16, 11))
_TENS = tuple(10.0**power for power in range(_FINEST, _COARSEST + 1))
_FINE_OF_ALL = 3e-5  # of the largest value: on finer grids too much lies that came as a float32
_MOST_WIDE = 8.0  # standard deviations that a grid's step may be
_INTERPOLATED = 0.6  # share of the values on a line that is looked for: every third is kept
SMOOTH = "averaged"
CHARTS = (digits.NAME, again.NAME, lines.NAME, SMOOTH)
"""All of them."""
_AVERAGED, _NEAR_SMOOTH = 0.9, 0.3
"""Share of the bends of means that are less than this share of the usual bend."""
_UNSEEN = 3.0
_NEAR_LINE = 1e-3  # of the noise; and of a grid, one step of it
_LEAST_BENDS = 4.0  # times what a line may bend by that a value must move by to tell
_LEAST_MOVE = 2.02  # steps of its grid that a value must move by to tell: rounding bends it by one

Bools = np.ndarray[Any, np.dtype[np.bool_]]


def fit_served(record: Record, interval_ns: int, arl: float, hold: int) -> dict[str, Any]:
    """Parameters of `digits`, `again` and `lines`, as far as the record is evidence enough."""
    raw = record.z * record.scale + record.centre
    moved = np.append(False, np.diff(record.z) != 0.0)
    if moved.sum() < 0.02 * len(raw) or moved.sum() < 100:
        return {}
    step = grid_of(raw)
    return {
        digits.NAME: _digits(record, raw, moved, step, arl, hold),
        again.NAME: _again(record, arl, hold),
        **_lines(record, step, interval_ns, arl, hold),
    }


def grid_of(raw: Float64) -> float:
    """The power of ten that all values but a thousandth are whole numbers of; 0 of none."""
    width = float(np.ptp(raw))
    for power in range(_COARSEST, _FINEST - 1, -1):
        grid = 10.0**power
        if grid <= width and _on(raw, grid).mean() >= 0.999:
            return grid
    return 0.0


def _on(raw: Float64, grid: float) -> Bools:
    """As `digits.on_grid`, of many."""
    place = np.abs(raw / grid)
    near = digits.NEAR + digits.SINGLE * place
    rest = place - np.floor(place)
    return ((rest <= near) | (1.0 - rest <= near)) & (near <= digits.BLIND) & (place < 1e15)


def _chance(hits: Bools) -> float:
    """Of a hit that follows a hit, or of any, whichever is likelier."""
    after = hits[1:][hits[:-1]]
    return max(
        (float(part.sum()) + _UNSEEN) / (len(part) + _UNSEEN) if len(part) >= least else 0.0
        for part, least in ((hits, 1), (after, 50))
    )


def _longest(hits: Bools) -> int:
    """Hits in a row."""
    ends = np.flatnonzero(~hits)
    return int(np.diff(np.concatenate([[-1], ends, [len(hits)]])).max()) - 1


def _run(hits: Bools, arl: float, least: int) -> int:
    """Hits in a row that accident does not bring in `arl`, and the record does not have."""
    chance = _chance(hits)
    if chance >= 1.0:
        return _LONGEST + 1
    return max(least, _longest(hits) + 2, ceil(log(max(arl, 2.0)) / -log(chance)))


def _digits(
    record: Record, raw: Float64, moved: Bools, step: float, arl: float, hold: int
) -> dict[str, Any]:
    amid = (raw > record.low) & (raw < record.high)
    found: list[tuple[float, int, int, int]] = []
    for grid in _grids(raw[moved], step):
        if grid > _MOST_WIDE * record.scale or len(found) == (digits.MOST if step else _FEW):
            continue
        on = _on(raw, grid)
        run = _run(on[moved], arl * moved.mean(), _LEAST_DIGITS)
        rest = _run(on & amid, arl, _LEAST_RESTING)
        if min(run, rest) <= _LONGEST:
            moves = ceil(log(_SELDOM) / log(min(_chance(on[moved]), 0.9)))
            found.append((grid, _unless_late(run), _unless_late(rest), moves))
    if not found:
        return dict(digits.DEFAULTS) | {"own": step}
    columns = zip(*found, *[(0.0, 1, 1, 1)] * (digits.MOST - len(found)), strict=True)
    return {
        "limit": 1.0, "centre": record.centre, "size": record.scale, "own": step,
        "low": record.low, "high": record.high, "hold": hold,
        "leap": _LEAP * float(np.median(np.abs(np.diff(record.z))[moved[1:]])),
        **dict(zip(("grid", "run", "rest", "moves"), map(list, columns), strict=True)),
    }


def _grids(moved: Float64, step: float) -> list[float]:
    """Grids that are looked for, the finest first: what lies on one lies on all that divide it."""
    if not step:
        finest = _FINE_OF_ALL * float(np.abs(moved).max())
        twos = [grid for grid in _TWOS if grid >= finest][:1]
        return [grid for grid in sorted([*twos, *_TENS]) if grid >= finest]
    step = _whole_step(moved, step)
    twos = [
        grid for grid in _TWOS if grid > 0.5 * step and _on(moved, grid).mean() <= _OFTEN
    ][:2]  # fmt: skip
    coarser = [
        times * grid for grid in _TENS for times in (1.0, 5.0) if times * grid > 5.5 * step
    ]
    return sorted({*(times * step for times in _STEPS), *twos, *coarser})


def _whole_step(moved: Float64, step: float) -> float:
    """The largest part of ten of these steps that all values but a thousandth are multiples of."""
    return next(
        (step * part for part in _PARTS if _on(moved, step * part).mean() >= 0.999), step
    )


def _unless_late(run: int) -> int:
    return run if run <= _LONGEST else _NEVER


def _again(record: Record, arl: float, hold: int) -> dict[str, Any]:
    z = record.z
    moved = np.append(False, np.diff(z) != 0.0)
    lag_run = max(
        _run((z[lag:] == z[:-lag])[moved[lag:]], arl * moved.mean() * again.LAGS, _LEAST_AGAIN)
        for lag in range(2, min(again.LAGS, len(z) // 4))
    )
    starts = np.flatnonzero(np.append(True, moved[1:]))
    lengths = np.diff(np.append(starts, len(z)))
    runs = [lag_run] + [
        _run(lengths >= times, arl * moved.mean(), _LEAST_OFTEN) for times in again.TIMES
    ]
    if min(runs) > _LONGEST:
        return dict(again.DEFAULTS)
    return {"limit": 1.0, "hold": hold, "run": [_unless_late(run) for run in runs]}


def _lines(
    record: Record, step: float, interval_ns: int, arl: float, hold: int
) -> dict[str, dict[str, Any]]:
    """Of `lines`, and of the same for values that are smooth without being on lines."""
    z, joined = record.z, record.joined
    bends = np.abs(z[2:] - 2.0 * z[1:-1] + z[:-2])
    moves = np.maximum(np.abs(z[2:] - z[1:-1]), np.abs(z[1:-1] - z[:-2]))
    told = joined[1:-1] & joined[2:] & (moves > 0.0)
    bends, moves = bends[told], moves[told]
    if len(bends) < 100:
        return {}
    usual, own = float(np.median(bends)), step / record.scale
    near = {
        lines.NAME: (
            max(_NEAR_LINE * usual, 1.01 * own),
            max(_LEAST_BENDS * _NEAR_LINE * usual, _LEAST_MOVE * own), _INTERPOLATED,
        ),
        SMOOTH: (_NEAR_SMOOTH * usual, 0.0, _AVERAGED),
    }
    found = {}
    for name, (limit, least, sought) in near.items():
        telling = bends[moves > least]
        share = _chance(telling <= limit) if len(telling) >= 100 else 1.0
        found[name] = dict(lines.DEFAULTS) if share >= sought / 2.0 else {
            "limit": log(max(arl, 2.0)), "near": limit, "least": least,
            "hit": log(sought / share),
            "miss": -log((1.0 - sought) / (1.0 - share)), "hold": hold,
            "gap_ns": int(1.5 * interval_ns),
        }  # fmt: skip
    return found
