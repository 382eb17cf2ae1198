"""Received bytes cut into MQTT packets, and PUBLISH taken apart without a detour. Pure.

Source: MQTT 5.0 and 3.1.1 (OASIS), 2.1 and 3.3: the same layout but for the properties, which stand
before the payload in version 5. Of these only the message expiry is read: what is left of it when
the broker hands the message on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

_PUBLISH = 3
_PUBACK = 4
_SUBACK = 9
_LARGEST = 268_435_455  # what a length of four bytes can say
_UNSPECIFIED = 0x80
_SUBACK_CODES = frozenset({0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2})
_MOST_LENGTH_BYTES = 4
_EXPIRY = 0x02
TOO_LARGE = b"\0"
"""In place of a payload that is too large: no text, no number, no JSON, and not empty."""
# Properties of PUBLISH by identifier (MQTT 5.0, 3.3.2.3): bytes of their value; 0: as many as a
# length of two bytes before them says, -1: two such strings, -2: a variable byte integer.
_PROPERTIES = {0x01: 1, _EXPIRY: 4, 0x03: 0, 0x08: 0, 0x09: 0, 0x0B: -2, 0x23: 2, 0x26: -1}

REASONS = {
    0x80: "Unspecified error",
    0x83: "Implementation specific error",
    0x87: "Not authorized",
    0x90: "Topic name invalid",
    0x91: "Packet identifier in use",
    0x95: "Packet too large",
    0x97: "Quota exceeded",
    0x99: "Payload format invalid",
}
"""Of PUBACK: the standard's, and 0x95, which mosquitto 2.0 says there too. paho raises on it."""
LASTING = frozenset({0x90, 0x95, 0x99})
FAILURE = 0x80  # and above


class Publish(NamedTuple):
    """A received PUBLISH of QoS 0 or 1; `topic` as sent, `mid` 0 where QoS is 0.

    `expiry_s` is how many seconds the message is still good for, None where nobody said; `dup` says
    that it was sent before, though perhaps not received.
    """

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    mid: int
    expiry_s: int | None = None
    dup: bool = False


class Packet(NamedTuple):
    """One whole packet; what follows its fixed header begins at `body`."""

    data: bytes
    body: int


