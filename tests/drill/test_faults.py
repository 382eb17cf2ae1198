"""The faults of the drill: each does to the data what its text says, and to nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.configuration import units
from agent.core import conversions, diagnosis, kernels, names, state_tags
from agent.drill.faults import FAULTS, Fault, Recording, can_not, inject, recording
from agent.fit.kinds import judged
from agent.types import Quality
from tests.core.small import SECOND, START, input_baseline

ROWS, AT, COLUMN = 4000, 1000, 1
ITEM = input_baseline("b", centre=50.0, scale=2.0)  # its noise is 2.0 too
TIMES = START + np.arange(ROWS, dtype=np.int64) * SECOND


def normal() -> Recording:
    values = 50.0 + 2.0 * np.random.default_rng(1).standard_normal((ROWS, 3))
    values[:, 2] += 400.0
    return recording(TIMES, values)


def injected(kind: str, size: float = 0.0, **more: int) -> tuple[Recording, Recording]:
    before = normal()
    rng = np.random.default_rng(2)
    fault = Fault(kind, size, "")
    return before, inject(before, fault, COLUMN, AT, ITEM, rng, **more)


def shift(size: float, kind: str = "bias") -> np.ndarray:
    before, after = injected(kind, size)
    return (after.values - before.values)[AT:, COLUMN]


@pytest.mark.parametrize("fault", FAULTS, ids=[f"{f.kind}-{f.size:g}" for f in FAULTS])
def test_a_fault_touches_one_column_from_one_row_on(fault):
    """Rows before it and other columns stay; the recording that was given stays too."""
    before, copy = normal(), normal()
    other = 2 if fault.kind == "swap" else None
    after = inject(before, fault, COLUMN, AT, ITEM, np.random.default_rng(2), other=other)
    for name in ("values", "quality", "source_ns"):
        mine, his = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(mine, getattr(copy, name))
        np.testing.assert_array_equal(mine[:AT], his[:AT])
        kept = [column for column in range(3) if column not in {COLUMN, other}]
        np.testing.assert_array_equal(mine[:, kept], his[:, kept])
    changed = [
        not np.array_equal(getattr(before, name)[AT:, COLUMN], getattr(after, name)[AT:, COLUMN])
        for name in ("values", "quality", "source_ns")
    ]
    assert sum(changed) == 1
    np.testing.assert_array_equal(after.time_ns, TIMES)


def test_the_list_has_each_kind_that_inject_knows():
    """Every row of `FAULTS` is injected under its own name; hard ones are marked."""
    kinds = {fault.kind for fault in FAULTS}
    assert kinds == {"stuck", "spikes", "bias", "noise", "drift", "fahrenheit", "scale", "dropout",
                     "frozen_clock", "bad_quality", "swap", "late", "unseen_state", "jump", "ramp"}
    assert {f.kind for f in FAULTS if f.hard} == {"bias", "drift", "jump", "ramp"}


def test_every_kind_says_which_names_are_right_for_it():
    """And the names are ones that diagnosis gives: a misspelt one would never be right."""
    modules = (diagnosis, conversions, names, state_tags, kernels)
    sources = "".join(Path(module.__file__).read_text() for module in modules)
    for fault in FAULTS:
        assert fault.right("")
        for name in fault.right("") | fault.right("bar"):
            assert f'"{name}"' in sources


@pytest.mark.parametrize(("unit", "name"), [
    ("m", "unit change"), ("kg/h", "scale change"), ("degC", "scale change"), ("", "scale change"),
    ("bar", "unit change"),
])  # fmt: skip
def test_a_factor_is_a_unit_change_where_it_leads_from_the_inputs_own_unit(unit, name):
    """x1000 makes mm of m and mbar of bar, and nothing of degC; diagnosis names it the same."""
    (fault,) = [fault for fault in FAULTS if fault.kind == "scale"]
    assert fault.right(unit) == {name}
    raw = 40.0 + 0.2 * np.random.default_rng(1).standard_normal(60)
    raw[-20:] *= fault.size
    found = conversions.explain_jump(
        conversions.Trace(raw), unit, 0.2, 0.2, units.changes()
    )
    assert conversions.told(found.changes, unit)[0] == name


@pytest.mark.parametrize("kind", ["bias", "drift", "noise", "spikes", "jump", "ramp"])
@pytest.mark.parametrize("turn", [0.0, 1e4])
def test_a_fault_of_a_counter_is_one_of_its_rate_in_its_raw_readings(kind, turn):
    """Readings go on counting and roll over; the rate made of them has the fault in its size."""
    rng = np.random.default_rng(3)
    minute = 60 * 1_000_000_000
    times = np.arange(3000, dtype=np.int64) * minute
    readings = np.cumsum(rng.uniform(8.0, 12.0, 3000))
    readings = np.mod(readings, turn) if turn else readings
    how = {"interval_ns": minute, "rolls_over_at": turn or None}
    usual = judged(readings, "counter", **how).values
    item = replace(
        ITEM, kind="counter", turn=turn, centre=600.0, scale=70.0, noise=70.0,
        trained=(480.0, 720.0),
    )  # fmt: skip
    fault = next(fault for fault in FAULTS if fault.kind == kind)
    faulty = inject(recording(times, readings[:, None]), fault, 0, 2000, item, rng).values[:, 0]
    np.testing.assert_allclose(faulty[:2000], readings[:2000])
    if turn:
        assert faulty.min() >= 0.0 and faulty.max() < turn
    rate = judged(faulty, "counter", **how).values
    off = rate[2000:] - usual[2000:]
    off = off[np.isfinite(off)]
    if kind in {"bias", "drift"}:
        assert abs(off[-1]) == pytest.approx(fault.size * 70.0)
    if kind == "noise":
        assert off.std() == pytest.approx(70.0 * np.sqrt(fault.size**2 - 1.0), rel=0.1)
    if kind == "spikes":
        assert np.unique(np.round(np.abs(off), 6)).tolist() == [0.0, fault.size * 70.0]
    if kind in {"jump", "ramp"}:
        assert np.nanmin(rate[1:]) >= 480.0 - 1e-6 and np.nanmax(rate) <= 720.0 + 1e-6


def test_a_jump_and_a_ramp_stay_within_the_trained_range():
    """Every value is one that training had; only how it came there is new."""
    low, high = ITEM.trained
    for kind, first in (("jump", 1), ("ramp", 30)):
        before, after = injected(kind, 30.0)
        values = after.values[AT:, COLUMN]
        assert values.min() >= low
        assert values.max() <= high
        moved = np.median(values[30:]) - np.median(before.values[:AT, COLUMN])
        assert abs(moved) >= 0.2 * (high - low)
        steps = np.abs((after.values - before.values)[AT : AT + 60, COLUMN])
        assert int(np.argmax(steps >= 0.75 * steps[40])) <= first


def test_late_data_are_stamped_older_and_older():
    """Up to the lag; stamps never go back, which would be another fault."""
    _, after = injected("late", 300.0)
    stamps = after.source_ns[AT:, COLUMN]
    assert (np.diff(stamps) > 0).all()
    lag = (TIMES[AT:] - stamps) / SECOND
    assert lag[0] == 0.5
    assert np.allclose(lag[600:], 300.0)


STATES = replace(
    ITEM, detectors={"category": {"count": 2, "values": [-25.0, -24.5], "next": [3, 3]}}
)  # 0 and 1


def test_an_unseen_state_is_none_of_the_trained():
    """The next code after the last trained one."""
    before = normal()
    after = inject(before, Fault("unseen_state", 0.0, ""), COLUMN, AT, STATES,
                   np.random.default_rng(2))  # fmt: skip
    assert set(after.values[AT:, COLUMN]) == {2.0}


def test_what_an_input_can_not_have_says_why():
    """A state tag has no noise, a measurement no states, a constant nothing to be stuck at."""
    why = {fault.kind: can_not(fault, STATES) for fault in FAULTS}
    possible = {kind for kind, text in why.items() if not text}
    assert possible == {"dropout", "frozen_clock", "bad_quality", "late", "unseen_state"}
    assert {text for text in why.values() if text} == {"a state tag"}
    constant = {fault.kind: can_not(fault, replace(ITEM, noise=0.0)) for fault in FAULTS}
    assert {kind for kind, text in constant.items() if text == "constant in the record"} == {
        "stuck", "spikes", "noise", "jump", "ramp"
    }  # fmt: skip
    usual = {fault.kind: can_not(fault, ITEM) for fault in FAULTS}
    assert {kind for kind, text in usual.items() if text} == {"unseen_state"}
    assert can_not(Fault("fahrenheit", 0.0, ""), replace(ITEM, unit="bar")) == "not in degC"


def test_stuck_repeats_the_value_at_the_onset():
    """The last value before the fault is not made up: it is that of the onset."""
    before, after = injected("stuck")
    assert (after.values[AT:, COLUMN] == before.values[AT, COLUMN]).all()


def test_bias_is_a_step_of_so_many_standard_deviations():
    """Of the training record's, in either direction."""
    moved = shift(3.0)
    assert np.allclose(np.abs(moved), 6.0)
    assert len(set(np.sign(moved))) == 1
    signs = {
        float(np.sign(inject(normal(), Fault("bias", 3.0, ""), COLUMN, AT, ITEM,
                             np.random.default_rng(seed)).values[AT, COLUMN] - 50.0))
        for seed in range(12)
    }  # fmt: skip
    assert signs == {-1.0, 1.0}


