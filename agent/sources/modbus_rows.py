"""A register map's file as rows by role: which column holds what, in the spellings of vendors."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.errors import FieldwardenError
from agent.files import read_bounded
from agent.sources import modbus_terms as terms

_LIMIT_BYTES = 16_000_000
_FIRST_ROWS = 60  # in which the headings stand
_SHOWN = 12
OPERATION = "reading register map"
ROLES = tuple(dict.fromkeys(terms.HEADINGS.values()))


@dataclass(frozen=True, slots=True)
class Row:
    """A line: number in the file, and cells by role."""

    line: int
    cells: Mapping[str, str]

    def get(self, role: str) -> str:
        """A cell without blanks around it; empty where there is none."""
        return self.cells.get(role, "")


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows, and the heading of each role that has a column."""

    rows: Sequence[Row]
    headings: Mapping[str, str]


def read(path: Path, chosen: Sequence[str]) -> Sheet:
    """Read a map.

    Args:
        path: of a text with commas, semicolons, tabs or bars.
        chosen: ``ROLE=HEADING``, as a person answered; the role ``none`` leaves a column out.

    Raises:
        FieldwardenError: it can not be read, has no headings, or two columns for one role.
    """
    data = read_bounded(path, _LIMIT_BYTES, OPERATION)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    lines = _cells(text)
    at = max(range(min(len(lines), _FIRST_ROWS)), key=lambda i: _known(lines[i]), default=0)
    if not lines or _known(lines[at]) < 2:
        cause = "no line of headings is found"
        hint = "the map needs columns such as Name, Address, Type, Unit; save it as CSV"
        raise FieldwardenError(OPERATION, str(path), cause, hint)
    heads = [cell.strip() for cell in lines[at]]
    columns = _columns(heads, lines[at + 1 :], chosen, str(path))
    rows = [
        Row(number, {role: line[i].strip() for role, i in columns.items() if i < len(line)})
        for number, line in enumerate(lines[at + 1 :], start=at + 2) if any(map(str.strip, line))
    ]
    return Sheet(rows, {role: heads[i] for role, i in columns.items()})


def _cells(text: str) -> list[list[str]]:
    """Cells by the separator that gives the most headings."""
    best: list[list[str]] = []
    most = -1
    for separator in ",;\t|":
        try:
            lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
        except csv.Error:
            continue
        known = max((_known(line) for line in lines[:_FIRST_ROWS]), default=0)
        if known > most:
            best, most = lines, known
    return best


def _known(line: Sequence[str]) -> int:
    return len({role for cell in line if (role := role_of(cell))})


def role_of(heading: str) -> str:
    """What a column of this heading holds; empty where it is none of the spellings."""
    whole = terms.HEADINGS.get(terms.plain(heading))
    return whole or terms.HEADINGS.get(terms.plain(heading.partition("(")[0].partition("[")[0]), "")


def _columns(
    heads: Sequence[str], lines: Sequence[Sequence[str]], chosen: Sequence[str], path: str
) -> dict[str, int]:
    told = _chosen(heads, chosen, path)
    by_role: dict[str, list[int]] = {}
    for i, head in enumerate(heads):
        role = told.get(i, role_of(head))
        if role == "type" and i not in told and _are_areas(lines, i):
            role = "area"
        if role and role != "none":
            by_role.setdefault(role, []).append(i)
    for i, role in told.items():
        if role != "none":
            by_role[role] = [i]
    if "address" not in by_role and "offset" in by_role:
        by_role["address"] = by_role.pop("offset")
    if "address" not in by_role:
        shown = ", ".join(filter(None, heads[:_SHOWN]))
        hint = f"say which: --column address=HEADING (there is: {shown})"
        raise FieldwardenError(OPERATION, path, "no column of addresses is found", hint)
    return {role: _one(role, places, heads, lines, path) for role, places in by_role.items()}


def _chosen(heads: Sequence[str], chosen: Sequence[str], path: str) -> dict[int, str]:
    found = {}
    for text in chosen:
        role, _, heading = text.partition("=")
        if role not in (*ROLES, "none") or heading not in heads:
            cause = f"--column {text} names no role and heading"
            hint = f"roles: {', '.join(ROLES)}, none; headings: {', '.join(heads[:_SHOWN])}"
            raise FieldwardenError(OPERATION, path, cause, hint)
        found[heads.index(heading)] = role
    return found


def _are_areas(lines: Sequence[Sequence[str]], i: int) -> bool:
    """Whether a column Type says in which area a register is, and not how it is encoded."""
    cells = {terms.plain(line[i]) for line in lines if i < len(line) and line[i].strip()}
    words = {cell for cell in cells if not cell.isdigit()}
    return bool(words) and all(cell in terms.AREAS and cell not in terms.TYPES for cell in words)


def _one(
    role: str, places: Sequence[int], heads: Sequence[str], lines: Sequence[Sequence[str]],
    path: str,
) -> int:  # fmt: skip
    """The column of a role, of which there are several: the same in other words, or asked."""
    if role == "address":
        sure = [i for i in places if terms.plain(heads[i]) in terms.ZERO_BASED]
        places = sure[:1] or places
    filled = [i for i in places if any(i < len(line) and line[i].strip() for line in lines)]
    if len(filled) < 2 or role in ("description", "name") or _agree(filled, heads, lines):
        return (filled or list(places))[0]
    names = " or ".join(repr(heads[i]) for i in filled)
    options = ", ".join(f"--column {role}={heads[i]!r}" for i in filled)
    raise FieldwardenError(OPERATION, path, f"{names} may be the {role}", f"say which: {options}")


def _agree(places: Sequence[int], heads: Sequence[str], lines: Sequence[Sequence[str]]) -> bool:
    """Whether all these columns say the same numbers, decimal and hexadecimal."""
    return all(
        len({_number(line[i], heads[i]) for i in places if i < len(line) and line[i].strip()}) <= 1
        for line in lines
    )


def _number(cell: str, heading: str) -> int | str:
    text = cell.strip().casefold()
    try:
        if "hex" in heading.casefold() or text.startswith("0x"):
            return int(text.removeprefix("0x").removesuffix("h"), 16)
        return int(text)
    except ValueError:
        return text
