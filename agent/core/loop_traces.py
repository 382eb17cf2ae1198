"""What the traces of a loop's inputs show at one instant, input by input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.types import Float64

_LATEST = 8
_STAYS = 0.4  # of a leap that must be left of it some samples later
_BESIDE = 0.1  # of the trained width, how far beyond it is outside
_CONSTANT = 1e-4  # the same of what never moved, of its value


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop's inputs by their column in the model; -1 where there is none."""

    name: str
    pv: int
    sp: int = -1
    out: int = -1
    mode: int = -1


@dataclass(frozen=True, slots=True)
class Seen:
    """Traces of a model's d inputs at one instant, oldest first.

    `fine` float64[d][<= 64] the last samples, `means` float64[k, d] of blocks of 16, `leaps`
    float64[k, d] the largest step between two samples in each block: all standardised.
    `noise` float64[d] of the samples; `centre`, `scale` float64[d]; `trained` float64[d, 2], in
    units.
    """

    fine: Sequence[Float64]
    means: Float64
    leaps: Float64
    noise: Float64
    centre: Float64
    scale: Float64
    trained: Float64

    def units(self, column: int, values: Float64) -> Float64:
        """Standardised values in the tag's unit."""
        found: Float64 = values * self.scale[column] + self.centre[column]
        return found

    def now(self, column: int) -> float:
        """The median of the latest samples, in the tag's unit."""
        return float(self.units(column, np.atleast_1d(np.median(self.fine[column][-_LATEST:])))[0])


def beyond(seen: Seen, column: int) -> bool:
    """Whether blocks, or the latest samples, of an input lie outside of where it was trained."""
    low, high = seen.trained[column]
    margin = max(_BESIDE * (high - low), _CONSTANT * max(abs(low), abs(high)))
    values = np.append(seen.units(column, seen.means[:, column]), seen.now(column))
    return bool(((values < low - margin) | (values > high + margin)).any())


def has_stayed(seen: Seen, column: int, block: int) -> bool:
    """Whether what leapt in a block stayed away for more than a moment, unlike a spike."""
    fine, size = seen.fine[column], abs(float(seen.leaps[block, column]))
    steps = np.abs(np.diff(fine))
    if len(steps) and steps.max() >= 0.999 * size:
        place = int(np.argmax(steps)) + 1
        before, after = fine[:place][-_LATEST:], fine[place:][:_LATEST]
        if len(after) < _LATEST // 2:
            return False
        return bool(abs(np.median(after) - np.median(before)) >= _STAYS * size)
    before = seen.means[max(block - 1, 0), column]
    after = seen.means[block : block + 3, column]
    return len(after) > 0 and bool(np.abs(after - before).max() >= _STAYS / 2.0 * size)
