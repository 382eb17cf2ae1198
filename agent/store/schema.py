"""The store's tables, as named migrations, each applied and recorded in one transaction.

A migration that was ever released is never edited: append another. A store that holds a migration
this program does not know was written by a newer one, and is refused.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from agent.errors import StoreError

MIGRATIONS = Migrations("fieldwarden")
NAMES = ("0001_journal", "0002_findings", "0003_outbox")


@MIGRATIONS(name="0001_journal")
def _journal(db: Database) -> None:
    db.table("counter").create({"name": str, "value": int}, pk="name", strict=True)
    db.table("identity").create({"name": str, "value": str}, pk="name", strict=True)
    db.table("boot").create({"number": int, "first_sequence": int}, pk="number", strict=True)
    # AUTOINCREMENT: an id is never given a second time, not even after a deletion.
    db.execute("CREATE TABLE tag (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE)")
    db.table("journal").create(
        {"sequence": int, "sealed_ns": int, "kind": str, "data": bytes}, pk="sequence", strict=True
    )
    db.table("snapshot").create(
        {"sequence": int, "checksum": int, "state": bytes}, pk="sequence", strict=True
    )
    db.table("document").create({"name": str, "data": str}, pk="name", strict=True)


@MIGRATIONS(name="0002_findings")
def _findings(db: Database) -> None:
    event = {"sequence": int, "position": int, "kind": str, "time_ns": int, "subject": str}
    db.table("event").create({**event, "data": str}, pk=("sequence", "position"), strict=True)
    db.table("event").create_index(["kind", "sequence", "position"])
    window = {"model": str, "tag": str, "start_ns": int, "baseline": str, "end_ns": int}
    db.table("summary").create({"id": int, **window, "data": str}, pk="id", strict=True)
    db.table("summary").create_index(["model", "tag", "start_ns", "baseline"], unique=True)


@MIGRATIONS(name="0003_outbox")
def _outbox(db: Database) -> None:
    # AUTOINCREMENT: the acknowledgement of a row that was replaced must not hit another one.
    db.execute(
        """
        CREATE TABLE outbox (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            boot INTEGER NOT NULL,
            stream TEXT NOT NULL,
            seq INTEGER NOT NULL,
            topic TEXT NOT NULL,
            payload BLOB NOT NULL,
            time_ns INTEGER NOT NULL,
            retain INTEGER NOT NULL,
            expiry_s INTEGER,
            replace_key TEXT,
            messages INTEGER NOT NULL,  -- how many messages it stands for, more than 1 when merged
            covers TEXT,                -- JSON [[first, last], ...]: seqs it holds besides its own
            level INTEGER NOT NULL      -- 0 as told, 1 merged to hours, 2 to days
        ) STRICT
        """
    )
    db.execute("CREATE INDEX outbox_oldest ON outbox (stream, time_ns)")
    db.execute("CREATE INDEX outbox_level ON outbox (level, id) WHERE stream = 'summary'")
    db.execute("CREATE INDEX outbox_key ON outbox (replace_key) WHERE replace_key IS NOT NULL")


def migrate(connection: sqlite3.Connection, subject: str) -> None:
    """Bring the tables up to date.

    Raises:
        StoreError: written by a newer version of this program.
    """
    db = Database(connection, execute_plugins=False)
    applied = [migration.name for migration in MIGRATIONS.applied(db)]
    unknown = [name for name in applied if name not in NAMES]
    if unknown:
        raise StoreError(
            "opening the store",
            subject,
            f"a newer version wrote it ({', '.join(unknown)})",
            "install that version again, or move the file aside to begin a new store",
        )
    MIGRATIONS.apply(db)
