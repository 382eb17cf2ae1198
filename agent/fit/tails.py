"""Limits for statistics judged at every sample.

Peaks over threshold: exceedances over a high quantile are declustered, and a generalised Pareto
tail is fitted to the squares of the cluster peaks by probability-weighted moments, with its shape
clamped to >= 0: the tail is taken to be Gaussian (whose square is exponential) or heavier, never
lighter and never bounded (a free shape is exceeded thousands of times too often on autocorrelated
data; an exponential tail of the value itself makes limits a third too wide for Gaussian noise).
Reference: Siffer et al. 2017; Hosking and Wallis 1987; de Valk 2016 (tails of Weibull type).

What is a sum of many samples is nearly Gaussian, and its spread is known long before its tail is:
Student's t with as many degrees of freedom as independent values told the spread.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2
from scipy.stats import t as student

from agent.types import Float64

_FEW = 12  # fewer peaks than this say nothing about a tail
_SHARES = (0.02, 0.05, 0.1, 0.2)  # of a statistic that may be tail; the first with enough peaks
_FEWEST = 3.0  # degrees of freedom
_SURPRISE = 0.01  # chance at which the largest value is held to contradict a Gaussian tail


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
    middle = float(np.median(statistic))
    peaks = _cluster_peaks(statistic, threshold, apart)
    if np.count_nonzero(statistic > threshold) < _FEW or share > 0.2:
        return _beyond(top, middle, n, arl)
    return _return_level(peaks, threshold, middle, top, len(peaks) * arl / n)


def separation_limit(statistic: Float64, *, arl: float, apart: int, every: int) -> float:
    """The same for how far two groups lie apart: most of the time they overlap, and it is negative.

    The tail begins where there are enough clusters, and is measured from no separation at all, or
    from what four fifths stay below: where groups hardly ever come apart, the few peaks above 0
    say little about what would. The chart looks at one place in `every`, and groups come apart
    where they are cut just so: peaks are those of each way to cut the record.

    Args:
        statistic: float64[n]; in order of time, negative where the groups overlap.
        arl: average run length between two clusters of exceedances, in samples.
        apart: samples below the threshold that separate two clusters.
        every: samples from one look of the chart to the next.
    """
    looks = [statistic[first::every] for first in range(every)]
    for share in _SHARES:
        threshold = float(np.quantile(statistic, 1.0 - share))
        peaks = np.concatenate([_cluster_peaks(one, threshold, apart // every) for one in looks])
        if len(peaks) >= _FEW * every:
            break
    top = float(statistic.max())
    origin = min(0.0, float(np.quantile(statistic, 1.0 - _SHARES[-1])))
    if not len(peaks):
        return max(2.0 * top, -top, 1e-9)  # ever the same overlap: as far apart
    known = len(peaks) / every
    period = known * arl / len(statistic)
    # Groups that overlap by much as a rule, as of an oscillation, say little about coming apart.
    return max(_return_level(peaks, threshold, origin, top, period, known), -0.5 * origin, 1e-9)


def _cluster_peaks(statistic: Float64, threshold: float, apart: int) -> Float64:
    """The largest value of each cluster of exceedances."""
    at = np.flatnonzero(statistic > threshold)
    if not len(at):
        return np.zeros(0)
    first = np.flatnonzero(np.diff(at, prepend=-apart - 1) > apart)
    peaks: Float64 = np.maximum.reduceat(statistic[at], first)
    return peaks


def _return_level(
    peaks: Float64, threshold: float, origin: float, top: float, period: float, known: float = 0.0
) -> float:
    """What one in `period` of the peaks reaches: the tail of their squares from `origin`."""
    base = (threshold - origin) ** 2
    reached = extrapolate((peaks - origin) ** 2 - base, period, known)
    return max(origin + float(np.sqrt(base + reached)), top + 1e-9 * abs(top - origin))


def _beyond(top: float, middle: float, n: int, arl: float) -> float:
    """A limit where no tail can be fitted: a normal one through the largest value, widened."""
    growth = float(np.sqrt(np.log(max(arl, 2.0)) / np.log(max(n, 2))))
    return middle + max(1.25 * max(growth, 1.2) * (top - middle), 1e-9)


def extrapolate(excess: Float64, period: float, known: float = 0.0) -> float:
    """The excess that one in `period` (> 1) peaks reaches; `excess` float64[m] > 0.

    `known`: how many of them are independent; 0: all.
    """
    m = known or float(len(excess))
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


def summed_limit(statistic: Float64, chance: float, least: float = 0.0) -> tuple[float, bool]:
    """(limit, whether its own largest value contradicts it) of a sum of many samples.

    Args:
        statistic: float64[n] about 0, in order of time; large is extreme, either way.
        chance: that a value lies beyond the limit.
        least: what independent samples would spread it to, known from all of them.
    """
    square = statistic * statistic
    values = max(min(independent_values(statistic), independent_values(square)), _FEWEST)
    spread = max(float(np.sqrt(square.mean())), 1e-300)
    limit = max(
        spread * student.isf(0.5 * chance, values),
        least * student.isf(0.5 * chance, max(len(statistic) - 1, _FEWEST)),
    )
    likely = max(spread, least) * student.isf(0.5 * _SURPRISE / values, values)
    return float(limit), bool(np.sqrt(square.max()) > likely)


def independent_values(values: Float64) -> float:
    """Number of independent values in a series: n over its integrated autocorrelation time."""
    n = len(values)
    centred = values - values.mean()
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(centred, size)) ** 2
    correlation = np.fft.irfft(power, size)[: max(n // 3, 1)]
    if correlation[0] <= 0.0:
        return 4.0
    correlation = correlation / correlation[0]
    below = np.nonzero(correlation < 0.05)[0]
    end = int(below[0]) if len(below) else len(correlation)
    tau = 1.0 + 2.0 * float(correlation[1:end].sum())
    return float(max(n / tau, 4.0))
