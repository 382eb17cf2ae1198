"""MQTT: JSON by topic and pointer, through `agent.mqtt`.

Invariants:
- a message with QoS 1 is acknowledged only after what it said is committed, so that a crash loses
  nothing that a broker still has; what comes twice, and what had waited, is marked (`mqtt_replay`);
- messages that arrive together leave together: columns are handed over once for each read of the
  socket, not once for each message, and reads are 20 ms apart while messages keep coming;
- what messages are like (types, keys) is told before the values that are so;
- nothing is ever published.

The agent keeps a session at the broker (for an hour), so the client id must be the gateway's own:
another client of that id takes it, which is told. A session may hold subscriptions of an earlier
configuration; they end with the first message that they bring.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np

from agent.backoff import Backoff
from agent.configuration.credentials import password, tls_context
from agent.configuration.schema import MqttSource
from agent.decode import mqtt as decode
from agent.decode.columns import Dictionary, Samples, settle
from agent.decode.mqtt import Columns, Decoder
from agent.errors import FieldwardenError
from agent.intake import Intake
from agent.mqtt import HUNG_UP, Message, MqttLink
from agent.sources.base import (
    Health,
    SourceReport,
    TagBinding,
    Telling,
    parse_all,
    tag_ids,
)
from agent.sources.mqtt_replay import SETTLE_S, SILENCE_S, Replay
from agent.sources.telling import Teller, in_turns
from agent.types import Block

_SESSION_EXPIRY_S = 3600  # the broker keeps what it could not deliver for so long
_MAX_BATCH = 2_000  # samples handed over at most at a time
_QOS = 1
_GATHER_S = 0.02  # far below any scan; one message a wake-up costs three times as much
_MOST_ENDED = 1_000  # topics of an earlier configuration
_HANG_UPS, _HANG_UPS_WITHIN_S = 3, 120.0  # in a row, without another reason between
_TAKEN_OVER = "taken over"
_BEAT_S = 0.25
_STALL_NS = round((SILENCE_S + _BEAT_S) * 1e9)

logger = logging.getLogger(__name__)


class MqttSourceLink:
    """See `agent.sources.SourceKind.create`."""

    def __init__(
        self,
        name: str,
        config: MqttSource,
        tags: Mapping[str, TagBinding],
        intake: Intake,
        dictionary: Dictionary,
        client_id: str,
        served: Telling | None = None,
    ) -> None:
        self._config = config
        self._name = name
        self._intake = intake
        self._client_id = client_id
        self._health = Health(name, config.protocol, intake, tag_ids(tags))
        self._decoder = Decoder(
            parse_all(name, tags, decode.parse_address),
            [binding.index for binding in tags.values()],
            [binding.is_text for binding in tags.values()],
            dictionary,
            watches=served is not None,
        )
        self._teller = Teller(name, served, intake)
        self._names = {binding.index: binding.name for binding in tags.values()}
        self._kept: dict[str, bool] = {}  # topic -> whether the broker keeps its latest message
        self._replay = Replay(len(tags))
        self._tags = tag_ids(tags).tolist()
        self._told = 0  # details that the log has
        self._clashes = 0
        self._hung_up_s: deque[float] = deque(maxlen=_HANG_UPS)
        self._undecoded: dict[str, str] = {}  # topic -> the fault of ours
        self._ended: set[str] = set()  # topics that are subscribed no longer
        self._columns = Columns.empty()
        self._unacknowledged: list[Message] = []
        self._is_due = False
        self._link: MqttLink | None = None
        self._bytes = 0
        self._beat_ns = 0  # when this source last had its turn, in steady time; 0: it does not run

    def describe(self) -> SourceReport:
        """State and counts; the plan names the topics."""
        decoder = self._decoder
        counts = (
            (decoder.undecodable, "payloads were no JSON"),
            (decoder.absent, "values were absent from their payloads"),
            (decoder.unknown, "messages came on topics that no tag has"),
        )
        plan = [f"subscription to {topic}" for topic in decoder.topics]
        plan += [f"{count} {what}" for count, what in counts if count]
        return self._health.report(
            tuple(plan), size=self._bytes, details=self._details(), times=dict(decoder.times)
        )

    def _details(self) -> list[str]:
        made = [f"{topic}: {fault}" for topic, fault in self._undecoded.items()]
        if self._clashes:
            made.append(
                f"another client of the id {self._client_id!r} took the session {self._clashes} "
                f"time{'s' * (self._clashes != 1)}: give each agent a client_id of its own"
            )
        return made + self._decoder.details

    def recall(self, blocks: Iterable[Block]) -> None:
        """What the journal's end holds, so that what is sent again is known; before `run`."""
        self._replay.recall(blocks, self._tags)

    async def run(self) -> None:
        """Connect and subscribe until cancelled."""
        backoff = Backoff()
        while True:
            try:
                self._link = link_to(
                    self._config,
                    self._client_id,
                    self._received,
                    self._changed,
                    keeps_session=True,
                )
            except FieldwardenError as error:
                self._health.failed(f"{error.operation} {error.subject}: {error.cause}")
                await backoff.wait()
                continue
            self._link.subscribe([(topic, _QOS) for topic in self._decoder.topics])
            self._beat_ns = 0
            beats = asyncio.create_task(self._beats(), name=f"source {self._name}, heartbeat")
            try:
                await self._link.run()
            finally:
                beats.cancel()
                self._hand_over()

    async def _beats(self) -> None:
        while True:
            self._beat(self._intake.now_ns())
            await asyncio.sleep(_BEAT_S)

    def _beat(self, now_ns: int) -> None:
        """Notice where the process stood still: stopped, suspended (CLOCK_BOOTTIME), held up.

        Whatever has its turn first after that comes here, before it takes any message.
        """
        steady_ns = now_ns - self._intake.shifted_ns
        if self._beat_ns and steady_ns - self._beat_ns > _STALL_NS:
            self._replay.stalled(asyncio.get_running_loop().time())
        self._beat_ns = steady_ns

    def _changed(self, connected: bool, reason: str) -> None:  # noqa: FBT001 - MqttLink's signature
        if connected:
            self._replay.connected(asyncio.get_running_loop().time())
            self._health.live("" if reason == "connected" else reason)
        else:
            self._hand_over()
            self._replay.connected(None)
            if self._is_clash(reason):
                self._clashes += 1
                reason += f": is there a second agent with the client id {self._client_id!r}?"
            self._health.failed(f"{self._config.host}:{self._config.port}: {reason}")

    def _is_clash(self, reason: str) -> bool:
        """Whether another client seems to have taken our session: not every broker says so.

        A broker that hangs up without a word and takes us back at once, again and again, does that.
        """
        now_s = asyncio.get_running_loop().time()
        if reason != HUNG_UP:
            self._hung_up_s.clear()
            return _TAKEN_OVER in reason.lower()
        self._hung_up_s.append(now_s)
        return len(self._hung_up_s) == _HANG_UPS and now_s - self._hung_up_s[0] < _HANG_UPS_WITHIN_S

    def _received(self, message: Message) -> None:
        self._bytes += len(message.payload)
        now_ns, loop = self._intake.now_ns(), asyncio.get_running_loop()
        self._beat(now_ns)
        self._decode(message, self._replay.bits(message, loop.time()), now_ns)
        if message.qos:
            self._unacknowledged.append(message)
        if len(self._columns.tag) >= _MAX_BATCH:
            self._hand_over()
        elif not self._is_due:
            self._is_due = True
            loop.call_later(SETTLE_S if self._replay.suspected else 0, self._hand_over)

    def _decode(self, message: Message, bits: int, now_ns: int) -> None:
        columns, unknown = self._columns, self._decoder.unknown
        begin, heard = len(columns.tag), len(self._decoder.news)
        if self._teller.is_heard and (message.retain or message.topic not in self._kept):
            self._keeps(message, begin)
        try:
            self._decoder.decode(message.topic, message.payload, bits, columns, now_ns)
        except Exception as error:  # one message must not end the source
            for column in (columns.tag, columns.source_ns, columns.value, columns.quality):
                del column[begin:]
            del self._decoder.news[heard:]
            if message.topic not in self._undecoded:
                self._undecoded[message.topic] = f"a fault of the agent: {error!r}"
                logger.exception("source %s: decoding a message on %s", self._name, message.topic)
            return
        self._replay.mark(message, columns, begin, now_ns)
        if (
            self._decoder.unknown > unknown
            and message.topic not in self._ended
            and (len(self._ended) < _MOST_ENDED)
        ):
            self._ended.add(message.topic)
            if self._link is not None:
                self._link.unsubscribe([message.topic])

    def _keeps(self, message: Message, row: int) -> None:
        """Whether the broker keeps a topic's latest message: its first one on a new session says
        that it does not, one that it had kept that it does.
        """
        if message.retain == self._kept.get(message.topic) or (
            message.resumed and not message.retain
        ):
            return
        self._kept[message.topic] = bool(message.retain)
        told = {"retained": bool(message.retain)}
        tags = self._decoder.tags_of(message.topic)
        self._decoder.news.extend((row, tag, told) for tag in tags)

    def _hand_over(self) -> None:
        """Everything since the last time, as columns; what it is, before it."""
        self._is_due = False
        columns, self._columns = self._columns, Columns.empty()
        messages, self._unacknowledged = self._unacknowledged, []
        news = list(self._decoder.news)
        self._decoder.news.clear()
        if not columns.tag and not messages and not news:
            return
        self._replay.settle(columns, asyncio.get_running_loop().time())
        self._health.arrived(len(columns.tag))
        for text in self._decoder.details[self._told :]:
            logger.warning("source %s: %s", self._name, text)
            self._told += 1
        value, quality = np.array(columns.value, np.float64), np.array(columns.quality, np.uint16)
        settle(value, quality)
        samples = Samples(
            np.array(columns.tag, np.int32), np.array(columns.source_ns, np.int64), value, quality
        )
        begin = 0
        found = [(row, {tag: terms}) for row, tag, terms in news]
        for row, told in in_turns(found, columns.tag) if found else ():
            if row > begin:
                self._health.take(samples.part(begin, row))
                begin = row
            self._teller.part({self._names[tag]: terms for tag, terms in told.items()})
        rest = samples.part(begin, len(samples)) if begin else samples
        self._intake.append(
            rest.tag,
            rest.source_ns,
            rest.value,
            rest.quality,
            source=self._name,
            on_commit=partial(self._acknowledge, messages) if messages else None,
        )

    def _acknowledge(self, messages: list[Message]) -> None:
        if self._link is not None:
            now_s = asyncio.get_running_loop().time()
            for message in messages:
                self._replay.acknowledged(message, now_s)
                self._link.ack(message)


