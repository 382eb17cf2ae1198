"""A damaged store set aside, and what can be read of it taken over into a new one.

What a store must never give twice is kept whatever was lost: numbers of entries go on behind the
highest one known, ids of tags are never given to another name. The old part of the journal stays in
the file that was set aside: a start does not need it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent import clock
from agent.errors import StoreError
from agent.store.codec import decode, encode
from agent.store.head import Mark
from agent.store.journal import LOST
from agent.store.soundness import read_only
from agent.types import Command

BUDGET_S = 45.0  # a start may take 120 s
KEPT = 2  # files set aside
MOST_ENTRIES = 5_000  # of the journal's end that are taken over
_MARKER = ".damaged-"
_ROWS_AT_ONCE = 500
_OWN = frozenset({"journal", "snapshot", "counter", "_sqlite_migrations"})  # not copied as they are
_JSON = {"event": "data", "summary": "data", "outbox": "payload"}
_PAGE = 4096
_MOST_PAGE = 65536


# --- setting aside ------------------------------------------------------------------------------


def set_aside(path: Path) -> Path:
    """Move whatever is in a store's place, and its write-ahead log; returns where to."""
    number = clock.wall_ns() // clock.NS_PER_S
    while (aside := path.with_name(f"{path.name}{_MARKER}{number}")).exists():
        number += 1
    wal, log = path.with_name(path.name + "-wal"), aside.with_name(aside.name + "-wal")
    if path.is_symlink() or path.exists():
        path.rename(aside)
    if wal.exists():
        wal.rename(log)
        if not aside.exists():  # a log alone can be read too, with a page for it to belong to
            aside.write_bytes(bytes(_PAGE))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    remove_aside(path, KEPT)
    return aside


def remove_aside(path: Path, kept: int) -> bool:
    """Delete the oldest files that were set aside but `kept`; whether there was one."""
    found = sorted(
        (one for one in path.parent.glob(f"{path.name}{_MARKER}*") if one.suffix[9:].isdigit()),
        key=lambda one: int(one.suffix[9:]),
    )
    gone = found[: len(found) - kept] if kept else found
    for one in gone:
        with contextlib.suppress(OSError):
            if one.is_dir() and not one.is_symlink():
                shutil.rmtree(one)
            else:
                one.unlink(missing_ok=True)
            for end in ("-wal", "-shm"):
                one.with_name(one.name + end).unlink(missing_ok=True)
    return bool(gone)


# --- reading what can be read -------------------------------------------------------------------


def opened(aside: Path, fresh: Path) -> sqlite3.Connection | None:
    """A connection to a damaged file; None where nothing can be read of it.

    A damaged first page is replaced in the file: its header by a sound one, and where that is not
    enough all of it by the first page of a new store, whose tables begin at the same pages unless
    an older version made the damaged one. Rows are looked at before they are believed.

    Args:
        aside: the damaged file.
        fresh: a new store.
    """
    if not aside.is_file():
        return None
    with aside.open("rb") as file:
        original = file.read(_MOST_PAGE)
    for mend in (None, _mend_header, _mend_page):
        with contextlib.suppress(sqlite3.Error, OSError, struct.error):
            if mend is not None:
                mend(aside, fresh)
            connection = read_only(aside)
            try:
                names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
            except (sqlite3.Error, UnicodeError):
                connection.close()
                continue
            if {"journal", "tag", "counter"} <= names:
                return connection
            connection.close()
    with contextlib.suppress(OSError), aside.open("r+b") as file:
        file.write(original)  # it may be somebody's
    return None


