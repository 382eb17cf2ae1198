"""One paho client on one TCP connection; the only module that imports paho.

paho is driven by the loop's readers and writers. Its traps, met here: `connect` blocks (name
look-up, TCP, TLS); one `loop_read` takes one packet; decrypted bytes wait inside TLS unseen by
poll; closing the socket from a callback deadlocks; a broker ends the connection when more publishes
are in flight than its CONNACK allows; a hostile packet can make the parser raise anything.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.mqtt.messages import LinkError, Message, RefusedError, Settings

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0  # TCP and TLS together, per address
FLUSH_TIMEOUT_S = 1.0  # for what is queued, and DISCONNECT, at the end of `run`
FIVE = MQTTProtocolVersion.MQTTv5
THREE = MQTTProtocolVersion.MQTTv311
LARGEST_RECEIVED = 4 * 1024 * 1024  # bytes of one packet; an MQTT 5 broker drops larger ones
LASTING = frozenset({"Packet too large", "Payload format invalid", "Topic name invalid"})
NO_SUBSCRIBERS = 0x10
READS_PER_WAKE = 200  # packets taken before the loop's other tasks get their turn


@functools.lru_cache(maxsize=256)
def publish_properties(expiry_s: int | None, content_type: str | None) -> Properties | None:
    """MQTT 5 properties of a PUBLISH; cached, because paho takes 15 us to build them."""
    if expiry_s is None and content_type is None:
        return None
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if expiry_s is not None:
        properties.MessageExpiryInterval = max(0, min(expiry_s, 2**32 - 1))
    if content_type is not None:
        properties.ContentType = content_type
    return properties  # type: ignore[no-any-return]


def _connect_properties(settings: Settings) -> Properties:
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = settings.session_expiry_s
    # Without it mosquitto keeps 20 in flight, which with acknowledgement at a commit a second
    # is 20 messages a second.
    properties.ReceiveMaximum = 65_535
    properties.MaximumPacketSize = LARGEST_RECEIVED
    return properties  # type: ignore[no-any-return]


class _Publish(NamedTuple):
    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: Properties | None
    future: asyncio.Future[bool]


async def _in_thread(function: Callable[[], None]) -> None:
    """Run in a daemon thread, so that a connect to a black hole delays no exit."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def report(error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def work() -> None:
        error: BaseException | None = None
        try:
            function()
        except BaseException as caught:  # noqa: BLE001 - handed over to the caller
            error = caught
        if not loop.is_closed():
            loop.call_soon_threadsafe(report, error)

    threading.Thread(target=work, name="mqtt-connect", daemon=True).start()
    await done


