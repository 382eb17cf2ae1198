"""One model's joint charts in service: T2, SPE and change of its scans, in groups of inputs.

A model without joint structure (one usable input, a short record) has no groups and never flags.
Flags of a chart are those of its worst group: raised when the first group raises it, cleared when
the last one clears it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.core.flag import Flag
from agent.core.kernels import JOINT_CHARTS
from agent.core.kernels import joint as kernel
from agent.core.kernels.base import SPE, T2, T2_AND_SPE, TRANSITION
from agent.core.spec import ModelSpec
from agent.types import Float64, Int64

SWAP_REMOVES = 0.9
"""Share of SPE that exchanging two inputs must remove for them to be called swapped."""

SWAP_BETTER = 2.0
"""Times its limit that a statistic must stay at if one input alone is replaced, before two are held
to be exchanged: the simpler explanation need not leave a scan that is all normal."""

NEEDED = frozenset({
    "columns", "components", "lags", "loadings", "offset", "alpha", "cap", "adjusted", "middle",
    "fast", "weight", "limit",
})  # fmt: skip
"""What a group of a baseline must have."""

_FADES = 0.6
"""Weight of a scan beside the next one in what is shown to diagnosis: a fresh fault outweighs the
normal scans before it (0.4 of the sum at once, 0.95 after six scans), and noise is halved."""

_CALM = (1.0 - _FADES) / (1.0 + _FADES)
"""Share of its limit that a statistic of that mean must pass for there to be anything to attribute:
the variance that is left of noise between scans, so that normal scans hardly ever do."""

BY_INPUT = kernel.MOST_LAGS + 3
"""Values that last of each input: the scans that a vector holds, and two means."""

ALONE = 0.5
"""Share of a sudden change that a step of one input must explain for it to be that input's."""

CLEARER = 2.0
"""Times as much as that must stay unexplained by a step of another input for it to be ruled out: of
two that nearly mirror each other, one can not tell which it was."""

_RANK = 20

_Change = tuple[int, int, int, float, tuple[int, ...]]
"""Time, chart, group (its complement where it clears), score, and what it is about."""


