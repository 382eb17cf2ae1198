"""Changes of unit: claimed where they explain level and scatter, and nothing else does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from agent.configuration import units
from agent.core import shape
from agent.core.conversions import STILL, Trace, Wander, explain_jump
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


def named(
    raw: Float64, sd: float, unit: str = "", tau: float = 30.0, predicted: Float64 | None = None
) -> set[tuple[float, float]]:
    said = np.zeros(0) if predicted is None else predicted
    found = explain_jump(Trace(raw, said), unit, noise_of(sd, tau), sd, CHANGES).changes
    return {(round(one.gain, 6), round(one.offset, 4)) for one in found}


def changed(true: Float64, new: str, after: int) -> Float64:
    """The last samples arrive in another unit."""
    raw, (gain, offset) = true.copy(), REAL[new]
    raw[-after:] = gain * raw[-after:] + offset
    return raw


@dataclass
class Count:
    """How often the true change was among those named, and how often only others were."""

    tried: int = 0
    right: int = 0
    wrong: int = 0

    def take(self, found: set[tuple[float, float]], new: str) -> None:
        gain, offset = REAL[new]
        is_right = (round(gain, 6), round(offset, 4)) in found
        self.tried += 1
        self.right += is_right
        self.wrong += bool(found) and not is_right

    @property
    def right_share(self) -> float:
        return self.right / self.tried

    @property
    def wrong_share_of_claimed(self) -> float:
        return self.wrong / max(self.right + self.wrong, 1)


RIGHT, WRONG = 0.75, 0.05
"""What is asked of names: so many right, and of those claimed so many wrong at most."""


@pytest.mark.parametrize("new", REAL)
def test_a_change_is_named_where_the_level_shows_it(new):
    """Noise of up to 3 % of the level, white or slow as weather, 8 and 20 samples after it."""
    count = Count()
    for tau in (1.0, 30.0):
        for sd in (0.2, 1.0, 2.0):
            for seed in range(20):
                raw = changed(slow(seed, 60.0, sd, tau=tau), new, 8 if seed % 2 else 20)
                count.take(named(raw, sd, tau=tau), new)
    assert count.right_share >= RIGHT
    assert count.wrong_share_of_claimed <= WRONG


@pytest.mark.parametrize("tau", [1.0, 30.0])
def test_degf_can_not_be_told_on_noisy_data_unless_others_predict_it(tau):
    """At 60 +- 8 the level after the change is known to some 7, beside a step of 80.

    Of sixty changes one or the other would fit a move of the plant that well, so none is claimed;
    where others predict the input, the level is known better, and the change is.
    """
    alone, beside = Count(), Count()
    for seed in range(40):
        true = slow(seed, 60.0, 8.0, tau=tau)
        raw = changed(true, "degF", 8)
        said = true + slow(1000 + seed, 0.0, 0.8, tau=tau)
        alone.take(named(raw, 8.0, tau=tau), "degF")
        beside.take(named(raw, 8.0, tau=tau, predicted=said), "degF")
    assert alone.right_share < RIGHT
    assert alone.wrong_share_of_claimed <= WRONG
    assert beside.right_share >= RIGHT
    assert beside.wrong_share_of_claimed <= WRONG


@pytest.mark.parametrize("new", ["psi", "l/min"])
def test_of_factors_near_each_other_the_right_one_is_told_with_others_help(new):
    """14.5 and 16.7 are 15 % apart, as far as the level wanders: what others say decides."""
    counts = {False: Count(), True: Count()}
    for seed in range(40):
        true = slow(seed, 60.0, 8.0)
        said = true + slow(1000 + seed, 0.0, 0.8)
        for known, count in counts.items():
            found = named(changed(true, new, 20), 8.0, predicted=said if known else None)
            count.take(found, new)
    assert counts[True].wrong <= counts[False].wrong
    assert counts[True].right_share >= RIGHT
    assert counts[True].wrong_share_of_claimed <= WRONG


def test_what_others_say_is_left_where_it_is_the_worse_guide():
    """A prediction that wanders more than the input itself changes nothing."""
    for seed in range(20):
        true = slow(seed, 60.0, 1.0)
        raw = changed(true, "psi", 20)
        bad = true + slow(1000 + seed, 0.0, 30.0)
        assert named(raw, 1.0, predicted=bad) == named(raw, 1.0)


def test_a_move_that_others_predict_is_no_change():
    """The plant went where a conversion would: the others went with it."""
    for seed in range(20):
        true = slow(seed, 60.0, 1.0)
        true[-16:] += 80.0
        said = true + slow(1000 + seed, 0.0, 0.5)
        assert not named(true, 1.0, predicted=said)


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
        named_any += bool(explain_jump(Trace(raw), "", 1.0, 1.0, CHANGES).changes)
    assert named_any <= 2


@pytest.mark.parametrize("mean", [0.0, 0.2])
def test_a_small_level_near_zero_times_a_hundred_shows_in_its_scatter(mean):
    """The level says nothing; how it scatters says all, but for factors next to it."""
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        raw = mean + rng.normal(size=64)
        raw[-16:] *= 100.0
        found = explain_jump(Trace(raw), "", 1.0, 1.0, CHANGES).changes
        hits += any(one.gain == 100.0 for one in found)
    assert hits >= 34


@pytest.mark.parametrize("noise", [0.0, 0.01, 1.0])
@pytest.mark.parametrize("to", [0.0, 100.0])
def test_a_value_that_goes_to_an_end_is_no_change(noise, to):
    """A standing machine and a saturated transmitter rest: their scatter goes, at any level."""
    for seed in range(20):
        raw = 60.0 + max(noise, 0.5) * np.random.default_rng(seed).normal(size=64)
        raw[-16:] = to
        assert explain_jump(Trace(raw), "", 0.5, 2.0, CHANGES).changes == ()


def test_a_gain_near_one_is_none():
    """5 % of span error is a transmitter's: no unit is that near another."""
    for seed in range(40):
        raw = slow(seed, 60.0, 4.0)
        raw[-16:] *= 1.05
        assert not named(raw, 4.0)


