"""Where each key of a TOML file stands, which tomllib does not tell."""

from __future__ import annotations

import re

_PART = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)"""
_KEY = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_KEY})\s*\]")
_PAIR = re.compile(rf"\s*({_KEY})\s*=(.*)$")
_PARTS = re.compile(_PART)
_TRIPLE = re.compile(r'"""|\'\'\'')
# Texts and comments, which may hold brackets that are none.
_NOISE = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|#.*$""")

Path = tuple[str | int, ...]


def key_lines(text: str) -> dict[Path, int]:
    """Key path -> line, from 1, of every table header and key that stands on a line of its own.

    The elements of an array of tables have their index in the path. Keys of inline tables have
    no line of their own: `line_of` answers with that of the nearest key above them.
    """
    lines: dict[Path, int] = {}
    table: Path = ()
    arrays: dict[Path, int] = {}
    closing = ""  # the quotes that end a text over several lines
    depth = 0  # of brackets of a value over several lines
    for number, line in enumerate(text.splitlines(), start=1):
        if closing:
            closing = "" if closing in line else closing
            continue
        if depth > 0:
            depth += _balance(line)
            continue
        if header := _HEADER.match(line):
            table = _split(header[2])
            if header[1] == "[[":
                arrays[table] = arrays.get(table, -1) + 1
            table = _indexed(table, arrays)
            lines.setdefault(table, number)
        elif pair := _PAIR.match(line):
            lines.setdefault(table + _split(pair[1]), number)
            value = pair[2]
            quotes = _TRIPLE.findall(value)
            if len(quotes) == 1:
                closing = quotes[0]
            else:
                depth = max(0, _balance(value))
    return lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of `path`, or of the nearest key above it; None where nothing of it is there."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return None


def _split(key: str) -> Path:
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in _PARTS.findall(key))


def _indexed(table: Path, arrays: dict[Path, int]) -> Path:
    """Insert the current index behind each part of `table` that is an array of tables."""
    path: Path = ()
    for length in range(1, len(table) + 1):
        path += (table[length - 1],)
        if (index := arrays.get(table[:length])) is not None:
            path += (index,)
    return path


def _balance(text: str) -> int:
    bare = _NOISE.sub("", text)
    return bare.count("[") + bare.count("{") - bare.count("]") - bare.count("}")
