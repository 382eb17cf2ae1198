"""Outside: most samples lie outside the range that the record covered.

    s = max(0, s + 1) for a sample outside [low, high], max(0, s - 1) for one inside

Flag: s >= limit, which needs more than half of the samples outside for that long; s is capped at
the limit and the flag clears when s is back at half of it. It says a fact, that the model now works
where
it was never trained, and finds it where `range` can not: that one asks for values which the record
makes impossible, and a short or slowly moving record makes little impossible. Score: s / limit.
Cost
about 1 ns a sample; state 24 bytes. Reference: a CUSUM of a Bernoulli stream, Reynolds & Stoumbos
1999.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell

NAME = "outside"
PARAMS = np.dtype([("low", np.float64), ("high", np.float64), ("limit", np.int64)])
DEFAULTS = {"low": -NEVER, "high": NEVER, "limit": 1 << 60}
STATE = np.dtype([("score", np.float64), ("active", np.int64), ("sum", np.int64)])


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        start = starts[row]
        stop = starts[row + 1]
        low = params[row]["low"]
        high = params[row]["high"]
        limit = params[row]["limit"]
        active = state[row]["active"]
        total = state[row]["sum"]
        outside = 0
        part = value[start:stop]
        for i in range(stop - start):
            outside += (part[i] < low) | (part[i] > high)
        if start == stop or (outside == 0 and total == 0 and active == 0):
            continue  # nothing was outside, as nearly always: the state stays as it is
        for j in range(start, stop):
            if value[j] < low or value[j] > high:
                total = min(total + 1, limit)
            else:
                total = max(total - 1, 0)
            if (active == 0 and total >= limit) or (active == 1 and 2 * total < limit):
                active = 1 - active
                score = np.float64(total) / np.float64(limit)
                written = tell(out, written, row, active, arrival[j], score)
        state[row]["active"] = active
        state[row]["sum"] = total
        state[row]["score"] = np.float64(total) / np.float64(limit)
    return written