class JointCharts:
    """Folds scans through T2 and SPE; `index` is the model's row in flags of scope joint.

    Attributes:
        groups: the inputs of each group, as one text that names it; no input is in two.
    """

    def __init__(self, index: int, model: ModelSpec, mode: int = 0) -> None:
        self._index = index
        inputs = model.baseline.modes[mode].inputs
        self._centre = np.array([item.centre for item in inputs])
        self._scale = np.array([item.scale for item in inputs])
        self._trained = np.array([item.trained for item in inputs])
        found = model.baseline.modes[mode].joint.get("groups", ())
        self._groups = [_Group(item, model.scan_ns) for item in found]
        self.groups = tuple(
            "\n".join(model.inputs[column] for column in group.columns) for group in self._groups
        )

    def fold(
        self, times: Int64, z: Float64, good: np.ndarray[Any, Any]
    ) -> tuple[list[Flag], Float64]:
        """Judge m scans: int64[m] ns, float64[m, d] standardised, uint8[m] (bit 1: all usable).

        Returns:
            flags, and float64[m]: each scan's distance from the centre of training over the
            farthest allowed, NaN where it is not known.
        """
        usable = (good >> 1) & np.uint8(1)
        far = np.full(len(times), np.nan)
        changes: list[_Change] = []
        before = self._active()
        for number, group in enumerate(self._groups):
            told, apart, distance = group.fold(times, z, usable)
            np.fmax(far, np.where(usable > 0, distance, np.nan), out=far)
            changes += [
                (int(o["time_ns"]), int(o["row"]), number if o["up"] else ~number,
                 float(o["score"]), group.moved_alone(o, times, apart))
                for o in told
            ]
        return self._worst_of_groups(sorted(changes), before), far

    def _worst_of_groups(
        self, changes: list[_Change], up: list[set[int]]
    ) -> list[Flag]:
        flags = []
        for time_ns, chart, who, score, about in changes:
            was = bool(up[chart])
            if who >= 0:
                up[chart].add(who)
            else:
                up[chart].discard(~who)
            if bool(up[chart]) != was:
                flags.append(Flag(time_ns, _RANK + chart, self._index, not was, score,
                                  kernel.CHARTS[chart], "joint", about))
        return flags

    def _active(self) -> list[set[int]]:
        """Per chart, the groups whose flag is up."""
        return [
            {n for n, group in enumerate(self._groups) if group.state[0]["active"][chart]}
            for chart in range(len(kernel.CHARTS))
        ]

    def flagged(self) -> frozenset[str]:
        """The charts that any group has raised."""
        return frozenset(
            chart for chart, up in zip(kernel.CHARTS, self._active(), strict=True) if up
        )

    def scores(self) -> list[float]:
        """Each chart's score (statistic over limit), the worst over groups."""
        worst = np.zeros(len(kernel.CHARTS))
        for group in self._groups:
            worst = np.maximum(worst, group.state[0]["score"])
        return [float(score) for score in worst]

    def scores_by_statistic(self) -> dict[str, float]:
        """The same where people look: the worst of the charts of one statistic."""
        worst: dict[str, float] = {}
        for chart, score in zip(JOINT_CHARTS, self.scores(), strict=True):
            worst[chart.shown] = max(worst.get(chart.shown, 0.0), score)
        return worst

    def shares(self, recent: Float64, statistic: str, *, each: bool = False) -> list[float]:
        """Per input, the share of a statistic that replacing it by its reconstruction removes.

        `statistic` is `T2`, `SPE` or `T2_AND_SPE`: the last stands for a sudden change, as shares
        are asked for long after f and g have met again.

        Reconstruction-based contributions (Alcala & Qin 2009) of the fading mean of the last scans:
        they name the faulty input where plain contributions smear over its neighbours. All 0
        where that mean is calm: inputs that move along their relations leave nothing in SPE. With
        several groups those of the worst one count in full, others as far as they come up to it.

        `each`: of each of the last scans by itself, and added: what scatters about a mean that is
        calm, noise and spikes.
        """
        shares = np.zeros(len(self._centre))
        if not len(recent):
            return [0.0] * len(shares)
        if each:
            found = [group.removed(group.lagged(recent), statistic, 0.0) for group in self._groups]
        else:
            mean = _latest_mean(recent)
            found = [group.removed(group.lasting(mean), statistic, _CALM) for group in self._groups]
        worst = max((score for _, score in found), default=0.0)
        for group, (own, score) in zip(self._groups, found, strict=True):
            if worst > 0.0:
                shares[group.columns] = np.maximum(shares[group.columns], own * (score / worst))
        return [float(share) for share in shares]

    def swapped(self, recent: Float64) -> tuple[int, int] | None:
        """The two inputs whose exchange, in their units, removes SPE and leaves a normal scan."""
        if not len(recent):
            return None
        mean = _latest_mean(recent)
        raw = mean * self._scale + self._centre
        best: tuple[float, tuple[int, int]] = (SWAP_REMOVES, (-1, -1))
        for group in self._groups:
            found = group.best_swap(mean, raw, self._centre, self._scale, self._trained)
            if found is not None and found[0] > best[0]:
                best = found
        return best[1] if best[1][0] >= 0 else None

    # --- what lasts: by group and by input, so that it is found again by name -------------------

    def group_states(self) -> np.ndarray[Any, Any]:
        """`kernel.STATE`[groups]."""
        return np.concatenate([np.zeros(0, kernel.STATE), *(g.state for g in self._groups)])

    def take_group_states(self, states: np.ndarray[Any, Any]) -> None:
        """The states of all groups, as `group_states` gave them."""
        for group, state in zip(self._groups, states, strict=True):
            group.state[0] = state

    def by_input(self) -> Float64:
        """float64[d, `BY_INPUT`]: of each input its last scans, and the two means of `change`."""
        kept = np.zeros((len(self._centre), BY_INPUT))
        for group in self._groups:
            own = np.concatenate([group.ring, group.levels]).T
            kept[group.columns, : own.shape[1]] = own
        return kept

    def take_by_input(self, kept: Float64) -> None:
        """The same back."""
        for group in self._groups:
            scans = len(group.ring)
            group.ring[...] = kept[group.columns, :scans].T
            group.levels[...] = kept[group.columns, scans : scans + 2].T


def _latest_mean(recent: Float64) -> Float64:
    """The mean of the last scans, at least one, the latest weighing most; see `_FADES`."""
    weights = _FADES ** np.arange(len(recent) - 1, -1, -1.0)
    mean: Float64 = weights @ recent / weights.sum()
    return mean


