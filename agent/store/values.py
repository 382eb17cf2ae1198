"""A column of float64 values in the shortest exact form of each tag.

Forms, one a tag and block, the first that gives every value of it back to the bit:

    0 to 9   decimals: integers that are the value times 10^form, differences within the tag
    32       float32: what a sensor's register held, XOR the one before it
    64       the bits themselves, each XOR the one before it

Values with few decimals are the rule in plants, and their float64 is all but random bytes. The
bytes of each form stand together, all first ones, then all second ones, so that the compressor
sees the zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_DECIMALS = 9
FLOAT32 = 32
BITS = 64
_POWERS = np.array([float(10**decimals) for decimals in range(MOST_DECIMALS + 1)])
_WHOLE = float(1 << 53)  # integers below are exact in float64

UInt64 = NDArray[np.uint64]
Places = NDArray[np.intp]


def encode(bits: UInt64, starts: Places) -> bytes:
    """Form of each tag, then the values.

    Args:
        bits: uint64[n], grouped by tag.
        starts: where each tag's samples begin.
    """
    form = _forms(bits, starts)
    each = np.repeat(form, np.diff(starts, append=len(bits)))
    value = bits.view(np.float64)
    whole = each <= MOST_DECIMALS
    numbers = np.rint(value[whole] * _POWERS[each[whole]]).astype(np.int64)
    single = value[each == FLOAT32].astype(np.float32).view(np.uint32)
    return b"".join((
        form.tobytes(),
        _transposed(_zigzag(_stepped(numbers, each, starts, whole))),
        _transposed(_chained(single)),
        _transposed(_chained(bits[each == BITS])),
    ))  # fmt: skip


def decode(columns: bytes, at: int, starts: Places, count: int) -> tuple[UInt64, int]:
    """(uint64[count], where the column ends), of what `encode` made.

    Raises:
        ValueError: not such a column.
    """
    form = np.frombuffer(columns, np.uint8, len(starts), at)
    at += len(starts)
    if not np.isin(form, [*range(MOST_DECIMALS + 1), FLOAT32, BITS]).all():
        raise ValueError("a form of values that is not known")
    each = np.repeat(form, np.diff(starts, append=count))
    bits = np.empty(count, np.uint64)
    whole = each <= MOST_DECIMALS
    steps, at = _planes(columns, at, int(whole.sum()), np.dtype("<u8"))
    numbers = _summed(_unzigzag(steps), each, starts, whole)
    bits[whole] = (numbers / _POWERS[each[whole]]).view(np.uint64)
    single, at = _planes(columns, at, int((each == FLOAT32).sum()), np.dtype("<u4"))
    values = np.bitwise_xor.accumulate(single).view(np.float32)
    bits[each == FLOAT32] = values.astype(np.float64).view(np.uint64)
    raw, at = _planes(columns, at, int((each == BITS).sum()), np.dtype("<u8"))
    bits[each == BITS] = np.bitwise_xor.accumulate(raw)
    return bits, at


def from_bits(columns: bytes, count: int, at: int) -> UInt64:
    """A column of version 1: all of the form `BITS`, without forms."""
    raw, _ = _planes(columns, at, count, np.dtype("<u8"))
    found: UInt64 = np.bitwise_xor.accumulate(raw)
    return found


def _forms(bits: UInt64, starts: Places) -> NDArray[np.uint8]:
    """uint8[tags]: fewest decimals that are exact for all of a tag's values, or another form."""
    form = np.full(len(starts), BITS, np.uint8)
    if not len(starts):
        return form
    value = bits.view(np.float64)
    plain = np.isfinite(value)
    safe = np.where(plain, value, 0.0)
    with np.errstate(over="ignore"):
        single = safe.astype(np.float32).astype(np.float64)
    fits = plain & (single.view(np.uint64) == bits)
    form[np.logical_and.reduceat(fits, starts)] = FLOAT32
    plain &= (value != 0.0) | ~np.signbit(value)  # an integer has no minus zero
    safe = np.where(np.abs(safe) < _WHOLE, safe, 0.0)
    small = np.abs(safe) < _WHOLE / 10.0**MOST_DECIMALS
    for decimals in range(MOST_DECIMALS, -1, -1):
        power = _POWERS[decimals]
        exact = (np.rint(safe * power) / power).view(np.uint64) == bits
        fits = plain & exact & (small if decimals else True)
        form[np.logical_and.reduceat(fits, starts)] = decimals
    return form


def _first_of(each: NDArray[np.uint8], starts: Places, whole: NDArray[np.bool_]) -> Places:
    """Among the samples in decimals, where each tag's begin."""
    place: Places = np.cumsum(whole) - whole
    found: Places = place[starts[each[starts] <= MOST_DECIMALS]]
    return found


def _stepped(
    numbers: NDArray[np.int64], each: NDArray[np.uint8], starts: Places, whole: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Differences within each tag; its first number as it is."""
    steps = np.diff(numbers, prepend=np.zeros(1, np.int64))
    if len(numbers):
        first = _first_of(each, starts, whole)
        steps[first] = numbers[first]
    return steps


def _summed(
    steps: NDArray[np.int64], each: NDArray[np.uint8], starts: Places, whole: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The numbers again."""
    if not len(steps):
        return steps
    total = np.cumsum(steps)
    first = _first_of(each, starts, whole)
    before = total[first] - steps[first]
    found: NDArray[np.int64] = total - np.repeat(before, np.diff(first, append=len(steps)))
    return found


def _zigzag(numbers: NDArray[np.int64]) -> UInt64:
    """Small for small numbers of either sign."""
    return ((numbers << 1) ^ (numbers >> 63)).view(np.uint64)


def _unzigzag(numbers: UInt64) -> NDArray[np.int64]:
    one = np.uint64(1)
    return (numbers >> one).view(np.int64) ^ -(numbers & one).view(np.int64)


def _chained(bits: NDArray[Any]) -> NDArray[Any]:
    changed = bits.copy()
    changed[1:] ^= bits[:-1]
    return changed


def _transposed(bits: NDArray[Any]) -> bytes:
    """All first bytes, then all second bytes, ..."""
    return np.ascontiguousarray(bits.view(np.uint8).reshape(-1, bits.itemsize).T).tobytes()


def _planes(columns: bytes, at: int, count: int, kind: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    size = kind.itemsize
    planes = np.frombuffer(columns, np.uint8, size * count, at).reshape(size, count)
    return np.ascontiguousarray(planes.T).view(kind).reshape(count), at + size * count
