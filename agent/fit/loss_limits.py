"""Limits of the loss chart's CUSUM, for so many labels between two false alarms.

Losses are no normal numbers: they are skewed, and may go along from label to label. So the CUSUM
runs over series resampled from the record's own (stationary bootstrap, Politis & Romano 1994, with
runs longer than losses go along), and its limit is where that alarms as rarely as promised; never
below what normal losses need (Siegmund 1985). What a record's length leaves open of mean and
variance widens it (`bootstrap.allowance`).
"""

from __future__ import annotations

import numpy as np

from agent.core.expected_loss import Limit
from agent.core.loss_chart import SHIFT
from agent.fit.bootstrap import OVERSHOOT, allowance, siegmund, threshold
from agent.fit.record import Dynamics, dynamics
from agent.types import Float64

DEPENDENT = 1.2
"""Long-run variance over that of one label, from which labels are not taken as independent."""

_CHAINS, _STEPS = 500, 2000
_RUNS = 4.0  # blocks of `dynamics` in a row on average
_MOST_OF_RECORD = 0.1  # of the record in one run
_SEED = 20260202


def moves_of(values: Float64) -> Dynamics:
    """How losses move from label to label; independent ones where no dependence shows."""
    found = dynamics(values)
    if found.long_run >= DEPENDENT:
        return found
    return Dynamics(1.0, 1.0, 1.0, float(len(values)))


def limit_of(values: Float64, moves: Dynamics, deviation: float, mean_error: float,
             arl: float) -> Limit:
    """The CUSUM of values float64[n], X as it was on the record.

    Args:
        values: in the loss's unit, of any mean.
        moves: how they move.
        deviation: standard deviation of the loss: `SHIFT` of it is what is looked for.
        mean_error: standard error of their mean, in the loss's unit.
        arl: labels between two false alarms.
    """
    centred = values - values.mean()
    variance = float(np.mean(centred**2)) * moves.long_run
    long_run = float(np.sqrt(variance))
    size = SHIFT * deviation / long_run
    log_arl = float(np.log(max(arl, 2.0)))
    added, factor = allowance(
        log_arl, size / 2.0, (long_run / max(mean_error, 1e-12 * long_run)) ** 2,
        moves.freedom,
    )
    k = size / 2.0 + added
    series = _resampled(centred / long_run, moves)
    limit = max(threshold(series, k, log_arl * factor), _normal(k, log_arl * factor, moves))
    return Limit(variance, added * long_run, size * limit)


def _normal(k: float, log_arl: float, moves: Dynamics) -> float:
    """The limit of normal losses; where they go along, a sum's own overshoot does the same."""
    return siegmund(k, log_arl, OVERSHOOT) if moves.long_run == 1.0 else 0.0


def _resampled(z: Float64, moves: Dynamics) -> Float64:
    """Series float64[steps, chains] of z, of mean 0 and unit long-run variance."""
    rng = np.random.default_rng(_SEED)
    n = len(z)
    if moves.long_run == 1.0:
        drawn: Float64 = z[rng.integers(0, n, (_STEPS, _CHAINS), np.int32)]
        return drawn / float(np.sqrt(np.mean(z**2)))
    run = float(np.clip(_RUNS * moves.block, 2.0, max(_MOST_OF_RECORD * n, 2.0)))
    anew = rng.random((_STEPS, _CHAINS), np.float32) < 1.0 / run
    start = rng.integers(0, n, (_STEPS, _CHAINS), np.int32)
    index = np.empty((_STEPS, _CHAINS), np.int32)
    at = start[0]
    for step in range(_STEPS):
        at = np.where(anew[step], start[step], (at + 1) % n)
        index[step] = at
    return z[index] / float(np.sqrt(_kept(z, 1.0 - 1.0 / run)))


def _kept(z: Float64, goes_on: float) -> float:
    """Long-run variance of the resampled series: a lag counts as often as a run reaches it."""
    n = len(z)
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(z, size)) ** 2
    covariance = np.fft.irfft(power, size)[:n] / n
    spread = float(covariance[0])
    kept = spread + 2.0 * float(covariance[1:] @ goes_on ** np.arange(1, n))
    return max(kept, 0.1 * spread)
