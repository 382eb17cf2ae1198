"""Pace: a sampled tag arrives at another rate than it did: slower or faster by `FACTOR`.

Per window of at least `_WINDOW` samples, by both clocks:

    pace = (time now - time at the window's start) / (samples * interval)

Flag: `_WINDOWS` windows in a row whose pace is above `FACTOR`, or below 1 / `FACTOR`, by arrival
and by source time alike. Or, which tells in time: gaps in a row that are alike to within `_ALIKE`
in both clocks, `_GAPS` longer than `_MANY` intervals, or `_MORE` longer than `_LONG`, or `_SHORTS`
shorter than `_SHORT`. It clears after `_WINDOWS` windows in a row that are neither. Score: how many
times too slow or too fast the last window or gap was, in the clock that shows less of it, over
`FACTOR`.

Both clocks, because a backlog arrives fast but was sampled as ever, and a frozen source clock
(`source_clock`) arrives as ever. Several windows, because one outage makes one window long, and
that is `missing`'s. A window ends only where arrival advances: a notification brings many samples
at once. Nothing is judged until `_STEADY` windows in a row kept the nominal interval to within
`_KEPT`: a tag whose interval nobody configured, or that reports changes, never gets there. Gaps
count from `_STEADY_GAPS` such windows on, and where a person said the interval (`known`) from
`_ON_TIME` gaps that keep it to within `_JITTER`, two more for each that does not. Replayed samples
and losses break a window off.

`interval_ns` 0: reports by exception, not judged. Cost about 1 ns a sample; state 96 bytes (of
tags, not of inputs). Reference: mean inter-arrival time over a window, as QARTOD's timing test.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import ENGINE_TIME, Moment, kernel, tell
from agent.types import Quality

NAME = "pace"
PARAMS = np.dtype([("interval_ns", np.int64), ("known", np.int64)])
DEFAULTS = {"interval_ns": 0, "known": 0}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int64),
        ("count", np.int64),  # samples in the window, its first included; 0: none yet
        ("start_ns", np.int64),
        ("source_start_ns", np.int64),
        ("last_ns", np.int64),
        ("run", np.int64),
        ("gaps", np.int64),  # gaps in a row that are alike and long, or -n: and short
        ("gap", np.int64),  # the first of them, in ns
        ("source_ns", np.int64),  # of the last sample
        ("steady", np.int64),  # windows in a row at the nominal interval, counted up to `_STEADY`
        ("kept", np.int64),  # gaps at it before those, counted up to twice `_ON_TIME`
    ]
)
MOMENTS: dict[str, Moment] = {
    "start_ns": ENGINE_TIME, "source_start_ns": Moment(beside="start_ns"), "last_ns": ENGINE_TIME,
    "source_ns": Moment(beside="last_ns"),
}
FACTOR = 2.0
_WINDOW = 16
_WINDOWS = 3
_STEADY = 16
_KEPT = 1.25
_LONG, _MORE = 1.9, 8
_MANY, _GAPS = 2.5, 4
_SHORT, _SHORTS, _BURST = 0.55, 16, 0.1  # what is shorter yet was sampled before and comes at once
_ALIKE = 1.25
_ON_TIME, _DIFFERS, _JITTER = 8, 4, 0.3
_STEADY_GAPS = 8  # windows in a row at the nominal interval until single gaps tell
_NOT_ON_TIME = int(
    Quality.COMMUNICATION_LOST | Quality.REPLAYED | Quality.CONTRACT_BROKEN | Quality.MASKED
)
_REPEATED = int(Quality.REPEATED)
_LATEST = 1 << 62


def of_tag(tag):  # type: ignore[no-untyped-def]
    """Parameters from a `TagSpec`: what reports changes has no pace."""
    return {"interval_ns": 0 if tag.by_exception else tag.interval_ns, "known": int(tag.paced)}


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
def in_band(gap, nominal):  # type: ignore[no-untyped-def]
    """Whether a gap is the nominal one, but for jitter."""
    share = np.float64(gap) / np.float64(nominal)
    return share >= 1.0 - _JITTER and share <= 1.0 + _JITTER


@kernel
def alike(gaps, first, kept, gap, told, nominal):  # type: ignore[no-untyped-def]
    """(gaps in a row that are alike, the first of them, `kept`) after one more.

    `gap` is the shorter of those by arrival and by the source's clock, `told` the longer.
    """
    side = 0
    if np.float64(gap) >= _LONG * np.float64(nominal):
        side = 1
    elif np.float64(told) <= _SHORT * np.float64(nominal) and (
        np.float64(gap) >= _BURST * np.float64(nominal)
    ):
        side = -1
    if side == 0:
        on_time = in_band(gap, nominal) or in_band(told, nominal)
        kept = min(kept + 1, 2 * _ON_TIME) if on_time else max(kept - 2, 0)
        return 0, 0, kept if gaps == 0 else min(kept, 1)
    if gaps * side > 0 and np.float64(gap) <= _ALIKE * np.float64(first) and (
        np.float64(gap) * _ALIKE >= np.float64(first)
    ):
        return max(min(gaps + side, _SHORTS), -_SHORTS), first, kept
    # the first gap after a change may be of any length: one that differs from the next is no doubt
    return side, gap, kept if gaps == 0 else max(kept - _DIFFERS, 0)


@kernel
def another(gaps, first, nominal):  # type: ignore[no-untyped-def]
    """Whether so many gaps in a row tell of another rate."""
    many = np.float64(first) >= _MANY * np.float64(nominal)
    return gaps <= -_SHORTS or gaps >= (_GAPS if many else _MORE)


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
        last, last_source = state[row]["last_ns"], state[row]["source_ns"]
        gaps, first, on_time = state[row]["gaps"], state[row]["gap"], state[row]["kept"]
        known = params[row]["known"]
        for j in range(starts[row], starts[row + 1]):
            if quality[j] & _REPEATED:
                continue
            if quality[j] & _NOT_ON_TIME:
                count = gaps = on_time = 0
                continue
            told = min(max(source[j], 0), _LATEST)
            if arrival[j] == last:
                gaps = 0  # a notification of many: what comes between two of them is no interval
            elif count > 0:
                least = min(arrival[j] - last, told - last_source)
                most = max(arrival[j] - last, told - last_source)
                gaps, first, on_time = alike(gaps, first, on_time, least, most, interval)
                judged = steady >= _STEADY_GAPS or (known == 1 and on_time >= _ON_TIME)
                if judged and active == 0 and another(gaps, first, interval):
                    active, run = 1, 0
                    off = np.float64(least) / np.float64(interval)
                    if gaps < 0:
                        off = np.float64(interval) / np.float64(most)
                    score = off / FACTOR
                    written = tell(out, written, row, active, arrival[j], score)
            last_source = told
            if count < _WINDOW or arrival[j] == last:
                if count == 0:
                    start, source_start = arrival[j], min(max(source[j], 0), _LATEST)
                count += 1
                last = arrival[j]
                continue
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
        state[row]["last_ns"], state[row]["source_ns"] = last, last_source
        state[row]["gaps"], state[row]["gap"], state[row]["kept"] = gaps, first, on_time
    return written
