"""What tomllib does not tell of a file: where each key stands, and what to do about an error."""

from __future__ import annotations

import re

_PART = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)"""
_KEY = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_KEY})\s*\]")
_PAIR = re.compile(rf"\s*({_KEY})\s*=(.*)$")
_PARTS = re.compile(_PART)
_TRIPLE = re.compile(r'"""|\'\'\'')
# Texts and comments, which may hold brackets that are none.
_NOISE = re.compile(r""""(?:[^"\\]|\\.)*+(?:"|$)|'[^']*+(?:'|$)|#.*$""")
_TOKEN = re.compile(
    r'''"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\Z)'''
    r"""|'''(?:[^']|'(?!''))*+(?:'{3,5}|\Z)"""
    r"""|"(?:[^"\\\n]|\\.)*+"?|'[^'\n]*+'?"""
    r"""|#[^\n]*+|[.=,\[\]{}\n]""",
    re.DOTALL,
)
"""Texts and comments as a whole, and what stands between keys; no text costs more than its length.
"""
_BETWEEN = frozenset("=,[]{}\n")

_ADVICE = (
    ("Expected '=' after a key", "write key = value; a name with blanks needs quotes"),
    ("at the end of a table declaration", 'names with blanks need quotes: [tags."inlet flow"]'),
    ("end of an array declaration", 'names with blanks need quotes: [[models."a b".labels]]'),
    ("Expected newline or end of document", 'one key a line; text needs quotes: scan = "1s"'),
    ("hex value", "a backslash needs single quotes around the text: 'C:\\Users\\train.csv'"),
    ("Unescaped '\\'", "a backslash needs single quotes around the text: 'C:\\data\\train.csv'"),
    ("Illegal character '\\n'", "the quotes that end the text are missing"),
    ("Expected \"'\"", "the quotes that end the text are missing"),
    ("Expected '\"", "the quotes that end the text are missing"),
    ("Unterminated string", "the quotes that end the text are missing"),
    ("Unclosed array", "the bracket that ends the list, or a comma in it, is missing"),
    ("Unclosed inline table", "an inline table is one line: { a = 1, b = 2 }; see its commas"),
    ("inline table", "an inline table is one line, each key once: { a = 1, b = 2 }"),
    ("twice", "the table is there already: put the keys together, or give it another name"),
    ("overwrite", "the key is there already: drop one; a name with dots needs quotes"),
    ("immutable", "the table is there already: put the keys together"),
    ("date or datetime", "write it like 2026-03-01T12:00:00Z, or in quotes if it is text"),
    ("Invalid value", 'text needs quotes, and true or false small letters: name = "reactor"'),
    ("Invalid initial character for a key", "a name with other than A-Z, 0-9, _ or - needs quotes"),
    ("Invalid statement", "write key = value; a name with more than A-Z, 0-9, _, - needs quotes"),
    ("character", "a sign that can not be seen stands there: type the line anew"),
)
"""What stands in an error of tomllib -> what to do, the first that fits."""

Path = tuple[str | int, ...]


def advice(error: str) -> str:
    """What to do about an error of tomllib; a general word where none fits."""
    return next((told for part, told in _ADVICE if part in error), "see https://toml.io")


def longest_key(text: str, enough: int) -> int:
    """At most how many parts a dotted key of the text has; it stops looking beyond `enough`."""
    if all(line.count(".") < enough for line in text.splitlines()):
        return 0
    dots = longest = 0
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign == ".":
            dots += 1
            longest = max(longest, dots + 1)
            if longest > enough:
                break
        elif sign in _BETWEEN:
            dots = 0
    return longest


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
