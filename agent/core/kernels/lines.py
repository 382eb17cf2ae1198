"""Lines: values lie on straight lines between others, as a historian gives them that interpolates.

    d = value now - 2 * the one before + the one before that, over samples without a gap
    on a line: |d| <= `near` while the value moves by more than `least`
    S = max(0, S + `hit` where it is on a line, - `miss` where it is not); score = S / `limit`

A CUSUM of log likelihood ratios of a share (Page 1954): `hit` and `miss` are those of the share
that the record has of what follows a value on a line, and of what interpolating makes of it:
`fit.served`. Flat stretches say nothing, nor do moves so small that their rounding alone makes such
bends; what was restated neither. Flag: score >= 1; it clears
after `hold` samples in a row below. Cost about 2 ns a sample; state 56 bytes.
Reference: Reynolds & Stoumbos 1999, CUSUM of a proportion.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
from agent.core.kernels.runs import held
from agent.types import Quality

NAME = "lines"
PARAMS = np.dtype(
    [
        ("limit", np.float64),
        ("near", np.float64),
        ("least", np.float64),
        ("hit", np.float64),
        ("miss", np.float64),
        ("hold", np.int64),
        ("gap_ns", np.int64),
    ]
)
DEFAULTS = {
    "limit": NEVER, "near": 0.0, "least": 0.0, "hit": 0.0, "miss": 0.0, "hold": 1, "gap_ns": 0
}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int32),
        ("quiet", np.int32),
        ("sum", np.float64),
        ("seen", np.int64),  # samples in a row without a gap, counted up to 2
        ("last", np.float64),
        ("before", np.float64),
        ("last_ns", np.int64),
    ]
)
_HELD = int(Quality.HELD)
_MOST = 2.0  # times the limit that S is counted up to, so that it comes down again


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        limit = params[row]["limit"]
        if limit >= NEVER or starts[row] == starts[row + 1]:
            continue
        near, hit, miss = params[row]["near"], params[row]["hit"], params[row]["miss"]
        least = params[row]["least"]
        hold, gap = params[row]["hold"], params[row]["gap_ns"]
        active, quiet = state[row]["active"] + 0, state[row]["quiet"] + 0
        total, seen = state[row]["sum"], state[row]["seen"]
        last, before, last_ns = state[row]["last"], state[row]["before"], state[row]["last_ns"]
        for j in range(starts[row], starts[row + 1]):
            if quality[j] & _HELD:
                seen = 0
                continue
            seen = 0 if source[j] - last_ns > gap else seen
            if seen == 2 and (abs(value[j] - last) > least or abs(last - before) > least):
                if abs(value[j] - 2.0 * last + before) <= near:
                    total = min(total + hit, _MOST * limit)
                else:
                    total = max(total - miss, 0.0)
            seen = min(seen + 1, 2)
            before, last, last_ns = last, value[j], source[j]
            was = active
            active, quiet = held(active, quiet, total >= limit, hold)
            if active != was:
                written = tell(out, written, row, active, arrival[j], total / limit)
        state[row]["active"], state[row]["quiet"] = active, quiet
        state[row]["sum"], state[row]["seen"] = total, seen
        state[row]["last"], state[row]["before"] = last, before
        state[row]["last_ns"], state[row]["score"] = last_ns, total / limit
    return written
