"""A damaged store set aside, and what can be read of it taken over into a new one.

What a store must never give twice is kept whatever was lost: numbers of entries go on behind the
highest one known, ids of tags are never given to another name, and what came of entries up to there
was told, whatever of it can still be read (`findings`). Of the journal's old part the newest
`MOST_ENTRIES` are taken over; a start needs no more.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from agent import clock
from agent.errors import StoreError
from agent.store.codec import decode, encode
from agent.store.damaged import Source, columns_of
from agent.store.findings import TOLD_THROUGH
from agent.store.head import Mark
from agent.store.journal import LOST
from agent.types import Command

BUDGET_S = 45.0  # a start may take 120 s
KEPT = 2  # files set aside
MOST_ENTRIES = 5_000  # of the journal's end that are taken over
_MARKER = ".damaged-"
_OWN = frozenset({"journal", "snapshot", "counter", "_sqlite_migrations"})  # not copied as they are
_JSON = {"event": "data", "summary": "data", "outbox": "payload"}
_PAGE = 4096


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
    tail = _Tail(1, 1, 0)
    whole = False
    if damaged is not None:
        source = Source(damaged, clock.monotonic_ns() + round(budget_s * 1e9))
        counters = {
            name: value for name, value in source.rows("counter", "name, value")
            if isinstance(name, str) and isinstance(value, int)
        }
        for table in sorted(_tables(target) & source.tables() - _OWN):
            _copy(target, source, table)
        newest = max(counters.get("last_sequence", 0), mark.sequence if mark else 0)
        tail = _copy_journal(target, source, newest)
        whole = source.whole
    last = told_through = _highest(target, counters, mark)
    time_ns = _latest(target, counters, mark)
    _keep_identity(target, mark)
    left = tail.begin - tail.first
    missing = 0 if running else left + max(0, last - tail.end)
    count, unit = _what_is_lost(target, counters, mark, missing)
    told: dict[str, Any] = {
        "part": "store", "reason": cause, "set_aside": aside,
        "count": count, "unit": unit, "complete": whole and not missing,
        "hint": f"what could be read was taken over; the rest is in {aside}" if aside else "",
    }
    if not running:
        row = {**told, "first": (tail.first if left else tail.end + 1) if missing else last + 1}
        last, time_ns = last + 1, time_ns + 1
        _insert_lost(target, last, time_ns, row)
    _write_counters(target, counters | {TOLD_THROUGH: told_through}, last, time_ns, mark)
    return told


def _what_is_lost(
    target: sqlite3.Connection, counters: dict[str, int], mark: Mark | None, entries: int
) -> tuple[int, str]:
    """(how many, of what) is to be told: entries, else names without which samples are found no
    more, else messages that waited for central.
    """
    (names,) = target.execute("SELECT count(*) FROM tag").fetchone()
    nameless = max(0, mark.tags - names) if mark else 0
    if entries or not nameless:
        messages = _messages_lost(target, counters)
        return (messages, "messages") if messages > 0 and not entries else (entries, "entries")
    return nameless, "names of tags"


def _messages_lost(target: sqlite3.Connection, counters: dict[str, int]) -> int:
    """Messages that were received, and are neither delivered, nor dropped, nor there."""
    (pending,) = target.execute(
        "SELECT ifnull(sum(messages), 0) FROM outbox WHERE sent = 0 OR ?",
        (counters.get("confirming", 0),),
    ).fetchone()
    dropped = sum(value for name, value in counters.items() if name.startswith("dropped:"))
    return int(counters.get("received", 0) - counters.get("delivered", 0) - pending - dropped)


def _tables(connection: sqlite3.Connection) -> set[str]:
    query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return {str(name) for (name,) in connection.execute(query)}


def _copy(target: sqlite3.Connection, source: Source, table: str) -> None:
    columns = [one for one in columns_of(target, table) if one in source.columns(table)]
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


class _Tail(NamedTuple):
    """What could be had of the journal: entries `begin` to `end`; of those from `first` on there
    are none before `begin`.
    """

    first: int
    begin: int
    end: int


def _copy_journal(target: sqlite3.Connection, source: Source, newest: int) -> _Tail:
    """The newest good snapshot, the entries behind it, and those right before it."""
    base = _copy_snapshot(target, source)
    end = max(0, min(base, newest - MOST_ENTRIES))
    first, begin, taken = end + 1, end + 1, 0
    for sequence, sealed_ns, kind, data in source.rows(
        "journal", "sequence, sealed_ns, kind, data", after=end
    ):
        if sequence != end + 1:
            if base and sequence > base + 1:
                break  # from the state nothing goes on behind the hole
            # And what was taken before it does not go on to the state, or there is none. Of a hole
            # at the begin nobody knows how many are in it: one at least.
            target.execute("DELETE FROM journal")
            first = first if taken else sequence - (not source.whole)
            begin, taken = sequence, 0
        try:
            decode(sequence, sealed_ns, str(kind), data)
        except (StoreError, TypeError, IndexError):
            source.whole = False
            if sequence > base:
                break
            continue  # a hole
        target.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (sequence, sealed_ns, kind, data))
        end, taken = sequence, taken + 1
    if end < base:
        target.execute("DELETE FROM journal")
        return _Tail(first if taken else base, base + 1, base)
    return _Tail(first, begin, end)


def _copy_snapshot(target: sqlite3.Connection, source: Source) -> int:
    """The newest good one; returns of which entry it is, 0 where there is none."""
    base = 0
    for sequence, checksum, state in source.rows("snapshot", "sequence, checksum, state"):
        good = isinstance(sequence, int) and isinstance(state, bytes)
        if good and zlib.crc32(state) == checksum and sequence > base:
            target.execute("DELETE FROM snapshot")
            target.execute("INSERT INTO snapshot VALUES (?, ?, ?)", (sequence, checksum, state))
            base = sequence
    return base


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
    lost = _messages_lost(target, counters)
    if lost > 0:
        name = "dropped:store damaged"
        counters[name] = counters.get(name, 0) + lost
    else:
        counters["received"] = counters.get("received", 0) - lost
    target.executemany("INSERT OR REPLACE INTO counter VALUES (?, ?)", counters.items())
