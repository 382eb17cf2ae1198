"""Fit the joint baseline of a model's inputs: PCA charts with cross-validated limits, relations.

    fit_joint(matrix, names, interval_ns=..., arl=...) -> JointFit

Steps: drop what can not be judged jointly (constant, mostly missing, moved only once), standardise,
split into groups where there are many inputs, and per group: ridge, lags, components and smoothing
by blocked cross-validation, then limits from the statistics of held-out folds. In-sample limits
would flag 14 % of new normal scans at a nominal 0.5 % (Tennessee Eastman, 500 x 52).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.core.kernels.joint import CHARTS, MOST_LAGS, statistics
from agent.errors import FieldwardenError
from agent.fit import joint_moments as algebra
from agent.fit.joint_change import ChangeFit, fit_change
from agent.fit.joint_limits import Limit, at_least, choose_smoothing, gaussian_limit, limit_of
from agent.fit.joint_relations import Relation, relations
from agent.types import Float64, Int64

SCHEMA = 2
FEWEST_ROWS = 30
MOST_INPUTS = 64
"""Inputs in one group at most; also a fifth of the rows, so that covariances can be told."""
_ALONE = 0.8
"""Share of the way from its mean to its limit that one scan, however far, may take smoothed SPE."""

_FAR = 1.5
"""Times the farthest held-out scan from the centre: beyond, a scan is like none of training."""

_HUGE = 1e100
"""Beyond it a value is missing: its square would not be a number."""


@dataclass(frozen=True, slots=True)
class GroupFit:
    """The charts of one group of inputs; the arrays are what `fold_joint` takes.

    `columns` int64[d] are indices in the model's inputs; vectors hold d (lags + 1) values, the
    latest scan first. `loadings` float64[p, p], `offset` float64[p]: in the units of the matrix
    that was fitted. `alpha`, `cap` are of smoothed SPE; `limits` of `CHARTS`; `farthest` is the
    sum of T2 and SPE (a squared Mahalanobis distance) beyond which a scan is like none of training.
    """

    columns: Int64
    lags: int
    components: int
    ridge: float
    loadings: Float64
    offset: Float64
    alpha: float
    cap: float
    change: ChangeFit
    farthest: float
    limits: tuple[Limit, ...]

    def to_json(self) -> dict[str, Any]:
        """The group as a JSON-ready document."""
        return {
            "columns": self.columns.tolist(),
            "lags": self.lags,
            "components": self.components,
            "ridge": self.ridge,
            "loadings": self.loadings.tolist(),
            "offset": self.offset.tolist(),
            "alpha": self.alpha,
            "cap": self.cap,
            "adjusted": self.change.adjusted.tolist(),
            "middle": self.change.middle.tolist(),
            "fast": self.change.fast.tolist(),
            "weight": self.change.weight.tolist(),
            "farthest": self.farthest,
            "limit": [limit.value for limit in self.limits],
            "mean": [limit.mean for limit in self.limits],
            "tail_shape": [limit.shape for limit in self.limits],
        }


@dataclass(frozen=True, slots=True)
class JointFit:
    """The joint baseline of one model.

    `relations` has one entry per input, in the matrix' units (r2 0 where it was left out). `arl`
    is per chart of the model: with several groups each group's charts take their part of it, so
    that the model's four charts together raise at most 4 / arl false alarms a scan.
    `provisional`: the record is short beside how slowly the joint statistics move; `needed` more
    scans would do.
    """

    names: tuple[str, ...]
    interval_ns: int
    arl: float
    groups: tuple[GroupFit, ...]
    relations: tuple[Relation, ...]
    notes: tuple[str, ...]
    provisional: bool
    needed: int

    def to_json(self) -> dict[str, Any]:
        """The document that a baseline stores as its mode's `joint`."""
        return {
            "schema": SCHEMA,
            "charts": list(CHARTS),
            "interval_ns": self.interval_ns,
            "arl": self.arl,
            "groups": [group.to_json() for group in self.groups],
            "relations": [
                {
                    "r2": relation.r2,
                    "intercept": relation.intercept,
                    "coefficients": relation.coefficients.tolist(),
                    "residual_sd": relation.residual_sd,
                }
                for relation in self.relations
            ],
            "notes": list(self.notes),
            "provisional": self.provisional,
            "needed": self.needed,
        }


