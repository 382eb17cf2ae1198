"""Events that wait for hooks (`agent.hooks`): committed with the event, gone once delivered.

Invariants:
- a message is written in the transaction of its event, and only if that event is new, so a fold
  after a crash tells nothing twice.
- it is known by its hook and event, which no other message ever has, also where the store had to
  begin anew: what is said of one that was dropped meanwhile hits no other.
- it leaves by way of a commit: delivered, or given up with a reason. What was delivered right
  before a crash is delivered again: whoever receives it knows it by its id.
- of each hook it is counted what was delivered, and what was dropped and why.
- at most `MOST` wait for a hook; of more the oldest go, and are counted as dropped.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.store.batch import Batch, HookKey
from agent.store.counters import Counters
from agent.store.history_queries import Place, shift_since

MOST: Final = 1_000
FULL: Final = "too many wait"
_PREFIX: Final = "hook"


@dataclass(frozen=True, slots=True)
class HookRow:
    """One event that waits for a hook, at a time as the clock of now has it; see `HookMessage`."""

    hook: str
    event: tuple[int, int]
    time_ns: int
    payload: bytes


class HookMessages:
    """The writer's side.

    Args:
        connection: the writer's.
        counters: `hook <name> <what>` are its; what was delivered, or dropped and why.
    """

    def __init__(self, connection: sqlite3.Connection, counters: Counters) -> None:
        self._connection, self._counters = connection, counters

    def take(self, batch: Batch, new: Collection[tuple[int, int]]) -> None:
        """What a batch says of hooks, within the open transaction.

        Args:
            batch: with `hooks` and `hooks_done`.
            new: identities of its events that were not there before.
        """
        self._done(batch.hooks_done)
        touched = set()
        for one in batch.hooks:
            if one.event in new:
                self._connection.execute(
                    "INSERT INTO hook_message (hook, sequence, position, time_ns, payload) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (one.hook, *one.event, one.time_ns, one.payload),
                )
                touched.add(one.hook)
        for hook in sorted(touched):
            self._limit(hook)

    def _done(self, results: Mapping[HookKey, str]) -> None:
        for key, reason in results.items():
            row = self._connection.execute(
                "DELETE FROM hook_message WHERE hook = ? AND sequence = ? AND position = ? "
                "RETURNING hook", key,
            ).fetchone()
            if row is not None:
                self._count(key[0], f"dropped {reason}" if reason else "delivered")

    def _limit(self, hook: str) -> None:
        gone = self._connection.execute(
            "DELETE FROM hook_message WHERE id IN (SELECT id FROM hook_message WHERE hook = ?1 "
            "ORDER BY id DESC LIMIT -1 OFFSET ?2)",
            (hook, MOST),
        ).rowcount
        if gone > 0:
            self._count(hook, f"dropped {FULL}", gone)

    def _count(self, hook: str, what: str, count: int = 1) -> None:
        self._counters.add(_counter(hook, what), count)


def _counter(hook: str, what: str) -> str:
    return f"{_PREFIX}\n{hook}\n{what}"


class HookQueries(ABC):
    """The hooks' part of `Reader`."""

    @abstractmethod
    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a query."""

    @abstractmethod
    def counters(self) -> dict[str, int]:
        """All counters by name."""

    @abstractmethod
    def _spans(self) -> list[tuple[Place, Place, int]]:
        """(first place, place after the last, by how much time was set since), in order."""

    def hook_messages(self, hook: str, after: Place = (-1, 0), limit: int = 1) -> list[HookRow]:
        """The oldest messages that wait for a hook, behind an event."""
        rows = self._all(
            "SELECT hook, sequence, position, time_ns, payload FROM hook_message "
            "WHERE hook = ? AND (sequence, position) > (?, ?) ORDER BY sequence, position LIMIT ?",
            hook, *after, limit,
        )  # fmt: skip
        spans = self._spans() if rows else []
        return [
            HookRow(row[0], (row[1], row[2]), row[3] + shift_since(spans, (row[1], row[2])), row[4])
            for row in rows
        ]

    def hooks_waiting(self) -> dict[str, int]:
        """Of each hook for which something waits: how much."""
        return dict(self._all("SELECT hook, count(*) FROM hook_message GROUP BY hook"))

    def hook_counts(self, hook: str) -> dict[str, Any]:
        """pending, delivered, and dropped (reason -> count), in messages."""
        start = _counter(hook, "")
        found = {
            name.removeprefix(start): count for name, count in self.counters().items()
            if name.startswith(start)
        }
        dropped = {
            what.removeprefix("dropped "): count for what, count in sorted(found.items())
            if what.startswith("dropped ")
        }
        return {
            "pending": self.hooks_waiting().get(hook, 0),
            "delivered": found.get("delivered", 0), "dropped": dropped,
        }
