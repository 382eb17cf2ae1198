"""Both rules of `spike` keep their share of false alarms, and find spikes in held signals."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.delays import FLAG_HOLD
from agent.fit.spike import WEIGHT, fit_spike
from tests.core.kernels.folding import SECOND, detector, fold, params
from tests.fit.streams import ar1


def sizes(z):
    """The statistic of `spike` over a series without gaps."""
    return np.abs(z[1:-1] - (z[2:] + z[:-2]) / 2)


def raised(fitted, z, **changed):
    """The samples at which the kernel raises."""
    one = detector("spike")
    given = {**fitted, "gap_ns": 2 * SECOND, **changed}
    return [at for at, up in fold(one, params(one, **given), z).flags if up]


def held(n, every, seed):
    """White noise that a slow analyser shows for `every` samples."""
    return np.repeat(np.random.default_rng(seed).standard_normal(n // every + 1), every)[:n]


@pytest.mark.parametrize("make", [
    lambda n, seed: np.random.default_rng(seed).standard_normal(n),
    lambda n, seed: ar1(0.9, n, seed),
    lambda n, seed: held(n, 5, seed),
], ids=["white", "phi 0.9", "held for 5"])  # fmt: skip
@pytest.mark.parametrize("n", [500, 20_000])
def test_lesser_spikes_keep_their_run_length(make, n):
    """The tally alone, over 40 records: not above its half of the rate by more than chance."""
    arl, length, alarms = 20_000.0, 100_000, 0
    for seed in range(40):
        fitted = fit_spike(sizes(make(n, seed)), 0.0, arl, FLAG_HOLD)
        alarms += len(raised(fitted, make(length, 1000 + seed), limit=1e300))
    expected = 40 * length / (2 * arl)
    assert alarms <= expected + 2 * np.sqrt(expected)


def test_spikes_too_small_to_stand_out_are_found_by_their_number():
    """8 noise on an analyser that is held for five samples: none passes the limit of one."""
    z = held(500, 5, 1)
    fitted = fit_spike(sizes(z), 0.0, 1e8, FLAG_HOLD)
    spike = 8 * float(np.std(np.diff(z)) / np.sqrt(2))
    assert spike < fitted["limit"]
    faulty = held(600, 5, 2)
    faulty[10::20] += spike
    assert raised(fitted, faulty)


def test_bursts_that_the_record_shows_are_normal():
    """Noise that swells for a while every now and then raises nothing new."""
    def bursts(seed):
        rng = np.random.default_rng(seed)
        swell = np.where(np.arange(50_000) % 2000 < 40, 4.0, 1.0)
        return swell * rng.standard_normal(50_000)

    fitted = fit_spike(sizes(bursts(1)), 0.0, 1e7, FLAG_HOLD)
    assert not any(raised(fitted, bursts(seed)) for seed in range(2, 8))
    steady = fit_spike(sizes(np.random.default_rng(1).standard_normal(50_000)), 0.0, 1e7, FLAG_HOLD)
    assert fitted["most"] > 1.2 * steady["most"]
    assert fitted["most"] >= 3 * WEIGHT


@pytest.mark.parametrize(("at", "length"), [(453, 44), (1265, 58), (875, 30)])
def test_one_rough_stretch_of_the_record_is_no_error(at, length):
    """All that is large lies in it: a tally has no bound then, and is left to one that is huge."""
    rng = np.random.default_rng(at)
    z = rng.standard_normal(1500)
    z[at : at + length] += 100.0 * rng.standard_normal(length)
    fitted = fit_spike(sizes(z), 0.0, 4e7, FLAG_HOLD)
    assert np.isfinite(list(fitted.values())).all()
    calm = fit_spike(sizes(rng.standard_normal(1500)), 0.0, 4e7, FLAG_HOLD)
    assert fitted["most"] > 10 * calm["most"]
    assert not raised(fitted, np.random.default_rng(1).standard_normal(100_000))


@pytest.mark.parametrize("hold", [10, FLAG_HOLD])
def test_one_wrong_reading_is_soon_over_and_a_tag_that_spikes_again_is_told_of_once(hold):
    """Alone it is over after `hold` samples; one in 40 is one flag from the second on."""
    calm = ar1(0.0, 5000, 1)
    fitted = fit_spike(sizes(calm), 0.0, 1e8, hold) | {"gap_ns": 2 * SECOND}
    one, z = detector("spike"), ar1(0.0, 3000, 2)
    z[100] += 20.0
    (first, _), (last, _) = fold(one, params(one, **fitted), z).flags
    assert first in (100, 101)
    assert hold <= last - first <= hold + 2
    z[1100:2100:40] += 20.0
    flags = [at for at, up in fold(one, params(one, **fitted), z).flags if up]
    assert len(flags) <= 3
    assert fold(one, params(one, **fitted), z).flags[-1][0] >= 2060 + fitted["weight"]
