"""Late data: the lag of arrival behind source time grew beyond what it was.

    lag = arrival - source time
    usual: the mean lag of the first `_LEARN` samples in service (a record for training has no
    arrival times) that lie within `limit_ns` of one another; then following the lag, down by 1/64
    of the difference a sample and up by 1/4096, so that a device clock that loses seconds a day is
    no fault and data that fall behind are. `_RELEARN` samples in a row with lag < usual -
    `limit_ns` (it began with a backlog, or the clock was set) have it learnt anew.

Flag: `_RUN` samples in a row with lag > usual + `limit_ns`; `usual` rests meanwhile. It clears
after `_RUN` in a row without, which is less than the on-delay: one burst is no alarm. Score: (lag -
usual) / limit_ns. Replayed, lost and bad samples do not count: a replay is late and says so; nor do
those that should have had a time and had none. A source without a clock has no lag. `limit_ns` from
`NEVER_NS` on: not judged, and the row costs nothing a sample. Cost about 4 ns a sample; state 48
bytes (of tags, not of inputs). Reference: OPC UA Part 4, SourceTimestamp and ServerTimestamp;
exponential smoothing, Roberts 1959.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import Moment, kernel, tell
from agent.types import Quality

NAME = "late"
NEVER_NS = 1 << 60
PARAMS = np.dtype([("limit_ns", np.int64)])
DEFAULTS = {"limit_ns": NEVER_NS}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int64),
        ("learnt", np.int64),  # samples, counted up to `_LEARN`
        ("usual", np.float64),  # ns
        ("run", np.int64),  # samples in a row: > 0 above usual + limit, < 0 below usual - limit
        ("good_run", np.int64),
    ]
)
MOMENTS: dict[str, Moment] = {"usual": Moment(lag="learnt")}
_LEARN = 64
_DOWN = 1.0 / _LEARN
_UP = 1.0 / 4096
_RUN = 3
_RELEARN = 16
_NO_NEWS = int(
    Quality.COMMUNICATION_LOST | Quality.NOT_A_NUMBER | Quality.BAD | Quality.REPLAYED
    | Quality.REPEATED | Quality.CONTRACT_BROKEN | Quality.MASKED
)
_UNCERTAIN = int(Quality.UNCERTAIN)
_LATEST = 1 << 62
_LEAST_NS = 10_000_000_000
_INTERVALS = 10


def of_tag(tag):  # type: ignore[no-untyped-def]
    """Parameters from a `TagSpec`: how much more than usual its data may lag.

    A label's time is when it was sampled: it is not judged.
    """
    if tag.role == "label":
        return {"limit_ns": NEVER_NS}
    return {"limit_ns": min(max(_LEAST_NS, _INTERVALS * tag.interval_ns), NEVER_NS)}


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each tag; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        limit = params[row]["limit_ns"]
        if limit >= NEVER_NS or starts[row] == starts[row + 1]:
            continue
        inverse = 1.0 / np.float64(limit)
        active, learnt, usual = state[row]["active"], state[row]["learnt"], state[row]["usual"]
        run, good_run, score = state[row]["run"], state[row]["good_run"], state[row]["score"]
        for j in range(starts[row], starts[row + 1]):
            if quality[j] & _NO_NEWS:
                continue
            if quality[j] & _UNCERTAIN and source[j] == arrival[j]:
                continue  # it should have had a time of its own: nobody can say that it is in time
            # Clipped, so that no difference overflows, which compiled code leaves undefined.
            lag = np.float64(arrival[j] - min(max(source[j], 0), _LATEST))
            more = lag - usual
            if learnt < _LEARN:
                learnt = 1 if abs(more) > limit else learnt + 1
                usual += more / np.float64(learnt)
                continue
            score = more * inverse
            if score > 1.0:
                run = max(run, 0) + 1
                good_run = 0
            else:
                run = min(run, 0) - 1 if score < -1.0 else 0
                good_run += 1
                # Clipped, so that one wild time stamp moves next to nothing.
                usual += max(more * _DOWN, -_DOWN * limit) if more < 0.0 else more * _UP
                learnt = 0 if run <= -_RELEARN else learnt
            if (active == 0 and run >= _RUN) or (active == 1 and good_run >= _RUN):
                active = 1 - active
                written = tell(out, written, row, active, arrival[j], score)
        state[row]["active"], state[row]["learnt"], state[row]["usual"] = active, learnt, usual
        state[row]["run"], state[row]["good_run"], state[row]["score"] = run, good_run, score
    return written
