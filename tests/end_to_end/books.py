"""The books of a site: what the agent accepted against what central received."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.central.receipt import Receipt
from agent.central.subscriber import Central
from agent.clock import monotonic_ns
from agent.core.summary import merge
from agent.forward.json_payload import EVENT_TYPE, time_of
from agent.runtime.outgoing import LOCAL
from agent.store import Reader
from agent.store.packing import unpack

Document = Mapping[str, Any]


@dataclass
class Books:
    """Both sides, as plain facts that compare with ==.

    Attributes:
        accepted: cause of each event in the store that concerns central -> what it says.
        delivered: the same of each event message at central; one list item a message.
        waiting: causes of the events that only the outbox holds.
        stored: sum of all summaries in the store, by (model, tag, baseline).
        told: the same at central, with those that only the outbox holds.
        central: the reference subscriber, fed with every message.
        messages: all that central printed.
    """

    accepted: dict[str, Document] = field(default_factory=dict)
    delivered: list[tuple[str, Document]] = field(default_factory=list)
    waiting: set[str] = field(default_factory=set)
    stored: dict[tuple[str, str, str], Document] = field(default_factory=dict)
    told: dict[tuple[str, str, str], Document] = field(default_factory=dict)
    central: Central = field(default_factory=Central)
    messages: list[Document] = field(default_factory=list)

    @property
    def arrived(self) -> dict[str, Document]:
        return dict(self.delivered)

    def missing(self) -> set[str]:
        """Accepted events that are neither at central nor waiting for it."""
        return self.accepted.keys() - self.arrived.keys() - self.waiting


def read_books(reader: Reader, received: Iterable[Document]) -> Books:
    """Both sides as they are now; the outbox is read before central, so nothing falls between."""
    books = Books()
    for event in reader.events(limit=100_000, after=(0, -1)):
        if event["kind"] not in LOCAL:
            cause = f"{event['sequence']}.{event['position']}"
            books.accepted[cause] = _said(event["kind"], event["subject"], event)
    _add(books.stored, reader.summaries(limit=100_000))
    waiting = reader.pending(limit=100_000)
    for message in received:
        _receive(books, message)
    there = {(one["boot"], one["stream"], one["seq"]) for one in books.messages}
    for row in waiting:
        # Acknowledged, but the agent had no time to note it.
        if (row.boot, row.stream, row.seq) in there:
            continue
        payload = json.loads(row.payload)
        if row.stream == "event":
            books.waiting.add(payload["cause"])
        elif row.stream == "summary":
            _add(books.told, unpack(payload))
    return books


def _receive(books: Books, message: Document) -> None:
    books.messages.append(message)
    books.central.take(json.dumps(message).encode(), Receipt(monotonic_ns()))
    if message["stream"] == "event":
        kind = str(message["type"]).removeprefix(EVENT_TYPE)
        told = {"time_ns": time_of(message["time"]), "data": message["data"]}
        books.delivered.append((message["cause"], _said(kind, message["subject"], told)))
    elif message["stream"] == "summary":
        _add(books.told, unpack(message["data"]))


def _said(kind: str, subject: str, event: Document) -> Document:
    return {"kind": kind, "subject": subject, "time_ns": event["time_ns"], "data": event["data"]}


def _add(sums: dict[tuple[str, str, str], Document], windows: Iterable[Document]) -> None:
    for one in windows:
        key = (one["model"], one["tag"], one["baseline"])
        sums[key] = merge(sums[key], one) if key in sums else one


def repeated(values: Iterable[Any]) -> list[Any]:
    """Those that are there more than once."""
    return [value for value, count in Counter(values).items() if count > 1]


def check_books(books: Books) -> None:
    """Every accepted event and summary is at central exactly once, or waits; nothing else is."""
    identities = [
        (one["gateway"], one["store"], one["boot"], one["stream"], one["seq"])
        for one in books.messages
    ]
    assert repeated(identities) == []
    assert repeated(cause for cause, _ in books.delivered) == []
    assert repeated(one["id"] for one in books.messages if one["stream"] == "event") == []
    assert books.missing() == set()
    assert books.arrived.keys() - books.accepted.keys() == set()
    for cause, said in books.delivered:
        assert said == books.accepted[cause]
    assert books.told == books.stored
    (view,) = books.central.gateways.values()
    assert books.central.unreadable == 0
    assert books.central.missing(view) == {}
    assert view.dropped == {}
