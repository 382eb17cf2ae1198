"""Spike: samples that stand off from both their neighbours, one far or small ones too often.

    d = |v[t-1] - (v[t] + v[t-2]) / 2|, never across a gap (over 1.5 intervals of the sample clock)
    s = min(most, s + weight) where d >= minor, else max(0, s - 1)

Flag: d >= limit (one spike unlike anything in the record), or s >= most (lesser ones, far more
often than there; minor <= limit). It clears after `hold` samples in a row without either; where
others came shortly before (s above `weight`) or meanwhile, only when s is back at 0: one wrong
reading is soon over, a tag that spikes again and again is told of once. Score: the larger of d /
limit and s / most. A slow move, however large, cancels. Cost about 0.3 ns a sample; state 56 bytes.
Reference: second difference as in Argo and QARTOD spike tests; the limits are by peaks over
threshold, Siffer et al. 2017; s is a CUSUM of a Bernoulli stream, Reynolds & Stoumbos 1999.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
from agent.core.kernels.gaps import RUN
from agent.core.kernels.runs import LEAST, calm_until, held

NAME = "spike"
PARAMS = np.dtype(
    [
        ("limit", np.float64),
        ("minor", np.float64),
        ("weight", np.int64),
        ("most", np.int64),
        ("hold", np.int64),
        ("gap_ns", np.int64),
    ]
)
DEFAULTS = {"limit": NEVER, "minor": NEVER, "weight": 1, "most": 1, "hold": 1, "gap_ns": 0}
_SAME = 3  # samples: one wild value makes up to three large d in a row
_LONG = 1 << 62  # samples: longer than any hold
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int32),
        ("quiet", np.int32),
        ("sum", np.int64),
        ("seen", np.int32),
        ("again", np.int32),  # it was not one alone
        ("last", np.float64),
        ("before", np.float64),
        ("last_ns", np.int64),
    ]
)


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        start = starts[row]
        stop = starts[row + 1]
        if start == stop:
            continue
        limit = params[row]["limit"]
        minor = params[row]["minor"]
        weight = params[row]["weight"]
        most = params[row]["most"]
        hold = params[row]["hold"]
        gap = params[row]["gap_ns"]
        active = state[row]["active"] + 0
        quiet = state[row]["quiet"] + 0
        total = state[row]["sum"]
        again = state[row]["again"] + 0
        seen = state[row]["seen"] + 0  # samples in a row without a gap, counted up to 2
        last = state[row]["last"]
        before = state[row]["before"]
        last_ns = state[row]["last_ns"]
        size = 0.0
        j, look = start, start + 2  # `look`: where the next run begins
        while j < stop:
            if active == 0 and j >= look and stop - j >= LEAST:
                # Nearly always nothing stands off, across a gap or not.
                calm = calm_until(value, j, stop, 2, 0.0, 1.0, minor)
                look = calm + RUN
                if calm > j:
                    total = max(total - (calm - j), 0)
                    j = calm
                    before, last, last_ns = value[j - 2], value[j - 1], source[j - 1]
                    seen = 1 if last_ns - source[j - 2] > gap else 2
                    whole = seen == 2 and source[j - 2] - source[j - 3] <= gap
                    size = abs(before - (last + value[j - 3]) * 0.5) if whole else 0.0
                    continue
            seen = 0 if source[j] - last_ns > gap else seen
            size = abs(last - (value[j] + before) * 0.5) if seen == 2 else 0.0
            seen = min(seen + 1, 2)
            before, last, last_ns = last, value[j], source[j]
            so_far = total
            total = min(so_far + weight, most) if size >= minor else max(so_far - 1, 0)
            hit = size >= limit or total >= most
            j += 1
            if active == 0 and not hit:
                continue
            was = active
            if hit and was == 0:
                again = 1 if so_far > weight else 0
            elif hit and quiet >= _SAME:
                again = 1
            wait = _LONG if again == 1 and total > 0 else hold
            active, quiet = held(active, quiet, hit, wait)
            if active != was:
                score = max(size / limit, total / most)
                written = tell(out, written, row, active, arrival[j - 1], score)
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["sum"] = total
        state[row]["seen"] = seen
        state[row]["again"] = again
        state[row]["last"] = last
        state[row]["before"] = before
        state[row]["last_ns"] = last_ns
        state[row]["score"] = max(size / limit, total / most)
    return written
