"""Whether a store's file can be used as it is: looked at before it is opened for writing.

The look costs `BUDGET_S` at most, whatever the size: the small tables that a start needs come
first, the journal's old part last. Nothing is written, so that a damaged file stays evidence.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import stat
from pathlib import Path

from agent import clock
from agent.errors import StoreError
from agent.store.codec import decode
from agent.store.head import Mark

BUDGET_S = 5.0
logger = logging.getLogger(__name__)

_STEPS = 20_000  # of SQLite's machine between two looks at the time
_TABLES = ("counter", "identity", "boot", "tag", "snapshot", "document", "event", "outbox",
           "summary", "journal")  # fmt: skip
_MIGRATIONS = "_sqlite_migrations"
_DAMAGED = "what is in the file does not fit together, as after a fault of the disk or card"
_NO_DATABASE = "the file's begin is overwritten: it can not be read as a database any more"
_NO_TEXT = "Could not decode to UTF-8"  # as Python says of a text, without a number of SQLite's
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def is_damage(error: BaseException) -> bool:
    """Whether an error of SQLite says that the file itself is not a sound database.

    It holds UTF-8 alone: a text that is none was damaged.
    """
    no_text = isinstance(error, UnicodeError) or _NO_TEXT in str(error)
    return no_text or _code(error) in _DAMAGE


def _code(error: BaseException) -> int:
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def in_words(error: BaseException) -> str:
    """What a damaged file looks like, for people; SQLite's own words go to the log."""
    logger.warning("SQLite says: %s", error)
    return _NO_DATABASE if _code(error) == sqlite3.SQLITE_NOTADB else _DAMAGED


def examine(path: Path, mark: Mark | None, budget_s: float = BUDGET_S) -> str:
    """Why the store can not be used as it is; empty where it can, or where there is none yet.

    Args:
        path: of the store.
        mark: how far it was committed, as its head says.
        budget_s: seconds after which what was not looked at is taken to be sound.

    Raises:
        OSError, sqlite3.Error: it could not be looked at, which says nothing about it.
    """
    wal = path.with_name(path.name + "-wal")
    logged = wal.is_file() and wal.stat().st_size > 0
    try:
        found = path.stat()
    except FileNotFoundError:
        if logged:
            return "the database is missing, only its write-ahead log is there"
        return "the database is missing" if mark is not None else ""
    if stat.S_ISDIR(found.st_mode):
        return "it is a folder"
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if found.st_size == 0:
        return "the database is empty"
    connection = read_only(path)
    try:
        return _examined(connection, mark, budget_s)
    except (sqlite3.Error, UnicodeError) as error:
        if is_damage(error):
            return in_words(error)
        raise
    except StoreError as error:
        return f"{error.subject}: {error.cause}"
    finally:
        connection.close()


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, its write-ahead log included."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0)


def _examined(connection: sqlite3.Connection, mark: Mark | None, budget_s: float) -> str:
    query = "SELECT name FROM sqlite_schema WHERE type = 'table'"
    tables = {str(name) for (name,) in connection.execute(query)}
    if not tables:
        return "there is nothing in it" if mark is not None else ""
    if _MIGRATIONS not in tables:
        return "it is a database of another program"
    connection.execute(f"SELECT name FROM {_MIGRATIONS}").fetchall()  # noqa: S608 - texts at all?
    deadline = clock.monotonic_ns() + round(budget_s * 1e9)
    connection.set_progress_handler(lambda: clock.monotonic_ns() > deadline, _STEPS)
    with contextlib.suppress(_OutOfTime):
        for table in _TABLES:
            if table in tables and (fault := _fault_of(connection, table)):
                return f"table {table}: {fault}"
        if {"counter", "journal", "snapshot", "identity"} <= tables:
            return _lost_end(connection, mark)
        if mark is not None:
            return "some of its tables are missing"
    return ""


class _OutOfTime(Exception):  # noqa: N818 - not a fault
    """What was looked at so far is sound."""


def _fault_of(connection: sqlite3.Connection, table: str) -> str:
    try:
        (result,) = connection.execute(f"PRAGMA quick_check('{table}')").fetchone()
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise _OutOfTime from None
        raise
    if result == "ok":
        return ""
    logger.warning("SQLite says of table %s: %s", table, " ".join(str(result).split())[:200])
    return _DAMAGED


def _lost_end(connection: sqlite3.Connection, mark: Mark | None) -> str:
    """Whether the journal's end is there and can be read, as far as the head says it goes."""
    connection.set_progress_handler(None, 0)
    counters = dict(connection.execute("SELECT name, value FROM counter"))
    last = counters.get("last_sequence", 0)
    row = connection.execute("SELECT value FROM identity WHERE name = 'store'").fetchone()
    if mark is not None and row is None:
        return "its name is missing"
    if mark is not None and row[0] == mark.store_id and last < mark.sequence:
        return f"entries {last + 1} to {mark.sequence} were committed and are not in it"
    (first, newest) = connection.execute("SELECT min(sequence), max(sequence) FROM journal") \
        .fetchone()  # fmt: skip
    if newest is not None and newest != last:
        return f"its journal ends with entry {newest}, and {last} was the last one"
    (folded,) = connection.execute("SELECT max(sequence) FROM snapshot").fetchone()
    expected = max((folded or 0) + 1, first or 1)
    tail = connection.execute(
        "SELECT sequence, sealed_ns, kind, data FROM journal WHERE sequence >= ? "
        "ORDER BY sequence LIMIT 2000",
        (expected,),
    )
    for sequence, sealed_ns, kind, data in tail:
        if sequence != expected and kind != "lost":
            return f"entry {expected} of the journal is missing"
        expected = sequence + 1
        decode(sequence, sealed_ns, kind, data)
    return ""
