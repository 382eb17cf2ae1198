"""Keys of a TOML text set in place: comments, order and all other lines stay as they are.

Each change is read again with tomllib: what would mean anything else than was asked is refused.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

from agent.configuration.toml_lines import Path, key_lines

_PAIR = re.compile(r"""(\s*(?:"(?:[^"\\]|\\.)*"|'[^']*'|[\w.-]|\s)+?\s*=\s*)""")
_TOKEN = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|#[^\n]*|[\[\]{}\n]""")


def toml(value: Any) -> str:
    """A value as TOML: text, number, truth value, or a list of these."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def set_keys(text: str, table: Path, values: Mapping[str, Any]) -> str:
    """Set keys of one table, each where it stands, else right below the table's header.

    Args:
        text: valid TOML.
        table: such as ``("tags", "flow")``.
        values: key -> value.

    Raises:
        ValueError: the table has no header of its own, or the text can not be changed so.
    """
    wanted = tomllib.loads(text)
    own = wanted
    for part in table:
        own = own[str(part)]
    own |= values
    lines = text.splitlines(keepends=True)
    for key, value in values.items():
        where = key_lines("".join(lines))
        at = where.get((*table, key))
        if at is not None:
            first = at - 1
            last, tail = _end(lines, first)
            match = _PAIR.match(lines[first])
            if match is None:
                raise ValueError(f"line {at} is not understood")
            lines[first : last + 1] = [f"{match[1]}{toml(value)}{tail}"]
            continue
        header = where.get(table)
        if header is None or not lines[header - 1].lstrip().startswith("["):
            raise ValueError(f"{'.'.join(map(str, table))} has no header of its own")
        lines[header - 1] = lines[header - 1].rstrip("\n") + "\n"
        lines.insert(header, f"{key} = {toml(value)}\n")
    return _checked("".join(lines), wanted)


def add_to_list(text: str, key: str, value: str) -> str:
    """Add a text to a list at the top level, which is made where there is none.

    Raises:
        ValueError: the text can not be changed so.
    """
    wanted = tomllib.loads(text)
    wanted.setdefault(key, []).append(value)
    lines = text.splitlines(keepends=True)
    where = key_lines(text)
    at = where.get((key,))
    if at is None:
        tables = [line for path, line in where.items() if lines[line - 1].lstrip().startswith("[")]
        place = min(tables, default=len(lines) + 1) - 1
        while place > 0 and lines[place - 1].lstrip().startswith("#"):
            place -= 1  # the comment above the first table is that table's
        while place > 0 and not lines[place - 1].strip():
            place -= 1
        if place and not lines[place - 1].endswith("\n"):
            lines[place - 1] += "\n"
        lines.insert(place, f"{key} = {toml([value])}\n")
        return _checked("".join(lines), wanted)
    last, tail = _end(lines, at - 1)
    body = "".join(lines[at - 1 : last + 1])
    closing = len(body) - len(tail) - 1
    before = body[:closing].rstrip()
    comma = "" if before.endswith(("[", ",")) else ", "
    if last > at - 1:  # one a line, as the others
        comma = ",\n    " if comma else "\n    "
        return _checked(
            "".join(lines[: at - 1]) + _after_last(body[:closing], comma, toml(value))
            + f"\n]{tail}" + "".join(lines[last + 1 :]), wanted,
        )  # fmt: skip
    lines[at - 1] = f"{before}{comma}{toml(value)}]{tail}"
    return _checked("".join(lines), wanted)


def _after_last(body: str, comma: str, value: str) -> str:
    """The last element of a list over several lines, then another; a comment behind it stays."""
    ends = [match.end() for match in _TOKEN.finditer(body) if match[0][0] in "\"'["]
    last = ends[-1] if ends else len(body)
    rest = body[last:].rstrip()
    has_comma = rest.lstrip().startswith(",")
    sign = "" if has_comma or comma.startswith("\n") else ","
    return f"{body[:last]}{sign}{rest}\n    {value},"


def _end(lines: list[str], first: int) -> tuple[int, str]:
    """(the last line of the value that begins on a line, what stands behind it there)."""
    text = "".join(lines[first:])
    start = text.index("=") + 1 if (match := _PAIR.match(text)) is None else match.end()
    depth, end = 0, len(text)
    if text.startswith(('"""', "'''"), start):
        raise ValueError("it is a text over several lines")
    for token in _TOKEN.finditer(text, start):
        sign = token[0]
        if sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        if depth == 0 and (sign == "\n" or sign[0] == "#"):
            end = token.start()
            break
    value = text[start:end].rstrip()
    last = first + text.count("\n", 0, start + len(value))
    rest = text[start + len(value) :]
    return last, rest[: rest.index("\n") + 1] if "\n" in rest else rest


def _checked(text: str, wanted: Mapping[str, Any]) -> str:
    try:
        same = tomllib.loads(text) == wanted
    except tomllib.TOMLDecodeError:
        same = False
    if not same:
        raise ValueError("it can not be changed without rewriting it")
    return text
