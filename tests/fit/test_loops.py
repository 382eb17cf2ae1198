"""Load models of control loops, learnt from a record: on a plant whose gains are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from agent.core.loop_diagnosis import LoopModel
from agent.fit.loops import Part, fit_loops
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
