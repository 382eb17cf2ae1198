"""Again: old values come once more, as from a cache, a buffer or a historian that repeats.

Two ways, of which the worse counts:

- a block of old values: for each lag of 2 to `LAGS` samples, how many values in a row equal the one
  so many samples before. Only values that differ from the one before count: rest is no evidence;
- each value several times: how many values in a row came at least 2, 3 or 5 times each. A value
  that was restated while its source was silent came so often too: of a source that tells changes
  only, one that is asked at a slower rate shows in nothing else.

    score = max over these of (values in a row / those that the record makes possible)

Flag: score >= `limit`; it clears after `hold` samples in a row below. Values
are compared by a code of 16 bits of them; the runs are long enough for that. `run` is of the lags,
then of the three repetitions: `fit.served`. Cost about 30 ns a sample; state 236 bytes.
Reference: QARTOD flat line test, for lags.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell
from agent.core.kernels.runs import held
from agent.types import Quality

NAME = "again"
LAGS = 64
"""Samples back of the ring; lags are less."""
TIMES = (2, 3, 5)
"""Times that each value comes."""

PARAMS = np.dtype([("limit", np.float64), ("hold", np.int64), ("run", np.int64, (4,))])
DEFAULTS = {"limit": NEVER, "hold": 1, "run": 1}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int32),
        ("quiet", np.int32),
        ("count", np.int64),  # samples ever
        ("same", np.int32),  # of the present value in a row, counted up to 255
        ("often", np.int32, (3,)),  # values in a row that came so often
        ("ring", np.uint16, (LAGS,)),
        ("match", np.uint8, (LAGS,)),  # by lag
    ]
)
_HELD = int(Quality.HELD)
_FINE = 1048576.0  # codes tell values apart that differ by a millionth of a standard deviation
_MOST = 250


@kernel
def code_of(value):  # type: ignore[no-untyped-def]
    """16 bits of a value; the same of the same one."""
    return np.uint16(np.int64(value * _FINE) & 65535)


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        limit = params[row]["limit"]
        if limit >= NEVER or starts[row] == starts[row + 1]:
            continue
        hold, run = params[row]["hold"], params[row]["run"]
        ring, match, often = state[row]["ring"], state[row]["match"], state[row]["often"]
        active, quiet = state[row]["active"] + 0, state[row]["quiet"] + 0
        count, same, score = state[row]["count"], state[row]["same"] + 0, state[row]["score"]
        for j in range(starts[row], starts[row + 1]):
            if quality[j] & _HELD:
                same = min(same + 1, 255)
                continue
            code = code_of(value[j])
            last = ring[(count - 1) % LAGS] if count > 0 else code
            moved = count > 0 and code != last
            best = 0
            for lag in range(2, LAGS):
                if lag > count:
                    break
                if ring[(count - lag) % LAGS] != code:
                    match[lag] = 0
                elif moved and match[lag] < _MOST:
                    match[lag] += 1
                if match[lag] > best:
                    best = match[lag] + 0
            score = np.float64(best) / np.float64(run[0])
            for k in range(3):
                least = 2 + k if k < 2 else 5
                if moved:
                    often[k] = min(often[k] + 1, _MOST) if same >= least else 0
                score = max(score, np.float64(often[k]) / np.float64(run[k + 1]))
            same = 1 if moved or count == 0 else min(same + 1, 255)
            ring[count % LAGS] = code
            count += 1
            was = active
            active, quiet = held(active, quiet, score >= limit, hold)
            if active != was:
                written = tell(out, written, row, active, arrival[j], score / limit)
        state[row]["active"], state[row]["quiet"] = active, quiet
        state[row]["count"], state[row]["same"], state[row]["score"] = count, same, score
    return written
