"""Fit the chart of sudden change: how fast the means of each input are, and its limit.

The difference of a fast and a slow mean (see `agent.core.kernels.joint`) remembers far fewer scans
than the operating point's slow movement, so even a short record holds many independent values of
it. Its spread is measured input by input on folds held out, with an allowance for how many
independent values told it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.stats import norm

from agent.core.kernels.joint import SLOWER, STATE, changes, paces
from agent.fit.joint_limits import Limit, limit_of
from agent.fit.tails import independent_values, summed_limit
from agent.types import Float64, Int64

FASTS = (0.05, 0.1, 0.2, 0.4)
"""Weights of a scan in the fast mean; each input gets the one that shows its shift soonest."""

MEMORIES = 20.0
"""Lengths of the slow mean's memory that a record must hold for the spread to be told from it."""

REFERENCE = 0.5
"""Share of what one scan alone would have to show, of an input, that is to be found soonest."""

_LONGEST = 100

Model = tuple[Float64, Float64]
"""Loadings float64[p, p] and offset float64[p] to whitened scores."""


@dataclass(frozen=True, slots=True)
class ChangeFit:
    """What `change` takes: `adjusted` float64[p, d]; `middle`, `fast`, `weight` (1 / limit of the
    difference) float64[d].
    """

    adjusted: Float64
    middle: Float64
    fast: Float64
    weight: Float64
    limit: Limit

    def in_units(self, spread: Float64, middle: Float64) -> ChangeFit:
        """For vectors that are not standardised: spread, middle float64[p]."""
        adjusted = np.ascontiguousarray(self.adjusted / spread[:, None])
        return replace(self, adjusted=adjusted, middle=self.middle + middle @ adjusted)


def fit_change(
    x: Float64, bounds: Int64, models: Sequence[Model], whole: Model, inputs: int, arl: float
) -> ChangeFit:
    """The chart whose means, for each input, soonest show a shift of it (`REFERENCE`).

    Args:
        x: vectors float64[n, p], in time order, the latest scan's `inputs` values first.
        bounds: of the folds, int64[K + 1].
        models: per fold, of the other folds.
        whole: of the whole record.
        inputs: how many, d.
        arl: scans between false alarms of the chart.
    """
    held = np.empty((len(x), inputs))
    for model, (start, stop) in zip(models, pairwise(bounds.tolist()), strict=True):
        adjusted, middle = _adjusted(model, inputs)
        held[start:stop] = x[start:stop] @ adjusted - middle
    told = [fast for fast in FASTS if fast * len(x) >= MEMORIES * SLOWER] or [FASTS[-1]]
    limits = np.array([_limits(held, fast, arl * inputs) for fast in told])
    shift = REFERENCE * norm.isf(0.5 / (arl * inputs)) * held.std(axis=0)
    delays = [_delays(one, limit, shift) for one, limit in zip(told, limits, strict=True)]
    best = np.argmin(delays, axis=0)
    fast, limit = np.array(told)[best], limits[best, np.arange(inputs)]
    weight = np.where(limit > 0.0, 1.0 / np.maximum(limit, 1e-300), 0.0)
    apart = (np.abs(_differences(held, fast, weight)) * weight).max(axis=1)
    one = Limit(1.0, float(apart.mean()), 0.0, independent_values(apart))
    return ChangeFit(*_adjusted(whole, inputs), fast, weight, one)


def _adjusted(model: Model, inputs: int) -> tuple[Float64, Float64]:
    """Coefficients float64[p, d] and middle float64[d] of each input regressed on all the others.

    The inverse of the covariance holds them (Hawkins 1991); in units of its own error's spread.
    """
    loadings, offset = model
    own = loadings[:inputs]
    length = np.sqrt((own * own).sum(axis=1))
    return np.ascontiguousarray(loadings @ own.T / length), offset @ own.T / length


def _limits(held: Float64, fast: float, arl: float) -> Float64:
    """What each input's difference exceeds once in `arl` scans, float64[d].

    A scan's reach follows from the limit, and the limit from it: first without, then with it.
    """
    d = held.shape[1]
    white = np.sqrt(_white(fast)) * held.std(axis=0)
    weight = np.full(d, 1e-200)
    for _ in range(2):
        apart = _differences(held, np.full(d, fast), weight)
        found = np.array([_limit(apart[:, j], float(white[j]), arl) for j in range(d)])
        weight = 1.0 / np.maximum(found, 1e-200)
    return found


def _limit(apart: Float64, white: float, arl: float) -> float:
    """The limit of one input's difference; `white` is what independent scans would spread it to.

    A sum of many scans is nearly Gaussian, so: Student's t with the values that told its spread.
    Where the largest value seen says otherwise, the tail is extrapolated as for the other charts.
    """
    found, surprised = summed_limit(apart, 1.0 / arl, white)
    return max(found, limit_of(np.abs(apart), arl).value) if surprised else found


def _white(fast: float) -> float:
    """Variance of the difference of the two means where scans are independent."""
    slow = fast / SLOWER
    both = fast * slow / (1.0 - (1.0 - fast) * (1.0 - slow))
    return fast / (2.0 - fast) + slow / (2.0 - slow) - 2.0 * both


def _differences(values: Float64, fast: Float64, weight: Float64) -> Float64:
    """Fast less slow mean of each column, float64[n, d], as service computes them."""
    out = np.empty(values.shape)
    state, levels = np.zeros(1, STATE), np.zeros((2, values.shape[1]))
    changes(paces(fast, weight), weight, np.ascontiguousarray(values), state, levels, out)
    return out


def _delays(fast: float, limits: Float64, shift: Float64) -> Float64:
    """Scans until each input's shift passes its limit, float64[d]; more where it never does, by
    how far it stays short.
    """
    scans = np.arange(1.0, _LONGEST)
    shown = (1.0 - fast / SLOWER) ** scans - (1.0 - fast) ** scans
    size = shown[:, None] * np.maximum(shift, 1e-300)
    over = size > limits
    short = _LONGEST * limits / size.max(axis=0)
    return np.asarray(np.where(over.any(axis=0), over.argmax(axis=0), short), np.float64)
