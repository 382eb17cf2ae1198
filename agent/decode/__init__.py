"""Bytes to columns, one module a protocol. No I/O: what arrives is handed in."""

from __future__ import annotations

import importlib
from typing import Any


def parse_address(protocol: str, text: str) -> Any:
    """The address of a tag, as the module of the protocol's name reads it.

    Raises:
        SourceError: what is wrong with it, and how it is written.
    """
    return importlib.import_module(f"agent.decode.{protocol}").parse_address(text)
