"""A damaged store's file, read as far as it can be read. Nothing of it is believed unseen."""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent import clock
from agent.store.soundness import read_only

_ROWS_AT_ONCE = 500
_MOST_PAGE = 65536


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


class Source:
    """Readable rows of a damaged database, within a time.

    Attributes:
        whole: nothing was stepped over so far.
    """

    def __init__(self, connection: sqlite3.Connection, deadline_ns: int) -> None:
        self._connection = connection
        self._deadline_ns = deadline_ns
        self.whole = True

    def tables(self) -> set[str]:
        """Names of all tables."""
        query = "SELECT name FROM sqlite_schema WHERE type = 'table'"
        return {str(name) for (name,) in self._connection.execute(query)}

    def columns(self, table: str) -> list[str]:
        """Those whose names can be read: none of a table whose definition is damaged."""
        try:
            return columns_of(self._connection, table)
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


def columns_of(connection: sqlite3.Connection, table: str) -> list[str]:
    """Names of a table's columns."""
    return [str(row[1]) for row in connection.execute(f"PRAGMA table_info('{table}')")]
