"""The outbox's writing side: what central has not acknowledged yet, and what became of the rest.

Invariants:
- received = delivered + pending + dropped, in messages, after every commit. A row that holds
  several merged messages counts for all of them.
- sequence numbers count within a stream of one run, from 1.
- what is changed gets a new row and a new id: an acknowledgement of the old one that comes later
  finds nothing, so it can not delete what was never sent.
- every drop is counted by reason, and told in one pending gap record per run, stream and reason,
  where a lost message is a loss: not for verdicts and states, of which the latest counts.

What the broker took (PUBACK) is `sent`, not gone. Once central acknowledges (`confirming`) a sent
row stays pending until it does. Before that, it counts as delivered, and is kept, as long as there
is room, for a central that comes later. With delivery "broker" it is deleted.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.clock import monotonic_ns
from agent.store import ranges
from agent.store.batch import EXPIRED, Delivery, OutboxMessage
from agent.store.counters import Counters
from agent.store.dead_letters import put_aside
from agent.store.numbers import CONFIRMED, Numbers

ROW_OVERHEAD = 160  # bytes of one outbox row and its index entries besides its payload
MOST_RANGES = 500  # in one gap record
REPLACED = "replaced"
TOLD = frozenset({"event", "summary"})  # in the others only the latest message counts
RESTART_S = 3_600  # added to the clock of sent rows at each start: those of before are old
_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """What bookkeeping needs to know of a row; `payload` only where it is asked for.

    Attributes:
        sent: 0 where it waits to be sent, else when the broker took it, see `Outbox.seconds`.
        tries: how often central asked for it although the broker had taken it.
    """

    id: int
    boot: int
    stream: str
    seq: int
    time_ns: int
    size: int
    messages: int
    covers: str | bytes | None
    sent: int
    tries: int
    payload: bytes = b""

    def seqs(self) -> ranges.Ranges:
        """All sequence numbers that the row stands for; only its own where `covers` is damaged."""
        try:
            covered = ranges.parse(self.covers)
        except (ValueError, TypeError):
            covered = []
        return ranges.union([*covered, (self.seq, self.seq)])


# As bytes: a damaged text must not fail the commit.
_ROW = (
    "id, boot, CAST(stream AS BLOB), seq, time_ns, length(payload), messages, "
    "CAST(covers AS BLOB), sent, tries"
)


class Outbox:
    """Rows that wait for central, on the writer's connection.

    Args:
        connection: the writer's.
        counters: `received`, `delivered`, `dropped:<reason>`, `pending`, `outbox_bytes`,
            `kept_bytes` (of rows that count as delivered), `confirming`, `central_heard`,
            `sent_clock_s` and `seq:<stream>` are its.
        boot: number of this run.
        delivery: what counts as delivered, see `[upstream] delivery`.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        counters: Counters,
        boot: int,
        delivery: Delivery = "auto",
    ) -> None:
        self._connection = connection
        self._counters = counters
        self._boot = boot
        self.delivery = delivery
        self.numbers = Numbers(connection, counters, boot)
        self._clock_s = counters.get("sent_clock_s") + RESTART_S - monotonic_ns() // _S

    # --- how delivery counts --------------------------------------------------------------------

    def seconds(self) -> int:
        """The clock of `Row.sent`: monotonic over all runs of the store."""
        return self._clock_s + monotonic_ns() // _S

    @property
    def confirming(self) -> bool:
        """Whether sent rows are pending until central acknowledges them."""
        return self._counters.get("confirming") > 0

    def heard_of_central(self) -> None:
        """An acknowledgement of a central came, for the first time or again."""
        self._counters.set("central_heard", 1)
        self.settle()

    def settle(self) -> None:
        """Count as `delivery` wants it; at the beginning of each commit."""
        heard = self.delivery == "auto" and self._counters.get("central_heard") > 0
        confirming = self.delivery == "central" or heard
        if confirming != self.confirming:
            count, size = self._connection.execute(
                f"SELECT ifnull(sum(messages), 0), ifnull(sum(length(payload) + {ROW_OVERHEAD}), 0)"  # noqa: S608
                " FROM outbox WHERE sent > 0"
            ).fetchone()
            sign = 1 if confirming else -1
            self._counters.add("pending", sign * count)
            self._counters.add("delivered", -sign * count)
            self._counters.add("outbox_bytes", sign * size)
            self._counters.add("kept_bytes", -sign * size)
            self._counters.set("confirming", int(confirming))
        if self.delivery == "broker" and self._counters.get("kept_bytes"):
            self._connection.execute("DELETE FROM outbox WHERE sent > 0")
            self._counters.set("kept_bytes", 0)

    def _counts_as_delivered(self, row: Row) -> bool:
        return row.sent > 0 and not self.confirming

    # --- rows -----------------------------------------------------------------------------------

    def enqueue(self, messages: Sequence[OutboxMessage]) -> None:
        """Add messages at the end, each with the next number of its stream."""
        for message in messages:
            if message.replace_key is not None:
                self._replace(message.replace_key)
            self._counters.add("received", 1)
            self._insert(message, self._boot)

    def _replace(self, key: str) -> None:
        rows = self.rows("WHERE replace_key = ? AND sent = 0", (key,))
        self._remove(rows)
        self._count_dropped(REPLACED, sum(row.messages for row in rows))

    def _insert(
        self, message: OutboxMessage, boot: int, *, messages: int = 1, covers: str | None = None,
        level: int = 0,
    ) -> None:  # fmt: skip
        seq = self.numbers.following(boot, message.stream)
        self._connection.execute(
            "INSERT INTO outbox (boot, stream, seq, topic, payload, time_ns, retain, expiry_s, "
            "replace_key, messages, covers, level, time_quality) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                boot, message.stream, seq, message.topic, message.payload, message.time_ns,
                int(message.retain), message.expiry_s, message.replace_key, messages, covers,
                level, message.time_quality,
            ),
        )  # fmt: skip
        self._counters.add("pending", messages)
        self._counters.add("outbox_bytes", len(message.payload) + ROW_OVERHEAD)

    def rows(
        self, where: str, values: Sequence[object] = (), *, payload: bool = False
    ) -> list[Row]:
        """Rows by an SQL condition (and order) of this package."""
        columns = f"{_ROW}, payload" if payload else _ROW
        found = self._connection.execute(f"SELECT {columns} FROM outbox {where}", values)  # noqa: S608
        return [Row(row[0], row[1], str(row[2], "utf-8", "replace"), *row[3:]) for row in found]

    def _remove(self, rows: Sequence[Row]) -> None:
        self._connection.executemany("DELETE FROM outbox WHERE id = ?", [(row.id,) for row in rows])
        for row in rows:
            if self._counts_as_delivered(row):
                self._counters.add("kept_bytes", -(row.size + ROW_OVERHEAD))
            else:
                self._counters.add("pending", -row.messages)
                self._counters.add("outbox_bytes", -(row.size + ROW_OVERHEAD))

    def _by_id(self, ids: Iterable[int]) -> list[Row]:
        return [row for given in ids for row in self.rows("WHERE id = ?", (given,))]

    # --- what became of them --------------------------------------------------------------------

    def delivered(self, ids: Sequence[int]) -> None:
        """Central's broker has them. Ids that are not there (replaced meanwhile) mean nothing."""
        rows = [row for row in self._by_id(dict.fromkeys(ids)) if not row.sent]
        keep = self.delivery != "broker"
        kept = [row for row in rows if keep and row.stream in CONFIRMED]
        gone = [row for row in rows if not (keep and row.stream in CONFIRMED)]
        self._remove(gone)
        self._counters.add("delivered", sum(row.messages for row in gone))
        if not kept:
            return
        now = self.seconds()
        self._counters.set("sent_clock_s", now)
        self._connection.executemany(
            "UPDATE outbox SET sent = ? WHERE id = ?", [(now, row.id) for row in kept]
        )
        if not self.confirming:
            count = sum(row.messages for row in kept)
            size = sum(row.size + ROW_OVERHEAD for row in kept)
            self._counters.add("pending", -count)
            self._counters.add("delivered", count)
            self._counters.add("outbox_bytes", -size)
            self._counters.add("kept_bytes", size)

    def received_by_central(self, rows: Sequence[Row]) -> None:
        """Central itself has them."""
        counted = sum(row.messages for row in rows if not self._counts_as_delivered(row))
        self._remove(rows)
        self._counters.add("delivered", counted)

    def gaps_known(self, rows: Sequence[Row]) -> None:
        """Central has these gap records: what they name, it knows to be lost."""
        for row in rows:
            gap = _gap_of(row.payload)
            if gap is None or gap.get("of") not in TOLD or not isinstance(gap.get("boot"), int):
                continue
            named = sum(last - first + 1 for first, last in gap["ranges"])
            if named <= gap["count"]:  # joined ranges name others too
                self.numbers.acknowledge(gap["boot"], gap["of"], map(tuple, gap["ranges"]))

    def send_again(self, rows: Sequence[Row]) -> None:
        """Central asked for sent rows."""
        self._connection.executemany(
            "UPDATE outbox SET sent = 0, tries = tries + 1 WHERE id = ?",
            [(row.id,) for row in rows],
        )

    def forget_kept(self, bytes_over: int, most: int) -> bool:
        """Let the oldest rows go that count as delivered; False where there was none."""
        chosen = []
        for row in self.rows("WHERE sent > 0 ORDER BY id LIMIT ?", (most,)):
            if bytes_over <= 0:
                break
            chosen.append(row)
            bytes_over -= row.size + ROW_OVERHEAD
        self._remove(chosen)
        return bool(chosen)

    def rejected(self, reasons: Mapping[int, str]) -> None:
        """They will never be delivered: put aside, unless they only came too late."""
        for given, reason in reasons.items():
            if reason != EXPIRED:
                put_aside(self._connection, self._counters, given, reason)
            # One by one: a gap record told for one of them may replace another of them.
            rows = self.rows("WHERE id = ?", (given,), payload=True)
            self.drop(rows, f"rejected: {reason}")
            for row in rows:
                self._tell_in_parts(row)

    def _tell_in_parts(self, row: Row) -> None:
        """A gap record that was refused goes as two, as it may be too large; one range only once.

        Where that is refused too, central is told when it says what it has: `acknowledge`.
        """
        gap = _gap_of(row.payload) if row.stream == "gap" else None
        if gap is None or len(gap["ranges"]) < 2:
            return
        every = gap["ranges"]
        exact = sum(last - first + 1 for first, last in every) <= gap["count"]
        middle = len(every) // 2
        # What names more numbers than are lost must not be taken at its word in parts either.
        parts = [every[:middle], every[middle:]] if exact else [ranges.limited(every, middle)]
        for part in parts:
            named = sum(last - first + 1 for first, last in part)
            told = gap | {"ranges": part, "count": named if exact else gap["count"]}
            key = f"gap {gap.get('boot')} {gap.get('of')} part {row.id} {part[0][0]}"
            payload = json.dumps(told, separators=(",", ":")).encode()
            self.enqueue([OutboxMessage("gap", "gap", payload, gap["end_ns"], replace_key=key)])

    def at_level(self, row: Row, level: int) -> None:
        """Note that there is nothing to merge a row with up to `level`."""
        self._connection.execute("UPDATE outbox SET level = ? WHERE id = ?", (level, row.id))

    def merged(self, rows: Sequence[Row], topic: str, payload: bytes, level: int) -> None:
        """Put one row that holds them all in the place of several rows of one run."""
        covers = json.dumps(ranges.union(pair for row in rows for pair in row.seqs()))
        self._remove(rows)
        message = OutboxMessage("summary", topic, payload, max(row.time_ns for row in rows))
        count = sum(row.messages for row in rows)
        self._insert(message, rows[0].boot, messages=count, covers=covers, level=level)

    def drop(self, rows: Sequence[Row], reason: str) -> None:
        """Give rows of one stream up: counted, and told in a gap record where it is a loss."""
        if not rows:
            return
        self._remove(rows)
        self._count_dropped(reason, sum(row.messages for row in rows))
        if rows[0].stream not in TOLD:
            return
        for boot in dict.fromkeys(row.boot for row in rows):
            own = [row for row in rows if row.boot == boot]
            self.tell_gap(
                boot, own[0].stream, reason, [pair for row in own for pair in row.seqs()],
                count=sum(row.messages for row in own),
                start_ns=min(row.time_ns for row in own), end_ns=max(row.time_ns for row in own),
            )  # fmt: skip

    def tell_gap(
        self, boot: int, stream: str, reason: str, lost: ranges.Ranges, *, count: int,
        start_ns: int, end_ns: int,
    ) -> None:  # fmt: skip
        """Tell of numbers that central will not get; added to what is pending of the kind."""
        key = gap_key(boot, stream, reason)
        told: dict[str, Any] = {"count": 0, "start_ns": start_ns, "end_ns": 0, "ranges": []}
        for pending in self.rows("WHERE replace_key = ? AND sent = 0", (key,), payload=True):
            told = _gap_of(pending.payload) or told
        every = ranges.union([*((first, last) for first, last in told["ranges"]), *lost])
        gap = {
            "of": stream,
            "boot": boot,
            "reason": reason,
            "count": told["count"] + count,
            "ranges": ranges.limited(every, MOST_RANGES),
            "start_ns": min(told["start_ns"], start_ns),
            "end_ns": max(told["end_ns"], end_ns),
        }
        payload = json.dumps(gap, separators=(",", ":")).encode()
        self.enqueue([OutboxMessage("gap", "gap", payload, gap["end_ns"], replace_key=key)])

    def rows_from(self, boot: int, stream: str, first: int) -> int:
        """How many rows have a number from `first` on."""
        query = "SELECT count(*) FROM outbox WHERE boot = ? AND stream = ? AND seq >= ?"
        return int(self._connection.execute(query, (boot, stream, first)).fetchone()[0])

    def numbers_here(self, boot: int, stream: str, first: int) -> ranges.Ranges:
        """Numbers from `first` on that rows stand for, however many rows there are."""
        found = self._connection.execute(
            "SELECT min(seq), max(seq) FROM (SELECT seq, seq - row_number() OVER (ORDER BY seq) "
            "AS island FROM outbox WHERE boot = ? AND stream = ? AND seq >= ?) GROUP BY island",
            (boot, stream, first),
        ).fetchall()
        merged = self.rows("WHERE stream = 'summary' AND level > 0 AND boot = ?", (boot,))
        if stream == "summary":
            found += [pair for row in merged for pair in row.seqs()]
        return ranges.union(found)

    def gaps_told(self, boot: int, stream: str) -> ranges.Ranges:
        """Numbers that gap records tell of which central does not have yet."""
        rows = self.rows("WHERE replace_key GLOB ?", (f"gap {boot} {stream} *",), payload=True)
        gaps = [_gap_of(row.payload) for row in rows]
        return ranges.union((first, last) for gap in gaps if gap for first, last in gap["ranges"])

    def _count_dropped(self, reason: str, count: int) -> None:
        if count:
            self._counters.add(f"dropped:{reason}", count)


def gap_key(boot: int, stream: str, reason: str) -> str:
    """The replace key of the gap record to which losses are added while it waits."""
    return f"gap {boot} {stream} {reason}"


def _gap_of(payload: bytes) -> dict[str, Any] | None:
    """A gap record that waits; None where it is damaged."""
    try:
        gap: dict[str, Any] = json.loads(payload)
        well = all(isinstance(gap[key], int) for key in ("count", "start_ns", "end_ns"))
        well = well and all(type(n) is int for pair in gap["ranges"] for n in pair)
        return gap if well and all(len(pair) == 2 for pair in gap["ranges"]) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
