"""Summaries: exact and additive, in any order, to the bit; other baselines never mix."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.engine import Engine
from agent.core.kernels import tally
from agent.core.seen import UNITS_PER_SD, Seen
from agent.core.summary import mean_and_sd, merge, summary_of
from agent.errors import FieldwardenError
from tests.core import small
from tests.core.small import SECOND, START, block, normal, tick

EDGES = np.full((1, tally.BINS - 1), np.inf)
EDGES[0, :5] = (-2.0, -1.0, 0.0, 1.0, 2.0)


def window(values, *, start=0, end=600, baseline="b", centre=10.0, scale=2.0, offered=None):
    """The summary of standardised values."""
    z = np.asarray(values, np.float64)
    counts = np.zeros(1, tally.COUNTS)
    histogram = np.zeros((1, tally.BINS), np.int64)
    tally.tally(counts, histogram, EDGES, np.array([0, len(z)], np.int64), z)
    counts["count"] = len(z) if offered is None else offered
    seen = Seen(len(z), int((np.abs(z) > 4.0).sum()), int((np.abs(z) > 3.0).sum()))
    return summary_of(
        "m", "t", baseline, centre, scale, start, end, counts[0], histogram[0], seen
    )


standard = st.floats(-5, 5) | st.sampled_from([0.0, 1e9, -1e9, 1e-9])
windows = st.lists(st.lists(standard, max_size=20), min_size=2, max_size=5)


@settings(max_examples=100, deadline=None)
@given(parts=windows, data=st.data())
def test_merging_is_commutative_associative_and_the_summary_of_the_joined_window(parts, data):
    """Windows add in any order and grouping to what one window over all samples would say."""
    ends = np.cumsum([600] * len(parts)).tolist()
    made = [
        window(part, start=end - 600, end=end) for part, end in zip(parts, ends, strict=True)
    ]
    whole = window([value for part in parts for value in part], start=0, end=ends[-1])
    left = made
    while len(left) > 1:
        i = data.draw(st.integers(0, len(left) - 1))
        one = left[i]
        rest = left[:i] + left[i + 1 :]
        j = data.draw(st.integers(0, len(rest) - 1))
        left = [merge(one, rest[j]), *rest[:j], *rest[j + 1 :]]
    assert json.dumps(left[0], sort_keys=True) == json.dumps(whole, sort_keys=True)


@given(st.lists(standard, min_size=1, max_size=40))
def test_bins_count_every_good_sample_once(values):
    """The histogram adds up to what was good, each value in the bin that holds it."""
    made = window(values)
    assert sum(made["histogram"]) == made["good"] == len(values)
    for (low, high), count in zip(
        pairwise([-np.inf, -2.0, -1.0, 0.0, 1.0, 2.0, np.inf]), made["histogram"], strict=False
    ):
        assert count == sum(low < value <= high for value in values)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=60))
def test_mean_and_deviation_come_back_in_the_tags_unit(values):
    """Within the fixed scale's resolution of 1/1024 standard deviation."""
    mean, deviation = mean_and_sd(window(values))
    z = np.array(values)
    assert mean == pytest.approx(10.0 + 2.0 * z.mean(), abs=2.0 / 1024)
    assert deviation == pytest.approx(2.0 * z.std(), abs=0.2)


def test_a_window_without_a_good_sample_has_no_mean():
    """Only bad samples: counted, but neither least nor greatest nor mean."""
    made = window([], offered=7)
    assert (made["count"], made["good"], made["min"], made["max"]) == (7, 0, None, None)
    assert np.isnan(mean_and_sd(made)).all()
    both = merge(made, window([1.0, -1.0]))
    assert (both["count"], both["good"]) == (9, 2)
    assert (both["min"], both["max"]) == (-1024, 1024)


@pytest.mark.parametrize(
    ("key", "value"),
    [("baseline", "c"), ("model", "n"), ("tag", "u"), ("centre", 11.0), ("scale", 3.0)],
)
def test_what_means_different_things_refuses_to_merge(key, value):
    """Another baseline, model, tag or scale is an error that names both."""
    one = window([1.0])
    with pytest.raises(FieldwardenError, match=key):
        merge(one, {**one, key: value})


def test_a_summary_says_of_what_it_is_also_beside_one_that_does_not():
    """Of a counter it is of the rate, per hour; windows of an earlier version say neither."""
    made = {**window([1.0]), "unit": "m3/h", "per_hour": True}
    old = {key: value for key, value in window([2.0]).items() if key not in {"unit", "per_hour"}}
    for both in (merge(made, old), merge(old, made)):
        assert (both["unit"], both["per_hour"]) == ("m3/h", True)


def test_extremes_saturate_and_stay_exact():
    """A wild value is clipped in the sums, so that a million of them still fit an integer."""
    made = window([1e9] * 1000)
    assert made["sum"] == 1000 * 1024 * 1024
    assert made["sum_sq"] == 1000 * (1024 * 1024) ** 2
    assert made["sum_sq"] * 1000 < 2**63


def test_windows_of_the_engine_lie_on_the_clocks_grid():
    """Windows start and end at whole multiples of their length, whenever the agent started."""
    engine = Engine(small.spec(summary_ns=45 * SECOND))
    made = [*engine.step(block(normal(200))).summaries, *engine.step(tick(260, 2)).summaries]
    own = [summary for summary in made if summary["tag"] == "a"]
    assert all(summary["end_ns"] % (45 * SECOND) == 0 for summary in own)
    assert all(s["end_ns"] - s["start_ns"] == 45 * SECOND for s in own)
    assert all(x["end_ns"] == y["start_ns"] for x, y in pairwise(own))
    assert sum(summary["count"] for summary in own) == 200
    assert own[0]["start_ns"] <= START


def test_a_year_of_silence_makes_no_empty_windows():
    """After a gap the next window is the one that holds the next sample, and it comes at once."""
    engine = Engine(small.spec(by_exception=False))
    first = engine.step(block(normal(10)))
    year = 365 * 86_400
    late = small.samples([(year + 0.0, "a", 1.0, 0)], sequence=2, sealed=year + 100)
    made = [*first.summaries, *engine.step(late).summaries]
    assert [(s["tag"], s["count"]) for s in made] == [("a", 10), ("b", 10), ("c", 10), ("a", 1)]
    assert made[-1]["start_ns"] <= START + year * SECOND < made[-1]["end_ns"]


def test_the_units_of_sums_are_those_of_the_kernel_that_counts_them():
    """They stand apart so that whoever reads summaries need not load kernels."""
    assert UNITS_PER_SD == tally.UNITS_PER_SD
