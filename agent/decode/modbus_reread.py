"""Modbus: what tags read where the registers that hold their values are others than configured.

After a shift by one register a float32 is made of halves of two neighbours; these are known where
both are tags, so what the agent will read is known to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from agent.decode.modbus import ORDERS, Address, bytes_of
from agent.errors import SourceError
from agent.types import Float64, Quality, UInt16

Read = Callable[[Float64], tuple[Float64, UInt16]]
_UNREADABLE = int(Quality.BAD | Quality.NOT_A_NUMBER)


class _Byte(NamedTuple):
    """A byte of a value that is served: column of its tag, its place from the most significant."""

    column: int
    place: int


def shifted(address: Address, by: int, data_type: str = "", order: str = "") -> Address:
    """Where a value is served that stood at an address, and how, after its map was changed.

    Args:
        address: as it was.
        by: registers that it moved up.
        data_type: it is served in by now; empty: the same.
        order: of its words by now; empty: the same.

    Raises:
        SourceError: there is no such type or order.
    """
    kind = data_type or address.type
    dtype, _ = bytes_of(replace(address, type=kind)) if data_type else bytes_of(address)
    if order and order not in ORDERS:
        raise SourceError("reading word order", repr(order), f"it is none of {', '.join(ORDERS)}")
    width = address.width if not data_type or address.type == "bool" else dtype.itemsize // 2
    return replace(
        address, offset=address.offset + by, type=kind, order=order or address.order, width=width
    )


def reread(
    served: Mapping[str, Address], read: Mapping[str, Address]
) -> dict[str, tuple[tuple[str, ...], Read] | None]:
    """Of each tag that reads something else by now: the tags it is made of, and how.

    Args:
        served: where, and how, the value of each tag stands by now.
        read: where, and how, the agent reads each tag.

    Returns:
        None for a tag of which nobody knows what stands there; no entry for one that is as it was.
    """
    names = tuple(served)
    bytes_there = _bytes_there(list(served.values()))
    found: dict[str, tuple[tuple[str, ...], Read] | None] = {}
    for name, address in read.items():
        if served.get(name) == address:
            continue
        _, places = bytes_of(address)
        unit = _unit(address)
        taken = [bytes_there.get((address.area, address.offset * unit + at)) for at in places]
        known = [one for one in taken if one is not None]
        if len(known) < len(taken):
            found[name] = None
            continue
        columns = sorted({one.column for one in known})
        recipe = [(columns.index(one.column), one.place) for one in known]
        sources = [served[names[column]] for column in columns]
        needs = tuple(names[column] for column in columns)
        found[name] = needs, partial(_read, address, sources, recipe)
    return found


def _unit(address: Address) -> int:
    """Bytes of one address: a register has two, a bit is one here."""
    return 1 if address.area in ("coil", "discrete") else 2


def _bytes_there(served: list[Address]) -> dict[tuple[str, int], _Byte]:
    """(area, number of the byte in it) -> what stands there."""
    found: dict[tuple[str, int], _Byte] = {}
    for column, address in enumerate(served):
        _, places = bytes_of(address)
        for place, at in enumerate(places):
            found[address.area, address.offset * _unit(address) + at] = _Byte(column, place)
    return found


def _read(
    address: Address, sources: list[Address], recipe: list[tuple[int, int]], values: Float64
) -> tuple[Float64, UInt16]:
    """Values and quality of a tag, from those that are served."""
    raw = [_bytes(one, values[:, column]) for column, one in enumerate(sources)]
    made = np.column_stack([raw[column][:, place] for column, place in recipe])
    dtype, _ = bytes_of(address)
    with np.errstate(invalid="ignore", over="ignore"):
        number: Any = np.ascontiguousarray(made, np.uint8).view(dtype)[:, 0]
        value = (number != 0 if address.type == "bool" else number).astype(np.float64)
        value = value * address.scale
    bad = ~np.isfinite(value) | ~np.isfinite(values).all(axis=1)
    return np.where(bad, np.nan, value), np.where(bad, _UNREADABLE, 0).astype(np.uint16)


def _bytes(address: Address, value: Float64) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """uint8[n, bytes] of a value as it is served, the most significant first."""
    dtype, _ = bytes_of(address)
    raw = np.nan_to_num(value / address.scale)
    if address.type == "bool":
        raw = (raw != 0).astype(np.float64)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        raw = np.clip(np.rint(raw), float(limits.min), float(limits.max))
    with np.errstate(over="ignore"):
        made = raw.astype(dtype)
    return np.ascontiguousarray(made).view(np.uint8).reshape(len(value), -1)
