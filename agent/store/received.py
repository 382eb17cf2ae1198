"""What central has received, in one small SQLite file, so that a restarted central goes on.

Central commits its marks before it acknowledges anything: what was acknowledged is gone from the
gateway. Who calls bounds what is kept; a file that is damaged is set aside and said.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agent.errors import StoreError, cause_of
from agent.store import ranges

_VERSION = 1
_TABLES = """
CREATE TABLE mark (
    site TEXT NOT NULL, gateway TEXT NOT NULL, store TEXT NOT NULL,
    boot INTEGER NOT NULL, stream TEXT NOT NULL,
    received TEXT NOT NULL,  -- JSON [[first, last], ...]
    lost TEXT NOT NULL,      -- the same: what the gateway said that it dropped
    earlier TEXT NOT NULL,   -- the same: what an earlier central acknowledged
    count INTEGER NOT NULL, duplicates INTEGER NOT NULL,
    PRIMARY KEY (site, gateway, store, boot, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE gateway (
    site TEXT NOT NULL, gateway TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (site, gateway)
) STRICT, WITHOUT ROWID;
"""


class MarkKey(NamedTuple):
    """One stream of one run of one gateway's store: its numbers count from 1."""

    site: str
    gateway: str
    store: str
    boot: int
    stream: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What arrived of one stream; see `agent.central.streams.Stream`."""

    key: MarkKey
    received: ranges.Ranges
    lost: ranges.Ranges
    earlier: ranges.Ranges
    count: int
    duplicates: int


class InUseError(StoreError):
    """Another central uses the file."""


class ReceivedStore:
    """Central's marks; one process at a time, one thread.

    Attributes:
        trouble: what was wrong with the file that was found; empty where nothing was.

    Args:
        path: of the file; made, with its folder, where it is not there.

    Raises:
        InUseError: another process has it open.
        StoreError: it can not be opened, or a newer version wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.trouble = ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o640))
            try:
                self._connection, self._marks, self._gateways = self._open()
            except (sqlite3.DatabaseError, ValueError, TypeError) as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                aside = self._set_aside()
                self.trouble = f"{path} was damaged ({error}) and is now {aside.name}"
                self._connection, self._marks, self._gateways = self._open()
        except (OSError, sqlite3.Error) as error:
            raise self._failure(error) from error

    def _open(self) -> tuple[sqlite3.Connection, list[Mark], list[tuple[str, str, str]]]:
        connection = sqlite3.connect(self._path, timeout=0.5, isolation_level=None)
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA journal_size_limit = 1000000")
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise StoreError(
                    "opening central's marks", str(self._path), "a newer version wrote them",
                    "install that version again, or give another --store",
                )  # fmt: skip
            if version == 0:
                for statement in filter(str.strip, _TABLES.split(";\n")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")
            marks = [_mark(row) for row in connection.execute("SELECT * FROM mark")]
            gateways = connection.execute("SELECT site, gateway, data FROM gateway").fetchall()
        except BaseException:
            connection.close()
            raise
        return connection, marks, gateways

    def _set_aside(self) -> Path:
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        self._path.rename(aside)
        for suffix in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").rename(f"{aside}{suffix}")
        return aside

    def take_marks(self) -> list[Mark]:
        """What was there when it was opened; once."""
        marks, self._marks = self._marks, []
        return marks

    def take_gateways(self) -> list[tuple[str, str, str]]:
        """(site, gateway, data) of when it was opened; once."""
        gateways, self._gateways = self._gateways, []
        return gateways

    def save(
        self,
        marks: Iterable[Mark],
        gateways: Iterable[tuple[str, str, str]],
        forgotten: Iterable[MarkKey] = (),
    ) -> None:
        """Commit all of it, or nothing.

        Raises:
            StoreError: it could not be written; to be tried again as it is.
        """
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "DELETE FROM mark WHERE (site, gateway, store, boot, stream) = (?, ?, ?, ?, ?)",
                forgotten,
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO mark VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                map(_row, marks),
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO gateway VALUES (?, ?, ?)", gateways
            )
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise self._failure(error) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _failure(self, error: Exception) -> StoreError:
        what = ("keeping central's marks in", str(self._path))
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            hint = "end the other one, or give this one its own --store"
            return InUseError(*what, "another central uses the file", hint)
        return StoreError(*what, cause_of(error), "make room or give another --store")


def _row(mark: Mark) -> tuple[object, ...]:
    texts = (json.dumps(part) for part in (mark.received, mark.lost, mark.earlier))
    return (*mark.key, *texts, mark.count, mark.duplicates)


def _mark(row: tuple[object, ...]) -> Mark:
    """Raises ValueError or TypeError where it is not as `_row` wrote it."""
    site, gateway, store, boot, stream, *parts, count, duplicates = row
    key = MarkKey(str(site), str(gateway), str(store), int(str(boot)), str(stream))
    received, lost, earlier = (_sorted(ranges.parse(str(part))) for part in parts)
    return Mark(key, received, lost, earlier, int(str(count)), int(str(duplicates)))


def _sorted(found: ranges.Ranges) -> ranges.Ranges:
    if any(not (type(a) is int and type(b) is int and 1 <= a <= b) for a, b in found):
        raise ValueError("numbers that are none")
    return ranges.union(found)