def test_drift_grows_over_600_samples_and_stays():
    """A ramp from nothing to its size, then a plateau."""
    moved = np.abs(shift(3.0, "drift"))
    assert moved[0] == 0.0
    np.testing.assert_allclose(moved[300], 3.0)
    np.testing.assert_allclose(moved[600:], 6.0)
    assert (np.diff(moved[:600]) > 0).all()


def test_spikes_are_rare_large_and_begin_at_once():
    """About one sample in twenty is off by so many noise; the first one is."""
    moved = shift(8.0, "spikes")
    hit = moved != 0.0
    assert hit[0]
    assert 0.03 < hit.mean() < 0.07
    np.testing.assert_allclose(np.abs(moved[hit]), 16.0)


def test_noise_grows_to_so_many_times():
    """Independent noise is added, so that white noise of sd n becomes one of 3 n."""
    _, after = injected("noise", 3.0)
    assert after.values[AT:, COLUMN].std() == pytest.approx(6.0, rel=0.05)


def test_units_scale_and_swap():
    """degC as degF, a factor, and another tag's values."""
    before, after = injected("fahrenheit")
    np.testing.assert_allclose(after.values[AT:, 1], before.values[AT:, 1] * 1.8 + 32.0)
    before, after = injected("scale", 1000.0)
    np.testing.assert_allclose(after.values[AT:, 1], before.values[AT:, 1] * 1000.0)
    before, after = injected("swap", other=2)
    np.testing.assert_array_equal(after.values[AT:, 1], before.values[AT:, 2])
    np.testing.assert_array_equal(after.values[AT:, 2], before.values[AT:, 1])


def test_what_arrives_and_how_it_is_marked():
    """A dropout sends nothing, a bad device marks, a frozen clock repeats its time."""
    _, after = injected("dropout")
    assert np.isnan(after.values[AT:, COLUMN]).all()
    _, after = injected("bad_quality")
    assert (after.quality[AT:, COLUMN] == Quality.BAD).all()
    _, after = injected("frozen_clock")
    assert (after.source_ns[AT:, COLUMN] == TIMES[AT]).all()
