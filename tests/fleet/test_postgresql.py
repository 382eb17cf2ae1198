"""How PostgreSQL is spoken to: several hosts, a pooler, a standby, a password that changes."""

from __future__ import annotations

import os
import signal

import psycopg
import pytest
from sqlalchemy import text

from agent.errors import FieldwardenError, StoreError
from agent.fleet.check_database import database as checked
from agent.fleet.configuration import Broker, Central, FleetConfiguration
from agent.fleet.database import Database
from agent.fleet.ledger import Ledger
from agent.fleet.retention import tidy
from simulators.ports import free_port
from simulators.postgres import Postgres, programs
from tests.fleet import messages as m
from tests.fleet import worlds as w
from tests.fleet.pooler import PgBouncer
from tests.fleet.serving import Serving, rows
from tests.fleet.test_service import Plant, broker, check, soon, up  # noqa: F401 - fixtures
from tests.processes import children
from tests.programs import needed, why_not
from tests.waiting import until

SETTINGS = ("lock_timeout", "statement_timeout", "TimeZone", "jit")


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://u:p@one:5433,two/db?sslmode=require", "one,two", "5433,5432"),
        ("postgresql://u@[::1]:5433,two:5434/db", "::1,two", "5433,5434"),
        ("postgres://u:p%40@one,two,three/db", "one,two,three", "5432,5432,5432"),
        ("postgresql://u@/db?host=one,two&port=1,2", "one,two", "1,2"),
    ],
)
def test_several_hosts_are_written_as_libpq_has_them(url, hosts, ports):
    """Each with its port; the rest of the URL is what it was."""
    found = Database(url)
    _, given = found.engine.dialect.create_connect_args(found.url)
    assert (given["host"], given["port"], given["dbname"]) == (hosts, ports, "db")
    assert given.get("sslmode") == ("require" if "sslmode" in url else None)
    assert given.get("password") == {"u:p@": "p", "u:p%40@": "p@"}.get(url[url.index("u"):]
        .partition("one")[0].rpartition("//")[2])  # fmt: skip


@pytest.mark.parametrize("url", ["postgresql://u:hush@one:x/db", "postgresql://u:hush@[::1/db"])
def test_what_is_no_address_is_told_without_the_password(url):
    """In words, and with how to write it."""
    with pytest.raises(StoreError) as told:
        Database(url)
    assert told.value.hint and "hush" not in str(told.value)


def test_people_are_told_of_the_database_as_they_wrote_it():
    """Several hosts too, and never with the password."""
    url = "postgresql://u:hush@one:5433,two/db?target_session_attrs=read-write"
    assert Database(url).name == url.replace("hush", "***")


def test_of_several_hosts_the_one_that_answers_is_taken(postgres, postgres_url):
    """As after a failover: the first is gone."""
    gone = f"127.0.0.1:{free_port()}"
    place = f"127.0.0.1:{postgres.port}"
    url = postgres_url.replace(place, f"{gone},{place}") + "?target_session_attrs=read-write"
    found = Database(url)
    assert found.now().tzinfo
    found.close()


def test_a_server_that_can_only_be_read_is_left_for_another(postgres_url):
    """Connections that stand are not used again: else a promoted standby is never found."""
    found = Database(postgres_url)
    ledger = Ledger(found)
    m.settle(ledger, m.sent(m.event(1), 1))
    pid = "SELECT pg_backend_pid()"
    with found.writing() as connection:
        before = connection.execute(text(pid)).scalar()
        connection.execute(text("SET default_transaction_read_only = on"))
    with pytest.raises(StoreError, match="read-only") as told:
        m.settle(ledger, m.sent(m.event(2), 2))
    assert "standby" in told.value.hint
    assert m.settle(ledger, m.sent(m.event(2), 2)).messages == 1
    with found.reading() as connection:
        assert connection.execute(text(pid)).scalar() != before
    found.close()


def test_the_password_is_asked_for_at_each_connection(postgres, postgres_url):
    """It may be changed while the service runs; where it can not be had the database is away."""
    place = postgres_url.rpartition("@")[2]
    secrets = ["wrong", postgres.password]
    found = Database(f"postgresql://fieldwarden@{place}", secret=lambda: secrets.pop(0))
    with pytest.raises(StoreError, match="authentication failed") as told:
        found.now()
    assert "password" in told.value.hint
    found.now()

    def missing():
        raise FieldwardenError("reading", "the password", "no such file", "write it there")

    other = Database(f"postgresql://fieldwarden@{place}", secret=missing)
    with pytest.raises(StoreError, match="no such file") as told:
        other.now()
    assert told.value.hint == "write it there"
    for one in (found, other):
        one.close()


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("SELECT pg_cancel_backend(pg_backend_pid())", "cancelled"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "server's log"),
        ("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$", "make room"),
        ("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53300'; END $$", "max_connections"),
    ],
)
def test_each_trouble_of_a_server_has_a_hint_of_its_own(postgres_url, statement, word):
    """And is over with the connection or the statement that it was of."""
    found = Database(postgres_url)
    with pytest.raises(StoreError) as told, found.writing() as connection:
        connection.execute(text(statement))
    assert word in told.value.hint
    assert found.now().tzinfo  # the next one is well
    found.close()