def _mend_header(aside: Path, fresh: Path) -> None:
    with fresh.open("rb") as file:
        header = bytearray(file.read(100))
    size = int.from_bytes(header[16:18], "big") or 4096
    struct.pack_into(">IIII", header, 24, 1, max(1, aside.stat().st_size // size), 0, 0)
    struct.pack_into(">I", header, 92, 1)
    with aside.open("r+b") as file:
        file.write(header)


def _mend_page(aside: Path, fresh: Path) -> None:
    with fresh.open("rb") as file:
        header = file.read(100)
        file.seek(0)
        page = file.read(int.from_bytes(header[16:18], "big"))
    with aside.open("r+b") as file:
        file.write(page)
    _mend_header(aside, fresh)


class _Source:
    """Readable rows of a damaged database, within a time.

    Attributes:
        whole: nothing was stepped over so far.
    """

    def __init__(self, connection: sqlite3.Connection, deadline_ns: int) -> None:
        self._connection = connection
        self._deadline_ns = deadline_ns
        self.whole = True

    def tables(self) -> set[str]:
        query = "SELECT name FROM sqlite_schema WHERE type = 'table'"
        return {str(name) for (name,) in self._connection.execute(query)}

    def columns(self, table: str) -> list[str]:
        """Those whose names can be read: none of a table whose definition is damaged."""
        try:
            return _columns(self._connection, table)
        except (sqlite3.Error, UnicodeError):
            return []

    def rows(self, table: str, columns: str, after: int = -(1 << 62)) -> Iterator[tuple[Any, ...]]:
        """Rows in the order of their rowid; those on damaged pages are stepped over."""
        step = 0
        while clock.monotonic_ns() < self._deadline_ns:
            found, error = self._some(table, columns, f"rowid > {after + step} ORDER BY rowid")
            if step and found:  # behind a damaged place: back to it from this side
                back, _ = self._some(
                    table, columns,
                    f"rowid < {found[0][0]} AND rowid > {after} ORDER BY rowid DESC",
                )
                yield from (row[1:] for row in reversed(back))
            yield from (row[1:] for row in found)
            if found:
                after, step = found[-1][0], 0
            if error:
                self.whole = False
                step = max(1, 2 * step)
            elif len(found) < _ROWS_AT_ONCE:
                return
            if step > 1 << 40:
                return
        self.whole = False

    def _some(
        self, table: str, columns: str, where: str
    ) -> tuple[list[tuple[Any, ...]], bool]:
        """(the rows before the first that can not be read, whether there is such a one)."""
        found: list[tuple[Any, ...]] = []
        query = f'SELECT rowid, {columns} FROM "{table}" WHERE {where} LIMIT {_ROWS_AT_ONCE}'  # noqa: S608
        try:
            cursor = self._connection.execute(query)
            for row in cursor:
                found.append(row)  # noqa: PERF402 - what was read before the error counts
        except (sqlite3.Error, UnicodeError):
            return found, True
        return found, False


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [str(row[1]) for row in connection.execute(f"PRAGMA table_info('{table}')")]


# --- taking over ---------------------------------------------------------------------------------


def take_over(
    target: sqlite3.Connection, damaged: sqlite3.Connection | None, mark: Mark | None, cause: str,
    aside: str, *, running: bool = False, budget_s: float = BUDGET_S,
) -> dict[str, Any]:
    """Fill a new store from what can be read; returns what was lost, as told to everybody.

    Args:
        target: of the new store, migrated and empty.
        damaged: of the old one; None where nothing of it can be read.
        mark: how far the old one was committed, where that is known.
        cause: what happened to the old one.
        aside: name of the file that was set aside, empty where there is none.
        running: the writer goes on and counts itself; else the new journal gets an entry of the
            kind `LOST` that tells of it and closes the hole in the numbers.
        budget_s: seconds after which the rest is given up.
    """
    target.execute("BEGIN IMMEDIATE")
    try:
        told = _taken_over(target, damaged, mark, cause, aside, running=running, budget_s=budget_s)
        target.execute("COMMIT")
    except BaseException:
        target.execute("ROLLBACK")
        raise
    return told


def _taken_over(
    target: sqlite3.Connection, damaged: sqlite3.Connection | None, mark: Mark | None, cause: str,
    aside: str, *, running: bool, budget_s: float,
) -> dict[str, Any]:  # fmt: skip
    counters: dict[str, int] = {}
    tail_end = 0
    whole = False
    if damaged is not None:
        source = _Source(damaged, clock.monotonic_ns() + round(budget_s * 1e9))
        counters = {
            name: value for name, value in source.rows("counter", "name, value")
            if isinstance(name, str) and isinstance(value, int)
        }
        for table in sorted(_tables(target) & source.tables() - _OWN):
            _copy(target, source, table)
        newest = max(counters.get("last_sequence", 0), mark.sequence if mark else 0)
        tail_end = _copy_journal(target, source, newest)
        whole = source.whole
    last = _highest(target, counters, mark)
    time_ns = _latest(target, counters, mark)
    _keep_identity(target, mark)
    missing = max(0, last - tail_end) if not running else 0
    told: dict[str, Any] = {
        "part": "store", "reason": cause, "set_aside": aside,
        "count": missing, "unit": "entries", "complete": whole and not missing,
        "hint": f"what could be read was taken over; the rest is in {aside}" if aside else "",
    }
    if not running:
        row = {**told, "first": tail_end + 1 if missing else last + 1}
        last, time_ns = last + 1, time_ns + 1
        _insert_lost(target, last, time_ns, row)
    _write_counters(target, counters, last, time_ns, mark)
    return told


def _tables(connection: sqlite3.Connection) -> set[str]:
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return {str(name) for (name,) in connection.execute(query)}


def _copy(target: sqlite3.Connection, source: _Source, table: str) -> None:
    columns = [one for one in _columns(target, table) if one in source.columns(table)]
    if not columns:
        source.whole = False
        return
    names = ", ".join(f'"{one}"' for one in columns)
    marks = ", ".join("?" * len(columns))
    insert = f'INSERT OR IGNORE INTO "{table}" ({names}) VALUES ({marks})'  # noqa: S608
    place = columns.index(_JSON[table]) if table in _JSON else -1
    for row in source.rows(table, names):
        if place >= 0 and not _is_json(row[place]):
            source.whole = False
            continue
        try:
            target.execute(insert, row)
        except sqlite3.IntegrityError:  # not of the column's type: no row of this table
            source.whole = False


def _is_json(text: Any) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, TypeError, RecursionError):
        return False


def _copy_journal(target: sqlite3.Connection, source: _Source, newest: int) -> int:
    """The newest good snapshot and the entries behind it; returns up to where they go on."""
    base = 0
    for sequence, checksum, state in source.rows("snapshot", "sequence, checksum, state"):
        good = isinstance(sequence, int) and isinstance(state, bytes)
        if good and zlib.crc32(state) == checksum and sequence > base:
            target.execute("DELETE FROM snapshot")
            target.execute("INSERT INTO snapshot VALUES (?, ?, ?)", (sequence, checksum, state))
            base = sequence
    first = max(base, newest - MOST_ENTRIES)
    end = base
    for sequence, sealed_ns, kind, data in source.rows(
        "journal", "sequence, sealed_ns, kind, data", after=first
    ):
        if end and sequence != end + 1:
            if base == 0:  # nothing goes on from before the hole
                target.execute("DELETE FROM journal")
            else:
                break
        try:
            decode(sequence, sealed_ns, str(kind), data)
        except (StoreError, TypeError, IndexError):
            source.whole = False
            break
        target.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (sequence, sealed_ns, kind, data))
        end = sequence
    return end


