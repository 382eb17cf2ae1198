"""Trained range: a value outside what extreme-value extrapolation of the record makes possible.

Flag: |v - middle| >= half. It clears after `hold` samples in a row inside. Score: |v - middle| /
half. The limits come from peaks over threshold (`fit.tails`), not from the largest value seen.
Cost about 0.2 ns a sample; state 16 bytes. Reference: Siffer et al., "Anomaly detection in streams
with extreme value theory", KDD 2017.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell

NAME = "range"
PARAMS = np.dtype([("middle", np.float64), ("half", np.float64), ("hold", np.int64)])
DEFAULTS = {"middle": 0.0, "half": NEVER, "hold": 1}
_RUN = 64  # samples looked at together while no flag is up
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
            if active == 0 and j >= look and stop - j >= _RUN:
                # Nearly always nothing is out of range: a run at a time, without branches.
                part = value[j : j + _RUN]
                found = 0
                for i in range(_RUN):
                    found += abs(part[i] - middle) >= half
                look = j + _RUN
                if found == 0:
                    j = look
                    continue
            distance = abs(value[j] - middle)
            j += 1
            if distance >= half:
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
            written = tell(out, written, row, active, arrival[j - 1], distance / half)
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["score"] = abs(value[stop - 1] - middle) / half
    return written
