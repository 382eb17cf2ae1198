"""The books of `make faults` find what is lost, doubled or dropped in silence."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from agent.core.summary import merge
from agent.store import Batch, Reader, Store
from agent.types import Block, Event, Quality

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "faults"))
from books import Books, Log

S = 1_000_000_000


@dataclass
class Publisher:
    """What a broker acknowledged."""

    sent: int = 0
    acknowledged: set[int] = field(default_factory=set)

    def say(self, *numbers):
        self.acknowledged |= set(numbers)
        self.sent = max(self.sent, *numbers)

    def rest(self):
        pass

    def go_on(self):
        pass


class Sides:
    """A real store at one side, the lines of central at the other."""

    def __init__(self, folder):
        self.path, self.log = folder / "a.db", folder / "central.log"
        self.log.touch()
        self.publisher = Publisher()
        self.books = Books(self.publisher, self.path, Log(self.log))
        self.store = None

    async def open(self):
        self.store = Store.open(
            self.path, journal_limit_bytes=10**8, outbox_limit_bytes=10**8, merge=merge
        )
        self.tag = self.store.tag_ids(["number"])["number"]

    async def journal(self, *numbers, repeated=(), events=()):
        """Numbers in an entry, events with it."""
        n, sequence = len(numbers), self.store.last_sequence + 1
        bits = [int(Quality.REPEATED) if one in repeated else 0 for one in numbers]
        at = np.full(n, sequence * S, np.int64)
        block = Block(
            sequence, sequence * S + 1, np.full(n, self.tag, np.int32), at, at,
            np.array(numbers, np.float64), np.array(bits, np.uint16),
        )  # fmt: skip
        told = [(sequence, i, Event(kind, sequence * S, "tag/a", {})) for i, kind in
                enumerate(events)]  # fmt: skip
        await self.store.commit(Batch(entries=[block], events=told))
        return sequence

    def hear(self, sequence, position=0, stream="event", kind="condition", **data):
        """A line of central."""
        reader = Reader(self.path)
        moment = datetime.fromtimestamp(sequence, UTC).isoformat().replace("+00:00", "Z")
        line = {
            "stream": stream, "store": reader.store_id, "cause": f"{sequence}.{position}",
            "time": moment, "type": f"x.{kind}", "data": data,
        }  # fmt: skip
        reader.close()
        with self.log.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def audit(self):
        return self.books.audit(journal_s=0.2, central_s=0.2)


@pytest_asyncio.fixture
async def sides(tmp_path):
    made = Sides(tmp_path)
    await made.open()
    yield made
    await made.store.close()


async def test_all_there_is_nothing_to_tell(sides):
    """Everything once on both sides; findings stay at home and are not missed."""
    sides.publisher.say(1, 2, 3)
    at = await sides.journal(1, 2, 3, events=("condition", "finding"))
    sides.hear(at)
    found = sides.audit()
    assert (found.accepted, found.delivered, found.lost, found.stored_twice) == (4, 4, 0, 0)
    assert found.duplicates_after_key == found.reported_dropped == 0
    assert not found.notes


async def test_what_is_nowhere_is_lost(sides):
    """An accepted number and a stored event that did not arrive, each by its own."""
    sides.publisher.say(1, 2)
    await sides.journal(1, events=("condition",))
    found = sides.audit()
    assert (found.accepted, found.delivered, found.lost) == (3, 1, 2)
    assert found.notes


@pytest.mark.parametrize("audited", [False, True])
async def test_stored_twice_is_found_also_after_an_audit(sides, audited):
    """A number that comes again counts as stored twice, unless it is marked as a repetition."""
    sides.publisher.say(1, 2, 3)
    await sides.journal(1, 2, 3)
    assert not audited or sides.audit().stored_twice == 0
    sides.publisher.say(4)
    await sides.journal(2, 3, 4, repeated=(3,))
    assert sides.audit().stored_twice == 1


async def test_an_event_that_central_tells_twice_is_a_duplicate(sides):
    """Once for each message too many, in the audit in which it came."""
    at = await sides.journal(1, events=("condition",))
    sides.hear(at)
    assert sides.audit().duplicates_after_key == 0
    sides.hear(at)
    sides.hear(at)
    assert sides.audit().duplicates_after_key == 2
    assert sides.audit().duplicates_after_key == 0


async def test_a_gap_that_was_told_makes_reported_of_lost(sides):
    """What a store lost is reported only where the gateway said so, and only what is not there; a
    number that is still to come is waited for.
    """
    sides.publisher.say(1, 2, 3)
    at = await sides.journal(2, 3, events=("gap",))
    sides.hear(at, kind="gap")
    found = sides.audit()
    assert (found.lost, found.reported_dropped, found.delivered) == (0, 1, 3)
    sides.publisher.say(4)
    found = sides.audit()
    assert (found.lost, found.reported_dropped) == (1, 0), "the gap was told of the time before"


async def test_told_loss_does_not_end_the_wait(sides):
    """The last number is not journaled yet: what is missing may still be on its way."""
    sides.publisher.say(1, 2)
    at = await sides.journal(1, events=("gap",))
    sides.hear(at, kind="gap")
    assert sides.audit().notes


async def test_dropped_messages_are_counted_from_gap_records(sides):
    """Each record once."""
    at = await sides.journal(1)
    sides.hear(at, stream="gap", count=7)
    assert [sides.audit().reported_dropped for _ in range(2)] == [7, 0]


async def test_another_store_is_read_from_its_beginning(sides):
    """What an earlier store had and the new one has not is lost; what both have is not doubled."""
    sides.publisher.say(1)
    await sides.journal(1)
    sides.audit()
    await sides.store.close()
    for path in sides.path.parent.glob("a.*"):
        path.unlink()
    await sides.open()
    sides.publisher.say(2, 3)
    await sides.journal(1, 3)
    found = sides.audit()
    assert (found.lost, found.stored_twice, found.delivered) == (1, 0, 1)
