"""What an input is watched for is read from its baseline: what is off there is said, and why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.baseline import InputBaseline
from agent.core.kernels import DETECTORS
from agent.fit.univariate import fit_input
from agent.fit.watched import RELATIONS, is_off, watched

SECOND = 1_000_000_000


def fitted(values, r2: float = 0.9) -> InputBaseline:
    item = fit_input(values, interval_ns=SECOND, arl=1e6, name="a")
    return InputBaseline(
        tag="a", unit="", centre=item.centre, scale=item.scale, noise=item.noise,
        interval_ns=SECOND, tau=item.tau, n_eff=item.n_eff, trained=item.trained,
        edges=item.edges, longest_gap=0, r2=r2, provisional=False, detectors=item.detectors,
    )  # fmt: skip


@pytest.fixture(scope="module")
def live() -> InputBaseline:
    """Half an hour of noise: long enough for all charts but that of drift."""
    return fitted(np.random.default_rng(1).standard_normal(1_800))


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda one: one.name)
def test_a_detector_is_off_where_its_limits_are_the_disabled_ones(detector):
    """So it is where a baseline says nothing of it, and where only its hold is another."""
    assert is_off(detector, {})
    assert is_off(detector, detector.disabled)
    assert is_off(detector, {**detector.disabled, "hold": 7, "clip": 3.0, "gap_ns": 5})


def test_a_live_input_is_watched_for_all_that_can_be(live):
    """Only slow movement is not to be told from half an hour, and it is said so."""
    seen = watched(live)
    assert {"range", "stuck", "spikes", "jumps", "level", "noise"} < set(seen.on)
    assert "relations (r2 0.90)" in seen.on
    assert [what for what, _ in seen.off] == ["drift"]
    assert "too short" in seen.off[0][1]


def test_a_constant_input_is_watched_for_leaving_its_value():
    """All the rest has one reason."""
    seen = watched(fitted(np.full(1000, 4.0), r2=0.0))
    assert seen.on == ("range",)
    assert {why for _, why in seen.off} == {"constant in the record"}
    assert {"stuck", "level", "noise"} < {what for what, _ in seen.off}


def test_a_state_is_watched_as_a_state():
    """Neither its level nor its noise mean anything."""
    rng = np.random.default_rng(2)
    seen = watched(fitted((np.arange(6000) // rng.integers(20, 40) % 2).astype(float), r2=0.0))
    assert seen.on == ("states",)
    assert {why for _, why in seen.off} == {"it takes states only"}


@given(st.sets(st.sampled_from([row.name for row in DETECTORS])))
def test_each_chart_that_is_switched_off_is_told_with_the_reason_given(live, names):
    """What is watched and what is not are told apart; no chart is told as both, or not at all."""
    off = {row.name: dict(row.disabled) for row in DETECTORS if row.name in names}
    item = replace(live, detectors={**live.detectors, **off})
    seen = watched(item, {name: f"broke its promise: {name}" for name in names})
    assert not set(seen.on) & {what for what, _ in seen.off}
    before = watched(live)
    told = {*seen.on, *(what for what, _ in seen.off)}
    assert {*before.on, *(what for what, _ in before.off)} <= told | {"states"}
    if "level" in names:
        assert ("level", "broke its promise: level") in seen.off


def test_relations_are_watched_where_the_others_predict_it(live):
    """Else it is said that they do not, or what `fit` found."""
    poor = replace(live, r2=0.1)
    assert (RELATIONS, "the other inputs do not predict it") in watched(poor).off
    assert (RELATIONS, "they broke the promise") in watched(
        live, {RELATIONS: "they broke the promise"}
    ).off
