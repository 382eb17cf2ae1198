"""Kinds of tags in service: a counter by its rate, an angle on the circle, whatever the blocks."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.configuration.schema import Kind
from agent.core.counters import counted
from agent.core.diagnosis import diagnose
from agent.core.engine import Engine
from agent.core.extrapolation import Fact, input_text
from agent.core.kernels import admission
from agent.core.kinds import KINDS
from agent.core.tag_evidence import Evidence
from tests.core import small
from tests.core.test_admission import Door

HOUR_S = 3600.0


def door(kind, **more):
    return Door(kind=kind, **more)


def rates(values, times=None, *, turn=0.0, fastest=HOUR_S * 20.0, by_one=False):
    """The rates that a counter's values make, per second."""
    own = door(admission.COUNTER, turn=turn, fastest=fastest)
    times = list(range(len(values))) if times is None else times
    parts = [[i] for i in range(len(values))] if by_one else [list(range(len(values)))]
    made = [
        own.take([times[i] for i in part], value=[values[i] for i in part])[2] for part in parts
    ]
    return (np.concatenate(made) / HOUR_S).tolist()


def test_a_counter_is_judged_by_the_difference_over_the_time_between():
    """The first value gives none; a value after a gap gives the mean rate over it."""
    assert rates([100.0, 102.0, 104.0, 112.0], [0, 1, 2, 6]) == pytest.approx([2.0, 2.0, 2.0])


@pytest.mark.parametrize(
    ("values", "turn", "expected"),
    [
        ([65530.0, 65534.0, 2.0, 6.0], 65536.0, [4.0, 4.0, 4.0]),
        ([99990.0, 99998.0, 6.0, 14.0], 100000.0, [8.0, 8.0, 8.0]),
        ([2.0**32 - 4, 2.0**32 - 1, 2.0], 2.0**32, [3.0, 3.0]),
        ([32760.0, 32766.0, -32764.0, -32758.0], 65536.0, [6.0, 6.0, 6.0]),
        ([65530.0, 65534.0, 2.0, 6.0], 0.0, [4.0, 4.0]),  # it falls to near 0: nobody can tell
        ([500.0, 504.0, 0.0, 4.0], 65536.0, [4.0, 4.0]),  # reset
        ([32760.0, 32766.0, -32764.0, -32758.0], 0.0, [6.0, 6.0]),
    ],
)
def test_a_roll_over_and_a_reset_are_no_negative_rate(values, turn, expected):
    """A roll over and a reset are no negative rate."""
    assert rates(values, turn=turn) == pytest.approx(expected)


def test_what_goes_back_has_a_negative_rate():
    """What goes back has a negative rate."""
    assert rates([500.0, 504.0, 300.0, 304.0]) == pytest.approx([4.0, -204.0, 4.0])


def test_over_so_long_a_gap_that_it_may_have_gone_round_nothing_is_said():
    """Over so long a gap that it may have gone round nothing is said."""
    assert rates([0.0, 5.0, 10.0, 15.0], [0, 1, 20_000, 20_001], turn=65536.0) == pytest.approx(
        [5.0, 5.0]
    )


def test_a_counter_that_reports_changes_only_stands_still_in_silence():
    """What is restated is a rate of 0, not the last one."""
    own = door(admission.COUNTER, delay=2.0, fastest=HOUR_S * 20)
    arrival, _, value, _ = own.take([0, 1, 2], value=[0.0, 3.0, 6.0], until=8.5)
    assert (value / HOUR_S).tolist()[:2] == [3.0, 3.0]
    assert value[2:].tolist() == [0.0] * (len(arrival) - 2)
    assert len(arrival) > 5


def test_an_angle_is_placed_on_the_circle_from_its_cut_on():
    """An angle is placed on the circle from its cut on."""
    own = door(admission.ANGLE, turn=360.0, cut=90.0)
    value = own.take([0, 1, 2, 3], value=[359.0, 1.0, -1.0, 91.0])[2]
    assert value.tolist() == [359.0, 361.0, 359.0, 91.0]


@given(
    steps=st.lists(st.integers(-70000, 70000) | st.integers(0, 30), min_size=2, max_size=40),
    turn=st.sampled_from([0.0, 1000.0, 65536.0]),
)
@settings(max_examples=60, deadline=None)
def test_cutting_blocks_elsewhere_changes_no_rate(steps, turn):
    """Cutting blocks elsewhere changes no rate."""
    values = np.cumsum(steps).astype(float).tolist()
    assert rates(values, turn=turn, by_one=True) == rates(values, turn=turn)


# --- in the engine ------------------------------------------------------------------------------


