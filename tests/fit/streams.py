"""Streams with known truth for tests of calibration, and detectors folded over them."""

from __future__ import annotations

import math

import numpy as np
from scipy.signal import lfilter

from agent.core.kernels import DETECTORS
from agent.core.kernels.base import TRANSITION
from agent.fit.univariate import InputFit
from agent.types import Float64

SECOND = 1_000_000_000


def ar1(phi: float, n: int, seed: int) -> Float64:
    """float64[n] of a stationary AR(1) process of unit variance."""
    noise = np.random.default_rng(seed).standard_normal(n) * math.sqrt(1 - phi * phi)
    noise[0] /= math.sqrt(1 - phi * phi)
    return np.asarray(lfilter([1.0], [1.0, -phi], noise))


def tau_of(phi: float) -> float:
    """Correlation time of AR(1) in samples."""
    return -1.0 / math.log(phi)


def raised(fit: InputFit, stream: Float64) -> dict[str, list[int]]:
    """Samples at which each detector of a fitted input raises its flag."""
    z = (stream - fit.centre) / fit.scale
    n = len(z)
    times = np.arange(1, n + 1, dtype=np.int64) * SECOND
    out = np.zeros(n + 2, TRANSITION)
    found = {}
    for one in DETECTORS:
        params = np.zeros(1, one.params)
        for name, value in fit.detectors[one.name].items():
            params[0][name] = value
        written = one.fold(
            params, np.zeros(1, one.state), np.array([0, n], np.int64), int(times[-1]) + 1, times,
            times, z, np.zeros(n, np.uint16), out,
        )  # fmt: skip
        ups = out[:written][out["up"][:written] == 1]
        found[one.name] = [int(time // SECOND) - 1 for time in ups["time_ns"]]
    return found


def first_flags(fit: InputFit, name: str, streams: list[Float64], at: int) -> list[int]:
    """Samples from `at` to a detector's first flag there in each stream; -1 where none comes.

    A stream in which the flag is up at `at` already is left out.
    """
    one = next(d for d in DETECTORS if d.name == name)
    n = len(streams[0])
    z = (np.concatenate(streams) - fit.centre) / fit.scale
    times = np.tile(np.arange(1, n + 1, dtype=np.int64) * SECOND, len(streams))
    params = np.zeros(len(streams), one.params)
    for key, value in fit.detectors[name].items():
        params[key] = value
    out = np.zeros(len(z) + 2 * len(streams), TRANSITION)
    written = one.fold(
        params, np.zeros(len(streams), one.state),
        np.arange(len(streams) + 1, dtype=np.int64) * n, (n + 1) * SECOND, times, times, z,
        np.zeros(len(z), np.uint16), out,
    )  # fmt: skip
    first: dict[int, int] = {}
    for flag in out[:written][out["up"][:written] == 1]:
        first.setdefault(int(flag["row"]), int(flag["time_ns"] // SECOND) - 1 - at)
    found = [first.get(row) for row in range(len(streams))]
    return [-1 if place is None else place for place in found if place is None or place >= 0]
