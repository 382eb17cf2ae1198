"""Any vector of a model's inputs beside what the model was trained on: facts, without a stream.

The same comparisons as `extrapolation` makes of scans, but of vectors that somebody asks about:
they are in the units of the tags, each stands as if it had lasted, and no state is read or moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.core import kinds
from agent.core.extrapolation import limits
from agent.core.joint_group import Group
from agent.core.kernels import admission
from agent.core.kernels import joint as kernel
from agent.core.spec import ModelSpec
from agent.types import Float64

Bools = np.ndarray[Any, Any]

_CLIP = 1e9  # as scans are


@dataclass(frozen=True, slots=True)
class Compared:
    """m vectors of d inputs beside training.

    Attributes:
        known: bool[m, d], whether a value tells where its input is.
        inside: bool[m, d], within the trained range; true where not known.
        distance: float64[m], from the centre of training over the farthest allowed: the largest of
            the groups of which every input is known; NaN where there is none.
        whole: bool[m], whether `distance` is of all groups.
    """

    known: Bools
    inside: Bools
    distance: Float64
    whole: Bools


class Training:
    """What one mode of a model was trained on.

    Args:
        model: of which all is taken from its baseline.
        mode: index of the mode in the baseline.

    Attributes:
        low, high: float64[d], the trained range of each input, with its resolution.
    """

    def __init__(self, model: ModelSpec, mode: int) -> None:
        own = model.baseline.modes[mode]
        self.inputs = own.inputs
        ranges = np.array([limits(item) for item in own.inputs], np.float64).reshape(-1, 2)
        self.low, self.high = ranges[:, 0], ranges[:, 1]
        self._centre = np.array([item.centre for item in own.inputs], np.float64)
        self._inverse = 1.0 / np.array([item.scale for item in own.inputs], np.float64)
        codes = np.array([kinds.code_of(item.kind) for item in own.inputs], np.int64)
        self.tells = codes != admission.COUNTER
        self._angle = codes == admission.ANGLE
        self._turn = np.array([item.turn for item in own.inputs], np.float64)
        self._cut = np.array([item.cut for item in own.inputs], np.float64)
        found = own.joint.get("groups", ())
        self._groups = [Group(item, model.scan_ns) for item in found]

    def compare(self, values: Float64) -> Compared:
        """Vectors float64[m, d] in the tags' units, NaN where there is no value.

        Of a counter one value tells nothing: it is judged by how far it goes in an hour.
        """
        known = np.isfinite(values) & self.tells
        placed = np.where(known, values, self._centre)
        on = self._angle
        turns = np.floor((placed[:, on] - self._cut[on]) / self._turn[on])
        placed[:, on] -= self._turn[on] * turns
        z = self._standardised(placed)
        low, high = self._standardised(self.low), self._standardised(self.high)
        inside = ~known | ((z >= low) & (z <= high))
        distance, whole = self._distance(np.clip(z, low, high), known)
        return Compared(known, inside, distance, whole)

    def _standardised(self, values: Float64) -> Float64:
        with np.errstate(over="ignore"):
            z: Float64 = np.clip((values - self._centre) * self._inverse, -_CLIP, _CLIP)
        return z

    def _distance(self, z: Float64, known: Bools) -> tuple[Float64, Bools]:
        """As `Compared` has them; what lies beyond a range is judged up to there."""
        far, whole = np.full(len(z), np.nan), np.ones(len(z), np.bool_)
        for group in self._groups:
            all_known = known[:, group.columns].all(axis=1)
            told = np.zeros((len(z), 2))
            vectors = np.ascontiguousarray(np.tile(z[:, group.columns], len(group.ring)))
            components = int(group.params[0]["components"])
            kernel.statistics(group.loadings, group.offset, components, vectors, told)
            apart = (told[:, 0] + told[:, 1]) / group.farthest
            far = np.fmax(far, np.where(all_known, apart, np.nan))
            whole &= all_known
        return far, whole
