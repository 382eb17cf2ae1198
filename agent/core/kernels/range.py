"""Trained range: a value outside what extreme-value extrapolation of the record makes possible.

Flag: |v - middle| >= half. It clears after `hold` samples in a row inside. Score: |v - middle| /
half. The limits come from peaks over threshold (`fit.tails`), not from the largest value seen.
Cost about 0.2 ns a sample; state 16 bytes. Reference: Siffer et al., "Anomaly detection in streams
with extreme value theory", KDD 2017.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
from agent.core.kernels.gaps import RUN
from agent.core.kernels.runs import LEAST, calm_until, held

NAME = "range"
PARAMS = np.dtype([("middle", np.float64), ("half", np.float64), ("hold", np.int64)])
DEFAULTS = {"middle": 0.0, "half": NEVER, "hold": 1}
STATE = np.dtype([("score", np.float64), ("active", np.int32), ("quiet", np.int32)])


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        start = starts[row]
        stop = starts[row + 1]
        if start == stop:
            continue
        middle = params[row]["middle"]
        half = params[row]["half"]
        hold = params[row]["hold"]
        active = state[row]["active"] + 0
        quiet = state[row]["quiet"] + 0
        j = start
        look = start  # where the next run begins
        while j < stop:
            if active == 0 and j >= look and stop - j >= LEAST:
                j = calm_until(value, j, stop, 0, middle, 1.0, half)
                look = j + RUN
                continue
            distance = abs(value[j] - middle)
            hit = distance >= half
            j += 1
            if active == 0 and not hit:
                continue
            before = active
            active, quiet = held(active, quiet, hit, hold)
            if active != before:
                written = tell(out, written, row, active, arrival[j - 1], distance / half)
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["score"] = abs(value[stop - 1] - middle) / half
    return written
