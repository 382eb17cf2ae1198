"""Drains the outbox to central's broker: live before backlog, some in flight, none lost.

Invariants:
- a row is in flight at most once at a time; it is sent again only after its connection was lost, or
  after the broker said that it could not take it, or that nobody was there to hear it, or after
  central said that it did not come.
- a row leaves the store only by way of `take_delivered` and `take_acknowledged`, with a commit of
  the application. What the broker took is marked; what central acknowledged is deleted.
- no row blocks the others: what can not be said, or is refused for good, or ends the connection
  time after time, is given up with its reason; a refusal for now holds its own stream up only.
- sending is paced, so that draining a long outage leaves the loop to acquisition.
- a window that has just ended waits its gateway's part of some seconds: see `spread`.

A broker acknowledges what nobody gets; MQTT 5 says so ("no matching subscribers"). Such messages
are held back until central is there; where none ever acknowledged, for `GRACE_NS` after a connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from agent.clock import monotonic_ns
from agent.errors import StoreError
from agent.forward.answers import Answers
from agent.forward.blame import Blame, Refusals
from agent.forward.broker import Uplink
from agent.forward.form import Identity, PayloadForm, WireMessage, left_s
from agent.forward.lanes import WINDOW, Lanes
from agent.forward.presence import Announcer
from agent.forward.spread import waits_ns
from agent.mqtt import LinkError, LostError, Message, MqttLink, RefusedError
from agent.store.batch import EXPIRED, Acknowledgement
from agent.store.numbers import CONFIRMED
from agent.store.reader import OutboxRow, Reader

logger = logging.getLogger(__name__)

LOOKED_AT_PER_SENT = 10  # rows that take as long as one message
MESSAGES_PER_S = 1_000  # pace of draining, some 4 % of one core
GRACE_NS = 60_000_000_000
RETRY_PAUSE_S = 1.0
REFUSED_PAUSE_S = 10.0
ALONE_S = 10.0  # without an answer, a row that is sent alone holds the others up no longer
RUNS_TOLD = 200  # (run, stream) in a birth: all of the 64 runs that central remembers
NOT_SUBSCRIBED = "central is not subscribed (yet); held back"
_NS = 1_000_000_000


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
        time_quality: how far engine time can be believed.
        told: what a birth tells besides, as of `Presence`.
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
        time_quality: Callable[[], str] = lambda: "unknown",
        told: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._reader = reader
        self._form = form
        self._identity = identity
        self._delivery = uplink.delivery
        self._now_ns = now_ns
        self._wake = asyncio.Event()
        self._lanes = Lanes(reader)
        self._blame = Blame()
        self._in_flight: dict[int, OutboxRow] = {}
        self._alone: int | None = None
        self._alone_ns = 0
        self._delivered: list[int] = []
        self._rejected: dict[int, str] = {}
        self._shortened: set[int] = set()  # rows of which the broker refused the whole
        self._taken = set[int]()
        self._answers = Answers(form, identity, boot)
        self._refusals = Refusals()
        self._asked, self._lacked = False, 0
        self._confirmed = False
        self._standing = False
        self._held: set[str] = set()  # streams
        self._resuming: asyncio.TimerHandle | None = None
        self._spreading: asyncio.TimerHandle | None = None
        self._probing = False
        self._trouble = ""
        self._reason = "not yet connected"
        self._announcer = Announcer(
            form, identity, boot=boot, version=version, now_ns=now_ns, time_quality=time_quality,
            told=told, books=self._books, lacked=lambda: self._lacked, publish=self._publish,
        )  # fmt: skip
        self._link = MqttLink(
            host=uplink.host, port=uplink.port, client_id=self._announcer.client_id, tls=uplink.tls,
            username=uplink.username, password=uplink.password, will=self._announcer.will,
            max_inflight=WINDOW + 1, on_message=self._on_message, on_state=self._on_state,
        )  # fmt: skip
        topics = [form.state_topic(identity)]
        if self._delivery != "broker":
            topics.append(form.answers_topic(identity))
        self._link.subscribe([(topic, 1) for topic in topics])

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
            if self._link.connected:
                await self._announcer.goodbye()
            link.cancel()
            await asyncio.gather(link, drain, return_exceptions=True)

    def notify(self) -> None:
        """New rows were committed, or what central asked for waits again."""
        if self._asked:
            self._asked = False
            self._lanes.again()
            with contextlib.suppress(StoreError):  # it is asked with the next answer
                self._lacked = self._reader.lacked()
        if self._link.connected:
            self._announcer.follow()
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

    def take_acknowledged(self) -> list[Acknowledgement]:
        """For `Batch.acknowledged` of the next commit, as with `take_delivered`."""
        acknowledged = self._answers.take()
        self._asked = self._asked or bool(acknowledged)
        return acknowledged

    def report(self) -> dict[str, Any]:
        """For status: connected, reason, in_flight, and answers that were refused."""
        return {
            "connected": self._link.connected,
            "reason": self._announcer.clash or self._trouble or self._reason,
            "in_flight": len(self._in_flight),
            "answers_refused": self._answers.refused,
        }

    # --- the connection --------------------------------------------------------------------------

    def _books(self) -> dict[str, Any]:
        """What the birth tells of the outbox."""
        if self._delivery == "broker":
            return {}
        try:
            return {
                "unacknowledged": self._reader.unacknowledged(RUNS_TOLD),
                "acknowledged": self._reader.acknowledged(RUNS_TOLD),
            }
        except StoreError as error:
            logger.error("uplink: %s", error)
            return {}

    def _publish(self, message: WireMessage) -> asyncio.Future[bool]:
        return self._link.publish(
            message.topic, message.payload, retain=message.retain, expiry_s=message.expiry_s,
            content_type=message.content_type,
        )  # fmt: skip

    def _on_state(self, connected: bool, reason: str) -> None:  # noqa: FBT001 - the link's signature
        self._reason = reason
        stood, self._standing = self._standing, connected
        if not connected:
            busy = bool(self._in_flight) or self._blame.lost_on(self._announcer.connections)
            self._announcer.lost(reason, stood=stood, busy=busy)
            self._link.pause_s = self._announcer.pause_s
            if not self._announcer.clash:
                logger.warning("uplink: %s", reason)
        elif not stood:
            if not self._announcer.clash:
                logger.info("uplink: %s", reason)
            self._alone = None
            self._announcer.begin(self._wake.set)
            self._begin()

    # --- what is heard ---------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        if message.topic == self._form.state_topic(self._identity):
            with contextlib.suppress(ValueError):
                self._announcer.heard(message.payload)
                self._link.pause_s = self._announcer.pause_s
        elif message.retain or message.topic != self._form.answers_topic(self._identity):
            pass
        elif self._answers.hear(message.payload):
            self._confirmed = True
            if self._probing:
                self._resume()

    # --- draining --------------------------------------------------------------------------------

    async def _drain(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._link.connected:
                looked_at, sent = self._send_some()
                if not looked_at:
                    break
                await asyncio.sleep((sent + looked_at / LOOKED_AT_PER_SENT) / MESSAGES_PER_S)

    def _send_some(self) -> tuple[int, int]:
        """Fill the window; returns how many rows were looked at, and how many sent."""
        if self._alone is not None and monotonic_ns() - self._alone_ns < ALONE_S * _NS:
            return 0, 0
        alone = self._probing or self._blame.one_by_one
        room = (1 if alone else WINDOW) - len(self._in_flight)
        if room <= 0 or not self._announcer.answered:
            return 0, 0
        try:
            rows = self._lanes.next(room)
            if not rows and not self._in_flight:
                self._blame.idle()
                rows = self._next_alone()
        except StoreError as error:
            logger.error("uplink: %s", error)
            self._hold(CONFIRMED, RETRY_PAUSE_S, str(error))
            return 0, 0
        done = self._taken.union(self._delivered, self._rejected, self._in_flight)
        sent = 0
        for row in rows:
            apart = self._blame.suspects_row(row.id) and row.id != self._alone
            if row.id in done or row.stream in self._held or apart or self._waits(row):
                continue
            self._send(row)
            sent += 1
        return len(rows), sent

    def _waits(self, row: OutboxRow) -> bool:
        """Whether it is not its time yet; then all that waits is looked at again once it is."""
        wait_ns = waits_ns(row, self._identity, self._now_ns())
        if wait_ns and self._spreading is None:
            loop = asyncio.get_running_loop()
            self._spreading = loop.call_later(wait_ns / _NS, self._spread_over)
        return wait_ns > 0

    def _spread_over(self) -> None:
        self._spreading = None
        self._lanes.again()
        self._wake.set()

    def _next_alone(self) -> list[OutboxRow]:
        """A row at which connections were lost, once nothing else is under way."""
        done = self._taken.union(self._delivered, self._rejected)
        for suspect in self._blame.suspects():
            row = None if suspect in done else self._reader.outbox_row(suspect)
            if row is None:
                self._blame.answered(suspect)
            elif row.stream not in self._held:
                self._alone, self._alone_ns = row.id, monotonic_ns()
                asyncio.get_running_loop().call_later(ALONE_S, self._wake.set)
                return [row]
        return []

    def _send(self, row: OutboxRow) -> None:
        now = self._now_ns()
        expiry_s = left_s(row, now)
        if expiry_s is not None and expiry_s <= 0:
            self._rejected[row.id] = EXPIRED
            return
        try:
            wire = self._form.wire(row, self._identity, now)
            self._answers.sent(row)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a row is its own fault
            self._give_up(row, f"can not be said: {error!r}"[:300])
            return
        self._in_flight[row.id] = row
        self._lanes.sent(row)
        future = self._publish(wire)
        future.add_done_callback(lambda done: self._done(row, done))

    def _done(self, row: OutboxRow, future: asyncio.Future[bool]) -> None:
        self._in_flight.pop(row.id, None)
        self._lanes.done(row)
        if self._alone == row.id:
            self._alone = None
        self._wake.set()
        error = None if future.cancelled() else future.exception()
        if isinstance(error, RefusedError):
            self._refused(row, error)
        elif isinstance(error, LostError):
            if self._blame.lost_at(row.id, self._announcer.connections):
                self._give_up(row, f"the broker ends the connection on it: {error}"[:300])
        elif future.cancelled() or error is not None:
            if not isinstance(error, LinkError | None):
                logger.error("uplink: %r", error)
        elif not future.result() and self._may_be_heard_later(row):
            self._probing = True
            self._hold(CONFIRMED, RETRY_PAUSE_S, NOT_SUBSCRIBED)
        else:
            self._took(row)

    def _took(self, row: OutboxRow) -> None:
        self._delivered.append(row.id)
        self._blame.answered(row.id)
        self._shortened.discard(row.id)
        self._refusals.took(row)
        if row.stream in CONFIRMED or self._trouble != NOT_SUBSCRIBED:
            self._trouble, self._probing = "", False

    def _refused(self, row: OutboxRow, error: RefusedError) -> None:
        less = None if row.id in self._shortened else self._form.shortened(row)
        if error.lasting and less is not None:
            self._shortened.add(row.id)
            self._send(less)
        elif self._refusals.refused(row) or error.lasting:
            self._give_up(row, error.reason)
            if row.retain:  # no older message is to stand there as if it were still so
                wire = self._form.wire(row, self._identity, self._now_ns())
                self._publish(replace(wire, payload=b"", expiry_s=None))
        else:
            self._hold((row.stream,), REFUSED_PAUSE_S, f"central's broker refuses: {error.reason}")

    def _give_up(self, row: OutboxRow, reason: str) -> None:
        logger.error(
            "uplink: %s %d of run %d (%d bytes) is given up and put aside: %s; to do: see the "
            "broker's log, its limit of sizes, and this client's right to publish on %s",
            row.stream, row.seq, row.boot, len(row.payload), reason, row.topic,
        )  # fmt: skip
        self._blame.answered(row.id)
        self._rejected[row.id] = reason

    def _may_be_heard_later(self, row: OutboxRow) -> bool:
        if row.retain or self._delivery == "central" or self._confirmed:
            return not row.retain
        return monotonic_ns() - self._announcer.connected_ns < GRACE_NS

    def _hold(self, streams: tuple[str, ...], seconds: float, trouble: str) -> None:
        """Send nothing of some streams for a while, then begin again from the oldest row."""
        self._trouble = trouble
        self._held.update(streams)
        if self._resuming is None:
            self._resuming = asyncio.get_running_loop().call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._resuming is not None:
            self._resuming.cancel()
            self._resuming = None
        self._held.clear()
        self._lanes.again()
        self._wake.set()

    def _begin(self) -> None:
        try:
            self._lanes.begin()
            self._confirmed = self._delivery != "broker" and self._reader.confirming()
        except StoreError as error:
            logger.error("uplink: %s", error)
        self._wake.set()
