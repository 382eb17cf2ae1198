"""Extrapolating: a scan outside what the model was trained on. A fact, not an alarm.

Per row (an input, or all inputs of a model together) and scan:

    low <= z <= high            inside: the fact ends with the `BACK`-th such scan in a row
    z < low or z > high         outside: the fact holds at once

It is told again when z is twice as far out as was told last, or on the other side. There is no
limit to fit and no budget: the range is that of the training record. Cost about 1 ns a row and
scan.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import kernel, tell

BACK = 3
"""Scans in a row inside after which a fact is over: what flickers at the edge is told seldom."""

PARAMS = np.dtype([("low", np.float64), ("high", np.float64)])
STATE = np.dtype(
    [
        ("active", np.int64),
        ("inside", np.int64),  # scans in a row
        ("told", np.float64),  # how far beyond its range z was when that was told last, signed
    ]
)
COUNTS = np.dtype(
    [
        ("scans", np.int64),
        ("extrapolating", np.int64),
    ]
)
_BACK = BACK


@kernel
def fold(params, state, counts, times, z, known, out):  # type: ignore[no-untyped-def]
    """Fold m scans of r rows; returns the rows written to `out`.

    - `params` `PARAMS`[r], `state` `STATE`[r], `counts` `COUNTS`[r].
    - `times` int64[m] ns; `z` float64[m, r]; `known` uint8[m, r]: 1 where z is a usable value.
    - `out` `TRANSITION`[>= m r]; `score` is z.
    """
    written = 0
    for row in range(z.shape[1]):
        low, high = params[row]["low"], params[row]["high"]
        active, inside = state[row]["active"], state[row]["inside"]
        told = state[row]["told"]
        for k in range(z.shape[0]):
            if known[k, row] == 0:
                continue
            value = z[k, row]
            counts[row]["scans"] += 1
            far = value - high if value > high else min(value - low, 0.0)
            if far == 0.0:
                inside = min(inside + 1, _BACK)
                if active == 1 and inside >= _BACK:
                    active, told = 0, 0.0
                    written = tell(out, written, row, 0, times[k], value)
                continue
            inside = 0
            counts[row]["extrapolating"] += 1
            if active == 0 or far * told <= 0.0 or abs(far) >= 2.0 * abs(told):
                active, told = 1, far
                written = tell(out, written, row, 1, times[k], value)
        state[row]["active"] = active
        state[row]["inside"] = inside
        state[row]["told"] = told
    return written
