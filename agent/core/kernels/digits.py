"""Digits: values come on a coarser grid than in training, as after rounding or in whole numbers.

Of each grid (a step in the tag's unit, coarser than the record's) it counts the values in a row
on it

- that differ from the one before: a signal at rest is no evidence by itself;
- of all, restated ones too, once `moves` of them differed: what was live and rests now, on a coarse
  grid, is rounded. The value that a dead instrument repeats lies there by accident too, so `moves`
  are as many as make that seldom. One that is further than noise goes, and no further than rounding
  does, counts as two: a dead instrument repeats what it read. Zero lies on every grid, and what is
  out of the trained range may be an end of the scale: there none of this is counted.

    score = max over grids of (values in a row on the grid / those that the record makes possible)

Flag: score >= `limit`; it clears after `hold` samples in a row below. A value off a grid ends its
run. The chance that n values lie on a grid by accident is p^n, with p as the record has it of a
value that follows one on the grid: `fit.served`. `grid` 0: none. Cost about 2 ns a sample and grid;
state 78 bytes. Reference: Benford-type tests of last digits, e.g. Mosimann et al. 1995.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
from agent.core.kernels.runs import held

NAME = "digits"
MOST = 9
"""Most grids that an input may have."""

PARAMS = np.dtype(
    [
        ("limit", np.float64),
        ("centre", np.float64),
        ("size", np.float64),  # the input's scale: what one standard deviation is in its unit
        ("own", np.float64),  # the grid of the record, in the tag's unit; 0: none
        ("low", np.float64),  # the trained range, in the tag's unit
        ("high", np.float64),
        ("leap", np.float64),  # standard deviations that noise alone does not move it by
        ("hold", np.int64),
        ("grid", np.float64, (MOST,)),  # in the tag's unit
        ("run", np.int64, (MOST,)),  # of values that differ
        ("rest", np.int64, (MOST,)),  # of all
        ("moves", np.int64, (MOST,)),
    ]
)
DEFAULTS = {"limit": NEVER, "centre": 0.0, "size": 1.0, "own": 0.0, "low": 0.0, "high": 0.0,
            "leap": 0.0, "hold": 1, "grid": 0.0, "run": 1, "rest": 1, "moves": 1}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int32),
        ("quiet", np.int32),
        ("count", np.int16, (MOST,)),
        ("all", np.int16, (MOST,)),  # in a row on the grid, within the trained range
        ("moved", np.int16, (MOST,)),  # of these
        ("last", np.float64),
    ]
)
NEAR, SINGLE, BLIND = 1e-3, 1.2e-7, 0.05
"""A value is on a grid to a thousandth of its step, and to the digits of a float32; where these
are a twentieth of the step, the grid tells nothing."""
_LARGEST, _MUCH = 1e15, 30_000


@kernel
def on_grid(raw, grid):  # type: ignore[no-untyped-def]
    """Whether a value in its unit lies on a grid through zero."""
    place = abs(raw / grid)
    near = NEAR + SINGLE * place
    if place > _LARGEST or near > BLIND:
        return False
    rest = place - np.int64(place)
    return rest <= near or 1.0 - rest <= near


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        limit = params[row]["limit"]
        if limit >= NEVER or starts[row] == starts[row + 1]:
            continue
        centre, size, hold = params[row]["centre"], params[row]["size"], params[row]["hold"]
        low, high, leap = params[row]["low"], params[row]["high"], params[row]["leap"]
        grid, run = params[row]["grid"], params[row]["run"]
        rest, moves = params[row]["rest"], params[row]["moves"]
        count, every, moved = state[row]["count"], state[row]["all"], state[row]["moved"]
        active, quiet = state[row]["active"] + 0, state[row]["quiet"] + 0
        last, score = state[row]["last"], state[row]["score"]
        for j in range(starts[row], starts[row + 1]):
            move = abs(value[j] - last)
            other = move > 0.0
            last = value[j]
            raw = last * size + centre
            amid = low < raw < high and abs(raw) > NEAR * size
            score = 0.0
            for k in range(MOST):
                if grid[k] <= 0.0:
                    break
                if other:
                    on = on_grid(raw, grid[k])
                    count[k] = min(count[k] + 1, _MUCH) if on else 0
                    if not (on and amid):
                        every[k] = moved[k] = 0
                    else:
                        near = move * size <= 0.5 * grid[k] + leap * size
                        moved[k] = min(moved[k] + (2 if move > leap and near else 1), _MUCH)
                        every[k] = min(every[k] + 1, _MUCH)
                elif moved[k] > 0:
                    every[k] = min(every[k] + 1, _MUCH)
                score = max(score, np.float64(count[k]) / np.float64(run[k]))
                if moved[k] >= moves[k]:
                    score = max(score, np.float64(every[k]) / np.float64(rest[k]))
            was = active
            active, quiet = held(active, quiet, score >= limit, hold)
            if active != was:
                written = tell(out, written, row, active, arrival[j], score / limit)
        state[row]["active"], state[row]["quiet"] = active, quiet
        state[row]["last"], state[row]["score"] = last, score
    return written