class Packets:
    """Cuts a stream into packets; holds back what is not whole yet.

    Of a PUBLISH that is too large the payload is `TOO_LARGE`: a broker that knows no limit sends it
    again with each connection, so it has to be acknowledged.

    Args:
        most: bytes after the fixed header of the largest packet that is taken.
        tell: gets a sentence about each that was too large.
    """

    def __init__(
        self, most: int = _LARGEST, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._data = bytearray()
        self._most = most
        self._tell = tell
        self._skipping = 0  # bytes that are still to come of one that is too large

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are whole with `data`; take all of them before the next call.

        Raises:
            ValueError: a length of more than four bytes, which is not MQTT, or a packet that is
                too large, and no PUBLISH of QoS 0 or 1.
        """
        skipped = min(self._skipping, len(data))
        self._skipping -= skipped
        self._data += data[skipped:]
        held, at = self._data, 0
        try:
            while (found := _length(held, at + 1)) is not None:
                length, body = found
                end = body + length
                if length > self._most:
                    small = _beheaded(held, at, body)
                    if small is None:
                        return
                    self._tell(f"a message of {length:,} bytes is left out; most: {self._most:,}")
                    self._skipping = max(0, end - len(held))
                    at = min(end, len(held))
                    yield small
                    continue
                if end > len(held):
                    return
                packet = Packet(bytes(held[at:end]), body - at)
                at = end
                yield packet
        finally:
            del held[:at]


def _beheaded(data: bytearray, at: int, body: int) -> Packet | None:
    """A PUBLISH with its topic and identifier, and `TOO_LARGE`; None until these are there.

    Raises:
        ValueError: it is no PUBLISH of QoS 0 or 1, or has no topic.
    """
    first = data[at]
    qos = first >> 1 & 3
    if first >> 4 != _PUBLISH or qos > 1:
        raise ValueError("a packet that is too large, and no message")
    if len(data) < body + 2:
        return None
    end = body + 2 + (data[body] << 8 | data[body + 1]) + 2 * qos
    if len(data) < end:
        return None
    # The first byte is the length of no properties, in MQTT 3.1.1 a byte more of the payload.
    rest = bytes(data[body:end]) + b"\0" + TOO_LARGE
    length, size = bytearray(), len(rest)
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return Packet(bytes((first,)) + bytes(length) + rest, 1 + len(length))


def _length(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A variable byte integer and where it ends; None where it is not whole.

    Raises:
        ValueError: it takes more than four bytes.
    """
    if at < len(data) and data[at] < 128:
        return data[at], at + 1
    value = 0
    for place in range(_MOST_LENGTH_BYTES):
        if at + place >= len(data):
            return None
        byte = data[at + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ValueError("a length of more than four bytes")


def _expiry_s(data: bytes, at: int, end: int) -> int | None:
    """The message expiry among the properties from `at` to `end`; None where it is not there.

    Raises:
        IndexError, ValueError: properties that are broken.
    """
    found: int | None = None
    while at < end:
        name, at = data[at], at + 1
        size = _PROPERTIES.get(name)
        if size is None:
            raise ValueError("a property that PUBLISH does not have")
        begin = at
        if size == -2:
            length = _length(data, at)
            at = end + 1 if length is None else length[1]
        else:
            for _ in range(2 if size == -1 else 1):
                at += size if size > 0 else 2 + (data[at] << 8 | data[at + 1])
        if at > end:
            raise ValueError("a property longer than all of them")
        if name == _EXPIRY:
            found = int.from_bytes(data[begin:at], "big")
    return found


def publish(packet: Packet, *, five: bool) -> Publish | None:
    """What a PUBLISH says; None for every other packet, for QoS 2, and for one that is broken.

    Args:
        packet: whole.
        five: of MQTT 5, with properties.
    """
    data, at = packet
    first, expiry_s = data[0], None
    qos = first >> 1 & 3
    if first >> 4 != _PUBLISH or qos > 1:
        return None
    try:
        end = at + 2 + (data[at] << 8 | data[at + 1])
        topic, mid = data[at + 2 : end], 0
        if qos:
            mid = data[end] << 8 | data[end + 1]
            end += 2
        if five:
            found = _length(data, end)
            end = len(data) + 1 if found is None else sum(found)
            if found is not None and found[0]:
                expiry_s = _expiry_s(data, found[1], end)
    except (IndexError, ValueError):
        return None
    if end > len(data) or not topic or (qos and not mid):
        return None
    return Publish(topic, data[end:], qos, bool(first & 1), mid, expiry_s, bool(first & 8))


def puback(packet: Packet) -> tuple[int, int] | None:
    """Packet identifier and reason code of a PUBACK of MQTT 5; None for every other packet."""
    data, at = packet
    if data[0] >> 4 != _PUBACK or len(data) < at + 2:
        return None
    return data[at] << 8 | data[at + 1], data[at + 2] if len(data) > at + 2 else 0


def plain_puback(mid: int) -> bytes:
    """A PUBACK that says nothing but that it is one."""
    return bytes((_PUBACK << 4, 2, mid >> 8, mid & 255))


def known_suback(packet: Packet) -> bytes:
    """A SUBACK of MQTT 5 with codes that the standard knows; every other packet as it is."""
    data, at = packet
    if data[0] >> 4 != _SUBACK:
        return data
    try:
        found = _length(data, at + 2)
    except ValueError:
        return data
    codes = len(data) if found is None else sum(found)
    known = (code if code in _SUBACK_CODES else _UNSPECIFIED for code in data[codes:])
    return data[:codes] + bytes(known)
