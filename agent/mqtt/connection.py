"""One paho client on one TCP connection, driven by the loop's readers and writers.

The traps, met here: paho's `connect` blocks (name look-up, TCP, TLS); decrypted bytes wait inside
TLS unseen by poll; closing the socket from a callback of paho deadlocks; a broker ends the
connection when more publishes are in flight than its CONNACK allows; a hostile packet can make
paho's parser raise anything.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.errors import cause_of
from agent.mqtt.background import failed, in_thread
from agent.mqtt.client import FIVE, LARGEST_RECEIVED, Client, connect, new_client, subscriptions
from agent.mqtt.draining import drained
from agent.mqtt.messages import LinkError, LostError, Message, RefusedError, Settings
from agent.mqtt.packets import (
    FAILURE,
    LASTING,
    REASONS,
    Packet,
    Packets,
    Publish,
    known_suback,
    plain_puback,
    puback,
    publish,
)

logger = logging.getLogger(__name__)

FLUSH_TIMEOUT_S = 1.0  # for what is queued, and DISCONNECT, at the end of `run`
NO_SUBSCRIBERS = 0x10
_TLS_AGAIN_S = 0.05
READ_BYTES = 16_384  # taken before the loop's other tasks get their turn: some 300 messages


class _Publish(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties | None
    future: asyncio.Future[bool]


class Connection:
    """One paho client on one TCP connection, from CONNECT to its end.

    Args:
        settings: of the link.
        version: MQTT version to speak.
        number: of this connection, from 1.
        on_message: gets each message; what it raises is logged.
    """

    def __init__(
        self,
        settings: Settings,
        version: MQTTProtocolVersion,
        number: int,
        on_message: Callable[[Message], None] | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._settings = settings
        self._number = number
        self._on_message = on_message
        self._attached = False
        self._paused = False
        self._heard = False  # anything since the last `misc`
        self._packets = Packets(LARGEST_RECEIVED, logger.warning)
        self._codes: dict[int, int] = {}  # of PUBACKs, by packet identifier, until paho tells
        self._acks: list[int] = []
        self._filters: dict[int, Sequence[tuple[str, int]]] = {}
        self._pending: dict[int, asyncio.Future[bool]] = {}
        self._waiting: deque[_Publish] = deque()
        self._window = settings.max_inflight
        self._largest_sent = 268_435_455
        self.version = version
        self.session_present = False  # the broker goes on with a session that it had kept
        self.accepted: asyncio.Future[str] = self._loop.create_future()  # "" or the refusal
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self.on_subscribe_refused: Callable[[str], None] = logger.warning
        self._client = self._new_client()

    def _new_client(self) -> Client:
        client = new_client(self._settings, self.version)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._of_quality_two
        client.on_publish = self._published
        client.on_subscribe = self._subscribed
        client.on_socket_close = self._socket_closed
        client.on_socket_register_write = self._want_write
        client.on_socket_unregister_write = self._no_write
        return client

    # --- the loop's side ---------------------------------------------------------------------

    async def open(self) -> None:
        """TCP, TLS and CONNECT.

        Raises:
            OSError: not reachable; includes `ssl.SSLError` and failed name look-up.
            ValueError: host or port unusable.
        """
        await in_thread(self._connect)
        sock = self._client.socket()
        if sock is None:
            raise LinkError("closed while connecting")
        self._attached = True
        self._loop.add_reader(sock.fileno(), self._readable)
        self._loop.add_writer(sock.fileno(), self._writable)

    def _connect(self) -> None:
        connect(self._client, self._settings)
        sock = self._client.socket()
        if self.ended.done() and sock is not None:  # nobody waited for us
            sock.close()

    def _readable(self) -> None:
        """Read once; then at once again, after a pause, or when poll says so."""
        sock = self._client.socket()
        if sock is None or not self._attached:
            return
        data = self._received(sock)
        if self.ended.done():
            return
        # Decrypted bytes wait inside TLS, where the loop's poll can not see them.
        hidden = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        if hidden or data >= READ_BYTES:
            self._loop.call_soon(self._readable)
        elif data and self._settings.gather_s:
            self._loop.remove_reader(sock.fileno())
            self._paused = True
            self._loop.call_later(self._settings.gather_s, self._readable)
        elif self._paused:
            self._paused = False
            self._loop.add_reader(sock.fileno(), self._readable)

    def _received(self, sock: Any) -> int:
        """Handle what is there; how many bytes that was."""
        try:
            data = sock.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return 0
        except ssl.SSLWantWriteError:  # TLS has something of its own to send first
            self._loop.call_later(_TLS_AGAIN_S, self._readable)
            return 0
        except OSError as error:
            self._guarded(partial(self._client.hang_up, error))
            return 0
        if not data:
            self._guarded(partial(self._client.hang_up, None))
            return 0
        self._heard = True  # also inside a message that takes minutes
        try:
            for packet in self._packets.feed(data):
                found = publish(packet, five=self.version == FIVE)
                if found is not None:
                    self._message(found)
                    continue
                self._guarded(partial(self._client.hand_over, self._for_paho(packet)))
                if self.ended.done():
                    break
        except ValueError as error:
            self.close(f"broken packet: {error}")
        return len(data)

    def _for_paho(self, packet: Packet) -> bytes:
        """The packet without reason codes that paho can not name: it raises on them."""
        if self.version != FIVE:
            return packet.data
        answer = puback(packet)
        if answer is None:
            return known_suback(packet)
        mid, code = answer
        if mid in self._pending:
            self._codes[mid] = code
        return plain_puback(mid)

    def _writable(self) -> None:
        self._guarded(self._client.loop_write)

    def _guarded(self, step: Callable[[], MQTTErrorCode]) -> None:
        """Run a step of paho; a peer that makes it raise costs the connection, not the process."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - struct.error, IndexError, ...: hostile peers
            self.close(f"broken packet: {error!r}")

    def misc(self) -> None:
        """Keep-alive; call about once a second."""
        if self._heard and self._attached:
            self._heard = False
            self._guarded(self._client.heard)
        self._guarded(self._client.loop_misc)

    async def finish(self) -> None:
        """Write what is queued, say DISCONNECT (so that the will is not sent), close."""
        if self._attached:
            self._send_acks()
            async with drained(self._client.socket()):  # which paho closes with DISCONNECT
                self._client.disconnect()
                await asyncio.wait({self.ended}, timeout=FLUSH_TIMEOUT_S)
        self.close("disconnected")

    def close(self, reason: str) -> None:
        """Forget the connection; what is in flight fails."""
        self._end(reason)
        sock = self._client.socket()
        if sock is not None:
            self._socket_closed(self._client, None, sock)
            sock.close()

    def _end(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
        pending, waiting = self._pending, self._waiting
        self._pending, self._waiting = {}, deque()
        for future in pending.values():
            failed(future, LostError(f"connection lost before PUBACK: {reason}"))
        for one in waiting:
            failed(one.future, LinkError(f"not sent: {reason}"))

    # --- paho's side; never close the socket in here: paho holds a lock that is not re-entrant --

    def _socket_closed(self, _client: Any, _data: Any, sock: Any) -> None:
        if self._attached:
            self._loop.remove_reader(sock.fileno())
            self._loop.remove_writer(sock.fileno())
            self._attached = False

    def _want_write(self, _client: Any, _data: Any, sock: Any) -> None:
        if self._attached:
            self._loop.add_writer(sock.fileno(), self._writable)

    def _no_write(self, _client: Any, _data: Any, sock: Any) -> None:
        if self._attached:
            self._loop.remove_writer(sock.fileno())

    def _connected(
        self, _client: Any, _data: Any, flags: Any, reason: ReasonCode, given: Any
    ) -> None:
        self.session_present = bool(flags.session_present)
        # A broker ends the connection when more are in flight than it said it takes.
        self._window = min(self._window, getattr(given, "ReceiveMaximum", 65_535))
        self._largest_sent = getattr(given, "MaximumPacketSize", self._largest_sent)
        if not self.accepted.done():
            self.accepted.set_result(str(reason) if reason.is_failure else "")

    def _disconnected(
        self, _client: Any, _data: Any, flags: Any, reason: ReasonCode, _given: Any
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._end(f"broker said: {reason}")
        elif (error := self._client.ended_by) is not None:
            self._end(cause_of(error))
        else:
            self._end(f"lost: {reason}")

    def _of_quality_two(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        """QoS 2, which nobody here asks for, takes paho's own way."""
        try:
            topic = message.topic
        except UnicodeDecodeError:
            client.ack(message.mid, message.qos)
            return
        self._hand_on(
            Message(topic, bytes(message.payload), 2, message.retain, message.mid, self._number)
        )

    def _published(
        self, _client: Any, _data: Any, mid: int, _reason: ReasonCode, _given: Any
    ) -> None:
        future = self._pending.pop(mid, None)
        code = self._codes.pop(mid, 0)
        if future is not None and not future.done():
            if code >= FAILURE:
                reason = REASONS.get(code, f"reason code 0x{code:02X}")
                failed(future, RefusedError(reason, lasting=code in LASTING))
            else:
                future.set_result(code != NO_SUBSCRIBERS)
        while self._waiting and len(self._pending) < self._window and not self.ended.done():
            self._send(self._waiting.popleft())

    def _subscribed(
        self, _client: Any, _data: Any, mid: int, reasons: list[ReasonCode], _given: Any
    ) -> None:
        filters = self._filters.pop(mid, ())
        for (text, _), reason in zip(filters, reasons, strict=False):
            if reason.is_failure:
                self.on_subscribe_refused(f"subscription to {text} refused: {reason}")

    # --- messages -----------------------------------------------------------------------------

    def _message(self, found: Publish) -> None:
        topic_bytes, payload, qos, retain, mid, expiry_s, dup = found
        try:
            topic = str(topic_bytes, "utf-8")
        except UnicodeDecodeError:
            logger.warning("a topic that is not UTF-8 was ignored")
            self._acknowledge(mid)
            return
        message = Message(
            topic, payload, qos, retain, mid, self._number, expiry_s, dup, self.session_present
        )
        self._hand_on(message)
        if not self._settings.manual_ack or self._on_message is None:
            self._acknowledge(mid)

    def _hand_on(self, message: Message) -> None:
        if self._on_message is None:
            return
        try:
            self._on_message(message)
        except Exception:
            logger.exception("handling of a message on %s failed", message.topic)

    def _acknowledge(self, mid: int) -> None:
        """PUBACK with all others of this turn of the loop; QoS 0 has no `mid` and needs none."""
        if not mid:
            return
        if not self._acks:
            self._loop.call_soon(self._send_acks)
        self._acks.append(mid)

    def _send_acks(self) -> None:
        mids, self._acks = self._acks, []
        if mids and self._attached:
            self._client.acknowledge(mids)

    # --- the link's side -----------------------------------------------------------------------

    def publish(
        self, topic: str, payload: bytes, qos: int, *, retain: bool, properties: Properties | None
    ) -> asyncio.Future[bool]:
        """See `MqttLink.publish`."""
        future: asyncio.Future[bool] = self._loop.create_future()
        if self.ended.done():
            return failed(future, LinkError("not connected"))
        if len(topic) * 3 + len(payload) + 64 > self._largest_sent:
            return failed(future, RefusedError("Packet too large", lasting=True))
        known = properties if self.version == FIVE else None
        publish = _Publish(topic, payload, qos, retain, known, future)
        if qos and len(self._pending) >= self._window:
            self._waiting.append(publish)
        else:
            self._send(publish)
        return future

    def _send(self, publish: _Publish) -> None:
        try:
            info = self._client.publish(
                publish.topic, publish.payload, publish.qos, publish.retain, publish.properties
            )
        except ValueError as error:  # wildcards in the topic, or one that is too long
            failed(publish.future, RefusedError(str(error), lasting=True))
            return
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            failed(publish.future, LinkError(paho.error_string(info.rc)))
        elif publish.qos:
            self._pending[info.mid] = publish.future
        else:
            publish.future.set_result(True)

    def subscribe(self, filters: Sequence[tuple[str, int]]) -> None:
        """Send SUBSCRIBE; refusals reach `on_subscribe_refused`."""
        try:
            _, mid = self._client.subscribe(subscriptions(filters, self.version))
        except ValueError as error:
            self.on_subscribe_refused(f"subscription to {filters} is invalid: {error}")
            return
        if mid is not None:
            self._filters[mid] = filters

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Ask for messages no longer that an earlier configuration had asked for."""
        self._client.unsubscribe(list(filters))

    def ack(self, message: Message) -> None:
        """PUBACK, where the message came by this connection."""
        if message.connection != self._number or self.ended.done():
            return
        if message.qos == 1:
            self._acknowledge(message.mid)
        elif message.qos:
            self._client.ack(message.mid, message.qos)
