"""One worker: messages from the broker's shared subscription into the database, then acknowledged.

Invariants:
- a message is acknowledged to the broker, and to its gateway, only after the commit. A worker that
  is killed in between gets it again, and the database knows it.
- its session is kept at the broker under a name of its own: what was on its way to it waits there.
- a shared subscription is given no retained messages (MQTT 5.0, 3.8.4). So the first worker asks
  for them by a plain one, with a session that is not kept, where it can not know all gateways: at
  the start of the service, and where the broker had no session of it. Each retained birth is
  answered, so that the gateway sends again what went to nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final, TypeVar

from agent.backoff import Backoff
from agent.central.pace import Answer
from agent.central.receipt import Receipt
from agent.clock import monotonic_ns
from agent.configuration import credentials
from agent.errors import StoreError
from agent.fleet.answers import Answers, Name
from agent.fleet.configuration import FleetConfiguration
from agent.fleet.intake import BATCH, RECEIVE_MAXIMUM, Intake, Sums, Taken, settle
from agent.fleet.ledger import Ledger
from agent.fleet.look import Look
from agent.forward.json_payload import PREFIX, SCHEMA
from agent.mqtt import HUNG_UP, Message, MqttLink, RefusedError
from agent.mqtt.background import in_thread

logger = logging.getLogger(__name__)

T = TypeVar("T")

SESSION_EXPIRY_S: Final = 3_600
"""Longer than a restart or an upgrade takes. It is no loss where it is over: gateways keep what no
central has acknowledged. Brokers go on giving their share to sessions that nobody fetches, so those
of workers that are no more must end."""
RECONNECT_S: Final = 2.0
BACKLOG_NS: Final = 10_000_000_000  # so long after a connect may come what the broker had kept
ANSWERS_S: Final = 0.25
OFTEN: Final = 3
LOOK_AFTER_S: Final = 0.5  # the shared subscription stands by then: nothing falls in between
SWEEP_S: Final = 60.0  # how often gateways with numbers that nothing explains are asked again
ASKED: Final = 500  # gateways of which the database is asked at once
BEAT_S: Final = 5.0
LONGEST_RETRY_S: Final = 5.0  # of the database
SLOW_S: Final = 10.0  # a database that has not answered for so long is told of
END_S: Final = 8.0  # to settle what is under way
HOPELESS_S: Final = 1.0  # the same, where nothing could be stored lately
_SETTLE, _BEAT = "settle", "beat"  # what writes; the rest only reads
STREAMS: Final = ("state", "event", "summary", "gap", "verdict/+")


def filters(group: str) -> list[str]:
    """What the workers of a group subscribe to: all that gateways say, not what central says."""
    return [f"$share/{group}/{PREFIX}/{SCHEMA}/+/+/{stream}" for stream in STREAMS]


def link_arguments(configuration: FleetConfiguration) -> dict[str, Any]:
    """Where the broker is and who logs in, for `MqttLink`.

    Raises:
        FieldwardenError: a password or certificate can not be had.
    """
    broker = configuration.broker
    return {
        "host": broker.host, "port": broker.port_number,
        "tls": credentials.tls_context(broker), "username": broker.username or None,
        "password": credentials.password(broker), "protocol": "5",
        "longest_retry_s": RECONNECT_S, "receive_maximum": RECEIVE_MAXIMUM,
    }  # fmt: skip


class Worker:
    """One of the workers of a service.

    Attributes:
        name: of it, at the broker and in the database.
        trouble: what keeps it from its work; empty where nothing does.

    Args:
        configuration: of the service.
        number: of it, from 1; the first one asks for retained messages and sweeps.
        ledger: of a database that is migrated.
        fresh: the service has just begun: what it missed is asked for.
    """

    def __init__(
        self, configuration: FleetConfiguration, number: int, ledger: Ledger, *, fresh: bool
    ) -> None:
        self.name = configuration.client_id(number)
        self.sums = Sums()
        self._first = number == 1
        self._fresh = fresh
        self._ledger = ledger
        self._intake = Intake()
        self._answers = Answers(self.name)
        self._broker_trouble, self._store_trouble = "not connected yet", ""
        self._told: set[str] = set()  # kinds of trouble with the database since it was well
        self._unsettled = False  # messages could not be stored, and none was since
        self._connected_ns = monotonic_ns()
        self._behind = True  # what comes may have waited at the broker
        arguments = link_arguments(configuration)
        self._link = MqttLink(
            client_id=self.name, clean_start=False, session_expiry_s=SESSION_EXPIRY_S,
            manual_ack=True, on_message=self._take, on_state=self._on_state, **arguments,
        )  # fmt: skip
        self._link.subscribe([(one, 1) for one in filters(configuration.central.group)])
        self._look = Look(f"{self.name}-look", self._intake, arguments)
        self._looking: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._hung_up = 0  # connections that the broker ended without a word, in a row
        self._where = f"{configuration.broker.host}:{configuration.broker.port_number}"

    @property
    def trouble(self) -> str:
        """What keeps it from its work; empty where nothing does."""
        return "; ".join(filter(None, (self._broker_trouble, self._store_trouble)))

    # --- the link's side --------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        now_ns = monotonic_ns()
        if len(self._intake) >= RECEIVE_MAXIMUM // 2:
            self._behind = True
        # Some brokers (HiveMQ) pass the flag of the publisher on: kept it was never.
        receipt = Receipt(now_ns, message.topic, expiry_s=message.expiry_s, aged=self._behind)
        self._intake.put(Taken(message, receipt, self._link))

    def _on_state(self, connected: bool, reason: str) -> None:  # noqa: FBT001 - the link's signature
        if not connected:
            self._intake.drop(self._link)
            self._hung_up += reason == HUNG_UP
            if self._hung_up >= OFTEN:  # mosquitto does not say why
                reason += ", again and again, as where a session is taken over"
            told = f"no link to the broker {self._where}: {reason}"
            if told != self._broker_trouble:
                logger.warning("%s: %s%s", self.name, told, _hint_of(reason))
            self._broker_trouble = told
            return
        if reason != "connected":  # a subscription was refused
            self._broker_trouble = f"the broker {self._where}: {reason}"
            logger.error("%s: %s%s", self.name, self._broker_trouble, _hint_of(reason))
            return
        resumed = self._link.session_present
        self._connected_ns, self._behind = monotonic_ns(), resumed
        self._broker_trouble = ""
        kept = "with what it had kept" if resumed else "with a new session"
        logger.info("%s: connected to the broker %s, %s", self.name, self._where, kept)
        if self._first and (self._fresh or not resumed):
            self._fresh = False
            self._begin_look()

    def _begin_look(self) -> None:
        """Anew, also where one is under way: what came before this session may be missing in it."""
        before = self._looking
        if before is not None:
            before.cancel()
        self._looking = asyncio.create_task(self._looks(before), name="look")

    async def _looks(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        await asyncio.sleep(LOOK_AFTER_S)
        await self._look.run()

    # --- settling -----------------------------------------------------------------------------

    async def _settle_for_ever(self, stop: asyncio.Event) -> None:
        """Batch after batch; after `stop` none is begun."""
        while not stop.is_set():
            batch = await self._intake.gathered()
            if batch:
                await self._settle_one(batch, stop)
            if not len(self._intake) and monotonic_ns() - self._connected_ns > BACKLOG_NS:
                self._behind, self._hung_up = False, 0

    async def _ask(self, call: Callable[[], T], name: str) -> T:
        """What a call of the ledger gives; one at a time, in a thread.

        Raises:
            StoreError: the database is away; it is told.
        """
        async with self._one_at_a_time:
            try:
                found = await self._patiently(call, name)
            except StoreError as error:
                self._store_failed(error)
                self._unsettled = self._unsettled or name == _SETTLE
                raise
        # One that can only be read is not back, nor one whose disk has room for a beat and no more.
        if name == _SETTLE or (name == _BEAT and not self._unsettled):
            if self._store_trouble:
                logger.info("%s: the database is there again", self.name)
            self._store_trouble, self._unsettled = "", False
            self._told.clear()
        return found

    async def _patiently(self, call: Callable[[], T], name: str) -> T:
        """Its answer, however long that takes; one that is long in coming is told of."""
        answer = asyncio.ensure_future(in_thread(call, name))
        try:
            done, _ = await asyncio.wait({answer}, timeout=SLOW_S)
            if not done:
                self._unsettled = self._unsettled or name == _SETTLE
                self._store_failed(StoreError(
                    "waiting for", "the database", f"no answer for {SLOW_S:g} s",
                    "is its machine there, is its disk slow, does something lock its tables?",
                ))  # fmt: skip
            return await answer
        finally:
            answer.cancel()

    async def _settle_one(self, batch: list[Taken], stop: asyncio.Event) -> None:
        backoff = Backoff(0.1, LONGEST_RETRY_S)
        while True:
            try:
                sums, owed = await self._ask(partial(settle, self._ledger, batch), _SETTLE)
                break
            except StoreError:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(backoff.next_s()):
                        await stop.wait()
            # Of a connection that is gone the broker sends everything again.
            batch = [one for one in batch if one.link.connected]
            if not batch or stop.is_set():
                return
            if len(batch) < BATCH:  # one that can not be stored is told from others only
                batch += self._intake.batch()
        self.sums.rows += sums.rows
        self.sums.messages += sums.messages
        self.sums.duplicates += sums.duplicates
        self.sums.unreadable += sums.unreadable
        for message, _, link in batch:
            link.ack(message)
        self._answers.take(owed, monotonic_ns())

    def _store_failed(self, error: StoreError) -> None:
        told = f"nothing is acknowledged: {error.operation} {error.subject}: {error.cause}"
        kind = re.sub(r'"[^"]*"|\d+', "*", error.cause)  # other files and numbers are no news
        if kind not in self._told:
            self._told.add(kind)
            hint = f"; hint: {error.hint}" if error.hint else ""
            logger.error("%s: %s%s; it is tried again", self.name, told, hint)
        self._store_trouble = told

    # --- answers ------------------------------------------------------------------------------

    async def _answer_for_ever(self) -> None:
        while True:
            await asyncio.sleep(ANSWERS_S)
            if not self._link.connected:
                continue
            await self._read_again(self._answers.asked(monotonic_ns()))
            for answer, store in self._answers.due(monotonic_ns()):
                sent = self._link.publish(answer.topic, answer.payload)
                sent.add_done_callback(partial(self._answered, answer, store))

    async def _read_again(self, names: Collection[Name]) -> None:
        left = sorted(names)
        while left:
            some, left = left[:ASKED], left[ASKED:]
            try:
                owed = await self._ask(partial(self._ledger.owed, some), "owed")
            except StoreError:
                for site, gateway, store in [*some, *left]:
                    self._answers.again((site, gateway), [store])
                return
            self._answers.take(owed, monotonic_ns())

    def _answered(self, answer: Answer, store: str, sent: asyncio.Future[bool]) -> None:
        error = None if sent.cancelled() else sent.exception()
        if error is None:
            return
        self._answers.again(answer.key, [store])
        if isinstance(error, RefusedError):
            self._broker_trouble = f"the broker refuses {answer.topic}: {error.reason}"
            logger.error(
                "%s: %s; hint: give this user the right to publish on %s/%s/+/+/central, or "
                "gateways keep what they could delete", self.name, self._broker_trouble, PREFIX,
                SCHEMA,
            )  # fmt: skip

    async def _sweep_for_ever(self) -> None:
        """Ask again for what is missing: whoever would have asked may have been killed."""
        while True:
            await asyncio.sleep(SWEEP_S)
            if not self._link.connected:
                continue
            with contextlib.suppress(StoreError):  # it is told
                await self._read_again(await self._ask(self._ledger.unsettled, "unsettled"))

    async def _beat_for_ever(self) -> None:
        while True:
            await self._beat()
            await asyncio.sleep(BEAT_S)

    async def _beat(self) -> None:
        sums = self.sums
        beat = partial(
            self._ledger.beat, self.name, rows=sums.rows, messages=sums.messages,
            duplicates=sums.duplicates, unreadable=sums.unreadable, trouble=self.trouble,
        )  # fmt: skip
        with contextlib.suppress(StoreError):  # it is told
            await self._ask(beat, _BEAT)

    # --- its life -----------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`; what is being settled then is finished and acknowledged."""
        others: list[Callable[[], Any]] = [self._link.run, self._answer_for_ever]
        others += [self._beat_for_ever]
        if self._first:
            others.append(self._sweep_for_ever)
        tasks = [asyncio.create_task(one()) for one in others]
        settling = asyncio.create_task(self._settle_for_ever(stop), name="settling")
        stopping = asyncio.create_task(stop.wait())
        try:
            done, _ = await asyncio.wait(
                {*tasks, settling, stopping}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done - {stopping}:
                task.result()  # raises what ended it
            await self._finish(settling)
        finally:
            every = [*tasks, settling, stopping]
            every += [self._looking] if self._looking is not None else []
            for task in every:
                task.cancel()
            await asyncio.gather(*every, return_exceptions=True)

    async def _finish(self, settling: asyncio.Task[None]) -> None:
        """A batch that is under way is finished; one that only gathers is left to the broker."""
        self._intake.close()
        hopeless = self._store_trouble and self._unsettled
        await asyncio.wait({settling}, timeout=HOPELESS_S if hopeless else END_S)
        for answer, _ in self._answers.due(monotonic_ns()):
            self._link.publish(answer.topic, answer.payload)
        await asyncio.wait({asyncio.create_task(self._beat())}, timeout=1.0)


_HINTS: Final = (
    ("taken over", "another client has this name: two services need two names ([central] name)"),
    ("authori", "see `username`, its password and its rights at the broker"),
    ("protocol version", "central needs a broker that speaks MQTT 5"),
    ("subscription", "this user needs the right to subscribe to it"),
    ("ssl", "see `tls`, `ca` and the name in the broker's certificate"),
    ("connack", "is it an MQTT broker that speaks MQTT 5, and is `tls` as on its side?"),
    ("certificate", "see `tls`, `ca` and the name in the broker's certificate"),
)  # fmt: skip


_WAIT: Final = "gateways keep what they have until it is there; see `host` and `port` of [broker]"


def _hint_of(reason: str) -> str:
    said = reason.lower()
    return f"; hint: {next((hint for word, hint in _HINTS if word in said), _WAIT)}"
