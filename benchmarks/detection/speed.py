"""Speed and size of the kernels: ratios in one run, medians; beside river's streaming detectors.

- `tag_major_msps`: millions of samples a second through all input detectors together, tag-major.
- `event_msps`: the same in arrival order, 1,000 tags, sorting included.
- `call_us`: one detector's call with one sample.
- `river_ratio`: river's ADWIN and Page-Hinkley (two detectors) against all of ours, per sample.
- `t2_spe_us`: T2 and SPE, change and smoothed SPE, of 50 inputs, per scan.
- `state_bytes`: of all input detectors, per tag.

`python benchmarks/detection/speed.py` prints JSON lines; kernels run as `kernels` says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from _recorded import say
from _streams import SECOND, ar1, params_of

from agent.core.kernels import DETECTORS, compiler, joint
from agent.core.kernels.base import TRANSITION
from agent.core.series import TagMajor
from agent.core.spec import TagSpec
from agent.fit.joint import fit_joint
from agent.fit.univariate import fit_input
from agent.types import Block

GOALS = {
    "tag_major_msps": 100, "event_msps": 30, "call_us": 3, "river_ratio": 30, "t2_spe_us": 1,
    "state_bytes": 450,
}  # fmt: skip
_TURNS = 7
_TAGS, _ROWS = 200, 5000


def timed(work: Callable[[], object], turns: int = _TURNS) -> float:
    """Median seconds of a call, after one to warm up."""
    work()
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def _charts() -> tuple[list, np.ndarray]:
    fit = fit_input(ar1(0.9, 30_000, 1, 1)[:, 0], interval_ns=SECOND, arl=5e8, name="x")
    charts = [(one, np.repeat(params_of(fit, one), _TAGS)) for one in DETECTORS]
    values = np.ascontiguousarray(((ar1(0.9, _ROWS, _TAGS, 2) - fit.centre) / fit.scale).T)
    return charts, values.ravel()


def tag_major(charts: list, z: np.ndarray) -> float:
    """Seconds for all detectors over all samples, tag by tag."""
    starts = np.arange(_TAGS + 1, dtype=np.int64) * _ROWS
    arrival = np.tile(np.arange(1, _ROWS + 1, dtype=np.int64) * SECOND, _TAGS)
    quality, out = np.zeros(len(z), np.uint16), np.zeros(len(z) + 2 * _TAGS, TRANSITION)
    states = [np.zeros(_TAGS, one.state) for one, _ in charts]

    def work() -> None:
        for (one, params), state in zip(charts, states, strict=True):
            one.fold(params, state, starts, (_ROWS + 1) * SECOND, arrival, arrival, z, quality, out)

    return timed(work)


def arrival_order(charts: list, z: np.ndarray) -> float:
    """Seconds for the same samples as they arrive: a block of 100 rows of all tags at a time."""
    rows = 100
    tags = tuple(TagSpec(i + 1, f"t{i}", "s") for i in range(_TAGS))
    arrange = TagMajor(tags)
    by_row = np.ascontiguousarray(z.reshape(_TAGS, _ROWS).T)
    index = np.tile(np.arange(1, _TAGS + 1, dtype=np.int32), rows)
    quality = np.zeros(rows * _TAGS, np.uint16)
    blocks = []
    for start in range(0, _ROWS, rows):
        times = np.repeat(np.arange(start, start + rows, dtype=np.int64), _TAGS) * SECOND
        part = by_row[start : start + rows].ravel()
        blocks.append(Block(1, int(times[-1]) + 1, index, times, times, part, quality))
    out = np.zeros(rows * _TAGS + 2 * _TAGS, TRANSITION)
    states = [np.zeros(_TAGS, one.state) for one, _ in charts]

    def work() -> None:
        for block in blocks:
            s = arrange.arrange(block)
            for (one, params), state in zip(charts, states, strict=True):
                one.fold(params, state, s.starts, block.sealed_ns, s.arrival, s.source, s.value,
                         s.quality, out)  # fmt: skip

    return timed(work)


def one_call(charts: list, z: np.ndarray) -> float:
    """Median microseconds of one detector's call with one sample of one tag."""
    starts, arrival = np.array([0, 1], np.int64), np.array([SECOND], np.int64)
    value, quality, out = z[:1].copy(), np.zeros(1, np.uint16), np.zeros(3, TRANSITION)
    each = []
    for one, params in charts:
        own, state = params[:1].copy(), np.zeros(1, one.state)

        def work(one=one, own=own, state=state) -> None:
            for _ in range(2000):
                one.fold(own, state, starts, SECOND, arrival, arrival, value, quality, out)

        each.append(timed(work) / 2000 * 1e6)
    return median(each)


