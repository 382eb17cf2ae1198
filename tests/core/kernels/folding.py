"""Folds one tag's samples through a detector, in whatever blocks, and says when it flagged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from agent.core.kernels import DETECTORS, TAG_DETECTORS
from agent.core.kernels.base import TRANSITION, Detector

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def detector(name: str) -> Detector:
    """A row of either table."""
    return next(one for one in (*DETECTORS, *TAG_DETECTORS) if one.name == name)


def params(one: Detector, rows: int = 1, **values: Any) -> np.ndarray:
    """Its parameters: the disabled ones, but for `values`."""
    made = np.zeros(rows, one.params)
    for name, value in {**one.disabled, **values}.items():
        made[name] = value
    return made


@dataclass
class Told:
    """Flags as (sample, up), the state at the end, and the largest score that a flag had."""

    flags: list[tuple[int, int]]
    state: bytes
    score: float


def fold(
    one: Detector, parameters: np.ndarray, value: Sequence[float] | np.ndarray, *,
    arrival: np.ndarray | None = None, source: np.ndarray | None = None,
    quality: np.ndarray | None = None, cuts: Sequence[int] = (),
) -> Told:  # fmt: skip
    """One row's samples, a second apart unless said, in blocks that end at `cuts`."""
    value = np.asarray(value, np.float64)
    n = len(value)
    if arrival is None:
        arrival = START + np.arange(n, dtype=np.int64) * SECOND
    source = arrival.copy() if source is None else np.asarray(source, np.int64)
    quality = np.zeros(n, np.uint16) if quality is None else np.asarray(quality, np.uint16)
    state, flags, score = np.zeros(1, one.state), [], 0.0
    edges = [0, *sorted(set(cuts)), n]
    for a, b in pairwise(edges):
        out = np.zeros(b - a + 2, TRANSITION)
        until = int(arrival[b]) if b < n else int(arrival[-1]) + 1
        written = one.fold(
            parameters, state, np.array([0, b - a], np.int64), until, arrival[a:b], source[a:b],
            value[a:b], quality[a:b], out,
        )
        for flag in out[:written]:
            at = int(np.searchsorted(arrival, flag["time_ns"]))
            flags.append((at, int(flag["up"])))
            score = max(score, float(flag["score"]))
    return Told(flags, state.tobytes(), score)
