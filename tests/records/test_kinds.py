"""Kinds of tags recognised in training data; what can be meant two ways is not claimed."""

from __future__ import annotations

import numpy as np
import pytest

from agent.records.kinds import recognise

MINUTE = 60_000_000_000
N = 3000


def found(name, values, unit=""):
    kind = recognise(name, np.asarray(values, float), unit, MINUTE)
    return (kind.kind if kind.sure else kind.kind + "?") if kind else ""


def rng(seed):
    return np.random.default_rng(seed)


def flow(seed, standing=0.3):
    """What a meter counts a minute: standing a part of the time."""
    r = rng(seed)
    stands = np.repeat(r.random(N // 50) < standing, 50)
    return np.where(stands, 0.0, r.uniform(3.0, 5.0, N))


SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("name", "unit"),
    [("FQ-101", "m3"), ("steam_total", "t"), ("Gaszähler", "kWh"), ("water meter", "m3"),
     ("E1", "MWh"), ("FQI 7.PV", ""), ("Durchfluss Summe", "m3"), ("compteur eau", "m3"),
     ("Zählwerk Gas", "m3"), ("FT101_ACC", "kg")],
)  # fmt: skip
def test_a_totaliser(name, unit, seed):
    """With standing times, with resets, and rolling over at 16 and 32 bits and decimally."""
    total = np.cumsum(flow(seed))
    reset = total.copy()
    reset[1500:] -= reset[1500]
    turns = [np.mod(total + turn - 500.0, turn) for turn in (2.0**16, 2.0**32, 1e4, 1e6)]
    for values in (total, reset, np.arange(N) * 4.0, *turns):
        assert found(name, values, unit) == "totaliser"


@pytest.mark.parametrize("seed", SEEDS)
def test_run_hours_and_counters(seed):
    """Run hours and counters."""
    running = flow(seed) > 0
    assert found("P-101 run hours", np.cumsum(running) / 60.0 + 1234.5, "h") == "run hours"
    assert found("Betriebsstunden", np.round(np.cumsum(running) / 60.0, 1)) == "run hours"
    assert found("runtime_s", np.cumsum(running) * 60.0, "s") == "run hours"
    assert found("Stückzähler", np.cumsum(np.round(flow(seed)))) == "counter"
    assert found("piece counter", np.cumsum(np.round(flow(seed)))) == "counter"


@pytest.mark.parametrize("seed", SEEDS)
def test_angles(seed):
    """Angles."""
    turning = np.cumsum(rng(seed).normal(0.0, 8.0, N))
    assert found("wind_direction", np.mod(turning, 360.0), "deg") == "angle"
    assert found("compass", np.mod(np.radians(turning), 2 * np.pi), "rad") == "angle"
    assert found("phase", np.mod(turning + 180.0, 360.0) - 180.0, "deg") == "angle"


def test_what_is_set_and_constants():
    """What is set and constants."""
    assert found("TIC-1.SP", np.repeat([50.0, 55.0, 60.0], 1000)) == "set point"
    assert found("TIC-1.SP", np.full(N, 50.0)) == "set point"
    assert found("consigne 3", np.repeat([50.0, 55.0, 60.0], 1000)) == "set point"
    assert found("K-Faktor", np.full(N, 1.02)) == "constant"
    switching = np.repeat(rng(1).integers(0, 2, N // 50), 50)
    assert found("XV-3 cmd", 100.0 * switching) == "command"
    assert found("design pressure", np.full(N, 16.0), "bar") == "constant"
    assert found("serial number", np.full(N, 81723.0)) == "constant"
    assert found("state", switching.astype(float)) == "state"
    assert found("level", np.round(rng(0).normal(5.0, 1.0, N))) == "quantised"


@pytest.mark.parametrize("seed", SEEDS)
def test_what_could_be_something_else_is_not_claimed(seed):
    """A rising temperature, a drifting level, a ramp, a valve's angle, a moving set point."""
    r = rng(seed)
    noise = r.normal(0.0, 0.3, N)
    assert found("temperature", 20.0 + np.linspace(0, 40, N) + noise, "degC") == ""
    assert found("level", 50.0 + np.cumsum(noise), "%") == ""
    assert found("mass", np.linspace(0, 40, N), "kg") == "totaliser?"
    assert found("temperature", np.linspace(20, 40, N), "degC") == ""
    assert found("tank level", np.mod(np.linspace(0, 900, N), 100), "%") == ""
    assert found("batch level total", np.mod(np.linspace(0, 900, N), 100) + noise, "%") == ""
    assert found("FQ-1", 50.0 + np.cumsum(noise), "m3") == ""
    assert found("valve angle", 45.0 + 3 * noise, "deg") == ""
    assert found("cascade SP", 50.0 + np.cumsum(noise)) == ""
    assert found("flow", r.normal(5.0, 1.0, N), "m3/h") == ""
