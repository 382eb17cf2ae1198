"""What diagnosis is shown of the last scans, and what the other inputs say of one of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.types import Float64

FADES = 0.6
"""Weight of a scan beside the next one in what is shown to diagnosis: a fresh fault outweighs the
normal scans before it (0.4 of the sum at once, 0.95 after six scans), and noise is halved."""

CALM = (1.0 - FADES) / (1.0 + FADES)
"""Share of its limit that a statistic of that mean must pass for there to be anything to attribute:
the variance that is left of noise between scans, so that normal scans hardly ever do."""


def latest_mean(recent: Float64) -> Float64:
    """The mean of the last scans, at least one, the latest weighing most; see `FADES`."""
    weights = FADES ** np.arange(len(recent) - 1, -1, -1.0)
    mean: Float64 = weights @ recent / weights.sum()
    return mean


def within(value: Float64, span: Float64) -> np.ndarray[Any, Any]:
    """Whether values lie in their spans float64[n, 2], or hardly outside."""
    margin = 0.1 * (span[:, 1] - span[:, 0])
    return (value >= span[:, 0] - margin) & (value <= span[:, 1] + margin)


def by_others(own: Float64, summed: Float64, offset: Float64) -> tuple[Float64, Float64]:
    """Of each input, what the others say that it reads, and how far it is off that.

    Its conditional mean given the others, x_j - (S^-1 x)_j / (S^-1)_jj, where S^-1 is summed @
    summed.T; off in conditional standard deviations, so that its square is the reconstruction-based
    contribution to T2 and SPE together.

    Args:
        own: float64[d], a scan that lasts, standardised.
        summed: float64[d, p], what one unit of each input adds to the p scores.
        offset: float64[p], of the scores.
    """
    pull = summed @ (own @ summed - offset)
    size = np.maximum((summed * summed).sum(axis=1), 1e-12)
    return own - pull / size, pull / np.sqrt(size)