def river_seconds(z: np.ndarray) -> float | None:
    """Seconds a sample of ADWIN and Page-Hinkley together; None where river is not installed."""
    try:
        from river import drift
    except ImportError:
        return None
    values = z[:20_000].tolist()

    def work() -> None:
        adwin, page_hinkley = drift.ADWIN(), drift.PageHinkley()
        for x in values:
            adwin.update(x)
            page_hinkley.update(x)

    return timed(work, 3) / len(values)


def t2_spe() -> float:
    """Microseconds a scan of 50 inputs."""
    d, m = 50, 2000
    train = ar1(0.5, 4000, d, 3) @ np.linalg.qr(ar1(0.0, d, d, 4))[0]
    group = fit_joint(train, [f"x{i}" for i in range(d)], interval_ns=SECOND, arl=1e6).groups[0]
    params = np.zeros(1, joint.PARAMS)
    document = group.to_json()
    for name in ("components", "lags", "alpha", "cap", "limit"):
        params[0][name] = document[name]
    params[0]["gap_ns"] = params[0]["forget_ns"] = 2 * SECOND
    state, ring = np.zeros(1, joint.STATE), np.zeros((group.lags + 1, d))
    levels, work_space = np.zeros((2, d)), np.zeros((3, len(group.offset)))
    out = np.zeros(4 * m, TRANSITION)
    times, good = np.arange(m, dtype=np.int64) * SECOND, np.ones(m, np.uint8)
    scans, scores = np.ascontiguousarray(train[:m, group.columns]), np.zeros((m, 4))
    apart = np.zeros((m, d))
    loadings, offset = np.ascontiguousarray(group.loadings), np.ascontiguousarray(group.offset)
    change = group.change
    pace = joint.paces(change.fast, change.weight)

    def work() -> None:
        joint.fold_joint(params, loadings, offset, change.adjusted, change.middle, pace,
                         change.weight, state, ring, levels, work_space, times, scans, good, out,
                         scores, apart)  # fmt: skip

    return timed(work) / m * 1e6


def main() -> None:
    """Print one row of figures."""
    charts, z = _charts()
    ours = tag_major(charts, z) / len(z)
    river = river_seconds(z)
    figures = {
        "tag_major_msps": round(1e-6 / ours, 1),
        "event_msps": round(len(z) / arrival_order(charts, z) / 1e6, 1),
        "call_us": round(one_call(charts, z), 2),
        "river_ratio": None if river is None else round(river / ours, 1),
        "t2_spe_us": round(t2_spe(), 2),
        "state_bytes": sum(one.state.itemsize for one in DETECTORS),
    }
    more = {"tag_major_msps", "event_msps", "river_ratio"}
    reached = {
        name: None if value is None else bool(
            value >= GOALS[name] if name in more else value <= GOALS[name]
        )
        for name, value in figures.items()
    }
    say(
        table="speed", kernels=compiler.MODE, detectors=len(DETECTORS), **figures, goals=GOALS,
        reached=reached,
    )  # fmt: skip


if __name__ == "__main__":
    main()
