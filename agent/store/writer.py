"""The one connection that writes, and the thread it lives in.

Invariants:
- synchronous=FULL and WAL: what `commit` returned for survives kill, crash and power cut
  (with synchronous=NORMAL acknowledged rows were lost in power cuts).
- one process per store (a lock file), one connection, one thread; a commit is one transaction.
- a commit that fails changes nothing, in the tables or in memory, and can be tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from agent.errors import StoreError
from agent.store.batch import Batch, OutboxMessage
from agent.store.counters import Counters
from agent.store.journal import Journal
from agent.store.limit import Limiter, Merge
from agent.store.outbox import Outbox
from agent.store.reserve import Reserve
from agent.store.schema import migrate
from agent.types import Event

T = TypeVar("T")

EVENTS_KEPT = 200_000  # rows
SUMMARIES_KEPT = 200_000
COMMITS_PER_TRIM = 60
EMERGENCY_SHARE = 0.75  # of the journal's limit is kept when the disk is full
WAL_LIMIT_BYTES = 64 * 1024 * 1024


class _Writer:
    """Everything that runs in the store's thread."""

    def __init__(
        self, path: Path, journal_limit_bytes: int, outbox_limit_bytes: int, merge: Merge | None
    ) -> None:
        self._path = path
        self._lock = _locked(path)
        try:
            self.connection = _connect(path)
            migrate(self.connection, str(path))
            self.counters = Counters(self.connection)
            self.boot, self.store_id = self._begin_boot()
        except BaseException:
            os.close(self._lock)
            raise
        self._journal = Journal(self.connection, self.counters, journal_limit_bytes)
        self._outbox = Outbox(self.connection, self.counters, self.boot)
        self._limiter = Limiter(self._outbox, self.counters, outbox_limit_bytes, merge)
        self._reserve = Reserve(path.with_suffix(".reserve"))
        self._reserve.take()
        self._commits = 0

    def _begin_boot(self) -> tuple[int, str]:
        self.connection.execute("BEGIN IMMEDIATE")
        boot = self.counters.add("boot", 1)
        first = self.counters.get("last_sequence") + 1
        self.connection.execute("INSERT INTO boot VALUES (?, ?)", (boot, first))
        self.connection.execute(
            "INSERT OR IGNORE INTO identity VALUES ('store', ?)", (secrets.token_hex(4),)
        )
        self.counters.save()
        self.connection.execute("COMMIT")
        self.counters.committed()
        query = "SELECT value FROM identity WHERE name = 'store'"
        return boot, str(self.connection.execute(query).fetchone()[0])

    def tag_ids(self, names: Sequence[str]) -> dict[str, int]:
        with self._transaction():
            known = dict(self.connection.execute("SELECT name, id FROM tag"))
            fresh = [(name,) for name in dict.fromkeys(names) if name not in known]
            self.connection.executemany("INSERT INTO tag (name) VALUES (?)", fresh)
            known = dict(self.connection.execute("SELECT name, id FROM tag"))
        return {name: known[name] for name in names}

    def commit(self, batch: Batch) -> None:
        try:
            self._commit(batch)
        except sqlite3.Error as error:
            if not _disk_full(error):
                raise StoreError("committing to", str(self._path), str(error)) from error
            self._commit_on_full_disk(batch)
        self._commits += 1
        if self._commits % COMMITS_PER_TRIM == 0:
            self._reserve.take()

    def _commit_on_full_disk(self, batch: Batch) -> None:
        self._reserve.give()
        try:
            with self._transaction():
                self._journal.trim(EMERGENCY_SHARE)
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._commit(batch)
        except sqlite3.Error as error:
            raise StoreError(
                "committing to",
                str(self._path),
                str(error),
                "free space on the disk, or lower gateway.journal_limit_mb; nothing is acknowledged"
                " to the sources meanwhile",
            ) from error

    @contextlib.contextmanager
    def _transaction(self) -> Any:
        self.counters.begin()
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.counters.save()
            self.connection.execute("COMMIT")
        except BaseException:
            self.counters.begin()
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.counters.committed()

    def _commit(self, batch: Batch) -> None:
        with self._transaction():
            self._journal.append(batch.entries)
            events = self._insert_events(batch.events)
            summaries = self._insert_summaries(batch.summaries)
            self._outbox.delivered(batch.delivered)
            self._outbox.rejected(batch.rejected)
            self._outbox.enqueue([m for m in batch.messages if _is_news(m, events, summaries)])
            self.connection.executemany(
                "INSERT OR REPLACE INTO document VALUES (?, ?)",
                ((name, _json(document)) for name, document in batch.documents.items()),
            )
            if batch.snapshot is not None:
                self._journal.snapshot(*batch.snapshot)
            self._limiter.keep()
            self._journal.trim()
            if self._commits % COMMITS_PER_TRIM == 0:
                self._trim_findings()

    def _insert_events(self, events: Sequence[tuple[int, int, Event]]) -> set[tuple[int, int]]:
        """Insert; returns the identities of those that were not there."""
        new = set()
        for sequence, position, event in events:
            cursor = self.connection.execute(
                "INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?, ?)",
                (sequence, position, event.kind, event.time_ns, event.subject, _json(event.data)),
            )
            if cursor.rowcount == 1:
                new.add((sequence, position))
        return new

    def _insert_summaries(self, summaries: Sequence[Mapping[str, Any]]) -> set[tuple[Any, ...]]:
        new = set()
        for summary in summaries:
            identity = _summary_identity(summary)
            cursor = self.connection.execute(
                "INSERT OR IGNORE INTO summary (model, tag, start_ns, baseline, end_ns, data) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (*identity, summary["end_ns"], _json(summary)),
            )
            if cursor.rowcount == 1:
                new.add(identity)
        return new

    def _trim_findings(self) -> None:
        self.connection.execute(
            "DELETE FROM event WHERE rowid <= (SELECT max(rowid) FROM event) - ?", (EVENTS_KEPT,)
        )
        self.connection.execute(
            "DELETE FROM summary WHERE id <= (SELECT max(id) FROM summary) - ?", (SUMMARIES_KEPT,)
        )

    def close(self) -> None:
        self.connection.close()
        os.close(self._lock)


