"""The kernels look at many samples together where nothing happens; nobody may be able to tell.

Against `naive`, which goes sample by sample: the same flags, scores and state, to the last bit,
whatever the values, the gaps and the cuts; compiled as well as in plain Python.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.kernels import DETECTORS
from agent.core.kernels.base import TRANSITION
from agent.core.kernels.gaps import RUN, unbroken
from agent.core.kernels.runs import LEAST, calm_until, held
from tests.core.kernels.folding import SECOND, START, params
from tests.core.kernels.naive import NAIVE
from tests.core.kernels.test_every_detector import ARMED, plain

CHARTS = [(one, ARMED[one.name]) for one in DETECTORS if one.name in NAIVE]
CHARTS += [(one, {**armed, "sides": 4, "limit": 1.5}) for one, armed in CHARTS
           if one.name == "step"]  # fmt: skip
FAST = pytest.mark.parametrize(
    ("one", "armed"), CHARTS,
    ids=[one.name + str(armed.get("sides", "")) for one, armed in CHARTS],
)  # fmt: skip


def stream(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value, arrival and source of n samples: long calm runs, then anything."""
    rng = np.random.default_rng(seed)
    value = rng.standard_normal(n) * rng.choice([0.3, 1.0, 3.0])
    kind = rng.integers(0, 4)
    if kind == 1:
        value = np.round(value, int(rng.integers(0, 3)))
    for _ in range(rng.integers(0, 6)):
        at, length = rng.integers(0, n), rng.integers(1, 60)
        value[at] = rng.choice([9.0, -9.0, 1e9, -1e9, 1e300, 5e-324, -0.0])
        at = rng.integers(0, n)
        value[at : at + length] = rng.choice([value[at], value[at] + 6.0, -0.0])
    step = np.full(n, SECOND)
    wild = rng.random(n) < rng.choice([0.0, 0.01, 0.4])
    step[wild] = rng.choice([-(1 << 40), 0, 3 * SECOND // 2, 3 * SECOND // 2 + 1, 1 << 50], n)[wild]
    return value, START + np.arange(n, dtype=np.int64) * SECOND, START + np.cumsum(step)


def naive(one, armed, streams):
    """(row, up, time, score) of every flag and the state bytes, sample by sample."""
    told, state = [], np.zeros(len(streams), one.state)
    for row, (value, arrival, source) in enumerate(streams):
        chart = NAIVE[one.name]({**one.disabled, "gap_ns": 0, **armed})
        for v, at, ns in zip(value.tolist(), arrival.tolist(), source.tolist(), strict=True):
            score = chart.take(v, ns)
            if score is not None:
                told.append((row, chart.raised, at, score))
        for name in one.state.names:
            state[name][row] = chart.state.get(name, 0)
    return told, state.tobytes()


def folded(one, armed, fold, streams, cuts):
    """The same by a kernel, in chunks that end at `cuts` in each row."""
    state, told = np.zeros(len(streams), one.state), []
    parameters = params(one, len(streams), **armed)
    longest = max(len(value) for value, _, _ in streams)
    for a, b in pairwise([0, *sorted({cut for cut in cuts if 0 < cut < longest}), longest]):
        starts = np.cumsum([0] + [len(value[a:b]) for value, _, _ in streams]).astype(np.int64)
        value, arrival, source = (
            np.concatenate([one_of[i][a:b] for one_of in streams]) for i in range(3)
        )
        out = np.zeros(len(value) + 2 * len(streams), TRANSITION)
        written = fold(
            parameters, state, starts, START + b * SECOND, arrival, source, value,
            np.zeros(len(value), np.uint16), out,
        )  # fmt: skip
        told += out[:written].tolist()
    return sorted(told, key=lambda flag: (flag[0], flag[2])), state.tobytes()


@FAST
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), lengths=st.lists(st.integers(1, 700), min_size=1, max_size=3),
    cuts=st.lists(st.integers(1, 700), max_size=9),
)  # fmt: skip
def test_as_sample_by_sample(one, armed, seed, lengths, cuts):
    """Any streams, any cuts: flags, scores and state bytes of the chart without a fast path."""
    streams = [stream(seed + row, n) for row, n in enumerate(lengths)]
    assert folded(one, armed, one.fold, streams, cuts) == naive(one, armed, streams)


@FAST
@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 10, 11, 63, 64, 65, 66, 67, 130])
def test_chunks_of_one_size(one, armed, size):
    """Chunks just shorter and longer than what the kernels look at together, and single samples."""
    streams = [stream(seed, 400) for seed in range(40, 46)]
    cut = folded(one, armed, one.fold, streams, range(size, 400, size))
    assert cut == naive(one, armed, streams)


@FAST
def test_plain_python_too(one, armed, monkeypatch):
    """The fast paths' source, run as Python, gives the same bits."""
    fold = plain(one, monkeypatch).fold
    streams = [stream(seed, 300) for seed in range(70, 74)]
    with np.errstate(all="ignore"):
        assert folded(one, armed, fold, streams, [1, 2, 150, 281]) == naive(one, armed, streams)


def test_the_streams_reach_what_they_are_for():
    """Among the streams are calm charts, flags and clears of every detector."""
    for one, armed in CHARTS:
        flags = [naive(one, armed, [stream(seed, 500)])[0] for seed in range(25)]
        assert any(not told for told in flags) or one.blocked, one.name
        assert {up for told in flags for _, up, _, _ in told} == {0, 1}, one.name


@given(
    steps=st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=2, max_size=150),
    gap=st.integers(0, 1 << 62), sane=st.booleans(),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_unbroken_is_never_wrong(steps, gap, sane):
    """A run said to be unbroken has no gap, whatever the times; of sane times it is exact."""
    times = np.array(steps, np.int64)
    if sane:
        times = np.cumsum(times % (1 << 40))
    with np.errstate(all="ignore"):
        broken = bool((np.diff(times) > gap).any())
        said = bool(unbroken(times, 1, len(times), gap))
    assert not (said and broken)
    assert said != broken or not sane


def differences(value, order, middle):
    """|d| of each sample from `order` on, as `calm_until` defines it."""
    if order == 0:
        return np.abs(value - middle)
    if order == 1:
        return np.abs(value[1:] - value[:-1])
    return np.abs(value[1:-1] - (value[2:] + value[:-2]) * 0.5)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 300), limit=st.sampled_from([0.5, 2.0, 3.0]))
def test_a_calm_stretch_holds_nothing_and_ends_where_something_is(order, sign, seed, n, limit):
    """All it passes by is calm; it stops at the end, or before a run that holds a hit."""
    value = np.random.default_rng(seed).choice([0.0, 0.5, 1.0, 2.0, -2.5], n, p=[0.96] + [0.01] * 4)
    end = calm_until(value, order, n, order, 0.5, sign, sign * limit)
    hit = sign * differences(value, order, 0.5) >= sign * limit
    assert order <= end <= n
    assert not hit[: end - order].any()
    assert n - end < LEAST or hit[end - order :][:RUN].any()


def test_a_flag_is_held_until_enough_are_quiet():
    """A hit raises it and begins the count anew; the last of `hold` quiet samples clears it."""
    hits = [0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1]
    active, quiet, seen = 0, 0, []
    for hit in hits:
        active, quiet = held(active, quiet, bool(hit), 3)
        seen.append((active, quiet))
    assert seen == [
        (0, 0), (1, 0), (1, 1), (1, 2), (1, 0), (1, 0), (1, 1), (1, 2), (0, 3), (0, 3), (1, 0),
    ]  # fmt: skip
