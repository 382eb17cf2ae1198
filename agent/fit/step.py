"""Limits of `step` and `outside` from a training record."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from agent.fit.record import Dynamics, Record
from agent.fit.tails import peaks_limit, summed_limit
from agent.types import Float64

BLOCKS = (4, 8, 16, 32)
"""Lengths tried, in samples; the one whose limit is smallest sees the smallest step."""

HOLD = 30  # samples without a step after which the flag clears
OUTSIDE_TAU = 12.0
SOON = 300  # samples outside after which a short record is said to have been left
SEEN = 1.5  # times what the record shows beyond its edges
EDGE = 0.005  # share of the record beyond each end of what counts as its range
_FEWEST = 5  # independent comparisons that a limit needs; how few they are widens it
_GAUSSIAN = 8  # samples whose mean is nearly Gaussian


def fit_step(record: Record, arl: float, gap_ns: int) -> dict[str, float] | None:
    """Parameters of `step`; None where the record is too short for any block length."""
    best: dict[str, float] | None = None
    for block in BLOCKS:
        apart = _comparisons(record.z, record.joined, block)
        if len(apart) < _FEWEST * 2 * block or not apart.any():
            continue
        limit = _limit(apart, block, arl)
        if best is None or limit < best["limit"]:
            best = {"block": block, "limit": limit, "hold": ceil(HOLD / block), "gap_ns": gap_ns}
    return best


def _limit(apart: Float64, block: int, arl: float) -> float:
    """What one of the comparisons at all block lengths tried exceeds once in `arl` samples.

    The smallest of several limits is taken, so each is given as many times the run length.
    Means of few samples have tails of their own; so have those that surprise.
    """
    limit, surprised = summed_limit(apart, min(block / (len(BLOCKS) * arl), 0.5))
    if block < _GAUSSIAN or surprised:
        limit = max(limit, peaks_limit(np.abs(apart), arl=arl, apart=max(HOLD, 2 * block)))
    return limit


def _comparisons(z: Float64, joined: NDArray[np.bool_], block: int) -> Float64:
    """m[b] - m[b-2] of means of `block` samples, at every place of the record without a gap."""
    parts = []
    starts = np.flatnonzero(~joined)
    for start, stop in zip(starts, [*starts[1:], len(z)], strict=True):
        sums = np.concatenate([[0.0], np.cumsum(z[start:stop])])
        means = (sums[block:] - sums[:-block]) / block
        if len(means) > 2 * block:
            parts.append(means[2 * block :] - means[: -2 * block])
    return np.concatenate(parts) if parts else np.zeros(0)


def fit_outside(
    record: Record, moves: Dynamics, beyond: float, *, provisional: bool
) -> dict[str, float]:
    """Parameters of `outside`: for how long most samples must lie beyond the record's range.

    Its range is what all but `EDGE` of it lie within, on each side: one wild moment of the record
    is no range. An excursion of a stationary input beyond that is rare, and short beside tau (above
    2.6 sd an AR(1) process is drawn back within about 0.6 tau: Ricciardi & Sato 1988), so 12 tau of
    it do not happen; tau is taken two standard errors longer than estimated. A provisional record's
    range is no limit of the process; there it is said soon, as a fact for people, whatever it may
    mean. The range is wider by `beyond`, how far a short record's level may yet move (`unseen`).
    What the record itself shows beyond its edges is normal in any case.
    """
    limit = ceil(OUTSIDE_TAU * moves.tau * (1.0 + 2.0 / np.sqrt(moves.freedom)))
    if provisional:
        limit = min(limit, SOON)
    step = record.resolution / record.scale
    low, high = np.quantile(record.z, [EDGE, 1.0 - EDGE]) + np.array([-step, step])
    seen = _longest_outside((record.z < low) | (record.z > high))
    return {
        "low": low - beyond, "high": high + beyond, "limit": max(limit, HOLD, ceil(SEEN * seen)),
    }  # fmt: skip


def _longest_outside(outside: NDArray[np.bool_]) -> int:
    """The largest value that the statistic of `outside` takes over the record."""
    walk = np.cumsum(np.where(outside, 1, -1))
    lowest = np.minimum(np.minimum.accumulate(walk), 0)
    return int((walk - lowest).max())
