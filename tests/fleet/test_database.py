"""The database itself: made, migrated, asked the time; both kinds have the same tables."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import inspect, select, text

from agent.errors import StoreError
from agent.fleet.database import Database
from agent.fleet.ledger import Ledger
from agent.fleet.migrations.apply import newest
from agent.fleet.schema import METADATA, REVISION
from agent.fleet.statements import FOLDER, statements_of
from agent.fleet.views import COLUMNS, SELECTED, VIEWS
from tests.fleet import messages as m
from tests.waiting import PATIENCE_S, wait_until


def test_it_has_every_table_and_view_and_each_can_be_read(database):
    """A migrated database of either kind is whole."""
    found = inspect(database.engine)
    assert set(METADATA.tables) <= set(found.get_table_names())
    with database.reading() as connection:
        for name in [*METADATA.tables, *VIEWS]:
            assert connection.execute(text(f"SELECT * FROM {name}")).all() == []


def test_views_have_the_columns_that_are_said_of_them(database):
    """Who selects from a view by `SELECTED` gets what is there."""
    with database.reading() as connection:
        for name in VIEWS:
            got = connection.execute(text(f"SELECT * FROM {name}"))
            assert list(got.keys()) == COLUMNS[name].split()
            assert connection.execute(select(SELECTED[name])).all() == []


def test_migrating_again_changes_nothing(database):
    """Every worker migrates at its start."""
    database.migrate()
    database.migrate()


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_the_first_migration_makes_what_the_schema_says(name):
    """The files of the migration and the metadata are one."""
    written = (FOLDER / f"a0001_{name}.sql").read_text(encoding="utf-8")
    made = "".join(f"{one};\n" for one in statements_of(name))
    assert [line.rstrip() for line in made.splitlines()] == written.splitlines()


def test_its_clock_is_the_machines_here(database):
    """To the millisecond, which is what SQLite tells."""
    before = datetime.now(UTC)
    told = database.now()
    after = datetime.now(UTC)
    assert before.timestamp() - 0.002 <= told.timestamp() <= after.timestamp() + 0.002


def test_a_newer_database_is_refused_in_words(database):
    """An older program keeps its hands off."""
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer version"):
        database.migrate()


def test_tables_of_another_version_are_not_written(database):
    """As where a service goes on while another one upgrades them: nothing is given up for it."""
    assert newest()[0] == REVISION
    ledger = Ledger(database)
    m.settle(ledger, m.sent(m.event(1), 1))
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="version 9999") as told:
        m.settle(ledger, m.sent(m.event(2), 2))
    assert "newer version" in told.value.hint
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :own"), {"own": REVISION})
    assert m.settle(ledger, m.sent(m.event(2), 2)).messages == 1


def test_tables_are_not_changed_while_somebody_writes_them(postgres_url):
    """Whoever migrates waits for what is being written, and the other way round."""
    found = Database(postgres_url)
    begun, go = threading.Event(), threading.Event()

    def write():
        with found.writing():
            begun.set()
            go.wait(PATIENCE_S)

    writing = threading.Thread(target=write)
    migrating = threading.Thread(target=found.migrate)
    writing.start()
    assert begun.wait(PATIENCE_S)
    migrating.start()
    waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with found.reading() as connection:
        wait_until(lambda: connection.execute(waits).scalar() == 1)
    go.set()
    for one in (writing, migrating):
        one.join(PATIENCE_S)
        assert not one.is_alive()
    found.close()


def test_a_database_that_is_away_is_told_in_words(tmp_path):
    """With a hint, and without the password."""
    away = Database("postgresql://nobody:secret@127.0.0.1:9/none")
    with pytest.raises(StoreError) as told:
        away.now()
    assert told.value.hint and "secret" not in str(told.value)
    with pytest.raises(StoreError, match="none that is known"):
        Database("oracle://x/y")


def test_what_the_database_says_comes_with_what_to_do_about_it(tmp_path, database):
    """Not with the same words for a table that is missing as for a full disk."""
    with pytest.raises(StoreError, match="--check says so"), database.reading() as connection:
        connection.execute(text("SELECT * FROM nowhere"))
    odd = tmp_path / "odd.db"
    odd.write_text("this is no database, whatever its name says", encoding="utf-8")
    other = Database(str(odd))
    with pytest.raises(StoreError, match="restore a backup"):
        other.migrate()
    other.close()