@dataclass(slots=True)
class _Group:
    """One group's parameters and state, as `fold_joint` takes them."""

    params: np.ndarray[Any, Any]
    columns: Int64
    loadings: Float64
    offset: Float64
    adjusted: Float64
    middle: Float64
    pace: Float64
    weight: Float64
    state: np.ndarray[Any, Any]
    ring: Float64
    levels: Float64
    work: Float64
    farthest: float

    def __init__(self, item: Mapping[str, Any], scan_ns: int) -> None:
        self.columns = np.array(item["columns"], np.int64)
        self.loadings = np.ascontiguousarray(item["loadings"], np.float64)
        self.offset = np.array(item["offset"], np.float64)
        self.params = np.zeros(1, kernel.PARAMS)
        self.adjusted = np.ascontiguousarray(item["adjusted"], np.float64)
        self.middle = np.array(item["middle"], np.float64)
        self.weight = np.array(item["weight"], np.float64)
        self.pace = kernel.paces(np.array(item["fast"], np.float64), self.weight)
        for name in ("components", "lags", "alpha", "cap", "limit"):
            self.params[0][name] = item[name]
        self.params[0]["gap_ns"] = 3 * scan_ns // 2
        self.params[0]["forget_ns"] = int(scan_ns / self.pace[1].min())
        d = len(self.columns)
        self.state = np.zeros(1, kernel.STATE)
        self.state[0]["smooth"] = item["mean"][3] if "mean" in item else 0.0
        self.ring = np.zeros((int(item["lags"]) + 1, d))
        self.levels = np.zeros((2, d))
        self.work = np.zeros((3, len(self.offset)))
        self.farthest = float(item.get("farthest", np.inf))

    def fold(
        self, times: Int64, z: Float64, good: np.ndarray[Any, Any]
    ) -> tuple[np.ndarray[Any, Any], Float64, Float64]:
        """Of m scans: `TRANSITION`; float64[m, d], how far each input's two means are apart;
        float64[m], T2 and SPE together over the farthest allowed.
        """
        out = np.zeros(4 * len(times), TRANSITION)
        scores, apart = np.zeros((len(times), 4)), np.zeros((len(times), len(self.columns)))
        written = kernel.fold_joint(
            self.params, self.loadings, self.offset, self.adjusted, self.middle, self.pace,
            self.weight, self.state, self.ring, self.levels, self.work, times,
            np.ascontiguousarray(z[:, self.columns]), good, out, scores, apart,
        )
        limit = self.params[0]["limit"]
        distance = (scores[:, 0] * limit[0] + scores[:, 1] * limit[1]) / self.farthest
        return out[:written], apart, distance

    def moved_alone(self, told: Any, times: Int64, apart: Float64) -> tuple[int, ...]:
        """The inputs whose step alone may explain a sudden change as it is raised, best first.

        A step of input j moves the a of every input by row j of `adjusted` (all lags of it, when it
        has lasted): those whose rows come near to what is seen, in units of the limits.
        """
        if not told["up"] or not JOINT_CHARTS[int(told["row"])].told_apart:
            return ()
        seen = apart[int(np.searchsorted(times, told["time_ns"]))]
        steps = self.adjusted.reshape(len(self.ring), len(seen), -1).sum(axis=0) * self.weight
        size = np.maximum((steps * steps).sum(axis=1), 1e-300)
        explained = (steps @ seen) ** 2 / size / max(float(seen @ seen), 1e-300)
        least = 1.0 - float(explained.max())
        if least > 1.0 - ALONE:
            return ()
        near = np.flatnonzero((1.0 - explained <= CLEARER * least) & (explained >= ALONE))
        order = near[np.argsort(-explained[near], kind="stable")]
        return tuple(int(column) for column in self.columns[order])

    def _statistics(self, scores: Float64) -> tuple[Float64, Float64]:
        """T2 and SPE of scores float64[..., p]."""
        square = scores * scores
        k = int(self.params[0]["components"])
        return square[..., :k].sum(axis=-1), square[..., k:].sum(axis=-1)

    def lasting(self, scan: Float64) -> Float64:
        """float64[1, d (lags + 1)]: one scan of all inputs as if it had lasted for all lags."""
        return np.tile(scan[None, self.columns], len(self.ring))

    def lagged(self, scans: Float64) -> Float64:
        """float64[m, d (lags + 1)]: each scan that has as many before it as there are lags."""
        own, lags = scans[:, self.columns], len(self.ring) - 1
        rows = max(len(own) - lags, 0)
        return np.hstack([own[lags - lag :][:rows] for lag in range(lags + 1)])

    def removed(self, vectors: Float64, statistic: str, least: float) -> tuple[Float64, float]:
        """(float64[d]: share of the statistic that each input's reconstruction removes, score).

        Summed over `vectors` of `lasting` or `lagged`; zeros where their mean score is no more than
        `least`.
        """
        k = int(self.params[0]["components"])
        t2, spe = (float(value) for value in self.params[0]["limit"][:2])
        part, limit = {
            T2: (slice(0, k), t2), T2_AND_SPE: (slice(0, None), t2 + spe),
            SPE: (slice(k, None), spe),
        }[statistic]  # fmt: skip
        loadings = self.loadings[:, part]
        d = len(self.columns)
        scores = vectors @ loadings - self.offset[part]
        total = float((scores * scores).sum())
        score = total / (max(len(vectors), 1) * limit)
        shares = np.zeros(d)
        if score <= least or loadings.shape[1] == 0:
            return shares, 0.0
        for j in range(d):
            own = loadings[j::d]
            pull = own @ scores.T
            gram = own @ own.T + 1e-12 * np.eye(len(own))
            shares[j] = float((pull * np.linalg.solve(gram, pull)).sum()) / total
        return np.clip(shares, 0.0, 1.0), score

    def best_swap(
        self, mean: Float64, raw: Float64, centre: Float64, scale: Float64, trained: Float64
    ) -> tuple[float, tuple[int, int]] | None:
        """(share of SPE removed, the two inputs) of the best exchange; None where there is none.

        After it both must be where they were trained, and T2 and SPE within their limits: any
        exchange takes most of SPE away when one input alone is far off. And no input alone may
        explain the scan: one that is off often reads what a neighbour of its range would.
        """
        d = len(self.columns)
        if d < 2:
            return None
        summed = self.loadings.reshape(len(self.ring), d, -1).sum(axis=0)
        now = mean[self.columns] @ summed - self.offset
        total = float(self._statistics(now)[1])
        limit = self.params[0]["limit"]
        if total <= _CALM * limit[1]:
            return None
        if self._one_explains(mean, now, summed, centre, scale, trained):
            return None
        first, second = np.triu_indices(d, 1)
        a, b = self.columns[first], self.columns[second]
        as_a = (raw[b] - centre[a]) / scale[a] - mean[a]
        as_b = (raw[a] - centre[b]) / scale[b] - mean[b]
        moved = now + as_a[:, None] * summed[first] + as_b[:, None] * summed[second]
        t2, spe = self._statistics(moved)
        usual = (
            (t2 <= limit[0]) & (spe <= limit[1])
            & _within(raw[b], trained[a]) & _within(raw[a], trained[b])
        )
        if not usual.any():
            return None
        best = int(np.argmin(np.where(usual, spe, np.inf)))
        return 1.0 - float(spe[best]) / total, (int(a[best]), int(b[best]))

    def _one_explains(
        self, mean: Float64, now: Float64, summed: Float64, centre: Float64, scale: Float64,
        trained: Float64,
    ) -> bool:
        """Whether one input's reconstruction alone leaves a normal scan, the others as trained.

        The reconstruction minimises T2 and SPE together, each over its limit; `summed`
        float64[d, p] is what one unit of each input adds to the scores `now` float64[p].
        """
        limit = self.params[0]["limit"]
        weight = np.full(len(now), 1.0 / max(float(limit[1]), 1e-300))
        weight[: int(self.params[0]["components"])] = 1.0 / max(float(limit[0]), 1e-300)
        pull = summed @ (weight * now)
        gram = (summed * summed) @ weight
        left = now - (pull / np.maximum(gram, 1e-300))[:, None] * summed
        t2, spe = self._statistics(left)
        own = self.columns
        strayed = ~_within(mean[own] * scale[own] + centre[own], trained[own])
        others = strayed.sum() - strayed.astype(np.int64)
        normal = (t2 <= SWAP_BETTER * limit[0]) & (spe <= SWAP_BETTER * limit[1])
        return bool((normal & (others == 0)).any())


def _within(value: Float64, span: Float64) -> np.ndarray[Any, Any]:
    """Whether values lie in their spans float64[n, 2], or hardly outside."""
    margin = 0.1 * (span[:, 1] - span[:, 0])
    return (value >= span[:, 0] - margin) & (value <= span[:, 1] + margin)
