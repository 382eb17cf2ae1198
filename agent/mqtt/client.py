"""A paho client whose incoming bytes are read by us; with `connection`, all that imports paho.

paho takes three `recv` calls a packet, and for each PUBLISH of MQTT 5 it builds a table of all
properties and a threading condition: 25 us. So `Connection` reads and takes PUBLISH itself, and
everything else is handed to paho, one whole packet at a time, through its `_sock_recv`. Likewise
acknowledgements go out many at a time. These two private methods are all that is relied on;
`tests/mqtt/test_link.py` fails where a version of paho has others.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.mqtt.messages import HUNG_UP, Settings

CONNECT_TIMEOUT_S = 5.0  # TCP and TLS together, per address
FIVE = MQTTProtocolVersion.MQTTv5
THREE = MQTTProtocolVersion.MQTTv311
LARGEST_RECEIVED = 4 * 1024 * 1024  # bytes of one packet; an MQTT 5 broker drops larger ones
_SHARED = "$share/"
_NEVER = 2  # retain handling: do not send what was kept
_PUBACK = 0x40
_PINGRESP = b"\xd0\x00"


class Client(paho.Client):
    """Gets its packets from `hand_over` only."""

    _packet = b""
    _end: OSError | None = None

    def hand_over(self, packet: bytes) -> MQTTErrorCode:
        """Let paho handle one whole packet."""
        self._packet = packet
        return self.loop_read()

    def hang_up(self, error: OSError | None) -> MQTTErrorCode:
        """Tell paho that the stream has ended, by an error or by a goodbye of TCP."""
        self._end = error or ConnectionResetError(HUNG_UP)
        return self.loop_read()

    @property
    def ended_by(self) -> OSError | None:
        """How the stream ended, None where it did not: paho itself only says "unspecified"."""
        return self._end

    def heard(self) -> MQTTErrorCode:
        """Tell paho that the peer is alive: PUBLISH, which it never saw, says so too."""
        return self.hand_over(_PINGRESP)

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._packet:
            part, self._packet = self._packet[:bufsize], self._packet[bufsize:]
            return part
        if self._end is not None:
            raise self._end
        raise BlockingIOError

    def acknowledge(self, mids: Sequence[int]) -> None:
        """PUBACK of several messages, in one write."""
        packets = b"".join(struct.pack(">BBH", _PUBACK, 2, mid) for mid in mids)
        self._packet_queue(_PUBACK, packets, mids[-1], 1)


def new_client(settings: Settings, version: MQTTProtocolVersion) -> Client:
    """A client as the link's settings want it, not connected."""
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=settings.client_id,
        clean_session=None if version == FIVE else settings.clean_start,
        protocol=version,
        reconnect_on_failure=False,
        manual_ack=settings.manual_ack,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    client.max_inflight_messages = 0  # `Connection` keeps the window: paho can not narrow its own
    if settings.username is not None:
        client.username_pw_set(settings.username, settings.password)
    if settings.tls is not None:
        client.tls_set_context(settings.tls)
    if settings.will is not None:
        will = settings.will()
        client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
    return client


def connect(client: Client, settings: Settings) -> None:
    """Name look-up, TCP, TLS, CONNECT; blocks.

    Raises:
        OSError: not reachable; includes `ssl.SSLError` and failed name look-up.
        ValueError: host or port unusable.
    """
    more: dict[str, Any] = {}
    if client.protocol == FIVE:
        more = {"clean_start": settings.clean_start, "properties": _connect_properties(settings)}
    client.connect(settings.host, settings.port, settings.keepalive_s, **more)


def _connect_properties(settings: Settings) -> Properties:
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = settings.session_expiry_s
    # Without it mosquitto keeps 20 in flight, which with acknowledgement at a commit a second
    # is 20 messages a second.
    properties.ReceiveMaximum = settings.receive_maximum
    properties.MaximumPacketSize = LARGEST_RECEIVED
    return properties  # type: ignore[no-any-return]


def subscriptions(filters: Sequence[tuple[str, int]], version: MQTTProtocolVersion) -> Any:
    """Topic filters as paho takes them.

    What a broker has kept is not for shared subscriptions (MQTT 5.0, 4.8.2), but mosquitto 2.0
    sends all of it to each member at each SUBSCRIBE, unless it is told not to.
    """
    if version != FIVE:
        return [*filters]
    return [
        (one, SubscribeOptions(qos=qos, retainHandling=_NEVER if one.startswith(_SHARED) else 0))
        for one, qos in filters
    ]


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
