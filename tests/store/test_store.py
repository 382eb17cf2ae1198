"""The store keeps what it accepted, once, in order, across crashes, and opens only where it may."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest

from agent.errors import StoreError
from agent.store import schema
from tests.store.helpers import (
    Batch,
    Reader,
    assert_accounts,
    block,
    command,
    event,
    message,
    open_store,
    summary,
    summary_message,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "fieldwarden.sqlite"


@pytest.fixture
async def store(path):
    store = open_store(path)
    yield store
    await store.close()


async def test_the_store_is_kept_from_other_users(path, store):
    """The owner writes, the group reads, nobody else does: also what SQLite makes beside it, and
    whatever the umask is.
    """
    await store.commit(Batch(entries=[block(1)]))
    before = os.umask(0)
    try:
        other = open_store(path.with_name("other.db"))
        await other.commit(Batch(entries=[block(1)]))
        modes = {one.name: one.stat().st_mode & 0o777 for one in path.parent.iterdir()}
        await other.close()
    finally:
        os.umask(before)
    assert {"other.db", "other.db-wal", "other.head", path.name} <= modes.keys()
    assert {name: oct(mode) for name, mode in modes.items() if mode & 0o027} == {}
    assert modes["other.db"] == modes[path.name] == 0o640


async def test_journal_gives_back_what_was_committed(path, store):
    """Blocks and commands come back in order and equal; the boot, sequence and time go on."""
    entries = [block(1), command(2, code=1, text="läuft"), block(3, n=0), block(4, n=500)]
    await store.commit(Batch(entries=entries[:2]))
    await store.commit(Batch(entries=entries[2:]))
    read = list(Reader(path).journal())
    assert [e.sequence for e in read] == [1, 2, 3, 4]
    assert read[1] == entries[1]
    for got, put in ((read[0], entries[0]), (read[2], entries[2]), (read[3], entries[3])):
        for column in ("tag", "source_ns", "arrival_ns", "value", "quality"):
            assert np.array_equal(getattr(got, column), getattr(put, column))
    assert [e.sequence for e in Reader(path).journal(3)] == [3, 4]
    assert (store.boot // 1_000_000, store.last_sequence, store.last_time_ns) == (1, 4, 4001)
    await store.close()
    again = open_store(path)
    assert (again.boot // 1_000_000, again.last_sequence, again.last_time_ns) == (2, 4, 4001)
    assert again.store_id == store.store_id
    await again.close()


async def test_a_gap_in_the_journal_is_refused(path, store):
    """An entry that does not continue the journal is refused, and nothing of its batch is kept."""
    await store.commit(Batch(entries=[block(1)]))
    with pytest.raises(StoreError, match="gap"):
        await store.commit(Batch(entries=[block(3)], documents={"status": 1}))
    assert store.last_sequence == 1
    assert Reader(path).document("status") is None
    await store.commit(Batch(entries=[block(2)]))
    assert store.last_sequence == 2


async def test_commit_of_a_refold_inserts_nothing_twice(path, store):
    """The same entries, events, summaries and their messages again change nothing."""
    window = summary(0)

    def batch():
        return Batch(
            entries=[block(1), block(2)],
            events=[(1, 0, event(5, text="a")), (2, 0, event(6, text="b"))],
            summaries=[window],
            messages=[
                message(text="a", event=(1, 0)),
                message(text="b", event=(2, 0)),
                summary_message(window),
            ],
        )

    await store.commit(batch())
    await store.commit(batch())
    partly = batch()
    partly.events.append((2, 1, event(7, text="c")))
    partly.messages.append(message(text="c", event=(2, 1)))
    await store.commit(partly)
    reader = Reader(path)
    assert [(e["sequence"], e["position"]) for e in reader.events(after=(0, 0))] == [
        (1, 0),
        (2, 0),
        (2, 1),
    ]
    assert [row.seq for row in reader.pending() if row.stream == "event"] == [1, 2, 3]
    assert len(reader.summaries()) == 1
    assert assert_accounts(path)["received"] == 4


async def test_a_window_that_comes_twice_is_kept_twice_where_time_went_back(path, store):
    """Two entries closed a window of one start: both stay, and a fold of both again adds none."""
    twice = [summary(0, total=1) | {"entry": 7}, summary(0, total=2) | {"entry": 9}]
    for _ in range(2):
        await store.commit(Batch(summaries=twice, messages=[summary_message(w) for w in twice]))
    reader = Reader(path)
    assert len(reader.summaries()) == 2
    assert len(reader.pending()) == 2
    assert "entry" not in reader.summaries()[0]


async def test_a_window_of_an_older_version_is_not_taken_for_another(path, store):
    """It did not note which entry closed it; folded again by this one, it is the same window."""
    await store.commit(Batch(summaries=[summary(0)]))
    await store.commit(Batch(summaries=[summary(0) | {"entry": 7}]))
    assert len(Reader(path).summaries()) == 1


async def test_events_are_read_newest_first_by_kind_or_onwards(path, store):
    """`events` gives the newest first, filters by kind, and goes on after an identity."""
    await store.commit(
        Batch(
            entries=[block(1)],
            events=[
                (1, i, event(i, kind="finding" if i % 2 else "condition", n=i)) for i in range(6)
            ],
        )
    )
    reader = Reader(path)
    assert [e["data"]["n"] for e in reader.events(2)] == [5, 4]
    assert [e["data"]["n"] for e in reader.events(9, kind="finding")] == [5, 3, 1]
    assert [e["data"]["n"] for e in reader.events(2, after=(1, 2))] == [3, 4]


async def test_tag_ids_are_given_once(path, store):
    """A tag keeps its id for ever, whatever is asked in which order, also across boots."""
    first = store.tag_ids(["b", "a", "b"])
    more = store.tag_ids(["c", "a"])
    assert set(first) == {"a", "b"}
    assert more["a"] == first["a"]
    assert more["c"] not in first.values()
    await store.close()
    again = open_store(path)
    assert again.tag_ids(["c", "b", "a"]) == {**first, **more}
    await again.close()
    assert Reader(path).tag_ids() == {**first, **more}


async def test_documents_and_snapshots_replace(path, store):
    """A document replaces the one of its name; the newest snapshot is read."""
    state = os.urandom(10_000)
    await store.commit(Batch(entries=[block(1)], documents={"status": {"n": 1}, "x": [1]}))
    await store.commit(Batch(documents={"status": {"n": 2}}, snapshot=(1, b"old")))
    await store.commit(Batch(entries=[block(2)], snapshot=(2, state)))
    reader = Reader(path)
    assert reader.document("status") == {"n": 2}
    assert reader.document("x") == [1]
    assert reader.document("nothing") is None
    assert reader.snapshot() == (2, state)


async def test_a_damaged_snapshot_gives_way_to_the_one_before(path, store, caplog):
    """Where the newest snapshot's checksum is wrong, the older one is used; the log says so."""
    await store.commit(Batch(entries=[block(1)], snapshot=(1, b"older")))
    await store.commit(Batch(entries=[block(2)], snapshot=(2, b"newer")))
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE snapshot SET state = x'00' WHERE sequence = 2")
    assert Reader(path).snapshot() == (1, b"older")
    (record,) = caplog.records
    assert "the snapshot of entry 2 is damaged" in record.getMessage()


