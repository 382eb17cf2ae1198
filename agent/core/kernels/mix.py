"""Class mix: an output gives its classes in other shares than it did in training.

Per block of `block` decisions and class c, x = (share in the block - `share`[c]) * `inverse_sd`[c]
goes through the recursion of `cusum`, a two-sided CUSUM. The flag is up while that of any class is.
Score: the largest statistic over its limit. What is none of the trained classes is a decision for
no class.

`values` holds the `count` trained classes, standardised. `count` 0: no classes, and the row costs
nothing a sample. Cost about 3 ns a sample; state 452 bytes. References: Page 1954; for shares of
classes under CUSUM, Reynolds & Stoumbos 1999, "A CUSUM chart for monitoring a proportion".
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
from agent.core.kernels.category import MOST
from agent.core.kernels.cusum import advance

NAME = "mix"
PARAMS = np.dtype(
    [
        ("block", np.int64),
        ("count", np.int64),
        ("tolerance", np.float64),
        ("values", np.float64, (MOST,)),
        ("share", np.float64, (MOST,)),
        ("inverse_sd", np.float64, (MOST,)),
        ("k", np.float64, (MOST,)),
        ("h", np.float64, (MOST,)),
    ]
)
DEFAULTS = {
    "block": 1, "count": 0, "tolerance": 0.0, "values": 0.0, "share": 0.0, "inverse_sd": 0.0,
    "k": 0.0, "h": NEVER,
}  # fmt: skip
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int32),
        ("done", np.int32),  # decisions in the open block
        ("given", np.int32, (MOST,)),  # of these, of each class
        ("raised", np.int32, (MOST,)),
        ("up", np.float64, (MOST,)),
        ("down", np.float64, (MOST,)),
    ]
)


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        count = params[row]["count"]
        if count == 0:
            continue
        block = params[row]["block"]
        tolerance = params[row]["tolerance"]
        values, share = params[row]["values"], params[row]["share"]
        inverse_sd, k, h = params[row]["inverse_sd"], params[row]["k"], params[row]["h"]
        given, raised = state[row]["given"], state[row]["raised"]
        up, down = state[row]["up"], state[row]["down"]
        active, done, score = state[row]["active"], state[row]["done"], state[row]["score"]
        for j in range(starts[row], starts[row + 1]):
            for c in range(count):
                if abs(value[j] - values[c]) <= tolerance:
                    given[c] += 1
                    break
            done += 1
            if done < block:
                continue
            score, now = 0.0, 0
            for c in range(count):
                x = (np.float64(given[c]) / np.float64(block) - share[c]) * inverse_sd[c]
                raised[c], up[c], down[c], own = advance(
                    raised[c], up[c], down[c], x, k[c], h[c], h[c]
                )
                given[c] = 0
                score = max(score, own)
                now = max(now, raised[c])
            done = 0
            if now != active:
                active = now
                written = tell(out, written, row, active, arrival[j], score)
        state[row]["active"], state[row]["done"], state[row]["score"] = active, done, score
    return written
