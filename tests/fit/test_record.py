"""What a training column says of itself: usable samples, scale, resolution, dynamics."""

from __future__ import annotations

import numpy as np
import pytest

from agent.errors import BaselineError
from agent.fit.record import coarse_step, dynamics, read_record
from simulators.plant import Plant, PlantSettings
from simulators.tags import NAMES
from tests.fit.streams import ar1, tau_of


@pytest.mark.parametrize("phi", [0.5, 0.9, 0.98])
def test_correlation_time_and_long_run_variance_of_ar1(phi):
    """Over 20 records of 1,000 tau: unbiased within 12 %, each within 45 %."""
    tau, long_run = tau_of(phi), (1 + phi) / (1 - phi)
    found = [dynamics(ar1(phi, int(1000 * tau), seed)) for seed in range(20)]
    ratios = np.array([one.long_run / long_run for one in found])
    assert abs(ratios.mean() - 1) < 0.12
    assert np.abs(ratios - 1).max() < 0.45
    assert np.median([one.tau for one in found]) == pytest.approx(tau, rel=0.25)


def test_white_noise_has_no_memory():
    """One sample is one block."""
    one = dynamics(ar1(0.0, 20_000, 3))
    assert one.long_run == pytest.approx(1.0, abs=0.1)
    assert one.block <= 2


def test_slow_movement_under_fast_noise_is_seen():
    """30 % of the variance moves 30 times slower: it makes 90 % of the long-run variance, the
    first crossing of the autocorrelation would not see it; short blocks stay short.
    """
    n = 150_000
    z = np.sqrt(0.7) * ar1(np.exp(-1 / 10), n, 5) + np.sqrt(0.3) * ar1(np.exp(-1 / 300), n, 6)
    one = dynamics(z)
    assert one.long_run == pytest.approx(0.7 * 20 + 0.3 * 600, rel=0.4)
    assert one.tau > 150
    assert one.quick < one.block / 3


def test_freedom_grows_with_the_record():
    """Ten times the record, about ten times the degrees of freedom."""
    short, long = (dynamics(ar1(0.9, n, 1)).freedom for n in (8_000, 80_000))
    assert 5 < long / short < 20


@pytest.mark.parametrize("n", [1, 2, 15, 16, 40])
def test_short_series_have_dynamics(n):
    """Finite numbers from any length."""
    one = dynamics(ar1(0.5, n, 1))
    assert np.isfinite([one.block, one.long_run, one.quick, one.freedom]).all()
    assert one.freedom > 0


@pytest.mark.parametrize("period", [2, 3, 4, 60])
def test_what_repeats_exactly_has_dynamics(period):
    """Means of whole periods do not vary at all; that is no memory, and no error."""
    one = dynamics(np.arange(3000.0) % period)
    assert np.isfinite([one.block, one.long_run, one.quick, one.freedom]).all()
    assert 0 < one.long_run <= 1.2


def test_missing_samples_break_neighbourhood():
    """NaN and infinities are left out; what follows one is not joined to what came before."""
    record = read_record(np.array([1.0, 2.0, np.nan, 3.0, np.inf, np.nan, 4.0, 5.0]), "t")
    assert len(record.z) == 5
    assert record.joined.tolist() == [False, True, False, False, True]
    assert record.longest_gap == 2


def test_standardised():
    """Mean 0, deviation 1, and back to raw units by centre and scale."""
    raw = 40.0 + 3.0 * ar1(0.5, 5000, 2)
    record = read_record(raw, "t")
    assert record.z.mean() == pytest.approx(0.0, abs=1e-9)
    assert record.z.std() == pytest.approx(1.0)
    assert record.z * record.scale + record.centre == pytest.approx(raw)
    assert (record.low, record.high) == (raw.min(), raw.max())


def test_resolution_of_a_quantised_instrument():
    """The step shows where values repeat, and is 0 where they do not."""
    raw = ar1(0.9, 20_000, 4)
    assert read_record(np.round(raw / 0.05) * 0.05, "t").resolution == pytest.approx(0.05)
    assert read_record(raw, "t").resolution == 0.0


def test_a_few_wild_values_do_not_set_the_scale():
    """A 1e308 in 3,000 samples is left out, with a note."""
    record = read_record(np.append(ar1(0.5, 3000, 1), 1e308), "t")
    assert record.scale == pytest.approx(1.0, rel=0.1)
    assert "left out" in record.notes[0]


def test_nothing_usable_names_the_column():
    """All missing is an error that says which."""
    with pytest.raises(BaselineError, match=r"pump\.flow"):
        read_record(np.full(10, np.nan), "pump.flow")


def test_what_the_mixture_can_not_explain_is_not_taken_for_slow_movement():
    """Agitation depends on others in ways that no sum of first-order processes has exactly."""
    plant = Plant(PlantSettings(seed=2025, interval_s=1.0, speed=4.0))
    values = plant.advance(250_000)[0][:, NAMES.index("agitator.power")]
    assert 5 < dynamics(values).tau < 100


def test_changes_by_whole_units_have_a_step_also_when_interpolated():
    """A meter that shows whole litres, read between two of its values: 32, 32.02, 32.98, 33."""
    rng = np.random.default_rng(5)
    shown = np.round(32.0 + 0.45 * rng.standard_normal(500))
    between = 0.98 * shown[1:] + 0.02 * shown[:-1]
    assert 1.0 <= coarse_step(np.abs(np.diff(between))) < 1.2


def test_changes_of_all_sizes_have_no_step():
    """Noise, noise with one wild change, no changes, and changes that are all the same."""
    rng = np.random.default_rng(6)
    assert coarse_step(np.abs(np.diff(rng.standard_normal(500)))) == 0.0
    wild = np.abs(np.diff(rng.standard_normal(500)))
    wild[7] = 80.0  # one wild change is no unit
    assert coarse_step(wild) == 0.0
    assert coarse_step(np.zeros(0)) == 0.0
    assert coarse_step(np.ones(50)) == 0.0
