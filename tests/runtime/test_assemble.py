"""A baseline of another version of the program is refused with its reason, at check and start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.configuration.schema import Model
from agent.core.joint_charts import NEEDED
from agent.core.kernels import DETECTORS
from agent.errors import BaselineError
from agent.runtime.assemble import check_baseline
from tests.core.small import DETECTORS as GIVEN
from tests.core.small import baseline

MODEL = Model.model_validate(
    {"version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": "m.json", "scan": "1s",
     "inputs": ["a", "b", "c"]}
)  # fmt: skip


def without(detector, name):
    """The small baseline but for one parameter of a detector, or of the joint charts."""
    whole = baseline(joint=True)
    (mode,) = whole.modes
    if detector == "joint":
        (group,) = mode.joint["groups"]
        cut = {key: value for key, value in group.items() if key != name}
        return replace(whole, modes=(replace(mode, joint={"groups": [cut]}),))
    cut = {key: value for key, value in GIVEN[detector].items() if key != name}
    item = replace(mode.inputs[1], detectors={**GIVEN, detector: cut})
    return replace(whole, modes=(replace(mode, inputs=(mode.inputs[0], item, mode.inputs[2])),))


@pytest.mark.parametrize(
    ("detector", "name"),
    [(one.name, name) for one in DETECTORS if one.name in GIVEN for name in one.params.names]
    + [("joint", name) for name in sorted(NEEDED)],
)
def test_a_parameter_that_is_not_there_is_named(detector, name):
    """It was the same schema, of a program whose charts took other parameters."""
    check_baseline("m", MODEL, baseline(joint=True))
    with pytest.raises(BaselineError, match=f"it has no {detector}.{name}") as caught:
        check_baseline("m", MODEL, without(detector, name))
    assert "fieldwarden fit" in caught.value.hint


def test_a_detector_that_was_not_fitted_is_off():
    """As one that is new since the baseline was made."""
    whole = baseline()
    (mode,) = whole.modes
    items = tuple(replace(item, detectors={}) for item in mode.inputs)
    check_baseline("m", MODEL, replace(whole, modes=(replace(mode, inputs=items),)))
