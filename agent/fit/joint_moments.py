"""Second moments of the joint record by fold, and all that follows from them without the rows.

The record is cut into contiguous folds (neighbouring scans are alike, so random folds would test
a model on what it has seen: blocked cross-validation, Burman et al. 1994). From the sums of each
fold, everything that selects the model (ridge, number of components, lags, relations) is algebra
on p x p matrices, whatever the length of the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from agent.types import Float64, Int64

FLOOR = 1e-3
"""Least ridge, as a share of an input's variance: no relation is trusted closer than 3 % sd."""

FOLDS = 8
QUARTERS = 4

SLOW_DEGREES = 5
"""Degrees of freedom of slow variance: between those of the quarters' means and of the steps."""

RIDGES = np.logspace(-3.0, 0.0, 13)


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over the folds of vectors x, float64[n, p], standardised over the whole record.

    `count` int64[K]; `first` float64[K, p] is sum x; `second` float64[K, p, p] is sum x x'.
    """

    count: Int64
    first: Float64
    second: Float64

    def but(self, fold: int) -> tuple[Float64, Float64]:
        """Mean float64[p] and covariance float64[p, p] of all folds but one."""
        keep = np.arange(len(self.count)) != fold
        return _centred(
            self.count[keep].sum(), self.first[keep].sum(axis=0), self.second[keep].sum(axis=0)
        )

    def whole(self) -> tuple[Float64, Float64]:
        """Mean and covariance of all folds."""
        return _centred(self.count.sum(), self.first.sum(axis=0), self.second.sum(axis=0))

    def slow(self, covariance: Float64, but: int = -1) -> Float64:
        """Covariance float64[p, p] of slow movement, without one fold; see `slow_allowance`.

        Half the spread of the quarters' means, and all of the steps between successive folds,
        with relations between them only as far as so few means can tell (`_toward`):
        two inputs that only happened to drift alike kept their relation over the record, but not
        from step to step, and may part any time.
        """
        keep = np.arange(len(self.count)) != but
        quarter = (np.arange(len(self.count)) * QUARTERS // len(self.count))[keep]
        inside = (quarter[None, :] == np.arange(QUARTERS)[:, None]).astype(np.float64)
        count, first = self.count[keep], self.first[keep]
        rows = float(count.sum())
        means = (inside @ first) / (inside @ count)[:, None]
        means = means - means.mean(axis=0)
        steps = np.diff(first / count[:, None], axis=0)
        by_quarter = _above_chance(covariance, means, QUARTERS / rows, QUARTERS - 1)
        by_step = _above_chance(covariance, steps, 2.0 * len(count) / rows, len(steps))
        found = 0.5 * by_quarter + by_step
        return _toward(found, self._within(keep), QUARTERS - 1 + len(steps))

    def _within(self, keep: NDArray[np.bool_]) -> Float64:
        """Correlation float64[p, p] of the rows about their own fold's mean."""
        count, first = self.count[keep], self.first[keep]
        about: Float64 = self.second[keep].sum(axis=0) - (first / count[:, None]).T @ first
        spread = np.sqrt(np.maximum(np.diag(about), 1e-12))
        return np.asarray(about / np.outer(spread, spread), np.float64)

    def held(self, fold: int, mean: Float64) -> Float64:
        """Second moments float64[p, p] of one fold about another's mean, summed over its rows."""
        cross = np.outer(self.first[fold], mean)
        about = self.second[fold] - cross - cross.T + self.count[fold] * np.outer(mean, mean)
        return np.asarray(about, np.float64)

    def part(self, columns: Int64) -> Moments:
        """The moments of some of the columns."""
        return Moments(self.count, self.first[:, columns], self.second[:, columns][:, :, columns])

    def splits(self, slow: float = 0.0) -> Iterator[tuple[Float64, Float64, Float64]]:
        """Per fold: mean and covariance of the others, and the fold's moments about that mean.

        `slow` times the covariance of the quarters' means is added to the covariance.
        """
        for fold in range(len(self.count)):
            mean, covariance = self.but(fold)
            if slow:
                covariance = covariance + slow * self.slow(covariance, fold)
            yield mean, covariance, self.held(fold, mean)


def _above_chance(covariance: Float64, found: Float64, share: float, degrees: int) -> Float64:
    """The second moments of rows `found`, float64[k, p], beyond what independent scans give.

    Those would have `share` of the scans' covariance in every direction; by chance, from so few
    degrees of freedom, up to share (1 + sqrt(p / degrees))^2 (Marchenko & Pastur 1967).
    """
    values, vectors = eigen(covariance)
    root = np.sqrt(values + FLOOR)
    white = found @ (vectors / root)
    part, along = eigen(white.T @ white / degrees)
    chance = share * (1.0 + np.sqrt(len(values) / degrees)) ** 2
    back = (vectors * root) @ along
    beyond: Float64 = (back * np.maximum(part - chance, 0.0)) @ back.T
    return beyond


def _toward(slow: Float64, correlation: Float64, degrees: int) -> Float64:
    """The slow covariance, shrunk to what the relations of the fast movement would make of it.

    From few degrees of freedom, some direction across unrelated inputs always looks as if nothing
    moved along it. The relations seen within folds are known far better, so they take over in the
    proportion of the directions that moved to the degrees of freedom (a prior of as many).
    """
    spread = np.sqrt(np.diag(slow))
    square = float((slow * slow).sum())
    directions = float(np.trace(slow)) ** 2 / square if square > 0.0 else 0.0
    weight = directions / (directions + degrees)
    shrunk: Float64 = (1.0 - weight) * slow + weight * np.outer(spread, spread) * correlation
    return shrunk


