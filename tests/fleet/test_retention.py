"""Old rows go, by partitions on PostgreSQL; totals stay, and nothing is counted twice by it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from agent.fleet import front
from agent.fleet.database import Database
from agent.fleet.ledger import Ledger
from agent.fleet.retention import AHEAD, tidy
from agent.fleet.schema import PARTITIONED
from tests.fleet import messages as m
from tests.fleet import worlds as w
from tests.waiting import until

DAY, S = m.DAY, m.S


@dataclass
class Keep:
    events_ns: int = 10 * DAY
    summaries_ns: int = 10 * DAY
    totals_ns: int = 100 * DAY


@dataclass
class Holds:
    central: Keep


def at(database, days):
    """Nanoseconds of so many days ago, at noon."""
    day = database.now().replace(hour=12, minute=0, second=0, microsecond=0)
    return round((day - timedelta(days=days)).timestamp()) * S


def partitions(database, table):
    return {
        one["relname"]: one["count"]
        for one in w.rows(
            database, "SELECT c.relname, (xpath('/row/c/text()', query_to_xml("
            "'SELECT count(*) AS c FROM ' || c.relname, false, true, '')))[1]::text::bigint"
            " AS count FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            f" WHERE i.inhparent = '{table}'::regclass",
        )
    }  # fmt: skip


def heard(database, days):
    """As if all that is of that day or an earlier one had been heard of on it."""
    begin = at(database, days - 1) // 1_000
    for table, column in PARTITIONED.items():
        early, when = begin, at(database, days) // 1_000
        if not database.sqlite:
            early, when = (f"to_timestamp({one / 1e6:.6f})" for one in (early, when))
        with database.writing() as connection:
            connection.execute(
                text(f"UPDATE {table} SET heard_at = {when} WHERE {column} < {early}")
            )


def test_what_is_heard_now_stays_whatever_its_gateways_clock_says(database):
    """A clock that stands in 2001 or in 1970 is no reason to lose an event within the hour."""
    ledger, days = Ledger(database), (9_000, 20_000, 0, -5_000)
    for seq, ago in enumerate(days, 1):
        m.settle(ledger, m.sent(m.event(seq, time_ns=at(database, ago)), seq),
                 m.sent(m.summary(m.window(at(database, ago), seq)), seq))  # fmt: skip
    keep = Keep(totals_ns=21_000 * DAY)
    assert tidy(database, keep).deleted == 0
    assert [one[3] for one in w.events(database, "north")] == [1, 2, 3, 4]
    heard(database, 9_000)
    assert tidy(database, keep).deleted == 4
    assert [one[3] for one in w.events(database, "north")] == [3, 4]


def test_old_rows_go_and_young_ones_totals_and_marks_stay(database):
    """Events and windows of 0, 5 and 50 days ago, some of them late or of a clock in 2040."""
    ledger, days = Ledger(database), (0, 5, 50)
    for seq, ago in enumerate(days, 1):
        m.settle(ledger, m.sent(m.event(seq, time_ns=at(database, ago)), seq),
                 m.sent(m.summary(m.window(at(database, ago), seq)), seq))  # fmt: skip
    m.settle(ledger, m.sent(m.event(4, time_ns=at(database, -5_000)), 4))
    heard(database, 50)
    done = tidy(database, Keep())
    assert done.deleted == 2
    assert [one[3] for one in w.events(database, "north")] == [1, 2, 4]
    assert w.totals(database, "north")["yield", "a"][:4] == (3, 30, 27, 1 + 2 + 3)
    assert w.summed(database, "north")["yield", "a"][:4] == (2, 20, 18, 1 + 2)
    assert w.marks(database, "north")["gw", "00000001", 1, "event"][0] == [(1, 4)]
    again = m.settle(ledger, m.sent(m.event(3, time_ns=at(database, 50)), 3))
    assert (again.duplicates, again.rows) == (1, 0)
    tidy(database, Keep(totals_ns=20 * DAY))
    assert w.totals(database, "north")["yield", "a"][:4] == (2, 20, 18, 1 + 2)


def test_days_have_partitions_ahead_and_those_that_waited_move_to_their_own(postgres_url):
    """Made once; a day that comes into the window of what is kept later gets its rows then."""
    database = Database(postgres_url)
    ledger = Ledger(database)
    m.settle(ledger, *(m.sent(m.event(n, time_ns=at(database, n)), n) for n in range(1, 4)))
    first = tidy(database, Keep(events_ns=2 * DAY))
    assert first.made == 2 * (AHEAD + 1) + 2  # yesterday and the day before had rows
    found = partitions(database, "event")
    assert sum(found.values()) == 3 and found["event_other"] == 1  # heard of just now
    m.settle(ledger, *(m.sent(m.event(n, time_ns=at(database, 0)), n) for n in range(5, 8)))
    today = f"event_p{database.now():%Y%m%d}"
    assert partitions(database, "event")[today] == 3
    second = tidy(database, Keep(events_ns=DAY))
    assert (second.made, second.dropped) == (0, 1)
    assert sum(partitions(database, "event").values()) == 5
    third = tidy(database, Keep(events_ns=DAY))
    assert (third.made, third.dropped, third.deleted) == (0, 0, 0)
    database.close()


def test_a_coarse_window_over_rows_that_are_gone_is_not_counted_again(database):
    """Its days hold already what it covers; of a day whose rows are there it is exact."""
    ledger = Ledger(database)
    windows = [m.window(at(database, 50) + n * 300 * S, 2**n) for n in range(3)]
    m.settle(ledger, *(m.sent(m.summary(one), n) for n, one in enumerate(windows, 1)))
    heard(database, 50)
    tidy(database, Keep())
    m.settle(ledger, m.sent(m.coarse(*windows), 4, covers=[[1, 3]]))
    assert w.totals(database, "north")["yield", "a"][:4] == (3, 30, 27, 1 + 2 + 4)


async def test_a_clock_that_is_set_forward_lets_nothing_go_before_it_has_stood_so(
    database, monkeypatch, caplog
):
    """By mistake, as by a broken time server: everything would be old, and gone for ever."""
    monkeypatch.setattr(front, "TIDY_S", 0.01)
    ledger = Ledger(database)
    m.settle(ledger, m.sent(m.event(1, time_ns=at(database, 0)), 1))
    asked, stop = [0], asyncio.Event()
    real = Database.now

    def now(self, connection=None):
        """Ahead from some time on, until that is told: no longer, then it would be believed."""
        asked[0] += 1
        ahead = asked[0] >= 6 and "was set to" not in caplog.text
        return real(self, connection) + timedelta(days=400 if ahead else 0)

    monkeypatch.setattr(Database, "now", now)
    task = asyncio.create_task(front.keep_tidy(Holds(Keep()), database, stop))
    await until(lambda: "was set to" in caplog.text)
    before = asked[0]
    await until(lambda: asked[0] >= before + 6)
    stop.set()
    await task
    assert [one[3] for one in w.events(database, "north")] == [1]


def test_a_clock_that_stands_forward_is_believed_in_the_end():
    """Once it was said; and one that goes as it should, or was set back, is believed at once."""
    steps, begin = front.Steps(), datetime(2026, 1, 1, tzinfo=UTC)
    told = [(0, 0), (1, 1), (9_000, 2), (9_001, 3), (4, 4), (5, 5), (5 + 14, 6)]
    found = [steps.stepped(begin + timedelta(hours=h), mono * 3_600 * S) for h, mono in told]
    assert found == [False, False, True, False, False, False, True]


STUBS = """
CREATE TABLE called (what text, relation regclass, more text);
CREATE FUNCTION create_hypertable(relation regclass, time_column_name name,
    chunk_time_interval interval, create_default_indexes boolean) RETURNS void
    AS $$ INSERT INTO called VALUES ('create', relation, time_column_name) $$ LANGUAGE sql;
