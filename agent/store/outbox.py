"""The outbox's writing side: what central has not acknowledged yet, and what became of the rest.

Invariants:
- received = delivered + pending + dropped, in messages, after every commit. A row that holds
  several merged messages counts for all of them.
- sequence numbers count within a stream, for ever, also across boots.
- what is changed gets a new row and a new id: an acknowledgement of the old one that comes later
  finds nothing, so it can not delete what was never sent.
- every drop is counted by reason, and told in one pending gap record per stream and reason,
  where a lost message is a loss: not for verdicts and states, of which the latest counts.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.store import ranges
from agent.store.batch import OutboxMessage
from agent.store.counters import Counters

ROW_OVERHEAD = 160  # bytes of one outbox row and its index entries besides its payload
MOST_RANGES = 500  # in one gap record
REPLACED = "replaced"
TOLD = frozenset({"event", "summary"})  # in the others only the latest message counts


@dataclass(frozen=True, slots=True)
class Row:
    """What bookkeeping needs to know of a row; `payload` only where it is asked for."""

    id: int
    stream: str
    seq: int
    time_ns: int
    size: int
    messages: int
    covers: str | None
    payload: bytes = b""

    def seqs(self) -> ranges.Ranges:
        """All sequence numbers that the row stands for."""
        return ranges.union([*ranges.parse(self.covers), (self.seq, self.seq)])


_ROW = "id, stream, seq, time_ns, length(payload), messages, covers"


class Outbox:
    """Rows that wait for central, on the writer's connection.

    Args:
        connection: the writer's.
        counters: `received`, `delivered`, `dropped:<reason>`, `pending`, `outbox_bytes` and
            `seq:<stream>` are its.
        boot: number of this run.
    """

    def __init__(self, connection: sqlite3.Connection, counters: Counters, boot: int) -> None:
        self._connection = connection
        self._counters = counters
        self._boot = boot

    def enqueue(self, messages: Sequence[OutboxMessage]) -> None:
        """Add messages at the end, each with the next number of its stream."""
        for message in messages:
            if message.replace_key is not None:
                self._replace(message.replace_key)
            self._counters.add("received", 1)
            self._insert(message, messages=1, covers=None, level=0)

    def _replace(self, key: str) -> None:
        rows = self.rows("WHERE replace_key = ?", (key,))
        self._remove(rows)
        self._count_dropped(REPLACED, sum(row.messages for row in rows))

    def _insert(
        self, message: OutboxMessage, *, messages: int, covers: str | None, level: int
    ) -> None:
        seq = self._counters.add(f"seq:{message.stream}", 1)
        self._connection.execute(
            "INSERT INTO outbox (boot, stream, seq, topic, payload, time_ns, retain, expiry_s, "
            "replace_key, messages, covers, level) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._boot,
                message.stream,
                seq,
                message.topic,
                message.payload,
                message.time_ns,
                int(message.retain),
                message.expiry_s,
                message.replace_key,
                messages,
                covers,
                level,
            ),
        )
        self._counters.add("pending", messages)
        self._counters.add("outbox_bytes", len(message.payload) + ROW_OVERHEAD)

    def rows(
        self, where: str, values: Sequence[object] = (), *, payload: bool = False
    ) -> list[Row]:
        """Rows by an SQL condition (and order) of this package."""
        columns = f"{_ROW}, payload" if payload else _ROW
        found = self._connection.execute(f"SELECT {columns} FROM outbox {where}", values)  # noqa: S608
        return [Row(*row) for row in found]

    def newest_ns(self, stream: str) -> int:
        """Time of the newest pending row of a stream, 0 where there is none."""
        query = "SELECT max(time_ns) FROM outbox WHERE stream = ?"
        return self._connection.execute(query, (stream,)).fetchone()[0] or 0

    def _remove(self, rows: Sequence[Row]) -> None:
        self._connection.executemany("DELETE FROM outbox WHERE id = ?", [(row.id,) for row in rows])
        self._counters.add("pending", -sum(row.messages for row in rows))
        self._counters.add("outbox_bytes", -sum(row.size + ROW_OVERHEAD for row in rows))

    def _by_id(self, ids: Iterable[int]) -> list[Row]:
        return [row for given in ids for row in self.rows("WHERE id = ?", (given,))]

    def delivered(self, ids: Sequence[int]) -> None:
        """Central's broker has them. Ids that are not there (replaced meanwhile) mean nothing."""
        rows = self._by_id(dict.fromkeys(ids))
        self._remove(rows)
        self._counters.add("delivered", sum(row.messages for row in rows))

    def rejected(self, reasons: Mapping[int, str]) -> None:
        """Central's broker will never take them."""
        for given, reason in reasons.items():
            # One by one: a gap record told for one of them may replace another of them.
            self.drop(self._by_id([given]), f"rejected: {reason}")

    def at_level(self, row: Row, level: int) -> None:
        """Note that there is nothing to merge a row with up to `level`."""
        self._connection.execute("UPDATE outbox SET level = ? WHERE id = ?", (level, row.id))

    def merged(self, rows: Sequence[Row], topic: str, payload: bytes, level: int) -> None:
        """Put one row that holds them all in the place of several rows."""
        covers = json.dumps(ranges.union(pair for row in rows for pair in row.seqs()))
        self._remove(rows)
        message = OutboxMessage("summary", topic, payload, max(row.time_ns for row in rows))
        count = sum(row.messages for row in rows)
        self._insert(message, messages=count, covers=covers, level=level)

    def drop(self, rows: Sequence[Row], reason: str) -> None:
        """Give rows of one stream up: counted, and told in a gap record where it is a loss."""
        if not rows:
            return
        self._remove(rows)
        self._count_dropped(reason, sum(row.messages for row in rows))
        if rows[0].stream in TOLD:
            self._tell_gap(rows, reason)

    def _tell_gap(self, rows: Sequence[Row], reason: str) -> None:
        stream = rows[0].stream
        key = f"gap {stream} {reason}"
        told: dict[str, Any] = {"count": 0, "start_ns": rows[0].time_ns, "end_ns": 0, "ranges": []}
        pending = self.rows("WHERE replace_key = ?", (key,), payload=True)
        if pending:
            told = json.loads(pending[0].payload)
        lost = [(first, last) for first, last in told["ranges"]]
        lost += [pair for row in rows for pair in row.seqs()]
        gap = {
            "of": stream,
            "reason": reason,
            "count": told["count"] + sum(row.messages for row in rows),
            "ranges": ranges.limited(ranges.union(lost), MOST_RANGES),
            "start_ns": min(told["start_ns"], *(row.time_ns for row in rows)),
            "end_ns": max(told["end_ns"], *(row.time_ns for row in rows)),
        }
        payload = json.dumps(gap, separators=(",", ":")).encode()
        self.enqueue([OutboxMessage("gap", "gap", payload, gap["end_ns"], replace_key=key)])

    def _count_dropped(self, reason: str, count: int) -> None:
        if count:
            self._counters.add(f"dropped:{reason}", count)
