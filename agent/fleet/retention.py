"""What is kept for how long: partitions made ahead and dropped when they are old.

On PostgreSQL `event` and `summary` have a partition for each UTC day. Rows of a day that has none,
because they came late or a gateway's clock is wrong, wait in the partition of the others and move
to one of their own where their day is one of those that are kept. What is of no such day is kept
as long from when it was heard: a clock that stands in 2001 is no reason to lose an event. With
TimescaleDB its chunks take the partitions' place. SQLite deletes rows. Marks are never dropped:
what was counted once stays so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from sqlalchemy import Connection

from agent.fleet.bulk import Bulk, us
from agent.fleet.columns import EPOCH, us_of
from agent.fleet.database import Database
from agent.fleet.postgresql import locked
from agent.fleet.schema import PARTITIONED

AHEAD: Final = 3  # days
_DAY: Final = timedelta(days=1)
_NS_PER_US: Final = 1_000
_PART: Final = 5_000  # rows that SQLite deletes in one go; workers wait for so long
_MOST_MOVED: Final = 400  # days in one go
_LOCK: Final = 0x7469_6479  # advisory lock of who tidies
_NAME: Final = re.compile(r"_p(\d{4})(\d\d)(\d\d)$")


class Keep(Protocol):
    """How long rows are kept, in nanoseconds."""

    @property
    def events_ns(self) -> int:
        """Events."""

    @property
    def summaries_ns(self) -> int:
        """Windows of summaries."""

    @property
    def totals_ns(self) -> int:
        """Daily totals."""


@dataclass(slots=True)
class Tidied:
    """What was done: partitions made and dropped, rows deleted."""

    made: int = 0
    dropped: int = 0
    deleted: int = 0


def tidy(database: Database, keep: Keep, now: datetime | None = None) -> Tidied:
    """Drop what is old and make room for the days to come; again and again, such as each hour.

    Args:
        database: of central, migrated.
        keep: how long.
        now: as the database's clock said it; None: it is asked.

    Raises:
        StoreError: the database is away.
    """
    now = database.now() if now is None else now
    spans = {"event": keep.events_ns, "summary": keep.summaries_ns}
    done = Tidied()
    ways = _ways(database)
    for table, span_ns in spans.items():
        kept_from = _day(now - timedelta(microseconds=span_ns // _NS_PER_US))
        ways(database, table, kept_from, _day(now), done)
    total_from = _day(now - timedelta(microseconds=keep.totals_ns // _NS_PER_US))
    day: Any = total_from.date()

    def totals(connection: Connection) -> int:
        first = day.isoformat() if database.sqlite else day
        return _deleted(connection, "DELETE FROM total WHERE day < ?", first)

    done.deleted += database.repeated(totals)
    _horizon(database, "total", total_from)
    return done


def _ways(database: Database) -> Any:
    if database.sqlite:
        return _delete_parts
    return _drop_chunks if has_timescale(database) else _drop_partitions


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _deleted(connection: Connection, sql: str, *parameters: Any) -> int:
    if connection.dialect.name != "sqlite":
        sql = sql.replace("?", "%s")
    return connection.exec_driver_sql(sql, parameters).rowcount


def _horizon(database: Database, of: str, kept_from: datetime) -> None:
    """Say that older rows are not there any more, before they go."""

    def work(connection: Connection) -> None:
        bulk = Bulk(connection)
        bulk.upsert("horizon", ("of", "kept_from"), [[of, bulk.moment(us_of(kept_from))]], ("of",),
                    {"kept_from": f"{'max' if bulk.sqlite else 'greatest'}"
                                  "(horizon.kept_from, excluded.kept_from)"})  # fmt: skip

    database.repeated(work)


# --- SQLite ---------------------------------------------------------------------------------------


def _delete_parts(
    database: Database, table: str, kept_from: datetime, _today: datetime, done: Tidied
) -> None:
    _horizon(database, table, kept_from)
    before = us_of(kept_from)
    sql = (
        f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table}"
        f" WHERE heard_at < ? LIMIT {_PART})"
    )
    while count := database.repeated(lambda one: _deleted(one, sql, before)):
        done.deleted += count


# --- PostgreSQL -----------------------------------------------------------------------------------


def has_timescale(database: Database) -> bool:
    """Whether the tables are TimescaleDB's."""
    with database.reading() as connection:
        found = connection.exec_driver_sql(
            "SELECT 1 FROM pg_class c WHERE c.relname = 'event' AND c.relkind = 'r'"
        )
        return found.first() is not None


