"""Numbers that stand for "no value": far from everything else, and the same again and again."""

from __future__ import annotations

import re

import numpy as np

from agent.types import Float64

_FEWEST = 2
_FEWEST_OTHERS, _LOOKED_AT = 4, 10_000
_MOST_SHARE = 0.5
_FAR = 3.0  # widths of the rest, between it and such a number
_USUAL = re.compile(r"-?9{3,}(\.\d{1,3})?|-?9{2,}\.9+|-(1|10|99|100|200|250|273\.15|300|500|1000)")
_HUGE = 1e9  # times the rest
_BITS = frozenset({32767.0, -32768.0, 32768.0, 65535.0, 2.0**31 - 1, -(2.0**31), 2.0**32 - 1})


def proposed(values: Float64) -> dict[float, int]:
    """Numbers of a column that look like "no value", and how many cells hold each.

    One counts if it is repeated, lies outside the range of all others by more than three times
    their width, and is written as such numbers are (-9999, 999.9, -200, 1e20, 32767).

    Args:
        values: float64[n], NaN where missing.
    """
    finite = values[np.isfinite(values)]
    found: dict[float, int] = {}
    for _ in range(4):
        if len(finite) < 3 * _FEWEST:
            break
        low, high = float(finite.min()), float(finite.max())
        ends = [end for end in {low, high} if _stands_out(finite, end)]
        if not ends:
            break
        for end in ends:
            found[end] = int(np.count_nonzero(finite == end))
            finite = finite[finite != end]
    total = len(finite) + sum(found.values())
    return found if sum(found.values()) <= _MOST_SHARE * total else {}


def _stands_out(finite: Float64, end: float) -> bool:
    count = int(np.count_nonzero(finite == end))
    rest = finite[finite != end]
    if count < _FEWEST or len(rest) < 2 * _FEWEST or not _is_usual(end, rest):
        return False
    other = [float(rest.min()), float(rest.max())]
    # The other end may be one of them too: the width is that of what lies within.
    inner = rest[(rest > other[0]) & (rest < other[1])] if _is_usual_pair(rest) else rest
    if len(np.unique(inner[:_LOOKED_AT])) < _FEWEST_OTHERS:
        return False  # a switch, or a set point: two values are no measurement and a mark
    low, high = float(inner.min()), float(inner.max())
    width = max(high - low, 1e-3 * max(abs(low), abs(high)))
    return end < low - _FAR * width or end > high + _FAR * width


def _is_usual_pair(rest: Float64) -> bool:
    return any(
        np.count_nonzero(rest == end) >= _FEWEST and _is_usual(end, rest)
        for end in (float(rest.min()), float(rest.max()))
    )


def _is_usual(number: float, rest: Float64) -> bool:
    if _USUAL.fullmatch(f"{number:.10g}") is not None or number in _BITS:
        return True
    return abs(number) > _HUGE and abs(number) > _HUGE * float(np.median(np.abs(rest)))
