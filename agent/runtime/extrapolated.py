"""How much of its time each input was extrapolating, from the summaries as they close.

The engine counts in windows, and begins each anew; here they add up, for metrics since the agent
was started, and for people over the last day. A restart begins both anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from agent.core.seen import Seen

_HOURS: Final = 24
_HOUR_NS: Final = 3_600_000_000_000
_NAMES: Final = Seen._fields


class Extrapolated:
    """Adds up; inputs are rows (model, tag)."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], int] = {}
        self._total = np.zeros((0, len(_NAMES)), np.int64)
        self._day = np.zeros((_HOURS, 0, len(_NAMES)), np.int64)
        self._hours = np.full(_HOURS, -1, np.int64)  # which hour stands where in `_day`

    def count(self, summaries: Iterable[Mapping[str, Any]]) -> None:
        """Add windows that closed."""
        for one in summaries:
            row = self._row(str(one["model"]), str(one["tag"]))
            seen = [int(one.get(name, 0)) for name in _NAMES]
            hour = int(one["end_ns"]) // _HOUR_NS
            place = hour % _HOURS
            if self._hours[place] != hour:
                self._hours[place], self._day[place] = hour, 0
            self._total[row] += seen
            self._day[place, row] += seen

    def _row(self, model: str, tag: str) -> int:
        row = self._rows.setdefault((model, tag), len(self._rows))
        if row >= len(self._total):
            more = max(64, row)
            self._total = np.pad(self._total, ((0, more), (0, 0)))
            self._day = np.pad(self._day, ((0, 0), (0, more), (0, 0)))
        return row

    def keep(self, rows: Sequence[tuple[str, str]]) -> None:
        """Forget all other inputs, where there are any: a reload may have taken them out."""
        if self._rows.keys() <= set(rows):
            return
        kept = [key for key in self._rows if key in set(rows)]
        places = [self._rows[key] for key in kept]
        self._rows = {key: row for row, key in enumerate(kept)}
        self._total, self._day = self._total[places], self._day[:, places]

    def of(
        self, rows: Sequence[tuple[str, str]], window: Sequence[Seen], now_ns: int
    ) -> list[dict[str, Any]]:
        """What the document says of each input: counts since the start, shares of the last day.

        Args:
            rows: (model, tag) of each input.
            window: what the open window has of them.
            now_ns: engine time.
        """
        self.keep(rows)
        hour = now_ns // _HOUR_NS
        recent = (self._hours > hour - _HOURS) & (self._hours <= hour)
        place = np.array([self._rows.get(key, -1) for key in rows], np.int64)
        known, now = place >= 0, np.array(window, np.int64).reshape(-1, len(_NAMES))
        total, day = now.copy(), now.copy()
        total[known] += self._total[place[known]]
        day[known] += self._day[recent].sum(axis=0)[place[known]]
        shares = day[:, 1:] / np.maximum(day[:, :1], 1)
        return [
            dict(zip(_NAMES, counts, strict=True)) | {"share": own, "share_jointly": jointly}
            for counts, (own, jointly) in zip(total.tolist(), shares.tolist(), strict=True)
        ]
