"""Reports by exception -> rows at even times: a value holds until the next is reported."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.types import Float64, Int64

Bools = np.ndarray[tuple[int], np.dtype[np.bool_]]
_MOST_FILLED = 0.5
_FEWEST_ROWS = 20
_NICE_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_S = 10**9
_MOST_CELLS = 4 * 10**8


def is_by_exception(values: Float64, bad: Mapping[int, Bools]) -> bool:
    """Whether most columns of float64[n, d] are empty in most of the rows that hold anything."""
    told = np.isfinite(values)
    for at, marks in bad.items():
        told[:, at] |= marks
    rows = int(told.any(axis=1).sum())
    counts = told.sum(axis=0)
    counts = counts[counts > 0]
    if rows < _FEWEST_ROWS or len(counts) < 2:
        return False
    return float(np.median(counts)) < _MOST_FILLED * rows


def usual_interval_ns(times: Int64, values: Float64) -> int:
    """What most tags report at, rounded to what a person would choose."""
    steps = [
        float(np.median(np.diff(times[seen])))
        for at in range(values.shape[1])
        if np.count_nonzero(seen := np.isfinite(values[:, at])) > 1
    ]
    median = float(np.median(steps)) if steps else float(np.median(np.diff(times)))
    if median < _S:
        return max(1_000_000, int(median) // 1_000_000 * 1_000_000)
    return max(nice for nice in _NICE_S if nice * _S <= median * 1.25) * _S


def held(
    times: Int64, values: Float64, bad: Mapping[int, Bools], interval_ns: int
) -> tuple[Int64, Float64, list[int]]:
    """(even times, float64[m, d] of the value last reported, longest silence of each in ns).

    A cell that was reported as bad holds as missing.

    Raises:
        ValueError: the interval is so short that there would be too many rows.
    """
    first = -(-int(times[0]) // interval_ns) * interval_ns
    count = (int(times[-1]) - first) // interval_ns + 1
    if count * values.shape[1] > _MOST_CELLS:
        raise ValueError(f"{count:,} rows of {interval_ns / _S:g} s")
    grid = first + np.arange(count, dtype=np.int64) * interval_ns
    result = np.full((count, values.shape[1]), np.nan, order="F")
    longest = []
    for at in range(values.shape[1]):
        told = np.isfinite(values[:, at])
        if at in bad:
            told |= bad[at]
        when, what = times[told], values[told, at]
        last = np.searchsorted(when, grid, side="right") - 1
        known = last >= 0
        result[known, at] = what[last[known]]
        longest.append(int(np.diff(when).max()) if len(when) > 1 else 0)
    return grid, result, longest
