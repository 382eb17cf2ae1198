"""What the other inputs say about each one: cross-validated ridge predictors.

The inverse of the (ridge-regularised) covariance holds them all: the coefficients of input j on
the others are -M[j, k] / M[j, j], and the error of predicting x_j is (M x)_j / M[j, j]
(Whittaker 1990, ch. 5). So one inverse per fold and ridge judges every input at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from agent.fit.joint_moments import RIDGES, Moments, fold_bounds, moments_of
from agent.types import Float64


@dataclass(frozen=True, slots=True)
class Relation:
    """How the other inputs predict one: intercept + sum_k coefficients[k] x_k.

    `r2`: blocked cross-validation, against predicting the mean of the other folds; 0 where that is
    better. `coefficients` float64[p], own one 0. `residual_sd`: of the held-out error.
    """

    r2: float
    intercept: float
    coefficients: Float64
    residual_sd: float


def relations(moments: Moments) -> list[Relation]:
    """The relation of each column to the others, each at the ridge that serves it best."""
    p = moments.first.shape[1]
    error = np.zeros((len(RIDGES), p))
    total = np.zeros(p)
    for _, covariance, held in moments.splits():
        total += np.diag(held)
        for place, ridge in enumerate(RIDGES):
            error[place] += _errors(_inverse(covariance, ridge), held)
    best = error.argmin(axis=0)
    mean, covariance = moments.whole()
    inverses = {place: _inverse(covariance, float(RIDGES[place])) for place in set(best.tolist())}
    rows = float(moments.count.sum())
    found = []
    for j in range(p):
        inverse, left = inverses[int(best[j])], float(error[best[j], j])
        coefficients = -inverse[j] / inverse[j, j]
        coefficients[j] = 0.0
        r2 = max(0.0, 1.0 - left / max(float(total[j]), 1e-300))
        intercept = float(mean[j] - coefficients @ mean)
        found.append(Relation(r2, intercept, coefficients, float(np.sqrt(left / rows))))
    return found


def _inverse(covariance: Float64, ridge: float) -> Float64:
    return np.asarray(np.linalg.inv(covariance + ridge * np.eye(len(covariance))), np.float64)


def _errors(inverse: Float64, held: Float64) -> Float64:
    own = np.diag(inverse)
    errors: Float64 = np.einsum("ij,jk,ik->i", inverse, held, inverse) / own**2
    return errors


def of_last(x: Float64, late: Float64) -> tuple[Relation, Float64, Float64]:
    """The relation of the last column to the others, and what it leaves of each row, float64[n].

    That is told by the relation of the other folds, as if the row were new: of x, and of `late`.

    Args:
        x: float64[n, p], standardised, in time order, without a gap.
        late: the same with the other columns as they were a row later; NaN where not known.
    """
    bounds = fold_bounds(len(x))
    moments = moments_of(x, bounds)
    found = relations(moments)[-1]
    error = np.zeros(len(RIDGES))
    for _, covariance, held in moments.splits():
        error += [_errors(_inverse(covariance, float(ridge)), held)[-1] for ridge in RIDGES]
    ridge = float(RIDGES[int(error.argmin())])
    left, after = np.empty(len(x)), np.empty(len(x))
    splits = zip(moments.splits(), pairwise(bounds.tolist()), strict=True)
    for (mean, covariance, _), (start, stop) in splits:
        own = _inverse(covariance, ridge)[-1]
        left[start:stop] = (x[start:stop] - mean) @ own / own[-1]
        after[start:stop] = (late[start:stop] - mean) @ own / own[-1]
    return found, left, after
