"""A baseline of another version of the program is refused with its reason, at check and start."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.configuration.schema import Configuration, Model, Tag
from agent.core.joint_charts import NEEDED
from agent.core.kernels import DETECTORS
from agent.errors import BaselineError
from agent.runtime.assemble import build_spec, check_baseline
from tests.core.small import DETECTORS as GIVEN
from tests.core.small import baseline

MODEL = Model.model_validate(
    {"version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": "m.json", "scan": "1s",
     "inputs": ["a", "b", "c"]}
)  # fmt: skip


CONFIGURED = {name: Tag(source="s", address="a", unit="degC") for name in MODEL.inputs}


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
    check_baseline("m", MODEL, baseline(joint=True), CONFIGURED)
    with pytest.raises(BaselineError, match=f"it has no {detector}.{name}") as caught:
        check_baseline("m", MODEL, without(detector, name), CONFIGURED)
    assert "fieldwarden fit" in caught.value.hint


def test_a_detector_that_was_not_fitted_is_off():
    """As one that is new since the baseline was made."""
    whole = baseline()
    (mode,) = whole.modes
    items = tuple(replace(item, detectors={}) for item in mode.inputs)
    check_baseline("m", MODEL, replace(whole, modes=(replace(mode, inputs=items),)), CONFIGURED)


@pytest.mark.parametrize("unit", ["degF", "K", "\u00b0C"])
def test_a_unit_that_was_changed_after_the_fit_is_refused(unit):
    """Whatever it was changed to: said with both units, and both ways out."""
    changed = CONFIGURED | {"b": Tag(source="s", address="a", unit=unit)}
    with pytest.raises(BaselineError, match="b was fitted in degC, configured is") as caught:
        check_baseline("m", MODEL, baseline(), changed)
    assert unit in caught.value.cause
    assert "a was" not in caught.value.cause
    assert "put the unit back" in caught.value.hint
    assert "fieldwarden fit" in caught.value.hint


def test_a_unit_that_only_one_side_knows_is_no_change():
    """No value changes by giving it or leaving it out; so baselines without units stay good."""
    whole = baseline()
    (mode,) = whole.modes
    bare = tuple(replace(item, unit="") for item in mode.inputs)
    check_baseline("m", MODEL, replace(whole, modes=(replace(mode, inputs=bare),)), CONFIGURED)
    unnamed = CONFIGURED | {"b": Tag(source="s", address="a")}
    check_baseline("m", MODEL, whole, unnamed)


@pytest.mark.parametrize(
    ("source", "address", "where", "refusal"),
    [
        ({"protocol": "modbus", "host": "h"}, "holding 5 float32 CDAB", "holding 5",
         "the device refuses holding 5: illegal data address"),
        ({"protocol": "opcua", "endpoint": "opc.tcp://h:1/x"}, "ns=2;s=T", "ns=2;s=T",
         "the server refuses ns=2;s=T: unknown node"),
        ({"protocol": "mqtt", "host": "h"}, "plant/line /v", "plant/line /v",
         "the broker refuses plant/line"),
    ],
)  # fmt: skip
def test_the_engine_knows_how_to_name_an_address_that_is_refused(source, address, where, refusal):
    """In the words of the tag's protocol, which the engine itself does not know."""
    configuration = Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"}, "sources": {"s": source},
        "tags": {"t": {"source": "s", "address": address}},
    })  # fmt: skip
    (tag,) = build_spec(configuration, {"t": 1}, {}).tags
    assert tag.address == where
    assert tag.refusal.startswith(refusal)
