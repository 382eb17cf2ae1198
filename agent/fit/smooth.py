"""Limits of the level chart's EWMA from a training record.

An EWMA of means is nearly Gaussian. Its variance follows from how the record moves (the mixture of
first-order processes in `record.Dynamics`, unless the record itself shows more); how often a
Gaussian process passes a level, from its variance and that of its steps (Rice 1944). What the
record's length leaves open is told by Student's t, with as many degrees of freedom as the EWMA took
independent values, and the mean's own error. What is left of the samples' skewness and heavy tails
moves its quantiles out (Cornish & Fisher 1938; Chan & Cui 2003 for charts of skewed values).
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
from scipy.signal import lfilter
from scipy.stats import norm
from scipy.stats import t as student

from agent.core.kernels.level import GAIN
from agent.fit.record import Dynamics, smoothed_variance
from agent.fit.tails import independent_values
from agent.types import Float64

_FEWEST = 3.0  # degrees of freedom
_LIKELIEST = 0.4  # of all chances looked at


def ewma_limits(z: Float64, moves: Dynamics, part: int, arl: float) -> tuple[float, float]:
    """(up, down): what the EWMA of means of `part` samples passes once in `arl` samples, each way.

    Args:
        z: float64[n], the record, of mean 0 and unit variance, in order of time.
        moves: its dynamics.
        part: samples of a mean.
        arl: average run length of both sides together, in samples.
    """
    sums = np.concatenate([[0.0], np.cumsum(z)])[::part]
    means = np.diff(sums) / part
    smoothed = lfilter([GAIN], [1.0, GAIN - 1.0], means)
    values = max(min(independent_values(smoothed), independent_values(smoothed**2)), _FEWEST)
    variance, steps = smoothed_variance(moves, part, GAIN)
    variance = max(variance, float(np.mean(smoothed**2)))
    chance = part / (2.0 * arl)
    for _ in range(3):  # of being beyond, from that of passing: longer where it moves slowly
        level = float(norm.isf(min(chance, _LIKELIEST)))
        chance = part / (2.0 * arl) * max(1.0, sqrt(2.0 * pi * variance / steps) / level)
    chance = min(chance, _LIKELIEST)
    known = sqrt(variance + moves.long_run / len(z)) * float(student.isf(chance, values))
    skew, excess = _shape(smoothed, means, values)
    up, down = (_further(one, excess, float(norm.isf(chance))) for one in (skew, -skew))
    return known * up, known * down


def _shape(smoothed: Float64, means: Float64, values: float) -> tuple[float, float]:
    """Skewness and excess kurtosis of the EWMA, as far as they exceed their standard errors.

    Its own, or what its means would leave in it were they independent, whichever is more: theirs
    are known far better. `values`: how many independent ones the EWMA took.
    """
    kept = 1.0 - GAIN
    square, cube, fourth = (GAIN**power / (1.0 - kept**power) for power in (2, 3, 4))
    own, part = _beyond_error(smoothed, values), _beyond_error(means, independent_values(means))
    skew = max(own[0], part[0] * cube / square**1.5, key=abs)
    return skew, max(own[1], part[1] * fourth / square**2)


def _beyond_error(series: Float64, values: float) -> tuple[float, float]:
    """Skewness and positive excess kurtosis, each less its standard error."""
    about = series - series.mean()
    about /= max(float(about.std()), 1e-300)
    skew, excess = float(np.mean(about**3)), float(np.mean(about**4)) - 3.0
    least = max(abs(skew) - sqrt(6.0 / values), 0.0)
    return (least if skew > 0.0 else -least), max(excess - sqrt(24.0 / values), 0.0)


def _further(skew: float, excess: float, level: float) -> float:
    """Times that a quantile lies further out than a Gaussian's at `level` deviations; >= 1."""
    out = (
        level + (level**2 - 1.0) / 6.0 * skew + (level**3 - 3.0 * level) / 24.0 * excess
        - (2.0 * level**3 - 5.0 * level) / 36.0 * skew**2
    )  # fmt: skip
    return max(out / level, 1.0)
