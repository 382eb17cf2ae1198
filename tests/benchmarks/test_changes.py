"""The changes that are tried, their truth, and how what an agent made of them is judged."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "changes"))

import _upstream_judged
from _upstream_judged import Assessed, changed_share, judged, passes, summary
from _upstream_plants import (
    IDENTITY,
    MODELS,
    PROTOCOLS,
    TAGS_SERVED,
    configuration,
    definition,
    models_of,
)
from _upstream_table import CHANGES

from agent.configuration.load import load
from agent.types import Quality
from simulators.upstream.bent import VALUE_ORDERS
from simulators.upstream.serve import UPSTREAM

ROW_NS = 200_000_000
AT_NS = 1_000 * ROW_NS
BY_KEY = {one.key: one for one in CHANGES}
SHOWN = BY_KEY["opcua: unit told anew, values follow"]
SILENT = BY_KEY["opcua: degC to degF, silently"]
SAME = BY_KEY["opcua: newer software"]


def samples(marked_from_ns: int, tag="reactor.temperature"):
    """A row each 200 ms about the change, held from a time on."""
    times = np.arange(AT_NS - 20 * ROW_NS, AT_NS + 20 * ROW_NS, ROW_NS)
    quality = np.where(times >= marked_from_ns, int(Quality.CONTRACT_BROKEN), 0)
    return {tag: (times, np.full(len(times), 77.0), quality)}


def told(change, **more):
    models = [dict(zip(("name", "version", "owner"), one, strict=True)) for one in change.touched]
    return {"how": "announced", "state": "detected", "grade": "breaking", "text": "unit",
            "found_ns": AT_NS, "models": models, "tags": list(change.tags)} | more  # fmt: skip


def test_the_table_is_whole():
    """At least 80 changes, each known once, of every protocol, of every grade, seen both ways."""
    assert len(BY_KEY) == len(CHANGES) >= 80
    for protocol in PROTOCOLS:
        own = [one for one in CHANGES if one.protocol == protocol]
        assert {one.grade for one in own} == {"additive", "compatible", "breaking"}
        assert {one.by for one in own if one.grade == "breaking"} == {"protocol", "values"}
    assert all(one.tags for one in CHANGES if one.grade == "breaking")
    assert not any(one.tags for one in CHANGES if one.grade != "breaking")
    assert all(tag in TAGS_SERVED for one in CHANGES for tag in one.tags)


@pytest.mark.parametrize("change", CHANGES, ids=lambda one: one.key)
async def test_the_simulator_knows_every_order(change, tmp_path):
    """Each order of the table is one of values or of its protocol's server, or says why not."""
    rows = tmp_path / "rows.npy"
    np.save(rows, np.ones((3, 24)))
    server = UPSTREAM[change.protocol](definition(change.protocol, 9, rows, 0, **change.source))
    row = dict.fromkeys(TAGS_SERVED, 1.0)
    for order in change.orders:
        if order["do"] in {*VALUE_ORDERS, "rate"}:
            continue
        if order["do"] in {"restart", "replace"} or change.protocol == "opcua":
            assert order["do"] in {"restart", "replace", "terms", "rename", "remove", "new"}
            continue
        assert await server.order(order["do"], order)
    if change.protocol != "opcua":
        await server.publish(row, AT_NS)


def test_models_are_those_of_the_tags():
    """Two models share two inputs, and two tags belong to none."""
    owners = {one[0] for one in models_of(["reactor.level"])}
    assert owners == {"yield", "quality"}
    assert models_of(["steam.pressure", "ambient.temperature"]) == set()
    assert len(models_of(TAGS_SERVED)) == len(MODELS)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_configuration_is_one(protocol, tmp_path):
    """The agent takes the plant's configuration, and its source is told as it is served."""
    path = tmp_path / "config.toml"
    path.write_text(configuration(protocol, 4001, 4002, tmp_path / "state", tmp_path))
    loaded = load(path)
    assert list(loaded.tags) == list(TAGS_SERVED)
    assert {name: model.version for name, model in loaded.models.items()} == {
        one.name: one.version for one in MODELS
    }
    assert definition(protocol, 4001, tmp_path / "x.npy", 0).identity == IDENTITY[protocol]


