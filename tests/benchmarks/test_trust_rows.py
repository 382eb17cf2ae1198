"""The benchmark of trust end to end on a small record of its own: `init`, `fit`, the engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "trust"))

import _injected
import _real
from _faults import KINDS
from _records import Record, add_loops, fitted
from _score import OUTCOMES

TRUST = Path(__file__).parents[2] / "benchmarks" / "trust"
ROWS, LEFT = 4000, 3500


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    """Two inputs that follow each other; at the end one leaves its trained range and comes back."""
    folder = tmp_path_factory.mktemp("trust")
    rng = np.random.default_rng(5)
    common = np.convolve(rng.normal(size=ROWS + 9), np.ones(10) / 10, "valid")
    values = 50.0 + common[:, None] + 0.1 * rng.normal(size=(ROWS, 2))
    values[LEFT : LEFT + 60, 1] += 20.0
    start = np.datetime64("2026-01-01T00:00:00")
    lines = [
        f"{start + np.timedelta64(i, 's')}Z,{a:.4f},{b:.4f}" for i, (a, b) in enumerate(values)
    ]
    (folder / "small.csv").write_text("\n".join(["time,a,b", *lines]) + "\n", encoding="utf-8")
    return fitted(Record("small", "small.csv"), folder, folder / "work")


def test_the_real_row_sees_what_left_the_trained_range(fit):
    """60 of 1,600 scans are beyond, by the benchmark's own count, whatever the agent says."""
    row = _real.real(fit)
    assert (row["training_rows"], row["rows"]) == (2400, 1600)
    assert row["beyond_percent"] == pytest.approx(100.0 * 60 / 1600, abs=0.5)
    assert row["beyond_at_least_caution_percent"] > 50.0
    assert row["incidents"] >= 1
    assert row["promised"] < 0.01
    assert not _real.reached(row)
    assert json.dumps(_real.summary([row]), allow_nan=False)


def test_every_kind_is_injected_once_at_a_place_and_the_seed_decides_where(fit):
    """The same seed gives the same runs; each has one of the outcomes."""
    first = _injected.runs_at(fit, 0, 1)
    assert [run.kind for run in first] == [kind.name for kind in KINDS]
    assert {run.outcome for run in first} <= set(OUTCOMES)
    again = _injected.runs_at(fit, 0, 1)
    told = [(run.tag, run.onset_row, run.outcome, run.delay, run.names) for run in first]
    assert told == [(run.tag, run.onset_row, run.outcome, run.delay, run.names) for run in again]
    assert _injected.summaries(first)[-1]["runs"] == len(KINDS)


def test_a_window_has_no_hole_of_the_records_own():
    """Windows that span a gap in time are left out where there are others."""
    times = np.concatenate([np.arange(500), np.arange(600, 600 + _injected.WINDOW + 5)])
    begins = _injected.starts(times.astype(np.int64), 1)
    assert begins.tolist() == [500, 501, 502, 503, 504, 505]
    short = np.concatenate([np.arange(10), np.arange(50, 60)]).astype(np.int64)
    assert _injected.starts(short, 1).tolist() == [0]


def test_a_fit_is_made_once(fit):
    """The same record in the same folder is not fitted again; loops are not written twice."""
    stamp = (fit.folder / "done.json").stat().st_mtime_ns
    assert fitted(fit.record, fit.folder.parent.parent, fit.folder.parent) == fit
    assert (fit.folder / "done.json").stat().st_mtime_ns == stamp
    assert not add_loops(fit.config, fit.folder / "no such file.json")


def test_data_that_is_not_there_is_said(tmp_path):
    """Without the shared data every row says so, and none is made up."""
    done = subprocess.run(
        [sys.executable, str(TRUST / "run.py"), "--data", str(tmp_path), "--cases", str(tmp_path)],
        check=True, capture_output=True, text=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows
    assert all(row["skipped"] and row["reached"] is None for row in rows)
    assert {row["row"] for row in rows} == {"real", "closed_loop", "tep", "files"}
