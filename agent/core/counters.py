"""What a counter does that no counter should: it goes back, or stands still."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from agent.core.kinds import COUNTERS
from agent.types import Float64

_STILL = 6
"""Intervals without a count in a row, of a counter that always moved in training."""


class Rate(Protocol):
    """The part of the evidence that is looked at."""

    @property
    def tag(self) -> str:
        """What is judged, in words."""

    @property
    def kind(self) -> str:
        """Of the tag."""

    @property
    def raw(self) -> Float64:
        """The latest rates, oldest first."""

    @property
    def trained(self) -> tuple[float, float]:
        """The trained range of the rate."""


def counted(evidence: Rate) -> tuple[str, str, str, str, int] | None:
    """(kind, cause, text, hint, rank) of the diagnosis; None where neither is so."""
    rate = evidence.raw[np.isfinite(evidence.raw)]
    if evidence.kind not in COUNTERS or not len(rate):
        return None
    name, low = evidence.tag.removeprefix("the rate of "), evidence.trained[0]
    slack = 1e-6 * float(np.abs(rate).max())
    if low >= 0.0 and bool((rate < -slack).any()):
        return (
            "runs backwards", "integration", f"{name} runs backwards: a replaced or reset meter",
            "find out whether the meter was replaced, set, or wired the wrong way round", 8,
        )
    if low > 0.0 and len(rate) >= _STILL and bool((np.abs(rate[-_STILL:]) <= slack).all()):
        return (
            "stuck", "sensor", f"{name} stands still, and in training it always moved",
            "check the meter and its pulses: does what it counts still flow?", 6,
        )
    return None
