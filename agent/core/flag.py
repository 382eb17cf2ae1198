"""The flag: what a detector hands to judgement."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.identity import Subject
from agent.types import Event

TRUTH = "truth"
"""Scope of the flags that say where a prediction or its truth comes: `row` is the model."""


@dataclass(frozen=True, slots=True, order=True)
class Flag:
    """One detector's flag raised (`up`) or cleared, ordered by time, detector and row.

    `scope` says what `row` counts: ``tag`` (tags), ``input`` (chart rows: a model's input),
    ``joint``, ``scan`` and ``truth`` (models), or a fact of `agent.core.extrapolation`. `about`:
    the model's inputs any of which alone explains a joint flag, the best first; none where none
    does or the chart can not say.
    """

    time_ns: int
    rank: int
    row: int
    up: bool
    score: float
    detector: str
    scope: str
    about: tuple[int, ...] = ()

    def event(self, subject: Subject, model: str) -> Event:
        """What the store keeps of it; `model` is empty where none is part of the finding."""
        data = {"detector": self.detector, "up": self.up, "score": self.score, "model": model}
        return Event("finding", self.time_ns, str(subject), data)
