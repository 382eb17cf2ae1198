"""Sparkplug B messages for tests, encoded by hand from the field numbers of its schema."""

from __future__ import annotations

import struct


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    out = bytearray()
    while True:
        byte, value = value & 0x7F, value >> 7
        if not value:
            return bytes([*out, byte])
        out.append(byte | 0x80)


def number(field: int, value: int) -> bytes:
    """A field that is a whole number."""
    return varint(field << 3) + varint(value)


def block(field: int, data: bytes | str) -> bytes:
    """A field that is a text or a message."""
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def _property(value: float | str) -> bytes:
    if isinstance(value, str):
        return number(1, 12) + block(8, value)
    return number(1, 3) + number(3, int(value))


def metric(
    name: str, kind: int, *, alias: int | None = None, time_ms: int = 0, raw: int | None = None,
    real: float | None = None, double: float | None = None, text: str | None = None,
    truth: bool | None = None, unit: str = "", quality: int | None = None,
    is_historical: bool = False, is_null: bool = False,
) -> bytes:  # fmt: skip
    """A Metric; `kind` 0 leaves the data type to the birth."""
    parts = [block(1, name)] if name else []
    parts += [number(2, alias)] if alias is not None else []
    parts += [number(at, value) for at, value in ((3, time_ms), (4, kind)) if value]
    parts += [number(at, 1) for at, flag in ((5, is_historical), (7, is_null)) if flag]
    told = {"engUnit": unit} if unit else {}
    told |= {"Quality": quality} if quality is not None else {}
    if told:
        keys = b"".join(block(1, key) for key in told)
        parts.append(block(9, keys + b"".join(block(2, _property(one)) for one in told.values())))
    parts += [number(11 if kind in (4, 8) else 10, raw)] if raw is not None else []
    parts += [varint(12 << 3 | 5) + struct.pack("<f", real)] if real is not None else []
    parts += [varint(13 << 3 | 1) + struct.pack("<d", double)] if double is not None else []
    parts += [number(14, truth)] if truth is not None else []
    parts += [block(15, text)] if text is not None else []
    return b"".join(parts)


def payload(*metrics: bytes, time_ms: int = 0, sequence: int = 0) -> bytes:
    """A Payload."""
    head = number(1, time_ms) if time_ms else b""
    return head + b"".join(block(2, one) for one in metrics) + number(3, sequence)
