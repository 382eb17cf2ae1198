"""The books of the chain: what was accepted, what stands in the journal, what is at central.

Each side is read once, from where the audit before ended: a long run costs what it says.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from common import wait

from agent.errors import StoreError
from agent.forward.json_payload import time_of
from agent.runtime.outgoing import LOCAL
from agent.store import Reader
from agent.types import Block, Quality

_CHUNK = 1 << 24
_EVENTS_AT_ONCE = 10_000
_START = (0, -1)
JOURNAL_S = 30.0
CENTRAL_S = 60.0


@dataclass
class Audit:
    """Both sides of the chain, since the audit before."""

    accepted: int = 0
    delivered: int = 0
    duplicates_after_key: int = 0
    stored_twice: int = 0
    lost: int = 0
    reported_dropped: int = 0
    recovery_s: float | None = None
    notes: list[str] = field(default_factory=list)
    extra: dict[str, int] = field(default_factory=dict)


class Message(NamedTuple):
    """What the books need of a message at central."""

    stream: str
    type: str
    event: str  # of which store, cause and time; empty where it is no event
    time_ns: int
    count: int  # of a gap


class Log:
    """The JSON lines that `central` prints, each read once, as the file grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0
        self.messages: list[Message] = []
        self.events: Counter[str] = Counter()  # event -> in how many messages, after the key
        self.dropped = 0  # told as gaps
        self.dropped_events = 0  # those of them that were events

    def read(self) -> list[Message]:
        """All messages so far."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            while whole := file.read(_CHUNK).rpartition(b"\n")[0]:
                self._offset += len(whole) + 1
                file.seek(self._offset)
                for line in whole.splitlines():
                    if line.startswith(b"{"):
                        self._take(json.loads(line))
        return self.messages

    def _take(self, said: dict) -> None:
        stream = said.get("stream")
        if stream is None:
            return
        time_ns = time_of(said["time"]) if "time" in said else 0
        event = f"{said['store']} {said['cause']} {time_ns}" if stream == "event" else ""
        count = said["data"]["count"] if stream == "gap" else 0
        if event:
            self.events[event] += 1
        self.dropped += count
        self.dropped_events += count if stream == "gap" and said["data"].get("of") == "event" else 0
        self.messages.append(Message(stream, said.get("type", ""), event, time_ns, count))


class Stored:
    """The agent's store, each entry and event read once while it is the same store."""

    def __init__(self, path: Path) -> None:
        self._path, self._store = path, ""
        self._entry, self._event = 1, _START
        self.numbers: Counter[int] = Counter()  # number -> how often it is journaled and counts
        self.fresh: set[str] = set()  # events that concern central, as `Message.event`
        self._renewed = False

    def settle(self) -> None:
        """What was read so far is audited."""
        self.numbers.clear()
        self.fresh.clear()
        self._renewed = False

    @property
    def renewed(self) -> bool:
        """Whether another store was begun since the audit before, perhaps with entries of it."""
        return self._renewed

    def read(self) -> None:
        """What is new; nothing where there is no store that can be read."""
        with contextlib.suppress(StoreError), contextlib.closing(Reader(self._path)) as reader:
            self._follow(reader)
            for block in self._blocks(reader):
                self.numbers.update(block)
            self._read_events(reader)

    def _follow(self, reader: Reader) -> None:
        if reader.store_id == self._store:
            return
        self._renewed = bool(self._store)
        self._store, self._entry, self._event = reader.store_id, 1, _START
        self.numbers.clear()
        self.fresh.clear()

    def _blocks(self, reader: Reader) -> Iterator[list[int]]:
        tag = reader.tag_ids().get("number")
        for entry in reader.journal(self._entry):
            self._entry = entry.sequence + 1
            if isinstance(entry, Block):
                mine = (entry.tag == tag) & (entry.quality & Quality.REPEATED == 0)
                yield [int(v) for v in entry.value[mine & np.isfinite(entry.value)]]

    def _read_events(self, reader: Reader) -> None:
        while rows := reader.events(limit=_EVENTS_AT_ONCE, after=self._event):
            self._event = (rows[-1]["sequence"], rows[-1]["position"])
            self.fresh |= {
                f"{self._store} {e['sequence']}.{e['position']} {e['time_ns']}"
                for e in rows
                if e["kind"] not in LOCAL
            }


