"""What goes when central is away so long that the outbox is full, and in which order.

Rows that count as delivered, kept for a central that comes later, go first, and never take more
than `KEPT_SHARE` of the limit. Then:

1. summaries are added together, first to hours, then to days: nothing is lost but resolution;
2. the oldest summaries are dropped; 3. the oldest events are dropped. Verdicts, states and gap
records stay: a newer one replaces an older one, so there are never many.

The oldest is what was told first, whatever its time says: a clock may have been wrong.

The work of one commit is bounded; while merging still helps, the outbox may be up to
`OVERSHOOT` of its limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agent.errors import FieldwardenError
from agent.store.counters import Counters
from agent.store.outbox import ROW_OVERHEAD, Outbox, Row
from agent.store.packing import pack, unpack

Merge = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]
_DAMAGE = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)
_Packed = tuple[Row, list[dict[str, Any]]]

LEVELS_NS = (3_600_000_000_000, 86_400_000_000_000)  # spans that summaries are merged to
_LEVELS = range(1 + len(LEVELS_NS))
ROWS_AT_ONCE = 4_000  # 60 ms of merging
DROPPED_AT_ONCE = 1_000
STEPS_PER_COMMIT = 4
OVERSHOOT = 1.1
OUTBOX_FULL = "outbox_full"
DAMAGED = "damaged in the store"
KEPT_SHARE = 0.25


class Limiter:
    """Keeps the outbox within its bytes.

    Args:
        outbox: to be kept small.
        counters: tell its bytes.
        limit_bytes: payloads and overhead of all rows.
        merge: adds two summaries of the same model, tag and baseline; None where nobody can.
    """

    def __init__(
        self, outbox: Outbox, counters: Counters, limit_bytes: int, merge: Merge | None
    ) -> None:
        self._outbox = outbox
        self._counters = counters
        self._limit = limit_bytes
        self._merge = merge

    def keep(self) -> None:
        """Make room where there is too little."""
        self._forget_kept()
        for _ in range(STEPS_PER_COMMIT):
            if self._bytes() <= self._limit:
                return
            if not any(self._coarsen(level) for level in (1, 2)):
                break
        over = self._limit * (OVERSHOOT if self._can_coarsen() else 1.0)
        for stream in ("summary", "event"):
            while self._bytes() > over and self._drop_oldest(stream):
                pass

    def _forget_kept(self) -> None:
        room = min(self._limit * KEPT_SHARE, max(0, self._limit - self._bytes()))
        for _ in range(STEPS_PER_COMMIT):
            over = self._counters.get("kept_bytes") - round(room)
            if over <= 0 or not self._outbox.forget_kept(over, DROPPED_AT_ONCE):
                return

    def _bytes(self) -> int:
        return self._counters.get("outbox_bytes")

    def _can_coarsen(self) -> bool:
        return any(self._candidates(level, 1) for level in (1, 2))

    def _candidates(self, level: int, most: int) -> list[Row]:
        """The oldest summaries below `level`, of spans that are over: later ones add nothing."""
        if self._merge is None:
            return []
        span = LEVELS_NS[level - 1]
        newest = self._newest_ns()
        return self._outbox.rows(
            "WHERE stream = 'summary' AND level < ? AND NOT (time_ns > ? AND time_ns <= ?) "
            f"{self._pending()} ORDER BY level, id LIMIT ?",
            (level, newest // span * span, newest, most),
            payload=True,
        )

    def _newest_ns(self) -> int:
        """Time of the summary that was told last, 0 where there is none."""
        for level in _LEVELS:
            query = "WHERE stream = 'summary' AND level = ? ORDER BY id DESC LIMIT 1"
            for row in self._outbox.rows(query, (level,)):
                return row.time_ns
        return 0

    def _pending(self) -> str:
        return "" if self._outbox.confirming else "AND sent = 0"

    def _coarsen(self, level: int) -> bool:
        """Merge the oldest summaries below `level`; False where there were none."""
        rows = self._candidates(level, ROWS_AT_ONCE)
        groups: dict[tuple[Any, ...], list[_Packed]] = {}
        for row in rows:
            try:
                summaries = unpack(json.loads(row.payload))
                first = summaries[0]
                span = first["start_ns"] // LEVELS_NS[level - 1]
                key = (row.boot, first["model"], first["baseline"], span)
            except _DAMAGE:
                self._outbox.rejected({row.id: DAMAGED})
                continue
            groups.setdefault(key, []).append((row, summaries))
        for members in groups.values():
            self._add_together(members, level)
        return bool(rows)

    def _add_together(self, members: list[_Packed], level: int) -> None:
        rows = [row for row, _ in members]
        total = self._sum([one for _, summaries in members for one in summaries])
        if len(rows) == 1 or not total:
            for row in rows:
                self._outbox.at_level(row, level)
            return
        self._outbox.merged(rows, "summary", pack(total), level)

    def _sum(self, summaries: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
        """One summary a tag; empty where they can not be added together."""
        if self._merge is None:
            return []
        totals: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        for summary in summaries:
            key = (summary["model"], summary["tag"], summary["baseline"])
            try:
                totals[key] = self._merge(totals[key], summary) if key in totals else summary
            # of one baseline by name only, or damaged: they stay as they are
            except (FieldwardenError, *_DAMAGE):
                return []
        return list(totals.values())

    def _drop_oldest(self, stream: str) -> bool:
        excess, chosen = self._bytes() - self._limit, []
        for row in self._oldest(stream):
            if excess <= 0:
                break
            chosen.append(row)
            excess -= row.size + ROW_OVERHEAD
        self._outbox.drop(chosen, OUTBOX_FULL)
        return bool(chosen)

    def _oldest(self, stream: str) -> list[Row]:
        """Summaries that were added together are new rows, but older than those that were not."""
        for level in reversed(_LEVELS) if stream == "summary" else _LEVELS[:1]:
            # Without the index of time, which has the wrong order: there the rows lie at the front.
            column = "stream" if stream == "summary" else "+stream"
            rows = self._outbox.rows(
                f"WHERE {column} = ? AND level = ? {self._pending()} ORDER BY id LIMIT ?",
                (stream, level, DROPPED_AT_ONCE),
            )
            if rows:
                return rows
        return []
