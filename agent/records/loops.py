"""Control loops among the columns of a record: found by ISA-5.1 names, checked against the data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.records.table import Table
from agent.records.units import is_unit
from agent.types import Float64

_WORDS = {
    "pv": "PV MEAS MEASUREMENT PROCESSVALUE PROCESSVARIABLE PVAL PVVAL PVIN ISTWERT IST MESURE",
    "sp": "SP SV SPT SETPOINT SETPT SETP SPVAL SPIN SPINT SPEXT WSP LSP CSP RSP SOLLWERT SOLL"
    " CONSIGNE",
    "out": "OUT OP MV CO OUTPUT CV OPVAL OUTVAL LMN CONTROLOUTPUT STELLWERT STELL STELLGRÖSSE"
    " STELLGRÖßE STELLGROESSE SORTIE",
    "mode": "MODE MD MODEACT ACTMODE MA MAN AUTO AUTOMAN BETRIEBSART",
}
_PART_OF = {word: part for part, words in _WORDS.items() for word in words.split()}
_WEAK = {"X": "pv", "W": "sp", "Y": "out", "M": "mode"}
"""DIN's letters, and others that mean much else: believed where the data speak for it alone."""
_ORDER = ("pv", "sp", "out", "mode")
_OF_VALUES = frozenset({"VALUE", "VAL", "CV", "FCV", "ACTUAL", "WERT", "READVALUE", "PCT"})
_BLOCKS = frozenset({"DACA", "DATAACQA", "PIDA", "PID", "REGCTLA"})  # of one control module
_JOINED = re.compile(
    r"^(?P<loop>[A-Za-z]{1,5}[\s_-]?\d+[A-Za-z]?)(?P<word>PV|SP|SV|OUT|OP|MV|CO|MODE)$"
)
_UNIT = re.compile(r"\s*[\[({][^\[\](){}]*[\])}]\s*$")
_CONTROLLER = re.compile(
    r"^(?P<area>.*?)(?P<what>[A-Z])[A-Z]{0,2}C[A-Z]?[\s_-]?(?P<number>\d+\w*)$", re.IGNORECASE
)
_NEAR = 0.25
"""Of the width in which both move: how far a working loop's pv is from its sp, in the median."""
_MOST_MODES = 12


@dataclass(frozen=True, slots=True)
class FoundLoop:
    """One loop: its columns by part, and why the data speak against it (empty: they do not)."""

    name: str
    parts: dict[str, str]
    doubt: str


def find_loops(table: Table, names: Sequence[str]) -> list[FoundLoop]:
    """Loops among `names`, in the order of their first column.

    A loop has a measurement, and a set point or an output. The measurement may be a column of the
    loop's own name, or of the transmitter's of its number (``TI-201`` of ``TIC-201``). Names decide
    that there may be one; where the measurement does not stay near the set point, the data speak
    against it, and where the names alone are weak there is none then.
    """
    found: dict[str, tuple[str, dict[str, str], set[str]]] = {}
    for name in names:
        if (read := _read(name)) is None:
            continue
        base, part, weak = read
        loop, parts, weakly = found.setdefault(base.casefold(), (base, {}, set()))
        if part == "mode" and not _is_mode(table.column(name)):
            continue
        if part not in parts or (part in weakly and not weak):
            parts[part] = name
            weakly.discard(part)
            weakly |= {part} if weak else set()
    loops = []
    for loop, parts, weakly in found.values():
        if (made := _loop(table, names, loop, parts, weakly)) is not None:
            loops.append(made)
    return loops


def _loop(
    table: Table, names: Sequence[str], loop: str, parts: dict[str, str], weakly: set[str]
) -> FoundLoop | None:
    """A loop of these parts; None where they are too few, or weak and the data do not confirm."""
    plain = {_UNIT.sub("", name).casefold(): name for name in reversed(names)}
    borrowed = "pv" not in parts
    if borrowed and loop.casefold() in plain:
        parts["pv"] = plain[loop.casefold()]
        # A level and its outlet (tank, tank.out) are no loop: the name must be a controller's.
        if "sp" not in parts and _CONTROLLER.match(loop) is None:
            return None
    elif borrowed and (transmitter := _transmitter(loop, names)):
        parts["pv"] = transmitter
        weakly.add("pv")
    if "pv" not in parts or not parts.keys() & {"sp", "out"}:
        return None
    ordered = {part: parts[part] for part in _ORDER if part in parts}
    doubt = _doubt(table, ordered)
    if weakly & {"pv", "sp", "out"} and (doubt or "sp" not in ordered):
        return None
    return FoundLoop(loop, ordered, doubt)


def _read(name: str) -> tuple[str, str, bool] | None:
    """(loop, part, whether the word is a weak one) of a column's name."""
    plain = _UNIT.sub("", name).strip()
    ends = [(match.start(), match.end()) for match in re.finditer(r"[^\s._/:\-]+", plain)]
    words = [plain[start:end] for start, end in ends]
    while len(words) > 2 and _is_value(words[-1]) and _part(words[-2]):
        words, ends = words[:-1], ends[:-1]
    for count in (1, 2):
        if len(words) <= count:
            break
        word = "".join(words[-count:]).upper()
        if (part := _PART_OF.get(word)) or (count == 1 and (part := _WEAK.get(word))):
            keep = len(words) - count
            while keep > 1 and words[keep - 1].upper() in _BLOCKS:
                keep -= 1
            return plain[: ends[keep - 1][1]], part, word in _WEAK
    if match := _JOINED.match(plain):
        return match["loop"], _PART_OF[match["word"]], False
    if len(words) > 1 and (part := _PART_OF.get(words[0].upper())) and re.search(r"\d", plain):
        return plain[ends[1][0] :], part, False
    return None


def _part(word: str) -> str | None:
    return _PART_OF.get(word.upper())


def _is_value(word: str) -> bool:
    return word.upper() in _OF_VALUES or is_unit(word)


def _transmitter(loop: str, names: Sequence[str]) -> str | None:
    """The measurement of a controller's number: ``TI-201``, ``TT201.PV`` of ``TIC-201``."""
    if (match := _CONTROLLER.match(loop)) is None:
        return None
    form = re.compile(
        rf"{re.escape(match['area'])}{match['what']}(I|T|IT|E)[\s_-]?{re.escape(match['number'])}"
        r"([\s._/:-]+(PV|MEAS|VALUE))?", re.IGNORECASE,
    )  # fmt: skip
    return next((name for name in names if form.fullmatch(_UNIT.sub("", name))), None)


def _is_mode(values: Float64) -> bool:
    return len(np.unique(values[np.isfinite(values)])) <= _MOST_MODES


def _doubt(table: Table, parts: Mapping[str, str]) -> str:
    pv = table.column(parts["pv"])
    if "out" in parts and np.array_equal(pv, table.column(parts["out"]), equal_nan=True):
        return f"{parts['pv']} and {parts['out']} are the same in the data"
    if "sp" not in parts:
        return ""
    sp = table.column(parts["sp"])
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
