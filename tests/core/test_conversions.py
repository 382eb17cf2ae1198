"""Changes of unit: claimed where they explain level and scatter, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest

from agent.configuration import units
from agent.core.conversions import explain_jump
from agent.types import Float64

CHANGES = units.changes()
REAL = {
    "degF": (1.8, 32.0), "K": (1.0, 273.15), "psi": (14.503773773, 0.0), "kPa": (100.0, 0.0),
    "l/min": (1000.0 / 60.0, 0.0), "0.001": (0.001, 0.0), "-1": (-1.0, 0.0),
}  # fmt: skip


def slow(seed: int, mean: float, sd: float, n: int = 64, tau: float = 30.0) -> Float64:
    """A signal that wanders, as hourly data does: AR(1) of correlation time `tau` samples."""
    rng = np.random.default_rng(seed)
    phi = np.exp(-1.0 / tau)
    x = np.empty(n)
    x[0] = rng.normal()
    for t in range(1, n):
        x[t] = phi * x[t - 1] + np.sqrt(1 - phi * phi) * rng.normal()
    return mean + sd * x


def noise_of(sd: float, tau: float = 30.0) -> float:
    return sd * float(np.sqrt(1.0 - np.exp(-1.0 / tau)))


def named(raw: Float64, sd: float, unit: str = "") -> set[tuple[float, float]]:
    found = explain_jump(raw, unit, noise_of(sd), sd, CHANGES)
    return {(round(one.gain, 6), round(one.offset, 4)) for one in found}


@pytest.mark.parametrize("new", REAL)
@pytest.mark.parametrize("after", [8, 20])
def test_a_change_is_seen_in_a_signal_that_wanders(new, after):
    """Hourly data whose noise is its weather: the true change is among those named, nearly always.

    Where it is not, no other is named either: a wrong factor is worse than none.
    """
    gain, offset = REAL[new]
    right = wrong = 0
    for seed in range(60):
        raw = slow(seed, 60.0, 4.0)
        raw[-after:] = gain * raw[-after:] + offset
        found = named(raw, 4.0)
        right += (round(gain, 6), round(offset, 4)) in found
        wrong += bool(found) and (round(gain, 6), round(offset, 4)) not in found
    assert right >= 36
    assert wrong <= 2


@pytest.mark.parametrize("size", [-6.0, -3.0, -1.0, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("mean", [0.0, 3.0, 20.0, 60.0, 1000.0])
def test_a_bias_is_no_change_of_unit(size, mean):
    """A step of some standard deviations with the scatter as it was, at any level."""
    named_any = 0
    for seed in range(60):
        raw = slow(seed, mean, 4.0)
        raw[-16:] += size * 4.0
        named_any += bool(named(raw, 4.0))
    assert named_any <= 2


@pytest.mark.parametrize("mean", [0.0, 20.0])
@pytest.mark.parametrize("times", [2.0, 3.0, 5.0])
def test_noise_is_no_change_of_scale(times, mean):
    """Scatter that grows about the level where it was."""
    named_any = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        raw = mean + rng.normal(size=64)
        raw[-16:] = mean + times * rng.normal(size=16)
        named_any += bool(explain_jump(raw, "", 1.0, 1.0, CHANGES))
    assert named_any <= 2


@pytest.mark.parametrize("mean", [0.0, 0.2])
def test_a_small_level_near_zero_times_a_hundred_shows_in_its_scatter(mean):
    """The level says nothing; how it scatters says all, but for factors next to it."""
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        raw = mean + rng.normal(size=64)
        raw[-16:] *= 100.0
        found = explain_jump(raw, "", 1.0, 1.0, CHANGES)
        hits += any(one.gain == 100.0 for one in found)
    assert hits >= 34


@pytest.mark.parametrize("noise", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("to", [0.0, 100.0])
def test_a_value_that_goes_to_an_end_is_no_change(noise, to):
    """A standing machine and a saturated transmitter rest: their scatter goes, at any level."""
    for seed in range(20):
        raw = 60.0 + max(noise, 0.5) * np.random.default_rng(seed).normal(size=64)
        raw[-16:] = to
        assert explain_jump(raw, "", 0.5, 2.0, CHANGES) == ()


def test_a_gain_near_one_is_none():
    """5 % of span error is a transmitter's: no unit is that near another."""
    for seed in range(40):
        raw = slow(seed, 60.0, 4.0)
        raw[-16:] *= 1.05
        assert not named(raw, 4.0)
