"""Stuck: more samples in a row equal, within the tolerance, than the record makes possible.

Flag: a run of >= `limit` samples with |v - first of the run| <= tolerance. It clears after `hold`
samples in a row that belong to no such run. Score: length of the run / limit. Samples are counted,
not seconds: a tag that reports by exception is restated at the record's interval before it gets
here. Cost about 0.2 ns a sample; state 40 bytes. Reference: QARTOD flat line test; the limit is by
peaks over threshold of run lengths.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import kernel, tell

NAME = "stuck"
PARAMS = np.dtype([("tolerance", np.float64), ("limit", np.int64), ("hold", np.int64)])
DEFAULTS = {"tolerance": 0.0, "limit": 1 << 62, "hold": 1}
_RUN = 64  # samples looked at together while no flag is up
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
        j = start
        look = start + 1  # where the next run begins
        while j < stop:
            if active == 0 and run == 1 and j >= look and stop - j >= _RUN and limit > 1:
                # Often no two neighbours are equal, so each is the first of its own run.
                part = value[j - 1 : j + _RUN]
                found = 0
                for i in range(_RUN):
                    found += abs(part[i + 1] - part[i]) <= tolerance
                look = j + _RUN
                if found == 0:
                    j = look
                    first = value[j - 1]
                    quiet += _RUN
                    continue
            if run > 0 and abs(value[j] - first) <= tolerance:
                run += 1
            else:
                run = 1
                first = value[j]
            j += 1
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
            score = np.float64(run) / np.float64(limit)
            written = tell(out, written, row, active, arrival[j - 1], score)
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["run"] = run
        state[row]["first"] = first
        state[row]["score"] = np.float64(run) / np.float64(limit)
    return written
