"""Sets of sequence numbers as sorted, disjoint, inclusive ranges: ``[(1, 4), (9, 9)]``."""

from __future__ import annotations

import json
from collections.abc import Iterable

Ranges = list[tuple[int, int]]


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sorted and disjoint; neighbours (1, 4), (5, 9) become (1, 9)."""
    merged: Ranges = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def limited(ranges: Ranges, most: int) -> Ranges:
    """At most `most` ranges: the smallest holes between them are closed (so it only grows)."""
    if len(ranges) <= most:
        return ranges
    holes = sorted(range(1, len(ranges)), key=lambda i: ranges[i][0] - ranges[i - 1][1])
    closed = set(holes[: len(ranges) - most])
    result: Ranges = []
    for position, (first, last) in enumerate(ranges):
        if position in closed:
            result[-1] = (result[-1][0], last)
        else:
            result.append((first, last))
    return result


def without(some: Iterable[tuple[int, int]], taken: Iterable[tuple[int, int]]) -> Ranges:
    """What is in `some` and not in `taken`."""
    left: Ranges = []
    gone, place = union(taken), 0
    for first, last in union(some):
        at = first
        while place < len(gone) and gone[place][1] < at:
            place += 1
        within = place
        while within < len(gone) and gone[within][0] <= last:
            begin, end = gone[within]
            if begin > at:
                left.append((at, begin - 1))
            at, within = end + 1, within + 1
        if at <= last:
            left.append((at, last))
    return left


def common(some: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]]) -> Ranges:
    """What is in both."""
    first = union(some)
    return without(first, without(first, others))


def parse(text: str | bytes | None) -> Ranges:
    """From the JSON of a `covers` column."""
    return [(first, last) for first, last in json.loads(text)] if text else []
