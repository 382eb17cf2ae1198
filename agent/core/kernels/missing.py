"""Missing data: nothing arrived from a tag for longer than its `max_silence`.

Flag: until - last arrival > max_silence. The flag's time is when the silence became too long, not
when somebody looked, so cutting blocks differently changes nothing. It clears with the next sample
that is news (a sample that only says "communication lost" is not). While the source's link is lost
the silence says nothing of the tag: it counts from when the link is back, and what was raised
before clears then. Score: silence / max_silence. Cost about 1 ns a sample; state 40 bytes.
Reference: ISA-18.2, "stale" input handling.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import ENGINE_TIME, Moment, kernel, tell

NAME = "missing"
PARAMS = np.dtype([("max_silence_ns", np.int64)])
DEFAULTS = {"max_silence_ns": 1 << 60}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int64),
        ("last_ns", np.int64),
        ("lost", np.int64),  # 1: the source said that its link is
        ("back_ns", np.int64),  # when it said that it is back; 0: taken in already
    ]
)
MOMENTS: dict[str, Moment] = {"last_ns": ENGINE_TIME, "back_ns": ENGINE_TIME}
_COMMUNICATION_LOST = 4


def of_tag(tag):  # type: ignore[no-untyped-def]
    """Parameters from a `TagSpec`."""
    return {"max_silence_ns": tag.max_silence_ns}


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each tag; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        limit = params[row]["max_silence_ns"]
        last = state[row]["last_ns"]
        active = state[row]["active"]
        lost, back = state[row]["lost"], state[row]["back_ns"]
        if back > 0:
            if active == 1:
                written = tell(out, written, row, 0, back, 0.0)
                active = 0
            last = max(last, back)
        for j in range(starts[row], starts[row + 1]):
            if quality[j] & _COMMUNICATION_LOST:
                continue
            if active == 0 and lost == 0 and arrival[j] - last > limit:
                written = tell(out, written, row, 1, last + limit, 1.0)
                active = 1
            if active == 1:
                written = tell(out, written, row, 0, arrival[j], 0.0)
                active = 0
            last = arrival[j]
        if active == 0 and lost == 0 and until_ns - last > limit:
            written = tell(out, written, row, 1, last + limit, 1.0)
            active = 1
        state[row]["last_ns"] = last
        state[row]["active"] = active
        state[row]["back_ns"] = 0
        state[row]["score"] = np.float64(until_ns - last) / np.float64(limit)
    return written
