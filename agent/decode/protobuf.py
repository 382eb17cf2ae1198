"""The wire form of Protocol Buffers, read without a schema: enough for Sparkplug and ONNX.

Source: https://protobuf.dev/programming-guides/encoding. Groups, which proto3 dropped, are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10  # bytes
_MASK: Final = 2**64 - 1

Field = tuple[int, int, "int | memoryview"]


def fields(data: bytes | memoryview) -> Iterator[Field]:
    """(number, wire type, value) of each field of a message, in its order.

    A varint is an unsigned whole number, as are the bits of fixed fields; texts, bytes and inner
    messages are views of `data`, which are not copied.

    Raises:
        ValueError: it is no message, or is cut.
    """
    view, at = memoryview(data), 0
    while at < len(view):
        key, at = _varint(view, at)
        number, kind = key >> 3, key & 7
        if not number:
            raise ValueError("a field has number 0")
        value: int | memoryview
        if kind == VARINT:
            value, at = _varint(view, at)
        elif kind == BYTES:
            size, at = _varint(view, at)
            value, at = _part(view, at, size), at + size
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
            value, at = int.from_bytes(_part(view, at, size), "little"), at + size
        else:
            raise ValueError(f"a field has wire type {kind}")
        yield number, kind, value


def _part(view: memoryview, at: int, size: int) -> memoryview:
    if at + size > len(view):
        raise ValueError("it is cut")
    return view[at : at + size]


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    found = 0
    for place in range(_LONGEST_VARINT):
        if at + place >= len(view):
            raise ValueError("it is cut")
        byte = view[at + place]
        found |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return found & _MASK, at + place + 1
    raise ValueError("a number has more than ten bytes")


def whole(value: int | memoryview) -> int:
    """The value of a field that is a whole number.

    Raises:
        ValueError: the field is of another kind.
    """
    if isinstance(value, int):
        return value
    raise ValueError("a number was expected")


def part(value: int | memoryview) -> memoryview:
    """The value of a field that is a text, bytes or an inner message.

    Raises:
        ValueError: the field is of another kind.
    """
    if isinstance(value, memoryview):
        return value
    raise ValueError("a text or message was expected")


def text(value: int | memoryview) -> str:
    """The value of a field that is a text.

    Raises:
        ValueError: the field is of another kind, or no UTF-8.
    """
    return bytes(part(value)).decode()


def real(value: int | memoryview, kind: int) -> float:
    """The value of a float or double field, by its wire type.

    Raises:
        ValueError: the field is of another kind.
    """
    if kind not in (FIXED32, FIXED64):
        raise ValueError("a real number was expected")
    form, size = ("<f", 4) if kind == FIXED32 else ("<d", 8)
    return float(struct.unpack(form, whole(value).to_bytes(size, "little"))[0])
