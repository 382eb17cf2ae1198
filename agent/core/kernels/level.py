"""Level shift: two two-sided CUSUMs of block means, one for small shifts and one for large ones.

Per block of `block` samples (less than two correlation times: the long-run deviation takes care of
what neighbours share), each clipped to +-`clip` so that a few wild samples are no level:

    x = (mean - centre) * inverse_sd

goes through the recursion of `cusum`, which also says when the flag clears, and, while no flag is
up, with a larger reference value through

    large_up = max(0, large_up + x - k_large)    large_down = max(0, large_down - x - k_large)

whose flag is raised at h_large_up or h_large_down: a CUSUM is quick for the shift that it is tuned
to, and slow inputs have few blocks within the time in which a large shift must be found. Score: the
largest statistic over its threshold. k is the reference value with its allowance for the length of
the record; h comes from the stationary bootstrap of the record (`fit.bootstrap`). Cost about 1 ns a
sample; state 56 bytes. References: Page 1954; Montgomery, "Introduction to Statistical Quality
Control", ch. 9; Sparks 2000 (CUSUMs for unknown shifts).
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
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
        ("k_large", np.float64),
        ("h_large_up", np.float64),
        ("h_large_down", np.float64),
    ]
)
DEFAULTS = {
    "block": 1 << 62, "clip": NEVER, "centre": 0.0, "inverse_sd": 0.0, "k": 0.0, "h_up": NEVER,
    "h_down": NEVER, "k_large": NEVER, "h_large_up": NEVER, "h_large_down": NEVER,
}  # fmt: skip
_LONGEST = 1 << 30  # a longer block means: not judged
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int32),
        ("count", np.int32),
        ("sum", np.float64),
        ("up", np.float64),
        ("down", np.float64),
        ("large_up", np.float64),
        ("large_down", np.float64),
    ]
)


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        block = params[row]["block"]
        if block > _LONGEST:
            continue
        clip = params[row]["clip"]
        centre = params[row]["centre"]
        inverse_sd = params[row]["inverse_sd"]
        k = params[row]["k"]
        h_up = params[row]["h_up"]
        h_down = params[row]["h_down"]
        k_large = params[row]["k_large"]
        h_large_up = params[row]["h_large_up"]
        h_large_down = params[row]["h_large_down"]
        active = state[row]["active"] + 0
        count = state[row]["count"] + 0
        large_up = state[row]["large_up"]
        large_down = state[row]["large_down"]
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
            if before == 0:
                large_up = max(large_up + x - k_large, 0.0)
                large_down = max(large_down - x - k_large, 0.0)
                above = large_up / h_large_up
                below = large_down / h_large_down
                score = max(score, above, below)
                if active == 0 and score >= 1.0:
                    active, up = 1, 0.0
                    down = max(k, 0.5 * x) if above >= below else -max(k, -0.5 * x)
                if active == 1:
                    large_up = 0.0
                    large_down = 0.0
            if active != before:
                written = tell(out, written, row, active, arrival[j], score)
        state[row]["active"] = active
        state[row]["count"] = count
        state[row]["sum"] = total
        state[row]["up"] = up
        state[row]["down"] = down
        state[row]["large_up"] = large_up
        state[row]["large_down"] = large_down
        state[row]["score"] = score
    return written
