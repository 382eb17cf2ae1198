"""State by name: what lasts of the engine, as bytes and back; equal states give equal bytes.

Every array that lasts has an axis, and every row of it a key: the name of a tag, of a model, of a
model's input, or of a group of inputs that are judged jointly. Rows are found again by key, never
by position, so a snapshot can be resumed into any other configuration: what stayed keeps its state,
what is new or changed starts as new. An array whose layout changed is left as new as a whole, and
its name is reported, so that this detector alone warms up again.

Layout: magic, length of a canonical JSON header (uint32, little endian), the header, then the
arrays' bytes in the header's order; no pickle.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from agent.core.kernels.base import Moment
from agent.errors import StoreError

MAGIC = b"FWS1"
FOR_EVER = 1 << 62
ENGINE_VERSION = 2

Keys = Mapping[str, Sequence[str]]
"""Axis -> the key of each row."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """One array of the state.

    Attributes:
        name: unique.
        axis: what its rows are, a key of `Keys`.
        array: [rows, ...].
        kept: which rows of a snapshot still count, by the name of a set of keys; the axis' own
            where it is not given.
        take: called with the array after it was filled, where it is a copy of what is in use.
        moments: its fields that hold times, by name.
    """

    name: str
    axis: str
    array: np.ndarray[Any, Any]
    kept: str = ""
    take: Callable[[np.ndarray[Any, Any]], None] | None = None
    moments: Mapping[str, Moment] = field(default_factory=dict)

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: move every time that it holds by so much."""
        before = self.array.copy() if self.moments else self.array
        for name, moment in self.moments.items():
            column, was = self.array[name], before[name]
            which = (was != 0) & (np.abs(was) < FOR_EVER // 2) & moment.moves
            if moment.beside:
                which &= was == before[moment.beside]
            column[which] += shift_ns
        if self.moments and self.take is not None:
            self.take(self.array)

    def compare_anew(self) -> None:
        """Nobody knows how the clock compares with the one before: learn lags anew."""
        for moment in self.moments.values():
            if moment.lag:
                self.array[moment.lag] = 0


def _layout(array: np.ndarray[Any, Any]) -> str:
    return json.dumps(np.lib.format.dtype_to_descr(array.dtype))


def dump(arrays: Sequence[Lasting], keys: Keys, facts: Mapping[str, Any]) -> bytes:
    """State as bytes; `facts` is JSON-ready."""
    header = {
        "engine": ENGINE_VERSION,
        "keys": {axis: list(names) for axis, names in keys.items()},
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


@dataclass(frozen=True, slots=True)
class Saved:
    """A snapshot that was read: its facts, and its arrays by name."""

    facts: Mapping[str, Any]
    _places: Mapping[str, Mapping[str, int]]
    _arrays: Mapping[str, tuple[str, str, np.ndarray[Any, Any]]] = field(repr=False)

    def fill(
        self, arrays: Sequence[Lasting], keys: Keys, kept: Mapping[str, Collection[str]]
    ) -> list[str]:
        """Fill the rows of `arrays` whose keys are kept; the names of arrays that are new whole.

        Args:
            arrays: zeros, or what a row that starts as new holds.
            keys: of the present configuration.
            kept: by the name of a set (see `Lasting.kept`), keys whose state still counts.
        """
        return [item.name for item in arrays if not self._fill(item, keys[item.axis], kept)]

    def _fill(
        self, item: Lasting, keys: Sequence[str], kept: Mapping[str, Collection[str]]
    ) -> bool:
        axis, layout, source = self._arrays.get(item.name, ("", "", item.array))
        same = axis == item.axis and layout == _layout(item.array)
        if not same or source.shape[1:] != item.array.shape[1:]:
            return False
        place, wanted = self._places[item.axis], kept[item.kept or item.axis]
        for row, key in enumerate(keys):
            if key in place and key in wanted:
                item.array[row] = source[place[key]]
        if item.take is not None:
            item.take(item.array)
        return True


def read(data: bytes) -> Saved:
    """What a snapshot holds.

    Raises:
        StoreError: damaged, or not a snapshot of this engine version.
    """
    if data[:4] != MAGIC:
        raise StoreError("reading snapshot", "engine state", "not a snapshot of this program")
    try:
        (length,) = struct.unpack_from("<I", data, 4)
        header = json.loads(data[8 : 8 + length])
        version = header["engine"]
        if version != ENGINE_VERSION:
            raise _other_version(version)
        arrays = _stored(data, 8 + length, header)
        places = {
            axis: {key: row for row, key in enumerate(names)}
            for axis, names in header["keys"].items()
        }
        for name, (axis, _, array) in arrays.items():
            if len(array) != len(places[axis]):
                raise ValueError(f"array {name} has {len(array)} rows for {len(places[axis])} keys")
    except (AttributeError, KeyError, TypeError, ValueError, struct.error) as error:
        raise damaged(error) from error
    return Saved(header["facts"], places, arrays)


def damaged(error: Exception) -> StoreError:
    """The error for a snapshot that can not be what was written."""
    return StoreError("reading snapshot", "engine state", f"damaged: {error!r}")


def _other_version(version: object) -> StoreError:
    cause = f"it is of engine version {version}, this program reads {ENGINE_VERSION}"
    return StoreError("reading snapshot", "engine state", cause)


def _stored(
    data: bytes, place: int, header: Mapping[str, Any]
) -> dict[str, tuple[str, str, np.ndarray[Any, Any]]]:
    """Every array in the snapshot, by name: (axis, layout, array); nothing may be left over."""
    if not {"facts", "keys"} <= header.keys():
        raise ValueError("facts or keys are missing")
    found: dict[str, tuple[str, str, np.ndarray[Any, Any]]] = {}
    for item in header["arrays"]:
        layout = np.lib.format.descr_to_dtype(_tuples(json.loads(item["layout"])))
        count = int(np.prod(item["shape"], dtype=np.int64))
        if place + count * layout.itemsize > len(data):
            raise ValueError(f"array {item['name']} is cut short")
        array = np.frombuffer(data, layout, count, place).reshape(item["shape"])
        place += array.nbytes
        found[item["name"]] = (item["axis"], item["layout"], array)
    if place != len(data):
        raise ValueError(f"{len(data) - place} bytes too many")
    return found


def _tuples(descr: Any) -> Any:
    """JSON made lists of the tuples that a structured layout is described by."""
    return [tuple(field) for field in descr] if isinstance(descr, list) else descr