def test_held_in_time_is_from_the_first_changed_row():
    """Marked from that row on: held. One row later: not, with the tag and the delay in words."""
    row = judged(SHOWN, AT_NS, samples(AT_NS), [told(SHOWN)])
    assert (row.held, row.impact, row.scans, row.why) == (True, True, 0.0, [])
    late = judged(SHOWN, AT_NS, samples(AT_NS + 1), [told(SHOWN)])
    assert late.held is False
    assert "reactor.temperature: 1 changed samples count" in late.why[0]
    assert judged(SHOWN, AT_NS, samples(AT_NS), []).held is False
    early = judged(SHOWN, AT_NS, samples(AT_NS), [told(SHOWN, found_ns=AT_NS - ROW_NS)])
    assert early.held is False
    # what could not be read counts for nothing, whatever it is marked with
    times, _, quality = samples(0)["reactor.temperature"]
    unread = {"reactor.temperature": (times, np.full(len(times), np.nan), quality * 0)}
    assert judged(SHOWN, AT_NS, unread, [told(SHOWN)]).held is True


def test_found_in_values_within_so_many_scans():
    """Thirty scans, and not one more."""
    found = told(SILENT, how="values", found_ns=AT_NS + 30 * ROW_NS)
    assert judged(SILENT, AT_NS, {}, [found]).held is True
    late = judged(SILENT, AT_NS, {}, [found | {"found_ns": AT_NS + 31 * ROW_NS}])
    assert (late.held, late.scans) == (False, 31.0)
    assert judged(SILENT, AT_NS, {}, []).held is False


def test_what_does_not_break_is_never_held():
    """A change told as compatible is nothing; a mark or a breaking one is one too many."""
    fine = told(SAME, grade="compatible")
    assert judged(SAME, AT_NS, samples(AT_NS + 99 * ROW_NS), [fine]).falsely_held is False
    assert judged(SAME, AT_NS, samples(AT_NS), []).falsely_held is True
    assert judged(SAME, AT_NS, {}, [told(SAME)]).falsely_held is True


def test_impact_is_exact_by_name_version_and_owner():
    """One model too many, too few, or of another version is wrong."""
    right = told(SHOWN)
    assert judged(SHOWN, AT_NS, samples(AT_NS), [right]).impact is True
    [model] = right["models"]
    for models in ([], [model, model | {"name": "feed"}], [model | {"version": "9"}]):
        assert judged(SHOWN, AT_NS, samples(AT_NS), [right | {"models": models}]).impact is False


def test_share_of_scans_with_another_verdict():
    """A quarter of the span is another verdict; the other's time is its own."""
    mine = [(0, "trusted"), (75 * ROW_NS, "untrusted")]
    beside = [(5, "unassessable"), (10 * ROW_NS, "trusted")]
    assert changed_share(mine, beside, 0, 100 * ROW_NS, 20 * ROW_NS) == 0.25
    assert Assessed("a", {"m": 0.25}, {"m": 0.231}).agreed
    assert not Assessed("a", {"m": 0.25}, {"m": 0.229}).agreed
    assert not Assessed("a", {"m": 0.25}, {}).agreed


def test_the_line_at_the_end():
    """It counts, and passes only where all that must be is."""
    rows = [judged(SHOWN, AT_NS, samples(AT_NS), [told(SHOWN)]),
            judged(SILENT, AT_NS, {}, [told(SILENT)]), judged(SAME, AT_NS, {}, [])]  # fmt: skip
    line = summary(rows, [Assessed("a", {"m": 0.5}, {"m": 0.5})])
    assert {key: line[key] for key in (
        "suite", "n", "breaking", "held_in_time", "compatible", "falsely_held", "impact_exact",
        "assessment_agreed",
    )} == {"suite": "changes", "n": 3, "breaking": 2, "held_in_time": 2, "compatible": 1,
           "falsely_held": 0, "impact_exact": 2, "assessment_agreed": 1}  # fmt: skip
    assert passes(line)
    assert not passes(line | {"falsely_held": 1})
    assert not passes(line | {"held_by_protocol": 0})
    assert _upstream_judged.SCANS == 30
