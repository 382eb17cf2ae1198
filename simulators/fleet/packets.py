"""The few MQTT 5 packets that a gateway sends, as bytes. Pure; reading is `agent.mqtt.packets`'."""

from __future__ import annotations

import struct
from functools import lru_cache

from agent.forward.form import WireMessage

PING = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
_CONNECT, _PUBLISH, _PUBACK, _SUBSCRIBE = 0x10, 0x30, 0x40, 0x82
_CLEAN_WILL = 0x02 | 0x04 | 0x08 | 0x20  # clean start; a will of QoS 1 that is retained
_EXPIRY, _CONTENT_TYPE = 0x02, 0x03
_SESSION_ENDS_RECEIVES_65535 = b"\x21\xff\xff"


def connect(client_id: str, keepalive_s: int, will: WireMessage) -> bytes:
    """CONNECT of a session that ends with its connection."""
    head = _text("MQTT") + bytes((5, _CLEAN_WILL)) + struct.pack(">H", keepalive_s)
    properties = _sized(_SESSION_ENDS_RECEIVES_65535)
    payload = _text(client_id) + b"\0" + _text(will.topic)
    payload += struct.pack(">H", len(will.payload)) + will.payload
    return _packet(_CONNECT, head + properties + payload)


def subscribe(mid: int, topics: list[str]) -> bytes:
    """SUBSCRIBE with QoS 1."""
    filters = b"".join(_text(topic) + b"\x01" for topic in topics)
    return _packet(_SUBSCRIBE, struct.pack(">H", mid) + b"\0" + filters)


def publish(mid: int, message: WireMessage) -> bytes:
    """PUBLISH with QoS 1."""
    first = _PUBLISH | 0x02 | int(message.retain)
    properties = _properties(message.expiry_s, message.content_type)
    head = _text(message.topic) + struct.pack(">H", mid) + properties
    return _packet(first, head + message.payload)


def puback(mid: int) -> bytes:
    """PUBACK that says no more."""
    return struct.pack(">BBH", _PUBACK, 2, mid)


@lru_cache(maxsize=1_000)
def _properties(expiry_s: int | None, content_type: str | None) -> bytes:
    found = b"" if expiry_s is None else struct.pack(">BI", _EXPIRY, expiry_s)
    found += b"" if content_type is None else bytes((_CONTENT_TYPE,)) + _text(content_type)
    return _sized(found)


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _length(len(body)) + body


def _sized(content: bytes) -> bytes:
    return _length(len(content)) + content


def _length(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded
