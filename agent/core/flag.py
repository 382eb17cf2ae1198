"""The flag: what a detector hands to judgement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Flag:
    """One detector's flag raised (`up`) or cleared, ordered by time, detector and row.

    `scope` says what `row` counts: ``tag`` (tags), ``input`` (chart rows: a model's input),
    ``joint`` and ``scan`` (models). `about`: the model's inputs any of which alone explains a
    joint flag, the best first; none where none does or the chart can not say.
    """

    time_ns: int
    rank: int
    row: int
    up: bool
    score: float
    detector: str
    scope: str
    about: tuple[int, ...] = ()