def fit_joint(
    matrix: Float64, names: Sequence[str], *, interval_ns: int, arl: float, seed: int = 0
) -> JointFit:
    """Fit the joint charts of a training record.

    Args:
        matrix: float64[n, d], one row a scan at a fixed interval, NaN where missing, in the units
            in which scans will be judged (standardised as the engine does it).
        names: of the d inputs.
        interval_ns: between rows.
        arl: scans between false alarms, per chart (there are `len(CHARTS)`).
        seed: unused; the fit is deterministic.

    A record that can not be judged jointly (one usable input, fewer than `FEWEST_ROWS` complete
    rows) gives no groups and a note that says why.

    Raises:
        FieldwardenError: the matrix' shape does not match the names, or arl is not above 1.
    """
    del seed
    if matrix.ndim != 2 or matrix.shape[1] != len(names):
        raise FieldwardenError(
            "fitting joint charts",
            f"{len(names)} inputs",
            f"the matrix is {matrix.shape}",
            "give one column for each input",
        )
    if not arl > 1.0:
        raise FieldwardenError(
            "fitting joint charts",
            f"{len(names)} inputs",
            f"an arl of {arl} scans",
            "lower the rate of false alarms: less than one a scan",
        )
    matrix = np.where(np.abs(matrix) < _HUGE, matrix, np.nan)
    usable, notes = _usable(matrix, names)
    rows = int(np.isfinite(matrix[:, usable]).all(axis=1).sum()) if len(usable) else 0
    nothing = tuple(_no_relation(len(names)) for _ in names)
    if len(usable) < 2 or rows < FEWEST_ROWS:
        why = "fewer than two usable inputs" if len(usable) < 2 else f"{rows} complete rows"
        notes.append(f"no joint charts: {why}")
        return JointFit(
            tuple(names),
            interval_ns,
            arl,
            (),
            nothing,
            tuple(notes),
            True,
            max(FEWEST_ROWS - rows, 0),
        )
    part = matrix[:, usable]
    complete = part[np.isfinite(part).all(axis=1)]
    centre, scale = complete.mean(axis=0), complete.std(axis=0)
    del matrix, complete
    z = part - centre
    del part
    z /= scale
    groups_of = _split(z, min(MOST_INPUTS, max(rows // 5, 2)))
    groups = tuple(
        _fit_group(z, usable, members, centre, scale, arl * len(groups_of)) for members in groups_of
    )
    found = _relations(z, usable, centre, scale, list(nothing))
    independent = min(limit.independent for g in groups for limit in g.limits[:2])
    needed = int(max(500.0 / independent - 1.0, 0.0) * rows)
    return JointFit(
        tuple(names), interval_ns, arl, groups, tuple(found), tuple(notes), needed > 0, needed
    )


def _no_relation(d: int) -> Relation:
    return Relation(0.0, 0.0, np.zeros(d), 0.0)


def _usable(matrix: Float64, names: Sequence[str]) -> tuple[Int64, list[str]]:
    """Indices of the columns that can be judged jointly, and why the others can not."""
    notes: list[str] = []
    kept: list[int] = []
    for j, name in enumerate(names):
        column = matrix[:, j]
        finite = np.isfinite(column)
        if finite.sum() < 0.7 * len(column) or not finite.any():
            notes.append(f"{name} is left out of the joint charts: too often missing")
            continue
        reason = _unfit(column[finite])
        if reason:
            notes.append(f"{name} is left out of the joint charts: {reason}")
            continue
        kept.append(j)
    return np.array(kept, np.int64), notes


def _unfit(values: Float64) -> str:
    spread = float(values.std())
    if spread <= 1e-12 * max(float(np.abs(values).max()), 1e-290):
        return "constant"
    bounds = algebra.fold_bounds(len(values))
    for start, stop in pairwise(bounds.tolist()):
        others = np.concatenate([values[:start], values[stop:]])
        if len(others) and float(others.std()) < 0.03 * spread:
            return "it moved only once in the record, so no relation can be told"
    return ""


def _split(z: Float64, most: int) -> list[Int64]:
    """Groups of at most `most` columns that belong together: the most correlated with a leader."""
    d = z.shape[1]
    if d <= most:
        return [np.arange(d)]
    complete = z[np.isfinite(z).all(axis=1)]
    closeness = (complete.T @ complete / len(complete)) ** 2
    left = list(range(d))
    size = -(-d // -(-d // most))
    groups = []
    while left:
        among = closeness[np.ix_(left, left)]
        leader = int(among.sum(axis=1).argmax())
        order = np.argsort(-among[leader], kind="stable")[:size]
        members = sorted(left[i] for i in order)
        groups.append(np.array(members, np.int64))
        left = [i for i in left if i not in members]
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = [np.concatenate(groups[-2:])]
    return groups


def _lagged(z: Float64, lags: int) -> Float64:
    """Vectors [scan, scan before, ...] of complete runs of rows, float64[m, d (lags + 1)].

    A column at a time: these vectors are the most memory that a fit needs, and are there once.
    """
    n, d = len(z) - lags, z.shape[1]
    usable: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(z), axis=1)
    runs = [usable[lags - lag : lags - lag + n] for lag in range(lags + 1)]
    rows = np.flatnonzero(np.logical_and.reduce(runs))
    x = np.empty((len(rows), d * (lags + 1)))
    for lag in range(lags + 1):
        for place in range(d):
            x[:, lag * d + place] = z[rows + (lags - lag), place]
    return x


def _fit_group(
    z: Float64, usable: Int64, members: Int64, centre: Float64, scale: Float64, arl: float
) -> GroupFit:
    """The charts of the columns `members` of the standardised record z."""
    slow = algebra.slow_allowance(arl)
    lags, x, bounds, moments, ridge = _choose_vector(z[:, members], slow)
    components = algebra.choose_components(moments, slow)
    held = np.empty((len(x), 2))
    models = [_whitening(mean, covariance, ridge) for mean, covariance, _ in moments.splits(slow)]
    for fold, (loadings, offset) in enumerate(models):
        part = slice(bounds[fold], bounds[fold + 1])
        statistics(loadings, offset, components, np.ascontiguousarray(x[part]), held[part])
    mean, covariance = moments.whole()
    whitening, shift = _whitening(mean, covariance + slow * moments.slow(covariance), ridge)
    tau = algebra.correlation_times(x, whitening)
    alpha, (t2, spe, smoothed) = _limits(held, (tau[:components], tau[components:]), arl)
    change = fit_change(x, bounds, models, (whitening, shift), len(members), arl)
    spread, middle = np.tile(scale[members], lags + 1), np.tile(centre[members], lags + 1)
    loadings = np.ascontiguousarray(whitening / spread[:, None])
    return GroupFit(
        usable[members],
        lags,
        components,
        ridge,
        loadings,
        shift + middle @ loadings,
        alpha,
        smoothed.mean + _ALONE * (smoothed.value - smoothed.mean) / alpha,
        change.in_units(spread, middle),
        _FAR**2 * float(held.sum(axis=1).max()),
        (t2, spe, change.limit, smoothed),
    )


def _limits(
    held: Float64, tau: tuple[Float64, Float64], arl: float
) -> tuple[float, tuple[Limit, ...]]:
    """Smoothing of SPE, and the limits of T2, SPE and smoothed SPE, from held-out statistics."""
    statistic = np.ascontiguousarray(held.T)
    t2, spe = (
        at_least(limit_of(statistic[chart], arl), gaussian_limit(tau[chart], 1.0, arl))
        for chart in range(2)
    )
    alpha, smoothed = choose_smoothing(statistic[1], spe, tau[1], arl)
    return alpha, (t2, spe, smoothed)


def _choose_vector(z: Float64, slow: float) -> tuple[int, Float64, Int64, algebra.Moments, float]:
    """(lags, vectors, fold bounds, moments, ridge) of a group's columns."""
    d = z.shape[1]
    rows = int(np.isfinite(z).all(axis=1).sum())
    most = min(MOST_LAGS, max(rows // (20 * d) - 1, 0))
    lags = 0
    x = _lagged(z, most)
    if most:
        moments = algebra.moments_of(x, algebra.fold_bounds(len(x)))
        ridge = algebra.choose_ridge(moments.part(np.arange(d)), slow)
        lags = algebra.dynamic_lags(moments, d, most, ridge)
    if lags < most:
        del x  # before there is another
        x = _lagged(z, lags)
    bounds = algebra.fold_bounds(len(x))
    moments = algebra.moments_of(x, bounds)
    return lags, x, bounds, moments, algebra.choose_ridge(moments, slow)


def _whitening(mean: Float64, covariance: Float64, ridge: float) -> tuple[Float64, Float64]:
    """Loadings float64[p, p] and offset float64[p] to scores of about unit variance."""
    values, vectors = algebra.eigen(covariance)
    loadings = np.ascontiguousarray(vectors / np.sqrt(values + ridge))
    offset: Float64 = mean @ loadings
    return loadings, offset


def _relations(
    z: Float64, usable: Int64, centre: Float64, scale: Float64, found: list[Relation]
) -> list[Relation]:
    """Relations of the usable columns in the matrix' units, placed among all inputs."""
    complete = z[np.isfinite(z).all(axis=1)]
    moments = algebra.moments_of(complete, algebra.fold_bounds(len(complete)))
    for place, relation in enumerate(relations(moments)):
        slopes = relation.coefficients * scale[place] / scale
        coefficients = np.zeros(len(found))
        coefficients[usable] = slopes
        intercept = centre[place] + scale[place] * relation.intercept - float(slopes @ centre)
        found[usable[place]] = Relation(
            relation.r2, float(intercept), coefficients, relation.residual_sd * float(scale[place])
        )
    return found
