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
import fcntl
import os
import secrets
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from agent.errors import StoreError
from agent.store.account import NOTHING, Account
from agent.store.account import Head as AccountHead
from agent.store.acknowledge import Acknowledged
from agent.store.batch import Batch, Delivery
from agent.store.connection import connect, disk_full, share_of
from agent.store.counters import Counters
from agent.store.findings import Findings, as_json, is_news
from agent.store.head import Head, Mark
from agent.store.hook_messages import HookMessages
from agent.store.journal import Journal
from agent.store.limit import Limiter, Merge
from agent.store.numbers import Numbers
from agent.store.outbox import Outbox
from agent.store.renewal import identity_of, renew
from agent.store.reserve import Reserve
from agent.store.salvage import remove_aside
from agent.store.schema import migrate
from agent.store.soundness import examine, in_words, is_damage

T = TypeVar("T")

COMMITS_PER_TRIM = 60
EMERGENCY_SHARE = 0.75  # of the journal's limit is kept when the disk is full
JOURNAL_SHARE = 0.35  # of the file system, where that is less than the configured limit
OUTBOX_SHARE = 0.2
_DOCUMENT_LEVEL = 6  # of zlib; a tenth of the size, 4 ms for 1,000 tags


class _Writer:
    """Everything that runs in the store's thread."""

    def __init__(
        self,
        path: Path,
        journal_limit_bytes: int,
        outbox_limit_bytes: int,
        merge: Merge | None,
        delivery: Delivery,
    ) -> None:
        self._path = path
        self._merge = merge
        self._delivery = delivery
        self._journal_limit = min(journal_limit_bytes, share_of(path.parent, JOURNAL_SHARE))
        self._outbox_limit = min(outbox_limit_bytes, share_of(path.parent, OUTBOX_SHARE))
        self.losses: list[dict[str, Any]] = []
        self._commits = 0
        self._lock = _locked(path)
        try:
            self._head = Head(path.with_suffix(".head"))
            mark = self._head.read()
            if cause := examine(path, mark):
                self.losses.append(renew(path, mark, cause))
            self._use(connect(path))
            self.boot, self.store_id = self._begin_boot()
            self._arrange()
            self._note()
        except BaseException:
            os.close(self._lock)
            raise
        self._reserve = Reserve(path.with_suffix(".reserve"))
        self._reserve.take()

    def _use(self, connection: sqlite3.Connection) -> None:
        """Work on this connection from now on."""
        self.connection = connection
        migrate(connection, str(self._path))
        self.counters = Counters(connection)

    def _arrange(self, known: AccountHead = NOTHING) -> None:
        """What writes each kind of row, on the connection as it is now."""
        self._journal = Journal(self.connection, self.counters, self._journal_limit)
        self._outbox = Outbox(self.connection, self.counters, self.boot, self._delivery)
        self._acknowledged = Acknowledged(self._outbox, self.counters)
        self._findings = Findings(self.connection, self._path.parent, self.counters)
        self._hooks = HookMessages(self.connection, self.counters)
        self.account = Account(self.connection, self.counters, self._path.parent, known)
        self._limiter = Limiter(self._outbox, self.counters, self._outbox_limit, self._merge)
        self._files = self._identities()

    def _identities(self) -> tuple[Any, ...]:
        wal = self._path.with_name(self._path.name + "-wal")
        return identity_of(self._path), identity_of(wal)

    def _mark(self) -> Mark:
        (tags,) = self.connection.execute("SELECT ifnull(max(id), 0) FROM tag").fetchone()
        last = (self.counters.get("last_sequence"), self.counters.get("last_time_ns"))
        return Mark(self.store_id, self.boot, *last, tags)

    def _note(self) -> None:
        """The head follows what was committed."""
        self._head.write(self._mark())

    def _look_for_file(self) -> None:
        """Begin anew where the file, its log or its folder is not what is written to any more."""
        if self._files[1] is None:  # the log comes with the first commit
            self._files = (self._files[0], self._identities()[1])
        found = self._identities()
        if found == self._files:
            return
        what = "was removed" if None in found else "was replaced by another"
        self._begin_anew(f"the store's file {what} while it was in use", self.connection)

    def _begin_anew(self, cause: str, live: sqlite3.Connection | None) -> None:
        """A new store while the agent runs; counting goes on where it was."""
        kept = self.counters.all()
        mark = Mark(self.store_id, self.boot, kept.get("last_sequence", 0),
                    kept.get("last_time_ns", 0), 0)  # fmt: skip
        with contextlib.suppress(sqlite3.Error):
            mark = self._mark()
        if live is None:
            with contextlib.suppress(sqlite3.Error):
                self.connection.close()
        self.losses.append(renew(self._path, mark, cause, live, running=True))
        self._use(connect(self._path))
        self._arrange(self.account.head)
        with self._transaction():  # no number of this run is given a second time
            for name, value in kept.items():
                if name.startswith("seq:") and value > self.counters.get(name):
                    self.counters.set(name, value)
        self.connection.execute(
            "INSERT OR IGNORE INTO boot VALUES (?, ?)", (self.boot, mark.sequence + 1)
        )
        self._head.close()
        lock = _locked(self._path) if not _holds(self._lock, self._path) else self._lock
        if lock != self._lock:
            os.close(self._lock)
            self._lock = lock
        self._note()

    def _begin_boot(self) -> tuple[int, str]:
        self.connection.execute("BEGIN IMMEDIATE")
        boot = Numbers.begin(self.connection, self.counters)
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
            self._look_for_file()
            self._commit_sound(batch)
        except (sqlite3.Error, OSError) as error:
            if not disk_full(error, self._path.parent):
                raise StoreError("committing to", str(self._path), str(error)) from error
            self._commit_on_full_disk(batch)
        self._note()
        self._commits += 1
        if self._commits % COMMITS_PER_TRIM == 0:
            self._reserve.take()

    def _commit_sound(self, batch: Batch) -> None:
        """Commit; where the file turns out to be damaged, to a new one."""
        try:
            self._commit(batch)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            self._begin_anew(in_words(error), None)
            self._commit(batch)

    def _commit_on_full_disk(self, batch: Batch) -> None:
        try:
            self._reserve.give()
            remove_aside(self._path, 0)
            with self._transaction():
                self._journal.trim(EMERGENCY_SHARE)
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._commit(batch)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(
                "committing to", str(self._path), str(error),
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
                with contextlib.suppress(sqlite3.Error):  # the error before it is the one to tell
                    self.connection.execute("ROLLBACK")
            raise
        self.counters.committed()

    def _commit(self, batch: Batch) -> None:
        with self._transaction():
            self._journal.append(batch.entries)
            events = self._findings.insert_events(batch.events)
            self.account.insert(one for one in batch.events if one[:2] in events)
            self._findings.block_means.pin(batch.pins)
            summaries = self._findings.insert_summaries(batch.summaries)
            self._outbox.settle()
            self._outbox.delivered(batch.delivered)
            self._acknowledged.take(batch.acknowledged)
            self._acknowledged.work()
            self._outbox.rejected(batch.rejected)
            self._outbox.enqueue([m for m in batch.messages if is_news(m, events, summaries)])
            self.connection.executemany(
                "INSERT OR REPLACE INTO document VALUES (?, ?)",
                (
                    (name, zlib.compress(as_json(document).encode(), _DOCUMENT_LEVEL))
                    for name, document in batch.documents.items()
                ),
            )
            if batch.snapshot is not None:
                self._journal.snapshot(*batch.snapshot)
            self._hooks.take(batch, events)
            self._limiter.keep()
            self._journal.trim()
            if self._commits % COMMITS_PER_TRIM == 0:
                self._findings.trim()
                self.account.trim()
        self.account.committed()

    def close(self) -> None:
        self.connection.close()
        self._head.close()
        os.close(self._lock)


def _holds(handle: int, path: Path) -> bool:
    """Whether the lock that is held is the file that the next process would lock."""
    held = os.fstat(handle)
    return identity_of(path.with_suffix(".lock")) == (held.st_dev, held.st_ino)


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
        delivery: Delivery = "auto",
    ) -> Store:
        """Open or create the store, migrate it, begin a new boot.

        Args:
            path: of the SQLite file; its folder is made where it does not exist.
            journal_limit_bytes: most bytes of journaled entries.
            outbox_limit_bytes: most bytes of messages that wait for central.
            merge: adds two summaries; without it a long outage drops instead of coarsening.
            delivery: what counts as delivered: see `agent.store.outbox`.

        Raises:
            StoreError: in use by another process, damaged, of a newer version, or not writable.
        """
        executor = ThreadPoolExecutor(1, thread_name_prefix="store")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            writer = executor.submit(
                _Writer, path, journal_limit_bytes, outbox_limit_bytes, merge, delivery
            ).result()
        except (sqlite3.Error, OSError) as error:
            executor.shutdown()
            hint = (
                "free space on the disk, then start again: nothing that was stored is lost"
                if disk_full(error, path.parent)
                else "check the folder's owner and free space; if damaged, move the file aside"
            )
            raise StoreError("opening the store", str(path), str(error), hint) from error
        except BaseException:
            executor.shutdown()
            raise
        return cls(path, writer, executor)

    @property
    def boot(self) -> int:
        """Number of this run, larger than every earlier one of this store: `numbers`."""
        return self._writer.boot

    @property
    def store_id(self) -> str:
        """Random name of this very file: another one (a new disk) has its own boots."""
        return self._writer.store_id

    @property
    def last_sequence(self) -> int:
        """Sequence of the last journaled entry, 0 where there is none."""
        return self._writer.counters.get("last_sequence")

    @property
    def last_time_ns(self) -> int:
        """Engine time of the last journaled entry's sealing, 0 where there is none."""
        return self._writer.counters.get("last_time_ns")

    @property
    def journal_bytes(self) -> int:
        """What the journal's entries take."""
        return self._writer.counters.get("journal_bytes")

    @property
    def account_head(self) -> AccountHead:
        """The newest committed record of the account."""
        return self._writer.account.head

    def tag_ids(self, names: Sequence[str]) -> dict[str, int]:
        """Ids of tags by name; given once, never reused. Blocks; for the start and reloads."""
        return self._executor.submit(self._writer.tag_ids, names).result()

    def take_losses(self) -> list[dict[str, Any]]:
        """What was lost since the last call, JSON-ready: each time the store had to begin anew.

        Those of a start are in the journal already, as entries of the kind ``lost``.
        """
        told, self._writer.losses = self._writer.losses, []
        return told

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
