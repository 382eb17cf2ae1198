"""Where the agent of a configuration is to be found, also where the file has faults by now.

A running agent goes on with the configuration that it read; people have to reach it, and to see
what it knows, while they mend the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.configuration.draft import read_text
from agent.configuration.load import load, read_raw, state_directory
from agent.errors import ConfigurationError

_HEADER: Final = re.compile(r"\s*\[\s*([A-Za-z_]+)\s*\]")
_LONGEST: Final = 5_000  # of a line that names a path
_WANTED: Final = (("gateway", "state_directory"), ("status", "socket"))


class Whereabouts(NamedTuple):
    """Paths of one agent; `fault` says why its file can not be loaded, None where it can."""

    store: Path
    socket: Path
    fault: ConfigurationError | None


def find(file: Path) -> Whereabouts:
    """Where the agent of `file` keeps its store and listens.

    Raises:
        ConfigurationError: the file can not be read at all.
    """
    try:
        configuration = load(file)
    except ConfigurationError as error:
        raw = _named(file)
        folder = file.resolve().parent
        store = folder / state_directory(raw["gateway"]) / "fieldwarden.db"
        socket = raw["status"].get("socket") or store.with_name("agent.sock")
        return Whereabouts(store, folder / socket, error)
    return Whereabouts(configuration.store_path, configuration.socket_path, None)


def _named(file: Path) -> dict[str, dict[str, str]]:
    """Section -> key -> what a faulty file says of the two places, as far as it says it."""
    try:
        raw: Mapping[str, Any] = read_raw(file)
    except ConfigurationError:
        raw = _by_line(read_text(file, errors="replace"))
    named: dict[str, dict[str, str]] = {section: {} for section, _ in _WANTED}
    for section, key in _WANTED:
        table = raw.get(section)
        value = table.get(key) if isinstance(table, Mapping) else None
        if isinstance(value, str) and value and "\0" not in value:
            named[section][key] = value
    return named


def _by_line(text: str) -> dict[str, dict[str, Any]]:
    """What single lines of a text say that is no TOML as a whole."""
    found: dict[str, dict[str, Any]] = {section: {} for section, _ in _WANTED}
    section = ""
    for line in text.splitlines():
        if line.lstrip().startswith("["):
            header = _HEADER.match(line)
            section = header[1] if header else ""
        for wanted, key in _WANTED:
            if section == wanted and line.lstrip().startswith(key) and len(line) <= _LONGEST:
                try:
                    found[section] |= tomllib.loads(line)
                except (tomllib.TOMLDecodeError, RecursionError, ValueError):
                    continue
    return found