async def test_a_snapshot_that_can_not_be_unpacked_is_damaged_too(path, store):
    """Its checksum may be right: none is better than an exception that no start survives."""
    await store.commit(Batch(entries=[block(1)], snapshot=(1, b"state")))
    await store.close()
    with sqlite3.connect(path) as connection:
        broken = b"not packed"
        connection.execute(
            "UPDATE snapshot SET state = ?, checksum = ?", (broken, zlib.crc32(broken))
        )
    assert Reader(path).snapshot() is None


async def test_journal_is_trimmed_by_bytes_but_never_past_the_older_snapshot(path):
    """The oldest entries go at the limit; what a start may need stays, however large."""
    store = open_store(path, journal=20_000)
    for sequence in range(1, 101):
        await store.commit(Batch(entries=[block(sequence, n=100)]))
    assert next(Reader(path).journal()).sequence == 1
    await store.commit(Batch(snapshot=(60, b"s")))
    await store.commit(Batch(snapshot=(90, b"s")))
    for sequence in range(101, 111):
        await store.commit(Batch(entries=[block(sequence, n=100)]))
    kept = [entry.sequence for entry in Reader(path).journal()]
    assert kept == list(range(61, 111))
    await store.commit(Batch(snapshot=(110, b"s")))
    await store.commit(Batch(snapshot=(111, b"s")))
    kept = [entry.sequence for entry in Reader(path).journal()]
    assert kept[-1] == 110
    assert 5 < len(kept) < 25
    assert_accounts(path)
    assert store.last_sequence == 110
    await store.close()