# --- a pooler -------------------------------------------------------------------------------------


@pytest.fixture
def pooled(monkeypatch):
    """Every connection looks as if a pooler stood in between: the server's process is another."""
    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", property(lambda _: 0))


def test_through_a_pooler_nothing_of_a_session_is_left_behind(postgres_url, pooled):
    """Neither tables nor prepared statements nor locks; settings are those of the transaction."""
    found = Database(postgres_url, pool_size=1)
    found.migrate()
    ledger = Ledger(found)
    for one in range(1, 9):  # a statement is prepared when it comes for the sixth time
        m.settle(ledger, m.sent(m.event(one), one))
    tidy(found, _Keep())
    with found.reading() as connection:
        for name in SETTINGS:
            said = connection.execute(text(f"SHOW {name}")).scalar()
            assert said == {"lock_timeout": "20s", "statement_timeout": "2min",
                            "TimeZone": "UTC", "jit": "off"}[name]  # fmt: skip
        for left in (
            "pg_class WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema()",
            "pg_prepared_statements", "pg_locks WHERE locktype = 'advisory'",
        ):  # fmt: skip
            assert connection.execute(text(f"SELECT count(*) FROM {left}")).scalar() == 0
    assert len(w.events(found, "north")) == 8
    found.close()


class _Keep:
    """As long as anybody likes."""

    events_ns = summaries_ns = totals_ns = 90 * m.DAY


@needed("pgbouncer")
@pytest.mark.parametrize("settings", [(), ("ignore_startup_parameters = options",)])
def test_pgbouncer_in_transaction_mode_settles_and_tidies(postgres, postgres_url, settings):
    """Sessions change from transaction to transaction; PgBouncer needs no setting for it."""
    name = postgres_url.rpartition("/")[2]
    with PgBouncer(postgres, settings=settings) as pooler:
        found, direct = Database(pooler.url(name)), Database(postgres_url)
        found.migrate()
        ledgers = [Ledger(found), Ledger(direct), Ledger(found)]
        for one in range(1, 31):
            m.settle(ledgers[one % 3], m.sent(m.event(one), one), m.sent(
                m.summary(m.window(m.NOW + one * 300 * m.S, 3)), one
            ))  # fmt: skip
            tidy(found, _Keep())
        assert len(w.events(found, "north")) == 30
        assert w.totals(found, "north")["yield", "a"][3] == 90
        for one in (found, direct):
            one.close()


@needed("pgbouncer")
@pytest.mark.parametrize(("mode", "level"), [("transaction", "ok"), ("statement", "fault")])
def test_check_says_what_a_pooler_does_and_what_will_not_do(postgres, postgres_url, mode, level):
    """Transaction pooling is well; statement pooling is not, and the hint says what to set."""
    name = postgres_url.rpartition("/")[2]
    with PgBouncer(postgres, mode) as pooler:
        items = list(checked(FleetConfiguration(
            schema=1, broker=Broker(host="127.0.0.1"), central=Central(database=pooler.url(name))
        )))  # fmt: skip
    told = [one for one in items if "pool" in one.text + one.hint]
    assert [one.level for one in told] == [level]
    assert ("pool_mode = transaction" in told[0].hint) == (level == "fault")


# --- a server that stands still -------------------------------------------------------------------


@pytest.mark.slow
async def test_a_server_that_stands_still_is_told_of_and_holds_up_no_end(tmp_path, broker):  # noqa: F811
    """SIGSTOP: its connections stand, and nothing comes. The service ends in order all the same."""
    if programs() is None:
        pytest.skip(why_not("initdb"))
    plant = Plant(tmp_path, broker.port)
    with Postgres(durable=True) as server, Serving(tmp_path, broker.port, server.url()) as service:
        async with plant.running():
            await up(service)
            await plant.tell(2)
            every = [server.pid, *(one.pid for one, _ in children(server.pid))]
            for pid in every:
                os.kill(pid, signal.SIGSTOP)
            try:
                await plant.tell(1)
                await until(lambda: "no answer for" in service.log(), told=service.log)
                assert service.stop() == 0
            finally:
                for pid in every:
                    os.kill(pid, signal.SIGCONT)
            assert "is killed" not in service.log()
            service.start()
            await plant.settled(service)
        check(server.url(), plant)
        assert rows(server.url(), "SELECT count(*) FROM event")[0][0] == len(plant.made())
