"""Charts of how values are served: silent on what the record does, not on what it does not."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.kernels import DETECTORS
from agent.fit.record import read_record
from agent.fit.served import fit_served, grid_of
from agent.types import Float64, Quality
from tests.core.kernels.folding import detector, fold, params
from tests.fit.streams import KINDS, SECOND, ar1

ARL = 1e6
NAMES = ("digits", "again", "lines", "averaged")


def charts(values: Float64) -> dict:
    off = {one.name: dict(one.disabled) for one in DETECTORS}
    return off | fit_served(read_record(values, "t"), SECOND, ARL, 10)


def ups(name: str, values: Float64, by: Float64) -> int:
    """Flags of a chart over values, with the limits of a record."""
    record, fitted = read_record(by, "t"), charts(by)
    z = (values - record.centre) / record.scale
    one = detector(name)
    return sum(up for _, up in fold(one, params(one, **fitted[name]), z).flags)


@pytest.mark.parametrize(("digits", "grid"), [(0, 1.0), (1, 0.1), (3, 0.001)])
def test_the_grid_of_a_record_is_the_power_of_ten_that_all_its_values_lie_on(digits, grid):
    """And none where they have all digits; a level near nothing is no coarse grid."""
    values = 62.0 + 5.0 * ar1(0.5, 4_000, 1)
    assert grid_of(np.round(values, digits)) == pytest.approx(grid)
    assert grid_of(values) == 0.0
    assert grid_of(np.round(0.4 + 0.02 * ar1(0.5, 4_000, 1), 4)) == pytest.approx(1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("digits", [1, 3, None])
def test_what_goes_on_as_the_record_raises_nothing(kind, digits):
    """Any stream, rounded or not: 20,000 samples are a fiftieth of the promised run length."""
    record, after = KINDS[kind](20_000, 1), KINDS[kind](20_000, 2)
    if digits is not None:
        record, after = np.round(record, digits), np.round(after, digits)
    assert {name: ups(name, after, record) for name in NAMES} == dict.fromkeys(NAMES, 0)


@pytest.mark.parametrize("seed", range(5))
def test_each_is_found_in_thirty_samples(seed):
    """Coarser digits, a block once more, values three times each, lines and means."""
    record = np.round(62.0 + 2.0 * ar1(0.8, 8_000, seed), 2)
    after = np.round(62.0 + 2.0 * ar1(0.8, 60, 100 + seed), 2)
    late = after[30:]
    mean = np.convolve(after, np.ones(8) / 8.0, "valid")[-30:]
    changed = {
        "digits": np.round(late, 1), "again": after[30 + np.arange(30) % 12 - 12],
        "lines": np.interp(np.arange(30), np.arange(0, 31, 5), after[29:60:5]), "averaged": mean,
    }  # fmt: skip
    held = np.repeat(late[:10], 3)
    for name, values in [*changed.items(), ("again", held)]:
        assert ups(name, np.concatenate([after[:30], values]), record) >= 1, name


@pytest.mark.parametrize("digit", [0.1, 1.0, 0.02])
@pytest.mark.parametrize("seed", range(4))
def test_a_value_that_is_held_within_its_digits_is_on_no_line(seed, digit):
    """A control at its limit: rounding alone makes such small bends."""
    record = rounded(500.0 * digit + 40.0 * digit * ar1(0.5, 8_000, seed), digit)
    held = rounded(500.0 * digit + digit * np.random.default_rng(seed).standard_normal(400), digit)
    assert ups("lines", np.concatenate([record[-60:], held]), record) == 0


def rounded(values: Float64, step: float) -> Float64:
    return np.round(np.round(values / step) * step, 9)


def slow(seed: int, n: int = 8_000) -> Float64:
    """A temperature that hardly moves: scatter 0.36, noise 0.05, in steps of 0.02."""
    rng = np.random.default_rng(seed)
    return rounded(76.9 + 0.36 * ar1(0.995, n, seed) + 0.05 * rng.standard_normal(n), 0.02)


@pytest.mark.parametrize("size", [1e-3, 1e-4, 1e-5])
def test_noise_of_nearly_nothing_is_on_no_line(size):
    """A value that hardly moves lies near any line; what moves along one is found."""
    values = np.round(62.0 + 5.0 * ar1(0.5, 4_000, 1), 6)
    rng = np.random.default_rng(2)
    still = np.round(62.0 + size * rng.standard_normal(200), 6)
    assert ups("lines", np.concatenate([values[:100], still]), values) == 0
    kept = np.interp(np.arange(200), np.arange(0, 200, 10), values[:200:10])
    assert ups("lines", np.concatenate([values[:100], np.round(kept, 6)]), values) > 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("step", [0.06, 0.08, 0.1, 0.5, 1.0])
def test_a_value_that_hardly_moves_is_found_rounded_in_thirty_samples(seed, step):
    """Also where it rests on one of the coarse steps for all of them; 0.02 is no power of ten."""
    after = slow(100 + seed, 60)
    after[30:] = rounded(after[30:], step)
    flagged = ups("digits", after, slow(seed))
    moved = int((np.diff(after[30:]) != 0.0).sum())
    assert flagged == 1 or (step == 0.5 and moved == 0)  # a dead value lies there in 1 of 25 cases


@pytest.mark.parametrize("step", [0.01, 0.02, 0.025, 0.05, 0.25, 0.5, 2.0, 2.5, 5.0])
@pytest.mark.parametrize("times", [3, 4, 5, 10])
def test_steps_of_any_size_are_found_coarser(step, times):
    """Whatever part or multiple of a power of ten an instrument has."""
    record, after = (
        rounded(300.0 * step + 20.0 * step * ar1(0.5, n, seed), step)
        for n, seed in ((8_000, 1), (60, 2))
    )
    after[30:] = rounded(after[30:], times * step)
    assert ups("digits", after, record) == 1


@pytest.mark.parametrize("seed", range(6))
def test_what_was_cut_to_float16_comes_in_powers_of_two(seed):
    """Whose step at 76 is 1/16."""
    after = slow(100 + seed, 60)
    after[30:] = after[30:].astype(np.float16)
    assert ups("digits", after, slow(seed)) == 1


def test_a_dead_instrument_is_not_rounded():
    """It repeats what it read last, which lies on whole numbers in one of fifty cases."""
    record, after = slow(1), slow(2, 2_000)
    flagged = 0
    for last in range(10, 1_000, 10):
        flagged += ups("digits", np.append(after[:last], np.full(40, after[last - 1])), record)
    assert flagged <= 6


@pytest.mark.parametrize("rest", [0.0, 80.0])
def test_what_stands_at_zero_or_at_the_end_of_a_scale_is_not_rounded(rest):
    """A plant that stands lies on every grid, and so does what is saturated."""
    way = np.linspace(76.0, rest, 7)[1:].round(2)
    after = np.concatenate([slow(2, 60), way, np.full(60, rest)])
    assert ups("digits", after, slow(1)) == 0


def test_a_source_that_tells_changes_only_is_found_slower_by_what_is_restated():
    """Every fifth value of an input that moved with nearly every sample; restated between."""
    record, after = slow(1), slow(2, 60)
    after[30:] = np.repeat(after[30::5], 5)
    quality = np.zeros(60, np.uint16)
    quality[30:] = np.where(np.arange(30) % 5 == 0, 0, Quality.HELD)
    fitted, read = charts(record), read_record(record, "t")
    one = detector("again")
    z = (after - read.centre) / read.scale
    flags = fold(one, params(one, **fitted["again"]), z, quality=quality).flags
    assert [up for _, up in flags] == [1] and 30 < flags[0][0] <= 51
