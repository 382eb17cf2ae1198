"""Limits of `step`: what they promise on records of minutes, and what they find."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.delays import FLAG_HOLD
from agent.core.kernels import DETECTORS
from agent.core.kernels.base import TRANSITION
from agent.fit import step as fitting
from agent.fit.record import read_record
from agent.fit.step import CHARTS, fit_step
from tests.fit.streams import KINDS, SECOND, ar1, dips

ARL = 1e5
GAP = 2 * SECOND
RECORDS = 48  # the rate is a mean over them: of one unlucky record of minutes it may be fifty times
STEPLESS = ("white", "AR(1) 0.5", "AR(1) 0.9", "t6", "whole units")
LONG = (*STEPLESS, "AR(1) 0.98", "dips")


def flags(params: dict[str, float], z: np.ndarray) -> int:
    """How often the chart's flag is raised over a stream at a value a second."""
    (one,) = (d for d in DETECTORS if d.name == "step")
    row = np.zeros(1, one.params)
    for name, value in params.items():
        row[0][name] = value
    n = len(z)
    times = np.arange(1, n + 1, dtype=np.int64) * SECOND
    out = np.zeros(n + 2, TRANSITION)
    written = one.fold(
        row, np.zeros(1, one.state), np.array([0, n], np.int64), int(times[-1]) + 1, times, times,
        np.ascontiguousarray(z), np.zeros(n, np.uint16), out,
    )  # fmt: skip
    return int((out[:written]["up"] == 1).sum())


@pytest.mark.parametrize("rows", [400, 2000])
@pytest.mark.parametrize("kind", STEPLESS)
def test_a_short_record_keeps_the_run_length(kind, rows):
    """At most 3 times the rate that was promised, over records; provisional ones are, at 400."""
    length, raised = 60_000, 0
    for seed in range(RECORDS):
        record = read_record(KINDS[kind](rows, seed), "x")
        params = fit_step(record, ARL, GAP, FLAG_HOLD)
        assert params is not None
        stream = KINDS[kind](length, 1000 + seed)
        raised += flags(params, (stream - record.centre) / record.scale)
    assert raised <= 3 * RECORDS * length / ARL


def test_minutes_are_enough_to_see_a_step_of_two_and_a_half_deviations():
    """After 400 samples of record, at one false alarm in 100,000."""
    found = 0
    for seed in range(RECORDS):
        stream = ar1(0.0, 500, seed)
        params = fit_step(read_record(stream[:400], "x"), ARL, GAP, FLAG_HOLD)
        assert params is not None
        stream[420:] += 2.5
        found += flags(params, stream) > 0
    assert found >= 0.8 * RECORDS


@pytest.mark.parametrize("chart", [chart for chart in CHARTS if chart[1] > 1])
@pytest.mark.parametrize("kind", LONG)
def test_groups_of_blocks_keep_the_run_length(kind, chart, monkeypatch):
    """At most 3 times the rate that was promised, over records of an hour and more."""
    monkeypatch.setattr(fitting, "CHARTS", (chart,))
    length, raised = 60_000, 0
    for seed in range(RECORDS):
        record = read_record(KINDS[kind](6000, seed), "x")
        params = fit_step(record, ARL, GAP, FLAG_HOLD)
        assert params is not None
        assert (params["block"], params["sides"]) == chart
        stream = KINDS[kind](length, 1000 + seed)
        raised += flags(params, (stream - record.centre) / record.scale)
    assert raised <= 3 * RECORDS * length / ARL


@pytest.mark.parametrize(("charts", "least", "most"), [(CHARTS, 0.75, 1.0), (CHARTS[:4], 0.0, 0.2)])
def test_what_comes_and_goes_in_the_record_hides_no_step_that_lasts(
    charts, least, most, monkeypatch
):
    """A step of 3 deviations after a record with dips: groups of blocks see it, single ones not."""
    monkeypatch.setattr(fitting, "CHARTS", charts)
    found = 0
    for seed in range(RECORDS):
        record = read_record(dips(6000, seed), "x")
        params = fit_step(record, 1e6, GAP, FLAG_HOLD)
        assert params is not None
        stream = (dips(1000, 1000 + seed) - record.centre) / record.scale
        stream[580:] += 3.0
        found += flags(params, stream) > 0
    assert least * RECORDS <= found <= most * RECORDS


def telegraph(n: int, seed: int, mean: float, every: float) -> np.ndarray:
    """One level, and stretches at others of exponential length."""
    rng = np.random.default_rng(seed)
    values, at = np.full(n, 20.0), int(rng.exponential(every))
    while at < n:
        stays = 1 + int(rng.exponential(mean))
        values[at : at + stays] += rng.choice([-1.0, 1.0, 2.0])
        at += stays + int(rng.exponential(every))
    return values


def test_stretches_that_may_last_longer_are_no_step_of_any_size():
    """Where groups never came apart in the record, that tells nothing of how long a stretch lasts:
    the limit is a step's size, and no less than what groups shorter by a block came apart by.
    """
    raised = 0
    for seed in range(12):
        record = read_record(telegraph(8000, seed, 10.0, 200.0), "x")
        params = fit_step(record, 1e6, GAP, FLAG_HOLD)
        assert params is not None
        if params["sides"] > 1:
            assert params["limit"] >= fitting.ENOUGH
        stream = (telegraph(100_000, 1000 + seed, 10.0, 200.0) - record.centre) / record.scale
        raised += flags(params, stream)
    assert raised <= 15


@pytest.mark.parametrize(("mean", "every", "seed"), [(20.0, 100.0, 4), (40.0, 400.0, 0)])
def test_a_move_as_large_as_the_records_largest_is_no_step(mean, every, seed):
    """Equal moves of fixed levels, for all the rounding of the kernel's means."""
    record = read_record(telegraph(8000, seed, mean, every), "x")
    params = fit_step(record, 1e6, GAP, FLAG_HOLD)
    assert params is not None
    stream = (telegraph(100_000, 1000 + seed, mean, every) - record.centre) / record.scale
    assert flags(params, stream) <= 5
