"""Source clock: the device's own time stands still, or goes back, while samples keep arriving.

Flag: `count` samples in a row whose source time did not advance although they arrived later than
one another. A frozen clock with live values is a gateway or server that has lost its time base, or
a buffer served again and again. It clears after `count` samples whose source time advances. Score:
run / count. Cost about 1 ns a sample; state 40 bytes. Reference: OPC UA Part 4, SourceTimestamp.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import kernel

NAME = "source_clock"
PARAMS = np.dtype([("count", np.int64)])
DEFAULTS = {"count": 10}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int64),
        ("last_source_ns", np.int64),
        ("last_arrival_ns", np.int64),
        ("run", np.int64),
        ("good_run", np.int64),
    ]
)
_NO_NEWS = 4 | 8 | 1 | 16  # lost, not a number, bad, replayed: these say nothing about the clock


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each tag; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        active = state[row]["active"]
        last_source = state[row]["last_source_ns"]
        last_arrival = state[row]["last_arrival_ns"]
        run = state[row]["run"]
        good_run = state[row]["good_run"]
        count = params[row]["count"]
        for j in range(starts[row], starts[row + 1]):
            if quality[j] & _NO_NEWS:
                continue
            if arrival[j] > last_arrival > 0:
                if source[j] > last_source:
                    run = 0
                    good_run += 1
                else:
                    run += 1
                    good_run = 0
            last_source = source[j]
            last_arrival = arrival[j]
            if (active == 0 and run >= count) or (active == 1 and good_run >= count):
                active = 1 - active
                out[written]["row"] = row
                out[written]["up"] = active
                out[written]["time_ns"] = arrival[j]
                out[written]["score"] = np.float64(run) / np.float64(count)
                written += 1
        state[row]["active"] = active
        state[row]["last_source_ns"] = last_source
        state[row]["last_arrival_ns"] = last_arrival
        state[row]["run"] = run
        state[row]["good_run"] = good_run
        state[row]["score"] = np.float64(run) / np.float64(count)
    return written
