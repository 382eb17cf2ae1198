"""A damaged, missing or replaced store is set aside, salvaged and told of: no start ends there."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shutil
import sqlite3
import time

import pytest

from agent.errors import StoreError
from agent.store import soundness
from tests.store.helpers import (
    Batch,
    Reader,
    assert_accounts,
    block,
    event,
    message,
    open_store,
)

LAST = 90
SNAPSHOT = 20


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "fieldwarden.db"


async def filled(path, *, killed=False):
    """A store with `LAST` entries; `killed`: as a power cut leaves it, with its log."""
    store = open_store(path)
    ids = store.tag_ids(["a", "b", "c"])
    for sequence in range(1, LAST + 1):
        await store.commit(
            Batch(
                entries=[block(sequence, n=300)],
                events=[(sequence, 0, event(sequence, text="x" * 50))],
                messages=[message(text=f"{sequence} " * 20, event=(sequence, 0))],
                documents={"status": {"n": sequence}},
                snapshot=(sequence, b"state") if sequence == SNAPSHOT else None,
            )
        )
    identity = store.store_id, store.boot
    if killed:
        shutil.copytree(path.parent, path.parent.with_name("image"))
    await store.close()
    if killed:
        shutil.rmtree(path.parent)
        path.parent.with_name("image").rename(path.parent)
        path.with_name(path.name + "-shm").unlink()
    return identity, ids


def overwrite(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def noise(path, pages):
    chance = random.Random(5)
    for _ in range(pages):
        page = chance.randrange(1, path.stat().st_size // 4096)
        overwrite(path, 4096 * page, chance.randbytes(4096))


def change(path, *statements):
    """In the file itself, with nothing left in its log."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def folder_in_place(path):
    path.unlink()
    path.mkdir()
    (path / "note").write_text("x")


def foreign(path):
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE journal (x)")


def flip_log(path):
    log = path.with_name(path.name + "-wal")
    middle = log.stat().st_size // 2
    byte = log.read_bytes()[middle]
    overwrite(log, middle, bytes([byte ^ 1]))