@pytest.mark.parametrize("new", ["0.001", "psi", "K", "-1"])
@pytest.mark.parametrize("before", [12, 40])
def test_a_change_is_named_where_the_level_begins_to_move_with_it(new, before):
    """The last samples before it tell nothing of how far the level goes after it; the record does.

    Twelve samples are too few to see it, and forty of a plant that rested show none of it.
    """
    told, untold = Count(), Count()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        true = 45.0 + 0.15 * rng.normal(size=before + 8)
        true[before:] += rng.choice([-1.0, 1.0]) * 0.35 * np.arange(1.0, 9.0)
        if before == 12:
            true[:before] -= 0.3 * np.arange(before, 0.0, -1.0)
        raw = changed(true, new, 8)
        for count, wander in ((told, Wander.of(3.0, 0.2, 11.0, 0.0)), (untold, STILL)):
            found = explain_jump(Trace(raw), "", 0.2, 3.0, CHANGES, wander=wander).changes
            count.take({(round(one.gain, 6), round(one.offset, 4)) for one in found}, new)
    assert told.right_share >= RIGHT
    assert told.wrong_share_of_claimed <= WRONG
    assert untold.right_share < told.right_share


@pytest.mark.parametrize("size", [-6.0, -3.0, 3.0, 6.0])
@pytest.mark.parametrize("mean", [0.0, 20.0, 60.0])
def test_a_bias_of_what_wanders_is_no_change_of_unit(size, mean):
    """That a level may move on its own claims no more than before."""
    named_any = 0
    for seed in range(60):
        raw = slow(seed, mean, 4.0)
        raw[-16:] += size * 4.0
        wander = Wander.of(4.0, noise_of(4.0), 30.0, 0.5)
        found = explain_jump(Trace(raw), "", noise_of(4.0), 4.0, CHANGES, wander=wander)
        named_any += bool(found.changes)
    assert named_any <= 2


def test_the_record_wanders_by_its_noise_at_most():
    """As AR(1) of its correlation time does; what others do not predict of it is left."""
    assert Wander.of(3.0, 0.1, 1.0, 0.0).step == pytest.approx(0.1 * np.sqrt(2.0))
    assert Wander.of(3.0, 5.0, 18.0, 0.0).step == pytest.approx(1.0)
    assert Wander.of(3.0, 5.0, np.inf, 0.0).step == 0.0
    assert Wander.of(3.0, 5.0, 18.0, 0.75).left == 0.25


@pytest.mark.parametrize("level", [shape.mean, shape.edge])
def test_the_error_of_levels_is_that_of_a_random_walk(level):
    """Of two spans that adjoin, 8 and 16 samples long."""
    walks = np.cumsum(np.random.default_rng(3).normal(size=(4_000, 24)), axis=1)
    apart = [level(one[8:], end=False)[0] - level(one[:8], end=True)[0] for one in walks]
    assert np.std(apart) == pytest.approx(Wander(1.0).error(level, 8, 16), rel=0.12)
