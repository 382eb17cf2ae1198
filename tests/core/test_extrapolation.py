"""Facts: outside the trained range, scan by scan; at least caution, never an alarm."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.engine import Engine
from agent.core.extrapolation import limits
from agent.core.kernels import extrapolating as kernel
from agent.core.kernels.base import TRANSITION
from tests.core import small
from tests.core.small import SECOND, START


def fold(values, *, low=-1.0, high=1.0, cuts=(), known=None):
    """(index, up, value) of each flag of one row, the counts, after folding it in parts."""
    z = np.asarray(values, np.float64)[:, None]
    usable = np.ones(z.shape, np.uint8) if known is None else np.asarray(known, np.uint8)[:, None]
    params, state = np.array([(low, high)], kernel.PARAMS), np.zeros(1, kernel.STATE)
    counts, times = np.zeros(1, kernel.COUNTS), np.arange(len(z), dtype=np.int64)
    told = []
    edges = [0, *sorted(cuts), len(z)]
    for a, b in pairwise(edges):
        out = np.zeros(max(b - a, 1), TRANSITION)
        n = kernel.fold(params, state, counts, times[a:b], np.ascontiguousarray(z[a:b]),
                        np.ascontiguousarray(usable[a:b]), out)
        told += [(int(o["time_ns"]), bool(o["up"]), float(o["score"])) for o in out[:n]]
    return told, counts[0]


def test_it_holds_at_once_and_is_over_with_the_third_scan_inside():
    """Two scans inside between two outside change nothing."""
    told, counts = fold([0, 1.5, 0, 0, 1.2, 0, 0, 0, 0])
    assert told == [(1, True, 1.5), (7, False, 0.0)]
    assert (counts["scans"], counts["extrapolating"]) == (9, 2)


def test_what_goes_on_outwards_is_told_each_time_it_is_twice_as_far():
    """The text is never far behind, and a ramp tells a bounded number of times."""
    told, _ = fold(1.0 + np.arange(1, 1000) / 128.0)
    assert [time for time, _, _ in told] == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511]


def test_the_other_side_is_told():
    """Above and below are different things to a person."""
    told, _ = fold([2.0, -2.0])
    assert told == [(0, True, 2.0), (1, True, -2.0)]


def test_what_is_not_usable_neither_begins_nor_ends_it():
    """Nor is it counted."""
    told, counts = fold([5, 1.5, 0, 0, 0, 0, 0, 0], known=[0, 1, 0, 0, 0, 1, 1, 1])
    assert told == [(1, True, 1.5), (7, False, 0.0)]
    assert counts["scans"] == 4


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-3, 3), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_cutting_changes_nothing_and_every_scan_outside_holds(values, cuts):
    """However the scans come: it holds at each one outside, and at none after three inside."""
    cuts = [min(cut, len(values)) for cut in cuts]
    told, counts = fold(values)
    again, counts_again = fold(values, cuts=cuts)
    assert told == again
    assert counts == counts_again
    state, holds = False, []
    events = {time: up for time, up, _ in told}
    for k in range(len(values)):
        state = events.get(k, state)
        holds.append(state)
    for k, value in enumerate(values):
        if not -1.0 <= value <= 1.0:
            assert holds[k]
        if k >= 2 and all(-1.0 <= v <= 1.0 for v in values[k - 2 : k + 1]):
            assert not holds[k]


@pytest.mark.parametrize(
    ("trained", "resolution", "expected"),
    [
        ((0.0, 100.0), 0.1, (-0.1, 100.1)),
        ((0.0, 10.0), 1.0, (-0.1, 10.1)),
        ((5.0, 5.0), 0.0, (5.0, 5.0)),
    ],
)
def test_the_resolution_belongs_to_the_range_unless_it_is_coarse(trained, resolution, expected):
    """Reading one step more is no news for a fine instrument; for one of whole units it is."""
    item = small.input_baseline("a")
    object.__setattr__(item, "trained", trained)
    object.__setattr__(item, "resolution", resolution)
    assert limits(item) == pytest.approx(expected, abs=1e-6)


def run(rows):
    """(engine, its outcomes) of a small engine that was fed a row a second: float64[n, 3]."""
    engine = Engine(small.spec())
    return engine, [
        engine.step(small.block(row[None, :], start=number, sequence=number + 1))
        for number, row in enumerate(rows)
    ]


def test_an_input_outside_its_range_makes_caution_with_figures_and_no_condition():
    """The text says value, range, how far and since when; nothing is raised."""
    rows = np.zeros((60, 3))
    rows += np.random.default_rng(1).normal(0, 0.5, rows.shape)
    rows[30:33, 1] = 4.8  # trained: -4 to 4; alarm limits lie farther out
    engine, outcomes = run(rows)
    events = [event for outcome in outcomes for event in outcome.events]
    verdicts = [event for event in events if event.kind == "verdict"]
    during = next(e for e in verdicts if e.data["verdict"] == "caution")
    (reason,) = during.data["reasons"]
    assert reason["tag"] == "b"
    assert reason["kind"] == "extrapolating"
    assert reason["condition"] == ""
    assert "b reads 4.8 degC, above its trained range of -4 to 4 degC by 10 % of its width" in (
        reason["text"]
    )
    assert 0 <= during.time_ns - (START + 30 * SECOND) <= SECOND
    back = verdicts[-1]
    assert back.data["verdict"] == "trusted"
    assert back.time_ns - (START + 33 * SECOND) <= 3 * SECOND
    assert not [event for event in events if event.kind == "condition"]
    assert engine.judge.verdicts["m"].verdict == "trusted"


def test_a_snapshot_keeps_what_holds_and_since_when():
    """A restart does not make it younger."""
    rows = np.zeros((40, 3)) + np.random.default_rng(1).normal(0, 0.5, (40, 3))
    rows[30:, 1] = 4.8
    engine, _ = run(rows)
    other = Engine(small.spec())
    other.resume(engine.snapshot())
    assert other.snapshot() == engine.snapshot()
    text = other.judge.verdicts["m"].reasons[0].text
    assert text == engine.judge.verdicts["m"].reasons[0].text


def test_a_window_counts_the_scans_outside():
    """Share of time extrapolating, per input, exact."""
    rows = np.zeros((130, 3)) + np.random.default_rng(1).normal(0, 0.5, (130, 3))
    rows[70:80, 1] = 4.8
    _, outcomes = run(rows)
    summaries = [one for outcome in outcomes for one in outcome.summaries]
    of_b = [one for one in summaries if one["tag"] == "b"]
    assert sum(one["extrapolating"] for one in of_b) == 10
    assert all(0 <= one["extrapolating"] <= one["scans"] <= 61 for one in of_b)
    assert not any(one["extrapolating"] for one in summaries if one["tag"] != "b")
