"""Where data begin in the rows of a file, and what stands above: names, units, descriptions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from agent.records.cells import data_error
from agent.records.clocks import parses, says_time
from agent.records.formats import time_formats
from agent.records.quality import is_quality_word
from agent.records.times import NUMBER, Reading
from agent.records.units import is_type_row, plain_unit, unit_row

_MOST_HEAD_ROWS = 9  # of units, types, limits or descriptions between the heading and the data
_LONGEST_UNIT = 16
_RULE = re.compile(r"[-=+:|\s]*")
_TRIED = 12  # rows whose cells are tried as times one by one


def is_rule(cells: Sequence[str]) -> bool:
    """Whether a row is a line drawn below a heading: ``------+-----``."""
    return "---" in "".join(cells) and all(_RULE.fullmatch(cell) for cell in cells)


def first_data(rows: Sequence[tuple[int, list[str]]], how: Reading) -> int:
    """Position of the first row of data.

    A row of data has a time, begins with a number, or is mostly numbers; the last alone does not
    do where most rows have a time or begin with a number (limits: ``High;100;10``). Above the
    heading may stand rows that look so too ("From;01.03.2026"): they are not as wide as most are.
    """
    formats = time_formats(how)[1:] if not how.time_format else time_formats(how)
    timed = [_is_number(_first(cells)) for _, cells in rows]
    places = _time_places(rows, how)
    for at, (_, cells) in enumerate(rows):
        timed[at] = timed[at] or any(
            place < len(cells) and cells[place] and parses(cells[place], make())
            for place in places for make in formats
        )  # fmt: skip
    data = timed
    if 2 * sum(timed) < len(rows):
        numbers = [sum(map(_is_number, cells)) for _, cells in rows]
        data = [
            timed[at] or 2 * numbers[at] > sum(map(bool, cells))
            for at, (_, cells) in enumerate(rows)
        ]
    width, _ = Counter(len(cells) for _, cells in rows).most_common(1)[0]
    begins = [at for at, yes in enumerate(data) if yes and not (at and data[at - 1])]
    wide = (at for at in begins if len(rows[at][1]) == width)
    return next(wide, begins[0] if begins else 1)


def _time_places(rows: Sequence[tuple[int, list[str]]], how: Reading) -> list[int]:
    """The columns in which some rows, looked at throughout the sample, hold a time."""
    formats = time_formats(how)[1:] if not how.time_format else time_formats(how)
    step = max(1, len(rows) // _TRIED)
    found = {
        at for _, cells in [*rows[:_TRIED], *rows[::step]] for at, cell in enumerate(cells)
        if cell and any(parses(cell, make()) for make in formats)
    }  # fmt: skip
    return sorted(found)


def heading_of(
    file: Path, rows: Sequence[tuple[int, list[str]]], first: int, how: Reading
) -> int:
    """Position of the row of names.

    Of the full rows right above the data it is the one that calls a column time, as that is no
    description and no unit; else the topmost.
    """
    if first == 0:
        cause = "the first line holds numbers, not names"
        raise data_error(file, cause, "add a line of names on top")
    full = max(2, -(-sum(map(bool, rows[first][1])) // 2))
    found: list[int] = []
    for position in range(first - 1, max(-1, first - 1 - _MOST_HEAD_ROWS), -1):
        cells = rows[position][1]
        if sum(map(bool, cells)) < full or len(cells) != len(rows[first - 1][1]):
            break
        numbers = sum(map(_is_number, cells[1:]))
        limits = 0 < sum(map(bool, cells[1:])) == numbers and not _is_number(cells[0])
        if 2 * unit_row(cells) <= 1 and not limits:  # units may stand above the names too
            found.append(position)
    heading = found[-1] if found else first - 1
    called = {how.time_column} if how.time_column else set()
    times = [p for p in found if any(cell in called or says_time(cell) for cell in rows[p][1])]
    if times and len(found) > 1 and heading not in times:
        heading = times[-1]
    if len(rows[heading][1]) < 2:
        raise data_error(file, "one column only", "columns are separated by ; , | or tab")
    return heading


def width_of(heading: list[str], body: Sequence[list[str]]) -> int:
    """Columns without those at the end that never have a name or a value."""
    width = len(heading)
    while width > 2 and not heading[width - 1] and all(not "".join(r[width - 1 :]) for r in body):
        width -= 1
    return width


def names_of(file: Path, cells: Sequence[str]) -> tuple[str, ...]:
    """The names of columns: breaks of lines are blanks, signs that can not be seen are none.

    Raises:
        FieldwardenError: two are the same, or they are numbers.
    """
    plain = (" ".join(cell.split()) for cell in cells)
    names = ["".join(sign for sign in name if sign.isprintable()) for name in plain]
    if all(_is_number(name) for name in names[1:] if name):
        raise data_error(
            file, "the first line holds numbers, not names", "add a line of names on top"
        )
    for at in range(2, len(names)):
        if names.count(names[at]) > 1 and is_quality_word(names[at]):
            names[at] = f"{names[at - 1]}.{names[at]}"  # one beside each column of values
    twice = next((name for name, count in Counter(names).items() if name and count > 1), None)
    if twice is not None:
        places = [str(at + 1) for at, name in enumerate(names) if name == twice]
        cause = f"two columns are named {twice!r}: {' and '.join(places[:4])}"
        hint = "name every column differently"
        if says_time(twice):
            hint = "where each tag has times of its own, export long format: time, tag, value"
        raise data_error(file, cause, hint)
    return tuple(names)


def units_of(names: Sequence[str], rows: Sequence[list[str]]) -> dict[str, str]:
    """Of the rows beside the heading the one that has most units; else the first of short texts."""
    short = [row for row in rows if all(len(cell) <= _LONGEST_UNIT for cell in row[1:])]
    short = [row for row in short if not any(map(_is_number, row[1:]))]
    best = max(short, key=unit_row, default=[])
    if best and not unit_row(best):
        best = [] if is_type_row(short[0]) else short[0]
    pairs = zip(names, best, strict=False)
    cleaned = ((name, cell.strip("[](){} ")) for name, cell in pairs)
    return {name: plain_unit(cell) for name, cell in cleaned if name and cell and cell != "-"}


def _first(cells: Sequence[str]) -> str:
    return next((cell for cell in cells if cell), "")


def _is_number(cell: str) -> bool:
    return NUMBER.fullmatch(cell) is not None
