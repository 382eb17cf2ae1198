"""Source zone: a clock that went by whole quarters of an hour, and what is none."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.kernels import source_zone
from agent.core.spec import TagSpec
from agent.types import Quality
from tests.core.kernels.folding import SECOND, START, detector, fold, params

ZONE = detector("source_zone")
EACH_SECOND = params(ZONE, interval_ns=SECOND)
HOUR = 3600.0


def flags(lag: np.ndarray, parameters: np.ndarray = EACH_SECOND, arrival=None, **more):
    """Flags of samples a second apart with a lag in seconds."""
    if arrival is None:
        arrival = START + np.arange(len(lag)) * SECOND
    source = arrival - np.round(np.asarray(lag) * SECOND).astype(np.int64)
    return fold(ZONE, parameters, np.zeros(len(lag)), arrival=arrival, source=source, **more).flags


@pytest.mark.parametrize("usual", [-7200.0, 0.0, 3.0, 86_400.0])
@pytest.mark.parametrize("off", [-14.0, -1.0, -0.25, 0.5, 1.0, 5.75])
def test_another_zone_is_found_in_five_samples_and_so_is_the_one_before(usual, off):
    """Whatever the lag was; by hours, halves and quarters, ahead and behind."""
    rng = np.random.default_rng(1)
    lag = usual + rng.uniform(0.0, 2.0, 300)
    lag[100:200] += off * HOUR
    assert flags(lag) == [(104, 1), (204, 0)]


@pytest.mark.parametrize("first", [[], [86_400.0], [HOUR, 40.0]])
def test_three_samples_of_a_start_are_enough(first):
    """Also behind a retained message, which is of any time: a model may be trusted by then."""
    lag = np.concatenate([first, np.zeros(3), np.full(60, HOUR)])
    assert flags(lag) == [(len(first) + 3 + 4, 1)]


def test_data_that_fall_behind_or_wait_are_none():
    """A queue that grows past whole quarters; one that is emptied; a lag of any."""
    still = np.zeros(100)
    assert flags(np.concatenate([still, 0.5 * np.arange(8_000)])) == []
    assert flags(np.concatenate([still, np.full(500, 1_000.0), np.full(500, 2_200.0)])) == []
    for rate in (2.0, 10.0, 100.0):
        emptied = np.maximum(HOUR + 100.0 - (rate - 1.0) * np.arange(4_000), 0.0)
        assert flags(np.concatenate([still, emptied])) == [], rate


def test_a_queue_of_just_an_hour_is_told_from_a_clock_as_it_empties():
    """One in 90 begins within 5 s of whole quarters."""
    emptied = np.maximum(HOUR - np.arange(4_000), 0.0)
    (_, up), (sample, down) = flags(np.concatenate([np.zeros(100), emptied]))
    assert (up, down) == (1, 0)
    assert sample < 115


def test_a_backlog_that_comes_at_once_is_none():
    """Samples of an hour ago, all at one instant, and live ones after them."""
    arrival = np.concatenate([np.arange(100), np.full(8, 3_700), 3_701 + np.arange(50)])
    lag = np.concatenate([np.zeros(100), HOUR - np.arange(8) * 0.5, np.zeros(50)])
    assert flags(lag, arrival=START + arrival * SECOND) == []


def test_one_wild_time_stamp_is_none():
    """Nor four of them in a row, nor a clock that was never set."""
    lag = np.zeros(400)
    lag[100], lag[200:204] = HOUR, -HOUR
    lag[300:] = 1.7e9
    assert flags(lag) == []


@pytest.mark.parametrize("bit", [Quality.REPLAYED, Quality.BAD, Quality.MASKED])
def test_what_is_no_news_says_nothing_of_the_clock(bit):
    """Replayed samples are late, and say so."""
    lag = np.zeros(200)
    lag[100:] = HOUR
    quality = np.zeros(200, np.uint16)
    quality[100:] = int(bit)
    assert flags(lag, quality=quality) == []


def test_what_is_told_seldom_is_not_judged():
    """It is collected every quarter of an hour, perhaps; and a label's time is its sample's."""
    tags = [
        TagSpec(1, "a", "s", interval_ns=SECOND), TagSpec(2, "b", "s", interval_ns=100 * SECOND),
        TagSpec(3, "c", "s", role="label"),
    ]
    assert [source_zone.of_tag(tag)["interval_ns"] for tag in tags] == [SECOND, 0, 0]
    lag = np.zeros(300)
    lag[100:] = HOUR
    assert flags(lag, params(ZONE, interval_ns=0)) == []
