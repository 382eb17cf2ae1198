"""Reading the outbox: what waits, what central acknowledged, what was put aside, and the sums."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, get_args

from agent.store import ranges
from agent.store.batch import Stream
from agent.store.numbers import CONFIRMED, LACKED


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message as it waits for central; see `OutboxMessage` for the fields they share.

    `damaged` says what of the row can not be read; it can not be sent.
    """

    id: int
    boot: int
    stream: str
    seq: int
    topic: str
    payload: bytes
    time_ns: int
    retain: bool
    expiry_s: int | None
    covers: ranges.Ranges
    time_quality: str = "unknown"
    damaged: str = ""


class OutboxQueries(ABC):
    """The outbox's part of `Reader`."""

    @abstractmethod
    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a query."""

    @abstractmethod
    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of a query."""

    def counters(self) -> dict[str, int]:
        """All counters by name; see `agent.store.outbox`."""
        return dict(self._all("SELECT name, value FROM counter"))

    def outbox(self) -> dict[str, Any]:
        """received = delivered + pending + the sum of dropped (reason -> count), in messages.

        Returns:
            received, pending, bytes, oldest_ns (None where nothing is pending), delivered, dropped;
            confirmed: whether delivered means that central acknowledged; kept_bytes: of messages
            that count as delivered and are kept for a central that comes later;
            acknowledgements_refused; dead_letters: count, and of the last one last (its name) and
            last_reason.
        """
        counters = self.counters()
        pending = "" if counters.get("confirming") else "AND sent = 0"
        times = [
            self._all(f"SELECT min(time_ns) FROM outbox WHERE stream = ? {pending}", stream)[0][0]  # noqa: S608
            for stream in get_args(Stream)
        ]
        prefix = "dropped:"
        return {
            "received": counters.get("received", 0),
            "pending": counters.get("pending", 0),
            "bytes": counters.get("outbox_bytes", 0),
            "oldest_ns": min((time for time in times if time is not None), default=None),
            "delivered": counters.get("delivered", 0),
            "dropped": {
                name.removeprefix(prefix): count
                for name, count in sorted(counters.items())
                if name.startswith(prefix)
            },
            "confirmed": counters.get("confirming", 0) > 0,
            "kept_bytes": counters.get("kept_bytes", 0),
            "acknowledgements_refused": counters.get("acknowledgements_refused", 0),
            "dead_letters": {"count": counters.get("dead_letters", 0), **self._last_dead_letter()},
        }

    def _last_dead_letter(self) -> dict[str, str]:
        row = self._one(
            "SELECT stream || ' ' || seq || ' of run ' || boot, reason FROM dead_letter "
            "ORDER BY id DESC LIMIT 1"
        )
        return {"last": row[0], "last_reason": row[1]} if row else {}

    def dead_letters(self, limit: int = 100) -> list[dict[str, Any]]:
        """Messages that could not be delivered, the newest first: dicts of the table's columns."""
        names = ("boot", "stream", "seq", "topic", "payload", "time_ns", "reason")
        rows = self._all(
            f"SELECT {', '.join(names)} FROM dead_letter ORDER BY id DESC LIMIT ?",  # noqa: S608
            limit,
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def confirming(self) -> bool:
        """Whether delivered means that central acknowledged."""
        row = self._one("SELECT value FROM counter WHERE name = 'confirming'")
        return bool(row and row[0])

    def newest_outbox_id(self) -> int:
        """Id of the newest row of the outbox, 0 where there is none."""
        row = self._one("SELECT max(id) FROM outbox")
        return int(row[0] or 0) if row else 0

    def pending(
        self, after_id: int = 0, limit: int = 200, up_to_id: int = 2**62
    ) -> list[OutboxRow]:
        """The next rows that wait to be sent, in the order in which they are to be sent."""
        return self._outbox_rows(
            "WHERE sent = 0 AND id > ? AND id <= ? ORDER BY id LIMIT ?", after_id, up_to_id, limit
        )

    def pending_verdicts(self, after_id: int, limit: int, up_to_id: int) -> list[OutboxRow]:
        """The same, of verdicts alone: there are few, however many other rows there are."""
        return self._outbox_rows(
            "INDEXED BY outbox_key WHERE replace_key IS NOT NULL AND stream = 'verdict' "
            "AND sent = 0 AND id > ? AND id <= ? ORDER BY id LIMIT ?",
            after_id,
            up_to_id,
            limit,
        )

    def outbox_row(self, row_id: int) -> OutboxRow | None:
        """One row that waits to be sent; None where it is gone."""
        rows = self._outbox_rows("WHERE id = ? AND sent = 0", row_id)
        return rows[0] if rows else None

    def _outbox_rows(self, where: str, *values: object) -> list[OutboxRow]:
        return [_outbox_row(row) for row in self._all(f"{_OUTBOX_ROW} {where}", *values)]

    def unacknowledged(self, limit: int) -> list[dict[str, Any]]:
        """What the broker took and central has not acknowledged: boot, stream, first, last.

        At most `limit`, of the newest runs; verdicts and states are not acknowledged.
        """
        rows = self._all(
            "WITH RECURSIVE run (boot) AS (SELECT max(boot) FROM outbox WHERE sent > 0 UNION ALL "
            "SELECT (SELECT max(boot) FROM outbox WHERE sent > 0 AND boot < run.boot) FROM run "
            "WHERE run.boot IS NOT NULL) "
            "SELECT run.boot, one.value, "
            "(SELECT min(seq) FROM outbox WHERE sent > 0 AND boot = run.boot "
            "AND stream = one.value) AS first, "
            "(SELECT max(seq) FROM outbox WHERE sent > 0 AND boot = run.boot "
            "AND stream = one.value) FROM run, json_each(?) AS one "
            "WHERE run.boot IS NOT NULL AND first IS NOT NULL LIMIT ?",
            json.dumps(CONFIRMED),
            limit,
        )
        return [dict(zip(("boot", "stream", "first", "last"), row, strict=True)) for row in rows]

    def lacked(self) -> int:
        """How often a central lacked what was acknowledged: the birth is to be said again then."""
        row = self._one("SELECT value FROM counter WHERE name = ?", LACKED)
        return int(row[0]) if row else 0

    def acknowledged(self, limit: int) -> list[dict[str, Any]]:
        """Up to where a central has acknowledged: boot, stream, through; of the newest runs."""
        rows = self._all(
            "SELECT boot, stream, through FROM numbers WHERE through > 0 "
            "AND stream IN (SELECT value FROM json_each(?)) ORDER BY boot DESC LIMIT ?",
            json.dumps(CONFIRMED),
            limit,
        )
        return [dict(zip(("boot", "stream", "through"), row, strict=True)) for row in rows]


# Texts as bytes: one damaged row must not hide the others.
_OUTBOX_ROW = (
    "SELECT id, boot, CAST(stream AS BLOB), seq, CAST(topic AS BLOB), payload, time_ns, retain, "
    "expiry_s, CAST(covers AS BLOB), CAST(time_quality AS BLOB) FROM outbox"
)


def _outbox_row(row: tuple[Any, ...]) -> OutboxRow:
    number, boot, stream, seq, topic, payload, time_ns, retain, expiry_s, covers, quality = row
    damaged, texts = "", []
    for text in (stream, topic, quality):
        try:
            texts.append(str(text, "utf-8"))
        except UnicodeDecodeError as error:
            damaged = str(error)
            texts.append(str(text, "utf-8", "replace"))
    covered: ranges.Ranges = []
    try:
        covered = ranges.parse(covers)
    except (ValueError, TypeError, RecursionError) as error:
        damaged = f"covers: {error}"
    return OutboxRow(
        number, boot, texts[0], seq, texts[1], payload, time_ns, bool(retain), expiry_s,
        covered, texts[2], damaged,
    )  # fmt: skip
