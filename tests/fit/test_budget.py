"""The one number, divided: every chart's rate adds up to what a person allowed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.delays import MOST_TIME
from agent.core.kernels import DETECTORS
from agent.fit.budget import JOINT_CHARTS, ModelLoad, alarm_scans, divide

SECOND = 1_000_000_000
MONTH = 30 * 86_400 * SECOND
LOADS = st.lists(
    st.builds(
        ModelLoad,
        name=st.uuids().map(str),
        intervals_ns=st.lists(st.integers(10**8, 600 * SECOND), min_size=1, max_size=9).map(tuple),
        scan_ns=st.integers(10**8, 600 * SECOND),
    ),
    min_size=1, max_size=5,
)  # fmt: skip


@given(loads=LOADS)
def test_rates_add_up_to_the_budget(loads):
    """Over all models, inputs, detectors and joint charts, at one in 30 days."""
    shares = divide(1.0 / MONTH, loads)
    total = 0.0
    for load in loads:
        share = shares[load.name]
        for interval, arl in zip(load.intervals_ns, share.inputs, strict=True):
            total += len(DETECTORS) / (arl * interval)
        total += JOINT_CHARTS / (share.joint * load.scan_ns)
    assert sum(share.rate_per_ns for share in shares.values()) == pytest.approx(total)
    assert total == pytest.approx(1.0 / MONTH)


def test_charts_of_one_model():
    """Each input brings every detector, each model its joint charts, which get their share."""
    share = divide(1.0 / MONTH, [ModelLoad("m", (SECOND,) * 15, SECOND)])["m"]
    assert share.charts == 15 * len(DETECTORS) + JOINT_CHARTS
    assert share.inputs == (pytest.approx(30 * 86_400 * 15 * len(DETECTORS) / 0.8),) * 15
    assert share.joint == pytest.approx(30 * 86_400 * JOINT_CHARTS / 0.2)


def test_joint_charts_get_as_much_however_many_inputs_they_watch():
    """A thousand inputs beside four joint charts do not starve them."""
    few, many = (
        divide(1.0 / MONTH, [ModelLoad("m", (SECOND,) * d, SECOND)])["m"] for d in (5, 1000)
    )
    assert many.joint == pytest.approx(few.joint)


def test_a_model_of_one_input_spends_nothing_on_joint_charts():
    """All of it goes to the charts of its input."""
    share = divide(1.0 / MONTH, [ModelLoad("m", (SECOND,), SECOND, joint_charts=0)])["m"]
    assert share.inputs == (pytest.approx(30 * 86_400 * len(DETECTORS)),)
    assert share.joint_charts == 0


def test_a_slower_input_has_a_shorter_run_length_in_samples():
    """The same rate in time is fewer samples."""
    share = divide(1.0 / MONTH, [ModelLoad("m", (SECOND, 60 * SECOND), SECOND)])["m"]
    assert share.inputs[0] == pytest.approx(60 * share.inputs[1])


def test_many_allowed_alarms_still_leave_a_model_trusted():
    """A budget of one a minute at one scan a second is not taken up: not-trusted time binds."""
    for scan in (SECOND, 3600 * SECOND):
        share = divide(1.0 / (60 * SECOND), [ModelLoad("m", (scan,), scan)])["m"]
        rate = len(DETECTORS) / share.inputs[0] + JOINT_CHARTS / share.joint
        assert rate * alarm_scans(scan) == pytest.approx(MOST_TIME)


def test_no_models():
    """A gateway that guards nothing yet divides nothing."""
    assert divide(1.0 / MONTH, []) == {}
