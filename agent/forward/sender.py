"""Drains the outbox to central's broker: in order, some in flight, each deleted only after PUBACK.

Invariants:
- a row is in flight at most once at a time; it is sent again only after its connection was lost, or
  after the broker said that it could not take it, or that nobody was there to hear it.
- a row leaves the store only by way of `take_delivered`, with a commit of the application.
- sending is paced, so that draining a long outage leaves the loop to acquisition.

A broker that was restarted may have forgotten central's subscription, and acknowledges what nobody
gets. MQTT 5 says so ("no matching subscribers"): for `GRACE_NS` after each connect such messages
are held back and tried again, until central is there too. After that nobody is expected, and PUBACK
counts as it is.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.clock import monotonic_ns
from agent.errors import StoreError
from agent.forward.form import Identity, PayloadForm, Presence, WireMessage, left_s
from agent.mqtt import LinkError, MqttLink, RefusedError, Will
from agent.store.reader import OutboxRow, Reader

logger = logging.getLogger(__name__)

WINDOW = 100  # messages in flight
MESSAGES_PER_S = 1_000  # pace of draining, some 4 % of one core
GRACE_NS = 60_000_000_000
RETRY_PAUSE_S = 1.0
REFUSED_PAUSE_S = 10.0
GOODBYE_S = 1.0
EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Uplink:
    """How to reach central's broker."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    username: str | None = None
    password: str | None = None


