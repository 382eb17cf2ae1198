"""Registers read otherwise: exchanged bytes and shifted maps are told, what plants do is not."""

from __future__ import annotations

from collections.abc import Sequence
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


WIDE = tuple(20.0 + 45.0 * place for place in range(10))
MIXED = (">f4", ">f4", ">f4", ">u2", ">f4", ">f4", ">f4", ">u2", ">u2", ">f4")


def wide_map(kinds: Sequence[str], modelled: int = 10) -> RegisterReader:
    """Of ten tags t0 to t9 one behind the other, the first so many inputs of a model."""
    names = tuple(f"t{place}" for place in range(10))
    trained = baseline(names[:modelled])
    items = tuple(
        replace(item, centre=level, trained=(level - 4.0, level + 4.0))
        for item, level in zip(trained.modes[0].inputs, WIDE, strict=False)
    )
    trained = replace(trained, modes=(replace(trained.modes[0], inputs=items),))
    tags, place = [], 100
    for number, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        width = np.dtype(kind).itemsize // 2
        register = Register("holding", place, width, kind, 0.01 if width == 1 else 1.0)
        role = "input" if number < modelled else "none"
        tags.append(TagSpec(number + 1, name, "s", role=role, register=register))
        place += width
    model = replace(spec().models[0], inputs=names[:modelled], baseline=trained)
    return RegisterReader(EngineSpec(tuple(tags), ("s",), (model,)), Traces(modelled, 10))


def remembered(own: RegisterReader, raw: Float64) -> RegisterReader:
    """The same, which had these latest values float64[n, 10]."""
    own._traces._tags.state["fine_count"] = len(raw)
    own._traces._tags.fine[:, : len(raw)] = raw.T
    return own


def read_through(kinds: Sequence[str], values: Float64, at: int, by: int) -> Float64:
    """What a reader of the old map gets, once what stands from tag `at` on stands `by` higher."""
    widths = [np.dtype(kind).itemsize // 2 for kind in kinds]
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]])
    image = np.zeros((len(values), int(sum(widths)) + 8), ">u2")
    for tag, (kind, start, width) in enumerate(zip(kinds, starts, widths, strict=True)):
        scaled = values[:, tag] if width == 2 else np.round(values[:, tag] * 100.0)
        first = start + (by if tag >= at else 0)
        image[:, first : first + width] = scaled.astype(kind).view(">u2").reshape(-1, width)
    read = [
        np.ascontiguousarray(image[:, start : start + width]).view(kind)[:, 0].astype(np.float64)
        * (1.0 if width == 2 else 0.01)
        for kind, start, width in zip(kinds, starts, widths, strict=True)
    ]
    return np.column_stack(read)


def inserted(kinds: Sequence[str], at: int, by: int, seed: int) -> Float64:
    """float64[40, 10] of ten tags, whose map changes at the 30th."""
    values = np.array(WIDE) + np.random.default_rng(seed).standard_normal((40, 10))
    before = read_through(kinds, values[:30], at, 0)
    with np.errstate(invalid="ignore"):
        return np.concatenate([before, read_through(kinds, values[30:], at, by)])


@pytest.mark.parametrize("modelled", [10, 9])
@pytest.mark.parametrize("at", [0, 1, 2, 5, 7])
@pytest.mark.parametrize(("kinds", "by"), [(MIXED, 1), ((">f4",) * 10, 2), ((">u2",) * 10, 1)])
def test_a_register_that_is_inserted_shifts_what_is_behind_it(kinds, by, at, modelled):
    """From the tag at the gap on, which reads nothing, to the last; none before it."""
    raw = inserted(kinds, at, by, seed=at)
    names = [f"t{place}" for place in range(10)]
    for place, name in enumerate(names):
        found = remembered(wide_map(kinds, modelled), raw).shift(name, SECOND)
        assert (found is not None) == (place >= at), (name, found)
        if found is not None:
            assert found.step == -1
            assert not set(found.tags) & set(names[:at])


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("moved", [2, 3, 4])
def test_a_part_of_the_map_that_moves_is_no_shift(seed, moved):
    """Some tags step at once, or fall to nothing, as where a part of the plant stops."""
    rng = np.random.default_rng(seed)
    raw = inserted(MIXED, 10, 0, seed)
    first = int(rng.integers(0, 10 - moved))
    stepped, stopped = raw.copy(), raw.copy()
    stepped[30:, first : first + moved] += rng.uniform(-60.0, 60.0, moved)
    stopped[30:, first : first + moved] = 0.0
    partly = stepped.copy()
    partly[30:, first] = 0.0
    for one in (stepped, stopped, partly):
        for place in range(first, first + moved):
            found = remembered(wide_map(MIXED), one).shift(f"t{place}", SECOND)
            assert found is None, (place, found)
