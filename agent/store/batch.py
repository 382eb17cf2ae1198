"""What one commit takes: entries, what they brought about, and what has been delivered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.store import ranges
from agent.types import Entry, Event

Stream = Literal["event", "summary", "verdict", "state", "gap"]
Delivery = Literal["auto", "central", "broker"]

EXPIRED = "expired"  # why a message is rejected that came too late to mean anything


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What central has of one stream of one run: 1 to `through` but for `missing`.

    Attributes:
        boot: number of the run.
        stream: of the messages.
        through: the highest number that central received, or was told to be lost; 0 where none.
        missing: inclusive ranges below it, sorted and disjoint.
    """

    boot: int
    stream: str
    through: int
    missing: tuple[tuple[int, int], ...] = ()

    def had(self) -> ranges.Ranges:
        """The numbers that central has, or knows to be lost."""
        return ranges.without([(1, self.through)] if self.through else [], self.missing)


@dataclass(slots=True)
class OutboxMessage:
    """One message for central ops, before its envelope (see `agent.forward.form`).

    Attributes:
        stream: its sequence number counts within the stream of one run.
        topic: below the gateway's prefix, such as ``verdict/yield``.
        payload: JSON object, UTF-8. For the stream ``summary`` as `agent.store.packing` makes it,
            so that the store can add windows together during a long outage.
        time_ns: engine time at which it became true.
        retain: the broker keeps the last one.
        expiry_s: seconds after which it means nothing any more.
        replace_key: a newer message of this key replaces a pending older one.
        event: identity (entry sequence, position) of the event it tells of; it is enqueued only
            if that event is new, so a re-fold after a crash tells nothing twice.
        summary: the first of the `Batch.summaries` it carries; enqueued only if that is new.
        time_quality: how far `time_ns` can be believed: synchronised, unsynchronised, implausible
            or unknown.
    """

    stream: Stream
    topic: str
    payload: bytes
    time_ns: int
    retain: bool = False
    expiry_s: int | None = None
    replace_key: str | None = None
    event: tuple[int, int] | None = None
    summary: Mapping[str, Any] | None = None
    time_quality: str = "unknown"


HookKey = tuple[str, int, int]
"""A hook, and the identity of an event for it."""


@dataclass(frozen=True, slots=True)
class HookMessage:
    """An event for one hook (see `agent.hooks`).

    Attributes:
        hook: its name.
        event: identity (entry sequence, position); it is enqueued only if that event is new.
        time_ns: engine time of the event.
        payload: JSON object, UTF-8: kind, subject and data of the event.
    """

    hook: str
    event: tuple[int, int]
    time_ns: int
    payload: bytes


@dataclass(slots=True)
class Batch:
    """One transaction of the store: all of it is committed, or none.

    Attributes:
        entries: those already journaled (a re-fold) are left alone; the others must continue the
            journal without a gap.
        events: (entry sequence, position, event); those already there are left alone.
        summaries: as `agent.core.summary` makes them, and `entry`, the sequence of the entry that
            closed it; identity is model, tag, start, baseline and entry, for where time goes back
            a window may come twice.
        messages: for the outbox, in order.
        documents: name -> JSON-ready document; replaces the one of that name.
        snapshot: (sequence of the last entry folded in, state bytes).
        delivered: outbox ids that were acknowledged (PUBACK).
        rejected: outbox id -> why central will never take it; put aside, counted and told.
        acknowledged: what central says it has.
        pins: model -> from when on its block means must stay; as before where it is None.
        hooks: events for hooks, in order.
        hooks_done: those that were delivered (""), or given up and why.
    """

    entries: list[Entry] = field(default_factory=list)
    events: list[tuple[int, int, Event]] = field(default_factory=list)
    summaries: list[Mapping[str, Any]] = field(default_factory=list)
    messages: list[OutboxMessage] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)
    snapshot: tuple[int, bytes] | None = None
    delivered: list[int] = field(default_factory=list)
    rejected: dict[int, str] = field(default_factory=dict)
    acknowledged: list[Acknowledgement] = field(default_factory=list)
    pins: Mapping[str, int] | None = None
    hooks: list[HookMessage] = field(default_factory=list)
    hooks_done: dict[HookKey, str] = field(default_factory=dict)
