"""Bytes to columns, one module a protocol. No I/O: what arrives is handed in."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any


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
