"""Cells of recorded data -> numbers and times; what `table` and `arrow` share."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import numpy as np

from agent.configuration.rules import nearest
from agent.errors import FieldwardenError
from agent.types import Float64, Int64

MISSING = frozenset({"", "nan", "null", "none", "na", "n/a", "#n/a", "-", "bad"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")

Raw = tuple[Int64, list[str], Float64, list[str]]
"""Times, names, values[n, d] and notes, as they stand in the file."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file is written."""

    encoding: str
    separator: str
    decimal: str
    names: list[str]  # of all columns, time first


def data_error(file: Path, cause: str, hint: str = "") -> FieldwardenError:
    """What went wrong with a file of recorded data."""
    return FieldwardenError("reading data", str(file), cause, hint)


def wanted_columns(file: Path, names: list[str], columns: Sequence[str] | None) -> list[int]:
    """Positions of the columns to read, in the order asked for."""
    if columns is None:
        return list(range(1, len(names)))
    missing = [name for name in columns if name not in names[1:]]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise data_error(file, f"no column {missing[0]!r}{more}", nearest(missing[0], names[1:]))
    return [names.index(name, 1) for name in columns]


def numbers(cells: list[str], decimal: str) -> Float64 | int:
    """The column as floats, or the position of the first cell that is none."""
    column = np.empty(len(cells))
    for position, cell in enumerate(cells):
        token = cell.strip()
        try:
            value = float(token.replace(",", ".") if decimal == "," else token)
        except ValueError:
            lower = token.lower()
            if lower in MISSING:
                value = math.nan
            elif lower in {"true", "false"}:
                value = float(lower == "true")
            else:
                return position
        if math.isinf(value) or "_" in token:
            return position
        column[position] = value
    return column


def times_ns(
    file: Path, cells: Sequence[str | None], *, decimal: str = ".", lines: list[int] | None = None
) -> Int64:
    """int64[n] ns from texts: ISO 8601, or epoch numbers of one unit."""
    first = next((cell for cell in cells if cell and cell.strip()), "")
    parse = _epoch_cells if NUMBER.fullmatch(first.strip()) else _iso_cells
    result = parse(cells, decimal)
    if isinstance(result, int):
        line = lines[result] if lines else result + 2
        _no_time(file, cells[result], line)
    return result


def _no_time(file: Path, cell: str | None, line: int) -> NoReturn:
    cause = f"line {line}: {cell!r} in the first column is no time"
    hint = "times are ISO 8601 (2026-03-01T06:00:00Z) or epoch numbers, in the first column"
    raise data_error(file, cause, hint)


def _iso_cells(cells: Sequence[str | None], decimal: str) -> Int64 | int:
    del decimal
    times = np.empty(len(cells), np.int64)
    microsecond = timedelta(microseconds=1)
    for position, cell in enumerate(cells):
        try:
            moment = datetime.fromisoformat((cell or "").strip().replace(",", "."))
        except ValueError:
            return position
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        times[position] = (moment - _EPOCH) // microsecond * 1000
    return times


def _epoch_cells(cells: Sequence[str | None], decimal: str) -> Int64 | int:
    try:
        texts = [(cell or "").strip().replace(decimal, ".") for cell in cells]
        whole = np.array([int(text.partition(".")[0]) for text in texts], np.int64)
        fraction = np.array([float(f"0.{text.partition('.')[2] or 0}") for text in texts])
        fraction[[text.startswith("-") for text in texts]] *= -1.0
    except (ValueError, OverflowError):
        for position, text in enumerate(texts):
            if not re.fullmatch(r"-?\d{1,18}(\.\d*)?", text):
                return position
        raise  # every cell matches, so this can not be reached
    return scaled_ns(whole, fraction)


def scaled_ns(whole: Int64, fraction: Float64) -> Int64:
    """Epoch numbers to ns; the unit follows from their size (the years 1973 to 5138 are safe)."""
    largest = int(np.max(np.abs(whole), initial=0))
    for limit, factor in ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3)):
        if largest < limit:
            return whole * factor + np.rint(fraction * factor).astype(np.int64)
    return whole
