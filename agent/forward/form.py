"""What a payload form is: how the outbox and the gateway's presence are said to central ops.

The sender knows order, delivery and pace; a form knows topics and bytes. `agent.forward.FORMS` has
one form for each `format` of `[upstream]`.

A message lies in the outbox without its number and without its lateness, which only sending can
tell. Summaries lie there as `agent.store.packing` makes them and gaps as the store writes them, in
every form, because the store adds windows together and joins gaps while central is away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.store.batch import Acknowledgement, OutboxMessage
from agent.store.reader import OutboxRow
from agent.types import Event

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks: `store` names the very database."""

    site: str
    gateway: str
    store: str


@dataclass(frozen=True, slots=True)
class Presence:
    """One connection of one run, for birth, goodbye and will.

    Attributes:
        boot: number of the run.
        version: of the program.
        connection: number of the connection within the run, from 1; the will is handed over before
            it is made, so will and birth of one connection have the same number.
        time_ns: engine time at which this is said.
        time_quality: how far it can be believed.
        unacknowledged: boot, stream, first and last of what the broker took but no central has
            acknowledged; told in the birth.
        acknowledged: boot, stream and through of what a central has.
        told: what a birth tells besides, as in `schemas/state.json`: the contract that is watched,
            and how the promise of false alarms is kept.
    """

    boot: int
    version: str
    connection: int
    time_ns: int
    time_quality: str = "unknown"
    unacknowledged: Sequence[Mapping[str, Any]] = ()
    acknowledged: Sequence[Mapping[str, Any]] = ()
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WireMessage:
    """One MQTT message as it is published; `expiry_s` and `content_type` are MQTT 5's."""

    topic: str
    payload: bytes
    retain: bool
    expiry_s: int | None = None
    content_type: str | None = None


class PayloadForm(Protocol):
    """One way to say everything; pure, so a module of functions can be one."""

    def event_message(self, sequence: int, position: int, event: Event) -> OutboxMessage:
        """An event, to be told once: its identity is (entry sequence, position)."""

    def summary_messages(self, summaries: Sequence[Mapping[str, Any]]) -> list[OutboxMessage]:
        """Closed windows, as few messages as can be."""

    def verdict_message(
        self,
        model: str,
        verdict: str,
        reasons: Sequence[Mapping[str, Any]],
        *,
        time_ns: int,
        since_ns: int,
        valid_until_ns: int,
        **details: Any,
    ) -> OutboxMessage:
        """What a model is worth now; `details` are version, owner, baseline, provisional."""

    def wire(self, row: OutboxRow, sender: Identity, now_ns: int) -> WireMessage:
        """A row of the outbox, of any stream (gaps too), as it is published at `now_ns`.

        Raises:
            ValueError: the row is damaged.
        """

    def trial(self) -> bytes:
        """What a gateway's `check` publishes to try its rights; nobody takes it for a message."""

    def shortened(self, row: OutboxRow) -> OutboxRow | None:
        """A row that the broker finds too large, with what matters most; None: there is no less."""

    def birth(self, sender: Identity, presence: Presence) -> WireMessage:
        """Connected; not of the outbox, as goodbye and will, because only the present counts."""

    def goodbye(self, sender: Identity, presence: Presence) -> WireMessage:
        """Stopped, and said so."""

    def will(self, sender: Identity, presence: Presence) -> WireMessage:
        """What the broker says where the connection is lost without a goodbye."""

    def answers_topic(self, sender: Identity) -> str:
        """Where central acknowledges."""

    def state_topic(self, sender: Identity) -> str:
        """Where birth, goodbye and will are said."""

    def acknowledgements(self, payload: bytes, sender: Identity) -> list[Acknowledgement]:
        """What central says it has.

        Raises:
            ValueError: no acknowledgement for this store.
        """

    def state_said(self, payload: bytes) -> tuple[str, int, int]:
        """Store, boot and number of who said a state.

        Raises:
            ValueError: it is none.
        """


def left_s(row: OutboxRow, now_ns: int) -> int | None:
    """Seconds until a row means nothing any more, 0 or less where it is too late; None: never."""
    if row.expiry_s is None:
        return None
    return row.expiry_s - max(0, now_ns - row.time_ns) // _NS_PER_S
