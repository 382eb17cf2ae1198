"""Bad quality: the device, the protocol or admission says that a sample can not be used.

Flag: `count` unusable samples in a row (1 unless configured); it clears after `clear` usable ones
in a row. Score: unusable samples in a row / count. Cost about 1 ns a sample; state 32 bytes.
Reference: OPC UA Part 8 (status codes), NAMUR NE 43 (signal ranges).
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import kernel, tell
from agent.types import NOT_USABLE

NAME = "bad"
PARAMS = np.dtype([("count", np.int64), ("clear", np.int64)])
DEFAULTS = {"count": 1, "clear": 3}
STATE = np.dtype(
    [("score", np.float64), ("active", np.int64), ("bad_run", np.int64), ("good_run", np.int64)]
)
_UNUSABLE = int(NOT_USABLE)


def of_tag(tag):  # type: ignore[no-untyped-def]
    """Parameters from a `TagSpec`: a tag that reports changes may send one good value in hours."""
    return {"clear": 1} if tag.by_exception else {}


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each tag; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        active = state[row]["active"]
        bad_run = state[row]["bad_run"]
        good_run = state[row]["good_run"]
        count = params[row]["count"]
        clear = params[row]["clear"]
        for j in range(starts[row], starts[row + 1]):
            if quality[j] & _UNUSABLE:
                bad_run += 1
                good_run = 0
            else:
                good_run += 1
                bad_run = 0
            if (active == 0 and bad_run >= count) or (active == 1 and good_run >= clear):
                active = 1 - active
                score = np.float64(bad_run) / np.float64(count)
                written = tell(out, written, row, active, arrival[j], score)
        state[row]["active"] = active
        state[row]["bad_run"] = bad_run
        state[row]["good_run"] = good_run
        state[row]["score"] = np.float64(bad_run) / np.float64(count)
    return written
