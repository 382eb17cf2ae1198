"""Numbers in the dress of reports: a unit, a percent sign, parentheses or a minus behind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice

from agent.records.units import is_unit

_DIGITS = r"\d[\d.,'\x{a0}\x{202f}\x{2009}\x{2019} ]*(?:[eE][+-]?\d+)?"
STEPS = (
    (r'^="?(.*?)"?$', "${1}"),  # a spreadsheet's way to keep a text
    (r"^'(.*)$", "${1}"),
    ("^[\u2212\u2013\ufe63\uff0d]", "-"),  # minus signs of typesetters
    (rf"^([+-])\s+({_DIGITS})$", "${1}${2}"),
    (rf"^({_DIGITS})-$", "-${1}"),  # as SAP and old mainframes write
    (rf"^\(({_DIGITS})\)$", "-${1}"),  # as accountants write
    (r"^([+-]?\d+(?:[.,]\d*)?)[dD]([+-]\d{2,3})$", "${1}e${2}"),  # Fortran's exponent
)
"""Patterns, in the order they are taken, and what each is replaced by."""
_MOST_LOOKED_AT = 5000
_WITH_UNIT = re.compile(
    r"[+-]?\d[\d.,'\u00a0\u202f\u2009\u2019 ]*?(?:[eE][+-]?\d+)?\s*([^\d\s.,].{0,9})"
)


_BARE = re.compile(r"[(\u2212\u2013+-]?\s*(\d[\d.,'\s\u2019]*?)\s*(?:[^\d\s.,][^\d.,]{0,9})?")


def bare(cell: str) -> str:
    """A number alone, of a cell that dresses it; any other cell as it is."""
    match = _BARE.fullmatch(cell)
    return match[1] if match else cell


def unit_of(cells: Iterable[str]) -> str:
    """The unit that all of the cells with one have, as it stands there; empty for none or several.

    Cells of different units keep them: nobody knows which one the column is in.
    """
    units = {
        match[1]
        for cell in islice(cells, _MOST_LOOKED_AT)
        if (match := _WITH_UNIT.fullmatch(cell)) and is_unit(match[1]) and match[1] != "-"
    }
    return units.pop() if len(units) == 1 else ""
