"""One group of inputs in the joint charts: its parameters and state, and what its scans show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.core.kernels import JOINT_CHARTS
from agent.core.kernels import joint as kernel
from agent.core.kernels.base import SPE, T2, T2_AND_SPE, TRANSITION
from agent.core.scan_means import CALM, within
from agent.types import Float64, Int64

SWAP_BETTER = 2.0
"""Times its limit that a statistic must stay at if one input alone is replaced, before two are held
to be exchanged: the simpler explanation need not leave a scan that is all normal."""

ALONE = 0.5
"""Share of a sudden change that a step of one input must explain for it to be that input's."""

CLEARER = 2.0
"""Times as much as that must stay unexplained by a step of another input for it to be ruled out: of
two that nearly mirror each other, one can not tell which it was."""


def scores_of(joint: Mapping[str, Any], scan_ns: int, scans: Float64) -> list[Float64]:
    """Of each group of a baseline's `joint`, the scores of its charts, float64[m, 4], over scans.

    `scans` float64[m, d], one after another without a pause; the charts begin anew. A scan in which
    an input of the group is NaN is not good.
    """
    times = np.arange(1, len(scans) + 1, dtype=np.int64) * scan_ns
    found = []
    for item in joint.get("groups", ()):
        group = Group(item, scan_ns)
        usable = np.array(np.isfinite(scans[:, group.columns]).all(axis=1), np.uint8)
        _, scores, _ = group.judge(times, np.nan_to_num(scans), usable)
        found.append(scores)
    return found


@dataclass(slots=True)
class Group:
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
        out, scores, apart = self.judge(times, z, good)
        limit = self.params[0]["limit"]
        distance = (scores[:, 0] * limit[0] + scores[:, 1] * limit[1]) / self.farthest
        return out, apart, distance

    def judge(
        self, times: Int64, z: Float64, good: np.ndarray[Any, Any]
    ) -> tuple[np.ndarray[Any, Any], Float64, Float64]:
        """Of m scans: `TRANSITION`; scores float64[m, 4]; float64[m, d] as in `fold`."""
        out = np.zeros(4 * len(times), TRANSITION)
        scores, apart = np.zeros((len(times), 4)), np.zeros((len(times), len(self.columns)))
        written = kernel.fold_joint(
            self.params, self.loadings, self.offset, self.adjusted, self.middle, self.pace,
            self.weight, self.state, self.ring, self.levels, self.work, times,
            np.ascontiguousarray(z[:, self.columns]), good, out, scores, apart,
        )
        return out[:written], scores, apart

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
        if total <= CALM * limit[1]:
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
            & within(raw[b], trained[a]) & within(raw[a], trained[b])
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
        strayed = ~within(mean[own] * scale[own] + centre[own], trained[own])
        others = strayed.sum() - strayed.astype(np.int64)
        normal = (t2 <= SWAP_BETTER * limit[0]) & (spe <= SWAP_BETTER * limit[1])
        return bool((normal & (others == 0)).any())
