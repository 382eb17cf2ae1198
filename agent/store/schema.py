"""The store's tables, as named migrations, each applied and recorded in one transaction.

A migration that was ever released is never edited: append another. A store that holds a migration
this program does not know was written by a newer one, and is refused.
"""

from __future__ import annotations

import sqlite3
import zlib

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from agent.errors import StoreError

MIGRATIONS = Migrations("fieldwarden")
NAMES = (
    "0001_journal", "0002_findings", "0003_outbox", "0004_delivery", "0006_documents",
    "0010_summary_entry", "0011_account", "0012_block_means",
    "0013_hooks", "0014_acknowledged",
)  # fmt: skip


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


@MIGRATIONS(name="0004_delivery")
def _delivery(db: Database) -> None:
    db.execute("ALTER TABLE outbox ADD COLUMN time_quality TEXT NOT NULL DEFAULT 'unknown'")
    # 0: waits to be sent; else when the broker took it, in seconds of `Outbox`'s own clock.
    db.execute("ALTER TABLE outbox ADD COLUMN sent INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE outbox ADD COLUMN tries INTEGER NOT NULL DEFAULT 0")  # times asked for
    db.execute("CREATE INDEX outbox_number ON outbox (boot, stream, seq)")
    db.execute("CREATE INDEX outbox_waiting ON outbox (id) WHERE sent = 0")
    db.execute("CREATE INDEX outbox_waits_since ON outbox (stream, time_ns) WHERE sent = 0")
    db.execute("CREATE INDEX outbox_sent ON outbox (boot, stream, seq) WHERE sent > 0")
    db.execute("CREATE INDEX outbox_kept ON outbox (id) WHERE sent > 0")
    # Of each run and stream: the last number given, and up to which central has acknowledged.
    db.execute(
        "CREATE TABLE numbers (boot INTEGER NOT NULL, stream TEXT NOT NULL, last INTEGER NOT NULL, "
        "through INTEGER NOT NULL, PRIMARY KEY (boot, stream)) STRICT, WITHOUT ROWID"
    )
    # Until now numbers went on across boots: what lies below a boot's first row was of others.
    db.execute(
        "INSERT INTO numbers SELECT boot, stream, max(seq), min(seq) - 1 FROM outbox "
        "GROUP BY boot, stream"
    )
    db.execute(
        """
        CREATE TABLE dead_letter (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            boot INTEGER NOT NULL,
            stream TEXT NOT NULL,
            seq INTEGER NOT NULL,
            topic TEXT NOT NULL,
            payload BLOB NOT NULL,
            time_ns INTEGER NOT NULL,
            covers TEXT,
            reason TEXT NOT NULL
        ) STRICT
        """
    )


@MIGRATIONS(name="0006_documents")
def _documents(db: Database) -> None:
    # Packed: the status document of 1,000 tags is 250 kB, and is written every few seconds.
    rows = db.execute("SELECT name, data FROM document").fetchall()
    db.execute("DROP TABLE document")
    db.table("document").create({"name": str, "data": bytes}, pk="name", strict=True)
    packed = [(name, zlib.compress(data.encode(), 1)) for name, data in rows]
    db.conn.executemany("INSERT INTO document VALUES (?, ?)", packed)


@MIGRATIONS(name="0010_summary_entry")
def _summary_entry(db: Database) -> None:
    # Engine time may be set back, so that two windows have one start: the entry tells them apart.
    db.execute("ALTER TABLE summary ADD COLUMN entry INTEGER NOT NULL DEFAULT 0")
    db.execute("DROP INDEX idx_summary_model_tag_start_ns_baseline")
    columns = ["model", "tag", "start_ns", "baseline", "entry"]
    db.table("summary").create_index(columns, unique=True)


@MIGRATIONS(name="0011_account")
def _account(db: Database) -> None:
    # One column for each of `account.COLUMNS`.
    db.execute(
        """
        CREATE TABLE account (
            number INTEGER PRIMARY KEY,
            time_ns INTEGER NOT NULL,
            kind TEXT NOT NULL,
            subject TEXT NOT NULL,
            who TEXT NOT NULL,
            why TEXT NOT NULL,
            entry INTEGER NOT NULL,
            position INTEGER NOT NULL,
            evidence TEXT NOT NULL,  -- SHA-256 of the journal's entry
            data TEXT NOT NULL,
            previous TEXT NOT NULL,  -- hash of the record before
            hash TEXT NOT NULL
        ) STRICT
        """
    )


@MIGRATIONS(name="0012_block_means")
def _block_means(db: Database) -> None:
    db.execute(
        """
        CREATE TABLE block_mean (
            id INTEGER PRIMARY KEY,
            model TEXT NOT NULL,
            start_ns INTEGER NOT NULL,
            end_ns INTEGER NOT NULL,
            baseline TEXT NOT NULL,
            entry INTEGER NOT NULL,  -- that closed the window: engine time may be set back
            data BLOB NOT NULL  -- zlib of JSON, of each input by its tag
        ) STRICT
        """
    )
    db.execute(
        "CREATE UNIQUE INDEX block_mean_window ON block_mean (model, start_ns, baseline, entry)"
    )


@MIGRATIONS(name="0013_hooks")
def _hooks(db: Database) -> None:
    # AUTOINCREMENT: what is said of a row that was dropped meanwhile must not hit another one.
    db.execute(
        """
        CREATE TABLE hook_message (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            hook TEXT NOT NULL,
            sequence INTEGER NOT NULL,
            position INTEGER NOT NULL,
            time_ns INTEGER NOT NULL,
            payload BLOB NOT NULL
        ) STRICT
        """
    )
    db.execute("CREATE INDEX hook_message_of ON hook_message (hook, id)")


@MIGRATIONS(name="0014_acknowledged")
def _acknowledged(db: Database) -> None:
    # JSON [[first, last], ...]: what a central has acknowledged above `through` and a hole.
    db.execute("ALTER TABLE numbers ADD COLUMN beyond TEXT NOT NULL DEFAULT '[]'")


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
