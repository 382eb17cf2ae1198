"""Nothing that was accepted is forgotten in silence, whatever the disk does."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import fields
from itertools import pairwise

import pytest

from agent.errors import StoreError
from agent.runtime import backlog as backlog_module
from agent.runtime.backlog import Backlog
from agent.runtime.storing import Storing
from agent.runtime.supervisor import Supervisor
from agent.store import Acknowledgement, Batch, HookMessage, Reader
from agent.types import Block
from tests.store.helpers import assert_accounts, block, command, event, message, open_store
from tests.waiting import PATIENCE_S


class Disk:
    """A store's writer whose commit fails at will, as the disk would make it."""

    def __init__(self, store):
        self.store, self.failing, self.calls = store, None, 0
        self._commit = store._writer._commit
        store._writer._commit = self.commit

    def commit(self, batch):
        self.calls += 1
        if self.failing is not None:
            raise self.failing
        self._commit(batch)


@pytest.fixture
async def kept(tmp_path):
    path = tmp_path / "fieldwarden.db"
    store = open_store(path)
    losses = []
    storing = Storing(store, Supervisor(lambda: 0), tmp_path / "fieldwarden.lost", losses.extend)
    yield storing, Disk(store), path, losses
    await store.close()


async def settled(storing):
    storing.step()
    await storing._task


def batch(sequence, n=3):
    return Batch(entries=[block(sequence, n=n)], events=[(sequence, 0, event(sequence))],
                 messages=[message(text=str(sequence), event=(sequence, 0))])  # fmt: skip


def test_no_part_of_a_batch_is_lost_on_its_way_to_the_store():
    """Whatever fields a batch has: of two that wait both are there, in one commit or the next."""
    one, other = ({
        "entries": [block(n)], "events": [(n, 0, event(n))], "summaries": [{"n": n}],
        "messages": [message(text=str(n))], "documents": {f"d{n}": n}, "snapshot": (n, b"x"),
        "delivered": [n], "rejected": {n: "x"}, "acknowledged": [Acknowledgement(n, "event", 1)],
        "pins": {"m": n}, "hooks": [HookMessage("h", (n, 0), n, b"{}")],
        "hooks_done": {("h", n, 0): ""},
    } for n in (1, 2))  # fmt: skip
    assert one.keys() == {field.name for field in fields(Batch)}
    kept = Backlog()
    kept.add(Batch(**one))
    kept.begin()
    kept.add(Batch(**other))
    kept.failed()
    found = kept.begin()
    for name, value in one.items():
        joined = getattr(found, name)
        if isinstance(value, list):
            assert joined == value + other[name], name
        elif name in {"snapshot", "pins"}:
            assert joined == other[name], name
        else:
            assert joined == value | other[name], name
    later = Backlog()
    later.add(Batch(**one))
    later.add(Batch())
    assert later.begin().pins == {"m": 1}


