"""One model's joint charts in service: T2, SPE and change of its scans, in groups of inputs.

A model without joint structure (one usable input, a short record) has no groups and never flags.
Flags of a chart are those of its worst group: raised when the first group raises it, cleared when
the last one clears it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.core.flag import Flag
from agent.core.joint_group import Group
from agent.core.kernels import JOINT_CHARTS
from agent.core.kernels import joint as kernel
from agent.core.scan_means import CALM, by_others, latest_mean
from agent.core.spec import ModelSpec
from agent.types import Float64, Int64

SWAP_REMOVES = 0.9
"""Share of SPE that exchanging two inputs must remove for them to be called swapped."""

NEEDED = frozenset({
    "columns", "components", "lags", "loadings", "offset", "alpha", "cap", "adjusted", "middle",
    "fast", "weight", "limit",
})  # fmt: skip
"""What a group of a baseline must have."""

BY_INPUT = kernel.MOST_LAGS + 3
"""Values that last of each input: the scans that a vector holds, and two means."""

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
        self._groups = [Group(item, model.scan_ns) for item in found]
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
            mean = latest_mean(recent)
            found = [group.removed(group.lasting(mean), statistic, CALM) for group in self._groups]
        worst = max((score for _, score in found), default=0.0)
        for group, (own, score) in zip(self._groups, found, strict=True):
            if worst > 0.0:
                shares[group.columns] = np.maximum(shares[group.columns], own * (score / worst))
        return [float(share) for share in shares]

    def by_others(self, recent: Float64) -> tuple[Float64, Float64]:
        """Of each input, what the others say that it reads, standardised, and how far it is off.

        Its conditional mean given the others, x_j - (S^-1 x)_j / (S^-1)_jj, of the fading mean of
        the last scans as if that had lasted; off in conditional standard deviations. NaN of an
        input in no group.
        """
        said, off = np.full((2, len(self._centre)), np.nan)
        if len(recent):
            mean = latest_mean(recent)
            for group in self._groups:
                own, d = mean[group.columns], len(group.columns)
                summed = group.loadings.reshape(len(group.ring), d, -1).sum(axis=0)
                said[group.columns], off[group.columns] = by_others(own, summed, group.offset)
        return said, off

    def swapped(self, recent: Float64) -> tuple[int, int] | None:
        """The two inputs whose exchange, in their units, removes SPE and leaves a normal scan."""
        if not len(recent):
            return None
        mean = latest_mean(recent)
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