def link_to(
    config: MqttSource,
    client_id: str,
    on_message: Callable[[Message], None],
    on_state: Callable[[bool, str], None],
    *,
    keeps_session: bool,
) -> MqttLink:
    """A link to the broker, as configured; with a session, messages wait for `ack`."""
    return MqttLink(
        host=config.host,
        port=config.port,
        client_id=client_id,
        clean_start=not keeps_session,
        session_expiry_s=_SESSION_EXPIRY_S if keeps_session else 0,
        keepalive_s=max(1, round(config.keepalive / 1e9)),
        tls=tls_context(config),
        username=config.username or None,
        password=password(config),
        manual_ack=keeps_session,
        gather_s=_GATHER_S,
        on_message=on_message,
        on_state=on_state,
    )


def client_id_of(name: str, config: MqttSource, gateway: str) -> str:
    """Under which name the broker knows a source of this gateway."""
    return config.client_id or "-".join(part for part in ("fieldwarden", gateway, name) if part)


def create(
    name: str,
    config: MqttSource,
    tags: Mapping[str, TagBinding],
    intake: Intake,
    *,
    dictionary: Dictionary,
    gateway: str,
    served: Telling | None = None,
) -> MqttSourceLink:
    """See `agent.sources.SourceKind.create`."""
    client_id = client_id_of(name, config, gateway)
    return MqttSourceLink(name, config, tags, intake, dictionary, client_id, served)
