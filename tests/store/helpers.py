"""Entries, messages and a merge for tests of the store."""

from __future__ import annotations

import json

import numpy as np

from agent.store import Batch, OutboxMessage, Reader, Store
from agent.store.packing import pack, unpack
from agent.types import Block, Command, Event

MB = 1_000_000
HOUR = 3_600_000_000_000


def block(sequence, n=3, seed=0):
    rng = np.random.default_rng(seed + sequence)
    arrival = np.full(n, sequence * 1000, np.int64)
    return Block(
        sequence,
        sequence * 1000 + 1,
        np.arange(n, dtype=np.int32),
        arrival - 5,
        arrival,
        rng.normal(size=n),
        np.zeros(n, np.uint16),
    )


def command(sequence, **data):
    return Command(sequence, sequence * 1000 + 1, "text", data)


def event(time_ns=1, kind="condition", **data):
    return Event(kind, time_ns, "model/yield", data)


def message(stream="event", text="x", **arguments):
    arguments.setdefault("time_ns", 1)
    return OutboxMessage(
        stream=stream, topic=stream, payload=json.dumps({"text": text}).encode(), **arguments
    )


def summary(start_ns, tag="t", total=1, baseline="b", span=HOUR // 6):
    return {
        "model": "yield",
        "tag": tag,
        "baseline": baseline,
        "start_ns": start_ns,
        "end_ns": start_ns + span,
        "sum": total,
    }


def summary_message(a_summary):
    return OutboxMessage(
        "summary",
        "summary",
        pack([a_summary]),
        a_summary["end_ns"],
        summary=a_summary,
    )


def summaries_of(row):
    return unpack(json.loads(row.payload))


def merge(a, b):
    return {
        **a,
        "start_ns": min(a["start_ns"], b["start_ns"]),
        "end_ns": max(a["end_ns"], b["end_ns"]),
        "sum": a["sum"] + b["sum"],
    }


def open_store(path, *, journal=100 * MB, outbox=100 * MB, merging=merge, delivery="auto"):
    return Store.open(
        path,
        journal_limit_bytes=journal,
        outbox_limit_bytes=outbox,
        merge=merging,
        delivery=delivery,
    )


def assert_accounts(path):
    """received = delivered + pending + dropped, and the counters agree with the tables."""
    reader = Reader(path)
    books = reader.outbox()
    assert books["received"] == (
        books["delivered"] + books["pending"] + sum(books["dropped"].values())
    )
    rows = reader._all("SELECT messages, length(payload), sent > 0 FROM outbox")
    pending = [row for row in rows if books["confirmed"] or not row[2]]
    kept = [row for row in rows if row[2] and not books["confirmed"]]
    assert books["pending"] == sum(count for count, _, _ in pending)
    assert books["bytes"] == sum(size + 160 for _, size, _ in pending)
    assert books["kept_bytes"] == sum(size + 160 for _, size, _ in kept)
    (journal_bytes,) = reader._all("SELECT ifnull(sum(length(data) + 40), 0) FROM journal")[0]
    assert reader.counters().get("journal_bytes", 0) == journal_bytes
    reader.close()
    return books


__all__ = ["Batch", "Reader", "Store"]
