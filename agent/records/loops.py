"""Control loops among the columns of a record: found by ISA-5.1 names, checked against the data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.records.table import Table
from agent.types import Float64

_WORDS = {
    "pv": ("PV", "MEAS", "MEASUREMENT", "PROCESSVALUE"),
    "sp": ("SP", "SV", "SPT", "SETPOINT", "SETPT", "SETP"),
    "out": ("OUT", "OP", "MV", "CO", "OUTPUT", "CV"),
    "mode": ("MODE", "MD", "MODEACT", "ACTMODE"),
}
_PART_OF = {word: part for part, words in _WORDS.items() for word in words}
_ORDER = ("pv", "sp", "out", "mode")
_ENDING = re.compile(r"^(?P<loop>.*?)[\s._/:\-]+(?P<word>[A-Za-z]+(?:[\s_][A-Za-z]+)?)$")
_JOINED = re.compile(
    r"^(?P<loop>[A-Za-z]{1,5}[\s_-]?\d+[A-Za-z]?)(?P<word>PV|SP|SV|OUT|OP|MV|CO|MODE)$"
)
_NEAR = 0.25
"""Of the width in which both move: how far a working loop's pv is from its sp, in the median."""


@dataclass(frozen=True, slots=True)
class FoundLoop:
    """One loop: its columns by part, and why the data speak against it (empty: they do not)."""

    name: str
    parts: dict[str, str]
    doubt: str


def find_loops(table: Table, names: Sequence[str]) -> list[FoundLoop]:
    """Loops among `names`, in the order of their first column.

    A loop has a measurement (a column of the loop's own name will do), and a set point or an
    output. Names decide that there may be one; where the measurement does not stay near the set
    point, the data speak against it.
    """
    found: dict[str, dict[str, str]] = {}
    for name in names:
        if (ending := _ENDING.match(name)) is None and (ending := _JOINED.match(name)) is None:
            continue
        word = re.sub(r"[\s_]", "", ending["word"]).upper()
        if part := _PART_OF.get(word):
            found.setdefault(ending["loop"], {}).setdefault(part, name)
    loops = []
    for loop, parts in found.items():
        if "pv" not in parts and loop in names:
            parts["pv"] = loop
        if "pv" in parts and parts.keys() & {"sp", "out"}:
            ordered = {part: parts[part] for part in _ORDER if part in parts}
            loops.append(FoundLoop(loop, ordered, _doubt(table, ordered)))
    return loops


def _doubt(table: Table, parts: dict[str, str]) -> str:
    if "sp" not in parts:
        return ""
    pv, sp = table.column(parts["pv"]), table.column(parts["sp"])
    both = np.isfinite(pv) & np.isfinite(sp)
    if not both.any():
        return f"{parts['pv']} and {parts['sp']} never have a value at the same time"
    width = _width(np.concatenate([pv[both], sp[both]]))
    apart = float(np.median(np.abs(pv[both] - sp[both])))
    if apart > _NEAR * width:
        return f"{parts['pv']} is not near {parts['sp']} in the data"
    return ""


def _width(values: Float64) -> float:
    """The width of the middle 99 %."""
    low, high = np.percentile(values, [0.5, 99.5])
    return float(high - low)
