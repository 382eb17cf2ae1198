"""Registers that are read as another data type than they hold."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.retyped import retyped
from agent.core.spec import Register
from agent.types import Float64

FLOAT, TRAINED, NOISE = Register("holding", 100, 2, ">f4"), (58.0, 62.0), 0.1


def plant(count: int, seed: int = 1) -> Float64:
    return 60.0 + 0.4 * np.random.default_rng(seed).standard_normal(count)


def as_float32(words: np.ndarray) -> Float64:
    """What a reader of float32 makes of uint32."""
    return words.astype(np.uint32).view(np.float32).astype(np.float64)


def served(values: Float64, how: str, scale: float) -> Float64:
    whole = np.round(values / scale).astype(np.int64)
    words = {
        "int32": lambda: whole,
        "int32, words exchanged": lambda: (whole << 16 | whole >> 16) & 0xFFFFFFFF,
        "int16": lambda: whole << 16,
        "float64": lambda: values.view(np.uint64) >> np.uint64(32),
    }[how]()
    return as_float32(words)


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("how", ["int32", "int32, words exchanged", "int16", "float64"])
def test_what_is_served_instead_of_a_float_is_named(how, scale):
    """Five values after the change, also where all are the same whole number."""
    raw = np.concatenate([plant(20), served(plant(5, 2), how, scale)])
    same = {how, "int32, words exchanged"} if how == "int16" else {how}  # the same bits where small
    assert retyped(raw, FLOAT, TRAINED, NOISE) in same
    assert retyped(raw[:-1], FLOAT, TRAINED, NOISE) == ""


@pytest.mark.parametrize("word", [59, 60])
def test_one_integer_again_and_again_is_enough_where_it_reads_as_nearly_nothing(word):
    """No instrument reads 8e-44; but zero is zero."""
    still = as_float32(np.full(5, word))
    assert retyped(np.concatenate([plant(20), still]), FLOAT, TRAINED, NOISE) == "int32"
    assert retyped(np.concatenate([plant(20), np.zeros(5)]), FLOAT, TRAINED, NOISE) == ""


@pytest.mark.parametrize("dtype", [">i4", ">u4"])
def test_a_float_that_is_read_as_a_long_integer_is_named(dtype):
    """With the scale that the register has."""
    register = Register("holding", 100, 2, dtype, 0.01)
    bits = plant(6, 2).astype(np.float32).view(np.uint32).astype(np.float64) * 0.01
    assert retyped(np.concatenate([plant(20), bits]), register, TRAINED, NOISE) == "float32"


def test_a_sign_bit_that_is_none_is_named():
    """Values beyond 32,767 that come back below zero."""
    register = Register("holding", 100, 1, ">i2", 1.0)
    before = 32_730.0 + np.round(8.0 * np.random.default_rng(1).standard_normal(20))
    after = 32_770.0 + np.arange(6.0) - 65_536.0
    found = retyped(np.concatenate([before, after]), register, (32_600.0, 32_800.0), 8.0)
    assert found == "uint16"


@pytest.mark.parametrize("seed", range(200))
def test_what_plants_and_instruments_do_is_no_other_type(seed):
    """Steps, zeros with noise, dead values, other units and noise at any size."""
    rng = np.random.default_rng(seed)
    level = float(rng.choice([0.0, 4.0, 20.0, 100.0, -273.15, 3276.7, 1e-3, 1e4]))
    noise = 10.0 ** rng.uniform(-6.0, 2.0)
    after = level + noise * rng.standard_normal(int(rng.integers(5, 30)))
    raw = np.concatenate([plant(20, seed), after])
    others = [
        Register("holding", 1, width, dtype, scale) for scale in (1.0, 0.01)
        for width, dtype in ((1, ">i2"), (1, ">u2"), (2, ">i4"))
    ]  # fmt: skip
    for register in (FLOAT, *others):
        assert retyped(raw, register, TRAINED, NOISE) == ""


def test_without_a_register_nothing_is_said():
    """Where it is not known what a number was, it may have been anything."""
    raw = np.concatenate([plant(20), served(plant(5, 2), "int32", 1.0)])
    assert retyped(raw, None, TRAINED, NOISE) == ""
