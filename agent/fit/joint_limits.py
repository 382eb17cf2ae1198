"""Limits of the joint charts, from held-out statistics, for a rate far beyond the record.

A limit is the value that the statistic exceeds with probability 1 / arl at any one scan. Alarms
are upward crossings, so they come at most that often, however long an excess lasts; and the share
of time flagged is bounded too, which a limit on crossings alone would not do for smoothed charts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import chi2

from agent.core.kernels.joint import smooth
from agent.fit.tails import independent_values
from agent.types import Float64

ALPHAS = (0.05, 0.1, 0.2, 0.4)
_FEWEST = 30


@dataclass(frozen=True, slots=True)
class Limit:
    """A chart's limit.

    `shape` is the tail's (0: exponential); `independent` counts how many independent values of the
    statistic the record held, which widened it.
    """

    value: float
    mean: float
    shape: float
    independent: float


def limit_of(values: Float64, arl: float) -> Limit:
    """The limit of a statistic, from its held-out values in time order.

    Excesses over the 0.9 quantile (lower where fewer than `_FEWEST` would be left) are fitted by
    a generalised Pareto tail (Hosking & Wallis 1987, moments) whose shape is kept in [0, 0.5]: a
    negative one would claim a largest possible value that a short record can not know. Then
    ln arl is (for shape 0) linear in the limit. The excess over the mean, and the mean, are
    widened by two standard errors at the number of independent values.
    """
    n = len(values)
    mean, sd = float(values.mean()), float(values.std())
    share = min(max(0.1, _FEWEST / n), 0.5)
    start = float(np.quantile(values, 1.0 - share))
    excess = values[values > start] - start
    if len(excess) < 2 or sd == 0.0:
        return Limit(max(mean, 1e-9) * 10.0, mean, 0.0, 1.0)
    share = len(excess) / n
    middle, spread = float(excess.mean()), float(excess.var())
    shape = min(max(0.5 * (1.0 - middle * middle / max(spread, 1e-300)), 0.0), 0.5)
    scale = middle * (1.0 - shape)
    steps = max(share * arl, 1.0)
    reach = np.log(steps) if shape < 1e-6 else (steps**shape - 1.0) / shape
    independent = independent_values(values)
    wider = 1.0 + 2.0 / np.sqrt(2.0 * independent)
    value = mean + 2.0 * sd / np.sqrt(independent) + (start + scale * reach - mean) * wider
    return Limit(float(value), mean, shape, independent)


def at_least(limit: Limit, floor: float) -> Limit:
    """The limit, raised to a floor."""
    return replace(limit, value=max(limit.value, floor))


def gaussian_limit(tau: Float64, alpha: float, arl: float) -> float:
    """The limit that Gaussian scores of unit variance and autocorrelation times tau would need.

    A floor under the limit that the record shows: a record of few correlation times has not been
    to the ends of its operating range. Each score is taken as AR(1); the sum of squares, smoothed
    by `alpha` (1: not), as g chi2(h) with its mean and variance (Box 1954).
    """
    squared = ((tau - 1.0) / (tau + 1.0)) ** 2
    kept = 1.0 - alpha
    ratio = alpha / (2.0 - alpha) * (1.0 + kept * squared) / (1.0 - kept * squared)
    mean, variance = float(len(tau)), float(2.0 * ratio.sum())
    return variance / (2.0 * mean) * float(chi2.isf(1.0 / arl, 2.0 * mean**2 / variance))


def choose_smoothing(values: Float64, raw: Limit, tau: Float64, arl: float) -> tuple[float, Limit]:
    """(alpha, limit) that soonest finds a shift of half what the raw chart needs.

    With an ideal step of the statistic's mean by `shift`, the smoothed one passes its limit after
    ln(1 / (1 - excess / shift)) / alpha scans. Where no smoothing reaches half, the one with the
    lowest limit is taken: the statistic moves slowly by itself, and smoothing can not help much.
    """
    shift = 0.5 * (raw.value - raw.mean)
    found = []
    for alpha in ALPHAS:
        out = np.empty(len(values))
        smooth(values, alpha, float(values.mean()), 1e300, out)
        limit = at_least(limit_of(out, arl), gaussian_limit(tau, alpha, arl))
        part = (limit.value - raw.mean) / shift
        delay = np.log(1.0 / (1.0 - part)) / alpha if part < 0.99 else np.inf
        found.append((delay, limit.value, alpha, limit))
    _, _, alpha, limit = min(found, key=lambda item: item[:2])
    return alpha, limit
