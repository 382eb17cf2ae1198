"""What the labels of a training record say of a model's losses: `fit --labels`.

The expected loss r(x) is a table over joint novelty x level of the prediction. Its edges are those
that lose least of a normal quantity in so many steps (Max 1960), laid at the record's quantiles, so
the outermost steps hold what is rare. Each row of equal novelty is shrunk towards the mean loss,
each cell towards its row, by `PSEUDO` labels, and losses are made to rise with novelty (isotonic
regression, Barlow et al. 1972): a model errs more, not less, where it was trained less.

What r(x) is worth is measured on labels that it was not learnt from: the record is cut by time into
`FOLDS` parts, and each has the table of the others. From those come its correlation with the loss,
the variance that it removes (Angelopoulos et al. 2023), the limits of the loss chart
(`loss_limits`) and how far the mean loss of a window lies from the mean of r(x) over its scans: the
interval of the loss that is estimated without labels. Windows follow each other in time, so
dependence is in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.signal import lfilter
from scipy.stats import norm, t

from agent.core.expected_loss import (
    COVERAGE,
    NOVELTY_BINS,
    PREDICTION_BINS,
    Errors,
    ExpectedLoss,
    LossReference,
    scatter_of,
)
from agent.errors import BaselineError
from agent.fit.loss_limits import limit_of, moves_of
from agent.fit.record import Dynamics
from agent.types import Float64

FOLDS = 5
PSEUDO = 20.0
"""Labels that the mean loss counts as, beside those of a cell."""

CLIP = 0.999
"""Quantile of the record's losses beyond which one more counts no more."""

BLOCKS = 1.5
"""Correlation times of the loss that one bet is placed over: long enough that AR(1) losses open no
more than is promised at the edge of what is allowed (table `requests` of the benchmark of losses).
"""

FEWEST = 60
"""Labels that a reference needs."""

LEAST_CORRELATION = 0.3
"""Of loss and held-out expected loss: below it the chart does without r(x)."""

_NOVELTY_EDGES = (-1.748, -1.050, -0.5006, 0.0, 0.5006, 1.050, 1.748)
_PREDICTION_EDGES = (-0.9816, 0.0, 0.9816)
_FEWEST_WINDOWS = 10
_BY_QUANTILE = 40  # windows that do not overlap, from which their own quantiles are taken

Bool = np.ndarray[Any, np.dtype[np.bool_]]


def fit_expected_loss(
    novelty: Float64, prediction: Float64, loss: Float64, *, arl: float, name: str = "labels"
) -> LossReference:
    """The reference of a model's losses from all scans of the record, in the order of time.

    Args:
        novelty: float64[scans], how far each scan lies from training, jointly; NaN unknown.
        prediction: float64[scans], what the model said (of classes: the largest share); NaN
            unknown.
        loss: float64[scans], >= 0 in the loss's unit; NaN where there is no label.
        arl: labels between two false alarms of the loss chart.
        name: what a fault is called after.

    Raises:
        BaselineError: fewer than `FEWEST` labels with all of it, or losses that are all the same.
    """
    novelty, prediction, loss = (
        np.asarray(values, np.float64) for values in (novelty, prediction, loss)
    )
    known = ~np.isnan(novelty) & ~np.isnan(prediction)
    labelled = known & np.isfinite(loss) & (loss >= 0.0)
    n = int(labelled.sum())
    if n < FEWEST:
        raise BaselineError(
            "fitting losses of", name, f"{n} labels whose inputs and prediction are known",
            f"give a record with at least {FEWEST}",
        )
    clip = float(np.quantile(loss[labelled], CLIP, method="higher"))
    scans = _Scans(
        novelty[known], prediction[known], np.where(labelled, np.minimum(loss, clip), np.nan)[known]
    )
    losses = scans.loss[scans.labels]
    if not float(np.std(losses)) > 1e-12 * max(float(losses.max()), 1e-300):
        raise BaselineError(
            "fitting losses of", name, f"all {n} labels have the same loss {losses[0]:g}",
            "check that the labels are those of this prediction",
        )
    return _reference(scans, clip, arl)


