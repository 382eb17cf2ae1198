"""Rate of change: a step between two neighbouring samples larger than the record makes possible.

Flag: |v[t] - v[t-1]| >= limit; never across a gap (a step of more than 1.5 intervals of the
sample clock). It clears after `hold` samples in a row without one. Score: |v[t] - v[t-1]| / limit.
Cost about 0.2 ns a sample; state 40 bytes. Reference: the limit is by peaks over threshold, Siffer
et al. 2017.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
from agent.core.kernels.gaps import RUN
from agent.core.kernels.runs import LEAST, calm_until, held

NAME = "rate"
PARAMS = np.dtype([("limit", np.float64), ("hold", np.int64), ("gap_ns", np.int64)])
DEFAULTS = {"limit": NEVER, "hold": 1, "gap_ns": 0}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int32),
        ("seen", np.int32),
        ("quiet", np.int64),
        ("last", np.float64),
        ("last_ns", np.int64),
    ]
)


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        start = starts[row]
        stop = starts[row + 1]
        if start == stop:
            continue
        limit = params[row]["limit"]
        hold = params[row]["hold"]
        gap = params[row]["gap_ns"]
        active = state[row]["active"] + 0
        quiet = state[row]["quiet"]
        last = state[row]["last"]
        last_ns = state[row]["last_ns"]
        if state[row]["seen"] == 0:
            last = value[start]
            last_ns = source[start]
        step = 0.0
        j = start
        look = start + 1  # where the next run begins
        while j < stop:
            if active == 0 and j >= look and stop - j >= LEAST:
                # Nearly always no step is large, across a gap or not.
                calm = calm_until(value, j, stop, 1, 0.0, 1.0, limit)
                look = calm + RUN
                if calm > j:
                    j = calm
                    last = value[j - 1]
                    last_ns = source[j - 1]
                    step = abs(last - value[j - 2])
                    if last_ns - source[j - 2] > gap:
                        step = 0.0
                    continue
            step = abs(value[j] - last)
            if source[j] - last_ns > gap:
                step = 0.0
            last = value[j]
            last_ns = source[j]
            hit = step >= limit
            j += 1
            if active == 0 and not hit:
                continue
            before = active
            active, quiet = held(active, quiet, hit, hold)
            if active != before:
                written = tell(out, written, row, active, arrival[j - 1], step / limit)
        state[row]["seen"] = 1
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["last"] = last
        state[row]["last_ns"] = last_ns
        state[row]["score"] = step / limit
    return written
