"""Registers read otherwise: exchanged bytes and shifted maps are told, what plants do is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.registers import Register, RegisterReader, exchanged
from agent.core.spec import EngineSpec, TagSpec
from agent.core.traces import Traces
from agent.types import Float64
from tests.core.small import SECOND, baseline, spec

FLOAT = Register("holding", 100, 2, ">f4")
WORD = Register("holding", 100, 1, ">u2", 0.1)
TRAINED = (55.0, 70.0)


def process(n: int, seed: int, level: float = 62.0, noise: float = 1.0) -> Float64:
    return level + noise * np.random.default_rng(seed).standard_normal(n)


def permuted(values: Float64, order: list[int]) -> Float64:
    single = values.astype(">f4").view(np.uint8).reshape(-1, 4)[:, order].copy()
    return single.view(">f4")[:, 0].astype(np.float64)


@pytest.mark.parametrize(
    ("order", "told"),
    [([2, 3, 0, 1], "its words exchanged"), ([1, 0, 3, 2], "the bytes of each word exchanged"),
     ([3, 2, 1, 0], "its bytes in reverse")],
)  # fmt: skip
@pytest.mark.parametrize("register", [FLOAT, None])
@pytest.mark.parametrize("seed", range(5))
def test_another_order_of_a_float_is_told(order, told, register, seed):
    """After six values, whether its register is known or not."""
    values = process(30, seed).astype(np.float32).astype(np.float64)
    values[24:] = permuted(values[24:], order)
    assert exchanged(values, register, TRAINED, 1.0) == told


@pytest.mark.parametrize("seed", range(5))
def test_the_bytes_of_a_word_are_told(seed):
    """Of a 16-bit register with a scale."""
    raw = np.round(process(30, seed) / 0.1).astype(np.uint16)
    raw[24:] = raw[24:].byteswap()
    assert exchanged(raw * 0.1, WORD, TRAINED, 1.0) == "its bytes exchanged"


@given(
    level=st.floats(-1e4, 1e4), noise=st.floats(0.0, 50.0), seed=st.integers(0, 99),
    register=st.sampled_from([FLOAT, WORD, None]), decimals=st.integers(0, 4),
)  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_what_a_plant_or_an_instrument_does_is_no_exchange(level, noise, seed, register, decimals):
    """Wherever it goes, with whatever noise and digits; 0 lies in the trained range or not."""
    values = process(40, seed)
    values[20:] = level + noise * np.random.default_rng(seed + 1).standard_normal(20)
    for trained in (TRAINED, (-20.0, 70.0)):
        assert exchanged(np.round(values, decimals), register, trained, 1.0) == ""
        single = values.astype(np.float32).astype(np.float64)
        assert exchanged(single, register, trained, 1.0) == ""


def reader(raw: Float64, registers: list[Register | None]) -> RegisterReader:
    """Of tags a, b, c, d of one source, which had these latest values float64[n, 4]."""
    names = ("a", "b", "c", "d")
    trained = baseline(names)
    items = tuple(
        replace(item, centre=level, trained=(level - 4.0, level + 4.0))
        for item, level in zip(trained.modes[0].inputs, LEVELS, strict=True)
    )
    trained = replace(trained, modes=(replace(trained.modes[0], inputs=items),))
    tags = tuple(
        TagSpec(place + 1, name, "s", address=f"r {place}", register=registers[place])
        for place, name in enumerate(names)
    )
    model = replace(spec().models[0], inputs=names, baseline=trained)
    traces = Traces(4, 4)
    traces._tags.state["fine_count"] = len(raw)
    traces._tags.fine[:, : len(raw)] = raw.T
    return RegisterReader(EngineSpec(tags, ("s",), (model,)), traces)


LEVELS = (10.0, 40.0, 80.0, 150.0)


def of_levels(n: int, seed: int) -> Float64:
    return np.array(LEVELS) + np.random.default_rng(seed).standard_normal((n, 4))


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("seed", range(4))
def test_tags_that_read_their_neighbours_are_a_map_that_shifted(step, seed):
    """By the order of addresses, where no registers are known; the last reads anything."""
    raw = of_levels(40, seed)
    shifted = np.roll(raw[30:], -step, axis=1)
    shifted[:, -1 if step == 1 else 0] = 3.0
    found = reader(np.concatenate([raw[:30], shifted]), [None] * 4).shift("b", SECOND)
    assert found is not None
    assert found.step == step
    assert set(found.tags) == {"a", "b", "c", "d"}


@pytest.mark.parametrize("step", [1, -1])
def test_floats_of_which_each_has_a_word_of_two_are_a_map_that_shifted(step):
    """By one register of two: what arrives is no value that there ever was."""
    floats: list[Register | None] = [Register("holding", 2 * k, 2, ">f4") for k in range(4)]
    raw = of_levels(40, 1).astype(np.float32).astype(np.float64)
    words = raw.astype(">f4").view(">u2").reshape(40, -1)
    other = np.roll(words[30:], -step, axis=1)
    other[:, -1 if step == 1 else 0] = 7
    with np.errstate(invalid="ignore"):
        late = np.ascontiguousarray(other).view(">f4").astype(np.float64)
    found = reader(np.concatenate([raw[:30], late]), floats).shift("b", SECOND)
    assert found is not None
    assert len(found.tags) >= 3


@pytest.mark.parametrize("seed", range(20))
def test_moves_of_the_plant_are_no_shift(seed):
    """All step at once, by anything; two trade places."""
    rng = np.random.default_rng(seed)
    raw = of_levels(40, seed)
    moved = raw.copy()
    moved[30:] += rng.uniform(-60.0, 60.0, 4)
    assert reader(moved, [None] * 4).shift("b", SECOND) is None
    swapped = raw.copy()
    swapped[30:, [1, 2]] = raw[30:, [2, 1]]
    assert reader(swapped, [None] * 4).shift("b", SECOND) is None
