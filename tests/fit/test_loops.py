"""Load models of control loops, learnt from a record: on a plant whose gains are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agent.core.loop_diagnosis import LoopModel
from agent.fit.loops import Part, fit_loops, learnt
from tests.fit.loop_plant import COLUMNS, NAMES, PARTS, standard, training


@pytest.fixture(scope="module")
def train():
    return training()


def gains(document):
    """(answer, cause) -> gain, of those that are not 0."""
    return {
        (NAMES[answer], NAMES[cause]): gain
        for answer, row in zip(document["answers"], document["gains"], strict=True)
        for cause, gain in enumerate(row) if gain
    }  # fmt: skip


def test_gains_are_those_of_the_plant(train):
    """The flow cools A, what A is heats B; nothing else is a cause, and no feedback is one.

    In steady state A needs 2.5 / 0.8 of its valve for each unit of flow, B 1 / 0.5 less for each
    degree of A, and the flow itself 1 / 0.4 of its valve.
    """
    document = fit_loops(train, NAMES, PARTS, *standard(train))
    scale = standard(train)[1]
    found = {
        key: gain * scale[NAMES.index(key[0])] / scale[NAMES.index(key[1])]
        for key, gain in gains(document).items()
    }
    assert found.keys() == {("F.OUT", "F.PV"), ("A.OUT", "F.PV"), ("B.OUT", "A.PV")}
    assert found["F.OUT", "F.PV"] == pytest.approx(1 / 0.4, rel=0.15)
    assert found["A.OUT", "F.PV"] == pytest.approx(2.5 / 0.8, rel=0.15)
    assert found["B.OUT", "A.PV"] == pytest.approx(-2.0, rel=0.25)


def test_document_is_json_and_is_read_again(train):
    """What stands in a baseline is what a fault is judged by."""
    document = fit_loops(train, NAMES, PARTS, *standard(train))
    LoopModel(json.loads(json.dumps(document, allow_nan=False)), COLUMNS)


def test_nothing_is_learnt_without_loops_or_from_a_short_record(train):
    """Then names are given as if there were no loops."""
    assert fit_loops(train, NAMES, {}, *standard(train)) == {}
    assert fit_loops(train[:3000], NAMES, PARTS, *standard(train)) == {}
    pv = {"F.PV": Part("F", "measurement")}
    assert fit_loops(train, NAMES, pv, *standard(train)) == {}


def test_missing_samples_are_left_out(train):
    """Gaps, also in one column alone, change little of what is learnt, and nothing is NaN."""
    gappy = train.copy()
    gappy[4000:4100] = np.nan
    gappy[9000:9300, NAMES.index("A.PV")] = np.nan
    whole, part = (fit_loops(values, NAMES, PARTS, *standard(train)) for values in (train, gappy))
    assert gains(part).keys() == gains(whole).keys()
    assert gains(part) == pytest.approx(gains(whole), rel=0.2)
    json.dumps(part, allow_nan=False)


def test_what_was_learnt_of_each_loop_is_told(train):
    """From what its output is predicted, and how well: as the two correlate over a window."""
    scale = standard(train)[1]
    document = fit_loops(train, NAMES, PARTS, *standard(train))
    told = {one.loop: one for one in learnt(train, NAMES, PARTS, scale, document)}
    assert {loop: one.by for loop, one in told.items()} == {
        "F": ("F.PV",), "A": ("F.PV",), "B": ("A.PV",)
    }
    window = 16 * 8
    means = np.array([train[at : at + window].mean(axis=0)
                      for at in range(0, len(train) - window, 16)])  # fmt: skip
    for one in told.values():
        r = np.corrcoef(means[:, NAMES.index(one.output)], means[:, NAMES.index(one.by[0])])[0, 1]
        assert one.explained == pytest.approx(r * r, abs=0.1)


@pytest.mark.parametrize(("rows", "change", "why"), [
    (3000, None, "the record is too short: 2,992 rows, and 6,400 are needed"),
    (10**6, "rests", "its output does not move in the record"),
    (10**6, "left out", "its output is no input of the model"),
    (10**6, "holes", "too few rows in a row hold all inputs"),
])  # fmt: skip
def test_why_nothing_was_learnt_of_a_loop_is_told(train, rows, change, why):
    """In words, and of that loop alone where others were learnt."""
    values, parts = train[:rows].copy(), dict(PARTS)
    column = NAMES.index("B.OUT")
    if change == "rests":
        values[:, column] = 40.0
    if change == "holes":
        values[::64] = np.nan
    if change == "left out":
        del parts["B.OUT"]
    centre, scale = standard(train)
    document = fit_loops(values, NAMES, parts, centre, scale)
    told = {one.loop: one.why for one in learnt(values, NAMES, parts, scale, document)}
    assert told["B"] == why
    assert (told["F"] == "") == (change in {"rests", "left out"})
