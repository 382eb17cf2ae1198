"""Level shift: a two-sided CUSUM of block means.

Per block of `block` samples (at least 4 correlation times, so that no AR model is needed), each
clipped to +-`clip` so that a few wild samples are no level:

    x = (mean - centre) * inverse_sd

goes through the recursion of `cusum`, which also says when the flag clears. Score: the larger of
up / h_up and down / h_down. k is the reference value with its allowance for the length of the
record; h comes from the stationary bootstrap of the record (`fit.bootstrap`). Cost about 1.3 ns a
sample; state
48 bytes. Reference: Page 1954; Montgomery, "Introduction to Statistical Quality Control", ch. 9.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel
from agent.core.kernels.cusum import advance

NAME = "level"
PARAMS = np.dtype(
    [
        ("block", np.int64),
        ("clip", np.float64),
        ("centre", np.float64),
        ("inverse_sd", np.float64),
        ("k", np.float64),
        ("h_up", np.float64),
        ("h_down", np.float64),
    ]
)
DEFAULTS = {
    "block": 1 << 62, "clip": NEVER, "centre": 0.0, "inverse_sd": 0.0, "k": 0.0, "h_up": NEVER,
    "h_down": NEVER,
}  # fmt: skip
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int64),
        ("count", np.int64),
        ("sum", np.float64),
        ("up", np.float64),
        ("down", np.float64),
    ]
)


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        block = params[row]["block"]
        clip = params[row]["clip"]
        centre = params[row]["centre"]
        inverse_sd = params[row]["inverse_sd"]
        k = params[row]["k"]
        h_up = params[row]["h_up"]
        h_down = params[row]["h_down"]
        active = state[row]["active"]
        count = state[row]["count"]
        total = state[row]["sum"]
        up = state[row]["up"]
        down = state[row]["down"]
        score = state[row]["score"]
        for j in range(starts[row], starts[row + 1]):
            total += min(max(value[j], -clip), clip)
            count += 1
            if count < block:
                continue
            x = (total / np.float64(block) - centre) * inverse_sd
            total = 0.0
            count = 0
            before = active
            active, up, down, score = advance(active, up, down, x, k, h_up, h_down)
            if active != before:
                out[written]["row"] = row
                out[written]["up"] = active
                out[written]["time_ns"] = arrival[j]
                out[written]["score"] = score
                written += 1
        state[row]["active"] = active
        state[row]["count"] = count
        state[row]["sum"] = total
        state[row]["up"] = up
        state[row]["down"] = down
        state[row]["score"] = score
    return written