class Sender:
    """The forwarder of one gateway.

    Args:
        reader: of the store; used on the loop only.
        form: how everything is said.
        identity: who speaks.
        uplink: central's broker.
        boot: number of this run.
        version: of the program, told in the state message.
        now_ns: engine time.
    """

    def __init__(
        self,
        reader: Reader,
        form: PayloadForm,
        identity: Identity,
        uplink: Uplink,
        *,
        boot: int,
        version: str,
        now_ns: Callable[[], int],
    ) -> None:
        self._reader = reader
        self._form = form
        self._identity = identity
        self._boot = boot
        self._version = version
        self._now_ns = now_ns
        self._wake = asyncio.Event()
        self._cursor = 0
        self._in_flight: dict[int, OutboxRow] = {}
        self._delivered: list[int] = []
        self._rejected: dict[int, str] = {}
        self._taken: set[int] = set()
        self._connections = 0
        self._connected_ns = 0
        self._paused = False
        self._trouble = ""
        self._reason = "not yet connected"
        self._link = MqttLink(
            host=uplink.host,
            port=uplink.port,
            client_id=f"fieldwarden-{identity.site}-{identity.gateway}",
            tls=uplink.tls,
            username=uplink.username,
            password=uplink.password,
            will=self._will,
            max_inflight=WINDOW + 1,
            on_state=self._on_state,
        )

    # --- the application's side ----------------------------------------------------------------

    async def run(self) -> None:
        """Connect and drain until cancelled; then tell central that this gateway goes offline."""
        link = asyncio.create_task(self._link.run(), name="uplink-link")
        drain = asyncio.create_task(self._drain(), name="uplink-drain")
        try:
            done, _ = await asyncio.wait({link, drain}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            drain.cancel()
            await self._goodbye()
            link.cancel()
            await asyncio.gather(link, drain, return_exceptions=True)

    def notify(self) -> None:
        """New rows were committed."""
        self._wake.set()

    def take_delivered(self) -> tuple[list[int], dict[int, str]]:
        """Outbox ids for `Batch.delivered` and `Batch.rejected` of the next commit.

        Call it once for each commit that stands: what the call before gave is then gone from the
        store. A batch that failed is to be committed again as it is.
        """
        delivered, self._delivered = self._delivered, []
        rejected, self._rejected = self._rejected, {}
        self._taken = {*delivered, *rejected}
        return delivered, rejected

    def report(self) -> dict[str, Any]:
        """For status: connected, reason, in_flight."""
        return {
            "connected": self._link.connected,
            "reason": self._trouble or self._reason,
            "in_flight": len(self._in_flight),
        }

    # --- state, birth and will -------------------------------------------------------------------

    def _will(self) -> Will:
        self._connections += 1
        message = self._form.will(self._identity, self._presence())
        return Will(message.topic, message.payload, message.retain)

    def _presence(self) -> Presence:
        return Presence(self._boot, self._version, self._connections, self._now_ns())

    def _publish(self, message: WireMessage) -> asyncio.Future[bool]:
        return self._link.publish(
            message.topic,
            message.payload,
            retain=message.retain,
            expiry_s=message.expiry_s,
            content_type=message.content_type,
        )

    def _on_state(self, connected: bool, reason: str) -> None:  # noqa: FBT001 - the link's signature
        self._reason = reason
        if connected:
            logger.info("uplink: %s", reason)
            self._connected_ns = monotonic_ns()
            self._publish(self._form.birth(self._identity, self._presence()))
            self._rewind()
        else:
            logger.warning("uplink: %s", reason)

    async def _goodbye(self) -> None:
        if not self._link.connected:
            return
        farewell = self._publish(self._form.goodbye(self._identity, self._presence()))
        await asyncio.wait({farewell}, timeout=GOODBYE_S)

    # --- draining --------------------------------------------------------------------------------

    async def _drain(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._link.connected and not self._paused:
                sent = self._send_some()
                if not sent:
                    break
                await asyncio.sleep(sent / MESSAGES_PER_S)

    def _send_some(self) -> int:
        """Fill the window; returns how many rows were looked at."""
        room = WINDOW - len(self._in_flight)
        if room < WINDOW // 2:
            return 0
        try:
            rows = self._reader.pending(self._cursor, room)
        except StoreError as error:
            logger.error("uplink: %s", error)
            self._pause(RETRY_PAUSE_S, str(error))
            return 0
        done = self._taken.union(self._delivered, self._rejected, self._in_flight)
        for row in rows:
            self._cursor = row.id
            if row.id not in done:
                self._send(row)
        return len(rows)

    def _send(self, row: OutboxRow) -> None:
        now = self._now_ns()
        expiry_s = left_s(row, now)
        if expiry_s is not None and expiry_s <= 0:
            self._rejected[row.id] = EXPIRED
            return
        self._in_flight[row.id] = row
        future = self._publish(self._form.wire(row, self._identity, now))
        future.add_done_callback(lambda done: self._done(row, done))

    def _done(self, row: OutboxRow, future: asyncio.Future[bool]) -> None:
        self._in_flight.pop(row.id, None)
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or (error is not None and not isinstance(error, RefusedError)):
            if not isinstance(error, LinkError | None):
                logger.error("uplink: %r", error)
            return  # the connection is gone; the next one begins again from the oldest row
        if isinstance(error, RefusedError):
            self._refused(row, error)
        elif not future.result() and self._may_be_heard_later(row):
            self._pause(RETRY_PAUSE_S, "central is not subscribed (yet); held back")
        else:
            self._trouble = ""
            self._delivered.append(row.id)
        self._wake.set()

    def _refused(self, row: OutboxRow, error: RefusedError) -> None:
        if error.lasting:
            logger.error("uplink: %s %d will never be taken: %s", row.stream, row.seq, error.reason)
            self._rejected[row.id] = error.reason
        else:
            self._pause(REFUSED_PAUSE_S, f"central's broker refuses: {error.reason}")

    def _may_be_heard_later(self, row: OutboxRow) -> bool:
        return not row.retain and monotonic_ns() - self._connected_ns < GRACE_NS

    def _pause(self, seconds: float, trouble: str) -> None:
        """Stop sending for a while, then begin again from the oldest row that is not done."""
        self._trouble = trouble
        if not self._paused:
            self._paused = True
            asyncio.get_running_loop().call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._paused = False
        self._rewind()

    def _rewind(self) -> None:
        self._cursor = 0
        self._wake.set()