def counting():
    """The small engine's spec, its tag a a totaliser of 10 +- 1 a second."""
    plain = small.baseline(joint=True)
    item = replace(
        plain.modes[0].inputs[0], kind="totaliser", centre=10 * HOUR_S, scale=HOUR_S, unit="m3",
        fastest=14 * HOUR_S, turn=1000.0, trained=(6 * HOUR_S, 14 * HOUR_S),
        edges=(9 * HOUR_S, 11 * HOUR_S),
    )
    mode = replace(plain.modes[0], inputs=(item, *plain.modes[0].inputs[1:]))
    return small.spec(trained=replace(plain, modes=(mode,)))


def run(engine, rows, *, cut=(), resume=False):
    """Fold rows (s, total), b and c with noise; (events, snapshot)."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(len(rows), 2)).tolist()
    samples = [
        (float(s), tag, value)
        for (s, total), (b, c) in zip(rows, noise, strict=True)
        for tag, value in (("a", total), ("b", b), ("c", c))
    ]
    events = []
    edges = [*sorted(set(cut)), rows[-1][0] + 1]
    start = -1.0
    for number, edge in enumerate(edges, 1):
        part = [one for one in samples if start <= one[0] < edge]
        block = replace(small.samples(part, sealed=float(edge)), sequence=number)
        events += engine.step(block).events
        if resume:
            fresh = Engine(engine.spec)
            fresh.resume(engine.snapshot())
            fresh.sequence = engine.sequence
            engine = fresh
        start = float(edge)
    return events, engine.snapshot()


def totals(n, *, seed=0, still=()):
    rng = np.random.default_rng(seed)
    gone = np.clip(rng.normal(10.0, 0.8, n), 7.5, 12.5)
    gone[list(still)] = 0.0
    return [(i, float(value)) for i, value in enumerate(np.cumsum(gone) % 1000.0)]


def test_a_total_that_grows_and_rolls_over_raises_nothing_and_extrapolates_nowhere():
    """Neither the growing total nor its roll-overs are outside what training saw."""
    engine = Engine(counting())
    events, _ = run(engine, totals(500))
    assert [e for e in events if e.kind == "condition"] == []
    assert not engine.judge.extrapolating(0)
    scanned = engine.charts.scans[0].recent(engine.time_ns)[:, 0]
    assert np.abs(scanned).max() < 4.0


@given(cut=st.lists(st.integers(1, 119), max_size=8), resume=st.booleans())
@settings(max_examples=12, deadline=None)
def test_blocks_and_snapshots_change_neither_events_nor_state(cut, resume):
    """Blocks and snapshots change neither events nor state."""
    rows = totals(120, still=range(70, 90))
    whole = run(Engine(counting()), rows, cut=(60,))
    parts = run(Engine(counting()), rows, cut=(60, *cut), resume=resume)
    told = [(e.kind, e.time_ns, e.subject, e.data) for e in whole[0]]
    assert [(e.kind, e.time_ns, e.subject, e.data) for e in parts[0]] == told
    assert any(e.subject == "tag/a" for e in whole[0])


def test_a_total_that_stands_still_is_stuck():
    """A total that stands still is stuck."""
    events, _ = run(Engine(counting()), totals(200, still=range(100, 160)))
    named = [e.data["kind"] for e in events if e.kind == "condition" and e.subject == "tag/a"]
    assert "stuck" in named


def test_a_total_that_goes_back_runs_backwards():
    """A meter that was replaced by one with another reading: integration."""
    gone = np.where(np.arange(120) == 60, -300.0, 10.0 + np.sin(np.arange(120)))
    engine = Engine(counting())
    events, _ = run(engine, list(enumerate(np.cumsum(gone).tolist())))
    found = [e.data for e in events if e.kind == "condition" and e.subject == "tag/a"]
    assert any(
        one["kind"] == "runs backwards" and one["cause"] == "integration" for one in found
    ), found


# --- texts --------------------------------------------------------------------------------------


def test_texts_say_that_it_is_the_rate():
    """Texts say that it is the rate."""
    item = counting().models[0].baseline.modes[0].inputs[0]
    text = input_text(item, "FQ-1", Fact(small.START, 7.0))
    assert text.startswith("the rate of FQ-1 reads ")
    assert "m3/h" in text


@pytest.mark.parametrize(("part", "cause"), [("setting", "process"), ("command", "process")])
def test_what_is_set_is_never_a_sensor(part, cause):
    """What is set is never a sensor."""
    evidence = Evidence("X", "", "s", frozenset({"stuck"}), loop_part=part, raw=np.zeros(5))
    assert diagnose(evidence).cause == cause


def test_a_plain_tag_is_no_counter():
    """A plain tag is no counter."""
    assert counted(Evidence("X", "", "s", frozenset(), raw=-np.ones(9), trained=(0, 1))) is None


def test_the_configuration_and_the_core_know_the_same_kinds():
    """The configuration and the core know the same kinds."""
    assert set(get_args(Kind)) - {""} == set(KINDS)
