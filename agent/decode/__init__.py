"""Bytes to columns, one module a protocol. No I/O: what arrives is handed in."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.types import Float64, UInt16

Reread = tuple[tuple[str, ...], Callable[[Float64], tuple[Float64, UInt16]]]
"""The tags that a value is made of by now, and how: float64[n, tags] -> values, quality bits."""


def parse_address(protocol: str, text: str) -> Any:
    """The address of a tag, as the module of the protocol's name reads it.

    Raises:
        SourceError: what is wrong with it, and how it is written.
    """
    return importlib.import_module(f"agent.decode.{protocol}").parse_address(text)


def unfit_codes(protocol: str, text: str, codes: Sequence[int | str]) -> list[int | str]:
    """Those raw codes that the registers of an address can not hold.

    Raises:
        SourceError: the address is not understood.
        ValueError: a code is no number.
    """
    module = importlib.import_module(f"agent.decode.{protocol}")
    address = module.parse_address(text)
    numbers = [
        code if not isinstance(code, str) or code.lower().startswith("0x") else int(code)
        for code in codes
    ]
    return [code for code in numbers if module.raw_code(code, address) is None]


def register_of(protocol: str, text: str) -> tuple[str, int, int, str, float] | None:
    """(area, offset, width, numpy's name of the type, scale) of an address; None where its protocol
    has no registers.

    Raises:
        SourceError: the address is not understood.
    """
    module = importlib.import_module(f"agent.decode.{protocol}")
    return module.register_of(text) if hasattr(module, "register_of") else None


def reread(
    protocol: str, addresses: Mapping[str, str], *, shift: int = 0,
    changed: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Reread | None]:
    """What tags of a source with registers read where its map is another than configured.

    Args:
        protocol: of the source.
        addresses: of all its tags.
        shift: registers that every value moved up.
        changed: by tag the `data_type` or `order` that it is served in by now.

    Returns:
        By tag; None: nobody knows what stands there. Tags that read what they did are left out.

    Raises:
        SourceError: an address, type or order is not understood.
    """
    module = importlib.import_module(f"agent.decode.{protocol}_reread")
    read = {name: parse_address(protocol, text) for name, text in addresses.items()}
    other = changed or {}
    served = {
        name: module.shifted(address, shift, **other.get(name, {}))
        for name, address in read.items()
    }
    found: dict[str, Reread | None] = module.reread(served, read)
    return found
