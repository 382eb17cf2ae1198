"""Stuck: more samples in a row equal, within the tolerance, than the record makes possible.

Flag: a run of >= `limit` samples whose largest and smallest differ by <= tolerance, which does not
stay at a plateau of training: one of the `count` `values` (a limit of the control, 0 of a standing
machine, a saturated end) where the record rested for as long as it likes. It clears after `hold`
samples in a row that belong to no such run. Score: length of the run / limit. Samples are counted,
not seconds: a tag that reports by exception is restated at the record's interval before it gets
here. Cost about 0.2 ns a sample; state 42 bytes. Reference: QARTOD flat line test; the limit is by
peaks over threshold of run lengths.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import kernel, tell
from agent.core.kernels.gaps import RUN
from agent.core.kernels.runs import LEAST, calm_until, held

NAME = "stuck"
MOST = 4
"""Most plateaus that an input may have."""

PARAMS = np.dtype(
    [
        ("tolerance", np.float64),
        ("limit", np.int64),
        ("hold", np.int64),
        ("count", np.int64),
        ("values", np.float64, (MOST,)),
    ]
)
DEFAULTS = {"tolerance": 0.0, "limit": 1 << 62, "hold": 1, "count": 0, "values": 0.0}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int16),
        ("quiet", np.int64),
        ("run", np.int64),
        ("low", np.float64),
        ("high", np.float64),
    ]
)


@kernel
def _rests(values, count, low, high, tolerance):  # type: ignore[no-untyped-def]
    """Whether a run from `low` to `high` stays at a plateau."""
    for place in range(count):
        if max(high, values[place]) - min(low, values[place]) <= tolerance:
            return True
    return False


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
        count, values = params[row]["count"], params[row]["values"]
        active = state[row]["active"]
        quiet = state[row]["quiet"]
        run = state[row]["run"]
        low, high = state[row]["low"], state[row]["high"]
        j = start
        look = start + 1  # where the next run begins
        while j < stop:
            if active == 0 and run == 1 and j >= look and stop - j >= LEAST and limit > 1:
                # Often no two neighbours are equal, so each is a run of its own.
                calm = calm_until(value, j, stop, 1, 0.0, -1.0, -tolerance)
                look = calm + RUN
                if calm > j:
                    j = calm
                    low = high = value[j - 1]
                    continue
            if run > 0 and max(high, value[j]) - min(low, value[j]) <= tolerance:
                run += 1
                low, high = min(low, value[j]), max(high, value[j])
            else:
                run = 1
                low = high = value[j]
            j += 1
            if active == 0 and run < limit:
                continue
            before = active
            hit = run >= limit and not _rests(values, count, low, high, tolerance)
            active, quiet = held(active, quiet, hit, hold)
            if active != before:
                score = np.float64(run) / np.float64(limit)
                written = tell(out, written, row, active, arrival[j - 1], score)
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["run"] = run
        state[row]["low"], state[row]["high"] = low, high
        state[row]["score"] = np.float64(run) / np.float64(limit)
    return written
