"""Category: a state tag in a state, or in a change of state, that training never had.

Flag: no trained state lies within `tolerance` of the value (unseen state), or the change from the
state before to this one is not among the trained ones (illegal transition). It clears after `hold`
samples in a row without either. Score: distance to the nearest state / tolerance for an unseen
state, 1 for an illegal transition, 0 else. Changes are not judged across a gap (more than `gap_ns`
of the sample clock), nor to or from an unseen state: what happened in between was not seen.

`values` holds the `count` trained states, standardised; bit t of `next`[f] says that f -> t was
trained, where all bits are set nothing is judged. `fit.category` says when a record is evidence
enough. `count` 0: not a state tag, and the row costs nothing a sample. Cost about 1 ns a sample
while the state stays; state 24 bytes. Reference: a Markov chain's support, as in Ye, "A Markov
chain model of temporal behavior for anomaly detection", IEEE 2000; evidence by Good 1953.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import NEVER, kernel, tell

NAME = "category"
MOST = 16
"""Most states that a tag may have; each has a bit."""

NEAR = 0.25
"""Codes are whole numbers: so far from one, in the tag's unit, a value is none of them."""

PARAMS = np.dtype(
    [
        ("count", np.int64),
        ("tolerance", np.float64),
        ("hold", np.int64),
        ("gap_ns", np.int64),
        ("values", np.float64, (MOST,)),
        ("next", np.int64, (MOST,)),
    ]
)
DEFAULTS = {"count": 0, "tolerance": 0.0, "hold": 1, "gap_ns": 0, "values": 0.0, "next": 0}
STATE = np.dtype(
    [
        ("score", np.float64),
        ("active", np.int16),
        ("quiet", np.int32),
        ("place", np.int16),  # of the last state in `values`, from 1; 0: none, or unseen
        ("last_ns", np.int64),
    ]
)


@kernel
def fold(params, state, starts, until_ns, arrival, source, value, quality, out):  # type: ignore[no-untyped-def]
    """Fold all samples of each chart; see `base` for the signature."""
    written = 0
    for row in range(len(starts) - 1):
        count = params[row]["count"]
        if count == 0 or starts[row] == starts[row + 1]:
            continue
        tolerance = params[row]["tolerance"]
        hold = params[row]["hold"]
        gap = params[row]["gap_ns"]
        active = state[row]["active"]
        quiet = state[row]["quiet"]
        place = state[row]["place"]
        last_ns = state[row]["last_ns"]
        here = params[row]["values"][place - 1] if place > 0 else NEVER
        score = 0.0
        for j in range(starts[row], starts[row + 1]):
            score = 0.0
            if abs(value[j] - here) > tolerance:
                before = place
                nearest = abs(value[j] - params[row]["values"][0])
                place = 1
                for k in range(1, count):
                    distance = abs(value[j] - params[row]["values"][k])
                    if distance < nearest:
                        nearest = distance
                        place = k + 1
                if nearest > tolerance:
                    place = 0
                    score = nearest / tolerance
                elif before > 0 and source[j] - last_ns <= gap:
                    trained = (params[row]["next"][before - 1] >> (place - 1)) & 1
                    score = 0.0 if trained else 1.0
                here = params[row]["values"][place - 1] if place > 0 else NEVER
            last_ns = source[j]
            if score >= 1.0:
                quiet = 0
                if active == 1:
                    continue
                active = 1
            else:
                quiet = min(quiet + 1, hold)
                if active == 0 or quiet < hold:
                    continue
                active = 0
            written = tell(out, written, row, active, arrival[j], score)
        state[row]["active"] = active
        state[row]["quiet"] = quiet
        state[row]["place"] = place
        state[row]["last_ns"] = last_ns
        state[row]["score"] = score
    return written
