"""Bad quality: the device, the protocol or the limits say that a sample can not be used, and why.

One chart for each of `KINDS`; a sample is of the first kind that one of its bits belongs to. Flag:
`count` samples of the kind in a row (1 unless configured); it clears after `clear` others in a row.
Late and repeated samples count for neither. Score: samples of the kind in a row / count. Cost about
1 ns a sample and kind; state 32 bytes.
Reference: OPC UA Part 8 (status codes), Modbus exception codes, NAMUR NE 43 (signal ranges).
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import Moment, kernel, tell
from agent.types import NO_NEWS, NOT_USABLE, Quality

NAME = "bad"
PARAMS = np.dtype(
    [("count", np.int64), ("clear", np.int64), ("mask", np.int64), ("before", np.int64)]
)
STATE = np.dtype(
    [("score", np.float64), ("active", np.int64), ("bad_run", np.int64), ("good_run", np.int64)]
)
MOMENTS: dict[str, Moment] = {}
KINDS: dict[str, Quality] = {
    "bad_link": Quality.COMMUNICATION_LOST,
    "bad_access": Quality.NOT_AUTHORISED,
    "bad_address": Quality.ADDRESS_REFUSED,
    "bad_type": Quality.WRONG_TYPE,
    "bad_void": Quality.NOT_AVAILABLE,
    "bad_number": Quality.NOT_A_NUMBER,
    NAME: Quality.BAD,
    "bad_range": Quality.OUT_OF_PHYSICAL,
}
"""Chart -> its bit, the most telling first: BAD stands beside what says more."""

_PASSED_OVER = int(NO_NEWS) | (int(NOT_USABLE) & ~sum(int(bit) for bit in KINDS.values()))
DEFAULTS = {"count": 1, "clear": 3, "mask": int(Quality.BAD), "before": 0}


def of_kind(name: str):  # type: ignore[no-untyped-def]
    """What makes the parameters of one of `KINDS` from a `TagSpec`."""
    before = 0
    for kind, bit in KINDS.items():
        if kind == name:
            break
        before |= int(bit)
    chosen = {"mask": int(KINDS[name]), "before": before}

    def of_tag(tag):  # type: ignore[no-untyped-def]
        # a tag that reports changes may send one good value in hours
        return chosen | ({"clear": 1} if tag.by_exception else {})

    return of_tag


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
        mask = params[row]["mask"]
        before = params[row]["before"]
        for j in range(starts[row], starts[row + 1]):
            if quality[j] & _PASSED_OVER:
                continue
            if quality[j] & mask and not quality[j] & before:
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
