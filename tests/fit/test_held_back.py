"""Held-back time: charts are as wide as what followed a leading part of the record asks for."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.kernels import DETECTORS, JOINT_CHARTS
from agent.core.kernels.base import NEVER
from agent.fit import held_back
from agent.fit.joint import fit_joint
from agent.fit.univariate import fit_input
from tests.fit.streams import SECOND, ar1, raised

learn = partial(fit_input, interval_ns=SECOND, arl=1e7, name="x")


@given(st.integers(0, 1 << 20))
def test_a_part_is_judged_by_what_it_has_not_seen(rows):
    """Each lead ends before what follows begins, with a gap, and none reaches beyond the record."""
    parts = held_back.parts(rows)
    for part in parts:
        assert part.lead.start == 0 < part.lead.stop < part.follow.start < part.follow.stop <= rows
        assert part.follow.start - part.lead.stop >= held_back.GAP * rows - 1
        assert part.follow.stop - part.follow.start >= held_back.FEWEST
    assert bool(parts) == (rows >= 2 * held_back.FEWEST + 20) or rows < 300


def test_every_chart_with_a_limit_says_how_it_is_made_wider():
    """Twice as wide means half the score, or an alarm that comes later or never."""
    assert [d.name for d in DETECTORS if not (d.limits or d.slopes)] == ["category"]
    for detector in DETECTORS:
        assert {*detector.limits, *detector.slopes} <= set(detector.params.names or ())


def test_a_record_that_goes_on_as_it_was_widens_nothing():
    """White noise and an AR(1) process: charts that keep their promise are left alone."""
    for phi in (0.0, 0.9):
        column = ar1(phi, 20_000, 3)
        found = held_back.of_input(column, SECOND, learn)
        assert len(found) == len(held_back.LEADS)
        factors = held_back.most([factors for _, factors in found])
        assert set(factors.values()) == {1.0}
        whole = learn(column)
        assert held_back.adjusted(whole, factors) == whole


def test_a_chart_that_alarmed_on_held_back_time_is_silent_on_it_once_widened():
    """The steps grow by half in the last quarter: `rate` and `noise` are as much wider."""
    column = ar1(0.0, 8_000, 5)
    column[6_200:] *= 1.4
    (_, _), (item, factors) = held_back.of_input(column, SECOND, learn)
    loud = {name for name, factor in factors.items() if factor > 1.0}
    assert "noise" in loud
    follow = held_back.parts(len(column))[-1].follow
    assert raised(item, column[follow])["noise"]
    wider = held_back.adjusted(item, factors)
    flags = raised(wider, column[follow])
    assert not any(flags[name] for name in loud)
    assert wider.wider == {name: held_back.MARGIN * factors[name] for name in loud}


def test_a_chart_that_would_have_to_be_far_wider_is_off_and_says_so():
    """An input that stands still for most of the record and then moves on."""
    column = 0.01 * ar1(0.0, 4_000, 6)
    column[2_600:] += 100.0 * np.sin(np.arange(1_400) / 3.0)
    found = held_back.of_input(column, SECOND, learn)
    item, factors = found[0]
    wider = held_back.adjusted(item, factors)
    rate = next(d for d in DETECTORS if d.name == "rate")
    assert factors["rate"] > held_back.MOST
    assert wider.detectors["rate"] == dict(rate.disabled)
    assert wider.thresholds["rate"] == "off"
    assert wider.wider["rate"] == np.inf


def test_a_chart_that_is_loud_on_two_inputs_in_the_last_part_is_off_on_all():
    """Rests become shorter and more, as a plant does that runs otherwise: no past tells of it."""
    def resting(seed, times):
        """Each value comes twice in a row so many times, at the end of the record."""
        column = np.round(ar1(0.0, 4_000, seed), 6)
        for begin in range(3_500, 3_500 + 2 * times, 2):
            column[begin + 1] = column[begin]
        return column

    calm = held_back.of_input(resting(1, 0), SECOND, learn)
    loud = [held_back.of_input(resting(seed, 60), SECOND, learn) for seed in (2, 3)]
    assert loud[0][-1][1]["again"] > 1.0 == calm[-1][1]["again"]
    charts = ("again", "digits")
    assert held_back.not_silent([calm, loud[0]], charts) == {}
    off = held_back.not_silent([calm, *loud], charts)
    assert off == {"again": np.inf}
    assert held_back.not_silent([calm[:1], *(one[:1] for one in loud)], charts) == {}
    wider = held_back.adjusted(replace(calm[-1][0], wider={"noise": 2.0}), off)
    assert wider.thresholds["again"] == "off"
    assert wider.wider == {"noise": 2.0, "again": np.inf}


@pytest.mark.parametrize("detector", [d for d in DETECTORS if d.limits or d.slopes],
                         ids=lambda d: d.name)  # fmt: skip
@given(factor=st.floats(1.0, 4.0))
def test_a_wider_chart_says_no_more_than_a_narrow_one(detector, factor):
    """Off stays off, and limits that nothing reaches stay such; the rest grows by the factor."""
    off = dict(detector.disabled)
    wide = held_back.widened(detector, off, factor)
    for name in detector.limits:
        assert wide[name] >= off[name]
        assert wide[name] == NEVER if off[name] == NEVER else wide[name] <= 1 << 62
    assert set(wide) == set(off)
    assert held_back.widened(detector, off, 1.0) == off


def test_relations_that_loosen_widen_the_joint_charts():
    """Two inputs that go together, and less so in the last quarter."""
    rng = np.random.default_rng(7)
    base = ar1(0.5, 4_000, 8)
    values = np.column_stack([base, base]) + 0.05 * rng.standard_normal((4_000, 2))
    relate = partial(fit_joint, names=("a", "b"), interval_ns=SECOND, arl=1e6)

    def factors_of(record: np.ndarray) -> dict[str, float]:
        leads = [
            [learn(np.ascontiguousarray(record[part.lead, j])) for j in range(2)]
            for part in held_back.parts(len(record))
        ]
        related = held_back.of_joint(record, SECOND, leads, relate)
        assert len(related) == len(held_back.LEADS)
        return held_back.most([factors for _, factors in related])

    assert set(factors_of(values).values()) == {1.0}
    loose = values.copy()
    loose[3_100:, 1] += 0.5 * np.sin(np.arange(900) / 200.0)
    wide = factors_of(loose)
    assert wide["spe"] > 1.0 or wide["spe_smooth"] > 1.0
    whole = relate(held_back.standardised(loose, [learn(loose[:, j].copy()) for j in range(2)]))
    adjusted = held_back.adjusted_joint(whole, wide)
    for place, chart in enumerate(JOINT_CHARTS):
        before, after = whole.groups[0].limits[place].value, adjusted.groups[0].limits[place].value
        expected = held_back.MARGIN * wide[chart.name] if wide[chart.name] > 1.0 else 1.0
        assert after == pytest.approx(before * expected)
