"""`configs/demo.toml` and its fault script describe the simulated plant, and override nothing."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from agent.configuration.load import load
from simulators.faults import load_faults
from simulators.service import addresses_of
from simulators.tags import LAB_YIELD, MODEL_INPUTS, PREDICTED, TAGS

CONFIGS = Path(__file__).parents[2] / "configs"
NOT_THRESHOLDS = {"source", "address", "unit", "interval", "physical", "description", "max_silence"}


@pytest.fixture(scope="module")
def document():
    return tomllib.loads((CONFIGS / "demo.toml").read_text(encoding="utf-8"))


def test_demo_configuration_is_valid():
    """The agent accepts it."""
    assert load(CONFIGS / "demo.toml").gateway.name == "gw-01"


def test_demo_tags_are_the_plants_tags(document):
    """Every tag of the plant is there, at the address, unit and range that the plant serves."""
    tags = document["tags"]
    assert set(tags) == {*(tag.name for tag in TAGS), PREDICTED, LAB_YIELD}
    for tag in TAGS:
        entry = tags[tag.name]
        address = entry["address"].removesuffix(" time /time")
        assert (entry["source"], address, entry["unit"]) == (tag.source, tag.address, tag.unit)
        assert tuple(entry["physical"]) == tag.physical
    assert tuple(document["models"]["yield"]["inputs"]) == MODEL_INPUTS
    assert addresses_of(CONFIGS / "demo.toml").modbus_port == 15020


def test_demo_overrides_no_threshold(document):
    """Tags say what they are and where they come from; the budget is the default one."""
    assert document["gateway"]["false_alarms"] == "1 per 30 days"
    assert {key for tag in document["tags"].values() for key in tag} <= NOT_THRESHOLDS
    assert set(document["models"]["yield"]) <= {
        "version",
        "owner",
        "baseline",
        "scan",
        "inputs",
        "outputs",
        "labels",
        "retraining",
        "trial",
    }


def test_demo_faults_are_those_promised_within_90_seconds():
    """The script holds the six promised kinds, the outage of 20 s, and leaves 15 s to settle."""
    faults = load_faults(CONFIGS / "demo-faults.toml")
    kinds = {fault.kind for fault in faults}
    assert kinds >= {"stuck", "drift", "out_of_range", "unit_change", "source_lost", "uplink_lost"}
    assert max(fault.end for fault in faults) <= 75
    (outage,) = [fault for fault in faults if fault.kind == "uplink_lost"]
    assert outage.duration == 20
    for fault in faults:
        assert not fault.tag or fault.tag in MODEL_INPUTS
