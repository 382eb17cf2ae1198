"""Streams with known truth for tests of calibration, and detectors folded over them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import lfilter

from agent.core.kernels import DETECTORS
from agent.core.kernels.base import TRANSITION
from agent.fit import univariate
from agent.fit.univariate import InputFit
from agent.types import Float64

SECOND = 1_000_000_000


def ar1(phi: float, n: int, seed: int) -> Float64:
    """float64[n] of a stationary AR(1) process of unit variance."""
    noise = np.random.default_rng(seed).standard_normal(n) * math.sqrt(1 - phi * phi)
    noise[0] /= math.sqrt(1 - phi * phi)
    return np.asarray(lfilter([1.0], [1.0, -phi], noise))


def skewed(phi: float) -> Callable[[int, int], Float64]:
    """AR(1) driven by exponential steps, as a stream of (length, seed)."""

    def stream(n: int, seed: int) -> Float64:
        steps = np.random.default_rng(seed).exponential(size=n + 200)
        return np.asarray(lfilter([1.0], [1.0, -phi], steps))[200:]

    return stream


def dips(n: int, seed: int) -> Float64:
    """AR(1) that falls by 8 for 20 samples about every 1,000."""
    rng = np.random.default_rng(seed)
    fallen = np.convolve(rng.random(n) < 0.001, np.ones(20))[:n] > 0
    return ar1(0.9, n, seed) - 8.0 * fallen


# Streams of (length, seed), by what a test's name says of them.
KINDS: dict[str, Callable[[int, int], Float64]] = {
    "white": lambda n, seed: ar1(0.0, n, seed),
    "AR(1) 0.5": lambda n, seed: ar1(0.5, n, seed),
    "AR(1) 0.9": lambda n, seed: ar1(0.9, n, seed),
    "AR(1) 0.98": lambda n, seed: ar1(0.98, n, seed),
    "t4": lambda n, seed: np.random.default_rng(seed).standard_t(4, n),
    "t6": lambda n, seed: np.random.default_rng(seed).standard_t(6, n),
    "whole units": lambda n, seed: np.round(0.5 * np.random.default_rng(seed).standard_normal(n)),
    "skewed": skewed(0.0),
    "skewed, slow": skewed(0.9),
    "slow under noise": lambda n, seed: 0.5 * ar1(0.99, n, seed) + ar1(0.0, n, seed + 5000),
    "dips": dips,
}


def tau_of(phi: float) -> float:
    """Correlation time of AR(1) in samples."""
    return -1.0 / math.log(phi)


def fit_alone(monkeypatch: pytest.MonkeyPatch, name: str = "") -> None:
    """From here on `fit_input` fits this one of its CUSUM charts, or none; the others are off.

    What it learns of all else is as ever; the bootstraps of those charts take most of its time.
    """
    for one in DETECTORS:
        if one.name in {"level", "drift", "noise"} - {name}:
            off = dict(one.disabled)
            monkeypatch.setattr(univariate, f"_{one.name}", lambda *_, off=off: dict(off))


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