def _drop_chunks(
    database: Database, table: str, kept_from: datetime, _today: datetime, done: Tidied
) -> None:
    _horizon(database, table, kept_from)

    def work(connection: Connection) -> int:
        rows = connection.exec_driver_sql(
            "SELECT drop_chunks(%s::regclass, older_than => %s)", (table, kept_from)
        )
        return len(rows.all())

    done.dropped += database.repeated(work)


def _drop_partitions(
    database: Database, table: str, kept_from: datetime, today: datetime, done: Tidied
) -> None:
    """Step by step; another one that is at it does the same, and finds each step done."""
    _horizon(database, table, kept_from)
    last = today + AHEAD * _DAY
    with database.reading() as connection:
        known = _known(connection, table)
        strays = _stray_days(connection, table, kept_from, last)
    wanted = {today + n * _DAY for n in range(AHEAD + 1)} | strays
    for day in sorted(wanted - known.keys()):
        done.made += database.repeated(lambda one, day=day: _make(one, table, day))  # type: ignore[misc]
    for day, name in sorted(known.items()):
        if day < kept_from:
            done.dropped += database.repeated(lambda one, name=name: _drop(one, name))  # type: ignore[misc]
    sql = f"DELETE FROM {table}_other WHERE heard_at < ?"
    done.deleted += database.repeated(lambda one: _deleted(one, sql, kept_from))


def _there(connection: Connection, name: str) -> bool:
    """Whether a table is, now that nobody else makes or drops any."""
    locked(connection, _LOCK)
    found = connection.exec_driver_sql("SELECT to_regclass(%s) IS NOT NULL", (name,))
    return bool(found.scalar_one())


def _drop(connection: Connection, name: str) -> bool:
    if not _there(connection, name):
        return False
    connection.exec_driver_sql(f"DROP TABLE {name}")
    return True


def _known(connection: Connection, table: str) -> dict[datetime, str]:
    """Partitions by day."""
    rows = connection.exec_driver_sql(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = %s::regclass", (table,)
    )  # fmt: skip
    found = {}
    for (name,) in rows:
        if told := _NAME.search(name):
            year, month, day = map(int, told.groups())
            found[datetime(year, month, day, tzinfo=UTC)] = name
    return found


def _stray_days(
    connection: Connection, table: str, kept_from: datetime, last: datetime
) -> set[datetime]:
    """Days that are kept and have rows but no partition."""
    time = PARTITIONED[table]
    rows = connection.exec_driver_sql(
        f"SELECT DISTINCT date_trunc('day', {time}, 'UTC') FROM {table}_other"
        f" WHERE {time} >= %s AND {time} < %s ORDER BY 1 LIMIT {_MOST_MOVED}",
        (kept_from, last + _DAY),
    )  # fmt: skip
    return {EPOCH + timedelta(microseconds=us(day) or 0) for (day,) in rows}


def _make(connection: Connection, table: str, day: datetime) -> bool:
    """A day's partition, with the rows that waited for it; False where it is there already."""
    name, time, end = f"{table}_p{day:%Y%m%d}", PARTITIONED[table], day + _DAY
    if _there(connection, name):
        return False
    connection.exec_driver_sql(f"LOCK TABLE {table}_other IN ACCESS EXCLUSIVE MODE")
    connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table} INCLUDING DEFAULTS)")
    connection.exec_driver_sql(
        f"WITH moved AS (DELETE FROM {table}_other WHERE {time} >= %s AND {time} < %s RETURNING *)"
        f" INSERT INTO {name} SELECT * FROM moved", (day, end)
    )  # fmt: skip
    connection.exec_driver_sql(
        f"ALTER TABLE {table} ATTACH PARTITION {name}"
        f" FOR VALUES FROM ('{day.isoformat()}') TO ('{end.isoformat()}')"
    )
    return True
