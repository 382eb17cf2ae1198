"""Predictions that wait for their truth: a bounded memory of one output, in order of their time.

Where predictions come closer together than the memory can hold over the time in which a truth may
come, they are thinned out evenly: one is kept of each step.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from agent.core.kernels.base import ENGINE_TIME, Moment

MOST: Final = 4096
"""Predictions of one output that are remembered."""

ROW = np.dtype(
    [
        ("when_ns", np.int64),  # what time it is of: by its source, else its arrival
        ("arrived_ns", np.int64),  # 0: no prediction
        ("key", np.int64),  # names it where it came with an id; 0: it has none
        ("value", np.float64),
        ("expected", np.float64),  # expected loss, NaN: not known
        ("truth_ns", np.int64),  # what time its latest truth is of; 0: none came
        ("truth", np.float64),
        ("loss", np.float64),
        ("novelty", np.int8),  # bin of the scan that it was made from, -1: not known
        ("state", np.int8),  # `CLEAN`, `SHIFTED` or `SPOILT`
    ]
)
MOMENTS = {
    "when_ns": Moment(beside="arrived_ns"), "arrived_ns": ENGINE_TIME,
    "truth_ns": Moment(moves=False),
}  # fmt: skip

_AT_ONCE: Final = 128
"""Predictions that are forgotten at once, the oldest, where there is no room."""

CLEAN, SHIFTED, SPOILT = 0, 1, 2
"""How its model's inputs were as it was made: as trained, moved, or wrong by a fault."""


def sort(rows: np.ndarray[Any, Any]) -> None:
    """Put the predictions of each memory in order, what is empty last."""
    for memory in rows:
        order = np.lexsort((memory["when_ns"], memory["arrived_ns"] == 0))
        memory[...] = memory[order]


class Predictions:
    """One output's memory; `count` predictions are in it.

    Args:
        rows: `ROW`[MOST], kept by somebody else; what is empty stands last.
        step_ns: predictions without an id that follow each other closer are not kept.
    """

    def __init__(self, rows: np.ndarray[Any, Any], step_ns: int) -> None:
        self.rows, self._step_ns = rows, step_ns
        self.count = 0
        self.counted()

    def counted(self) -> None:
        """Somebody else filled or moved the rows: count them again."""
        self.count = int(np.count_nonzero(self.rows["arrived_ns"]))

    def put(
        self, when_ns: int, arrived_ns: int, key: int, value: float, expected: float, novelty: int,
        state: int,
    ) -> None:
        """Remember one; of the same time, or the same id, the later one counts until its truth."""
        n = self.count
        known = self.by_key(key) if key else self._at(when_ns, n)
        if known is not None:
            if not self.rows["truth_ns"][known]:
                self.rows["value"][known] = value
            return
        place = int(np.searchsorted(self.rows["when_ns"][:n], when_ns, side="right"))
        before = int(self.rows["when_ns"][place - 1]) if place else None
        if not key and before is not None and when_ns - before < self._step_ns:
            return
        if n == MOST:
            if place < _AT_ONCE:
                return
            self.rows[: n - _AT_ONCE] = self.rows[_AT_ONCE:n].copy()
            self.rows[n - _AT_ONCE :] = np.zeros((), ROW)
            place, n = place - _AT_ONCE, n - _AT_ONCE
        if place < n:
            self.rows[place + 1 : n + 1] = self.rows[place:n].copy()
        self.count = n + 1
        self.rows[place] = (
            when_ns, arrived_ns, key, value, expected, 0, np.nan, np.nan, novelty, state
        )

    def _at(self, when_ns: int, n: int) -> int | None:
        place = int(np.searchsorted(self.rows["when_ns"][:n], when_ns))
        same = place < n and int(self.rows["when_ns"][place]) == when_ns
        return place if same and not self.rows["key"][place] else None

    def by_time(self, when_ns: int, reach_ns: int) -> int | None:
        """The row of the last one made at or before `when_ns`, at most `reach_ns` before it."""
        n = self.count
        place = int(np.searchsorted(self.rows["when_ns"][:n], when_ns, side="right")) - 1
        if place < 0 or when_ns - int(self.rows["when_ns"][place]) > reach_ns:
            return None
        return place

    def by_key(self, key: int) -> int | None:
        """The row of the one with this id."""
        found = np.flatnonzero((self.rows["key"] == key) & (self.rows["arrived_ns"] != 0))
        return int(found[-1]) if len(found) else None

    def spoil(self, since_ns: int) -> None:
        """What was made since then rests on a fault that is known only now."""
        rows = self.rows
        rows["state"][(rows["arrived_ns"] >= since_ns) & (rows["arrived_ns"] != 0)] = SPOILT
