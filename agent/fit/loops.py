"""Fit how control loops answer: load models, how far each reading may leap, what is quiet.

A load model says what a controller's output, or a measurement in no loop, should be from the other
measurements: a regression on block means with lags, whose gains are summed to what remains when all
has settled. Gains that are not the same in all parts of the record are none. What remains after the
load models, averaged over `WINDOW` blocks, has the covariance that `core.loop_diagnosis` judges by.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from agent.core.kernels.trace import COARSE, PER_MEAN
from agent.core.loop_diagnosis import WINDOW
from agent.types import Float64, Int64

LAGS = 8
"""Blocks before the present one that a load model looks at."""

FOLDS = 8
SURE = 6.0
"""Times its standard error, from fold to fold, that a gain must be to count."""

RARE = 1e-5
"""Probability of what is too rare to be how a loop swings in normal operation."""

FEWEST_SWAYS = 12
FEWEST_BLOCKS = 400
"""Blocks that a record must hold for its load models to be told from chance."""

WANDERS = 3.0
"""Times what noise leaves of it that the mean of a window must vary for it to be a cause."""

LEAP_MARGIN = 1.1
"""Times the largest step of a reading in the record from which a step is one that it never had."""

_RIDGE = 1e-3
_MOVES = 1e-6
_ANSWERS = frozenset({"controller output", ""})
_CAUSES = frozenset({"measurement", ""})
_SHRINK = 0.02


@dataclass(frozen=True, slots=True)
class Part:
    """What an input is in its loop; both empty where it is in none."""

    loop: str = ""
    part: str = ""


def fit_loops(
    values: Float64, names: Sequence[str], parts: Mapping[str, Part], centre: Float64,
    scale: Float64,
) -> dict[str, Any]:  # fmt: skip
    """The document of a mode's loops; empty where no loop's output moves, or the record is short.

    Args:
        values: float64[n, d], scans at a fixed interval in the tags' units, NaN where missing.
        names: of the d inputs.
        parts: of the inputs that are part of a loop.
        centre: float64[d], subtracted by the engine,
        scale: float64[d], and divided by.
    """
    part_of = [parts.get(name, Part()).part for name in names]
    z = (values - centre) / scale
    spread = np.nanstd(z, axis=0)
    moves = np.isfinite(spread) & (spread > _MOVES)
    answers = [j for j, part in enumerate(part_of) if moves[j] and part in _ANSWERS]
    if not any(part_of[j] for j in answers):
        return {}
    means = _block_means(z)
    known = np.isfinite(_window_means(means)).all(axis=1) if len(means) >= WINDOW else np.zeros(0)
    if len(means) < FEWEST_BLOCKS or known.sum() < FEWEST_BLOCKS // 2:
        return {}
    wanders = moves & _wanders(z, means)
    causes = [j for j, part in enumerate(part_of) if wanders[j] and part in _CAUSES]
    follows = _follows(names, parts, moves)
    gains = np.zeros((len(answers), len(names)))
    for row, answer in enumerate(answers):
        own = np.array(_causes_of(answer, causes, names, parts, follows), np.int64)
        gains[row, own] = _gains(means, answer, own)
    off, sway = _off(values, names, parts, scale)
    windows = _window_means(means[:, answers] - means @ gains.T)
    windows = windows[np.isfinite(windows).all(axis=1)]
    covariance = np.cov(windows.T).reshape(len(answers), len(answers))
    covariance = (1.0 - _SHRINK) * covariance + _SHRINK * np.diag(np.diag(covariance))
    middle = windows.mean(axis=0)
    apart = windows - middle
    distance = np.einsum("ij,jk,ik->i", apart, np.linalg.inv(covariance), apart)
    return {
        "answers": answers, "gains": gains.tolist(), "middle": middle.tolist(),
        "covariance": covariance.tolist(), "farthest": float(np.sqrt(distance.max())),
        "leap": _leaps(z).tolist(), "off": off.tolist(), "sway": sway.tolist(), "follows": follows,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class LoopLearnt:
    """What was learnt of one loop, for people to read.

    `explained` is the share of how its output's means over a window varied that its load model
    explains, by the inputs `by`, the most telling first; `why` says why there is no load model.
    """

    loop: str
    output: str = ""
    explained: float = 0.0
    by: tuple[str, ...] = ()
    why: str = ""


def learnt(
    values: Float64, names: Sequence[str], parts: Mapping[str, Part], scale: Float64,
    document: Mapping[str, Any],
) -> list[LoopLearnt]:  # fmt: skip
    """What `fit_loops` learnt of each loop, and of which it learnt nothing and why.

    Args:
        values: float64[n, d], as `fit_loops` takes them.
        names: of the d inputs.
        parts: of the inputs that are part of a loop.
        scale: float64[d].
        document: of `fit_loops`.
    """
    blocks = _block_means(values / scale)
    found = []
    of_loops = [part.loop for name in names if (part := parts.get(name, Part())).loop]
    for loop in dict.fromkeys(of_loops):
        outputs = [j for j, name in enumerate(names)
                   if parts.get(name, Part()) == Part(loop, "controller output")]  # fmt: skip
        if not outputs:
            found.append(LoopLearnt(loop, why="its output is no input of the model"))
            continue
        output = outputs[0]
        if output not in document.get("answers", []):
            found.append(LoopLearnt(loop, names[output], why=_why_not(blocks, output)))
            continue
        gains = np.array(document["gains"])[document["answers"].index(output)]
        windows = _window_means(blocks)
        left = windows[:, output] - windows @ gains
        explained = 1.0 - np.nanvar(left) / max(float(np.nanvar(windows[:, output])), 1e-300)
        weight = np.abs(gains) * np.nanstd(windows, axis=0)
        by = [names[j] for j in np.argsort(-weight) if gains[j]]
        found.append(LoopLearnt(loop, names[output], max(float(explained), 0.0), tuple(by)))
    return found


def _why_not(blocks: Float64, output: int) -> str:
    """Why `fit_loops` learnt nothing of an output, from all block means."""
    known = blocks[np.isfinite(blocks[:, output]), output]
    if len(known) and np.ptp(known) <= _MOVES:
        return "its output does not move in the record"
    rows, needed = PER_MEAN * len(blocks), PER_MEAN * FEWEST_BLOCKS
    if rows < needed:
        return f"the record is too short: {rows:,} rows, and {needed:,} are needed"
    return "too few rows in a row hold all inputs"


def _causes_of(
    answer: int, causes: Sequence[int], names: Sequence[str], parts: Mapping[str, Part],
    follows: Collection[int],
) -> list[int]:  # fmt: skip
    """The inputs that may move an answer: not the measurement that an output holds where it is.

    What that has to do with its output is what the controller does. Where its set point moved, it
    is what the output must be for it.
    """
    loop = parts.get(names[answer], Part()).loop
    return [
        j for j in causes
        if j != answer and (not loop or parts.get(names[j], Part()).loop != loop or j in follows)
    ]


def _wanders(z: Float64, means: Float64) -> NDArray[np.bool_]:
    """bool[d]: whether means over a window are more than what is left of noise between scans.

    A measurement that its loop holds so well that its means are noise tells nothing of what its
    true value does to others.
    """
    noise = np.nanstd(np.diff(z, axis=0), axis=0) / np.sqrt(2.0 * PER_MEAN * WINDOW)
    found: NDArray[np.bool_] = np.nanstd(_window_means(means), axis=0) > WANDERS * noise
    return found


def _off(
    values: Float64, names: Sequence[str], parts: Mapping[str, Part], scale: Float64
) -> tuple[Float64, Float64]:
    """How far block means of a measurement were from its set point, standardised: float64[d] each.

    The farthest, and `_sway`; 0 without a set point.
    """
    of_loop = {part.loop: j for j, name in enumerate(names)
               if (part := parts.get(name, Part())).part == "set point"}  # fmt: skip
    farthest, sway = np.zeros(len(names)), np.zeros(len(names))
    for j, name in enumerate(names):
        part = parts.get(name, Part())
        if part.part == "measurement" and part.loop in of_loop:
            apart = (values[:, j] - values[:, of_loop[part.loop]])[:, None] / scale[j]
            square = _block_means(apart)[:, 0] ** 2
            farthest[j] = np.sqrt(np.nanmax(square, initial=0.0))
            sway[j] = _sway(square)
    return farthest, sway


def _sway(square: Float64) -> float:
    """The rms over as many blocks as traces hold that one in `RARE` exceeds; 0: not known.

    The prediction limit of a further value of logarithms that are nearly normal.
    """
    count = len(square) // COARSE
    means = square[: count * COARSE].reshape(count, COARSE).mean(axis=1)
    means = means[np.isfinite(means) & (means > 0.0)]
    if len(means) < FEWEST_SWAYS:
        return 0.0
    each = 0.5 * np.log(means)
    beyond = float(t.isf(RARE, len(means) - 1)) * np.sqrt(1.0 + 1.0 / len(means))
    return float(np.exp(each.mean() + beyond * each.std(ddof=1)))


def _follows(
    names: Sequence[str], parts: Mapping[str, Part], moves: NDArray[np.bool_]
) -> list[int]:
    """The measurements whose set point moved in the record."""
    led = {part.loop for j, name in enumerate(names)
           if (part := parts.get(name, Part())).part == "set point" and moves[j]}  # fmt: skip
    return [j for j, name in enumerate(names)
            if (part := parts.get(name, Part())).part == "measurement" and part.loop in led]


def _block_means(z: Float64) -> Float64:
    """float64[m, d]: means of the blocks that traces keep; a missing value spoils its block."""
    count = len(z) // PER_MEAN
    means: Float64 = z[: count * PER_MEAN].reshape(count, PER_MEAN, -1).mean(axis=1)
    return means


def _window_means(blocks: Float64) -> Float64:
    """float64[m, k]: means over every `WINDOW` successive blocks."""
    view = np.lib.stride_tricks.sliding_window_view(blocks, WINDOW, axis=0)
    means: Float64 = view.mean(axis=-1)
    return means


def _gains(means: Float64, answer: int, causes: Int64) -> Float64:
    """Steady gains float64[k] of the causes on one answer; 0 where the record is not sure of it."""
    rows = len(means) - LAGS
    lagged = np.stack([means[LAGS - lag : LAGS - lag + rows][:, causes] for lag in range(LAGS + 1)])
    x = lagged.transpose(1, 2, 0).reshape(rows, -1)  # cause by cause, its lags together
    y = means[LAGS:, answer]
    usable = np.isfinite(x).all(axis=1) & np.isfinite(y)
    x, y = x[usable], y[usable]
    kept = np.ones(len(causes), bool)
    for _ in range(len(causes)):
        if not kept.any():
            break
        own = np.repeat(kept, LAGS + 1)
        each = np.array([
            _steady(x[part][:, own], y[part], int(kept.sum()))
            for part in np.array_split(np.arange(len(y)), FOLDS)
        ])  # fmt: skip
        error = np.maximum(each.std(axis=0, ddof=1) / np.sqrt(FOLDS), 1e-12)
        sure = np.abs(each.mean(axis=0)) / error
        if sure.min() >= SURE:
            break
        kept[np.flatnonzero(kept)[int(sure.argmin())]] = False
    gains = np.zeros(len(causes))
    if kept.any():
        gains[kept] = _steady(x[:, np.repeat(kept, LAGS + 1)], y, int(kept.sum()))
    return gains


def _steady(x: Float64, y: Float64, causes: int) -> Float64:
    """Gains of a regression with lags, summed over the lags: float64[causes]."""
    x, y = x - x.mean(axis=0), y - y.mean()
    gram = x.T @ x
    ridge = _RIDGE * np.diag(np.maximum(np.diag(gram), 1e-12))
    steady: Float64 = np.linalg.solve(gram + ridge, x.T @ y).reshape(causes, -1).sum(axis=1)
    return steady


def _leaps(z: Float64) -> Float64:
    """float64[d]: beyond which a step from one scan to the next is one that training never had."""
    steps = np.abs(np.diff(z, axis=0))
    largest: Float64 = LEAP_MARGIN * np.where(np.isfinite(steps), steps, 0.0).max(axis=0)
    return largest
