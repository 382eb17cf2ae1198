"""What a short record can not show: how far a level may yet move.

Many tags of a plant move with a correlation time of an hour and more. A record of minutes shows
only how fast they set out. The level is taken for a random walk that is drawn back within
`HORIZON_NS` (an Ornstein-Uhlenbeck process): the means of the record's eighths tell its pace, and
how far they lie apart by noise alone is told by the means of finer parts. The longer the record,
the more of it is seen.
"""

from __future__ import annotations

from math import exp, sqrt

import numpy as np

from agent.types import Float64

HORIZON_NS = 3_600_000_000_000
MOST_RECORDS = 10.0  # lengths of the record; it says nothing of what lies further ahead
PARTS = 8
FINER = 4
_DEVIATIONS = 1.15  # of the level; a level chart allows for half of its shift besides
_HIDDEN = 0.25  # share of the eighths' variance that may be movement though noise explains it all


def unseen_share(length_ns: int) -> float:
    """Share, 0 to 1, of movement within the horizon that a record of this length does not hold."""
    return exp(-length_ns / HORIZON_NS)


def unseen_movement(z: Float64, length_ns: int) -> float:
    """How far the level of a record may move beyond what it shows, in the units of z.

    A level that gains variance q in each eighth of the record spreads the means of eighths to 1.3 q
    and, drawn back within the horizon, itself to 4 q horizon / length: three times as much. Where
    the eighths differ by no more than the means of finer parts make likely, a quarter of that may
    still be movement.

    Args:
        z: float64[n] in order of time, n >= PARTS.
        length_ns: time that the record covers.
    """
    coarse = _variance_of_means(z, PARTS)
    moved = coarse
    if len(z) >= 2 * PARTS * FINER:
        fine = _variance_of_means(z, PARTS * FINER)
        # A quarter of the fine parts' variance is left in the coarse ones where they are unrelated.
        moved = max((FINER * coarse - fine) / (FINER - 1), _HIDDEN * coarse)
    ahead = min(HORIZON_NS / length_ns, MOST_RECORDS)
    return _DEVIATIONS * sqrt(3.0 * moved * ahead) * unseen_share(length_ns)


def _variance_of_means(z: Float64, parts: int) -> float:
    return float(np.var([part.mean() for part in np.array_split(z, parts)]))
