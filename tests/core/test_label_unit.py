"""Truths that come in another unit than in training."""

from __future__ import annotations

import pytest

from agent.configuration.units import changes
from agent.core.label_unit import other_unit, thought_of
from agent.core.label_watch import LabelReference

RECORD = LabelReference(81.8, 83.6, 1, 2, 1)
ERROR = 0.08


def found(truth, prediction=82.5, unit="degC"):
    one = other_unit(truth, prediction, ERROR, RECORD, thought_of(changes(), unit))
    return one.new if one is not None else ""


@pytest.mark.parametrize(("gain", "offset", "new"), [
    (1.8, 32.0, "degF"), (1.0, 273.15, "K"), (100.0, 0.0, "100"), (0.01, 0.0, "0.01"),
    (-1.0, 0.0, "-1"),
])  # fmt: skip
@pytest.mark.parametrize("off", [-0.2, 0.0, 0.3])
def test_a_known_change_of_unit_or_scale_is_told(gain, offset, new, off):
    """Also where the model errs a little more than it did."""
    assert found(gain * (82.5 + off) + offset) == new


@pytest.mark.parametrize("truth", [
    82.5, 83.9, 85.0, 80.2,  # the model is wrong, by much more than in training
    82.5 * 1.2, 82.5 * 0.7, 82.5 + 40.0,  # of no unit
    1e6, 0.0, 1.8 * 84.5 + 32.0,  # and 24 errors off
])  # fmt: skip
def test_what_is_off_otherwise_is_no_change_of_unit(truth):
    """A model that is wrong, a truth that is absurd: that is for others to judge."""
    assert found(truth) == ""


def test_changes_of_other_units_are_thought_of_only_where_its_own_is_not_known():
    """Powers of ten and the sign always are."""
    assert {one.old for one in thought_of(changes(), "degC")} == {"", "degC"}
    assert thought_of(changes(), "") == changes() == thought_of(changes(), "furlong")
