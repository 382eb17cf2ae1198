"""Faults behind controllers are named by what loops show: on a simulated plant with a truth.

F is a flow, A is cooled by it, B is fed by A; each has a PI controller. Fault by fault: what is
said soon, and what once all has settled; a wrong name is worse than none at any time.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from agent.core.loop_diagnosis import LoopModel
from agent.fit.loops import fit_loops
from tests.fit.loop_plant import COLUMNS, NAMES, PARTS, Faults, record, seen, standard, training

ONSET = 800
LATER = (16, 48, 128, 260, 400, 560)


def ramp(size, scans):
    return lambda since: size * min(since / scans, 1.0)


def step(size):
    return lambda _: size


@pytest.fixture(scope="module")
def plant():
    train = training()
    return train, LoopModel(fit_loops(train, NAMES, PARTS, *standard(train)), COLUMNS)


def told(plant, faults, seed, change=None):
    """What is said at each of `LATER`: (cause, tag) or None."""
    train, model = plant
    values = record(ONSET + LATER[-1], seed, faults, ONSET)
    if change is not None:
        change(values[ONSET:])
    found = [model.fault(seen(values[: ONSET + later], train)) for later in LATER]
    return [
        (one.cause, NAMES[one.column]) if one and one.column >= 0 else None for one in found
    ]  # fmt: skip


def settles_on(plant, faults, name, change=None):
    """Named so by two settling times, for two seeds, and never anything else that is definite."""
    for seed in (11, 12):
        said = told(plant, faults, seed, change)
        assert set(said) <= {None, name}, said
        assert name in said, said


def test_nothing_is_said_of_normal_operation(plant):
    """Set points and loads wander as they did: no definite name."""
    for seed in (21, 22, 23):
        assert set(told(plant, Faults(), seed)) == {None}


@pytest.mark.parametrize("loop", ["F", "A", "B"])
def test_step_of_a_bias_is_the_transmitters(plant, loop):
    """The reading leaps, the controller answers, and brings the reading back."""
    bias = {"F": 3.0, "A": -3.0, "B": 2.0}[loop]
    settles_on(plant, Faults(bias={loop: step(bias)}), ("sensor", f"{loop}.PV"))


@pytest.mark.parametrize(("loop", "bias"), [("F", 2.5), ("A", -3.0)])
def test_slow_bias_is_known_by_what_follows_the_true_value(plant, loop, bias):
    """No leap: the loop's pv stays at its set point, and others move by their gains."""
    settles_on(plant, Faults(bias={loop: ramp(bias, 200)}), ("sensor", f"{loop}.PV"))


def test_slow_bias_that_nothing_follows_is_not_told_from_a_load(plant):
    """Of the last loop: both move its output alone, and nobody can say."""
    for seed in (11, 12):
        assert set(told(plant, Faults(bias={"B": ramp(2.0, 400)}), seed)) == {None}


def test_load_is_the_processs_where_what_follows_stays(plant):
    """The output moves, and what depends on the true value does not."""
    settles_on(plant, Faults(load={"A": ramp(-12.0, 200)}), ("process", "A.PV"))


def test_stuck_valve_leaves_its_loop_without_effect(plant):
    """The output moves as it never did, and the measurement does not come back."""
    settles_on(plant, Faults(stuck_valve=frozenset("A")), ("process", "A.PV"))


def test_saturated_output_is_no_sensor(plant):
    """A load beyond the valve's reach: the output is at its end, the measurement off."""
    settles_on(plant, Faults(load={"A": ramp(-90.0, 200)}), ("process", "A.PV"))


def test_moved_set_point_and_manual_are_announced(plant):
    """Whatever follows of it, in its loop and in others, is whose who moved it."""
    moved = Faults(set_point={"A": ramp(3.0, 100)})
    settles_on(plant, moved, ("process", "A.SP"))
    settles_on(plant, Faults(manual=frozenset("A")), ("process", "A.MODE"))


def test_stuck_and_noisy_readings_are_the_transmitters(plant):
    """One value again and again; five times the noise about the set point."""
    settles_on(plant, Faults(stuck_reading=frozenset("A")), ("sensor", "A.PV"))
    settles_on(plant, Faults(noise={"A": 5.0}), ("sensor", "A.PV"))


def test_what_the_controller_does_not_answer_is_another_value_than_it_reads(plant):
    """The record is in another unit; the controller goes on with what is right."""
    pv = NAMES.index("A.PV")

    def fahrenheit(values):
        values[:, pv] = values[:, pv] * 1.8 + 32.0

    settles_on(plant, Faults(), ("integration", "A.PV"), fahrenheit)


def test_reading_that_is_off_on_one_side_does_not_swing():
    """In a loop that always held its set point closely, noise is on both sides; the step is not."""
    train = training()
    pv, sp = NAMES.index("B.PV"), NAMES.index("B.SP")
    centre, scale = standard(train)
    fitted = fit_loops(train, NAMES, PARTS, centre, scale)
    fitted["sway"][pv], noise = 0.09, 0.2 * scale[pv]  # 0.05 of a block's mean
    model, said = LoopModel(fitted, COLUMNS), []
    for seed in range(6):
        held = np.random.default_rng(seed).standard_normal(ONSET + 16) * noise
        for swing in (False, True):
            values = record(ONSET + 16, 11)
            values[:, pv] = values[:, sp] + held
            values[ONSET:, pv] -= 1.35 * scale[pv]
            if swing:
                values[ONSET - 64 : ONSET, pv] += 1.35 * scale[pv]
                values[ONSET - 128 : ONSET - 64, pv] -= 1.35 * scale[pv]
            found = model.fault(seen(values, train))
            said.append((swing, found is not None and found.kind == "oscillation"))
    assert set(said) == {(False, False), (True, True)}, said


def test_spike_is_no_bias(plant):
    """A sample far off, gone at the next: nothing stayed away."""
    pv = NAMES.index("A.PV")

    def spike(values):
        values[100, pv] += 8.0

    for seed in (11, 12):
        assert set(told(plant, Faults(), seed, spike)) == {None}


def test_judgement_does_not_depend_on_names_or_units(plant):
    """The same figures in other units, loops in another order: the same fault."""
    train, _ = plant
    faults = Faults(bias={"A": step(-3.0)})
    values = record(ONSET + 128, 11, faults, ONSET)
    factor = np.linspace(0.01, 500.0, len(NAMES))
    factor[1::4] = factor[0::4]  # a set point is in the unit of its measurement
    scaled = fit_loops(train * factor, NAMES, PARTS, *standard(train * factor))
    turned = [dataclasses.replace(loop, name=loop.name * 2) for loop in reversed(COLUMNS)]
    found = LoopModel(scaled, turned).fault(seen(values * factor, train * factor))
    assert (found.cause, NAMES[found.column]) == ("sensor", "A.PV")
