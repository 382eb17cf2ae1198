"""Level shift: a two-sided CUSUM of block means for small shifts, and an EWMA of parts of blocks.

Per block of `block` samples (less than two correlation times: the long-run deviation takes care of
what neighbours share), each clipped to +-`clip` so that a few wild samples are no level:

    x = (mean - centre) * inverse_sd

goes through the recursion of `cusum`, which also says when the flag clears. While no flag is up,
the mean of every `part` samples, a quarter of a block, goes through

    smooth = smooth + (mean - centre - smooth) / 20

whose flag is raised at smooth >= ewma_up or smooth <= -ewma_down: a CUSUM is quick for the shift
that it is tuned to, and slow inputs have few blocks within the time in which a large shift must be
found; what it remembers, five blocks, is long beside the noise and short beside what moves. Score:
the largest statistic over its threshold. k is the reference value with its allowance for the length
of the record; h and the limits of the EWMA come from the record (`fit.bootstrap`, `fit.smooth`).
Cost about 1 ns a sample; state 56 bytes. References: Page 1954; Roberts 1959; Lucas & Saccucci
1990; Montgomery, "Introduction to Statistical Quality Control", ch. 9.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
from agent.core.kernels.cusum import advance

NAME = "level"
PARTS = 4
"""Of a block, as `part` is fitted."""

GAIN = 0.05
"""Of the EWMA: small shifts are the CUSUM's (Montgomery: 0.05 to 0.25)."""

PARAMS = np.dtype(
    [
        ("block", np.int64),
        ("part", np.int64),
        ("clip", np.float64),
        ("centre", np.float64),
        ("inverse_sd", np.float64),
        ("k", np.float64),
        ("h_up", np.float64),
        ("h_down", np.float64),
        ("ewma_up", np.float64),
        ("ewma_down", np.float64),
    ]
)
DEFAULTS = {
    "block": 1 << 62, "part": 1 << 62, "clip": NEVER, "centre": 0.0, "inverse_sd": 0.0, "k": 0.0,
    "h_up": NEVER, "h_down": NEVER, "ewma_up": NEVER, "ewma_down": NEVER,
}  # fmt: skip
_GAIN = GAIN
_LONGEST = 1 << 30  # a longer block means: not judged
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int32),
        ("count", np.int32),
        ("sum", np.float64),
        ("rest", np.float64),
        ("up", np.float64),
        ("down", np.float64),
        ("smooth", np.float64),
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
        part = min(params[row]["part"], block)
        clip = params[row]["clip"]
        centre = params[row]["centre"]
        inverse_sd = params[row]["inverse_sd"]
        k = params[row]["k"]
        h_up = params[row]["h_up"]
        h_down = params[row]["h_down"]
        ewma_up = params[row]["ewma_up"]
        ewma_down = params[row]["ewma_down"]
        active = state[row]["active"] + 0
        count = state[row]["count"] + 0
        total = state[row]["sum"]
        rest = state[row]["rest"]  # of the part that is not complete yet
        up = state[row]["up"]
        down = state[row]["down"]
        smooth = state[row]["smooth"]
        score = state[row]["score"]
        due = (count // part + 1) * part
        for j in range(starts[row], starts[row + 1]):
            rest += min(max(value[j], -clip), clip)
            count += 1
            if count < due:
                continue
            mean = rest / np.float64(part) - centre
            total += rest
            rest = 0.0
            due += part
            before = active
            if active == 0:
                smooth += _GAIN * (mean - smooth)
            if count >= block:
                x = (total / np.float64(block) - centre) * inverse_sd
                total = 0.0
                count = 0
                due = part
                active, up, down, score = advance(active, up, down, x, k, h_up, h_down)
            elif active == 0:
                score = max(up / h_up, down / h_down)
            if before == 0:
                beyond = smooth / ewma_up if smooth > 0.0 else -smooth / ewma_down
                score = max(score, beyond)
                if active == 0 and beyond >= 1.0:
                    half = 0.5 * smooth * inverse_sd
                    active, up = 1, 0.0
                    down = max(k, half) if smooth > 0.0 else min(-k, half)
                if active == 1:
                    smooth = 0.0
            if active != before:
                written = tell(out, written, row, active, arrival[j], score)
        state[row]["active"] = active
        state[row]["count"] = count
        state[row]["sum"] = total
        state[row]["rest"] = rest
        state[row]["up"] = up
        state[row]["down"] = down
        state[row]["smooth"] = smooth
        state[row]["score"] = score
    return written
