"""MQTT: JSON by topic and pointer, through `agent.mqtt`.

Invariants:
- a message with QoS 1 is acknowledged only after what it said is committed, so that a crash loses
  nothing that a broker still has; it may come twice, and both times with the same source time;
- messages that arrive together leave together: columns are handed over once for each read of the
  socket, not once for each message, and reads are 20 ms apart while messages keep coming;
- nothing is ever published.

The agent keeps a session at the broker (for an hour), so the client id must be the gateway's own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from agent.backoff import Backoff
from agent.configuration.credentials import password, tls_context
from agent.configuration.schema import MqttSource
from agent.decode import mqtt as decode
from agent.decode.columns import Dictionary, settle
from agent.decode.mqtt import Columns, Decoder
from agent.errors import FieldwardenError, SourceError
from agent.intake import Intake
from agent.mqtt import Message, MqttLink
from agent.sources.base import Health, Remark, SourceReport, TagBinding, parse_all, tag_ids
from agent.types import Quality

_SESSION_EXPIRY_S = 3600  # the broker keeps what it could not deliver for so long
_MAX_BATCH = 2_000  # samples handed over at most at a time
_QOS = 1
_GATHER_S = 0.02  # far below any scan; one message a wake-up costs three times as much
_REPLAYED = int(Quality.REPLAYED)
_PROBE_LISTEN_S = 2.0


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
        )
        self._columns = Columns.empty()
        self._unacknowledged: list[Message] = []
        self._is_due = False
        self._link: MqttLink | None = None
        self._bytes = 0

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
        return self._health.report(tuple(plan), size=self._bytes)

    async def run(self) -> None:
        """Connect and subscribe until cancelled."""
        backoff = Backoff()
        while True:
            try:
                self._link = _link(
                    self._config,
                    self._client_id,
                    self._received,
                    self._changed,
                    keeps_session=True,
                )
            except FieldwardenError as error:
                self._health.failed(f"{error.operation} {error.subject}: {error.cause}")
                await asyncio.sleep(backoff.next_s())
                continue
            self._link.subscribe([(topic, _QOS) for topic in self._decoder.topics])
            try:
                await self._link.run()
            finally:
                self._hand_over()

    def _changed(self, connected: bool, reason: str) -> None:  # noqa: FBT001 - MqttLink's signature
        if connected:
            self._health.live("" if reason == "connected" else reason)
        else:
            self._hand_over()
            self._health.failed(f"{self._config.host}:{self._config.port}: {reason}")

    def _received(self, message: Message) -> None:
        bits = _REPLAYED if message.retain else 0
        self._bytes += len(message.payload)
        self._decoder.decode(message.topic, message.payload, bits, self._columns)
        if message.qos:
            self._unacknowledged.append(message)
        if len(self._columns.tag) >= _MAX_BATCH:
            self._hand_over()
        elif not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._hand_over)

    def _hand_over(self) -> None:
        """Everything since the last time, as columns."""
        self._is_due = False
        columns, self._columns = self._columns, Columns.empty()
        messages, self._unacknowledged = self._unacknowledged, []
        if not columns.tag and not messages:
            return
        self._health.arrived(len(columns.tag))
        value, quality = np.array(columns.value, np.float64), np.array(columns.quality, np.uint16)
        settle(value, quality)
        self._intake.append(
            np.array(columns.tag, np.int32),
            np.array(columns.source_ns, np.int64),
            value,
            quality,
            source=self._name,
            on_commit=partial(self._acknowledge, messages) if messages else None,
        )

    def _acknowledge(self, messages: list[Message]) -> None:
        if self._link is not None:
            for message in messages:
                self._link.ack(message)


def _link(
    config: MqttSource,
    client_id: str,
    on_message: Callable[[Message], None],
    on_state: Callable[[bool, str], None],
    *,
    keeps_session: bool,
) -> MqttLink:
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


def _client_id(name: str, config: MqttSource, gateway: str) -> str:
    return config.client_id or "-".join(part for part in ("fieldwarden", gateway, name) if part)


def create(
    name: str,
    config: MqttSource,
    tags: Mapping[str, TagBinding],
    intake: Intake,
    *,
    dictionary: Dictionary,
    gateway: str,
) -> MqttSourceLink:
    """See `agent.sources.SourceKind.create`."""
    client_id = _client_id(name, config, gateway)
    return MqttSourceLink(name, config, tags, intake, dictionary, client_id)


def on_paper(
    name: str,  # noqa: ARG001 - the same for all sources
    config: MqttSource,  # noqa: ARG001
    tags: Mapping[str, TagBinding],  # noqa: ARG001
) -> list[Remark]:
    """Nothing that holds for MQTT alone; see `agent.sources.SourceKind.on_paper`."""
    return []


async def probe(
    name: str, config: MqttSource, tags: Mapping[str, TagBinding], timeout_s: float
) -> list[str]:
    """Subscribe for a moment and tell what was heard; see `agent.sources.SourceKind.probe`.

    Silence is no fault: a topic may have nothing to say just now.
    """
    addresses = parse_all(name, tags, decode.parse_address)
    topics = dict.fromkeys(address.topic for address in addresses)
    heard: Counter[str] = Counter()
    states: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
    # Of its own name and without a session: the agent itself may be connected at the same time.
    link = _link(
        config,
        f"{_client_id(name, config, 'check')}-check",
        lambda message: heard.update([message.topic]),
        lambda connected, reason: states.put_nowait((connected, reason)),
        keeps_session=False,
    )
    link.subscribe([(topic, 0) for topic in topics])
    task = asyncio.create_task(link.run())
    reason = f"no answer within {timeout_s:g} s"
    try:
        async with asyncio.timeout(timeout_s):
            connected, reason = await states.get()
            if not connected:
                raise TimeoutError
        await asyncio.sleep(min(_PROBE_LISTEN_S, timeout_s))
    except TimeoutError:
        place = f"source {name!r} at {config.host}:{config.port}"
        hint = "is the broker running, and host, port, TLS and login right?"
        raise SourceError("connecting to", place, reason, hint) from None
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    return [
        f"{topic}: {heard[topic] or 'no'} message{'s' * (heard[topic] != 1)} heard"
        for topic in topics
    ]
