"""The account: every verdict that changed and every act of a person, as a chain of hashes.

A record holds the hash of the one before it, so that one that is altered, removed or put elsewhere
breaks the chain where it was. Whoever can rewrite the whole chain is found out by a hash of it that
lies elsewhere: the newest one goes to central with each verdict (`account`).

What a record was decided on has its hash there (`evidence`): of a verdict or a request, the entry
of the journal that brought it about; of an act of a person, what the person saw of it, which is the
event that told of it last; of a review, the report that was signed.

Invariants:
- a record is written in the transaction of the event that it tells of, or neither is.
- numbers go on without a hole; the oldest records go when there are too many, and the last one that
  went is noted (`BASE`), so that the rest is still known to be whole.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.store.connection import share_of
from agent.store.counters import Counters
from agent.types import Event

KEPT: Final = 200_000  # records
SHARE: Final = 0.1  # of the file system that they may take, where that is less
ROW_BYTES: Final = 2_000  # of one, rather more than less
BEGIN: Final = "0" * 64  # what the first record has for the hash before it
BASE: Final = "account base"  # in `identity`: number and hash of the last record that went
COUNTER: Final = "account"  # number of the newest record
SEARCHED: Final = 20_000  # newest events of a kind, for the one that was acted on
AGENT: Final = "agent"  # who changes verdicts, and asks for retraining
VERDICT: Final = "verdict"
ACCOUNTED: Final = frozenset({VERDICT, "retraining", "change"})
"""Kinds of events, whoever brought them."""

COLUMNS: Final = (
    "number", "time_ns", "kind", "subject", "who", "why", "entry", "position", "evidence", "data",
    "previous", "hash",
)  # fmt: skip


class Head(NamedTuple):
    """The newest record, or the last one before those that are kept."""

    number: int = 0
    hash: str = BEGIN


NOTHING: Final = Head()


def is_accounted(event: Event) -> bool:
    """Whether an event is another verdict, a request, a change upstream, or an act of a person.

    A verdict that stays what it is while its reasons change is none: a value at the edge of its
    range changes them several times a second, and what is found has events of its own.
    """
    if event.kind == VERDICT and event.data.get("was") == event.data.get("verdict"):
        return False
    return event.kind in ACCOUNTED or bool(event.data.get("by"))


def hash_of(record: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a record without its own hash, as JSON: keys sorted, ASCII, no blanks."""
    body = {name: record[name] for name in COLUMNS if name != "hash"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class Account:
    """The writer's side.

    Args:
        connection: the writer's.
        counters: has the number of the newest record, `COUNTER`.
        folder: of the store.
        known: the newest record as the process knows it, where it began on another file.
    """

    def __init__(
        self, connection: sqlite3.Connection, counters: Counters, folder: Path,
        known: Head = NOTHING,
    ) -> None:  # fmt: skip
        self._connection, self._counters = connection, counters
        self._kept = min(KEPT, max(1, share_of(folder, SHARE) // ROW_BYTES))
        row = connection.execute(
            "SELECT number, hash FROM account ORDER BY number DESC LIMIT 1"
        ).fetchone()
        self.head = max(Head(*row) if row else base_of(connection), known)
        self._written = self.head

    def insert(self, events: Iterable[tuple[int, int, Event]]) -> None:
        """Account for events that are new, within the open transaction."""
        self._written = self.head
        for sequence, position, event in events:
            if is_accounted(event):
                self._append(sequence, position, event)
        if self._written != self.head:
            self._counters.set(COUNTER, self._written.number)

    def committed(self) -> None:
        """What was inserted stands."""
        self.head = self._written

    def _append(self, sequence: int, position: int, event: Event) -> None:
        evidence, data = self._decided_on(sequence, position, event)
        record: dict[str, Any] = {
            "number": self._written.number + 1, "time_ns": event.time_ns, "kind": event.kind,
            "subject": _plain(event.subject), "who": _plain(data.get("by") or AGENT),
            "why": _plain(why_of(event)), "entry": sequence, "position": position,
            "evidence": evidence, "data": _json(data),
            "previous": self._written.hash,
        }
        record["hash"] = hash_of(record)
        marks = ", ".join("?" * len(COLUMNS))
        self._connection.execute(
            f"INSERT INTO account ({', '.join(COLUMNS)}) VALUES ({marks})",  # noqa: S608
            [record[name] for name in COLUMNS],
        )
        self._written = Head(record["number"], record["hash"])

    def _decided_on(
        self, sequence: int, position: int, event: Event
    ) -> tuple[str, Mapping[str, Any]]:
        """The hash of what it was decided on, and its data with the place of that (`acted_on`)."""
        if given := event.data.get("evidence"):
            return str(given), event.data
        found = self._acted_on(sequence, position, event)
        if found is None:
            return self._entry(sequence), event.data
        place = {"entry": found[0], "position": found[1]}
        return event_hash(*found[2:]), {**event.data, "acted_on": place}

    def _acted_on(self, sequence: int, position: int, event: Event) -> tuple[Any, ...] | None:
        """The event that told last of what a person acted on; None where there was none."""
        if not event.data.get("by") or "id" not in event.data:
            return None
        row = self._connection.execute(
            "SELECT * FROM (SELECT sequence, position, kind, subject, time_ns, data FROM event "
            "WHERE kind = ? AND (sequence, position) < (?, ?) "
            "ORDER BY sequence DESC, position DESC LIMIT ?) "
            "WHERE subject = ? AND json_valid(data) AND json_extract(data, '$.id') = ? LIMIT 1",
            (event.kind, sequence, position, SEARCHED, event.subject, event.data["id"]),
        ).fetchone()
        return tuple(row) if row else None

    def _entry(self, sequence: int) -> str:
        """SHA-256 of the journal's entry that brought it about; empty where it is not kept."""
        row = self._connection.execute(
            "SELECT kind, data FROM journal WHERE sequence = ?", (sequence,)
        ).fetchone()
        return evidence_of(*row) if row else ""

    def trim(self) -> None:
        """Delete the oldest beyond what is kept, and note the last of them."""
        row = self._connection.execute(
            "SELECT number, hash FROM account WHERE number <= ? ORDER BY number DESC LIMIT 1",
            (self._written.number - self._kept,),
        ).fetchone()
        if row is None:
            return
        self._connection.execute("DELETE FROM account WHERE number <= ?", (row[0],))
        self._connection.execute(
            "INSERT OR REPLACE INTO identity VALUES (?, ?)", (BASE, f"{row[0]} {row[1]}")
        )


def evidence_of(kind: str, data: bytes) -> str:
    """The hash of an entry of the journal, as it is stored."""
    return hashlib.sha256(kind.encode() + b"\0" + data).hexdigest()


def event_hash(kind: str, subject: str, time_ns: int, data: str) -> str:
    """The hash of an event as the store and an export have it: its parts as JSON, as a record's."""
    told = {"kind": kind, "subject": subject, "time_ns": time_ns, "data": json.loads(data)}
    return hashlib.sha256(_json(told).encode("ascii")).hexdigest()


def base_of(connection: sqlite3.Connection) -> Head:
    """The last record before those that are kept."""
    row = connection.execute("SELECT value FROM identity WHERE name = ?", (BASE,)).fetchone()
    return base_from(str(row[0]) if row else "")


def base_from(text: str) -> Head:
    """What `Account.trim` noted; where nothing sound is noted, the beginning."""
    number, _, digest = text.partition(" ")
    return Head(int(number), digest) if number.isdecimal() else NOTHING


def why_of(event: Event) -> str:
    """What its author gave as the reason, else what it is about."""
    reasons = event.data.get("reasons") or ()
    told = event.data.get("note") or next((one.get("text") for one in reasons), "")
    return str(told or event.data.get("text") or event.data.get("change") or "")


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=dict)


def _plain(text: Any) -> str:
    """A text that SQLite and every reader of JSON take: no half of a surrogate pair."""
    return str(text).encode("utf-8", "replace").decode("utf-8")


# --- verifying ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of looking through the account.

    Attributes:
        records: how many there are.
        first, head: numbers of the oldest and newest, and the newest one's hash.
        faults: what is wrong, in words, the first of each kind of place; empty where it is whole.
    """

    records: int
    first: int
    head: Head
    faults: tuple[str, ...]


MOST_FAULTS: Final = 20


def proof_of(
    records: Iterable[Mapping[str, Any]], base: Head = NOTHING, newest: int | None = None,
    anchor: str = "",
) -> Proof:  # fmt: skip
    """Look through records in the order of their numbers.

    Args:
        records: with `COLUMNS`.
        base: what came before the first of them.
        newest: number that the store counts for the newest one; None where it is not known.
        anchor: hash of a record, or its beginning, that was told elsewhere; "": none.
    """
    faults: list[str] = []
    last, first, count, found = base, 0, 0, not anchor or base.hash.startswith(anchor)
    for record in records:
        number = int(record["number"])
        first, count = first or number, count + 1
        if len(faults) < MOST_FAULTS:
            faults += _faults_of(record, number, last)
        found = found or str(record["hash"]).startswith(anchor)
        last = Head(number, str(record["hash"]))
    if newest is not None and newest > last.number:
        faults.append(f"{_span(last.number + 1, newest)} removed from the end")
    if not found:
        faults.append(
            f"no record has the hash {anchor}: the account was rewritten, or cut off before it"
        )
    return Proof(count, first, last, tuple(faults))


def _faults_of(record: Mapping[str, Any], number: int, last: Head) -> Sequence[str]:
    faults = []
    if hash_of(record) != record["hash"]:
        faults.append(f"record {number} was altered")
    if number != last.number + 1:
        gone = number > last.number + 1
        faults.append(
            f"{_span(last.number + 1, number - 1)} removed" if gone
            else f"record {number} stands behind record {last.number}"
        )
    elif record["previous"] != last.hash:
        faults.append(
            f"record {number} does not go on from record {number - 1}: either was replaced"
        )
    return faults


def _span(first: int, last: int) -> str:
    return f"record {first} was" if first == last else f"records {first} to {last} were"
