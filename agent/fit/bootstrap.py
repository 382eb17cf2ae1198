"""Thresholds of CUSUM charts by a stationary block bootstrap of the training record.

Block statistics at every offset of the record are the pool. A resampled series starts anywhere and
goes on by one block at a time with probability 1 - 1 / run, else starts anew (Politis and Romano
1994), so the dependence between neighbouring blocks is kept. The largest value of each excursion
from zero, over all resampled series, gives the alarm rate at each threshold; its logarithm is
linear in the threshold, and is extrapolated to the rate asked for.
"""

from __future__ import annotations

import numpy as np

from agent.types import Float64

CHAINS = 1000
STEPS = 1500
RUN = 6.0  # blocks in a row on average: 12 tau of the level chart
OVERSHOOT = 1.166  # of a normal random walk over a level
_CORRELATED = 1.65  # more of it where neighbouring blocks go along (measured on AR(1))
_SCATTER = 0.12  # relative, of thresholds from one record (measured on AR(1))
_MOST_OPEN = 2.0  # beyond it the factor would leave no chart: 3.2 times ln ARL
_APART = 1e-6  # relative; peaks that lie closer together are one peak
_LAGS = 4  # blocks over which neighbours are still correlated


def allowance(log_arl: float, k: float, blocks: float, freedom: float) -> tuple[float, float]:
    """What the length of the record leaves open: (added to k, factor on ln ARL).

    An alarm rate of exp(-ln ARL) is meant to hold on average over records of this length. The rate
    goes as exp(-2 k h / variance). With the variance known to `freedom` degrees of freedom, the
    mean of that over a chi-square is as wanted when ln ARL is raised by the factor; with the mean
    known to 1 / sqrt(blocks) of a block's deviation, the mean over a normal error of it is as
    wanted when k is widened.
    """
    open_ = min(2.0 * log_arl / max(freedom, 2.0), _MOST_OPEN)
    factor = float(np.expm1(open_) / open_)
    return 0.5 * log_arl * factor / (max(blocks, 2.0) * k), factor


def lags(pool: Float64, block: int) -> list[float]:
    """Autocovariances of block statistics at 1 to 4 blocks, as far as they are positive."""
    found: list[float] = []
    for lag in range(1, _LAGS + 1):
        if len(pool) <= 2 * lag * block:
            break
        covariance = float(np.mean(pool[lag * block :] * pool[: -lag * block]))
        if covariance <= 0.0:
            break
        found.append(covariance)
    return found


def resample(pool: Float64, block: int, rng: np.random.Generator) -> Float64:
    """Series of block statistics float64[STEPS, CHAINS] of unit long-run variance.

    The pool float64[offsets], of mean 0, is scaled so that what resampling breaks of the
    dependence is made good for: in service the statistic is divided by its long-run deviation.
    """
    n = len(pool)
    spread = float(np.mean(pool**2))
    goes_on = 1.0 - 1.0 / RUN
    shares = enumerate(lags(pool, block), 1)
    kept = spread + 2.0 * sum(goes_on**lag * share for lag, share in shares)
    anew = rng.random((STEPS, CHAINS), np.float32) < 1.0 / RUN
    start = rng.integers(0, n, (STEPS, CHAINS), np.int32)
    index = np.empty((STEPS, CHAINS), np.int32)
    at = start[0]
    for step in range(STEPS):
        at = np.where(anew[step], start[step], (at + block) % n)
        index[step] = at
    series: Float64 = pool[index] / np.sqrt(max(kept, 1e-300))
    return series


def thresholds(
    series: Float64, k: float, log_arl: float, share: float = 1.0
) -> tuple[float, float]:
    """(h_up, h_down) at which each side alarms once in exp(log_arl) blocks.

    Never below what normal block statistics need (Siegmund 1985), which a short record's bootstrap
    often is; above it as far as the bootstrap exceeds that by more than its own scatter. `share` is
    the variance of one block over the long-run one: neighbours that go along make a sum overshoot.
    """
    normal = siegmund(k, log_arl, OVERSHOOT + _CORRELATED * (_together(share) - 1.0))
    up, down = (threshold(side, k, log_arl) / normal for side in (series, -series))
    return normal * _beyond_scatter(up), normal * _beyond_scatter(down)


def siegmund(k: float, log_arl: float, overshoot: float) -> float:
    """h of a one-sided CUSUM of standard normal steps; ARL = (e^2kb - 1 - 2kb) / 2k^2."""
    reach = log_arl + np.log(2.0 * k * k)
    for _ in range(20):
        reach = log_arl + np.log(2.0 * k * k + (1.0 + max(reach, 0.0)) * np.exp(-log_arl))
    return max(float(reach / (2.0 * k)) - overshoot, 1.0)


def _together(share: float) -> float:
    """Long-run deviation over a block's own; 1 where blocks are independent."""
    return float(min(max(share, 0.05), 1.0) ** -0.5)


def _beyond_scatter(ratio: float) -> float:
    """1 up to the scatter of a bootstrap, the ratio itself beyond twice that."""
    return max(1.0, min(ratio, 1.0 + 2.0 * (ratio - 1.0 - _SCATTER)))


def threshold(series: Float64, k: float, log_arl: float) -> float:
    """h at which CUSUMs of reference value k over series float64[steps, chains] alarm so rarely."""
    sums = np.empty_like(series)
    s = np.zeros(series.shape[1])
    for step in range(len(series)):
        np.maximum(s + series[step] - k, 0.0, out=s)
        sums[step] = s
    path = sums.T.ravel()
    zero = np.flatnonzero(path == 0.0)
    if len(zero) < 2:
        return float(path.max()) + 1.0
    peaks = np.sort(np.maximum.reduceat(path, zero))[::-1]
    peaks = peaks[peaks > 0.0]
    count = np.arange(1, len(peaks) + 1)
    log_rate = np.log(count / path.size)
    used = (count >= 20) & (log_rate < -7.0)
    if used.sum() < 20:
        used = count <= max(20, len(peaks) // 4)
    if used.sum() < 5 or not np.ptp(peaks[used]) > _APART * peaks[0]:
        return (float(peaks[0]) if len(peaks) else 0.0) + 0.5 * log_arl
    slope, intercept = np.polyfit(peaks[used], log_rate[used], 1, w=np.sqrt(count[used]))
    slope = min(slope, -1e-3)
    return max(float((-log_arl - intercept) / slope), 0.5)
