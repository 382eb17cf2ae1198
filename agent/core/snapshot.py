"""Snapshots: the engine's state as bytes, the same bytes for the same state; no pickle.

Layout: magic, length of a canonical JSON header (uint32, little endian), the header, then the
arrays' bytes in the header's order. Rows are found again by key (model and input, or tag), so a
changed configuration keeps the state of what stayed; an array whose layout changed is left as new,
and its name is reported, so that this detector alone warms up again.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.errors import StoreError

MAGIC = b"FWS1"
ENGINE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Lasting:
    """One array of the state; `axis` says what its rows are: ``row``, ``tag`` or nothing."""

    name: str
    axis: str
    array: np.ndarray[Any, Any]


def _layout(array: np.ndarray[Any, Any]) -> str:
    return json.dumps(np.lib.format.dtype_to_descr(array.dtype))


def dump(
    arrays: Sequence[Lasting], keys: Mapping[str, list[str]], facts: Mapping[str, Any]
) -> bytes:
    """State as bytes; `keys` gives the keys of axes ``row`` and ``tag``, `facts` is JSON-ready."""
    header = {
        "engine": ENGINE_VERSION,
        "keys": dict(keys),
        "facts": dict(facts),
        "arrays": [
            {"name": item.name, "axis": item.axis, "shape": list(item.array.shape),
             "layout": _layout(item.array)}
            for item in arrays
        ],
    }
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    body = b"".join(np.ascontiguousarray(item.array).tobytes() for item in arrays)
    return MAGIC + struct.pack("<I", len(text)) + text + body


def load(
    data: bytes, arrays: Sequence[Lasting], keys: Mapping[str, list[str]]
) -> tuple[dict[str, Any], list[str]]:
    """Fill `arrays` in place; the facts, and the names of arrays that start anew.

    Raises:
        StoreError: damaged, or not a snapshot of this engine version; `arrays` are as before.
    """
    if data[:4] != MAGIC:
        raise StoreError("reading snapshot", "engine state", "not a snapshot of this program")
    try:
        (length,) = struct.unpack_from("<I", data, 4)
        header = json.loads(data[8 : 8 + length])
        version = header["engine"]
        stored = _stored(data, 8 + length, header) if version == ENGINE_VERSION else {}
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise StoreError(
            "reading snapshot", "engine state", f"damaged: {error!r}",
            "the state starts anew from the journal",
        ) from error
    if version != ENGINE_VERSION:
        raise StoreError(
            "reading snapshot", "engine state", f"engine version {version}",
            "the state starts anew from the journal",
        )
    fresh = [
        item.name
        for item in arrays
        if not _fill(item, stored.get(item.name), header["keys"], keys)
    ]
    return header["facts"], fresh


def _stored(
    data: bytes, place: int, header: Mapping[str, Any]
) -> dict[str, tuple[str, np.ndarray[Any, Any]]]:
    """Every array in the snapshot, by name, with its layout; nothing may be left over."""
    if not {"facts", "keys"} <= header.keys():
        raise ValueError("facts or keys are missing")
    found: dict[str, tuple[str, np.ndarray[Any, Any]]] = {}
    for item in header["arrays"]:
        layout = np.lib.format.descr_to_dtype(_tuples(json.loads(item["layout"])))
        count = int(np.prod(item["shape"], dtype=np.int64))
        if place + count * layout.itemsize > len(data):
            raise ValueError(f"array {item['name']} is cut short")
        array = np.frombuffer(data, layout, count, place).reshape(item["shape"])
        place += array.nbytes
        found[item["name"]] = (item["layout"], array)
    if place != len(data):
        raise ValueError(f"{len(data) - place} bytes too many")
    return found


def _tuples(descr: Any) -> Any:
    """JSON made lists of the tuples that a structured layout is described by."""
    return [tuple(field) for field in descr] if isinstance(descr, list) else descr


def _fill(
    item: Lasting, found: tuple[str, np.ndarray[Any, Any]] | None,
    old_keys: Mapping[str, list[str]], keys: Mapping[str, list[str]],
) -> bool:
    if found is None or found[0] != _layout(item.array):
        return False
    source = found[1]
    if source.shape[1:] != item.array.shape[1:]:
        return False
    if not item.axis:
        if source.shape != item.array.shape:
            return False
        item.array[...] = source
        return True
    place = {key: row for row, key in enumerate(old_keys[item.axis])}
    for row, key in enumerate(keys[item.axis]):
        if key in place:
            item.array[row] = source[place[key]]
    return True