FAULTS = {
    "full": OSError(28, "No space left on device"),
    "worn": OSError(5, "Input/output error"),
    "read-only": OSError(30, "Read-only file system"),
    "SQLite": sqlite3.OperationalError("disk I/O error"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_a_disk_does_not_take_waits_and_is_stored_in_order(kept, fault):
    """Trouble is told once; nobody hears that something is safe before it is; then all is there."""
    storing, disk, path, losses = kept
    safe = []
    disk.failing = FAULTS[fault]
    for sequence in range(1, 6):
        storing.backlog.add(batch(sequence), (lambda s=sequence: safe.append(s),))
        await settled(storing)
    assert storing.trouble["text"] and safe == [] and storing.attempts == 5
    disk.failing = None
    storing.backlog.add(batch(6))
    await settled(storing)
    assert (storing.trouble, safe, losses) == ({}, [1, 2, 3, 4, 5], [])
    reader = Reader(path)
    assert [entry.sequence for entry in reader.journal()] == [1, 2, 3, 4, 5, 6]
    assert len(reader.events(100)) == 6
    reader.close()
    assert_accounts(path)


@pytest.mark.parametrize("every", [1, 2, 3, 5])
async def test_an_error_at_any_statement_loses_and_doubles_nothing(kept, every):
    """Each Nth statement of the writer fails for a while: the books agree, all is there once."""
    storing, disk, path, _ = kept
    writer = disk.store._writer
    del writer._commit  # the real one
    real, count = writer.connection, 0

    class Failing:
        def __getattr__(self, name):
            return getattr(real, name)

        def execute(self, *arguments):
            nonlocal count
            count += 1
            if arguments[0] != "ROLLBACK" and count % (7 * every) == 0 and count < 400:
                raise sqlite3.OperationalError("disk I/O error")
            return real.execute(*arguments)

    failing = Failing()
    writer.connection = writer._outbox._connection = writer._findings._connection = failing
    for sequence in range(1, 31):
        storing.backlog.add(batch(sequence))
        await settled(storing)
    async with asyncio.timeout(PATIENCE_S):
        while not storing.backlog.empty:
            await settled(storing)
    writer.connection = real
    reader = Reader(path)
    assert [entry.sequence for entry in reader.journal()] == list(range(1, 31))
    assert [row.seq for row in reader.pending()] == list(range(1, 31))
    reader.close()
    assert assert_accounts(path)["pending"] == 30


async def test_memory_is_bounded_and_what_had_to_go_is_told(kept, monkeypatch):
    """The oldest samples go first, counted; the journal stays without a gap."""
    monkeypatch.setattr(backlog_module, "MOST_ENTRIES", 40)
    monkeypatch.setattr(backlog_module, "MOST_ROWS", 10)
    storing, disk, path, losses = kept
    storing.backlog = Backlog(most_samples=100)
    disk.failing = FAULTS["full"]
    for sequence in range(1, 101):
        storing.backlog.add(batch(sequence, n=10))
        await settled(storing)
    assert storing.backlog.describe()["count"] <= 100
    assert storing.backlog.describe()["entries"] <= 41
    disk.failing = None
    await settled(storing)
    told = {loss["unit"]: loss["count"] for loss in losses}
    assert told["samples"] == 900 and told["messages"] >= 80 and told["entries"] > 0
    assert all("No space left" in loss["reason"] for loss in losses)
    reader = Reader(path)
    entries = list(reader.journal())
    reader.close()
    samples = [one for one in entries if isinstance(one, Block) and len(one)]
    assert [one.sequence for one in samples] == list(range(91, 101))
    assert all(a.sequence < b.sequence for a, b in pairwise(entries))
    assert entries[-1].sequence == 100


async def test_a_row_that_no_store_takes_does_not_keep_the_others(kept):
    """A document that is no JSON is left out, said, and the entries are stored."""
    storing, _, path, _ = kept
    poison = batch(1)
    poison.documents["status"] = {"x": {1j: 2}}
    storing.backlog.add(poison)
    await settled(storing)
    assert storing.trouble == {}
    reader = Reader(path)
    assert [entry.sequence for entry in reader.journal()] == [1]
    reader.close()


async def test_the_last_commit_is_tried_again(kept):
    """The disk comes back within the time of a stop: all is stored, nothing is noted."""
    storing, disk, path, _ = kept
    disk.failing = FAULTS["worn"]
    storing.backlog.add(batch(1))
    await settled(storing)
    storing.backlog.add(batch(2))
    asyncio.get_running_loop().call_later(0.3, lambda: setattr(disk, "failing", None))
    await storing.end(10.0)
    assert storing.noted() is None
    reader = Reader(path)
    assert [entry.sequence for entry in reader.journal()] == [1, 2]
    reader.close()


async def test_what_a_stop_could_not_store_is_said_and_noted(kept, caplog):
    """Bounded: then the log says how much of when, and the next start finds the note."""
    storing, disk, _, _ = kept
    disk.failing = FAULTS["full"]
    storing.backlog.add(batch(1))
    await settled(storing)
    storing.backlog.add(Batch(entries=[command(2, code=1, text="x"), block(3, n=4)]))
    await storing.end(0.6)
    said = caplog.records[-1].getMessage()
    assert "7 samples in 3 entries, 1 events, from 1001 to 3001 ns" in said
    told = storing.noted()
    assert told["count"] == 7 and "No space left" in told["reason"]
    json.dumps(told)
    storing.forget_note()
    assert storing.noted() is None
    disk.failing = None


async def test_a_store_error_says_what_to_do(kept):
    """The hint of a full disk reaches the status."""
    storing, disk, _, _ = kept
    disk.failing = StoreError("committing to", "x.db", "it is full", "free space")
    storing.backlog.add(batch(1))
    await settled(storing)
    assert storing.trouble == {"text": "committing to x.db: it is full", "hint": "free space"}
    disk.failing = None
