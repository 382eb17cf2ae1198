"""The loss chart of one model: X, its CUSUM and its bets, wherever its entries are cut."""

from __future__ import annotations

import json
from dataclasses import replace
from math import nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.betting import YEAR_NS
from agent.core.expected_loss import Errors, ExpectedLoss, Limit, LossReference
from agent.core.loss_chart import LossChart, LossState

HOUR = YEAR_NS // 8766
EXPECTED = ExpectedLoss(
    tuple(float(n) for n in range(1, 8)), (-1.0, 0.0, 1.0),
    tuple(tuple(0.5 + 0.125 * row + 0.01 * column for column in range(4)) for row in range(8)),
)  # fmt: skip
REFERENCE = LossReference(
    labels=2000, scans_per_label=10.0, clip=6.0, risk=1.0, risk_error=0.02, deviation=1.0,
    peak=1.0,
    correlation=0.8, slope=0.8, memory=1.0, block=1, alone=Limit(1.0, 0.0, 4.29),
    powered=Limit(0.36, 0.0, 4.9), arl=1000.0, expected=EXPECTED,
    errors=Errors((10.0, 100.0), (-0.5, -0.2), (0.8, 0.3), 0.04),
)  # fmt: skip


def chart_of(**changes: object) -> LossChart:
    return LossChart(replace(REFERENCE, **changes), 0.1)


def test_expected_loss_is_that_of_the_bin():
    """What lies on an edge belongs above it; what is not known has none."""
    assert EXPECTED.of(-5.0, -2.0) == EXPECTED.table[0][0]
    assert EXPECTED.of(1.0, 0.0) == EXPECTED.table[1][2]
    assert EXPECTED.of(1e300, 5.0) == EXPECTED.table[7][3]
    assert np.isnan(EXPECTED.of(nan, 0.0))
    assert np.isnan(EXPECTED.of(0.0, nan))


def test_x_takes_from_a_label_what_its_inputs_explain():
    """(L - c r) + c mean(r of the scans since the last label)."""
    chart = chart_of()
    for expected in (0.5, 0.7, 0.9, nan):
        chart.scan(expected)
    assert chart.label(0, 2.0, 1.2).x == pytest.approx(2.0 - 0.8 * 1.2 + 0.8 * 0.7)


def test_a_correction_takes_back_what_a_wrong_truth_moved():
    """Labels that were far off at first, and right soon after, neither warn nor open a request."""
    wrong, corrected = (chart_of(slope=0.0, powered=REFERENCE.alone) for _ in range(2))
    told: dict[str, int] = {"wrong": 0, "corrected": 0}
    for number in range(200):
        step = corrected.label(number * HOUR, 2.5, nan)
        corrected.correct(2.5, 0.9)
        told["corrected"] += int(step.opens or step.raised)
        step = wrong.label(number * HOUR, 2.5, nan)
        told["wrong"] += int(step.opens or step.raised)
    assert told["corrected"] == 0
    assert told["wrong"] > 1
    before = corrected.state.to_json()
    corrected.correct(nan, 1.0)
    assert corrected.state.to_json() == before


@pytest.mark.parametrize(("expected", "scans"), [(nan, 50), (1.2, 0), (1.2, 1)])
def test_x_is_the_loss_where_nothing_is_gained(expected, scans):
    """Its inputs are not known, or no more scans than labels came."""
    chart = chart_of()
    for _ in range(scans):
        chart.scan(0.5)
    assert chart.label(0, 2.0, expected).x == 2.0


def test_labels_of_a_batch_share_the_scans_before_it_as_long_as_that_gains():
    """The mean of 20 scans serves ten labels: the tenth adds 19 times its variance."""
    chart = chart_of()
    for _ in range(20):
        chart.scan(0.5)
    steps = [chart.label(0, 2.0, 1.0).x for _ in range(12)]
    assert steps == [pytest.approx(2.0 - 0.8 * 0.5)] * 10 + [2.0] * 2


def test_losses_count_up_to_the_clip_and_only_numbers_count():
    """One wild label is no more than the record's largest; a NaN moves nothing."""
    chart = chart_of(slope=0.0)
    assert chart.label(0, 1e9, nan).x == 6.0
    before = LossState.from_json(chart.state.to_json())
    assert chart.label(HOUR, nan, 1.0) is None
    assert chart.label(HOUR, -1.0, 1.0) is None
    assert chart.state.unusable == 2
    assert replace(chart.state, unusable=0) == before
    assert chart.state.clipped == 1