@dataclass(frozen=True, slots=True)
class _Scans:
    """Scans whose r(x) can be asked for; losses are clipped, and NaN without a label."""

    novelty: Float64
    prediction: Float64
    loss: Float64

    @property
    def labels(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.flatnonzero(~np.isnan(self.loss))


def _reference(scans: _Scans, clip: float, arl: float) -> LossReference:
    labels = scans.labels
    losses, n = scans.loss[labels], len(labels)
    held = _held_out(scans)
    expected = held[labels]
    moves = moves_of(losses)
    slope, correlation = _slope(losses, expected, n / moves.long_run)
    left = losses - slope * expected
    left_moves = moves_of(left) if slope else moves
    memory = moves_of(held).long_run
    variance = float(np.var(losses)) * moves.long_run
    quiet = min(float(np.var(left)) * left_moves.long_run, variance)
    # The mean of all scans' r(x) also tells of the record's own labels, whether they are like all.
    risk = float(losses.mean()) - slope * float(expected.mean() - held.mean())
    risk_error = float(np.sqrt(
        min(quiet / n + (variance - quiet) * memory / len(held), variance / n)
    ))  # fmt: skip
    deviation = float(np.std(losses))
    alone = limit_of(losses, moves, deviation, risk_error, arl)
    powered = limit_of(left, left_moves, deviation, risk_error, arl) if slope else alone
    per_label, risk = len(held) / n, max(risk, 0.0)
    block = max(_block(moves), _block(left_moves))
    return LossReference(
        labels=n, scans_per_label=per_label, clip=clip, risk=risk, risk_error=risk_error,
        deviation=deviation, peak=_peak(losses, risk, block), correlation=correlation, slope=slope,
        memory=memory, block=block, alone=alone, powered=powered, arl=arl,
        expected=_table(scans, np.ones(len(held), np.bool_)),
        errors=_errors(scans, held, risk, risk_error),
    )  # fmt: skip


def _block(moves: Dynamics) -> int:
    return int(np.ceil(BLOCKS * moves.tau)) if moves.long_run > 1.0 else 1


def _peak(losses: Float64, risk: float, block: int) -> float:
    """The highest mean loss that those before a label ever let expect: of the exponential means of
    the past, by the one that expects the next loss best (Holt 1957; its span at most `block`).
    """
    if block == 1:  # the past lets nothing expect
        return risk
    best, peak = np.inf, risk
    for span in np.unique(np.geomspace(1, block, 16).astype(int)):
        share = 2.0 / (span + 1.0)
        means, _ = lfilter([share], [1.0, share - 1.0], losses, zi=[(1.0 - share) * losses.mean()])
        error = float(np.mean((losses[1:] - means[:-1]) ** 2))
        if error < best:
            best, peak = error, float(means.max())
    return max(peak, risk)


def _slope(losses: Float64, expected: Float64, independent: float) -> tuple[float, float]:
    """(c, correlation): c = cov / var in [0, 1], 0 where the correlation may be chance."""
    spread = float(np.var(expected))
    covariance = float(np.mean((losses - losses.mean()) * (expected - expected.mean())))
    if not spread > 1e-18 * float(np.var(losses)):
        return 0.0, 0.0
    correlation = covariance / float(np.sqrt(spread * np.var(losses)))
    if correlation < max(LEAST_CORRELATION, 2.0 / float(np.sqrt(independent))):
        return 0.0, correlation
    return float(np.clip(covariance / spread, 0.0, 1.0)), correlation


# --- r(x) ----------------------------------------------------------------------------------------


def _held_out(scans: _Scans) -> Float64:
    """float64[scans]: r(x) of each scan from the labels of the other parts of the record."""
    found = np.empty(len(scans.novelty))
    labels = scans.labels
    cuts = [0, *(labels[len(labels) * fold // FOLDS] for fold in range(1, FOLDS)), len(found)]
    for begin, end in pairwise(cuts):
        others = np.ones(len(found), np.bool_)
        others[begin:end] = False
        part = slice(begin, end)
        found[part] = looked_up(_table(scans, others), scans.novelty[part], scans.prediction[part])
    return found


def looked_up(table: ExpectedLoss, novelty: Float64, prediction: Float64) -> Float64:
    """float64[scans]: `ExpectedLoss.of` of many scans at once, none of them NaN."""
    rows = np.searchsorted(np.array(table.novelty), novelty, side="right")
    columns = np.searchsorted(np.array(table.prediction), prediction, side="right")
    found: Float64 = np.array(table.table)[rows, columns]
    return found


def _table(scans: _Scans, used: Bool) -> ExpectedLoss:
    """r(x) from the labels among the `used` scans; its mean over them is their mean loss."""
    novelty_edges = np.quantile(scans.novelty[used], norm.cdf(_NOVELTY_EDGES), method="higher")
    prediction_edges = np.quantile(
        scans.prediction[used], norm.cdf(_PREDICTION_EDGES), method="higher"
    )
    at = np.flatnonzero(used & ~np.isnan(scans.loss))
    rows = np.searchsorted(novelty_edges, scans.novelty[at], side="right")
    columns = np.searchsorted(prediction_edges, scans.prediction[at], side="right")
    counts, sums = np.zeros((2, NOVELTY_BINS, PREDICTION_BINS))
    np.add.at(counts, (rows, columns), 1.0)
    np.add.at(sums, (rows, columns), scans.loss[at])
    risk = float(scans.loss[at].mean())
    of_row = (sums.sum(axis=1) + PSEUDO * risk) / (counts.sum(axis=1) + PSEUDO)
    cells = (sums + PSEUDO * of_row[:, None]) / (counts + PSEUDO)
    for column in range(PREDICTION_BINS):
        cells[:, column] = isotonic_regression(
            cells[:, column], weights=counts[:, column] + PSEUDO
        ).x
    cells = np.maximum(cells + risk - float((cells * counts).sum() / counts.sum()), 0.0)
    return ExpectedLoss(
        tuple(map(float, novelty_edges)), tuple(map(float, prediction_edges)),
        tuple(tuple(map(float, row)) for row in cells),
    )  # fmt: skip


# --- the interval of an estimate -----------------------------------------------------------------


def _errors(scans: _Scans, held: Float64, risk: float, risk_error: float) -> Errors:
    """How far the mean loss of windows lies from the mean of held-out r(x) over their scans."""
    labels = scans.labels
    n = len(labels)
    lengths = np.unique(np.round(np.geomspace(1, n // _FEWEST_WINDOWS, 12)).astype(int))
    losses = np.concatenate([[0.0], np.cumsum(scans.loss[labels])])
    expected = np.concatenate([[0.0], np.cumsum(held)])
    # A label's scans are those since the label before it.
    ends = np.concatenate([[labels[0] if n == len(held) else 0], labels + 1])
    low, high = [], []
    for length in lengths:
        starts = np.arange(0, n - length + 1, max(length // 4, 1))
        own = (losses[starts + length] - losses[starts]) / length
        many = ends[starts + length] - ends[starts]
        said = (expected[ends[starts + length]] - expected[ends[starts]]) / many
        error = (own - said) / [scatter_of(float(one), risk) for one in said]
        below, above = _quantiles(error, n / length)
        low.append(min(below, 0.0))
        high.append(max(above, 0.0))
    return Errors(
        tuple(float(length * len(held) / n) for length in lengths), tuple(low), tuple(high),
        float(norm.ppf(0.5 + COVERAGE / 2.0)) * risk_error,
    )


def _quantiles(error: Float64, windows: float) -> tuple[float, float]:
    """5 % and 95 % of the errors of as many windows that do not overlap."""
    tail = (1.0 - COVERAGE) / 2.0
    if windows >= _BY_QUANTILE:
        tail = max(tail * (windows + 1.0) / windows - 1.0 / windows, 0.0)
        low, high = np.quantile(error, [tail, 1.0 - tail])
        return float(low), float(high)
    reach = float(np.sqrt(np.mean(error**2))) * float(t.ppf(1.0 - tail, max(windows - 1.0, 2.0)))
    return -reach, reach
