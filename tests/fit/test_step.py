"""Limits of `step`: what they promise on records of minutes, and what they find."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.kernels import DETECTORS
from agent.core.kernels.base import TRANSITION
from agent.fit.record import read_record
from agent.fit.step import fit_step
from tests.fit.streams import SECOND, ar1

ARL = 1e5
GAP = 2 * SECOND
RECORDS = 48  # the rate is a mean over them: of one unlucky record of minutes it may be fifty times
STREAMS = {
    "white": lambda n, seed: ar1(0.0, n, seed),
    "AR(1) 0.5": lambda n, seed: ar1(0.5, n, seed),
    "AR(1) 0.9": lambda n, seed: ar1(0.9, n, seed),
    "t6": lambda n, seed: np.random.default_rng(seed).standard_t(6, n),
    "whole units": lambda n, seed: np.round(0.5 * np.random.default_rng(seed).standard_normal(n)),
}


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
@pytest.mark.parametrize("kind", STREAMS)
def test_a_short_record_keeps_the_run_length(kind, rows):
    """At most 3 times the rate that was promised, over records; provisional ones are, at 400."""
    length, raised = 60_000, 0
    for seed in range(RECORDS):
        record = read_record(STREAMS[kind](rows, seed), "x")
        params = fit_step(record, ARL, GAP)
        assert params is not None
        stream = STREAMS[kind](length, 1000 + seed)
        raised += flags(params, (stream - record.centre) / record.scale)
    assert raised <= 3 * RECORDS * length / ARL


def test_minutes_are_enough_to_see_a_step_of_two_and_a_half_deviations():
    """After 400 samples of record, at one false alarm in 100,000."""
    found = 0
    for seed in range(RECORDS):
        stream = ar1(0.0, 500, seed)
        params = fit_step(read_record(stream[:400], "x"), ARL, GAP)
        assert params is not None
        stream[420:] += 2.5
        found += flags(params, stream) > 0
    assert found >= 0.8 * RECORDS
