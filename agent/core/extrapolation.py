"""What of a model's scans lies outside what it was trained on: facts, told scan by scan.

A fact is true or not; it needs no budget and raises no alarm. Two kinds:

- an input outside its trained range;
- all inputs within their ranges, but together farther from the centre of training (Mahalanobis
  distance with ridge, T2 and SPE in one) than any scan of the record was by a factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.core.baseline import InputBaseline
from agent.core.figures import clock, many, of_width
from agent.core.flag import Flag
from agent.core.kernels import extrapolating as kernel
from agent.core.kernels.base import TRANSITION
from agent.core.kinds import shown, shown_unit
from agent.core.seen import Seen
from agent.core.spec import ModelSpec
from agent.core.state import Lasting
from agent.types import Float64, Int64

INPUT, JOINT = "extrapolating", "extrapolating jointly"
"""Scopes of the flags: `row` is the position of the input in `EngineSpec.rows`, or the model."""

_RANK = 31
_SMALL = 1e-9  # of the larger end of a range: what computing with it may differ by


class ExtrapolationState:
    """What lasts: `inputs` and `inputs_count` by input, `joint` and `joint_count` by model.

    `model_count` counts scans of each model, and those that lay outside of training in any way;
    unlike the others it never begins anew.
    """

    def __init__(self, inputs: int, models: int) -> None:
        self.inputs = np.zeros(inputs, kernel.STATE)
        self.inputs_count = np.zeros(inputs, kernel.COUNTS)
        self.joint = np.zeros(models, kernel.STATE)
        self.joint_count = np.zeros(models, kernel.COUNTS)
        self.model_count = np.zeros(models, kernel.COUNTS)

    def arrays(self) -> list[Lasting]:
        """All of it, by name."""
        return [
            Lasting("extrapolating.inputs", "input", self.inputs),
            Lasting("extrapolating.inputs_count", "input", self.inputs_count),
            Lasting("extrapolating.joint", "model", self.joint),
            Lasting("extrapolating.joint_count", "model", self.joint_count),
            Lasting("extrapolating.model_count", "model", self.model_count),
        ]

    def seen(self, model_of_input: Sequence[int]) -> list[Seen]:
        """How many scans each input had since counting began."""
        return [
            Seen(
                int(own["scans"]),
                int(own["extrapolating"]),
                int(self.joint_count[model]["extrapolating"]),
            )
            for own, model in zip(self.inputs_count, model_of_input, strict=True)
        ]

    def take(self, model_of_input: Sequence[int]) -> list[Seen]:
        """What `seen` says; counting begins anew."""
        seen = self.seen(model_of_input)
        self.inputs_count[...] = self.joint_count[...] = np.zeros((), kernel.COUNTS)
        return seen


class Extrapolation:
    """Folds one model's scans; `own` are its rows among all inputs, `index` its own row."""

    def __init__(self, index: int, model: ModelSpec, own: slice, state: ExtrapolationState) -> None:
        self._index, self._model, self._first = index, model, own.start
        self._inputs, self._count = state.inputs[own], state.inputs_count[own]
        here = slice(index, index + 1)
        self._joint, self._joint_count = state.joint[here], state.joint_count[here]
        self._model_count = state.model_count[here]
        self._params = np.zeros(len(self._inputs), kernel.PARAMS)
        self._farthest = np.array([(0.0, 1.0)], kernel.PARAMS)
        self.use_mode(0)

    def use_mode(self, mode: int) -> None:
        """Compare with what this mode was trained on from now on; what held is forgotten."""
        for row, item in enumerate(self._model.baseline.modes[mode].inputs):
            low, high = limits(item)
            self._params[row] = (
                (low - item.centre) / item.scale,
                (high - item.centre) / item.scale,
            )
        self.forget()

    def within(self, z: Float64) -> Float64:
        """Scans float64[m, d] with each value taken to its trained range.

        What lies beyond is a fact of that input; how the inputs relate is judged up to there, so
        that one value far off does not say the same of all of them.
        """
        return np.clip(z, self._params["low"], self._params["high"])

    def forget(self) -> None:
        """Begin anew."""
        self._inputs[...] = self._joint[...] = np.zeros((), kernel.STATE)

    def fold(
        self, times: Int64, z: Float64, known: np.ndarray[Any, Any], far: Float64
    ) -> list[Flag]:
        """Facts that begin, grow and end in m scans.

        Args:
            times: int64[m] ns.
            z: float64[m, d], standardised.
            known: uint8[m, d], 1 where an input had a usable value.
            far: float64[m], the scan's distance over the farthest allowed, NaN where not known.
        """
        out = np.zeros(z.size, TRANSITION)
        written = kernel.fold(self._params, self._inputs, self._count, times, z, known, out)
        flags = self._flags(out[:written], INPUT, self._first)
        within = (z >= self._params["low"]) & (z <= self._params["high"])
        alone = np.isfinite(far) & (within | (known == 0)).all(axis=1)
        judged = alone.astype(np.uint8)[:, None]
        anyhow = (~within & (known == 1)).any(axis=1) | (alone & (far > 1.0))
        # Scans without any value may be left out by whoever makes them: they count for nothing.
        self._model_count["scans"] += int((known == 1).any(axis=1).sum())
        self._model_count["extrapolating"] += int(anyhow.sum())
        # A scan with an input out of its range is that input's fact: the joint one rests.
        written = kernel.fold(
            self._farthest,
            self._joint,
            self._joint_count,
            times,
            np.ascontiguousarray(np.where(alone, far, 0.0)[:, None]),
            judged,
            out,
        )
        return flags + self._flags(out[:written], JOINT, self._index)

    def _flags(self, told: np.ndarray[Any, Any], scope: str, first: int) -> list[Flag]:
        return [
            Flag(
                int(o["time_ns"]),
                _RANK,
                first + int(o["row"]),
                bool(o["up"]),
                float(o["score"]),
                scope,
                scope,
            )
            for o in told
        ]


def limits(item: InputBaseline) -> tuple[float, float]:
    """The trained range and what belongs to it by the instrument's resolution, in the tag's unit.

    At most 1 % of the range is allowed for the resolution: a coarse instrument's next step is new.
    """
    low, high = item.trained
    margin = min(item.resolution, 0.01 * (high - low)) + _SMALL * max(abs(low), abs(high))
    return low - margin, high + margin


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact that holds: since when (ns), and how far (z of an input, else the distance)."""

    since_ns: int
    far: float


def input_text(item: InputBaseline, tag: str, fact: Fact) -> str:
    """What a person reads of an input outside its trained range."""
    low, high = item.trained
    value = fact.far * item.scale + item.centre
    unit = shown_unit(item.unit, item.kind)
    unit, tag = unit and f" {unit}", shown(tag, item.kind)
    above = value > high
    width = high - low
    beyond = value - high if above else low - value
    share = f" by {of_width(beyond, width)} its width" if width > 0.0 else ""
    return (
        f"{tag} reads {value:.5g}{unit}, {'above' if above else 'below'} its trained range of "
        f"{low:.5g} to {high:.5g}{unit}{share}, since {clock(fact.since_ns)}"
    )


def joint_text(fact: Fact) -> str:
    """What a person reads of inputs that are far from training only together."""
    return (
        "each input is within its trained range, but together they are far from anything trained "
        f"on: {many(fact.far)} times as far as is allowed, since {clock(fact.since_ns)}"
    )

