"""What holds for every row of the tables of detectors; a new row is tested without a word here
but its parameters in `ARMED`.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core import kernels
from agent.core.kernels import DETECTORS, OUTPUT_CHARTS, TAG_DETECTORS, base
from agent.core.kernels.bad import KINDS
from agent.core.kernels.base import TRANSITION, Detector
from agent.types import NOT_USABLE, Quality
from tests.core.kernels.folding import SECOND, START, Told, fold, params

EVERY = (*DETECTORS, *TAG_DETECTORS, *OUTPUT_CHARTS)
ROWS = pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
GAP = 3 * SECOND // 2
ARMED: dict[str, dict[str, Any]] = {
    "range": {"middle": 0.0, "half": 4.0, "hold": 5},
    "stuck": {"tolerance": 1e-9, "limit": 12, "hold": 3, "count": 1,
              "values": [7.0, 0.0, 0.0, 0.0]},
    "spike": {"limit": 5.0, "minor": 4.0, "weight": 5, "most": 14, "hold": 3, "gap_ns": GAP},
    "rate": {"limit": 6.0, "hold": 5, "gap_ns": GAP},
    "level": {"block": 5, "part": 1, "clip": 10.0, "inverse_sd": 2.2, "k": 0.7, "h_up": 5.0,
              "h_down": 5.0, "ewma_up": 0.8, "ewma_down": 0.8},
    "drift": {"block": 20, "clip": 10.0, "inverse_sd": 4.4, "k": 0.7, "h_up": 5.0, "h_down": 5.0},
    "noise": {"block": 16, "clip": 20.0, "centre": 1.17, "inverse_sd": 9.0, "k": 1.0, "h_up": 5.0,
              "h_down": 5.0, "gap_ns": GAP},
    "step": {"block": 4, "limit": 3.0, "hold": 5, "gap_ns": GAP},
    "category": {"count": 3, "tolerance": 1.5, "hold": 3, "gap_ns": GAP,
                 "values": [-2.0, 0.0, 2.0, *[0.0] * 13], "next": [3, 7, 6, *[0] * 13]},
    "digits": {"limit": 1.0, "centre": 0.0, "size": 1.0, "own": 0.0, "low": -4.0, "high": 4.0,
               "leap": 4.0, "hold": 3, "grid": [0.1] + [0.0] * 8, "run": [5] + [1] * 8,
               "rest": [8] + [1] * 8, "moves": [2] + [1] * 8},
    "again": {"limit": 1.0, "hold": 3, "run": [5, 4, 4, 4]},
    "lines": {
        "limit": 15.0, "near": 0.002, "least": 0.0, "hit": 5.0, "miss": 0.9, "hold": 3,
        "gap_ns": GAP,
    },
    "averaged": {"limit": 15.0, "near": 0.4, "hit": 1.6, "miss": 2.1, "hold": 3, "gap_ns": GAP},
    **{
        name: {"mask": int(bit), "before": sum(int(KINDS[more]) for more in list(KINDS)[:place])}
        for place, (name, bit) in enumerate(KINDS.items())
    },
    "given_inputs": {"block": 5, "part": 1, "clip": 10.0, "inverse_sd": 2.2, "k": 0.7, "h_up": 5.0,
                     "h_down": 5.0, "ewma_up": 0.8, "ewma_down": 0.8},
    "mix": {"block": 10, "count": 3, "tolerance": 0.5, "values": [-1.0, 0.0, 1.0, *[0.0] * 13],
            "share": [0.242, 0.383, 0.242, *[0.0] * 13],
            "inverse_sd": [7.4, 6.5, 7.4, *[0.0] * 13], "k": [0.7] * 16, "h": [6.0] * 16},
    "missing": {"max_silence_ns": 5 * SECOND},
    "source_clock": {"count": 6},
    "pace": {"interval_ns": SECOND, "known": 0},
    "late": {"limit_ns": 3 * SECOND},
    "source_zone": {"interval_ns": SECOND},
}  # fmt: skip


class Stream:
    """One tag's samples with every fault that some detector is there for, then 600 normal ones."""

    def __init__(self, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        n = 2600
        value = rng.standard_normal(n)
        value[400:440] = value[400]
        value[480:520:9] += 12.0
        value[560:620] += 5.0
        value[700:900] *= 4.0
        value[1000:1200] += 1.5
        value[1710:1750] = np.round(value[1710:1750], 1)
        value[1770:1800] = value[1750 + np.arange(30) % 20]
        value[1820:1870] = np.interp(np.arange(50), np.arange(0, 50, 7), value[1820:1870:7])
        value[1890:1960] *= 0.02
        quality = np.zeros(n, np.uint16)
        quality[1250:1256] = Quality.BAD
        quality[1260] = Quality.COMMUNICATION_LOST
        for place, bit in enumerate(KINDS.values()):
            quality[1270 + 3 * place] = bit | Quality.BAD if place < 5 else bit
        pause = np.full(n, SECOND)
        pause[1300] = 20 * SECOND
        pause[1500:1700] = 3 * SECOND
        arrival = START + np.cumsum(pause).astype(np.int64)
        source = arrival.copy()
        source[1350:1400] = source[1350]
        source[1420:1470] -= 9 * SECOND
        source[1215:1235] += 3_600 * SECOND
        self.value, self.quality, self.arrival, self.source = value, quality, arrival, source

    def seen_by(self, one: Detector) -> Stream:
        """What the engine hands to a detector: usable samples only, but for feed "all"."""
        if one.feed != "all":
            keep = (self.quality & np.uint16(NOT_USABLE)) == 0
            for name in ("value", "quality", "arrival", "source"):
                setattr(self, name, getattr(self, name)[keep])
        return self

    def __len__(self) -> int:
        return len(self.value)


def told(one: Detector, stream: Stream, cuts: list[int] | None = None) -> Told:
    return fold(
        one, params(one, **ARMED[one.name]), stream.value, arrival=stream.arrival,
        source=stream.source, quality=stream.quality, cuts=cuts or [],
    )  # fmt: skip


def test_every_row_has_a_name_of_its_own():
    """Names are unique over all tables: they are the keys of baselines and snapshots."""
    assert len({one.name for one in EVERY}) == len(EVERY)
    assert {one.name for one in EVERY} == set(ARMED)


@ROWS
def test_it_finds_something_and_clears(one):
    """Each flags its own fault, flags and clears take turns, a raised flag's score is at least 1,
    and none is left after 600 normal samples.
    """
    result = told(one, Stream().seen_by(one))
    turns = [up for _, up in result.flags]
    assert turns
    assert turns == [1, 0] * (len(turns) // 2)
    assert result.score >= 1.0


@ROWS
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), cuts=st.lists(st.integers(0, 2500), max_size=12))
def test_cuts_change_nothing(one, seed, cuts):
    """The same samples in other blocks, empty ones too, give the same flags and state bytes."""
    stream = Stream(seed).seen_by(one)
    whole, parts = told(one, stream), told(one, stream, cuts)
    assert parts.flags == whole.flags
    assert parts.state == whole.state


