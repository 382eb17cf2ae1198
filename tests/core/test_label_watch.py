"""The label stream's own watch: stuck, rounded, slower, out of range; nothing of usual ones."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.engine import Engine
from agent.core.label_watch import (
    LabelReference,
    decimals_of,
    reference_of,
    remarks,
    stands_off,
)
from tests.core.small import SECOND, START
from tests.core.test_truth import block_of, calm, spec_of, timed

RECORD = np.round(np.random.default_rng(1).normal(80.0, 2.0, 400), 2).tolist()
TIMES = [60 * SECOND * n for n in range(400)]
REFERENCE = reference_of(TIMES, RECORD)


def latest(values, every_s=60.0):
    return [[round(n * every_s * SECOND), value] for n, value in enumerate(values)]


def said(values, every_s=60.0, same=1, *, of_classes=False):
    found = remarks(REFERENCE, "lab", latest(values, every_s), same, of_classes=of_classes)
    return [text.partition(":")[0] for text in found]


def test_the_record_is_described_by_its_range_run_decimals_and_time():
    """Two decimals, one a minute."""
    assert (REFERENCE.decimals, REFERENCE.every_ns) == (2, 60 * SECOND)
    assert (REFERENCE.low, REFERENCE.high) == (min(RECORD), max(RECORD))
    assert reference_of([0, 1, 2, 3], [1.0, 2.0, 2.0, 2.0]).run == 3
    assert LabelReference.from_json(json.loads(json.dumps(REFERENCE.to_json()))) == REFERENCE


def test_usual_truths_are_no_matter():
    """Any sixteen of the record."""
    for start in range(0, 384, 16):
        assert said(RECORD[start : start + 16]) == []


def test_each_oddity_is_told_by_its_name():
    """Classes have neither decimals nor a range."""
    some = RECORD[:16]
    assert said([80.25] * 12, same=12) == ["lab repeats one value"]
    assert said([round(value) for value in some]) == ["lab is rounded"]
    assert said(some, every_s=200.0) == ["lab is slower than usual"]
    assert said([*some[:-1], 123.45]) == ["lab is out of the range that it had in training"]
    assert said([*some[:-1], 123.0], of_classes=True) == []


@pytest.mark.parametrize(("value", "far", "off"), [
    (0.0, 1, True), (0.0, 12, True), (0.0, 13, False), (1e308, 3, True), (-80.0, 16, False),
    (REFERENCE.high + 0.5, 1, False), (80.0, 0, False),
])  # fmt: skip
def test_single_truths_far_from_all_others_are_no_measurements(value, far, off):
    """Of 16, up to 12; a plant does the same to all of them."""
    seen = latest([*RECORD[: 16 - far], *[value] * far])
    assert stands_off(REFERENCE, value, seen) == off
    text = " ".join(remarks(REFERENCE, "lab", seen, 1, of_classes=False))
    assert ("single ones are left out" in text) == off


def test_the_first_truths_stand_off_until_most_of_eight_do():
    """One alone is no reason to doubt the model, and seven of eight are."""
    for far in range(1, 9):
        assert stands_off(REFERENCE, 0.0, latest([0.0] * far)) == (far < 7)
    same = replace(REFERENCE, low=80.0, high=80.0)
    assert not stands_off(same, 0.0, latest([0.0]))


@given(st.integers(-(10**6), 10**6), st.integers(0, 6))
def test_decimals_are_those_that_people_write(number, decimals):
    """Of any number of up to six decimals, whatever floats make of it."""
    text = f"{number}e-{decimals}"
    digits = f"{float(text):.6f}".rstrip("0").partition(".")[2]
    assert decimals_of(float(text)) == len(digits)


@pytest.mark.parametrize("change", [
    {"low": float("nan")}, {"low": 99.0, "high": 1.0}, {"run": 0}, {"every_ns": 0},
    {"decimals": 12}, {"run": None},
])  # fmt: skip
def test_a_reference_that_says_nothing_is_refused(change):
    """A digest that fits says nothing of what was written."""
    with pytest.raises(ValueError, match="reference of labels"):
        LabelReference.from_json(REFERENCE.to_json() | change)


def test_a_laboratory_that_repeats_itself_is_told_once_and_so_is_its_end():
    """In an event, with figures; the losses of what repeats are left out, and then go on."""
    spec = spec_of()
    model = spec.models[0]
    own = LabelReference(-10.0, 10.0, 2, 3, 5 * SECOND)
    baseline = replace(model.baseline, labels={"lab": own})
    spec = replace(spec, models=(replace(model, baseline=baseline),))
    truths = [0.123 * n for n in range(10)] + [1.234] * 12 + [0.321 * n for n in range(8)]
    rows = [(5.0 * n + 1, 5.0 * n + 1, 5, truth) for n, truth in enumerate(truths)]
    rows += [(t + 0.25, t + 0.25, 4, 0.0) for t in range(150)]
    engine = Engine(spec)
    outcome = engine.step(block_of(timed([*calm(150), *rows]), 150))
    told = [event for event in outcome.events if event.kind == "evidence"]
    assert [event.data["change"] for event in told] == ["labels odd", "labels as usual"]
    assert told[0].data["text"] == "lab repeats one value: 5 in a row, in training at most 2"
    assert told[0].time_ns == START + (5 * 14 + 1) * SECOND
    state = engine.truth.pairs[0][0].state
    assert (state.labels, state.spoilt) == (22, 8)
