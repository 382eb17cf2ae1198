"""Pace: a sampled tag arrives at another rate than it did: slower or faster by `FACTOR`.

Per window of at least `_WINDOW` samples, by both clocks:

    pace = (time now - time at the window's start) / (samples * interval)

Flag: `_WINDOWS` windows in a row whose pace is above `FACTOR`, or below 1 / `FACTOR`, by arrival
and by source time alike. It clears after as many in a row that are neither. Score: how many times
too slow or too fast the last window was, in the clock that shows less of it, over `FACTOR`.

Both clocks, because a backlog arrives fast but was sampled as ever, and a frozen source clock
(`source_clock`) arrives as ever. Several windows, because one outage makes one window long, and
that is `missing`'s. A window ends only where arrival advances: a notification brings many samples
at once. Nothing is judged until `_STEADY` windows in a row kept the nominal interval to within
`_KEPT`: a tag whose interval nobody configured, or that reports changes, never gets there. Replayed
samples and losses break a window off.

`interval_ns` 0: reports by exception, not judged. Cost about 1 ns a sample; state 64 bytes (of
tags, not of inputs). Reference: mean inter-arrival time over a window, as QARTOD's timing test.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import ENGINE_TIME, Moment, kernel, tell
from agent.types import Quality

NAME = "pace"
PARAMS = np.dtype([("interval_ns", np.int64)])
DEFAULTS = {"interval_ns": 0}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int64),
        ("count", np.int64),  # samples in the window, its first included; 0: none yet
        ("start_ns", np.int64),
        ("source_start_ns", np.int64),
        ("last_ns", np.int64),
        ("run", np.int64),
        ("steady", np.int64),  # windows in a row at the nominal interval, counted up to `_STEADY`
    ]
)
MOMENTS: dict[str, Moment] = {
    "start_ns": ENGINE_TIME, "source_start_ns": Moment(beside="start_ns"), "last_ns": ENGINE_TIME,
}
FACTOR = 2.0
_WINDOW = 16
_WINDOWS = 3
_STEADY = 16
_KEPT = 1.25
_NOT_ON_TIME = int(Quality.COMMUNICATION_LOST | Quality.REPLAYED)
_REPEATED = int(Quality.REPEATED)
_LATEST = 1 << 62


def of_tag(tag):  # type: ignore[no-untyped-def]
    """Parameters from a `TagSpec`: what reports changes has no pace."""
    return {"interval_ns": 0 if tag.by_exception else tag.interval_ns}


@kernel
def judge(active, run, steady, side, kept):  # type: ignore[no-untyped-def]
    """(active, run, steady) after a window that was too slow (`side` 1), too fast (-1) or neither.

    `kept` says that it was at the nominal interval (1) or not (0).
    `run` counts windows in a row that speak for a change of `active`.
    """
    if active == 1:
        run = run + 1 if side == 0 else 0
        return (0, 0, steady) if run >= _WINDOWS else (1, run, steady)
    if steady < _STEADY:
        return 0, 0, steady + 1 if kept == 1 else 0
    if side == 0:
        return 0, 0, steady
    run = run + side if run * side > 0 else side
    return (1, 0, steady) if abs(run) >= _WINDOWS else (0, run, steady)


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each tag; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        interval = params[row]["interval_ns"]
        if interval == 0 or starts[row] == starts[row + 1]:
            continue
        active, run, steady = state[row]["active"], state[row]["run"], state[row]["steady"]
        count, score = state[row]["count"], state[row]["score"]
        start, source_start = state[row]["start_ns"], state[row]["source_start_ns"]
        last = state[row]["last_ns"]
        for j in range(starts[row], starts[row + 1]):
            if quality[j] & _REPEATED:
                continue
            if quality[j] & _NOT_ON_TIME:
                count = 0
                continue
            if count < _WINDOW or arrival[j] == last:
                if count == 0:
                    start, source_start = arrival[j], min(max(source[j], 0), _LATEST)
                count += 1
                last = arrival[j]
                continue
            told = min(max(source[j], 0), _LATEST)
            whole = np.float64(count) * np.float64(interval)
            by_arrival = np.float64(arrival[j] - start) / whole
            by_source = np.float64(told - source_start) / whole
            slow, fast = min(by_arrival, by_source), max(by_arrival, by_source)
            side = 1 if slow >= FACTOR else -1 if fast * FACTOR <= 1.0 else 0
            kept = 1 if fast <= _KEPT and slow * _KEPT >= 1.0 else 0
            score = max(slow, 1.0 / max(fast, 1e-9)) / FACTOR
            start, source_start, last, count = arrival[j], told, arrival[j], 1
            before = active
            active, run, steady = judge(active, run, steady, side, kept)
            if active != before:
                written = tell(out, written, row, active, arrival[j], score)
        state[row]["active"], state[row]["run"], state[row]["steady"] = active, run, steady
        state[row]["count"], state[row]["score"] = count, score
        state[row]["start_ns"], state[row]["source_start_ns"] = start, source_start
        state[row]["last_ns"] = last
    return written
