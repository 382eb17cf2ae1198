"""Limits of `step` from a training record."""

from __future__ import annotations

from math import ceil

import numpy as np

from agent.fit.record import Record
from agent.fit.tails import peaks_limit, separation_limit, summed_limit
from agent.types import Float64

CHARTS = ((4, 1), (8, 1), (16, 1), (32, 1), (24, 4), (32, 4))
"""(samples of a block, blocks compared on each side) that are tried, soonest first."""

ENOUGH = 1.0
"""Standard deviations: the soonest chart that sees such a step is taken, else the one that sees
the smallest."""

PLACES = 0.9  # share of the record's places in which a chart must see a step that it "sees"
ROUNDING = 3e-7  # of the largest value: the kernel keeps its means in single precision
_FEWEST = 5  # independent comparisons that a limit needs; how few they are widens it
_FEWEST_WINDOWS = 20  # where several blocks must agree: lengths of all of them together
_APART = 30  # samples between two clusters of peaks
_GAUSSIAN = 8  # samples whose mean is nearly Gaussian


def fit_step(record: Record, arl: float, gap_ns: int, hold: int) -> dict[str, float] | None:
    """Parameters of `step`; None where the record is too short for any of its charts.

    `hold`: samples without a step after which the flag clears.
    """
    best: tuple[float, dict[str, float]] | None = None
    largest = float(np.abs(record.z).max())
    for block, sides in CHARTS:
        up, down = _comparisons(record, block, sides)
        reach = 2 * sides * block
        if len(up) < (_FEWEST if sides == 1 else _FEWEST_WINDOWS) * reach or not up.any():
            continue
        # One of several charts is taken, so each is given as many times the run length.
        limit = _limit(up, down, block, sides, len(CHARTS) * arl) + ROUNDING * largest
        if sides > 1:
            # What stays away for one block less may stay for one more: no tail tells how long.
            shorter = _comparisons(record, block, sides - 1)
            limit = max(limit, ENOUGH, *(float(way.max()) for way in shorter))
        seen = limit - min(float(np.quantile(way, 1.0 - PLACES)) for way in (up, down))
        if best is None or seen < best[0]:
            best = seen, {
                "block": block, "sides": sides, "limit": limit, "hold": ceil(hold / block),
                "gap_ns": gap_ns,
            }  # fmt: skip
        if seen <= ENOUGH:
            break
    return best[1] if best is not None else None


def _limit(up: Float64, down: Float64, block: int, sides: int, arl: float) -> float:
    """What a comparison exceeds once in `arl` samples, upwards or downwards.

    Means of few samples have tails of their own; so have those that surprise, and extremes of
    several means are no sums at all.
    """
    if sides > 1:
        return separation_limit(np.maximum(up, down), arl=arl, apart=2 * sides * block, every=block)
    limit, surprised = summed_limit(up, min(block / arl, 0.5))
    if block < _GAUSSIAN or surprised:
        limit = max(limit, peaks_limit(np.abs(up), arl=arl, apart=max(_APART, 2 * block)))
    return limit


def _comparisons(record: Record, block: int, sides: int) -> tuple[Float64, Float64]:
    """How far the later `sides` means of `block` samples lie above, and how far below the earlier
    ones, at every place of the record without a gap; negative where they overlap.
    """
    ups, downs = [], []
    starts = np.flatnonzero(~record.joined)
    for start, stop in zip(starts, [*starts[1:], len(record.z)], strict=True):
        sums = np.concatenate([[0.0], np.cumsum(record.z[start:stop])])
        means = (sums[block:] - sums[:-block]) / block
        places = len(means) - 2 * sides * block
        if places <= 0:
            continue
        group = [means[k * block : len(means) - (sides - 1 - k) * block] for k in range(sides)]
        least, most = np.minimum.reduce(group), np.maximum.reduce(group)
        later = (sides + 1) * block
        ups.append(least[later:] - most[:places])
        downs.append(least[:places] - most[later:])
    if not ups:
        return np.zeros(0), np.zeros(0)
    return np.concatenate(ups), np.concatenate(downs)