def _centred(count: int, first: Float64, second: Float64) -> tuple[Float64, Float64]:
    mean = first / count
    covariance = second / count - np.outer(mean, mean)
    return mean, (covariance + covariance.T) / 2.0


def fold_bounds(n: int) -> Int64:
    """int64[K + 1]: where the contiguous folds of n rows begin and end."""
    return np.linspace(0, n, FOLDS + 1).astype(np.int64)


def moments_of(x: Float64, bounds: Int64) -> Moments:
    """The moments of vectors x, float64[n, p], by fold."""
    parts = [x[start:stop] for start, stop in pairwise(bounds.tolist())]
    return Moments(
        np.diff(bounds),
        np.array([part.sum(axis=0) for part in parts]),
        np.array([part.T @ part for part in parts]),
    )


def eigen(covariance: Float64) -> tuple[Float64, Float64]:
    """Eigenvalues (descending, >= 0) and eigenvectors (columns, sign fixed) of a covariance."""
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    sign = np.where(vectors[largest, np.arange(len(values))] < 0.0, -1.0, 1.0)
    return values, vectors * sign


def slow_allowance(arl: float) -> float:
    """By how much slow variance, seen in so few means, must be multiplied to be added.

    The prediction limit of a further mean, when few told mean and spread, is Student's t where a
    well-known spread would give the normal one.
    """
    ratio = t.isf(0.5 / arl, SLOW_DEGREES) / norm.isf(0.5 / arl)
    return float(ratio**2 * (1.0 + 1.0 / QUARTERS) - 1.0)


def choose_ridge(moments: Moments, slow: float) -> float:
    """The ridge under which held-out folds are most likely as Gaussian (`RIDGES`)."""
    cost = np.zeros(len(RIDGES))
    for fold, (_, covariance, held) in enumerate(moments.splits(slow)):
        values, vectors = eigen(covariance)
        energy = np.einsum("ji,jk,ki->i", vectors, held, vectors)
        for place, ridge in enumerate(RIDGES):
            spread = values + ridge
            cost[place] += moments.count[fold] * np.log(spread).sum() + (energy / spread).sum()
    return float(RIDGES[int(np.argmin(cost))])


def choose_components(moments: Moments, slow: float) -> int:
    """Number of principal components: the first minimum of the held-out error of predicting each
    input from the others by the component model (PRESS; Wold 1978, Qin & Dunia 2000), 1..p-1.
    """
    p = moments.first.shape[1]
    splits = [(eigen(covariance)[1], held) for _, covariance, held in moments.splits(slow)]
    best, best_press = 1, np.inf
    for k in range(1, p):
        press = 0.0
        for vectors, held in splits:
            residual = np.eye(p) - vectors[:, :k] @ vectors[:, :k].T
            own = np.maximum(np.diag(residual), 1e-9)
            press += float((np.einsum("ij,jk,ik->i", residual, held, residual) / own**2).sum())
        if press < best_press:
            best, best_press = k, press
        elif k > best + 2:
            break
    return best


def dynamic_lags(moments: Moments, inputs: int, most: int, ridge: float) -> int:
    """How many earlier scans the vector should hold, 0..most.

    One more is taken while it lowers the held-out variance that the *other* inputs leave
    unexplained by a tenth on average: an input's own past always predicts it and says nothing of
    its relations.
    """
    lags, left = 0, _unexplained(moments, inputs, 0, ridge)
    while lags < most:
        with_one = _unexplained(moments, inputs, lags + 1, ridge)
        if float(np.mean(with_one / np.maximum(left, 1e-9))) > 0.9:
            break
        lags, left = lags + 1, with_one
    return lags


def _unexplained(moments: Moments, inputs: int, lags: int, ridge: float) -> Float64:
    """Held-out share of each input's variance left by the others, now and in the past scans."""
    left = np.zeros(inputs)
    total = np.zeros(inputs)
    for _, covariance, held in moments.splits():
        for j in range(inputs):
            others = np.array(
                [i + lag * inputs for lag in range(lags + 1) for i in range(inputs) if i != j]
            )
            own = covariance[np.ix_(others, others)] + ridge * np.eye(len(others))
            weights = np.linalg.solve(own, covariance[others, j])
            joint = np.append(others, j)
            contrast = np.append(-weights, 1.0)
            left[j] += float(contrast @ held[np.ix_(joint, joint)] @ contrast)
            total[j] += float(held[j, j])
    return left / np.maximum(total, 1e-300)


def correlation_times(x: Float64, vectors: Float64) -> Float64:
    """Correlation time, in rows (>= 1), of x, float64[n, p], along each column of `vectors`.

    From the variance of means over blocks of 1, 2, 4 ... rows (at least 8 blocks): independent
    rows would make it fall as 1/length, slow moves of the operating point keep it up.
    """
    means, length = x, 1
    alone = np.maximum(_variances(x @ vectors), 1e-300)
    tau = np.ones(vectors.shape[1])
    while len(means) >= 16:
        even = len(means) // 2 * 2
        halves = means[0:even:2] + means[1:even:2]
        halves /= 2.0
        means, length = halves, length * 2
        tau = np.maximum(tau, _variances(means @ vectors) * length / alone)
    return tau


def _variances(scores: Float64) -> Float64:
    """Of each column, as `var` gives it but without a copy: the scores are overwritten."""
    scores -= scores.mean(axis=0)
    np.square(scores, out=scores)
    found: Float64 = scores.mean(axis=0)
    return found
