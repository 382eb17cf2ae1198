"""Step: the mean of a few samples differs from the mean of a few before it as never in the record.

The stream is cut into short blocks of `block` samples; of their means m the chart takes

    s = |m[b] - m[b-2]|

because a step falls into at most one block, the one between, so the whole of it is always seen.
Averaging damps the noise in which `rate` would lose a small step; slow moves cancel. Flag: s >=
limit. It clears after `hold` blocks in a row without one; nothing is compared across a gap. This is
what finds a bias of an input whose own movement is too slow for `level` to wait for. Score: s /
limit. Cost about 1.2 ns a sample; state 48 bytes. Reference: moving-window comparison of means;
Basseville & Nikiforov 1993, ch. 2; the limit is by peaks over threshold, Siffer et al. 2017.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
from agent.core.kernels.gaps import RUN, unbroken

NAME = "step"
PARAMS = np.dtype(
    [("block", np.int64), ("limit", np.float64), ("hold", np.int64), ("gap_ns", np.int64)]
)
DEFAULTS = {"block": 1 << 62, "limit": NEVER, "hold": 1, "gap_ns": 0}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int32),
        ("quiet", np.int32),
        ("count", np.int32),
        ("known", np.int32),  # means in a row without a gap, counted up to 2
        ("sum", np.float64),
        ("last", np.float64),
        ("before", np.float64),
        ("last_ns", np.int64),
    ]
)
_LONGEST = 1 << 30


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        block = params[row]["block"]
        start = starts[row]
        stop = starts[row + 1]
        if start == stop or block > _LONGEST:
            continue
        limit = params[row]["limit"]
        hold = params[row]["hold"]
        gap = params[row]["gap_ns"]
        score = state[row]["score"]
        active = state[row]["active"] + 0
        quiet = state[row]["quiet"] + 0
        count = state[row]["count"] + 0
        known = state[row]["known"] + 0
        total = state[row]["sum"]
        last = state[row]["last"]
        before = state[row]["before"]
        last_ns = state[row]["last_ns"]
        j = start
        checked = start
        whole = False
        while j < stop:
            if j == checked:
                checked = start + 1 if j == start else min(j + RUN, stop)
                whole = j > start and unbroken(source, j, checked, gap)
            if whole:
                end = min(j + block - count, checked)
                part = value[j:end]
                for i in range(end - j):
                    total += part[i]
                count += end - j
                j = end
            else:
                if source[j] - (source[j - 1] if j > start else last_ns) > gap:
                    known = 0
                    count = 0
                    total = 0.0
                total += value[j]
                count += 1
                j += 1
            if count < block:
                continue
            mean = total / np.float64(block)
            total = 0.0
            count = 0
            score = abs(mean - before) / limit if known == 2 else 0.0
            known = min(known + 1, 2)
            before = last
            last = mean
            quiet = 0 if score >= 1.0 else min(quiet + 1, _LONGEST)
            if (active == 0 and score >= 1.0) or (active == 1 and quiet >= hold):
                active = 1 - active
                written = tell(out, written, row, active, arrival[j - 1], score)
        state[row]["score"] = score
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["count"] = count
        state[row]["known"] = known
        state[row]["sum"] = total
        state[row]["last"] = last
        state[row]["before"] = before
        state[row]["last_ns"] = source[stop - 1]
    return written