# what is done to the file, whether its log is there, what a start must still find
DAMAGE = {
    "header zeroed": (lambda path: overwrite(path, 0, bytes(100)), False, "all"),
    "first page zeroed": (lambda path: overwrite(path, 0, bytes(4096)), False, "all"),
    "cut off": (lambda path: os.truncate(path, path.stat().st_size * 2 // 3), False, "some"),
    "cut within a page": (lambda path: os.truncate(path, 30_000), False, "any"),
    "noise in pages": (lambda path: noise(path, 4), False, "any"),
    "noise all over": (lambda path: noise(path, 400), False, "any"),
    "empty": (lambda path: os.truncate(path, 0), False, "none"),
    "removed": (lambda path: path.unlink(), False, "none"),
    "log alone": (lambda path: path.unlink(), True, "all"),
    "log flipped": (flip_log, True, "some"),
    "log cut": (lambda path: os.truncate(path.with_name(path.name + "-wal"), 50_000), True, "any"),
    "a folder": (folder_in_place, False, "none"),
    "another program's": (foreign, False, "none"),
    "a text": (lambda path: path.write_text("hello " * 1000), False, "none"),
}


@pytest.mark.parametrize("kind", DAMAGE)
async def test_whatever_is_in_its_place_a_start_has_a_store(path, kind):
    """It begins anew, under its own name, with numbers and ids that were never given before."""
    damage, killed, expected = DAMAGE[kind]
    (store_id, boot), ids = await filled(path, killed=killed)
    damage(path)
    store = open_store(path)
    (loss,) = store.take_losses()
    reader = Reader(path)
    *tail, lost = reader.journal()
    assert (store.store_id, lost.kind, lost.data["reason"]) == (store_id, "lost", loss["reason"])
    assert store.boot > boot
    assert store.last_sequence == lost.sequence == LAST + 1
    if lost.data["unit"] == "entries":
        assert lost.data["count"] == LAST - len(tail)
    else:
        assert lost.data["count"] and len(tail) == LAST
    told = {one["sequence"] for one in reader.events(1000)}
    if expected in ("all", "some"):
        assert store.tag_ids(["c", "b", "a"]) == ids
        assert reader.snapshot() == (SNAPSHOT, b"state")
        assert [one.sequence for one in tail] == list(range(1, lost.data["first"]))
    if expected == "all":
        assert told == set(range(1, LAST + 1)) and loss["count"] == 0
        assert reader.document("status") == {"n": LAST}
    elif expected == "some":
        assert told and told < set(range(1, LAST + 1))
    elif expected == "none":
        assert loss["count"] == LAST and not told
    fresh = store.tag_ids(["a new one"])["a new one"]
    assert fresh not in ids.values()
    assert_accounts(path)
    reader.close()
    await store.commit(Batch(entries=[block(store.last_sequence + 1)]))
    await store.close()
    again = open_store(path)
    assert again.take_losses() == []
    await again.close()
    if kind != "removed":
        assert (path.parent / loss["set_aside"]).exists()


async def test_what_was_told_before_a_damage_is_not_told_again(path):
    """Rows of events that are lost come again of the fold; central has them under other numbers."""
    await filled(path)
    change(path, "DELETE FROM event WHERE sequence > 50")
    overwrite(path, 0, bytes(4096))
    store, reader = open_store(path), Reader(path)
    waiting = reader.counters()["pending"]
    refold = Batch(
        events=[(60, 0, event(60))], messages=[message(text="again", event=(60, 0))]
    )
    await store.commit(refold)
    assert reader.counters()["pending"] == waiting
    assert 60 in {one["sequence"] for one in reader.events(1000)}
    last = store.last_sequence  # of the entry that tells of the loss: nobody has folded it yet
    news = Batch(events=[(last, 0, event(last))], messages=[message(text="new", event=(last, 0))])
    await store.commit(news)
    assert reader.counters()["pending"] == waiting + 1
    reader.close()
    await store.close()


async def test_entries_before_a_hole_that_no_state_bridges_are_told_as_lost(path):
    """They can be read, and yet are of no use: judgement goes on behind the hole."""
    await filled(path)
    change(path, "DELETE FROM snapshot", "DELETE FROM journal WHERE sequence BETWEEN 40 AND 45")
    store, reader = open_store(path), Reader(path)
    *kept, lost = reader.journal()
    assert [one.sequence for one in kept] == list(range(46, LAST + 1))
    assert (lost.data["first"], lost.data["count"], lost.data["complete"]) == (1, 45, False)
    reader.close()
    await store.close()


@pytest.mark.parametrize(("table", "unit"), [("tag", "names of tags"), ("outbox", "messages")])
async def test_names_and_messages_that_are_lost_are_told_too(path, table, unit):
    """Samples without the name of their tag are found by nobody; central waits for a message."""
    await filled(path)
    change(path, f"DELETE FROM {table} WHERE id > 1")
    overwrite(path, 0, bytes(4096))
    store = open_store(path)
    (loss,) = store.take_losses()
    assert (loss["count"] > 0, loss["unit"]) == (True, unit)
    await store.close()


async def test_any_damage_at_all_leaves_a_store_that_starts(path):
    """Noise of any size at any place: each start has a store that counts on and takes entries."""
    await filled(path)
    good = path.read_bytes()
    head = path.with_suffix(".head").read_bytes()
    chance = random.Random(11)
    for _ in range(25):
        data = bytearray(good)
        for _ in range(chance.choice((1, 1, 3, 20))):
            size = chance.choice((1, 8, 100, 4096, 20_000))
            start = chance.randrange(len(data))
            data[start : start + size] = chance.randbytes(len(data[start : start + size]))
        if chance.random() < 0.3:
            data = data[: chance.randrange(len(data))]
        for one in path.parent.iterdir():
            one.unlink()
        path.write_bytes(data)
        path.with_suffix(".head").write_bytes(head)
        store = open_store(path)
        assert store.last_sequence in (LAST, LAST + 1)
        await store.commit(Batch(entries=[block(store.last_sequence + 1)]))
        reader = Reader(path)
        reader.events(1000)
        reader.snapshot()
        reader.close()
        await store.close()


@pytest.mark.parametrize("name", [b"account", b"journal", b"counter", b"position"])
async def test_a_name_in_the_schema_that_is_no_text_any_more_is_damage_too(path, name):
    """Wherever it stands: of a table, in its definition, of a column."""
    await filled(path)
    good, head = path.read_bytes(), path.with_suffix(".head").read_bytes()
    places = [match.start() for match in re.finditer(name, good)]
    for place in places[:12]:
        for one in path.parent.iterdir():
            one.unlink()
        path.write_bytes(good[:place] + b"\xea" + good[place + 1 :])
        path.with_suffix(".head").write_bytes(head)
        store = open_store(path)
        assert store.last_sequence in (LAST, LAST + 1)
        await store.commit(Batch(entries=[block(store.last_sequence + 1)]))
        await store.close()


async def test_few_damaged_files_are_kept(path):
    """A disk is not filled with what was set aside: the latest two stay."""
    await filled(path)
    for _ in range(4):
        path.write_bytes(b"noise" * 1000)
        await open_store(path).close()
    found = [one for one in path.parent.glob("*.damaged-*") if "-wal" not in one.name]
    assert len(found) == 2


async def test_the_look_at_a_large_store_is_bounded(path):
    """After its time the rest is taken to be sound: no start waits for a whole disk to be read."""
    await open_store(path).close()
    with sqlite3.connect(path) as connection:
        rows = ((one, one, "text", os.urandom(4000)) for one in range(1, 10_000))
        connection.executemany("INSERT INTO journal VALUES (?, ?, ?, ?)", rows)
        connection.execute("UPDATE counter SET value = 5 WHERE name = 'last_sequence'")
    connection.close()
    assert "journal ends with" in soundness.examine(path, None)
    began = time.monotonic()
    assert soundness.examine(path, None, budget_s=0.0) == ""
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("removed", ["file", "folder", "log", "replaced"])
async def test_a_store_that_goes_while_it_is_in_use_is_made_again(path, removed):
    """The next commit notices, goes on in a new file with all that there was, and tells of it."""
    (store_id, boot), ids = await filled(path)
    store = open_store(path)
    reader = Reader(path)
    await store.commit(Batch(entries=[block(LAST + 1)]))
    if removed == "file":
        path.unlink()
    elif removed == "folder":
        shutil.rmtree(path.parent)
    elif removed == "log":
        path.with_name(path.name + "-wal").unlink()
    else:
        path.unlink()
        path.write_bytes(b"something else")
    await store.commit(Batch(entries=[block(LAST + 2)], snapshot=(LAST + 2, b"new")))
    (loss,) = store.take_losses()
    assert "while it was in use" in loss["reason"]
    assert (store.store_id, store.last_sequence) == (store_id, LAST + 2)
    assert store.tag_ids(["a", "b", "c"]) == ids
    assert {one["sequence"] for one in reader.events(1000)} == set(range(1, LAST + 1))
    assert reader.snapshot() == (LAST + 2, b"new")
    assert [one.sequence for one in reader.journal()][-2:] == [LAST + 1, LAST + 2]
    reader.close()
    with pytest.raises(StoreError, match="another process"):
        open_store(path)
    await store.close()
    again = open_store(path)
    assert (again.take_losses(), again.boot > boot) == ([], True)
    await again.close()
    assert_accounts(path)


async def test_damage_that_shows_at_a_commit_is_mended_there(path):
    """A page that goes bad in service: the same batch is committed to a new store."""
    await filled(path)
    store = open_store(path)
    await store.commit(Batch(entries=[block(LAST + 1)]))
    await store._in_thread(
        lambda: store._writer.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    )
    for page in range(1, path.stat().st_size // 4096):
        overwrite(path, 4096 * page, b"\xff" * 4096)
    await store._in_thread(
        lambda: store._writer.connection.execute("PRAGMA shrink_memory").fetchall()
    )
    await store.commit(Batch(entries=[block(LAST + 2)], events=[(LAST + 2, 0, event(1))]))
    (loss,) = store.take_losses()
    assert loss["part"] == "store"
    assert store.last_sequence == LAST + 2
    await store.close()
    assert_accounts(path)
