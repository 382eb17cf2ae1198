"""Loops are found by ISA-5.1 names, and the data are asked."""

from __future__ import annotations

import numpy as np
import pytest

from agent.configuration.load import load
from agent.configuration.loops import Loop
from agent.records.init import draft, write
from agent.records.loops import find_loops
from tests.records.test_init import table

N = 500


def columns(*names, far=0.0):
    """A measurement that follows its set point, and an output, under these names."""
    rng = np.random.default_rng(1)
    sp = np.repeat([50.0, 60.0], N // 2)
    made = {"pv": sp + rng.normal(0, 0.5, N) + far, "sp": sp, "out": rng.normal(40, 3, N),
            "mode": np.ones(N)}  # fmt: skip
    return table(dict(zip(names, made.values(), strict=False)))


@pytest.mark.parametrize(
    "names",
    [
        ("TIC-201.PV", "TIC-201.SP", "TIC-201.OUT", "TIC-201.MODE"),
        ("FIC201_PV", "FIC201_SP", "FIC201_OP", "FIC201_MODE"),
        ("PIC 7/PV", "PIC 7/SetPoint", "PIC 7/MV", "PIC 7/Mode"),
        ("LC-4:pv", "LC-4:sv", "LC-4:co", "LC-4:mode"),
        ("TIC201PV", "TIC201SP", "TIC201OP", "TIC201MODE"),
        ("unit 3 - TIC-9 Process Value", "unit 3 - TIC-9 Set Point", "unit 3 - TIC-9 Output"),
        ("TIC-201", "TIC-201.SP", "TIC-201.OP"),
        ("TIC201.MEAS", "TIC201.SPT", "TIC201.OUT", "TIC201.M"),
        ("tic201_pv", "tic201_sp", "tic201_cv", "tic201_man"),
        ("FIC-101/PV", "FIC-101/RSP", "FIC-101/OUT", "FIC-101/AUTO"),
        ("TIC201.X", "TIC201.W", "TIC201.Y"),
        ("TIC 201 Istwert", "TIC 201 Sollwert", "TIC 201 Stellwert"),
        ("Kesseldruck Istwert", "Kesseldruck Sollwert", "Kesseldruck Stellgröße"),
        ("TIC201_PV_IN", "TIC201_SP_INT", "TIC201_LMN"),
        ("U1/FIC101/PID1/PV.CV", "U1/FIC101/PID1/SP.CV", "U1/FIC101/PID1/OUT.CV",
         "U1/FIC101/PID1/MODE.ACTUAL"),
        ("PV_TIC201", "SP_TIC201", "OP_TIC201", "MODE_TIC201"),
        ("TIC201.PV [degC]", "TIC201.SP [degC]", "TIC201.OP [%]"),
        ("TIC201.pv_C", "TIC201.sp_C", "TIC201.op_pct"),
        ("Reactor Temperature PV", "Reactor Temperature SP", "Reactor Temperature OP"),
        ("reactor_temp", "reactor_temp_setpoint", "reactor_temp_output"),
        ("TI-201", "TIC-201.SP", "TIC-201.OP"),
        ("PIC7.DACA.PV", "PIC7.PIDA.SP", "PIC7.PIDA.OP", "PIC7.PIDA.MODE"),
    ],
)
def test_a_loop_is_known_by_the_usual_names(names):
    """Separators, case and abbreviations as control systems have them."""
    (found,) = find_loops(columns(*names), names)
    assert tuple(found.parts.values()) == names
    assert found.doubt == ""


@pytest.mark.parametrize(
    "names",
    [
        ("TI-201", "TI-202", "FI-203"),
        ("pump.out", "tank.out", "boiler.out"),  # outlets, and no measurement of their name
        ("reactor.temperature", "reactor.pressure", "reactor.flow"),
        ("A.PV", "B.SP", "C.OUT"),
        ("Pos X", "Pos Y", "Pos Z"),  # letters of an axis
        ("Stack", "Stack SP2", "Stack CO"),  # carbon monoxide
        ("tank", "tank.in", "tank.out"),  # an outlet
    ],
)
def test_other_names_are_no_loop(names):
    """A measurement, and a set point or output, under one name are needed."""
    assert find_loops(columns(*names), names) == []


def test_a_measurement_far_from_its_set_point_makes_it_a_question(tmp_path):
    """It stands there as comment, and the file loads without it."""
    names = ("TIC-1.PV", "TIC-1.SP")
    made = columns(*names, far=100.0)
    (found,) = find_loops(made, names)
    assert "TIC-1.PV is not near TIC-1.SP" in found.doubt
    written = draft(made, "m")
    assert "is this a loop? TIC-1.PV is not near TIC-1.SP" in written.text
    path = tmp_path / "config.toml"
    write(written, path)
    assert load(path).loops == {}


@pytest.mark.parametrize(
    "names", [("motor X", "motor W"), ("TT-7", "TIC-7.SP"), ("TIC-7.PV", "TIC-8.W")]
)
def test_weak_names_are_no_loop_where_the_data_do_not_say_so(names):
    """Not even a question: such letters and numbers mean much else."""
    assert find_loops(columns(*names, far=100.0), names) == []


def test_a_mode_has_few_values_and_an_output_is_no_copy():
    """What moves like a measurement is no mode; a copy of the measurement is asked about."""
    names = ("TIC-1.PV", "TIC-1.SP", "TIC-1.OUT", "TIC-1.M")
    made = columns(*names)
    made.values[:, 3] = made.values[:, 2] + 1.0
    assert "mode" not in find_loops(made, names)[0].parts
    made.values[:, 2] = made.values[:, 0]
    assert "are the same in the data" in find_loops(made, names)[0].doubt


def test_init_writes_the_loops(tmp_path):
    """As a table that loads."""
    names = ("TIC-1.PV", "TIC-1.SP", "TIC-1.OUT", "TIC-1.MODE")
    path = tmp_path / "config.toml"
    write(draft(columns(*names), "m"), path)
    assert any("loop: TIC-1" in note and "set point: TIC-1.SP" in note
               for note in draft(columns(*names), "m").notes)  # fmt: skip
    pv, sp, out, mode = names
    assert load(path).loops == {"TIC-1": Loop(pv=pv, sp=sp, out=out, mode=mode)}
