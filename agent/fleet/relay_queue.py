"""The queue of events for webhooks, in central's database: what waits, who sends, what came of it.

Rows are put there in the transaction of their events, so an event that was acknowledged to its
gateway is told, whatever dies. Whoever holds the lease of a target sends; it says in a transaction
what came of what it sent. Where that is never said, the next one sends it again: at least once.

Blocking; see `agent.fleet.relay` for who sends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from agent.configuration.relay import Relay
from agent.fleet.schema import RELAY, RELAY_TARGET

FULL: Final = "too many wait"
DEAD_KEPT: Final = 1_000  # dead letters of a target; older ones go
_OVERFULL: Final = 2  # times `most`: from then on workers put nothing there, whoever should send
_FAR: Final = timedelta(hours=1)
"""No wait and no lease is longer, unless the database's clock was set back since."""
_FORGOTTEN: Final = timedelta(days=1)
_WAITS: Final = RELAY.c.why == ""


class Message(Protocol):
    """What is needed of an event that a gateway sent: see `agent.central.reading`."""

    @property
    def site(self) -> str:
        """Of the gateway."""

    @property
    def gateway(self) -> str:
        """Its name."""

    @property
    def document(self) -> Mapping[str, Any]:
        """The CloudEvent."""

    @property
    def payload(self) -> bytes:
        """The same as it came."""


class Row(NamedTuple):
    """A message that waits; `name` is its id at the target, however often it is sent."""

    id: int
    name: str
    payload: bytes
    queued_at: datetime


class Queue:
    """Who is told of what.

    Args:
        relays: the targets of the configuration.
    """

    def __init__(self, relays: Sequence[Relay]) -> None:
        self._wanted = [
            (relay, frozenset(relay.events), frozenset(relay.sites), frozenset(relay.gateways))
            for relay in relays
        ]

    def put(self, connection: Connection, events: Iterable[Message], now: datetime) -> int:
        """Queue events, each of which is new, in the transaction that commits them.

        Returns:
            How many messages were put there.
        """
        if not self._wanted:
            return 0
        told = list(events)
        rows: list[dict[str, Any]] = []
        for relay, kinds, sites, gateways in self._wanted:
            of_target = [
                {"target": relay.name, "name": f"{one.document['source']}/{one.document['id']}",
                 "payload": one.payload, "queued_at": now}
                for one in told
                if str(one.document["type"]).rpartition(".")[2] in kinds
                and (not sites or one.site in sites)
                and (not gateways or one.gateway in gateways)
                and (relay.historical or not one.document.get("historical"))
            ]  # fmt: skip
            if of_target:
                rows += _room(connection, relay, of_target)
        if rows:
            connection.execute(insert(RELAY), rows)
        return len(rows)