CREATE FUNCTION drop_chunks(relation regclass, older_than timestamptz) RETURNS SETOF text
    AS $$ INSERT INTO called VALUES ('drop', relation, older_than::text) RETURNING what $$
    LANGUAGE sql;
SET allow_system_table_mods = on;
INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    VALUES (99999, 'timescaledb', 10, 2200, false, '2.14');
"""


@pytest.fixture
def timescale(postgres):
    """A database that says it has TimescaleDB; its two functions write down that they were called.
    What they do is TimescaleDB's: it is not installed where these tests run.
    """
    admin = create_engine(
        postgres.url().replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE timescale"))
    database = Database(postgres.url("timescale"))
    with database.engine.begin() as connection:
        for statement in STUBS.strip().split(";\n"):
            connection.exec_driver_sql(statement)
    yield database
    database.close()
    with admin.connect() as connection:
        connection.execute(text("DROP DATABASE timescale WITH (FORCE)"))
    admin.dispose()


def test_timescaledb_is_used_where_the_extension_is_installed(timescale):
    """Its tables in place of partitions, and its way to drop what is old."""
    timescale.migrate()
    called = "SELECT what, relation::text, more FROM called"
    assert [tuple(one.values()) for one in w.rows(timescale, called)] == [
        ("create", "event", "time"), ("create", "summary", "start_at"),
    ]  # fmt: skip
    ledger = Ledger(timescale)
    assert m.settle(ledger, m.sent(m.event(1), 1)).rows == 1
    assert tidy(timescale, Keep()).dropped == 2
    assert [one["relation"] for one in w.rows(timescale, called)][2:] == ["event", "summary"]
