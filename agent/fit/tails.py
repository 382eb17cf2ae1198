"""Limits for statistics judged at every sample: peaks over threshold, extrapolated.

Exceedances over a high quantile are declustered, and a generalised Pareto tail is fitted to the
squares of the cluster peaks by probability-weighted moments, with its shape clamped to >= 0: the
tail is taken to be Gaussian (whose square is exponential) or heavier, never lighter and never
bounded (a free shape is exceeded thousands of times too often on autocorrelated data; an
exponential tail of the value itself makes limits a third too wide for Gaussian noise). Reference:
Siffer et al. 2017; Hosking and Wallis 1987; de Valk 2016 (tails of Weibull type).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from agent.types import Float64

_FEW = 12  # fewer peaks than this say nothing about a tail


def peaks_limit(statistic: Float64, *, arl: float, apart: int) -> float:
    """The limit that `statistic` float64[n] exceeds once in `arl` samples.

    Args:
        statistic: larger is more extreme; in order of time.
        arl: average run length between two clusters of exceedances, in samples.
        apart: samples below the threshold that separate two clusters.
    """
    n = len(statistic)
    top = float(statistic.max())
    share = max(40.0 / n, min(0.02, 1.0 / (3.0 * apart)))
    threshold = float(np.quantile(statistic, max(0.0, 1.0 - share)))
    above = statistic[statistic > threshold + 1e-9 * abs(top)]
    if len(above):
        # Quantised values tie at the threshold; half way to the next none does.
        threshold = 0.5 * (threshold + float(above.min()))
    at = np.flatnonzero(statistic > threshold)
    if len(at) < _FEW or share > 0.2:
        return _beyond(top, float(np.median(statistic)), n, arl)
    first = np.flatnonzero(np.diff(at, prepend=-apart - 1) > apart)
    middle = float(np.median(statistic))
    peaks = np.maximum.reduceat(statistic[at], first) - middle
    base = (threshold - middle) ** 2
    reached = extrapolate(peaks**2 - base, arl * len(peaks) / n)
    return max(middle + float(np.sqrt(base + reached)), top * (1 + 1e-9))


def _beyond(top: float, middle: float, n: int, arl: float) -> float:
    """A limit where no tail can be fitted: a normal one through the largest value, widened."""
    growth = float(np.sqrt(np.log(max(arl, 2.0)) / np.log(max(n, 2))))
    return middle + max(1.25 * max(growth, 1.2) * (top - middle), 1e-9)


def extrapolate(excess: Float64, period: float) -> float:
    """The excess that one in `period` (> 1) peaks reaches; `excess` float64[m] > 0."""
    m = len(excess)
    mean = float(excess.mean())
    shape, scale = 0.0, mean
    if m >= 2 * _FEW:
        free = _shape(excess)
        shape = min(max(0.0, free - 2.0 / np.sqrt(m)), 0.5)
        scale = mean * (1.0 - shape)
    scale *= 2 * m / float(chi2.ppf(0.1, 2 * m))
    period = max(period, 1.0)
    return float(scale * (np.log(period) if shape == 0.0 else (period**shape - 1.0) / shape))


def _shape(excess: Float64) -> float:
    """Shape of a generalised Pareto tail by probability-weighted moments."""
    ordered = np.sort(excess)
    m = len(ordered)
    b0 = float(ordered.mean())
    b1 = float(np.mean(ordered * (m - 1 - np.arange(m)) / (m - 1)))
    return 2.0 - b0 / (b0 - 2.0 * b1) if b0 > 2.0 * b1 else 0.5
