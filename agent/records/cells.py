"""Cells of recorded data -> numbers and codes of texts; what `table` and `arrow` share."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from agent.configuration.rules import nearest
from agent.decode.columns import Dictionary
from agent.errors import FieldwardenError
from agent.types import Float64, Int64

MISSING = frozenset({"", "nan", "null", "none", "na", "n/a", "#n/a", "-"})
"""Texts, in lower case, of a cell that holds nothing."""

STATUS_WORDS = frozenset({
    "bad", "bad input", "bad data", "bad quality", "i/o timeout", "io timeout", "no data",
    "nodata", "no value", "no result", "no good", "not available", "scan timeout", "scan off",
    "inp outrange", "input outrange", "out of range", "over range", "under range", "overrange",
    "underrange", "configure", "shutdown", "pt created", "calc failed", "calc timeout", "calc off",
    "intf shut", "comm fail", "comm loss", "comm error", "not connected", "disconnected",
    "out of serv", "out of service", "offline", "off-line", "error", "err", "fault", "failed",
    "invalid", "unknown", "undefined", "uncertain", "stale", "?", "??", "???", "--", "---", "*",
    "#value!", "#ref!", "#div/0!", "#name?", "#num!", "#null!", "inf", "-inf", "+inf", "infinity",
    "-infinity", "ungültig", "störung", "schlecht", "kein wert", "keine daten",
})  # fmt: skip
"""Texts, in lower case, by which historians say that there is no value."""

_LIKE_A_NUMBER = re.compile(r"[\d.,eE+\-_' ]*\d[\d.,eE+\-_' ]*", re.ASCII)
_MOST_WORDS = 50  # different ones that are counted by themselves


@dataclass(frozen=True, slots=True)
class Raw:
    """A table as it stands in the file, rows in the file's order."""

    times: Int64
    names: list[str]
    values: Float64
    notes: list[str]
    understood: list[str] = field(default_factory=list)
    units: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[int, str] = field(default_factory=dict)


def data_error(file: Path, cause: str, hint: str = "") -> FieldwardenError:
    """What went wrong with a file of recorded data."""
    return FieldwardenError("reading data", str(file), cause, hint)


def wanted_columns(
    file: Path, names: Sequence[str], time: int, columns: Sequence[str] | None, *, lenient: bool
) -> list[int]:
    """Positions of the columns to read, in the order asked for; all but the time's for None.

    Raises:
        FieldwardenError: one is not there; with `lenient` only where none is.
    """
    if columns is None:
        return [place for place in range(len(names)) if place != time]
    others = [name for place, name in enumerate(names) if place != time]
    missing = [name for name in columns if name not in others]
    if lenient and len(missing) < len(columns):
        columns = [name for name in columns if name in others]
    elif lenient:
        cause = f"no column is a tag of the configuration (columns: {', '.join(others[:8])})"
        raise data_error(file, cause, "columns are named as the tags are")
    elif missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise data_error(file, f"no column {missing[0]!r}{more}", nearest(missing[0], others))
    return [names.index(name) for name in columns]


class NumberColumn:
    """A column of numbers, taken piece by piece; words among them are missing, and counted."""

    def __init__(self, name: str, decimal: str, place: str = "line") -> None:
        self.name = name
        self._place = place
        self._decimal = decimal
        self._parts: list[Float64] = []
        self._numbers = 0
        self._words: Counter[str] = Counter()
        self._foreign = 0  # cells that are neither numbers nor known to say "no value"
        self._first: tuple[str, int] | None = None  # the first of them, and its line
        self._malformed: tuple[str, int] | None = None

    def add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        """Take cells, and the line of each."""
        column = np.empty(len(cells))
        for position, cell in enumerate(cells):
            try:
                value = self._number(cell)
                self._numbers += 1
            except ValueError:
                value = self._word(cell, lines[position])
            column[position] = value
        self._parts.append(column)

    def _number(self, cell: str) -> float:
        if not self._decimal:  # the first number that has a mark tells
            self._decimal = "," if "," in cell else "." if "." in cell else ""
        if self._decimal == ",":
            if "." in cell:
                raise ValueError  # 1.234,5: not read as something else
            cell = cell.replace(",", ".")
        value = float(cell)
        if not math.isfinite(value) or "_" in cell:
            raise ValueError
        return value

    def _word(self, cell: str, line: int) -> float:
        lower = cell.lower()
        if lower in MISSING:
            return math.nan
        if lower in {"true", "false"}:
            self._numbers += 1
            return float(lower == "true")
        known = lower in STATUS_WORDS
        if not known:
            self._foreign += 1
            self._first = self._first or (cell, line)
            if self._malformed is None and _LIKE_A_NUMBER.fullmatch(cell):
                self._malformed = (cell, line)
        if cell in self._words or len(self._words) < _MOST_WORDS:
            self._words[cell] += 1
        else:
            self._words["..."] += 1
        return math.nan

    @property
    def fault(self) -> str:
        """Why it is no column of numbers; empty where it is one."""
        if not self._foreign:
            return ""
        bad = self._first if self._foreign > self._numbers else self._malformed
        return (
            f"column {self.name!r}, {self._place} {bad[1]}: {bad[0][:40]!r} is no number"
            if bad
            else ""
        )

    @property
    def note(self) -> str:
        """Which words were taken as missing; empty where none was."""
        total = sum(self._words.values())
        if not total:
            return ""
        counted = [(count, f'"{word[:40]}"') for word, count in self._words.most_common(8)]
        if len(counted) == 1:
            return f"{self.name}: {_cells(total)} {counted[0][1]} taken as missing"
        words = ", ".join(f"{count} {word}" for count, word in counted)
        return f"{self.name}: {_cells(total)} taken as missing: {words}"

    def values(self) -> Float64:
        """All of it, float64[n]."""
        return np.concatenate(self._parts) if self._parts else np.empty(0)


def _cells(count: int) -> str:
    return f"{count:,} cell{'s' * (count != 1)}"


class TextColumn:
    """A column of a tag of texts: codes, as decoders give them."""

    def __init__(self, name: str, dictionary: Dictionary) -> None:
        self.name, self.fault, self.note = name, "", ""
        self._dictionary = dictionary
        self._parts: list[Float64] = []

    def add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        """Take cells; what says that there is no value is missing."""
        column = np.full(len(cells), math.nan)
        for position, cell in enumerate(cells):
            if cell.lower() not in MISSING and cell.lower() not in STATUS_WORDS:
                code = self._dictionary.code(cell)
                if code is None and not self.fault:
                    self.fault = (
                        f"column {self.name!r}, line {lines[position]}: too many texts, or too long"
                    )
                column[position] = math.nan if code is None else code
        self._parts.append(column)

    def values(self) -> Float64:
        """All of it, float64[n]."""
        return np.concatenate(self._parts) if self._parts else np.empty(0)


def column_of(
    name: str, texts: Collection[str], dictionary: Dictionary, decimal: str, place: str = "line"
) -> NumberColumn | TextColumn:
    """What takes the cells of a column: texts for a tag of texts, else numbers."""
    if name in texts:
        return TextColumn(name, dictionary)
    return NumberColumn(name, decimal, place)