def _room(connection: Connection, relay: Relay, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those for which there is room; whoever sends makes room before it comes to that."""
    most = _OVERFULL * relay.most
    some = select(RELAY.c.id).where(RELAY.c.target == relay.name, _WAITS).limit(most).subquery()
    waiting: int = connection.execute(select(func.count()).select_from(some)).scalar_one()
    kept = rows[: max(most - waiting, 0)]
    if len(kept) < len(rows):
        _count(connection, relay.name, dropped={FULL: len(rows) - len(kept)})
    return kept


# --- who sends ------------------------------------------------------------------------------------


def due(connection: Connection, target: str, now: datetime) -> bool:
    """Whether something waits that may be tried now; reads only."""
    some = select(RELAY.c.id).where(RELAY.c.target == target, _WAITS).limit(1)
    if connection.execute(some).first() is None:
        return False
    next_at = connection.execute(
        select(RELAY_TARGET.c.next_at).where(RELAY_TARGET.c.target == target)
    ).scalar()
    return next_at is None or not now < next_at <= now + _FAR


def take(
    connection: Connection, target: str, holder: str, now: datetime, span: timedelta
) -> int | None:
    """Take the right to send to a target for `span`, or take it again; None: it is another's.

    Returns:
        How often its first message was tried in vain.
    """
    _ensure(connection, target)
    row = connection.execute(
        select(RELAY_TARGET).where(RELAY_TARGET.c.target == target)
        .with_for_update(skip_locked=True)
    ).mappings().first()  # fmt: skip
    if row is None:
        return None  # somebody is about to take it
    until = row["until"]
    if row["holder"] not in {"", holder} and until is not None and now < until <= now + _FAR:
        return None
    connection.execute(
        update(RELAY_TARGET).where(RELAY_TARGET.c.target == target)
        .values(holder=holder, until=now + span)
    )  # fmt: skip
    attempts: int = row["attempts"]
    return attempts


def release(connection: Connection, target: str, holder: str, now: datetime) -> None:
    """Another one may send at once."""
    connection.execute(
        update(RELAY_TARGET)
        .where(RELAY_TARGET.c.target == target, RELAY_TARGET.c.holder == holder)
        .values(holder="", until=now)
    )


def waiting(connection: Connection, target: str, limit: int) -> list[Row]:
    """The first messages that wait for a target, in the order in which they were committed."""
    found = connection.execute(
        select(RELAY.c.id, RELAY.c.name, RELAY.c.payload, RELAY.c.queued_at)
        .where(RELAY.c.target == target, _WAITS).order_by(RELAY.c.id).limit(limit)
    )  # fmt: skip
    return [Row(*one) for one in found]


def settle(
    connection: Connection, target: str, taken: Sequence[int], dead: Mapping[int, str]
) -> None:
    """Say what came of messages.

    Args:
        connection: in a transaction that writes.
        target: of all of them.
        taken: ids of those that the target took.
        dead: id -> why it is given up.
    """
    gone = 0
    if taken:
        gone = connection.execute(delete(RELAY).where(RELAY.c.id.in_(taken))).rowcount
    dropped: dict[str, int] = {}
    for number, why in dead.items():
        changed = connection.execute(
            update(RELAY).where(RELAY.c.id == number, _WAITS).values(why=why)
        ).rowcount
        kind = why.partition(":")[0]
        dropped[kind] = dropped.get(kind, 0) + changed
    _count(connection, target, delivered=gone, dropped=dropped)


def failed(
    connection: Connection, target: str, attempts: int, next_at: datetime | None, trouble: str
) -> None:
    """Say how the first message fares: tried in vain so often, and why; 0 and "" where it went."""
    connection.execute(
        update(RELAY_TARGET).where(RELAY_TARGET.c.target == target)
        .values(attempts=attempts, next_at=next_at, trouble=trouble)
    )  # fmt: skip


def trim(connection: Connection, relay: Relay) -> None:
    """Drop the oldest of more than may wait, and dead letters beyond those that are kept."""
    over = _beyond(connection, relay.name, _WAITS, relay.most)
    if over:
        _count(connection, relay.name, dropped={FULL: over})
    _beyond(connection, relay.name, ~_WAITS, DEAD_KEPT)


def _beyond(connection: Connection, target: str, which: Any, most: int) -> int:
    of_target = (RELAY.c.target == target, which)
    last = connection.execute(
        select(RELAY.c.id).where(*of_target).order_by(RELAY.c.id.desc()).offset(most).limit(1)
    ).scalar()
    if last is None:
        return 0
    return connection.execute(delete(RELAY).where(*of_target, RELAY.c.id <= last)).rowcount


def forget(connection: Connection, names: Iterable[str], now: datetime) -> int:
    """Drop what has waited for a day for targets that are not among `names`; how many messages.

    Not at once: a service with another list of targets may write this database, too.
    """
    known, since = list(names), now - _FORGOTTEN
    gone = connection.execute(
        delete(RELAY).where(RELAY.c.target.not_in(known), RELAY.c.queued_at < since)
    ).rowcount
    connection.execute(
        delete(RELAY_TARGET).where(
            RELAY_TARGET.c.target.not_in(known), RELAY_TARGET.c.until < since,
            RELAY_TARGET.c.target.not_in(select(RELAY.c.target)),
        )
    )  # fmt: skip
    return gone


# --- what is known --------------------------------------------------------------------------------


def counts(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """How each target gets on, for page, API and metrics; JSON-ready, by name.

    `waiting`, `dead` (letters that are kept), `oldest_s` (of what waits; 0 for none), `delivered`,
    `dropped` (by reason), `attempts` in vain of the first that waits, and `trouble`.
    """
    found: dict[str, dict[str, Any]] = {}
    for target in connection.execute(select(RELAY_TARGET)).mappings():
        found[target["target"]] = {
            "name": target["target"], "waiting": 0, "dead": 0, "oldest_s": 0.0,
            "delivered": target["delivered"], "dropped": json.loads(target["dropped"]),
            "attempts": target["attempts"], "trouble": target["trouble"],
        }  # fmt: skip
    waits = _WAITS.label("waits")
    for name, is_waiting, count, oldest in connection.execute(
        select(RELAY.c.target, waits, func.count(), func.min(RELAY.c.queued_at))
        .group_by(RELAY.c.target, waits)
    ):  # fmt: skip
        one = found.setdefault(name, {
            "name": name, "waiting": 0, "dead": 0, "oldest_s": 0.0, "delivered": 0, "dropped": {},
            "attempts": 0, "trouble": "",
        })  # fmt: skip
        one["waiting" if is_waiting else "dead"] = count
        if is_waiting:
            one["oldest_s"] = max((now - oldest).total_seconds(), 0.0)
    return [found[name] for name in sorted(found)]


def _count(
    connection: Connection, target: str, delivered: int = 0,
    dropped: Mapping[str, int] | None = None,
) -> None:  # fmt: skip
    """Add to a target's counters, under its row's lock."""
    more = {why: count for why, count in (dropped or {}).items() if count}
    if not (delivered or more):
        return
    _ensure(connection, target)
    was = connection.execute(
        select(RELAY_TARGET.c.dropped).where(RELAY_TARGET.c.target == target).with_for_update()
    ).scalar_one()
    known = json.loads(was)
    summed = {why: known.get(why, 0) + more.get(why, 0) for why in sorted({*known, *more})}
    connection.execute(
        update(RELAY_TARGET).where(RELAY_TARGET.c.target == target)
        .values(delivered=RELAY_TARGET.c.delivered + delivered, dropped=json.dumps(summed))
    )  # fmt: skip


def _ensure(connection: Connection, target: str) -> None:
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(make(RELAY_TARGET).values(target=target).on_conflict_do_nothing())
