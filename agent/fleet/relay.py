"""Sends the events that wait in central's database to webhooks: one task a target.

Invariants:
- in the order in which they were committed, which for each gateway is the order of its messages as
  central took them in; one at a time, so nothing overtakes what a target does not take yet.
- at least once: what was taken leaves the queue in a transaction behind the answer. A message that
  comes again has the same id.
- of several services one sends to a target: who holds its lease. One that was killed goes on with
  it as it is started again, else loses it after `LEASE_S`; one that ends in order gives it back.
- a target that is slow or dead delays nobody but itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeVar

from sqlalchemy import Connection

from agent.backoff import Backoff
from agent.clock import monotonic_ns
from agent.configuration.relay import Relay
from agent.errors import StoreError
from agent.fleet import relay_queue as queue
from agent.fleet.aside import aside
from agent.fleet.configuration import FleetConfiguration
from agent.fleet.database import Database
from agent.hooks.attempts import LONGEST_WAIT_S, REFUSED, TOO_OLD, Attempt, attempted
from agent.hooks.posting import TIMEOUT_S, Poster

logger = logging.getLogger(__name__)

LEASE_S: Final = 45.0  # longer than one message may take; so long nobody sends after a kill
BATCH: Final = 100  # messages that are read at once
SAID_S: Final = 1.0  # what was taken is said in the database at least so often
GRACE_S: Final = 2.0  # for a message that is on its way when this is to end
FORGET_S: Final = 3_600.0
IDLE_S: Final = 1.0  # how often it is asked whether something waits, and who holds the lease
_NS: Final = 1_000_000_000
_Got = TypeVar("_Got")


async def serve(
    configuration: FleetConfiguration, database: Database, stop: asyncio.Event
) -> None:
    """Send to all targets until `stop`; raises what the database does."""
    # The broker knows a service by this name, too: no other one has it.
    await Relays(database, configuration.relay, configuration.central.name).run(stop)


class Relays:
    """All targets of one front.

    Args:
        database: central's.
        relays: the targets.
        holder: names this service; no other one has the same.
        lease_s: seconds for which leases are taken.
    """

    def __init__(
        self, database: Database, relays: Sequence[Relay], holder: str = "", *,
        lease_s: float = LEASE_S,
    ) -> None:  # fmt: skip
        self._database, self._relays, self._lease_s = database, relays, lease_s
        self._holder = holder or secrets.token_hex(8)

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`.

        Raises:
            ExceptionGroup: of StoreError: the database is away; whoever started this starts it
                again.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forget(stop), name="relay-forget")
            for relay in self._relays:
                target = Target(self._database, relay, self._holder, lease_s=self._lease_s)
                tasks.create_task(target.run(stop), name=f"relay-{relay.name}")

    async def _forget(self, stop: asyncio.Event) -> None:
        """Once an hour drop what waits for targets that are gone."""
        names = [relay.name for relay in self._relays]

        def forget(connection: Connection) -> int:
            return queue.forget(connection, names, self._database.now(connection))

        while not stop.is_set():
            if gone := await aside(self._database.repeated, forget):
                logger.warning("%d messages for relays that are gone were dropped", gone)
            await _either(stop, FORGET_S)


@dataclass(slots=True)
class _Sent:
    """What came of messages since the database was told last."""

    taken: list[int]
    dead: dict[int, str]
    told_ns: int


class Target:
    """One target.

    Args:
        database: central's.
        relay: its table.
        holder: names this front.
        backoff: between tries in vain.
        lease_s: seconds for which its lease is taken.
    """

    def __init__(
        self, database: Database, relay: Relay, holder: str, *, backoff: Backoff | None = None,
        lease_s: float = LEASE_S,
    ) -> None:  # fmt: skip
        self._database, self._relay, self._holder = database, relay, holder
        self._backoff = backoff or Backoff(1.0, LONGEST_WAIT_S)
        self._lease_s = lease_s
        self._poster = Poster(relay, min(TIMEOUT_S, lease_s / 2))
        self._attempts, self._trouble = 0, ""
        self._asked_s = 0.0  # for so long the target does not want to be told again
        self._held_ns = 0  # until when the lease is ours, on the monotonic clock

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`; what was taken until then is said."""
        try:
            while not stop.is_set():
                wait_s = await self._turn(stop)
                if wait_s > 0.0:
                    await _either(stop, wait_s)
        finally:
            await self._poster.close()
            with contextlib.suppress(StoreError):  # then the lease ends by itself
                await self._in_database(self._release)

    def _release(self, connection: Connection) -> None:
        if self._held_ns:
            now = self._database.now(connection)
            queue.release(connection, self._relay.name, self._holder, now)

    async def _turn(self, stop: asyncio.Event) -> float:
        """Send what waits, up to `BATCH`; for how many seconds there is nothing to do."""
        if not await aside(self._due):
            return IDLE_S
        found = await self._in_database(self._next)
        if found is None:
            return IDLE_S
        rows, now = found
        sent, wait_s = _Sent([], {}, monotonic_ns()), 0.0
        began_ns = monotonic_ns()
        try:
            for row in rows:
                if stop.is_set() or not await self._renewed():
                    break
                at = now + timedelta(microseconds=(monotonic_ns() - began_ns) // 1_000)
                over = await self._over(row, at, sent, stop)
                if over is None:
                    break
                if not over:
                    wait_s = await self._in_vain(at)
                    break
                if monotonic_ns() - sent.told_ns >= SAID_S * _NS:
                    await self._say(sent)
        finally:
            await self._say(sent)
        return min(wait_s, IDLE_S)

    def _due(self) -> bool:
        with self._database.reading() as connection:
            return queue.due(connection, self._relay.name, self._database.now(connection))

    def _next(self, connection: Connection) -> tuple[list[queue.Row], datetime] | None:
        """What waits, and the time; None where another front sends."""
        now = self._database.now(connection)
        name, span = self._relay.name, timedelta(seconds=self._lease_s)
        asked_ns = monotonic_ns()
        attempts = queue.take(connection, name, self._holder, now, span)
        if attempts is None:
            return None
        self._held_ns = asked_ns + int(self._lease_s * _NS)
        self._attempts = attempts
        queue.trim(connection, self._relay)
        return queue.waiting(connection, name, BATCH), now

    async def _renewed(self) -> bool:
        """Whether the lease lasts for one message more; it is taken anew where it does not."""
        if self._held_ns - monotonic_ns() > self._lease_s / 2 * _NS:
            return True
        return await self._in_database(self._next) is not None

    async def _over(
        self, row: queue.Row, now: datetime, sent: _Sent, stop: asyncio.Event
    ) -> bool | None:
        """Whether it is known what became of a message; None: nobody waits for it any more."""
        if now - row.queued_at > timedelta(microseconds=self._relay.max_age // 1_000):
            cause = self._trouble or "it was not delivered in time"
            self._give_up(row, f"{TOO_OLD}: {cause}", sent)
            return True
        attempt = await self._attempt(row, stop)
        if attempt is None:
            return None
        if not attempt.over:
            if attempt.cause != self._trouble:  # once, not at each try
                logger.warning(
                    "relay %s was not told, and is tried again: %s",
                    self._relay.name, attempt.cause,
                )  # fmt: skip
            self._trouble, self._asked_s = attempt.cause, attempt.wait_s
            return False
        if attempt.cause:
            self._give_up(row, f"{REFUSED}: {attempt.cause}", sent)
        else:
            sent.taken.append(row.id)
        if self._attempts or self._trouble:
            self._attempts, self._trouble = 0, ""
            self._backoff.reset()
            await self._in_database(
                lambda connection: queue.failed(connection, self._relay.name, 0, None, "")
            )
        return True

    async def _attempt(self, row: queue.Row, stop: asyncio.Event) -> Attempt | None:
        """One try; None where it is not over soon after `stop`."""
        posted = self._poster.post(row.name, row.payload)
        name = f"relay {self._relay.name}"
        attempt = asyncio.create_task(attempted(posted, name, self._lease_s / 2))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({attempt, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not attempt.done():
                await asyncio.wait({attempt}, timeout=GRACE_S)
            return attempt.result() if attempt.done() else None
        finally:
            for task in (attempt, stopped):
                task.cancel()
            await asyncio.gather(attempt, stopped, return_exceptions=True)

    def _give_up(self, row: queue.Row, why: str, sent: _Sent) -> None:
        logger.error("relay %s is not told of event %s: %s", self._relay.name, row.name, why)
        sent.dead[row.id] = why

    async def _in_vain(self, now: datetime) -> float:
        """Note that the first message was tried in vain; how long to wait."""
        self._attempts += 1
        wait_s = max(self._backoff.next_s(), self._asked_s)
        next_at = now + timedelta(seconds=wait_s)
        await self._in_database(
            lambda connection: queue.failed(
                connection, self._relay.name, self._attempts, next_at, self._trouble
            )
        )
        return wait_s

    async def _say(self, sent: _Sent) -> None:
        """Say in the database what came of messages; what can not be said is sent again."""
        if sent.taken or sent.dead:
            taken, dead = sent.taken, sent.dead
            await self._in_database(
                lambda connection: queue.settle(connection, self._relay.name, taken, dead)
            )
        sent.taken, sent.dead, sent.told_ns = [], {}, monotonic_ns()

    async def _in_database(self, work: Callable[[Connection], _Got]) -> _Got:
        return await aside(self._database.repeated, work)


async def _either(stop: asyncio.Event, seconds: float) -> None:
    """Until `stop`, or for so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
