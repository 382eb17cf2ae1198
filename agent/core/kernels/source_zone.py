"""Source zone: the device's clock went by whole quarters of an hour, as by another time zone.

    lag = arrival - source time
    usual: the mean lag of the first `_LEARN` samples within `_NEAR_NS` of one another; then
    following the lag by 1/64 of the difference
    off = (lag - usual) in quarters of an hour

Flag: the lag leapt, and `_RUN` samples in a row, over `_SPAN` intervals at least, are off by the
same whole number of quarters, to within `_NEAR_NS`: no zone differs from another by less (IANA tz).
Data that wait in a queue fall behind, and what comes out of one comes faster than it was sampled.
It clears after `_RUN` samples in a row that are not off by whole quarters, or by more than `_MOST`,
beyond which no two zones are apart. Score: the number of quarters.

Only tags sampled in less than `_SLOWEST_NS` are judged: what is told every quarter of an hour is
late by such times as it is collected. Replayed, lost and bad samples do not count, as for `late`.
Cost about 4 ns a sample; state 80 bytes (of tags, not of inputs). Reference: OPC UA Part 4,
SourceTimestamp, which is UTC.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import ENGINE_TIME, Moment, kernel, tell
from agent.types import Quality

NAME = "source_zone"
PARAMS = np.dtype([("interval_ns", np.int64)])
DEFAULTS = {"interval_ns": 0}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int64),
        ("learnt", np.int64),  # samples, counted up to `_LEARN`
        ("usual", np.float64),  # ns
        ("last", np.float64),  # lag of the latest sample, ns
        ("off", np.int64),  # quarters, of the samples in `run`
        ("run", np.int64),  # samples in a row that are off by as many
        ("began_ns", np.int64),  # arrival of the first of them
        ("good_run", np.int64),
    ]
)
MOMENTS: dict[str, Moment] = {
    "usual": Moment(lag="learnt"), "last": Moment(lag="learnt"), "began_ns": ENGINE_TIME,
}
QUARTER_NS = 900_000_000_000
_NEAR_NS = 5_000_000_000
_SLOWEST_NS = QUARTER_NS // 9
_MOST = 104  # 26 hours
_LEARN = 3  # few: a leap of a quarter of an hour is far from what any of them may differ by
_FOLLOWS = 1.0 / 64.0
_RUN, _SPAN = 5, 4
_NO_NEWS = int(
    Quality.COMMUNICATION_LOST | Quality.NOT_A_NUMBER | Quality.BAD | Quality.REPLAYED
    | Quality.REPEATED | Quality.CONTRACT_BROKEN | Quality.MASKED
)
_UNCERTAIN = int(Quality.UNCERTAIN)
_LATEST = 1 << 62


def of_tag(tag):  # type: ignore[no-untyped-def]
    """Parameters from a `TagSpec`: 0 where it is not judged, as labels and slow tags are."""
    judged = tag.role != "label" and 0 < tag.interval_ns < _SLOWEST_NS
    return {"interval_ns": tag.interval_ns if judged else 0}


@kernel
def quarters(more):  # type: ignore[no-untyped-def]
    """(whole quarters of an hour nearest to a lag, how far it is from them in ns)."""
    off = np.int64(np.floor(more / QUARTER_NS + 0.5))
    return off, abs(more - np.float64(off) * QUARTER_NS)


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each tag; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        interval = params[row]["interval_ns"]
        if interval == 0 or starts[row] == starts[row + 1]:
            continue
        active, learnt, usual = state[row]["active"], state[row]["learnt"], state[row]["usual"]
        off, run, began = state[row]["off"], state[row]["run"], state[row]["began_ns"]
        good_run, last, score = state[row]["good_run"], state[row]["last"], state[row]["score"]
        for j in range(starts[row], starts[row + 1]):
            if quality[j] & _NO_NEWS or (quality[j] & _UNCERTAIN and source[j] == arrival[j]):
                continue
            # Clipped, so that no difference overflows, which compiled code leaves undefined.
            lag = np.float64(arrival[j] - min(max(source[j], 0), _LATEST))
            more, leap, last = lag - usual, abs(lag - last), lag
            if learnt < _LEARN:
                learnt = 1 if abs(more) > _NEAR_NS else learnt + 1
                usual += more / np.float64(learnt)
                continue
            now_off, rest = quarters(more)
            if now_off == 0:
                usual += max(min(more, _NEAR_NS), -_NEAR_NS) * _FOLLOWS
                good_run, run = good_run + 1, 0
            elif rest > _NEAR_NS or abs(now_off) > _MOST:
                good_run, run = good_run + 1, 0  # it is no other zone, or not any more
            elif run > 0 and now_off == off:
                good_run, run = 0, run + 1
            else:
                off, began, good_run = now_off, arrival[j], 0
                run = 1 if leap > 0.5 * QUARTER_NS else 0
            score = np.float64(abs(off)) if run > 0 else 0.0
            lasts = run >= _RUN and arrival[j] - began >= _SPAN * interval
            if (active == 0 and lasts) or (active == 1 and good_run >= _RUN):
                active = 1 - active
                written = tell(out, written, row, active, arrival[j], score)
        state[row]["active"], state[row]["learnt"], state[row]["usual"] = active, learnt, usual
        state[row]["off"], state[row]["run"], state[row]["began_ns"] = off, run, began
        state[row]["good_run"], state[row]["last"], state[row]["score"] = good_run, last, score
    return written