def _locked(path: Path) -> int:
    handle = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError(
            "opening the store",
            str(path),
            "another process writes it",
            "end the other fieldwarden, or give this one its own gateway.state_directory",
        ) from error
    return handle


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=30.0)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
    return connection


def _disk_full(error: sqlite3.Error | OSError) -> bool:
    full = (getattr(error, "sqlite_errorcode", None), getattr(error, "errno", None))
    return full[0] == sqlite3.SQLITE_FULL or full[1] == errno.ENOSPC


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)


def _summary_identity(summary: Mapping[str, Any]) -> tuple[Any, ...]:
    model, tag = summary.get("model") or "", summary.get("tag") or ""
    return (model, tag, summary["start_ns"], str(summary.get("baseline") or ""))


def _is_news(
    message: OutboxMessage, events: set[tuple[int, int]], summaries: set[tuple[Any, ...]]
) -> bool:
    """Whether what the message tells of is new, or it tells of nothing that has an identity."""
    if message.event is not None:
        return tuple(message.event) in events
    if message.summary is not None:
        return _summary_identity(message.summary) in summaries
    return True


class Store:
    """The writer: journal, events, summaries, documents, snapshots and outbox of one gateway.

    Open it with `Store.open`. All work runs in the store's own thread; the caller paces commits
    (at most one a second) and keeps a batch that failed.
    """

    def __init__(self, path: Path, writer: _Writer, executor: ThreadPoolExecutor) -> None:
        self.path = path
        self._writer = writer
        self._executor = executor
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        journal_limit_bytes: int,
        outbox_limit_bytes: int,
        merge: Merge | None = None,
    ) -> Store:
        """Open or create the store, migrate it, begin a new boot.

        Args:
            path: of the SQLite file; its folder is made where it does not exist.
            journal_limit_bytes: most bytes of journaled entries.
            outbox_limit_bytes: most bytes of messages that wait for central.
            merge: adds two summaries; without it a long outage drops instead of coarsening.

        Raises:
            StoreError: in use by another process, damaged, of a newer version, or not writable.
        """
        executor = ThreadPoolExecutor(1, thread_name_prefix="store")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = executor.submit(
                _Writer, path, journal_limit_bytes, outbox_limit_bytes, merge
            ).result()
        except (sqlite3.Error, OSError) as error:
            executor.shutdown()
            hint = (
                "free space on the disk, then start again: nothing that was stored is lost"
                if _disk_full(error)
                else "check the folder's owner and free space; if damaged, move the file aside"
            )
            raise StoreError("opening the store", str(path), str(error), hint) from error
        except BaseException:
            executor.shutdown()
            raise
        return cls(path, writer, executor)

    @property
    def boot(self) -> int:
        """How many times this store was opened for writing, this time included."""
        return self._writer.boot

    @property
    def store_id(self) -> str:
        """Random name of this very file: another one (a new disk) counts its boots from 1 again."""
        return self._writer.store_id

    @property
    def last_sequence(self) -> int:
        """Sequence of the last journaled entry, 0 where there is none."""
        return self._writer.counters.get("last_sequence")

    @property
    def last_time_ns(self) -> int:
        """Engine time of the last journaled entry's sealing, 0 where there is none."""
        return self._writer.counters.get("last_time_ns")

    def tag_ids(self, names: Sequence[str]) -> dict[str, int]:
        """Ids of tags by name; given once, never reused. Blocks; for the start and reloads."""
        return self._executor.submit(self._writer.tag_ids, names).result()

    async def commit(self, batch: Batch) -> None:
        """Commit it all in one transaction, durably; do not change the batch meanwhile.

        Raises:
            StoreError: nothing was committed; keep the batch and try again.
        """
        await self._in_thread(lambda: self._writer.commit(batch))

    async def close(self) -> None:
        """Close the connection; what was committed is safe with or without it."""
        if self._closed:
            return
        self._closed = True
        await self._in_thread(self._writer.close)
        self._executor.shutdown(wait=False)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)
