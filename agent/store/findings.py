"""Events, summaries and block means on the writer's connection: each once, the latest kept.

What an entry brings about is committed with the entry, and told from then on. Where a damaged store
lost rows of events, a fold after the start makes them again: they are kept, and told to nobody.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.store.batch import OutboxMessage
from agent.store.block_means import BlockMeans
from agent.store.connection import share_of
from agent.store.counters import Counters
from agent.types import Event

EVENTS_KEPT = 200_000  # rows
SUMMARIES_KEPT = 200_000
SHARE = 0.1  # of the file system that either may take, where that is less
TOLD_THROUGH = "told_through"
"""Counter: events of entries up to here were told, also where their rows are lost."""
ROW_BYTES = 1_000  # of one event or summary, rather more than less


class Findings:
    """Events, summaries, and block means that are made of these.

    Args:
        connection: the writer's.
        folder: of the store.
        counters: the store's; `TOLD_THROUGH` is one.
    """

    def __init__(self, connection: sqlite3.Connection, folder: Path, counters: Counters) -> None:
        self._connection = connection
        self._told_through = counters.get(TOLD_THROUGH)
        room = share_of(folder, SHARE) // ROW_BYTES
        self._events_kept = min(EVENTS_KEPT, room)
        self._summaries_kept = min(SUMMARIES_KEPT, room)
        self.block_means = BlockMeans(connection, folder)

    def insert_events(self, events: Sequence[tuple[int, int, Event]]) -> set[tuple[int, int]]:
        """Insert; returns the identities of those that nobody was told of."""
        new = set()
        for sequence, position, event in events:
            cursor = self._connection.execute(
                "INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?)",
                (sequence, position, event.kind, event.time_ns, event.subject, as_json(event.data)),
            )
            if cursor.rowcount == 1 and sequence > self._told_through:
                new.add((sequence, position))
        return new

    def insert_summaries(self, summaries: Sequence[Mapping[str, Any]]) -> set[tuple[Any, ...]]:
        """Insert; returns the identities of those that nobody was told of."""
        self.block_means.insert(summaries)
        new = set()
        for summary in summaries:
            identity = _identity(summary)
            data = {name: value for name, value in summary.items() if name != "entry"}
            # Of a version that did not note the entry (0) its time tells that it is the same.
            cursor = self._connection.execute(
                "INSERT OR IGNORE INTO summary "
                "(model, tag, start_ns, baseline, entry, end_ns, data) "
                "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (SELECT 1 FROM summary WHERE "
                "(model, tag, start_ns, baseline, entry, end_ns) = (?1, ?2, ?3, ?4, 0, ?6))",
                (*identity, summary["end_ns"], as_json(data)),
            )
            told = 0 < identity[-1] <= self._told_through  # 0: of a version that did not note it
            if cursor.rowcount == 1 and not told:
                new.add(identity)
        return new

    def trim(self) -> None:
        """Delete the oldest beyond what is kept."""
        self._connection.execute(
            "DELETE FROM event WHERE rowid <= (SELECT max(rowid) FROM event) - ?",
            (self._events_kept,),
        )
        self._connection.execute(
            "DELETE FROM summary WHERE id <= (SELECT max(id) FROM summary) - ?",
            (self._summaries_kept,),
        )
        self.block_means.trim()


def as_json(value: Any) -> str:
    """Compact JSON; mappings that are no dicts become dicts."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)


def is_news(
    message: OutboxMessage, events: set[tuple[int, int]], summaries: set[tuple[Any, ...]]
) -> bool:
    """Whether what the message tells of is new, or it tells of nothing that has an identity."""
    if message.event is not None:
        return tuple(message.event) in events
    if message.summary is not None:
        return _identity(message.summary) in summaries
    return True


def _identity(summary: Mapping[str, Any]) -> tuple[Any, ...]:
    model, tag = summary.get("model") or "", summary.get("tag") or ""
    entry = summary.get("entry") or 0
    return (model, tag, summary["start_ns"], str(summary.get("baseline") or ""), entry)
