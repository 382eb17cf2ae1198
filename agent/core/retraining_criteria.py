"""When retraining of a model is warranted: what a person may set, with defaults that serve."""

from __future__ import annotations

from dataclasses import dataclass

_HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Criteria:
    """Any of these, once, makes a request; spans in ns of time that counts.

    Attributes:
        inputs_shifted: how many inputs the process must have moved; below 1, what share of them.
        shifted_for_ns: for how long.
        extrapolating: share of its scans outside of training, while the process moved any input.
        extrapolating_over_ns: over how long.
        losses: whether evidence that its errors grew opens one.
        outputs_shifted_ns: how long an output must be off whose inputs are as trained, and how long
            evidence of losses must stand while no input is known to have moved.
        cool_down_ns: after a person decided, no further request for so long.
    """

    inputs_shifted: float = 2.0
    shifted_for_ns: int = 24 * _HOUR_NS
    extrapolating: float = 0.5
    extrapolating_over_ns: int = 24 * _HOUR_NS
    losses: bool = True
    outputs_shifted_ns: int = 24 * _HOUR_NS
    cool_down_ns: int = 7 * 24 * _HOUR_NS

    def needed(self, inputs: int) -> int:
        """How many of so many inputs must be shifted."""
        wanted = self.inputs_shifted * inputs if self.inputs_shifted < 1.0 else self.inputs_shifted
        return max(1, min(inputs, -int(-wanted // 1)))


DEFAULT = Criteria()
