"""The shape of the latest samples: spikes, steps, noise and jumps, told apart at any resolution."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core import shape

SEEDS = range(200)


def walk(seed: int, resolution: float = 0.0, n: int = 64) -> np.ndarray:
    """A slow wander with noise of 1, in steps of `resolution`."""
    rng = np.random.default_rng(seed)
    values = 0.3 * np.cumsum(rng.standard_normal(n)) + rng.standard_normal(n)
    return np.round(values / resolution) * resolution if resolution else values


def seen(values: np.ndarray) -> tuple[bool, bool, bool]:
    return shape.spiked(values, 1.0), shape.stepped(values, 1.0), shape.noisier(values, 1.0)


@pytest.mark.parametrize("resolution", [0.0, 0.5, 1.5])
def test_each_shape_is_seen_and_no_other(resolution):
    """Normal, with spikes (as many as one in eight), with a step, and with noise x3."""
    hits = {"calm": 0, "spikes": 0, "step": 0, "noise": 0}
    for seed in SEEDS:
        rng = np.random.default_rng(1000 + seed)
        calm = walk(seed, resolution)
        spiky = calm.copy()
        spiky[rng.choice(np.arange(30, 60), 5, replace=False)] += rng.choice([-9.0, 9.0], 5)
        step = calm + np.where(np.arange(64) >= 45, 12.0, 0.0)
        hits["calm"] += seen(calm) == (False, False, False)
        hits["spikes"] += seen(spiky) == (True, False, False)
        hits["step"] += seen(step) == (False, True, False)
        hits["noise"] += seen(calm + rng.normal(0.0, np.sqrt(8.0), 64))[2]
    shares = {name: count / len(SEEDS) for name, count in hits.items()}
    assert shares["calm"] == 1.0
    assert min(shares["spikes"], shares["step"]) >= 0.98
    assert shares["noise"] >= 0.9


def test_a_spike_that_came_last_is_not_told_from_a_step():
    """Three samples on it can be either; with more on the other side it shows which."""
    calm = walk(3)
    last = calm.copy()
    last[-1] += 12.0
    assert not shape.spiked(last, 1.0)
    assert shape.spiked(np.concatenate([last, calm[:6]]), 1.0)


@pytest.mark.parametrize("values", [np.zeros(0), np.ones(3), np.full(64, 5.0)])
def test_nothing_is_seen_in_nothing(values):
    """No samples, few, and a constant."""
    assert seen(values) == (False, False, False)
    assert shape.jump(values) is None
    assert not shape.ramp(values[:4])


def test_the_edge_of_a_line_is_where_it_ends():
    """A signal that falls before a jump is lower there than its mean; white noise costs more."""
    falling = 10.0 - np.arange(8.0)
    assert shape.edge(falling, end=True)[0] == pytest.approx(2.5)
    assert shape.edge(falling, end=False)[0] == pytest.approx(10.5)
    rng = np.random.default_rng(5)
    ends = [shape.edge(rng.standard_normal(8), end=True)[0] for _ in range(4000)]
    assert np.std(ends) == pytest.approx(shape.edge(np.zeros(8), end=True)[1], rel=0.05)


def test_inside_is_where_the_latest_are_centred():
    """Half of noisy samples outside the range, their middle in it."""
    noisy = np.array([0.0] * 50 + [-9.0, 9.0, 0.5, -0.5, 0.2, -8.0, 8.0, 0.1])
    assert shape.inside(noisy, -1.0, 1.0)
    assert not shape.inside(noisy + 5.0, -1.0, 1.0)
    assert not shape.inside(np.zeros(0), -1.0, 1.0)


def test_a_jump_has_its_ends_where_they_were():
    """The levels before and after, how long ago, and what another tag did at that instant."""
    rng = np.random.default_rng(6)
    mine = np.concatenate([np.full(40, 20.0), np.full(10, 70.0)]) + 0.1 * rng.standard_normal(50)
    found = shape.jump(mine)
    assert found is not None
    assert (found.age, round(found.before), round(found.after)) == (10, 20, 70)
    assert found.scatter == pytest.approx(0.1, rel=0.7)
    assert shape.ends(mine, 2) is None
    assert shape.jump(0.1 * rng.standard_normal(50)) is None
    for absurd in (np.nan, 1e300, -np.inf):
        mine[45] = absurd
        assert shape.jump(mine) is None
        assert shape.ends(mine, 4) is None
