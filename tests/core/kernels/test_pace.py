"""Pace: a sampled tag that arrives more slowly or faster than it did."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.types import Quality
from tests.core.kernels.folding import SECOND, START, detector, fold, params

PACE = detector("pace")
NOMINAL = params(PACE, interval_ns=SECOND)


def at(*steps: tuple[int, float]) -> np.ndarray:
    """Arrival times from (samples, seconds between them)."""
    gaps = np.concatenate([np.full(n, round(each * SECOND)) for n, each in steps])
    return START + np.cumsum(gaps).astype(np.int64)


def flags(arrival: np.ndarray, parameters: np.ndarray = NOMINAL, **more) -> list[tuple[int, int]]:
    return fold(PACE, parameters, np.zeros(len(arrival)), arrival=arrival, **more).flags


def test_golden_slower_and_back():
    """A third of the rate is flagged after four gaps that are alike, and clears after three
    windows of 16.
    """
    assert flags(at((320, 1), (160, 3), (160, 1))) == [(323, 1), (528, 0)]


def test_golden_faster_and_back():
    """Three times the rate likewise, after sixteen; the window that it cuts through is neither."""
    assert flags(at((328, 1), (160, 1 / 3), (160, 1))) == [(343, 1), (528, 0)]


@pytest.mark.parametrize(("each", "after"), [(2, 8), (3, 4), (5, 4), (0.5, 16)])
@pytest.mark.parametrize("first", [1.0, 1.7])
def test_a_known_interval_is_judged_soon(each, after, first):
    """Where a person said it, a dozen gaps on time are enough, whatever the first gap is then."""
    known = params(PACE, interval_ns=SECOND, known=1)
    arrival = at((14, 1), (1, first), (40, each))
    assert [up for _, up in flags(arrival, known)][:1] == [1]
    assert flags(arrival, known)[0][0] <= 14 + 1 + after
    assert flags(arrival) == []  # nobody said so


@pytest.mark.parametrize("kind", ["changes", "at random", "losses", "jitter"])
def test_what_keeps_a_known_interval_badly_is_not_judged(kind):
    """Gaps that are alike now and then, and a tenth of the samples lost."""
    rng = np.random.default_rng(4)
    n = 100_000
    gaps = {
        "changes": rng.choice([1.0, 2.0, 2.0, 3.0, 5.0], n) * rng.uniform(0.97, 1.03, n),
        "at random": rng.exponential(1.0, n), "jitter": rng.normal(1.0, 0.2, n).clip(0.01),
        "losses": rng.geometric(0.9, n) * rng.uniform(0.97, 1.03, n),
    }[kind]
    arrival = START + np.cumsum(gaps * SECOND).astype(np.int64)
    assert flags(arrival, params(PACE, interval_ns=SECOND, known=1)) == []


@pytest.mark.parametrize("each", [0.6, 0.8, 1.0, 1.3, 1.8])
def test_less_than_twice_is_no_change(each):
    """Rates within a factor of two of the nominal one raise nothing."""
    assert flags(at((400, 1), (2000, each))) == []


def test_one_outage_is_not_a_change_of_rate():
    """An hour of silence spoils one window; that is for `missing` to say."""
    assert flags(at((400, 1), (1, 3600), (200, 1), (1, 60), (200, 1))) == []


def test_a_backlog_that_arrives_at_once_is_not_faster():
    """Ten minutes of data delivered in two seconds were sampled as ever."""
    source = at((2000, 1))
    arrival = source.copy()
    late = slice(500, 1100)
    arrival[late] = source[1100] - 2 * SECOND + np.arange(600) * SECOND // 300
    assert flags(arrival, source=source) == []


def test_a_frozen_source_clock_is_not_faster():
    """Time stamps that stand still while samples arrive as ever are for `source_clock`."""
    arrival = at((1000, 1))
    source = arrival.copy()
    source[400:] = source[400]
    assert flags(arrival, source=source) == []


@pytest.mark.parametrize("size", [2, 7, 16, 100])
def test_notifications_of_many_samples_are_no_change(size):
    """Samples that arrive together are counted against the time that they cover."""
    arrival = START + (np.arange(4000) // size * size).astype(np.int64) * SECOND
    assert flags(arrival) == []
    slower = arrival.copy()
    slower[2000:] += 2 * (arrival[2000:] - arrival[2000])
    raised = flags(slower)
    assert [up for _, up in raised] == [1]
    assert 2000 < raised[0][0] <= 2000 + 48 + 3 * size + 16


@pytest.mark.parametrize("each", [0.1, 5.0])
def test_a_tag_that_never_kept_the_interval_is_not_judged(each):
    """An interval that nobody configured can not be left."""
    assert flags(at((3000, each), (3000, 7 * each))) == []


def test_an_irregular_tag_is_not_judged():
    """Changes only, bursts and pauses: the interval is never kept for long."""
    rng = np.random.default_rng(4)
    arrival = START + np.cumsum(rng.pareto(0.8, 20_000) * 0.3 * SECOND + 1000).astype(np.int64)
    assert flags(arrival) == []


def test_replayed_samples_do_not_count():
    """A replay of buffered samples is no rate of arrival."""
    arrival = at((400, 1), (400, 0.01), (200, 1))
    quality = np.zeros(1000, np.uint16)
    assert [up for _, up in flags(arrival)] == [1, 0]
    quality[400:800] = Quality.REPLAYED
    assert flags(arrival, quality=quality) == []


@pytest.mark.parametrize("told", [-(2**63), 0, 2**63 - 1])
def test_hostile_time_stamps_overflow_nothing(told):
    """Time stamps of nonsense raise nothing before the rate has really changed, and no warning."""
    arrival = at((400, 1), (400, 3))
    source = arrival.copy()
    source[::7] = told
    assert all(sample >= 448 and up for sample, up in flags(arrival, source=source))


@settings(max_examples=40, deadline=None)
@given(gaps=st.lists(st.floats(0, 50), min_size=1, max_size=200))
def test_disabled_never_flags(gaps):
    """A tag that reports by exception has no rate."""
    arrival = START + np.cumsum(np.array(gaps) * SECOND).astype(np.int64)
    told = fold(PACE, params(PACE), np.zeros(len(gaps)), arrival=arrival)
    assert told.flags == []
    assert told.state == np.zeros(1, PACE.state).tobytes()


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 639), max_size=8), size=st.integers(1, 9),
    lost=st.integers(0, 639), each=st.sampled_from([0.2, 1.0, 3.0]),
)  # fmt: skip
def test_cutting_blocks_changes_nothing(cuts, size, lost, each):
    """The same flags and state, however the samples are cut, within a notification or not."""
    smooth = at((320, 1), (160, each), (160, 1))
    arrival = smooth[np.arange(640) // size * size]
    quality = np.zeros(640, np.uint16)
    quality[lost] = Quality.COMMUNICATION_LOST
    values = np.zeros(640)
    whole = fold(PACE, NOMINAL, values, arrival=arrival, source=smooth, quality=quality)
    parts = fold(PACE, NOMINAL, values, arrival=arrival, source=smooth, quality=quality, cuts=cuts)
    assert whole == parts