async def test_last_sequence_survives_an_empty_journal(path):
    """Sequences go on after everything was trimmed away: none is ever given twice."""
    store = open_store(path, journal=1)
    await store.commit(Batch(entries=[block(1), block(2)], snapshot=(2, b"")))
    await store.close()
    store = open_store(path, journal=1)
    assert list(Reader(path).journal()) == []
    assert (store.last_sequence, store.last_time_ns) == (2, 2001)
    await store.close()


async def test_a_second_writer_is_refused(path, store):
    """Two processes, or two agents in one, never write one store."""
    with pytest.raises(StoreError, match="another process"):
        open_store(path)


async def test_a_store_of_a_newer_version_is_refused(path):
    """An unknown migration means a newer program: nothing is touched, the error says so."""
    await open_store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name) VALUES ('fieldwarden', '0999_x')"
        )
    with pytest.raises(StoreError, match="newer version wrote it"):
        open_store(path)


async def test_a_failing_migration_leaves_the_store_as_it_was(path, monkeypatch):
    """A migration is all or nothing, and is done at the next opening."""
    await open_store(path).close()

    def broken(db):
        db.execute("CREATE TABLE half (x)")
        raise sqlite3.OperationalError("no")

    migrations = schema.MIGRATIONS._migrations
    monkeypatch.setattr(schema, "NAMES", (*schema.NAMES, "0100_later"))
    monkeypatch.setattr(
        schema.MIGRATIONS,
        "_migrations",
        [*migrations, schema.MIGRATIONS._Migration("0100_later", broken)],
    )
    with pytest.raises(StoreError, match="no"):
        open_store(path)
    monkeypatch.setattr(schema.MIGRATIONS, "_migrations", migrations)
    store = open_store(path)
    assert Reader(path)._all("SELECT name FROM sqlite_master WHERE name = 'half'") == []
    await store.close()


def test_every_migration_is_listed():
    """The list of known names is the list of migrations, in order."""
    assert tuple(m.name for m in schema.MIGRATIONS._migrations) == schema.NAMES


def test_a_missing_store_can_not_be_read(tmp_path):
    """A reader makes no store: it says that there is none."""
    with pytest.raises(StoreError, match="no such file"):
        Reader(tmp_path / "missing.sqlite")


async def test_durability_settings(store):
    """The writer runs with WAL and synchronous=FULL; anything less loses acknowledged rows."""
    connection = store._writer.connection
    pragmas = await store._in_thread(
        lambda: [
            connection.execute(f"PRAGMA {p}").fetchone()[0] for p in ("journal_mode", "synchronous")
        ]
    )
    assert pragmas == ["wal", 2]


async def test_a_failed_commit_changes_nothing_and_can_be_tried_again(path, store):
    """After an error in the middle all is as before, and the batch can be tried again."""
    await store.commit(Batch(entries=[block(1)], messages=[message()]))
    before = assert_accounts(path)
    batch = Batch(entries=[block(2)], messages=[message(), message()], documents={"bad": {1j: 2}})
    with pytest.raises(TypeError):
        await store.commit(batch)
    assert assert_accounts(path) == before
    assert store.last_sequence == 1
    batch.documents = {}
    await store.commit(batch)
    assert assert_accounts(path)["pending"] == 3
    assert [row.seq for row in Reader(path).pending()] == [1, 2, 3]


