"""Source clock: the device's own time stands still, or goes back, while samples keep arriving.

Flag: `count` samples in a row whose source time did not advance although they arrived later than
one another; or source time going back by more than 1 s again and again, more than twice within some
`_FORGET` samples. A clock that stands still with live values is a gateway or server that has lost
its time base; the same source time and value delivered again and again is a buffer served anew, and
so a duplicate sample is one that did not advance. A clock set back once (NTP, winter time) is no
fault: only its first sample then does not advance. It clears after `count` samples in a row whose
source time advances, with the steps back forgotten. Score: the larger of run / count and the share
of the steps back. Cost about 1 ns a sample; state 56 bytes (of tags, not of inputs). Reference:
OPC UA Part 4, SourceTimestamp.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import ENGINE_TIME, Moment, kernel, tell

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
        ("back", np.int64),  # `_FORGET` for each step back, less 1 a sample that advances
    ]
)
MOMENTS: dict[str, Moment] = {
    "last_source_ns": Moment(beside="last_arrival_ns"), "last_arrival_ns": ENGINE_TIME,
}
_BACK_NS = 1_000_000_000
_FORGET = 64
_AGAIN = 2 * _FORGET  # beyond it: the third step back while the two before are not forgotten
_NO_NEWS = 4 | 8 | 1 | 16 | 256 | 512
"""Lost, not a number, bad, replayed, held, masked: these say nothing about the clock."""
_UNCERTAIN = 2  # with the time of arrival: its own time was none
_LATEST = 1 << 62


def of_tag(tag):  # type: ignore[no-untyped-def]
    """Parameters from a `TagSpec`: the same for every tag."""
    return {}


@kernel
def _score(run, count, back):  # type: ignore[no-untyped-def]
    return max(np.float64(run) / np.float64(count), np.float64(back) / np.float64(_AGAIN + 1))


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each tag; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        active, count = state[row]["active"], params[row]["count"]
        last_source = state[row]["last_source_ns"]
        last_arrival = state[row]["last_arrival_ns"]
        run, good_run, back = state[row]["run"], state[row]["good_run"], state[row]["back"]
        for j in range(starts[row], starts[row + 1]):
            if quality[j] & _NO_NEWS or (quality[j] & _UNCERTAIN and source[j] == arrival[j]):
                continue
            # Clipped, so that no difference overflows, which compiled code leaves undefined.
            told = min(max(source[j], 0), _LATEST)
            if last_arrival != 0 and arrival[j] > last_arrival:
                if told > last_source:
                    run = 0
                    good_run += 1
                    back = max(back - 1, 0)
                else:
                    run += 1
                    good_run = 0
                    if last_source - told > _BACK_NS:
                        back = min(back + _FORGET, 2 * _AGAIN)
            last_source = told
            last_arrival = arrival[j]
            raised = run >= count or back > _AGAIN
            if (active == 0 and raised) or (active == 1 and good_run >= count and back == 0):
                active = 1 - active
                written = tell(out, written, row, active, arrival[j], _score(run, count, back))
        state[row]["active"] = active
        state[row]["last_source_ns"] = last_source
        state[row]["last_arrival_ns"] = last_arrival
        state[row]["run"] = run
        state[row]["good_run"] = good_run
        state[row]["back"] = back
        state[row]["score"] = _score(run, count, back)
    return written
