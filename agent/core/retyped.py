"""What readings would be, were their register of another data type: integers served where floats
are read, a sign bit that is none, a longer float.

Claimed as `registers.exchanged` is: where all the latest values have left training, and all are
back amid it by another reading of the very same bits. A plant or an instrument does no such thing:
of a value that strays, the bits of one in thousands read so by accident, and several must. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from agent.core.registers import ending, is_near, within
from agent.core.spec import Register
from agent.types import Float64

_LEAST, _DISTINCT = 5, 2  # values since a change that it must explain, different ones among them
_SCALES = (1.0, 0.1, 0.01, 0.001)  # beside the register's own
_SUBNORMAL = 1.1754943508222875e-38  # the smallest normal float32
_HALF = 65_536.0  # what a 16-bit number is off, where its sign bit is read as one and is none

_Bits = np.ndarray[Any, np.dtype[np.uint32]]
_Reading = Callable[[_Bits], Float64]


def _as(dtype: str) -> _Reading:
    return lambda bits: bits.view(dtype).astype(np.float64)


def _turned(bits: _Bits) -> _Bits:
    found: _Bits = (bits << np.uint32(16)) | (bits >> np.uint32(16))
    return found


def _first_word(dtype: str) -> _Reading:
    return lambda bits: (bits >> np.uint32(16)).astype(np.uint16).view(dtype).astype(np.float64)


def _long_float(bits: _Bits) -> Float64:
    """Of the first half of a float64: good to 20 bits."""
    found: Float64 = (bits.astype(np.uint64) << np.uint64(32)).view(np.float64)
    return found


_OF_FLOAT: tuple[tuple[str, _Reading, bool], ...] = (
    ("int32", _as("i4"), True),
    ("int32, words exchanged", lambda bits: _as("i4")(_turned(bits)), True),
    ("uint32", _as("u4"), True),
    ("int16", _first_word("i2"), True), ("uint16", _first_word("u2"), True),
    ("float64", _long_float, False),
)  # fmt: skip
"""What a float32 may be instead: (type, its reading, whether it may have any scale)."""
_OF_LONG: tuple[tuple[str, _Reading, bool], ...] = (
    ("float32", _as("f4"), False),
    ("float32, words exchanged", lambda bits: _as("f4")(_turned(bits)), False),
    ("int16", _first_word("i2"), True), ("uint16", _first_word("u2"), True),
)  # fmt: skip


def retyped(raw: Float64, register: Register | None, trained: tuple[float, float],
            noise: float) -> str:  # fmt: skip
    """The data type that is served since a change; empty where none explains the values.

    Args:
        raw: the latest values, oldest first, in the tag's unit; NaN where none is a number.
        register: how it is read, where that is known.
        trained: lowest and highest value of training.
        noise: standard deviation of sample-to-sample noise, in the tag's unit.
    """
    if register is None:
        return ""
    count = ending(~within(raw, trained) | ~np.isfinite(raw))
    latest, before = raw[len(raw) - count :], raw[: len(raw) - count]
    if count < _LEAST or np.isfinite(latest).sum() < _LEAST:
        return ""
    # No instrument reads so little and not zero: such floats are integers, be they all the same.
    tiny = bool((latest != 0.0).all() and (np.abs(latest) < _SUBNORMAL * register.scale).all())
    for name, back in _readings(latest[np.isfinite(latest)], register):
        usable = np.isfinite(back)
        distinct = len(np.unique(back)) >= _DISTINCT or tiny
        if distinct and usable.all() and within(back, trained).all() \
                and is_near(back, before, trained, noise):
            return name
    return ""


def _readings(values: Float64, register: Register) -> Iterator[tuple[str, Float64]]:
    """(type, values) of each other reading of what a register holds."""
    dtype = np.dtype(register.dtype)
    if dtype.itemsize == 2 and dtype.kind in "iu":
        other = ("int16", "uint16")[dtype.kind == "i"]
        yield other, values + np.where(values < 0.0, _HALF, -_HALF) * register.scale
        return
    if dtype.itemsize != 4:
        return
    bits = _bits_of(values / register.scale, dtype)
    if bits is None:
        return
    for name, read, scaled in _OF_FLOAT if dtype.kind == "f" else _OF_LONG:
        with np.errstate(all="ignore"):
            plain = read(bits)
        for scale in dict.fromkeys((register.scale, *_SCALES)) if scaled else (1.0,):
            yield name, plain * scale


def _bits_of(plain: Float64, dtype: np.dtype[Any]) -> _Bits | None:
    """uint32[n] of what the registers held; None where they can not have held it."""
    native = dtype.newbyteorder("=")
    with np.errstate(all="ignore"):
        whole = plain if dtype.kind == "f" else np.round(plain)
        if dtype.kind != "f":
            info = np.iinfo(native)
            if not ((whole >= float(info.min)) & (whole <= float(info.max))).all():
                return None
        found: _Bits = whole.astype(native).view(np.uint32)
    return found
