"""Late data: what arrives with a growing lag behind its own time stamp."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.types import Quality
from tests.core.kernels.folding import SECOND, START, detector, fold, params

LATE = detector("late")
TEN = params(LATE, limit_ns=10 * SECOND)


def flags(lag: np.ndarray, parameters: np.ndarray = TEN, each: float = 1.0, **more):
    """Flags of samples `each` s apart with a lag in seconds."""
    arrival = START + (np.arange(len(lag)) * each * SECOND).astype(np.int64)
    source = arrival - np.round(np.asarray(lag) * SECOND).astype(np.int64)
    return fold(LATE, parameters, np.zeros(len(lag)), arrival=arrival, source=source, **more).flags


def test_golden():
    """The third sample in a row more than 10 s above usual raises it; as many clear it."""
    lag = np.concatenate([np.full(100, 2.0), np.full(50, 13.0), np.full(50, 2.0)])
    assert flags(lag) == [(102, 1), (152, 0)]


def test_two_in_a_row_are_not_enough():
    """A late sample now and then is none; nor is a lag within the limit."""
    burst = np.tile(np.concatenate([np.full(2, 60.0), np.zeros(1)]), 20)
    assert flags(np.concatenate([np.zeros(100), burst])) == []
    assert flags(np.concatenate([np.zeros(100), np.full(500, 9.9)])) == []


@pytest.mark.parametrize("usual", [-7200.0, 0.0, 3.0, 86_400.0])
def test_what_is_usual_is_learnt(usual):
    """A clock that was always wrong, either way, is no lag; leaving it by 20 s is."""
    lag = usual + np.concatenate([np.zeros(300), np.full(100, 20.0)])
    assert flags(lag) == [(302, 1)]


def test_a_backlog_at_the_start_is_forgotten():
    """Learnt among late data, it finds its way down and then sees late data again."""
    lag = np.concatenate([np.full(64, 600.0), np.zeros(1000), np.full(50, 30.0)])
    assert flags(lag) == [(1064 + 2, 1)]


def test_a_clock_that_loses_seconds_a_day_is_no_fault():
    """50 parts in a million for three weeks are 90 s in all, and nothing is raised."""
    assert flags(np.arange(1_800_000) * 5e-5) == []


def test_data_that_fall_behind_are_found():
    """A queue that grows by 5 % of the time is named while it grows, within a few minutes."""
    lag = np.concatenate([np.zeros(200), 0.05 * np.arange(2000)])
    (sample, up), *more = flags(lag)
    assert (up, more) == (1, [])
    assert 200 + 200 < sample < 200 + 300


@pytest.mark.parametrize(
    "bit", [Quality.REPLAYED, Quality.BAD, Quality.COMMUNICATION_LOST, Quality.NOT_A_NUMBER]
)
def test_replayed_and_bad_samples_do_not_count(bit):
    """A replay is late and says so."""
    lag = np.concatenate([np.zeros(100), np.full(100, 500.0), np.zeros(100)])
    quality = np.zeros(300, np.uint16)
    quality[100:200] = bit
    assert flags(lag, quality=quality) == []


@pytest.mark.parametrize("told", [-(2**63), 0, 2**63 - 1])
def test_hostile_time_stamps_overflow_nothing(told):
    """A single time stamp of nonsense raises nothing and does not move what is usual for long."""
    arrival = START + np.arange(3000, dtype=np.int64) * SECOND
    source = arrival.copy()
    source[500] = told
    source[2900:] -= 30 * SECOND
    found = fold(LATE, TEN, np.zeros(3000), arrival=arrival, source=source).flags
    assert (2902, 1) in found
    assert all(up == 1 or sample > 2902 for sample, up in found[-1:])


@settings(max_examples=40, deadline=None)
@given(lag=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_disabled_never_flags(lag):
    """A label's time is when it was sampled: not judged, and no state is kept."""
    lag = np.array(lag)
    arrival = START + np.arange(len(lag), dtype=np.int64) * SECOND
    source = arrival - (lag * SECOND).astype(np.int64)
    told = fold(LATE, params(LATE), np.zeros(len(lag)), arrival=arrival, source=source)
    assert told.flags == []
    assert told.state == np.zeros(1, LATE.state).tobytes()


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 299), max_size=8), seed=st.integers(0, 99),
    bad=st.integers(0, 299),
)  # fmt: skip
def test_cutting_blocks_changes_nothing(cuts, seed, bad):
    """The same flags and state bytes, however the samples are cut."""
    rng = np.random.default_rng(seed)
    arrival = START + np.arange(300, dtype=np.int64) * SECOND
    lag = np.repeat(rng.choice([0.0, 5.0, 40.0], 6), 50) + rng.random(300)
    source = arrival - (lag * SECOND).astype(np.int64)
    quality = np.zeros(300, np.uint16)
    quality[bad] = Quality.REPLAYED
    whole = fold(LATE, TEN, lag, arrival=arrival, source=source, quality=quality)
    parts = fold(LATE, TEN, lag, arrival=arrival, source=source, quality=quality, cuts=cuts)
    assert whole == parts
