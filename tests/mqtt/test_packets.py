"""Bytes to MQTT packets, against what paho itself writes, in every cut, and against nonsense."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.mqtt.packets import TOO_LARGE, Packets, Publish, publish


def length(number):
    """A variable byte integer, MQTT 5.0, 1.5.5."""
    out = b""
    while True:
        number, low = divmod(number, 128)
        out += bytes([low | (128 if number else 0)])
        if not number:
            return out


# One of each other property that PUBLISH may have, MQTT 5.0, 3.3.2.3; some look like an expiry.
OTHERS = [
    b"\x01\x01", b"\x03\x00\x05a/b\x02\x00", b"\x08\x00\x01r", b"\x09\x00\x05\x02\x00\x00\x00\x09",
    b"\x0b\xac\x02", b"\x23\x00\x02", b"\x26\x00\x46" + b"k" * 70 + b"\x00\x46" + b"v" * 70,
]  # fmt: skip


def encoded(found, *, five):
    body = struct.pack(">H", len(found.topic)) + found.topic
    body += struct.pack(">H", found.mid) if found.qos else b""
    if five and found.expiry_s is None and not found.mid % 2:
        body += Properties(PacketTypes.PUBLISH).pack()
    elif five:
        properties = list(OTHERS)
        if found.expiry_s is not None:
            expiry = b"\x02" + struct.pack(">I", found.expiry_s)
            properties.insert(found.mid % (len(OTHERS) + 1), expiry)
        body += length(len(b"".join(properties))) + b"".join(properties)
    body += found.payload
    return bytes([0x30 | found.qos << 1 | found.retain]) + length(len(body)) + body


def test_the_expiry_is_read_as_paho_writes_it():
    """Beside the properties of a message as our own sender and others publish them."""
    properties = Properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = 300
    properties.ContentType = "application/json"
    properties.UserProperty = ("a", "b")
    body = b"\x00\x01t" + properties.pack() + b"{}"
    (packet,) = fed([b"\x31" + length(len(body)) + body])
    assert publish(packet, five=True) == Publish(b"t", b"{}", 0, True, 0, 300)


@st.composite
def publishes(draw, five):
    qos = draw(st.integers(0, 1))
    return Publish(
        draw(st.binary(min_size=1, max_size=40)),
        draw(st.binary(max_size=300)),
        qos,
        draw(st.booleans()),
        draw(st.integers(1, 65_535)) if qos else 0,
        draw(st.one_of(st.none(), st.integers(0, 2**32 - 1))) if five else None,
    )


def fed(pieces):
    packets = Packets()
    return [packet for piece in pieces for packet in packets.feed(piece)]


@given(st.booleans(), st.data())
def test_what_was_sent_is_what_comes_out_however_it_was_cut(five, data):
    """Any publishes, of both versions, with and without properties, arrive in any pieces."""
    sent = data.draw(st.lists(publishes(five), max_size=6))
    stream = b"".join(encoded(one, five=five) for one in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [publish(packet, five=five) for packet in fed(pieces)] == sent


@given(st.booleans(), st.integers(60, 400), st.data())
def test_a_message_that_is_too_large_is_left_out_and_nothing_else(five, most, data):
    """However it is cut: its topic and identifier come, to be acknowledged, and it is told."""
    sent = data.draw(st.lists(publishes(five), max_size=6))
    stream, told, sizes = b"", [], []
    for one in sent:
        encoded_one = encoded(one, five=five)
        stream += encoded_one
        head = 2 if len(encoded_one) < 130 else 3
        sizes.append(len(encoded_one) - head)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    packets = Packets(most, told.append)
    got = [
        publish(packet, five=five)
        for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for packet in packets.feed(stream[a:b])
    ]
    assert len(got) == len(sent)
    assert len(told) == sum(size > most for size in sizes)
    for one, found, size in zip(sent, got, sizes, strict=True):
        if size <= most:
            assert found == one
        else:
            assert found.payload.strip(TOO_LARGE) == b"" != found.payload
            assert found == one._replace(payload=found.payload, expiry_s=None)


def test_what_is_too_large_and_no_message_ends_the_connection():
    """There is nothing to acknowledge, and no broker sends such a packet."""
    for first in (b"\x90", b"\x34", b"\x36"):
        with pytest.raises(ValueError, match="too large"):
            list(Packets(10).feed(first + length(11) + b"x" * 11))


@given(st.binary(max_size=400), st.booleans(), st.integers(1, 50))
def test_nonsense_is_cut_or_refused_but_never_lost(stream, five, size):
    """Any bytes: packets that together are the beginning of the stream, or a `ValueError`."""
    packets = Packets()
    out = b""
    with contextlib.suppress(ValueError):
        for at in range(0, len(stream), size):
            for packet in packets.feed(stream[at : at + size]):
                out += packet.data
                found = publish(packet, five=five)
                assert found is None or packet.data[0] >> 4 == 3
    assert stream.startswith(out)


def test_a_length_may_have_four_bytes_and_no_more():
    """268,435,455 is waited for; a fifth byte is no MQTT."""
    assert fed([b"\x30\xff\xff\xff\x7f"]) == []
    with pytest.raises(ValueError, match="four bytes"):
        fed([b"\x30\xff\xff\xff\xff\x7f"])


@pytest.mark.parametrize(
    "packet",
    [
        b"\x40\x02\x00\x01",  # PUBACK
        b"\xd0\x00",  # PINGRESP
        b"\x34\x06\x00\x01t\x00\x01\x00",  # QoS 2
        b"\x36\x06\x00\x01t\x00\x01\x00",  # QoS 3, which there is not
        b"\x30\x00",  # no topic at all
        b"\x30\x03\x00\x00\x00",  # an empty topic
        b"\x30\x02\xff\xff",  # a topic longer than its packet
        b"\x32\x03\x00\x01t",  # QoS 1 without a packet identifier
        b"\x32\x06\x00\x01t\x00\x00\x00",  # packet identifier 0
        b"\x30\x03\x00\x01t",  # version 5 without the length of properties
        b"\x30\x04\x00\x01t\x05",  # properties longer than their packet
        b"\x30\x08\x00\x01t\xff\xff\xff\xff\x01",  # and of a length that has no end
        b"\x30\x06\x00\x01t\x02\x11\x00",  # a property that PUBLISH does not have
        b"\x30\x06\x00\x01t\x02\x02\x00",  # an expiry of one byte
        b"\x30\x06\x00\x01t\x02\x08\xff",  # a text that is longer than its packet
    ],
    ids=lambda packet: packet.hex(),
)
def test_everything_else_is_left_to_paho(packet):
    """What is no PUBLISH of QoS 0 or 1 in good order is None, and still a whole packet."""
    (whole,) = fed([packet])
    assert whole.data == packet
    assert publish(whole, five=True) is None


def test_many_small_pieces_of_a_large_packet_are_put_together():
    """Two megabytes in pieces of 1,400 bytes come out once, exactly."""
    sent = Publish(b"camera", bytes(range(256)) * 8_192, 1, False, 7)
    stream = encoded(sent, five=True)
    found = fed([stream[at : at + 1_400] for at in range(0, len(stream), 1_400)])
    assert [publish(packet, five=True) for packet in found] == [sent]
