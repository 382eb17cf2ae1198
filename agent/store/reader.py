"""Reading the store: for status, replay and the command, while the agent runs or when it is dead.

Rows come as plain dicts and dataclasses. A reader never writes, and holds no transaction open
between calls, so it holds up neither the writer nor its checkpoints.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.errors import StoreError
from agent.store.account import BASE, COLUMNS, COUNTER, Proof, base_from, proof_of
from agent.store.block_means import unpacked
from agent.store.codec import decode
from agent.store.history_queries import HistoryQueries
from agent.store.hook_messages import HookQueries
from agent.store.journal import LOST
from agent.store.outbox_queries import OutboxQueries, OutboxRow
from agent.store.renewal import identity_of
from agent.types import Entry

__all__ = ["OutboxRow", "Reader"]

logger = logging.getLogger(__name__)

ENTRIES_AT_ONCE = 200
CONDITIONS_SEARCHED = 20_000
_AFTER_ALL = (1 << 63) - 1
_EVENTS = (
    "SELECT sequence, position, kind, time_ns, subject, "
    "CASE WHEN json_valid(data) THEN data ELSE '{}' END AS data FROM event"
)
"""Of an event that a fault of the disk damaged nothing is known; it must not hide all others."""


class Reader(OutboxQueries, HistoryQueries, HookQueries):
    """A read-only connection; use it from one thread at a time.

    Args:
        path: of the store.

    Raises:
        StoreError: no such store, not readable, or not (yet) a store of this version.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = self._open()
        self._file = identity_of(path)

    def _open(self) -> sqlite3.Connection:
        if not self._path.is_file():
            hint = "start the agent once: fieldwarden run CONFIG"
            raise self._error("there is no such file", hint)
        # A reader without write permission can not make the WAL's index; where the agent closed
        # the store cleanly there is none to make.
        clean = not self._path.with_name(self._path.name + "-wal").exists()
        for options in ("mode=ro", "immutable=1") if clean else ("mode=ro",):
            try:
                connection = sqlite3.connect(
                    f"{self._path.absolute().as_uri()}?{options}",
                    uri=True,
                    isolation_level=None,
                    timeout=5.0,
                    check_same_thread=False,
                )
                connection.text_factory = _text
                connection.execute("SELECT sent FROM outbox LIMIT 1")
            except sqlite3.Error as error:
                cause = str(error)
            else:
                return connection
        raise self._error(cause, "run it as the agent's user, or see whether the file is a store")

    def _error(self, cause: str, hint: str = "") -> StoreError:
        return StoreError("reading the store", str(self._path), cause, hint)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _follow(self) -> None:
        """Read the file that is there now: the writer may have had to begin a new one."""
        found = identity_of(self._path)
        if found is not None and found != self._file:
            with contextlib.suppress(StoreError):  # not yet: the old one still answers
                fresh = self._open()
                self._connection.close()
                self._connection, self._file = fresh, found

    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        self._follow()
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise self._error(str(error)) from error

    def _one(self, query: str, *values: object) -> tuple[Any, ...] | None:
        rows = self._all(query, *values)
        return rows[0] if rows else None

    @property
    def boot(self) -> int:
        """Number of the latest boot, 0 where there was none."""
        return self.counters().get("boot", 0)

    @property
    def store_id(self) -> str:
        """Random name of this very file."""
        row = self._one("SELECT value FROM identity WHERE name = 'store'")
        return str(row[0]) if row else ""

    def tag_ids(self) -> dict[str, int]:
        """All tags that ever had an id, by name."""
        return dict(self._all("SELECT name, id FROM tag"))

    def document(self, name: str) -> Any | None:
        """A JSON document, such as ``"status"``; None where there is none."""
        row = self._one("SELECT data FROM document WHERE name = ?", name)
        return json.loads(_unpacked(row[0])) if row else None

    def events(
        self, limit: int = 100, kind: str | None = None, after: tuple[int, int] | None = None
    ) -> list[dict[str, Any]]:
        """Events: the newest first, or, with `after` (sequence, position), the next ones in order.

        Returns:
            Dicts with sequence, position, kind, time_ns, subject and data.
        """
        where, values = ["1"], list[object]()
        if kind is not None:
            where.append("kind = ?")
            values.append(kind)
        if after is not None:
            where.append("(sequence, position) > (?, ?)")
            values += after
        order = "DESC" if after is None else "ASC"
        rows = self._all(
            "SELECT sequence, position, kind, time_ns, subject, data FROM event "  # noqa: S608
            f"WHERE {' AND '.join(where)} "
            f"ORDER BY sequence {order}, position {order} LIMIT ?",
            *values,
            limit,
        )
        return _sound(rows)

    def events_of(self, first: int, last: int) -> list[dict[str, Any]]:
        """The events of entries `first` to `last`, both included, in order, as `events` gives."""
        rows = self._all(
            "SELECT sequence, position, kind, time_ns, subject, data FROM event "
            "WHERE sequence BETWEEN ? AND ? ORDER BY sequence, position",
            first,
            last,
        )
        return _sound(rows)

    def condition_marks(self, since_ns: int) -> list[dict[str, Any]]:
        """Alarms raised from `since_ns` on, and what people said of alarms since then, in order.

        Times are as the clock of now has them: what was told before it was set is moved by that.

        Returns:
            Dicts with time_ns, incident, change (``raised`` or ``acknowledged``) and
            false (0 or 1, None where nobody said).
        """
        names = ("time_ns", "incident", "change", "false")
        found = []
        for first, last, shift_ns in self._spans():
            rows = self._all(
                "SELECT time_ns + ?1, "  # noqa: S608
                "coalesce(json_extract(data, '$.incident'), json_extract(data, '$.id')), "
                "json_extract(data, '$.change') AS change, json_extract(data, '$.false') "
                f"FROM ({_EVENTS}) WHERE kind = 'condition' AND time_ns >= ?2 - ?1 "
                "AND (sequence, position) >= (?3, ?4) AND (sequence, position) < (?5, ?6) "
                "AND change IN ('raised', 'acknowledged') ORDER BY sequence, position",
                shift_ns, since_ns, *first, *last,
            )  # fmt: skip
            found += [dict(zip(names, row, strict=True)) for row in rows]
        return found

    def _spans(self) -> list[tuple[tuple[int, int], tuple[int, int], int]]:
        """(first place, place after the last, by how much time was set since) between two settings
        of the clock, in order.
        """
        sets = self._all(
            "SELECT sequence, position, json_extract(data, '$.shift_ns') AS shift "  # noqa: S608
            f"FROM ({_EVENTS}) WHERE kind = 'clock' AND shift != 0 "
            "ORDER BY sequence DESC, position DESC"
        )
        spans, last, shift_ns = [], (_AFTER_ALL, 0), 0
        for sequence, position, step_ns in sets:
            spans.append(((sequence, position), last, shift_ns))
            last, shift_ns = (sequence, position), shift_ns + int(step_ns)
        spans.append(((0, 0), last, shift_ns))
        return spans[::-1]

    def last_occurrence(self, *names: str) -> dict[str, Any] | None:
        """The data of a condition's newest event, by its subject or the id of one occurrence.

        Looks through the newest `CONDITIONS_SEARCHED` events of conditions only.
        """
        row = self._one(
            "WITH name AS (SELECT value FROM json_each(?)), "  # noqa: S608
            f"newest AS (SELECT subject, data FROM ({_EVENTS}) WHERE kind = 'condition' "
            "ORDER BY sequence DESC, position DESC LIMIT ?) "
            "SELECT data FROM newest WHERE subject IN name OR json_extract(data, '$.id') IN name "
            "LIMIT 1",
            json.dumps(names),
            CONDITIONS_SEARCHED,
        )
        return json.loads(row[0]) if row else None

    def watched_ns(self, since_ns: int, now_ns: int) -> int:
        """For how long after `since_ns` the agent ran, as far back as its events reach, in ns.

        It did not where it was not started, nor where the process or the machine stood still.
        """
        first, gaps = self.away()
        if first is None:
            return 0
        start = max(since_ns, first)
        off = sum(max(0, ended - max(began, start)) for began, ended in gaps)
        return max(0, now_ns - start - off)

    def away(self) -> tuple[int | None, list[tuple[int, int]]]:
        """Since when there are events (None: there is none), and the (begin, end) in which the
        agent did not run, in order; in ns, as the clock of now has them.
        """
        first = self._one("SELECT time_ns, sequence FROM event ORDER BY rowid LIMIT 1")
        if first is None:
            return None, []
        spans = self._spans()

        def now_called(time_ns: int, sequence: int) -> int:
            """The time of an entry, or of an event of it, as the clock of now has it."""
            return time_ns + next(shift for at, _, shift in reversed(spans) if at[0] <= sequence)

        stops = self._all(
            # A start that ended before its first commit has the same first entry as the next one.
            "SELECT began.sealed_ns, began.sequence, ended.sealed_ns, ended.sequence "
            "FROM (SELECT DISTINCT first_sequence AS first FROM boot) "
            "JOIN journal AS began ON began.sequence = first - 1 "
            "JOIN journal AS ended ON ended.sequence = first"
        )
        gaps = [(now_called(*row[:2]), now_called(*row[2:])) for row in stops]
        stood_still = self._all(
            "SELECT time_ns, sequence, json_extract(data, '$.away_ns') AS away "  # noqa: S608
            f"FROM ({_EVENTS}) WHERE kind = 'clock' AND away > 0"
        )
        for time_ns, sequence, away_ns in stood_still:
            ended = now_called(time_ns, sequence)
            gaps.append((ended - away_ns, ended))
        return now_called(*map(int, first)), sorted(gaps)

    def last_time_ns(self) -> int:
        """Engine time of the newest entry; 0 where there is none."""
        row = self._one("SELECT sealed_ns FROM journal ORDER BY sequence DESC LIMIT 1")
        return int(row[0]) if row else 0

    def account(self, after: int = 0) -> Iterator[dict[str, Any]]:
        """Records of the account (`agent.store.account.COLUMNS`) behind a number, in order."""
        while rows := self._all(
            f"SELECT {', '.join(COLUMNS)} FROM account WHERE number > ? "  # noqa: S608
            "ORDER BY number LIMIT ?",
            after,
            ENTRIES_AT_ONCE,
        ):
            yield from (dict(zip(COLUMNS, row, strict=True)) for row in rows)
            after = int(rows[-1][0])

    def account_proof(self, anchor: str = "") -> Proof:
        """Whether the account is whole; with `anchor`, whether it still has that record."""
        row = self._one("SELECT value FROM identity WHERE name = ?", BASE)
        newest = self.counters().get(COUNTER)
        base = base_from(str(row[0]) if row else "")
        return proof_of(self.account(-1 << 62), base, newest, anchor)

    def summaries(
        self, limit: int = 1000, model: str | None = None, tag: str | None = None, since_ns: int = 0
    ) -> list[dict[str, Any]]:
        """Summaries that end after `since_ns`, the newest first."""
        rows = self._all(
            "SELECT data FROM summary WHERE end_ns > ?1 AND model = ifnull(?2, model) "
            "AND tag = ifnull(?3, tag) ORDER BY id DESC LIMIT ?4",
            since_ns,
            model,
            tag,
            limit,
        )
        return [json.loads(data) for (data,) in rows]

    def block_means(self, model: str, from_ns: int, to_ns: int) -> list[dict[str, Any]]:
        """Windows of a model that lie within a time, in order; see `agent.store.block_means`.

        Times are as the clock of now has them.

        Returns:
            Dicts with start_ns, end_ns, baseline (its digest) and inputs (by tag).
        """
        found = []
        for first, last, shift_ns in self._spans():
            rows = self._all(
                "SELECT start_ns + ?1, end_ns + ?1, baseline, data FROM block_mean "
                "WHERE model = ?2 AND start_ns + ?1 >= ?3 AND end_ns + ?1 <= ?4 "
                "AND entry >= ?5 AND entry < ?6 "
                "ORDER BY start_ns, end_ns, id",
                shift_ns, model, from_ns, to_ns, first[0], last[0],
            )  # fmt: skip
            names = ("start_ns", "end_ns", "baseline", "inputs")
            found += [
                dict(zip(names, (*row[:3], unpacked(row[3])), strict=True)) for row in rows
            ]
        return found

    def entries_within(self, from_ns: int, to_ns: int) -> Iterator[tuple[Entry, int]]:
        """Entries that were sealed within a time, in order, as far as they are kept; by how much
        the clock was set since each.

        Raises:
            StoreError: an entry is damaged or missing.
        """
        for first, last, shift_ns in self._spans():
            row = self._one(
                "SELECT min(sequence) FROM journal WHERE sequence >= ? AND sequence < ? "
                "AND sealed_ns > ?",
                first[0], last[0], from_ns - shift_ns,
            )  # fmt: skip
            if row is None or row[0] is None:
                continue
            for entry in self.journal(int(row[0])):
                if entry.sequence >= last[0] or entry.sealed_ns + shift_ns > to_ns:
                    break
                yield entry, shift_ns

    def journal(self, from_sequence: int = 0) -> Iterator[Entry]:
        """Entries in order, from `from_sequence` on.

        Raises:
            StoreError: an entry is damaged or missing.
        """
        following = from_sequence
        expected: int | None = None
        while rows := self._all(
            "SELECT sequence, sealed_ns, kind, data FROM journal WHERE sequence >= ? "
            "ORDER BY sequence LIMIT ?",
            following,
            ENTRIES_AT_ONCE,
        ):
            for sequence, sealed_ns, kind, data in rows:
                if expected is not None and sequence != expected and kind != LOST:
                    raise self._error(f"entry {expected} of the journal is missing")
                expected = sequence + 1
                yield decode(sequence, sealed_ns, kind, data)
            following = rows[-1][0] + 1

    def snapshot(self) -> tuple[int, bytes] | None:
        """The newest undamaged snapshot: (sequence of the last entry folded in, state).

        A damaged one is logged.
        """
        for sequence, checksum, packed in self._all(
            "SELECT sequence, checksum, state FROM snapshot ORDER BY sequence DESC"
        ):
            with contextlib.suppress(zlib.error):
                if zlib.crc32(packed) == checksum:
                    return sequence, zlib.decompress(packed)
            logger.error(
                "%s", self._error(f"the snapshot of entry {sequence} is damaged and is left")
            )
        return None


def _unpacked(data: bytes | str) -> bytes | str:
    """A document of this version, or of one that did not pack them."""
    return data if isinstance(data, str) else zlib.decompress(data)


def _text(data: bytes) -> str:
    """Of a text that a fault of the disk damaged, what is left."""
    return data.decode("utf-8", "replace")


def _sound(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Events as dicts; those that a fault of the disk damaged are left out."""
    names = ("sequence", "position", "kind", "time_ns", "subject", "data")
    found = []
    for row in rows:
        with contextlib.suppress(ValueError):
            found.append(dict(zip(names, (*row[:5], json.loads(row[5])), strict=True)))
    return found