def failed(future: asyncio.Future[bool], error: Exception) -> asyncio.Future[bool]:
    """Fail a future without asyncio's complaint when nobody ever looks at it."""
    if not future.done():
        future.set_exception(error)
        future.exception()
    return future


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
        self._packets = 0
        self._filters: dict[int, Sequence[tuple[str, int]]] = {}
        self._pending: dict[int, asyncio.Future[bool]] = {}
        self._waiting: deque[_Publish] = deque()
        self._window = settings.max_inflight
        self._largest_sent = 268_435_455
        self.version = version
        self.accepted: asyncio.Future[str] = self._loop.create_future()  # "" or the refusal
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self.on_subscribe_refused: Callable[[str], None] = logger.warning
        self._client = self._new_client()

    def _new_client(self) -> paho.Client:
        settings, five = self._settings, self.version == FIVE
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=None if five else settings.clean_start,
            protocol=self.version,
            reconnect_on_failure=False,
            manual_ack=settings.manual_ack,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages = 0  # the window is kept here: paho can not narrow its own
        if settings.username is not None:
            client.username_pw_set(settings.username, settings.password)
        if settings.tls is not None:
            client.tls_set_context(settings.tls)
        if settings.will is not None:
            will = settings.will()
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._received
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
        await _in_thread(self._connect)
        sock = self._client.socket()
        if sock is None:
            raise LinkError("closed while connecting")
        self._attached = True
        self._loop.add_reader(sock.fileno(), self._readable)
        self._loop.add_writer(sock.fileno(), self._writable)

    def _connect(self) -> None:
        settings = self._settings
        if self.version == FIVE:
            self._client.connect(
                settings.host,
                settings.port,
                settings.keepalive_s,
                clean_start=settings.clean_start,
                properties=_connect_properties(settings),
            )
        else:
            self._client.connect(settings.host, settings.port, settings.keepalive_s)
        sock = self._client.socket()
        if self.ended.done() and sock is not None:  # nobody waited for us
            sock.close()

    def _readable(self) -> None:
        # paho takes one packet a call; a call that brought no packet has emptied the socket.
        for _ in range(READS_PER_WAKE):
            before = self._packets
            self._guarded(self._client.loop_read)
            sock = self._client.socket()
            if sock is None or self.ended.done():
                return
            # Decrypted bytes wait inside TLS, where the loop's poll can not see them.
            hidden = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
            if self._packets == before and not hidden:
                return
        self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        if self._attached:
            self._readable()

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
        self._guarded(self._client.loop_misc)

    async def finish(self) -> None:
        """Write what is queued, say DISCONNECT (so that the will is not sent), close."""
        if self._attached:
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
        unfinished = [*self._pending.values(), *(publish.future for publish in self._waiting)]
        self._pending.clear()
        self._waiting.clear()
        for future in unfinished:
            failed(future, LinkError(f"connection lost before PUBACK: {reason}"))

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
        self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, given: Any
    ) -> None:
        # A broker ends the connection when more are in flight than it said it takes.
        self._window = min(self._window, getattr(given, "ReceiveMaximum", 65_535))
        self._largest_sent = getattr(given, "MaximumPacketSize", self._largest_sent)
        if not self.accepted.done():
            self.accepted.set_result(str(reason) if reason.is_failure else "")

    def _disconnected(
        self, _client: Any, _data: Any, flags: Any, reason: ReasonCode, _given: Any
    ) -> None:
        who = "broker said" if flags.is_disconnect_packet_from_server else "lost"
        self._end(f"{who}: {reason}")

    def _received(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._packets += 1
        try:
            topic = message.topic
        except UnicodeDecodeError:
            logger.warning("a topic that is not UTF-8 was ignored")
            client.ack(message.mid, message.qos)
            return
        if self._on_message is None:
            client.ack(message.mid, message.qos)
            return
        try:
            self._on_message(
                Message(
                    topic,
                    bytes(message.payload),
                    message.qos,
                    message.retain,
                    message.mid,
                    self._number,
                )
            )
        except Exception:
            logger.exception("handling of a message on %s failed", topic)

    def _published(
        self, _client: Any, _data: Any, mid: int, reason: ReasonCode, _given: Any
    ) -> None:
        self._packets += 1
        future = self._pending.pop(mid, None)
        if future is not None and not future.done():
            if reason.is_failure:
                lasting = str(reason) in LASTING
                failed(future, RefusedError(str(reason), lasting=lasting))
            else:
                future.set_result(reason.value != NO_SUBSCRIBERS)
        while self._waiting and len(self._pending) < self._window and not self.ended.done():
            self._send(self._waiting.popleft())

    def _subscribed(
        self, _client: Any, _data: Any, mid: int, reasons: list[ReasonCode], _given: Any
    ) -> None:
        filters = self._filters.pop(mid, ())
        for (text, _), reason in zip(filters, reasons, strict=False):
            if reason.is_failure:
                self.on_subscribe_refused(f"subscription to {text} refused: {reason}")

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
            _, mid = self._client.subscribe(list(filters))
        except ValueError as error:
            self.on_subscribe_refused(f"subscription to {filters} is invalid: {error}")
            return
        if mid is not None:
            self._filters[mid] = filters

    def ack(self, message: Message) -> None:
        """PUBACK, where the message came by this connection."""
        if message.connection == self._number and message.qos and not self.ended.done():
            self._client.ack(message.mid, message.qos)
