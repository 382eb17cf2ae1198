"""The journal's writing side: entries in one gapless sequence, snapshots, retention by bytes.

Invariants:
- sequences have no gap; an entry that is already there is left alone, whatever is offered.
- nothing that a start needs is deleted: only entries that the older kept snapshot has folded in.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence

from agent.errors import StoreError
from agent.store.codec import encode
from agent.store.counters import Counters
from agent.types import Entry

LOST = "lost"  # kind of the entry that tells of a loss, and closes the hole in the numbers
ROW_OVERHEAD = 40  # bytes of one journal row besides its blob
SNAPSHOTS_KEPT = 2  # the older one serves where the newer one is damaged
DELETED_AT_ONCE = 500  # rows per transaction, so that no commit takes long


class Journal:
    """Entries and snapshots of the writer's connection.

    Args:
        connection: the writer's.
        counters: `last_sequence`, `last_time_ns` and `journal_bytes` are its.
        limit_bytes: of all entries together.
    """

    def __init__(
        self, connection: sqlite3.Connection, counters: Counters, limit_bytes: int
    ) -> None:
        self._connection = connection
        self._counters = counters
        self._limit = limit_bytes

    def append(self, entries: Sequence[Entry]) -> None:
        """Add those that are new.

        Raises:
            StoreError: they do not continue the journal.
        """
        last = self._counters.get("last_sequence")
        rows = []
        for entry in entries:
            if entry.sequence <= last:
                continue
            # One that tells of a loss stands for the numbers before it, too.
            if entry.sequence != last + 1 and getattr(entry, "kind", "") != LOST:
                raise StoreError(
                    "writing the journal",
                    f"entry {entry.sequence}",
                    f"the last one is {last}; there would be a gap",
                )
            last = entry.sequence
            kind, blob = encode(entry)
            rows.append((last, entry.sealed_ns, kind, blob))
        if not rows:
            return
        self._connection.executemany("INSERT INTO journal VALUES (?, ?, ?, ?)", rows)
        self._counters.set("last_sequence", last)
        self._counters.set("last_time_ns", rows[-1][1])
        self._counters.add("journal_bytes", sum(len(row[3]) + ROW_OVERHEAD for row in rows))

    def snapshot(self, sequence: int, state: bytes) -> None:
        """Keep the engine's state after `sequence`; older ones go."""
        packed = zlib.compress(state, 1)
        self._connection.execute(
            "INSERT OR REPLACE INTO snapshot VALUES (?, ?, ?)",
            (sequence, zlib.crc32(packed), packed),
        )
        self._connection.execute(
            "DELETE FROM snapshot WHERE sequence NOT IN "
            "(SELECT sequence FROM snapshot ORDER BY sequence DESC LIMIT ?)",
            (SNAPSHOTS_KEPT,),
        )

    def trim(self, share: float = 1.0) -> int:
        """Delete the oldest entries until `share` of the limit holds; returns how many went."""
        excess = self._counters.get("journal_bytes") - round(self._limit * share)
        if excess <= 0:
            return 0
        (folded,) = self._connection.execute("SELECT min(sequence) FROM snapshot").fetchone()
        rows = self._connection.execute(
            "SELECT sequence, length(data) FROM journal WHERE sequence <= ? ORDER BY sequence "
            "LIMIT ?",
            (folded if folded is not None else 0, DELETED_AT_ONCE),
        ).fetchall()
        freed, up_to, count = 0, None, 0
        for sequence, size in rows:
            if freed >= excess:
                break
            freed, up_to, count = freed + size + ROW_OVERHEAD, sequence, count + 1
        if up_to is not None:
            self._connection.execute("DELETE FROM journal WHERE sequence <= ?", (up_to,))
            self._counters.add("journal_bytes", -freed)
        return count
