"""Step: a few block means in a row lie apart from a few before them as never in the record.

The stream is cut into short blocks of `block` samples. Of their means m, b the newest, the chart
compares the newest `sides` (r) with as many before them, all of either with all of the other:

    s = max(min(m[b-r+1..b]) - max(m[b-2r..b-r-1]), min(m[b-2r..b-r-1]) - max(m[b-r+1..b]), 0)

The block between is left out: a step falls into at most one, so the whole of it is always seen.
With r = 1 this is |m[b] - m[b-2]|, soon and sensitive where the record knows no jumps. With r = 4 a
dip shorter than four blocks, before or after, takes nothing apart, so that a record full of them
still tells a lasting step from them: a bias of an input whose own movement is too slow for `level`
to wait for, and too wild for a single comparison. Slow moves cancel either way.

Flag: s >= limit. It clears after `hold` blocks in a row without one; nothing is compared across a
gap. Score: s / limit. Cost about 1.2 ns a sample; state 68 bytes, means in single precision (values
are standardised and clipped). Reference: moving-window comparison of means, Basseville & Nikiforov
1993, ch. 2; extremes of groups in place of their means as in end counts, Tukey 1959; the limit is
by peaks over threshold, Siffer et al. 2017.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
from agent.core.kernels.gaps import RUN, unbroken

NAME = "step"
MOST_SIDES = 4
"""Most blocks that are compared on each side."""

_KEPT = 2 * MOST_SIDES
PARAMS = np.dtype(
    [
        ("block", np.int64),
        ("sides", np.int64),
        ("limit", np.float64),
        ("hold", np.int64),
        ("gap_ns", np.int64),
    ]
)
DEFAULTS = {"block": 1 << 62, "sides": 1, "limit": NEVER, "hold": 1, "gap_ns": 0}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int32),
        ("quiet", np.int16),
        ("known", np.int16),  # means in a row without a gap, counted up to 2 r
        ("count", np.int32),
        ("sum", np.float64),
        ("kept", np.float32, (_KEPT,)),  # the latest means before this block, newest first
        ("last_ns", np.int64),
    ]
)
_LONGEST = 1 << 30
_MOST_QUIET = 1 << 14
_LARGEST = 1e30  # what single precision holds; values are clipped far below


def looks_back(parameters):  # type: ignore[no-untyped-def]
    """How many samples before a flag its cause may lie: a fault's end is seen long after it."""
    return int((parameters["sides"] + 2) * parameters["block"])


@kernel
def _apart(kept, mean, sides):  # type: ignore[no-untyped-def]
    """How far the newest `sides` means, `mean` among them, lie apart from those before; >= 0."""
    low = mean
    high = mean
    for i in range(sides - 1):
        low = min(low, np.float64(kept[i]))
        high = max(high, np.float64(kept[i]))
    least = np.float64(kept[sides])
    most = least
    for i in range(sides + 1, 2 * sides):
        least = min(least, np.float64(kept[i]))
        most = max(most, np.float64(kept[i]))
    return max(low - most, least - high, 0.0)


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
        sides = min(max(params[row]["sides"], 1), MOST_SIDES)
        limit = params[row]["limit"]
        hold = min(params[row]["hold"], _MOST_QUIET)
        gap = params[row]["gap_ns"]
        score = state[row]["score"]
        active = state[row]["active"] + 0
        quiet = state[row]["quiet"] + 0
        count = state[row]["count"] + 0
        known = state[row]["known"] + 0
        total = state[row]["sum"]
        kept = state[row]["kept"]
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
            mean = min(max(total / np.float64(block), -_LARGEST), _LARGEST)
            mean = np.float64(np.float32(mean))  # as it will be kept
            total = 0.0
            count = 0
            score = _apart(kept, mean, sides) / limit if known == 2 * sides else 0.0
            known = min(known + 1, 2 * sides)
            for i in range(2 * sides - 1, 0, -1):
                kept[i] = kept[i - 1]
            kept[0] = mean
            quiet = 0 if score >= 1.0 else min(quiet + 1, _MOST_QUIET)
            if (active == 0 and score >= 1.0) or (active == 1 and quiet >= hold):
                active = 1 - active
                written = tell(out, written, row, active, arrival[j - 1], score)
        state[row]["score"] = score
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["count"] = count
        state[row]["known"] = known
        state[row]["sum"] = total
        state[row]["last_ns"] = source[stop - 1]
    return written
