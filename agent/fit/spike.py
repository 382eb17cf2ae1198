"""Limits of `spike`: of one, and of lesser ones that come too often."""

from __future__ import annotations

from math import ceil, log

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from agent.fit.tails import peaks_limit
from agent.types import Float64

WEIGHT = 50  # samples in which a lesser spike is forgotten: one in 50 is too often
RARE = 1000.0  # samples between two lesser spikes of the record
_LEAST_GROWTH = 1.5
_OFTEN = 0.98  # quantile beyond which there are enough to tell how many come together
_TOGETHER = 5  # samples
_FULLEST = 0.9  # share of its decay that lesser spikes may feed the tally, for it to have a bound


def fit_spike(sizes: Float64, resolution: float, arl: float, hold: int) -> dict[str, float]:
    """Parameters of `spike`, each of its two rules with half of the chart's false alarms.

    Where lesser spikes come in clusters of c (a held value that jumps makes two), each once in
    `RARE` samples, the tally of them reaches `most` once in exp(x * (most - W) / W) clusters, with
    W = c * WEIGHT and x the root of exp(x) = 1 + x * RARE / W (Lundberg's bound). Where the record
    shows more, its largest tally is extrapolated: its growth is linear in the logarithm of time.
    There is no bound from W = `RARE` on, as where all that is large lies in one rough hour of the
    record: W then counts as a little less, and the tally has to grow very large.

    Args:
        sizes: float64[n] of the statistic over the record, not all 0.
        resolution: of the values, in the statistic's unit.
        arl: average run length of the chart, in samples.
        hold: samples after which the flag of one alone clears.
    """
    limit = peaks_limit(sizes, arl=2 * arl, apart=hold) + resolution
    minor = min(peaks_limit(sizes, arl=RARE, apart=hold) + resolution, limit)
    weight = min(WEIGHT * _cluster(sizes), _FULLEST * RARE)
    alone = weight * (1.0 + log(max(2 * arl / RARE, 1.0)) / _decay(RARE / weight))
    growth = max(log(2 * arl) / log(max(len(sizes), 2)), _LEAST_GROWTH)
    shown = growth * _largest_tally(sizes >= minor)
    most = ceil(max(alone, shown))
    return {"limit": limit, "minor": minor, "weight": WEIGHT, "most": most, "hold": hold}


def _cluster(sizes: Float64) -> float:
    """How many large values come together, on average (the inverse of the extremal index)."""
    at = np.flatnonzero(sizes > np.quantile(sizes, _OFTEN))
    return len(at) / max(int(np.count_nonzero(np.diff(at) > _TOGETHER)) + 1, 1) if len(at) else 1.0


def _decay(rarity: float) -> float:
    """The positive root x of exp(x) = 1 + x * rarity, for rarity > 1."""
    return float(brentq(lambda x: np.expm1(x) - x * rarity, 1e-6, 2.0 * log(rarity) + 2.0))


def _largest_tally(hits: NDArray[np.bool_]) -> float:
    """The largest value that the kernel's tally takes over the record."""
    walk = np.cumsum(np.where(hits, WEIGHT, -1))
    lowest = np.minimum(np.minimum.accumulate(walk), 0)
    return float((walk - lowest).max())
