"""The tables of sources, as a configuration has them, from what was typed on the command line."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.configuration.load import load
from agent.configuration.schema import SOURCE_TABLES, Source
from agent.errors import FieldwardenError
from agent.records.init import head
from agent.starting.tag_list import source_name

_FILES = frozenset({
    "certificate", "private_key", "server_certificate", "ca", "password_file"
})
"""Keys of a source that name a file: typed from where one is, kept from where the file will be."""


def settings(pairs: Sequence[str], out: Path | None) -> dict[str, Any]:
    """Keys and values from ``KEY=VALUE``; numbers and truth values are such.

    Args:
        pairs: as typed.
        out: file that the table will stand in; relative paths are kept from its folder. None: they
            become absolute, as that folder need not be there yet.

    Raises:
        FieldwardenError: a pair has no ``=``.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.strip():
            hint = "write it like --set security=Basic256Sha256 or --set port=8883"
            raise FieldwardenError("taking --set", repr(pair), "it is no KEY=VALUE", hint)
        key = key.strip()
        if key in _FILES and not Path(value).is_absolute():
            value = str(Path.cwd() / value)
            value = os.path.relpath(value, out.resolve().parent) if out is not None else value
        found[key] = value if key in _FILES else _value(value)
    return found


def _value(text: str) -> Any:
    try:
        found = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text
    return found if isinstance(found, bool | int | float | str) else text


def table_text(
    protocol: str, name: str, keys: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]
) -> str:
    """The tables of a source, or of the several that a map has.

    Args:
        protocol: of all of them.
        name: of the source; where there are several, it stands before theirs.
        keys: that all have.
        parts: part of the name -> keys of its own.
    """
    tables = []
    for part, own in parts.items():
        lines = [f"[sources.{source_name(name, part)}]", f'protocol = "{protocol}"']
        for key, value in {**keys, **own}.items():
            edit = "  # EDIT: where the device is" if str(value).startswith("EDIT") else ""
            lines.append(f"{key} = {_toml(value)}{edit}")
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def checked(tables: str, name: str, out: Path) -> Source:
    """The source of a table, as the configuration at `out` would have it.

    Raises:
        ConfigurationError: a key or value is wrong, with the nearest that is right.
    """
    text = head("one source", tables)
    return load(out, {out.resolve(): text}).sources[name]


def is_protocol(text: str) -> bool:
    """Whether there are sources of this protocol."""
    return text in SOURCE_TABLES
