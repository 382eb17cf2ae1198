"""Trained range: a value outside what extreme-value extrapolation of the record makes possible.

Flag: |v - middle| >= half. It clears after `hold` samples in a row inside. Score: |v - middle| /
half. The limits come from peaks over threshold (`fit.tails`), not from the largest value seen.
Cost about 1 ns a sample; state 24 bytes. Reference: Siffer et al., "Anomaly detection in streams
with extreme value theory", KDD 2017.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel

NAME = "range"
PARAMS = np.dtype([("middle", np.float64), ("half", np.float64), ("hold", np.int64)])
DEFAULTS = {"middle": 0.0, "half": NEVER, "hold": 1}
STATE = np.dtype([("score", np.float64), ("active", np.int64), ("quiet", np.int64)])


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
        active = state[row]["active"]
        quiet = state[row]["quiet"]
        for j in range(start, stop):
            distance = abs(value[j] - middle)
            if distance >= half:
                quiet = 0
                if active == 1:
                    continue
                active = 1
            else:
                quiet += 1
                if active == 0 or quiet < hold:
                    continue
                active = 0
            out[written]["row"] = row
            out[written]["up"] = active
            out[written]["time_ns"] = arrival[j]
            out[written]["score"] = distance / half
            written += 1
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["score"] = abs(value[stop - 1] - middle) / half
    return written
