"""The simulated plant: physics that a process engineer would accept, repeatable by seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.plant import Laboratory, Plant, PlantSettings
from simulators.tags import COLUMN, NAMES, TAGS


@pytest.fixture(scope="module")
def record():
    rows, yields = Plant(PlantSettings(seed=3)).advance(60_000)
    return rows, yields


def column(rows, name):
    return rows[:, COLUMN[name]]


def correlation_time(values):
    """Rows after which the autocorrelation falls below 1/e."""
    centred = values - values.mean()
    spectrum = np.fft.rfft(centred, 2 * len(centred))
    acf = np.fft.irfft(spectrum * spectrum.conj())[:2000]
    return int(np.argmax(acf < acf[0] / np.e))


def test_every_tag_moves_within_its_physical_range(record):
    """All values are finite, inside the instrument's range, and no tag is constant."""
    rows, _ = record
    assert np.isfinite(rows).all()
    for index, tag in enumerate(TAGS):
        low, high = tag.physical
        assert low < rows[:, index].min() and rows[:, index].max() < high, tag.name
        assert rows[:, index].std() > tag.noise, tag.name


def test_values_have_the_instruments_resolution(record):
    """Each value is a multiple of its instrument's resolution."""
    rows, _ = record
    for index, tag in enumerate(TAGS):
        steps = rows[:2000, index] / tag.resolution
        assert np.abs(steps - np.rint(steps)).max() < 1e-6, tag.name


def test_mass_is_conserved(record):
    """Over a long run as much leaves the reactor as enters it, within 0.2 %."""
    rows, _ = record
    inflow, outflow = column(rows, "feed.flow").mean(), column(rows, "product.flow").mean()
    assert abs(inflow - outflow) / inflow < 0.002


def test_jacket_takes_up_the_heat_that_the_coolant_carries_away(record):
    """Coolant leaves warmer than it enters, and colder than the reactor."""
    rows, _ = record
    inlet = column(rows, "jacket.inlet_temperature")
    outlet = column(rows, "jacket.outlet_temperature")
    reactor = column(rows, "reactor.temperature")
    assert (outlet > inlet + 20).all() and (reactor > outlet + 5).all()


@pytest.mark.parametrize(
    ("one", "other", "least"),
    [
        ("coolant.valve", "coolant.flow", 0.9),
        ("pump.speed", "pump.discharge_pressure", 0.8),
        ("pump.speed", "pump.current", 0.5),
        ("reactor.temperature", "product.temperature", 0.8),
        ("cooling_water.temperature", "jacket.inlet_temperature", 0.9),
        ("steam.pressure", "feed.temperature", 0.4),
        ("reactor.concentration", "product.viscosity", 0.05),
    ],
)
def test_tags_depend_on_each_other_as_physics_says(record, one, other, least):
    """Pairs that physics joins are positively correlated at least so much."""
    rows, _ = record
    assert np.corrcoef(column(rows, one), column(rows, other))[0, 1] > least


def test_correlation_times_leave_500_in_a_history_of_60000_rows(record):
    """Noise is autocorrelated (3 rows at least), yet 500 correlation times fit 60,000 rows."""
    rows, _ = record
    for index, name in enumerate(NAMES):
        tau = correlation_time(rows[:, index])
        assert 3 <= tau <= 120, (name, tau)


def test_operation_is_stationary(record):
    """The halves of a long run have the same mean, within 3 standard errors (n / 2 tau)."""
    rows, _ = record
    half = len(rows) // 2
    for index, name in enumerate(NAMES):
        one, other = rows[:half, index], rows[half:, index]
        error = rows[:, index].std() * np.sqrt(2 / (half / (2 * correlation_time(rows[:, index]))))
        assert abs(one.mean() - other.mean()) < 4 * error, name


@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6), seed=st.integers(0, 2**31))
@settings(max_examples=15, deadline=None)
def test_stepwise_and_bulk_are_the_same_plant(cuts, seed):
    """However the rows are cut into calls, one seed gives the same values and yields."""
    config = PlantSettings(seed=seed)
    bulk, yields = Plant(config).advance(sum(cuts))
    stepped = Plant(config)
    parts = [stepped.advance(n) for n in cuts]
    assert np.array_equal(np.vstack([rows for rows, _ in parts]), bulk)
    assert np.array_equal(np.concatenate([part for _, part in parts]), yields)


def test_another_seed_is_another_run():
    """Two seeds share no tag's values."""
    one, _ = Plant(PlantSettings(seed=1)).advance(200)
    other, _ = Plant(PlantSettings(seed=2)).advance(200)
    assert all(not np.array_equal(one[:, i], other[:, i]) for i in range(len(NAMES)))


def test_slower_plants_have_the_same_statistics():
    """The physics does not depend on the row's length: 60 s rows give the same mean and spread."""
    fast, _ = Plant(PlantSettings(seed=5)).advance(60_000)
    slow, _ = Plant(PlantSettings(seed=6, interval_s=60.0, speed=1.0)).advance(6_000)
    for name in ("reactor.temperature", "coolant.flow", "feed.flow", "reactor.level"):
        one, other = column(fast, name), column(slow, name)
        assert abs(one.mean() - other.mean()) < 0.3 * one.std(), name
        assert 0.8 < other.std() / one.std() < 1.25, name


def test_laboratory_analyses_one_row_in_fifty_near_the_truth():
    """Labels are sparse, close to the true yield, and the same however the rows are cut."""
    _, yields = Plant(PlantSettings(seed=3)).advance(1000)
    lab = Laboratory(3, 50).analyse(yields)
    assert np.flatnonzero(np.isfinite(lab)).tolist() == list(range(0, 1000, 50))
    assert np.nanmax(np.abs(lab - yields)) < 0.4
    cut = Laboratory(3, 50)
    parts = np.concatenate([cut.analyse(yields[:73]), cut.analyse(yields[73:])])
    assert np.array_equal(parts, lab, equal_nan=True)


def test_what_drives_the_plant_can_be_moved_and_back():
    """A larger feed for a while: the pump draws more; what else is random stays as it was."""
    plain, moved = Plant(PlantSettings(seed=3)), Plant(PlantSettings(seed=3))
    before, _ = plain.advance(4_000)
    first, _ = moved.advance(1_000)
    moved.drive("feed rate set point", 5.0)
    during, _ = moved.advance(1_000)
    moved.drive("feed rate set point", 0.0)
    after, _ = moved.advance(2_000)
    assert (first == before[:1_000]).all()
    more = column(during, "feed.flow")[500:] - column(before, "feed.flow")[1_500:2_000]
    assert 0.7 < np.median(more) / (6.0 * 0.008 * 5.0) < 1.3
    assert np.allclose(after[-100:], before[-100:], atol=0.02 * before.std())
