"""Operating modes in a training record: which rows belong to which mode, and how long changes last.

Rows right after a change of mode are left out: the plant is on its way, and no baseline describes
that. How long is learnt from the record itself, and then masks changes in service too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from agent.errors import BaselineError
from agent.types import Float64, Int64

FEWEST_ROWS = 100
"""A mode with fewer settled rows than this has no baseline; it then reads as never trained."""

_SETTLED_SD = 3.0
_WINDOW = 20  # rows that must be near together for a change to be over
_STRAYS = 0.1  # share of them that may be off
_LONGEST_SHARE = 0.5  # of a stay in a mode may be taken for its transition


@dataclass(frozen=True, slots=True)
class ModeRows:
    """One mode of the record: its settled rows in order, -1 between stretches that do not touch."""

    code: float
    name: str
    rows: Int64

    def series(self, values: Float64) -> Float64:
        """The rows of `values` float64[n, d], with a row of NaN where stretches meet."""
        part: Float64 = values[np.maximum(self.rows, 0)].copy()
        part[self.rows < 0] = np.nan
        return part


def split(
    mode: Float64, values: Float64, names: Mapping[str, str], model: str,
    texts: Mapping[int, str] | None = None,
) -> tuple[list[ModeRows], int]:
    """(modes with enough settled rows, rows to mask after a change).

    Args:
        mode: float64[n], the mode tag's codes, NaN where missing (the last one holds).
        values: float64[n, d] of the inputs.
        names: code or text, as the configuration writes it -> what people call it.
        model: for errors.
        texts: code -> text, where the mode tag is one of texts.

    Raises:
        BaselineError: no mode has enough rows.
    """
    held = _held(mode)
    edges = np.concatenate([[0], np.nonzero(np.diff(held) != 0)[0] + 1, [len(held)]])
    stays = [(int(a), int(b)) for a, b in pairwise(edges)]
    mask = _mask_rows(stays, held, values)
    found = []
    for code in sorted({float(held[start]) for start, _ in stays if not np.isnan(held[start])}):
        rows: list[int] = []
        for start, stop in stays:
            begin = start + mask if start else start
            if held[start] == code and begin < stop:
                rows += [-1] * bool(rows) + list(range(begin, stop))
        if sum(row >= 0 for row in rows) >= FEWEST_ROWS:
            text = (texts or {}).get(int(code)) or f"{code:g}"
            found.append(ModeRows(code, names.get(text, text), np.array(rows, np.int64)))
    if not found:
        raise BaselineError(
            "fitting", f"model {model}", f"no mode has {FEWEST_ROWS} rows outside transitions",
            "give a longer record, or leave the mode tag out of the configuration",
        )
    return found, mask


def _held(mode: Float64) -> Float64:
    known = ~np.isnan(mode)
    place = np.maximum.accumulate(np.where(known, np.arange(len(mode)), 0))
    held: Float64 = mode[place]
    return held


def _mask_rows(stays: list[tuple[int, int]], held: Float64, values: Float64) -> int:
    """The longest time until every input was near where it then stayed, in rows."""
    longest = 0
    for start, stop in stays[1:]:
        part = values[start:stop]
        if len(part) < 2 * _WINDOW or np.isnan(held[start]):
            continue
        part = part[:, ~np.isnan(part[len(part) // 2 :]).all(axis=0)]
        late = part[len(part) // 2 :]
        centre, spread = np.nanmedian(late, axis=0), np.nanstd(late, axis=0)
        away = (np.abs(part - centre) > _SETTLED_SD * np.maximum(spread, 1e-12)).any(axis=1)
        share = np.convolve(away, np.ones(_WINDOW) / _WINDOW, mode="valid")
        settled = np.nonzero(share < _STRAYS)[0]
        first = int(settled[0]) if len(settled) else len(part)
        longest = max(longest, min(first + _WINDOW, int(_LONGEST_SHARE * len(part))))
    return longest
