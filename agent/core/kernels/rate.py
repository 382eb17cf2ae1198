"""Rate of change: a step between two neighbouring samples larger than the record makes possible.

Flag: |v[t] - v[t-1]| >= limit; never across a gap (a step of more than 1.5 intervals of the
sample clock). It clears after `hold` samples in a row without one. Score: |v[t] - v[t-1]| / limit.
Cost about 0.2 ns a sample; state 40 bytes. Reference: the limit is by peaks over threshold, Siffer
et al. 2017.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell

NAME = "rate"
PARAMS = np.dtype([("limit", np.float64), ("hold", np.int64), ("gap_ns", np.int64)])
DEFAULTS = {"limit": NEVER, "hold": 1, "gap_ns": 0}
_RUN = 64  # samples looked at together while no flag is up
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
            if active == 0 and j >= look and stop - j >= _RUN:
                # Nearly always no step is large, across a gap or not: a run at a time.
                part = value[j - 1 : j + _RUN]
                found = 0
                for i in range(_RUN):
                    found += abs(part[i + 1] - part[i]) >= limit
                look = j + _RUN
                if found == 0:
                    j = look
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
            j += 1
            if step >= limit:
                quiet = 0
                if active == 1:
                    continue
                active = 1
            elif active == 1:
                quiet += 1
                if quiet < hold:
                    continue
                active = 0
            else:
                continue
            written = tell(out, written, row, active, arrival[j - 1], step / limit)
        state[row]["seen"] = 1
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["last"] = last
        state[row]["last_ns"] = last_ns
        state[row]["score"] = step / limit
    return written