async def test_the_reader_works_while_the_writer_writes(path, store):
    """A reader sees each commit as soon as it stands, and nothing of one that does not."""
    reader = Reader(path)
    for sequence in range(1, 30):
        await store.commit(Batch(entries=[block(sequence)], documents={"status": sequence}))
        assert reader.document("status") == sequence
    assert [e.sequence for e in reader.journal()] == list(range(1, 30))


CRASHER = """
import asyncio, sys
from pathlib import Path
from tests.store.helpers import Batch, block, event, message, open_store

async def main(path):
    store = open_store(Path(path))
    for sequence in range(store.last_sequence + 1, 10_000):
        batch = Batch(
            entries=[block(sequence, n=200)],
            events=[(sequence, 0, event(n=sequence))],
            messages=[message(text=str(sequence), event=(sequence, 0))],
        )
        await store.commit(batch)
        print(sequence, flush=True)

asyncio.run(main(sys.argv[1]))
"""


def start_crasher(path):
    command_line = [sys.executable, "-c", textwrap.dedent(CRASHER), str(path)]
    return subprocess.Popen(command_line, stdout=subprocess.PIPE)


async def test_what_was_accepted_survives_sigkill(path):
    """Killed again and again while committing, the store holds all it accepted, once."""
    accepted = 0
    for round_number in range(3):
        process = start_crasher(path)
        for _ in range(20 + 7 * round_number):
            line = await asyncio.to_thread(process.stdout.readline)
            accepted = int(line)
        process.send_signal(signal.SIGKILL)
        process.wait()
        rest = process.stdout.read().split()
        process.stdout.close()
        accepted = int(rest[-1]) if rest else accepted
    reader = Reader(path)
    sequences = [entry.sequence for entry in reader.journal()]
    assert sequences == list(range(1, len(sequences) + 1))
    assert accepted <= len(sequences) <= accepted + 1
    rows = reader.pending(limit=10_000)
    numbers = {}
    for row in rows:
        numbers.setdefault(row.boot, []).append(row.seq)
    assert len(rows) == len(sequences)
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in numbers.values())
    assert reader.boot // 1_000_000 == 3
    assert_accounts(path)


async def test_a_full_disk_gives_up_old_entries_before_it_refuses(path):
    """When the disk is full, the oldest folded entries go and the commit still stands."""
    store = open_store(path, journal=400_000)
    for sequence in range(1, 41):
        await store.commit(Batch(entries=[block(sequence, n=1000)]))
    await store.commit(Batch(snapshot=(39, b"s")))
    await store.commit(Batch(snapshot=(40, b"s")))
    connection = store._writer.connection

    def fill():
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone()

    await store._in_thread(fill)
    for sequence in range(41, 61):
        await store.commit(Batch(entries=[block(sequence, n=1000)], messages=[message()]))
    kept = [entry.sequence for entry in Reader(path).journal()]
    assert kept[-20:] == list(range(41, 61))
    assert kept[0] > 1
    assert assert_accounts(path)["pending"] == 20
    await store.close()


async def test_a_full_disk_without_anything_to_give_up_refuses_and_loses_nothing(path):
    """Where nothing may be deleted the commit fails with a hint; later the same batch works."""
    store = open_store(path)
    await store.commit(Batch(entries=[block(1)]))
    connection = store._writer.connection
    limit = "PRAGMA max_page_count = {}"
    (pages,) = await store._in_thread(lambda: connection.execute("PRAGMA page_count").fetchone())
    await store._in_thread(lambda: connection.execute(limit.format(pages)).fetchone())
    batch = Batch(entries=[block(2, n=5000)])
    with pytest.raises(StoreError, match="free space"):
        await store.commit(batch)
    assert store.last_sequence == 1
    await store._in_thread(lambda: connection.execute(limit.format(10**6)).fetchone())
    await store.commit(batch)
    assert [entry.sequence for entry in Reader(path).journal()] == [1, 2]
    await store.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_store_that_can_not_be_opened_is_moved_aside_only_where_that_may_help(
    path, monkeypatch, number
):
    """On a full disk nobody is told to move a healthy store aside."""

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("agent.store.writer._Writer", refuse)
    with pytest.raises(StoreError) as refused:
        open_store(path)
    assert ("move the file aside" in refused.value.hint) is (number == errno.EACCES)
    assert "free space" in refused.value.hint
