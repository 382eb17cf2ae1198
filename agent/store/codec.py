"""Entries as bytes: blocks in compressed columns, commands as JSON. Exact both ways, to the bit.

A block's blob (version 1, little-endian):

    u8 version | u32 samples | u32 length of the columns as they were | zlib of
    tag i32 (differences) | arrival i64 (differences) |
    then, grouped by tag: source i64 (arrival minus source, differences) | value u64 (each XOR the
    one before it, bytes transposed) | quality u16

Values of one tag resemble each other, so grouping them before the XOR makes most bytes zero. The
grouping is the stable sort by tag, which the reader can do again from the tag column. All
differences wrap, so every bit pattern survives: NaN payloads, minus zero, hostile times.

Cost, measured on 1,000 noisy tags: 3 bytes a sample (float32 sensors) to 7 (full doubles), 200 to
300 ns to encode one, 90 ns to decode one.
"""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from agent.errors import StoreError
from agent.types import Block, Command, Entry, Int64

VERSION = 1
BLOCK_KIND = "block"
_HEADER = struct.Struct("<BII")
_BYTES_PER_SAMPLE = 4 + 8 + 8 + 8 + 2
_LEVEL = 1  # of zlib; higher levels cost 5x for 4 % less


def encode(entry: Entry) -> tuple[str, bytes]:
    """What kind of entry it is ("block", or the command's own kind), and its bytes."""
    if isinstance(entry, Block):
        return BLOCK_KIND, _encode_block(entry)
    text = json.dumps(dict(entry.data), ensure_ascii=False, separators=(",", ":"))
    return entry.kind, bytes([VERSION]) + text.encode("utf-8", "surrogatepass")


def decode(sequence: int, sealed_ns: int, kind: str, blob: bytes) -> Entry:
    """The entry that `encode` was given.

    Raises:
        StoreError: damaged, or written by a newer version.
    """
    try:
        if not blob or blob[0] != VERSION:
            raise ValueError(f"version {blob[0] if blob else 'none'}, this program reads {VERSION}")
        if kind == BLOCK_KIND:
            return _decode_block(sequence, sealed_ns, blob)
        data = json.loads(blob[1:].decode("utf-8", "surrogatepass"))
        return Command(sequence, sealed_ns, kind, data)
    except (ValueError, struct.error, zlib.error) as error:
        raise StoreError(
            "reading the journal",
            f"entry {sequence} ({kind})",
            str(error),
            "replay up to the entry before; if the disk is failing, replace it",
        ) from error


def _differences(values: Int64) -> Int64:
    first = np.zeros(1, values.dtype)
    return np.diff(values, prepend=first)


def _encode_block(block: Block) -> bytes:
    tag = np.ascontiguousarray(block.tag, "<i4")
    arrival = np.ascontiguousarray(block.arrival_ns, "<i8")
    order = np.argsort(tag, kind="stable")
    late = (arrival - np.ascontiguousarray(block.source_ns, "<i8"))[order]
    bits = np.ascontiguousarray(block.value, "<f8").view("<u8")[order]
    changed = bits.copy()
    changed[1:] ^= bits[:-1]
    columns = b"".join(
        (
            np.diff(tag, prepend=np.zeros(1, "<i4")).tobytes(),
            _differences(arrival).tobytes(),
            _differences(late).tobytes(),
            _transposed(changed).tobytes(),
            np.ascontiguousarray(block.quality, "<u2")[order].tobytes(),
        )
    )
    return _HEADER.pack(VERSION, len(tag), len(columns)) + zlib.compress(columns, _LEVEL)


def _transposed(bits: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """All first bytes, then all second bytes, ...: uint8[8, n]."""
    return np.ascontiguousarray(bits.view(np.uint8).reshape(-1, 8).T)


def _decode_block(sequence: int, sealed_ns: int, blob: bytes) -> Block:
    _, count, length = _HEADER.unpack_from(blob)
    if length != count * _BYTES_PER_SAMPLE:
        raise ValueError(f"{count} samples can not take {length} bytes")
    columns = zlib.decompress(blob[_HEADER.size :], bufsize=max(length, 1))
    if len(columns) != length:
        raise ValueError(f"{len(columns)} bytes where {length} were announced")
    tag = np.cumsum(np.frombuffer(columns, "<i4", count), dtype=np.int32)
    arrival = np.cumsum(np.frombuffer(columns, "<i8", count, 4 * count), dtype=np.int64)
    late = np.cumsum(np.frombuffer(columns, "<i8", count, 12 * count), dtype=np.int64)
    planes = np.frombuffer(columns, np.uint8, 8 * count, 20 * count).reshape(8, count)
    changed = np.ascontiguousarray(planes.T).view("<u8").reshape(count)
    order = np.argsort(tag, kind="stable")
    source = np.empty(count, np.int64)
    source[order] = arrival[order] - late
    value = np.empty(count, np.uint64)
    value[order] = np.bitwise_xor.accumulate(changed)
    quality = np.empty(count, np.uint16)
    quality[order] = np.frombuffer(columns, "<u2", count, 28 * count)
    return Block(sequence, sealed_ns, tag, source, arrival, value.view(np.float64), quality)
