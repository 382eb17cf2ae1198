"""Many rows at once, on PostgreSQL and on SQLite, within a transaction that is open.

PostgreSQL gets rows by COPY, into a table of the connection's own where they may meet known ones;
SQLite gets them one by one, which costs it nothing. What is selected by many keys is one statement
on both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection

from agent.fleet.columns import moment_of, stored_exactly, us_of
from agent.fleet.postgresql import pooled

_STAGED: Final = "fieldwarden_staged"
_LETTERS: Final = "abcdefgh"
_VARIABLES: Final = 30_000  # SQLite takes some more in one statement

Rows = Sequence[Sequence[Any]]


@lru_cache(4_096)
def _moment_text(us: int) -> str:
    """ISO 8601: PostgreSQL's driver would write the same of each time, more slowly."""
    return moment_of(us).isoformat(" ")


class Bulk:
    """What one transaction reads and writes.

    Args:
        connection: with a transaction that writes.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.sqlite = connection.dialect.name == "sqlite"
        self._pooled = pooled(connection)
        self._staged: set[str] = connection.info.setdefault(_STAGED, set())
        self._made: set[str] = set()
        self._used: set[str] = set()

    def committed(self) -> None:
        """The transaction is: tables of the connection that were made in it stay, if it does."""
        if not self._pooled:
            self._staged |= self._made

    # --- values -----------------------------------------------------------------------------

    def moment(self, us: int | None) -> Any:
        """A time as a statement takes it."""
        return us if us is None or self.sqlite else _moment_text(us)

    def exact(self, value: int) -> Any:
        """A whole number of any size, as a statement takes it."""
        return stored_exactly(value) if self.sqlite else value

    # --- reading ------------------------------------------------------------------------------

    def select(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Rows; parameters are ``?`` on both."""
        return list(self._run(sql, parameters).all())

    def by_keys(self, sql: str, kinds: Sequence[str], keys: Iterable[Sequence[Any]]) -> list[Any]:
        """Rows of `sql`, in which ``{keys}`` is a FROM item `k` with the columns a, b, c, ...

        Args:
            sql: such as ``SELECT m.id FROM {keys} CROSS JOIN model m WHERE m.id = k.a``.
            kinds: PostgreSQL's types of the columns: bigint, text or timestamptz.
            keys: one row each; none: nothing is asked.
        """
        return [row for some in self._parts(keys, kinds) for row in self._keyed(sql, kinds, some)]

    def change_by_keys(
        self, sql: str, kinds: Sequence[str], keys: Iterable[Sequence[Any]]
    ) -> None:
        """The same of a statement that returns nothing."""
        for some in self._parts(keys, kinds):
            self._keyed(sql, kinds, some)

    def _parts(
        self, keys: Iterable[Sequence[Any]], kinds: Sequence[str]
    ) -> list[list[Sequence[Any]]]:
        """In as many statements as their parameters need; none where there is no key."""
        some = list(keys)
        most = _VARIABLES // len(kinds) if self.sqlite else max(1, len(some))
        return [some[start : start + most] for start in range(0, len(some), most)]

    def _keyed(self, sql: str, kinds: Sequence[str], keys: list[Sequence[Any]]) -> Any:
        names = _LETTERS[: len(kinds)]
        if self.sqlite:
            columns = ", ".join(f"column{i} AS {name}" for i, name in enumerate(names, 1))
            one = f"({', '.join('?' * len(kinds))})"
            values = ", ".join([one] * len(keys))
            item = f"(SELECT {columns} FROM (VALUES {values})) AS k"
            return self._run(sql.format(keys=item), [value for key in keys for value in key])
        arrays = ", ".join(f"%s::{kind}[]" for kind in kinds)
        item = f"unnest({arrays}) AS k({', '.join(names)})"
        return self._run(sql.format(keys=item), [list(one) for one in zip(*keys, strict=True)])

    def _run(self, sql: str, parameters: Sequence[Any]) -> Any:
        if not self.sqlite:
            sql = sql.replace("?", "%s")
        return self._connection.exec_driver_sql(sql, tuple(parameters))

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """A statement that returns nothing; parameters are ``?`` on both."""
        self._run(sql, parameters)

    # --- writing ------------------------------------------------------------------------------

    def insert(self, table: str, columns: Sequence[str], rows: Rows) -> None:
        """Rows that are not there yet."""
        if not rows:
            return
        if self.sqlite:
            self._many(_insert(table, columns), rows)
        else:
            self._copy(table, columns, rows)

    def upsert(
        self, table: str, columns: Sequence[str], rows: Rows, key: Sequence[str],
        sets: Mapping[str, str] | None = None,
    ) -> None:
        """Rows that may be there already; no key twice.

        Args:
            table: its name.
            columns: of the rows; all that have no default.
            rows: to be written.
            key: columns of the primary key.
            sets: what a column becomes where the row is there; None: every column that is no key
                becomes the new one; empty: nothing.
        """  # fmt: skip
        if not rows:
            return
        if sets is None:
            sets = {name: f"excluded.{name}" for name in columns if name not in key}
        changes = ", ".join(f"{name} = {said}" for name, said in sets.items())
        action = f"UPDATE SET {changes}" if changes else "NOTHING"
        conflict = f" ON CONFLICT ({', '.join(key)}) DO {action}"
        if self.sqlite:
            self._many(_insert(table, columns) + conflict, rows)
            return
        stage = self._stage(table)
        self._copy(stage, columns, rows)
        names = ", ".join(columns)
        self._run(f"INSERT INTO {table} ({names}) SELECT {names} FROM {stage}{conflict}", ())

    def _many(self, sql: str, rows: Rows) -> None:
        self._connection.exec_driver_sql(sql, [tuple(row) for row in rows])

    def _copy(self, table: str, columns: Sequence[str], rows: Rows) -> None:
        driver: Any = self._connection.connection.driver_connection
        with (
            driver.cursor() as cursor,
            cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def _stage(self, table: str) -> str:
        stage = f"stage_{table}"
        if stage in self._used:
            self._run(f"DELETE FROM {stage}", ())
        self._used.add(stage)
        if stage not in self._staged and stage not in self._made:
            goes = "DROP" if self._pooled else "DELETE ROWS"
            self._run(
                f"CREATE TEMPORARY TABLE IF NOT EXISTS {stage} (LIKE {table} INCLUDING DEFAULTS)"
                f" ON COMMIT {goes}", ()
            )  # fmt: skip
            self._made.add(stage)
        return stage


def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" for _ in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"


def us(value: datetime | int | None) -> int | None:
    """A time as it was read, in microseconds since 1970."""
    return us_of(value) if isinstance(value, datetime) else value


def document(value: Any) -> Any:
    """A JSON column as it was read: SQLite gives its text."""
    return json.loads(value) if isinstance(value, str | bytes) else value