@ROWS
def test_one_by_one(one):
    """A block a sample is the finest cut."""
    stream = Stream(5).seen_by(one)
    parts = told(one, stream, list(range(1, len(stream))))
    assert parts == told(one, stream)


@ROWS
def test_rows_do_not_touch_each_other(one):
    """Three rows in one call, the middle one without samples: each as if alone."""
    first, last = Stream(2).seen_by(one), Stream(3).seen_by(one)
    n, m = len(first), len(last)
    state = np.zeros(3, one.state)
    out = np.zeros(n + m + 6, TRANSITION)
    until = max(int(first.arrival[-1]), int(last.arrival[-1])) + 1
    if one.name == "missing":
        state["last_ns"][1] = until
    middle = state[1].tobytes()
    both = {
        name: np.concatenate([getattr(first, name), getattr(last, name)])
        for name in ("arrival", "source", "value", "quality")
    }
    written = one.fold(
        params(one, 3, **ARMED[one.name]), state, np.array([0, n, n, n + m], np.int64), until,
        both["arrival"], both["source"], both["value"], both["quality"], out,
    )  # fmt: skip
    for row, stream in ((0, first), (2, last)):
        alone = told(one, stream)
        own = out[:written][out["row"][:written] == row]
        times = [(int(np.searchsorted(stream.arrival, f["time_ns"])), int(f["up"])) for f in own]
        assert times == alone.flags
        if one.name != "missing":  # its score is the age of the last sample when looked at
            assert state[row].tobytes() == alone.state
    if one.name != "missing":
        assert state[1].tobytes() == middle


@ROWS
def test_no_samples_change_nothing(one):
    """An empty block writes no flag and leaves the state's bytes as they are."""
    stream = Stream(4).seen_by(one)
    state = np.frombuffer(told(one, stream).state, one.state).copy()
    before = state.tobytes()
    nothing = np.zeros(0, np.int64)
    written = one.fold(
        params(one, **ARMED[one.name]), state, np.zeros(2, np.int64), int(stream.arrival[-1]) + 1,
        nothing, nothing, np.zeros(0), np.zeros(0, np.uint16), np.zeros(2, TRANSITION),
    )  # fmt: skip
    assert written == 0
    assert state.tobytes() == before


@pytest.mark.parametrize("one", DETECTORS, ids=lambda one: one.name)
@pytest.mark.parametrize("scale", [1.0, 1e9])
def test_disabled_never_flags(one, scale):
    """Without parameters an input's detector stays silent, whatever comes."""
    stream = Stream(6).seen_by(one)
    value = np.clip(stream.value * scale, -1e9, 1e9)
    result = fold(one, params(one), value, arrival=stream.arrival, source=stream.source)
    assert result.flags == []


def plain(one: Detector, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The detector's module once more, its kernel left as Python."""
    file = Path(kernels.__file__).with_name(f"{one.name}.py")
    shared = {"drift": "level", "given_inputs": "level", "averaged": "lines"}
    shared |= dict.fromkeys(KINDS, "bad")
    file = file.with_stem(shared.get(one.name, one.name))
    monkeypatch.setattr(base, "kernel", lambda function: function)
    spec = importlib.util.spec_from_file_location(f"plain_{one.name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@ROWS
def test_compiled_and_plain_give_the_same_bits(one, monkeypatch):
    """The same source as plain Python gives the same flags, scores and state bytes."""
    stream = Stream(7).seen_by(one)
    compiled = told(one, stream)
    module = plain(one, monkeypatch)
    python = replace(one, params=module.PARAMS, state=module.STATE, fold=module.fold)
    with np.errstate(all="ignore"):
        assert told(python, stream) == compiled


def test_the_state_of_an_input_is_small():
    """All input detectors together keep at most 850 bytes a tag."""
    assert sum(one.state.itemsize for one in DETECTORS) <= 850


@ROWS
def test_states_begin_with_score_and_flag(one):
    """What status and snapshots read of every detector."""
    assert one.state.names is not None
    assert one.state.names[:2] == ("score", "active")
    assert set(one.disabled) == set(one.params.names or ())
