"""The joint kernel: T2, SPE, smoothed SPE and sudden change, folded scan by scan."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.kernels import JOINT_CHARTS
from agent.core.kernels.base import TRANSITION
from agent.core.kernels.joint import (
    CHARTS,
    CLEAR,
    PARAMS,
    SLOWER,
    STATE,
    fold_joint,
    paces,
    statistics,
)

D, COMPONENTS = 7, 3
SECOND = 1_000_000_000


class Joint:
    """One model's arrays, as the engine holds them."""

    def __init__(self, *, lags: int = 0, limit: tuple[float, ...] = (12.0, 14.0, 1.0, 7.0)) -> None:
        rng = np.random.default_rng(3)
        p = D * (lags + 1)
        self.loadings = rng.standard_normal((p, p)) / np.sqrt(p)
        self.offset = rng.standard_normal(p) / 10.0
        self.params = np.zeros(1, PARAMS)
        self.params[0]["components"] = COMPONENTS
        self.params[0]["lags"] = lags
        self.params[0]["gap_ns"] = 3 * SECOND // 2
        self.adjusted = rng.standard_normal((p, D)) / np.sqrt(p)
        self.middle = rng.standard_normal(D) / 10.0
        self.fast = np.array([0.1, 0.2, 0.4, 0.2, 0.1, 0.2, 0.4])
        self.weight = np.array([0.4, 0.5, 0.6, 0.0, 0.3, 0.5, 0.4])
        self.params[0]["forget_ns"] = 40 * SECOND
        self.params[0]["alpha"] = 0.2
        self.params[0]["cap"] = 28.0
        self.params[0]["limit"] = limit
        self.state = np.zeros(1, STATE)
        self.ring = np.zeros((lags + 1, D))
        self.levels = np.zeros((2, D))
        self.work = np.zeros((3, p))
        self.apart = np.zeros((1 << 12, D))

    def fold(
        self, scans: np.ndarray, good: np.ndarray | None = None, times: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        m = len(scans)
        out, scores = np.zeros(4 * m, TRANSITION), np.zeros((m, 4))
        written = fold_joint(
            self.params, self.loadings, self.offset, self.adjusted, self.middle,
            paces(self.fast, self.weight), self.weight, self.state, self.ring, self.levels,
            self.work,
            np.arange(m) * SECOND if times is None else times,
            np.ascontiguousarray(scans), np.ones(m, np.uint8) if good is None else good,
            out, scores, self.apart[:m],
        )  # fmt: skip
        return out[:written], scores

    def bytes(self) -> bytes:
        return self.state.tobytes() + self.ring.tobytes() + self.levels.tobytes()


def scans_with_fault(m: int = 300) -> np.ndarray:
    scans = np.random.default_rng(1).standard_normal((m, D))
    scans[150:200] += 6.0
    return scans


def test_statistics_are_those_of_the_definition() -> None:
    """T2 and SPE are the sums of squares of the first and of the other scores."""
    joint, scans = Joint(), scans_with_fault()
    _, scores = joint.fold(scans)
    projected = scans @ joint.loadings - joint.offset
    limit = joint.params[0]["limit"]
    np.testing.assert_allclose(
        scores[:, 0], (projected[:, :COMPONENTS] ** 2).sum(axis=1) / limit[0], rtol=1e-12
    )
    np.testing.assert_allclose(
        scores[:, 1], (projected[:, COMPONENTS:] ** 2).sum(axis=1) / limit[1], rtol=1e-12
    )


def test_what_fit_calibrates_is_what_service_computes() -> None:
    """`statistics`, which limits come from, gives the bits of `fold_joint`."""
    joint, scans = Joint(), scans_with_fault()
    found = np.empty((len(scans), 2))
    statistics(joint.loadings, joint.offset, COMPONENTS, scans, found)
    _, scores = joint.fold(scans)
    assert (found / joint.params[0]["limit"][:2] == scores[:, :2]).all()


def test_smoothed_spe_follows_its_recursion_and_is_capped() -> None:
    """e += alpha (min(SPE, cap) - e): an enormous scan clears in bounded time."""
    joint = Joint()
    scans = scans_with_fault()
    scans[100] = 1e9
    _, scores = joint.fold(scans)
    limit, level = joint.params[0]["limit"], 0.0
    for t in range(len(scans)):
        level += 0.2 * (min(scores[t, 1] * limit[1], 28.0) - level)
        assert scores[t, 3] * limit[3] == pytest.approx(level, rel=1e-9)
    assert scores[100, 0] > 1e15
    assert scores[149, 3] < 1.0


def test_change_is_the_largest_difference_of_two_means() -> None:
    """Plain means at first, then exponential ones; an input without a weight does not count."""
    joint, scans = Joint(), scans_with_fault() * 0.3
    _, scores = joint.fold(scans)
    values = scans @ joint.adjusted - joint.middle
    f, g = values[0].copy(), values[0].copy()
    for t in range(1, len(scans)):
        f += np.maximum(joint.fast, 1.0 / (t + 1)) * (values[t] - f)
        g += np.maximum(joint.fast / SLOWER, 1.0 / (t + 1)) * (values[t] - g)
        assert scores[t, 2] == pytest.approx(float((np.abs(f - g) * joint.weight).max()), rel=1e-9)
    assert scores[:, 2].max() > 0.5


@pytest.mark.parametrize("size", [10.0, 1e9, 1e308])
def test_one_wild_scan_raises_no_smoothed_chart(size: float) -> None:
    """However far it is: T2 and SPE see it, the charts on which scans must agree do not."""
    scans = np.random.default_rng(2).standard_normal((200, D)) * 0.1
    scans[100] = size
    joint = Joint()
    out, scores = joint.fold(scans)
    raised = {CHARTS[row] for row in out["row"][out["up"] == 1]}
    assert raised <= {"t2", "spe"}
    assert "t2" in raised or size == 10.0
    assert not raised & {c.name for c in JOINT_CHARTS if c.traits.on_delay_agreed}
    assert np.isfinite(joint.levels).all()
    scans[101:110] = size
    _, scores = Joint().fold(scans)
    assert (scores[109, 2:] > 1.0).all()


def test_change_forgets_over_a_long_gap() -> None:
    """The plant stands elsewhere an hour later: no sudden change; a short gap is no excuse."""
    scans = np.random.default_rng(2).standard_normal((200, D)) * 0.1
    scans[100:] += 4.0
    for gap, seen in ((3600, False), (20, True)):
        times = np.arange(200) * SECOND
        times[100:] += gap * SECOND
        out, _ = Joint().fold(scans, times=times)
        assert (CHARTS.index("change") in out["row"][out["up"] == 1]) == seen


def test_a_fault_raises_and_clears_once_a_chart() -> None:
    """Each chart's flag goes up in the fault and down after it; score and time are the scan's.

    The chart of sudden change goes up at its begin and at its end.
    """
    joint = Joint(limit=(40.0, 45.0, 1.0, 25.0))
    joint.params[0]["cap"] = 100.0
    scans = np.random.default_rng(1).standard_normal((300, D)) * 0.3
    scans[150:200] += 6.0
    out, scores = joint.fold(scans)
    assert sorted(out["row"][out["up"] == 1].tolist()) == [0, 1, 2, 2, 3]
    back = out[out["row"] == CHARTS.index("change")]
    assert [time // SECOND // 50 for time in back["time_ns"][back["up"] == 1]] == [3, 4]
    for chart in (0, 1, 3):
        up, down = out[out["row"] == chart]
        assert (up["up"], down["up"]) == (1, 0)
        assert 150 * SECOND <= up["time_ns"] < 160 * SECOND
        assert 200 * SECOND <= down["time_ns"] < 230 * SECOND
        assert up["score"] == scores[up["time_ns"] // SECOND, chart] > 1.0
        assert down["score"] == scores[down["time_ns"] // SECOND, chart] < CLEAR


def test_a_bad_scan_moves_nothing() -> None:
    """State is the same bytes before and after scans that are not good, whatever they hold."""
    joint = Joint(lags=1)
    joint.fold(scans_with_fault(20))
    before = joint.bytes()
    out, scores = joint.fold(np.full((5, D), np.nan), np.full(5, 2, np.uint8))
    assert joint.bytes() == before
    assert not len(out)
    assert (scores == joint.state[0]["score"]).all()


def test_lagged_scans_are_taken_latest_first_and_not_across_a_gap() -> None:
    """With a lag the vector is [scan, scan before]; after a gap the chart waits for a new pair."""
    joint, scans = Joint(lags=1), scans_with_fault(10)
    times = np.arange(10) * SECOND
    times[5:] += 10 * SECOND
    _, scores = joint.fold(scans, times=times)
    assert (scores[0] == 0.0).all()
    for t in (1, 4, 6, 9):
        vector = np.concatenate([scans[t], scans[t - 1]])
        projected = vector @ joint.loadings - joint.offset
        expected = (projected[:COMPONENTS] ** 2).sum() / joint.params[0]["limit"][0]
        assert scores[t, 0] == pytest.approx(expected, rel=1e-12)
    assert (scores[5] == scores[4]).all()


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 299), max_size=6), lags=st.integers(0, 2))
def test_cutting_the_scans_into_other_blocks_changes_nothing(cuts: list[int], lags: int) -> None:
    """The same transitions, scores and state bytes, however the scans are cut."""
    scans = scans_with_fault()
    times = np.arange(len(scans)) * SECOND
    whole = Joint(lags=lags)
    out, scores = whole.fold(scans)
    parts = Joint(lags=lags)
    bounds = [0, *sorted(set(cuts)), len(scans)]
    pieces = [parts.fold(scans[a:b], times=times[a:b]) for a, b in pairwise(bounds)]
    assert np.concatenate([piece[0] for piece in pieces]).tobytes() == out.tobytes()
    assert np.concatenate([piece[1] for piece in pieces]).tobytes() == scores.tobytes()
    assert parts.bytes() == whole.bytes()


SCRIPT = """
import sys
from tests.core.test_joint import Joint, scans_with_fault
joint = Joint(lags=1)
out, scores = joint.fold(scans_with_fault())
sys.stdout.write((out.tobytes() + scores.tobytes() + joint.bytes()).hex())
"""


def test_compiled_and_plain_give_the_same_bits() -> None:
    """`NUMBA_DISABLE_JIT=1` runs the same function as plain Python, to the last bit."""
    found = {
        off: subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "NUMBA_DISABLE_JIT": off, "PYTHONPATH": str(Path.cwd())},
            capture_output=True, text=True, check=True,
        ).stdout
        for off in ("0", "1")
    }  # fmt: skip
    assert len(found["0"]) > 10_000
    assert found["0"] == found["1"]
