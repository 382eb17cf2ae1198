"""One MQTT connection that mends itself, driven by the asyncio loop.

Invariants:
- one paho client lives for one TCP connection: nothing is ever re-sent behind the caller's back. A
  publish that saw no PUBACK before the connection dropped fails, and the caller, who knows what is
  committed, decides.
- a PUBACK says that the broker has the message, not that anybody read it: consumers de-duplicate.
- a message of an earlier connection can not be acknowledged on a later one; the broker sends it
  again where the session outlives the connection (`clean_start=False`).
- the loop never waits: name look-up, TCP connect and TLS handshake run in a thread of their own.

Cost, measured on one core at 2,000 messages a second of QoS 1: 11 us a message received, 8 us where
they gather; paho's own reading takes 35 to 65 us, and a bridge from its thread more.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from typing import Literal

from agent.backoff import LONGEST_RETRY_S, Backoff
from agent.errors import cause_of
from agent.mqtt.background import failed
from agent.mqtt.client import FIVE, THREE, publish_properties
from agent.mqtt.connection import Connection
from agent.mqtt.messages import LinkError, Message, Settings, Will

logger = logging.getLogger(__name__)

CONNACK_TIMEOUT_S = 10.0
FIRST_RETRY_S = 0.2
STABLE_S = 5.0  # a connection that lived shorter than this does not reset the backoff
UNSUPPORTED_VERSION = "Unsupported protocol version"

Protocol = Literal["auto", "5", "3.1.1"]


class MqttLink:
    """A connection to one broker, made again whenever it is lost.

    Args:
        host: name or address of the broker.
        port: TCP port.
        client_id: unique at the broker: two of the same name throw each other out.
        clean_start: False to go on with the session that the broker kept.
        session_expiry_s: seconds the broker keeps the session after a loss (MQTT 5; a broker that
            speaks only 3.1.1 keeps it for ever where `clean_start` is False).
        keepalive_s: seconds; a dead peer is noticed within twice that.
        will: published by the broker when the connection is lost without a goodbye; a function
            is called before each connection.
        tls: encrypts where given.
        username: with `password`, for the broker's own authentication.
        password: see `username`.
        manual_ack: messages are acknowledged by `ack` only, never by themselves. A 3.1.1 broker
            then sends no more than its own window (mosquitto: 20) before the next `ack`.
        max_inflight: most publishes without PUBACK; further ones queue inside.
        gather_s: seconds for which what arrives may gather before it is read: costs that much
            delay, and saves waking up for each of many messages.
        receive_maximum: the broker sends no more messages before the next `ack` (MQTT 5): what
            is held here is bounded by it, and waits at the broker beyond it.
        on_message: called on the loop with each message.
        on_state: called on the loop with (connected, reason) whenever either changes.
        longest_retry_s: no pause between two tries to connect is longer.
        protocol: "auto" tries MQTT 5 and falls back to 3.1.1 where the broker can not.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        client_id: str,
        clean_start: bool = True,
        session_expiry_s: int = 0,
        keepalive_s: int = 15,
        will: Will | Callable[[], Will] | None = None,
        tls: ssl.SSLContext | None = None,
        username: str | None = None,
        password: str | None = None,
        manual_ack: bool = False,
        max_inflight: int = 200,
        gather_s: float = 0.0,
        receive_maximum: int = 65_535,
        on_message: Callable[[Message], None] | None = None,
        on_state: Callable[[bool, str], None] | None = None,
        longest_retry_s: float = LONGEST_RETRY_S,
        protocol: Protocol = "auto",
    ) -> None:
        self._settings = Settings(
            host,
            port,
            client_id,
            clean_start,
            session_expiry_s,
            keepalive_s,
            (lambda: will) if isinstance(will, Will) else will,
            tls,
            username,
            password,
            manual_ack,
            max_inflight,
            gather_s,
            receive_maximum,
        )
        self._longest_retry_s = longest_retry_s
        self._on_message = on_message
        self._on_state = on_state
        self._filters: dict[str, int] = {}
        self._connection: Connection | None = None
        self._count = 0
        self._state = (False, "")
        self._fixed = protocol != "auto"
        self._heard = False  # the broker has accepted the version in use
        self._version = THREE if protocol == "3.1.1" else FIVE
        self.pause_s = 0.0  # before each further connection, at least

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the connection stands."""
        return self._state[0]

    @property
    def session_present(self) -> bool:
        """Whether the broker goes on with a session that it had kept: old messages may come."""
        return self._connection is not None and self._connection.session_present

    async def run(self) -> None:
        """Connect, and connect again, until cancelled; then say DISCONNECT."""
        backoff = Backoff(FIRST_RETRY_S, self._longest_retry_s)
        loop = asyncio.get_running_loop()
        while True:
            began, version = loop.time(), self._version
            reason = await self._serve()
            self._tell(connected=False, reason=reason)
            if (version, self._version) == (FIVE, THREE):
                continue
            if loop.time() - began > STABLE_S:
                backoff.reset()
            await backoff.wait(self.pause_s * random.uniform(0.8, 1.2))

    async def _serve(self) -> str:
        """One connection from beginning to end; returns why it ended."""
        self._count += 1
        connection = Connection(self._settings, self._version, self._count, self._on_message)
        connection.on_subscribe_refused = self._subscription_refused
        try:
            refusal = await self._establish(connection)
            if refusal:
                connection.close(refusal)
                return refusal
            self._connection = connection
            if self._filters:
                connection.subscribe(list(self._filters.items()))
            self._tell(connected=True, reason="connected")
            while not connection.ended.done():
                await asyncio.wait({connection.ended}, timeout=1.0)
                connection.misc()
            return connection.ended.result()
        finally:
            self._connection = None
            await connection.finish()

    async def _establish(self, connection: Connection) -> str:
        """Connect and wait for CONNACK; returns "" or why there will be no connection."""
        try:
            await connection.open()
        except (OSError, ValueError) as error:
            return cause_of(error)
        await asyncio.wait(
            {connection.accepted, connection.ended},
            timeout=CONNACK_TIMEOUT_S,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not connection.accepted.done():
            refusal = connection.ended.result() if connection.ended.done() else "no CONNACK"
            # Some 3.1.1 brokers hang up on a CONNECT of version 5, others (amqtt) never answer it.
            self._other_version(possible=not self._heard)
            return refusal
        refusal = connection.accepted.result()
        self._heard = self._heard or not refusal
        self._other_version(possible=refusal == UNSUPPORTED_VERSION)
        return refusal

    def _other_version(self, *, possible: bool) -> None:
        """Try the other protocol version next, where it is ours to choose and may help."""
        if self._fixed or not possible:
            return
        self._version = THREE if self._version == FIVE else FIVE

    def _tell(self, *, connected: bool, reason: str) -> None:
        if self._state == (connected, reason):
            return
        self._state = (connected, reason)
        if self._on_state is not None:
            self._on_state(connected, reason)

    def _subscription_refused(self, reason: str) -> None:
        logger.warning("%s:%s: %s", self._settings.host, self._settings.port, reason)
        self._tell(connected=self.connected, reason=reason)

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
        content_type: str | None = None,
    ) -> asyncio.Future[bool]:
        """Send one message; done at PUBACK (QoS 0: at once).

        Args:
            topic: without wildcards.
            payload: bytes as they are.
            qos: 0 or 1.
            retain: the broker keeps it for later subscribers.
            expiry_s: seconds after which the broker no longer delivers it (MQTT 5).
            content_type: MIME type (MQTT 5).

        Returns:
            A future: False where the broker (MQTT 5) says that nobody is subscribed, else True. It
            fails with `RefusedError` where this very message is refused, or with `LinkError` where
            there is no connection or it drops before PUBACK.
        """
        if self._connection is None:
            return failed(asyncio.get_running_loop().create_future(), LinkError("not connected"))
        properties = publish_properties(expiry_s, content_type)
        return self._connection.publish(topic, payload, qos, retain=retain, properties=properties)

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Add topic filters with their QoS; sent now where connected, and at each connect."""
        self._filters.update(dict(filters))
        if self._connection is not None:
            self._connection.subscribe(list(filters))

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """End subscriptions that a kept session still has; sent now, where connected."""
        for text in filters:
            self._filters.pop(text, None)
        if self._connection is not None:
            self._connection.unsubscribe(filters)

    def ack(self, message: Message) -> None:
        """Acknowledge with `manual_ack`, after what the message said was committed."""
        if self._connection is not None:
            self._connection.ack(message)
