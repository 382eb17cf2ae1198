"""Decimal marks and marks of thousands: what the cells of a file tell, and what they leave open."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_GROUPS = r"[+-]?[1-9]\d{{0,2}}(?:{0}\d{{3}})+"
_REST = r"(?:{0}\d*)?(?:[eE][+-]?\d+)?"


def _form(decimal: str, thousands: str) -> re.Pattern[str]:
    point, comma = re.escape(decimal), re.escape(thousands)
    plain = rf"[+-]?(?:\d+{_REST.format(point)}|{point}\d+(?:[eE][+-]?\d+)?)"
    return re.compile(rf"(?:{plain}|{_GROUPS.format(comma)}{_REST.format(point)})", re.ASCII)


_POINT, _COMMA = _form(".", ","), _form(",", ".")
GROUPED = {
    mark: _GROUPS.format(other) + _REST.format(re.escape(mark))
    for mark, other in ((".", ","), (",", r"\."))
}
"""Decimal mark -> pattern of a number with marks of thousands."""


def shows_thousands(columns: Iterable[Sequence[str]], decimal: str) -> bool:
    """Whether a cell has the mark of thousands beside the decimal one: ``1.234,5``."""
    if not decimal:
        return False
    form = re.compile(_GROUPS.format(re.escape("," if decimal == "." else "."))
                      + rf"{re.escape(decimal)}\d*", re.ASCII)  # fmt: skip
    return any(form.fullmatch(cell) for column in columns for cell in column)


def can_mean_two(cell: str) -> bool:
    """Whether a mark in a cell may stand for decimals or for thousands."""
    return bool(re.search(r"[.,]", cell) and _POINT.fullmatch(cell) and _COMMA.fullmatch(cell))


class AmbiguousMarkError(Exception):
    """A mark that may stand for decimals or for thousands; `cell` shows it."""

    def __init__(self, cell: str) -> None:
        super().__init__(cell)
        self.cell = cell


def decimal_of(columns: Iterable[Sequence[str]], *, continental: bool = False) -> str:
    """The decimal mark that cells tell; empty where none has a mark.

    ``4,0000`` and ``1.234,5`` can be read in one way only. ``1,234`` can in two, and so can a
    column that has both ``999`` and ``1.234``.

    Args:
        columns: cells of each column.
        continental: the file is of a country that writes a comma before decimals: dates with
            dots, and a semicolon between cells.

    Raises:
        AmbiguousMarkError: marks there are, and none that tells.
    """
    tells: Counter[str] = Counter()
    open_cell, dots = "", False
    for column in columns:
        grouped, short = "", False
        for cell in column:
            point, comma = _POINT.fullmatch(cell), _COMMA.fullmatch(cell)
            if point and comma:
                if "." in cell:
                    grouped, dots = cell, True
                elif "," in cell:
                    open_cell = open_cell or cell
                else:
                    short = short or len(cell.lstrip("+-")) <= 3
            elif point or comma:
                tells["." if point else ","] += 1
        if grouped and short:
            open_cell = open_cell or grouped
    if tells:
        return "," if tells[","] > tells["."] else "."
    if open_cell and continental and "," in open_cell:
        return ","
    if open_cell:
        raise AmbiguousMarkError(open_cell)
    return "." if dots else ""
