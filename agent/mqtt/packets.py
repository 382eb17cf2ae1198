"""Received bytes cut into MQTT packets, and PUBLISH taken apart without a detour. Pure.

Source: MQTT 5.0 and 3.1.1 (OASIS), 2.1 and 3.3: the same layout but for the properties, which stand
before the payload in version 5. Nobody here needs a received message's properties, so they are
skipped unread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_PUBLISH = 3
_MOST_LENGTH_BYTES = 4


class Publish(NamedTuple):
    """A received PUBLISH of QoS 0 or 1; `topic` as sent, `mid` 0 where QoS is 0."""

    topic: bytes
    payload: bytes
    qos: int
    retain: bool
    mid: int


class Packet(NamedTuple):
    """One whole packet; what follows its fixed header begins at `body`."""

    data: bytes
    body: int


class Packets:
    """Cuts a stream into packets; holds back what is not whole yet."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are whole with `data`; take all of them before the next call.

        Raises:
            ValueError: a length of more than four bytes: this is not MQTT.
        """
        self._data += data
        held, at = self._data, 0
        try:
            while (found := _length(held, at + 1)) is not None:
                length, body = found
                end = body + length
                if end > len(held):
                    return
                packet = Packet(bytes(held[at:end]), body - at)
                at = end
                yield packet
        finally:
            del held[:at]


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


def publish(packet: Packet, *, five: bool) -> Publish | None:
    """What a PUBLISH says; None for every other packet, for QoS 2, and for one that is broken.

    Args:
        packet: whole.
        five: of MQTT 5, with properties.
    """
    data, at = packet
    first = data[0]
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
    except (IndexError, ValueError):
        return None
    if end > len(data) or not topic or (qos and not mid):
        return None
    return Publish(topic, data[end:], qos, bool(first & 1), mid)
