"""Stuck: more samples in a row equal, within the tolerance, than the record makes possible.

Flag: a run of >= `limit` samples with |v - first of the run| <= tolerance. It clears after `hold`
samples in a row that belong to no such run. Score: length of the run / limit. Samples are counted,
not seconds: a tag that reports by exception is restated at the record's interval before it gets
here. Cost about 1.5 ns a sample; state 40 bytes. Reference: QARTOD flat line test; the limit is by
peaks over threshold of run lengths.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import kernel

NAME = "stuck"
PARAMS = np.dtype([("tolerance", np.float64), ("limit", np.int64), ("hold", np.int64)])
DEFAULTS = {"tolerance": 0.0, "limit": 1 << 62, "hold": 1}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int64),
        ("quiet", np.int64),
        ("run", np.int64),
        ("first", np.float64),
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
        tolerance = params[row]["tolerance"]
        limit = params[row]["limit"]
        hold = params[row]["hold"]
        active = state[row]["active"]
        quiet = state[row]["quiet"]
        run = state[row]["run"]
        first = state[row]["first"]
        for j in range(start, stop):
            if run > 0 and abs(value[j] - first) <= tolerance:
                run += 1
            else:
                run = 1
                first = value[j]
            if run >= limit:
                quiet = 0
                if active == 1:
                    continue
                active = 1
            else:
                quiet += 1
                if active == 0 or quiet < hold:
                    continue
                active = 0
            out[written]["row"] = row
            out[written]["up"] = active
            out[written]["time_ns"] = arrival[j]
            out[written]["score"] = np.float64(run) / np.float64(limit)
            written += 1
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["run"] = run
        state[row]["first"] = first
        state[row]["score"] = np.float64(run) / np.float64(limit)
    return written