def test_a_warning_comes_once_and_goes_when_the_loss_is_back():
    """However long the loss was up, it takes bounded time to be seen to be back."""
    chart = chart_of()
    up = [chart.label(n * HOUR, 2.0, nan) for n in range(2000)]
    assert [step.raised for step in up].count(True) == 1
    assert up[11].score < up[12].score
    back = [chart.label((2000 + n) * HOUR, 1.0, nan) for n in range(100)]
    assert [step.cleared for step in back].count(True) == 1
    assert not chart.state.up


def test_a_request_opens_by_what_exceeds_the_tolerance_and_then_begins_anew():
    """A loss within the tolerance opens none in ten years; one beyond does, again and again."""
    within = chart_of()
    assert not any(within.label(n * HOUR, 1.1, nan).opens for n in range(87_660 // 4))
    beyond = chart_of()
    opened = [n for n in range(2000) if beyond.label(n * HOUR, 2.5, nan).opens]
    assert len(opened) > 2
    assert opened[0] < 40


Entry = tuple[str, float, float]
ENTRIES = st.lists(
    st.one_of(
        st.tuples(st.just("scan"), st.floats(0.0, 8.0), st.just(0.0)),
        st.tuples(st.just("label"), st.floats(0.0, 10.0), st.one_of(st.just(nan), st.floats(0, 2))),
    ),
    max_size=60,
)


def fold(chart: LossChart, entries: list[Entry], begin: int = 0) -> list[object]:
    told: list[object] = []
    for number, (kind, value, expected) in enumerate(entries, begin):
        if kind == "scan":
            chart.scan(EXPECTED.of(value, 0.0))
        else:
            told.append(chart.label(number * HOUR * 50, value, expected))
    return told


@given(ENTRIES, st.integers(0, 60))
def test_a_snapshot_goes_on_to_the_same_bits_wherever_it_was_taken(entries, cut):
    """Through JSON, between any two entries."""
    whole = chart_of(block=2)
    told = fold(whole, entries)
    first = chart_of(block=2)
    before = fold(first, entries[:cut])
    state = LossState.from_json(json.loads(json.dumps(first.state.to_json())))
    second = LossChart(first.reference, 0.1, state)
    assert before + fold(second, entries[cut:], min(cut, len(entries))) == told
    assert second.state == whole.state


def test_time_that_is_set_anew_pays_nothing_in():
    """Clocks that jump by years change no evidence."""
    still, moved = chart_of(), chart_of()
    for chart in (still, moved):
        chart.label(0, 2.0, nan)
    moved.state.move(5 * YEAR_NS)
    assert moved.label(5 * YEAR_NS + HOUR, 2.0, nan) == still.label(HOUR, 2.0, nan)


def test_reference_survives_json():
    """Equal parts, so equal judgement."""
    data = json.loads(json.dumps(REFERENCE.to_json(), allow_nan=False))
    assert LossReference.from_json(data) == REFERENCE


@pytest.mark.parametrize(("path", "value"), [
    (("risk",), nan), (("risk",), "1"), (("deviation",), 0.0), (("slope",), 1.5), (("clip",), -1.0),
    (("block",), 0), (("alone", "variance"), 0.0), (("powered", "limit"), None),
    (("expected", "table"), [[1.0] * 4] * 7), (("expected", "novelty"), [1.0, 0.0] + [2.0] * 5),
    (("expected", "prediction"), [0.0]), (("errors", "scans"), []), (("errors", "low"), [0.0]),
    (("errors",), None), (("labels",), True),
])  # fmt: skip
def test_a_reference_that_can_not_be_judged_by_is_refused(path, value):
    """A baseline whose digest fits may still hold what nobody can divide by."""
    data = json.loads(json.dumps(REFERENCE.to_json()))
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match="reference of losses"):
        LossReference.from_json(data)


@pytest.mark.parametrize(("key", "value"), [
    ("cusum", -1.0), ("scans", -1), ("summed", float("inf")), ("mean", None), ("by_x", {}),
    ("labels", float("inf")),
])  # fmt: skip
def test_a_state_that_never_was_is_refused(key, value):
    """It is folded anew instead."""
    data = LossState().to_json() | {key: value}
    with pytest.raises(ValueError, match="state of"):
        LossState.from_json(data)


def test_an_estimate_is_as_sure_as_its_window_is_long():
    """Between the lengths that were measured, beyond them, and wider where more is expected."""
    widths = [
        found.high - found.low
        for found in (REFERENCE.estimate(1.0, n) for n in (1, 10, 30, 100, 1000, 10**9))
    ]
    assert widths[:2] == pytest.approx([1.3, 1.3])
    assert widths[1:] == sorted(widths[1:], reverse=True)
    assert widths[-1] == pytest.approx(0.08, rel=1e-3)
    twice = REFERENCE.estimate(2.0, 100)
    assert (twice.value, twice.low, twice.high) == (2.0, pytest.approx(1.6), pytest.approx(2.6))