def _place(event: str) -> tuple[int, ...]:
    """Entry and position of an event as `Message.event` has it."""
    return tuple(int(part) for part in event.split()[1].split("."))


class Numbers(Protocol):
    """A publisher: see `plant.Publisher`."""

    sent: int
    acknowledged: set[int]

    def rest(self) -> None:
        """Pause, with every message acknowledged."""

    def go_on(self) -> None:
        """End the pause."""


class Books:
    """Audits a chain.

    Args:
        publisher: what the plant's broker acknowledged.
        store: path of the agent's store.
        log: what central said.
    """

    def __init__(self, publisher: Numbers, store: Path, log: Log) -> None:
        self._publisher, self._stored, self._log = publisher, Stored(store), log
        self._number = self._heard = self._twice = self._dropped = self._dropped_events = 0

    def audit(self, *, journal_s: float = JOURNAL_S, central_s: float = CENTRAL_S) -> Audit:
        """What became of everything since the audit before; the publisher rests meanwhile.

        Args:
            journal_s: how long to wait for what is not yet in the journal.
            central_s: how long to wait for what is not yet at central.
        """
        self._publisher.rest()
        wanted = {n for n in self._publisher.acknowledged if n > self._number}
        made = Audit()
        try:
            wait("every number in the journal", lambda: self._has(wanted), journal_s)
            wait("every event at central", self._all_arrived, central_s)
        except TimeoutError as error:
            made.notes.append(str(error))
        self._account_numbers(made, wanted)
        self._account_events(made)
        self._number, self._heard = self._publisher.sent, len(self._log.messages)
        self._stored.settle()
        self._publisher.go_on()
        return made

    def _has(self, wanted: set[int]) -> bool:
        """All are journaled; what a store lost never will be, and the last came after it."""
        self._stored.read()
        numbers = self._stored.numbers.keys()
        return wanted <= numbers or (max(wanted) in numbers and self._told_of_loss())

    def _all_arrived(self) -> bool:
        """All are at central; what a store lost never will be, and the last came after it."""
        self._stored.read()
        self._log.read()
        fresh, arrived = self._stored.fresh, self._log.events.keys()
        if fresh <= arrived:
            return True
        told = self._told_of_loss() or self._log.dropped_events > self._dropped_events
        return told and max(fresh, key=_place) in arrived

    def _account_numbers(self, made: Audit, wanted: set[int]) -> None:
        journaled = self._stored.numbers
        made.accepted += len(wanted)
        made.delivered += len(wanted & journaled.keys())
        self._note_gone(made, len(wanted - journaled.keys()))
        made.stored_twice += sum(1 for n in wanted if journaled[n] > 1)
        if not self._stored.renewed:  # what was audited before stands in the journal already
            made.stored_twice += sum(1 for n in journaled if n <= self._number)

    def _note_gone(self, made: Audit, count: int) -> None:
        """What is nowhere is lost, or, where the gateway said what its store lost, reported."""
        if self._told_of_loss():
            made.reported_dropped += count
        else:
            made.lost += count

    def _account_events(self, made: Audit) -> None:
        arrived, fresh = self._log.events, self._stored.fresh
        made.accepted += len(fresh)
        made.delivered += len(fresh & arrived.keys())
        told = self._log.dropped_events - self._dropped_events  # as a gap of their stream
        self._note_gone(made, max(0, len(fresh - arrived.keys()) - told))
        twice = arrived.total() - len(arrived)
        made.duplicates_after_key = twice - self._twice
        made.reported_dropped += self._log.dropped - self._dropped
        self._twice, self._dropped = twice, self._log.dropped
        self._dropped_events = self._log.dropped_events

    def _told_of_loss(self) -> bool:
        """Whether the gateway said, since the audit before, that its store lost something."""
        told = self._log.read()[self._heard :]
        return any(one.stream == "event" and one.type.endswith(".gap") for one in told)
