"""Which blocks of a long record are read again: whole ones, spread over all of its time.

Charts are fitted on rows that follow each other, and on no more of them than memory holds. So some
blocks of the grid are taken as they are: one from the middle of each of as many equal shares of
the rows, and of a mode that these hardly hold some more. The choice depends on the blocks'
statistics alone, so on the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final

import numpy as np

from agent.records.lake.blocks import BlockStatistics

CHOSEN_CELLS: Final = 1 << 22
"""Rows times columns that are read again of a longer record: half a million rows of 8 tags."""

_LONGER = 1.25  # rows over what was aimed at, where those of the blocks differ
_OF_MODES = 0.25  # of the rows, for all modes alike
_FEWEST = 1000  # rows of a mode, if there are as many
_MORE = 0.5  # of the rows, that modes may add to them


def choose(blocks: Sequence[BlockStatistics], rows: int) -> list[int]:
    """Positions of the chosen blocks, in order.

    Args:
        blocks: of a record, in order of time.
        rows: about how many.
    """
    sizes = np.array([one.rows for one in blocks], np.int64)
    if sizes.sum() <= rows:
        return list(range(len(blocks)))
    ends = np.cumsum(sizes)
    count = max(int(rows * len(blocks) / int(ends[-1])), 1)
    while True:
        middles = (2 * np.arange(count) + 1) * ends[-1] // (2 * count)
        chosen = sorted(set(np.searchsorted(ends, middles, side="right").tolist()))
        if count == 1 or sizes[chosen].sum() <= _LONGER * rows:
            break
        count = max(int(0.9 * count), 1)
    return sorted([*chosen, *_of_modes(blocks, chosen, rows)])


def _of_modes(blocks: Sequence[BlockStatistics], chosen: Sequence[int], rows: int) -> list[int]:
    """More blocks, of modes that the chosen ones hold too few rows of."""
    codes = [dict(one.codes) for one in blocks]
    names = {name for own in codes for name in own}
    totals = {name: sum(own.get(name, 0) for own in codes) for name in names}
    taken, more, left = set(chosen), [], int(_MORE * rows)
    for name in sorted(totals, key=lambda one: (totals[one], one)):  # the rarest first
        aim = min(totals[name], max(int(_OF_MODES * rows / len(totals)), _FEWEST))
        have = sum(codes[at].get(name, 0) for at in taken)
        others = [at for at, own in enumerate(codes) if own.get(name, 0) and at not in taken]
        if have >= aim or not others:
            continue
        each = sum(codes[at][name] for at in others) / len(others)
        count = min(ceil((aim - have) / each), len(others))
        spread = {others[(2 * at + 1) * len(others) // (2 * count)] for at in range(count)}
        for at in sorted(spread):
            if blocks[at].rows <= left:
                left -= blocks[at].rows
                taken.add(at)
                more.append(at)
    return more
