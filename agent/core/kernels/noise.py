"""Noise: a two-sided CUSUM of the size of first differences, block by block.

Per block of `block` differences d = v[t] - v[t-1], each clipped to +-`clip` so that a few spikes
are no noise:

    s = (mean of d^2 - (mean of d)^2) ^ 1/4,  x = (s - centre) * inverse_sd

goes through the recursion of `cusum`: noisier is up; quieter (damped, filtered, smoothed) is down.
No difference is taken across a gap. The fourth root makes the block statistic nearly normal (Wilson
and Hilferty 1931 take the third of a chi-square); what moves on through the block cancels. Cost
about 1.4 ns a sample; state 68 bytes. Reference: Page 1954; von Neumann 1941 (mean square
successive difference).
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
from agent.core.kernels.cusum import advance
from agent.core.kernels.gaps import RUN, unbroken

NAME = "noise"
PARAMS = np.dtype(
    [
        ("block", np.int64),
        ("clip", np.float64),
        ("centre", np.float64),
        ("inverse_sd", np.float64),
        ("k", np.float64),
        ("h_up", np.float64),
        ("h_down", np.float64),
        ("gap_ns", np.int64),
    ]
)
DEFAULTS = {
    "block": 1 << 62, "clip": NEVER, "centre": 0.0, "inverse_sd": 0.0, "k": 0.0, "h_up": NEVER,
    "h_down": NEVER, "gap_ns": 0,
}  # fmt: skip
_LONGEST = 1 << 30  # a longer block means: not judged
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int32),
        ("count", np.int32),
        ("sum", np.float64),
        ("moved", np.float64),
        ("up", np.float64),
        ("down", np.float64),
        ("last", np.float64),
        ("last_ns", np.int64),
        ("seen", np.int32),
    ]
)


@kernel
def _size(total, moved, block):  # type: ignore[no-untyped-def]
    """The block's statistic s, of its sum of squares and its sum."""
    mean = moved / np.float64(block)
    return np.sqrt(np.sqrt(max(total / np.float64(block) - mean * mean, 0.0)))


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        start = starts[row]
        stop = starts[row + 1]
        block = params[row]["block"]
        if start == stop or block > _LONGEST:
            continue
        clip = params[row]["clip"]
        centre = params[row]["centre"]
        inverse_sd = params[row]["inverse_sd"]
        k = params[row]["k"]
        h_up = params[row]["h_up"]
        h_down = params[row]["h_down"]
        gap = params[row]["gap_ns"]
        active = state[row]["active"] + 0
        count = state[row]["count"] + 0
        total = state[row]["sum"]
        moved = state[row]["moved"]
        up, down = state[row]["up"], state[row]["down"]
        score = state[row]["score"]
        last = state[row]["last"]
        last_ns = state[row]["last_ns"]
        if state[row]["seen"] == 0:
            last_ns = source[start] - gap - 1  # the first sample has nothing to differ from
        j = start
        checked, whole = start, False
        while j < stop:
            if j == checked:
                checked = start + 1 if j == start else min(j + RUN, stop)
                whole = j > start and unbroken(source, j, checked, gap)
            if whole:
                end = min(j + block - count, checked)
                part = value[j - 1 : end]
                for i in range(end - j):
                    step = min(max(part[i + 1] - part[i], -clip), clip)
                    total += step * step
                    moved += step
                count += end - j
                j = end
            else:
                apart = source[j] - (source[j - 1] if j > start else last_ns) > gap
                step = value[j] - (value[j - 1] if j > start else last)
                j += 1
                if apart:
                    continue
                step = min(max(step, -clip), clip)
                total += step * step
                moved += step
                count += 1
            if count < block:
                continue
            x = (_size(total, moved, block) - centre) * inverse_sd
            total, moved, count = 0.0, 0.0, 0
            before = active
            active, up, down, score = advance(active, up, down, x, k, h_up, h_down)
            if active != before:
                written = tell(out, written, row, active, arrival[j - 1], score)
        state[row]["active"] = active
        state[row]["count"] = count
        state[row]["sum"] = total
        state[row]["moved"] = moved
        state[row]["up"] = up
        state[row]["down"] = down
        state[row]["seen"] = 1
        state[row]["last"] = value[stop - 1]
        state[row]["last_ns"] = source[stop - 1]
        state[row]["score"] = score
    return written