def _highest(target: sqlite3.Connection, counters: dict[str, int], mark: Mark | None) -> int:
    found = [counters.get("last_sequence", 0), mark.sequence if mark else 0]
    for table in ("journal", "event", "snapshot"):
        (value,) = target.execute(f"SELECT max(sequence) FROM {table}").fetchone()  # noqa: S608
        found.append(value or 0)
    return max(found)


def _latest(target: sqlite3.Connection, counters: dict[str, int], mark: Mark | None) -> int:
    (value,) = target.execute("SELECT max(sealed_ns) FROM journal").fetchone()
    return max(value or 0, counters.get("last_time_ns", 0), mark.time_ns if mark else 0)


def _keep_identity(target: sqlite3.Connection, mark: Mark | None) -> None:
    if mark is None:
        return
    target.execute("INSERT OR IGNORE INTO identity VALUES ('store', ?)", (mark.store_id,))
    (highest,) = target.execute("SELECT ifnull(max(id), 0) FROM tag").fetchone()
    if highest < mark.tags:  # ids of names that were lost stay theirs
        target.execute("INSERT INTO tag (id, name) VALUES (?, '')", (mark.tags,))
        target.execute("DELETE FROM tag WHERE id = ? AND name = ''", (mark.tags,))


def _insert_lost(
    target: sqlite3.Connection, sequence: int, time_ns: int, told: dict[str, Any]
) -> None:
    kind, blob = encode(Command(sequence, time_ns, LOST, told))
    target.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (sequence, time_ns, kind, blob))


def _write_counters(
    target: sqlite3.Connection, counters: dict[str, int], last: int, time_ns: int,
    mark: Mark | None,
) -> None:  # fmt: skip
    (journal,) = target.execute(
        "SELECT ifnull(sum(length(data) + 40), 0) FROM journal"
    ).fetchone()
    # Sent rows count as pending only where central's own word is waited for, see `outbox`.
    waiting = "sent = 0 OR ?"
    pending, size = target.execute(
        "SELECT ifnull(sum(messages), 0), ifnull(sum(length(payload) + 160), 0) FROM outbox "  # noqa: S608
        f"WHERE {waiting}", (counters.get("confirming", 0),)
    ).fetchone()
    (kept,) = target.execute(
        "SELECT ifnull(sum(length(payload) + 160), 0) FROM outbox "  # noqa: S608
        f"WHERE NOT ({waiting})", (counters.get("confirming", 0),)
    ).fetchone()
    counters = counters | {
        "last_sequence": last, "last_time_ns": time_ns, "journal_bytes": journal,
        "pending": pending, "outbox_bytes": size, "kept_bytes": kept,
        "boot": max(counters.get("boot", 0), mark.boot if mark else 0),
    }
    for stream, highest in target.execute(
        "SELECT stream, max(seq) FROM outbox WHERE boot = ? GROUP BY stream", (counters["boot"],)
    ):
        counters[f"seq:{stream}"] = max(counters.get(f"seq:{stream}", 0), highest)
    dropped = sum(value for name, value in counters.items() if name.startswith("dropped:"))
    lost = counters.get("received", 0) - counters.get("delivered", 0) - pending - dropped
    if lost > 0:
        name = "dropped:store damaged"
        counters[name] = counters.get(name, 0) + lost
    else:
        counters["received"] = counters.get("received", 0) - lost
    target.executemany("INSERT OR REPLACE INTO counter VALUES (?, ?)", counters.items())
