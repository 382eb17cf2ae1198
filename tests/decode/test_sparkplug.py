"""Sparkplug B: bytes of a reference encoder, and whatever else comes."""

from __future__ import annotations

import json
import math
import struct
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.decode import protobuf as wire
from agent.decode.columns import Dictionary
from agent.decode.mqtt import Columns, Decoder, parse_address
from agent.decode.sparkplug import payload_of, topic_of
from agent.errors import SourceError
from agent.types import Quality
from tests.sparkplug import metric, payload, varint

NOW_NS = int(datetime.fromisoformat("2026-03-01T12:00:00+00:00").timestamp() * 1e9)
NOW_MS = NOW_NS // 10**6
DATA = "spBv1.0/plant/DDATA/edge/dryer"
BIRTH, DEATH = DATA.replace("DDATA", "DBIRTH"), "spBv1.0/plant/NDEATH/edge"

REFERENCE = bytes.fromhex(
    "08809494caca33123b0a10444154412f54656d7065726174757265100118809494caca33200a4a130a07656e"
    "67556e69741208080c420464656743690000000000e05140121b0a0a444154412f436f756e74100218809494"
    "caca33200250fbff03121b0a0c444154412f52756e6e696e67100318809494caca33200b7001121d0a0b4441"
    "54412f526563697065100418809494caca33200c7a03412d371801"
)
"""A device's birth as mqtt-spb-wrapper 2.1 (protobuf's own encoder) writes it."""


def test_a_birth_of_the_reference_encoder_is_read():
    """Names, types, values, time, properties."""
    found = {one.name: one for one in payload_of(REFERENCE).metrics}
    assert found["DATA/Temperature"].value == 71.5 and found["DATA/Temperature"].type == 10
    assert found["DATA/Temperature"].properties["engUnit"] == "degC"
    assert found["DATA/Count"].value == -5
    assert found["DATA/Running"].value is True
    assert found["DATA/Recipe"].value == "A-7"
    assert found["DATA/Temperature"].time_ms == NOW_MS


@given(
    st.text(max_size=20), st.sampled_from([(1, 8), (2, 16), (3, 32), (4, 64)]), st.data(),
)  # fmt: skip
def test_whole_numbers_keep_their_sign(name, kind, data):
    """As two's complement of the type's width, or of the field's."""
    number, bits = kind
    value = data.draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    for width in {bits, 32 if bits < 64 else 64}:
        raw = metric(name, number, raw=value % 2**width)
        assert payload_of(payload(raw)).metrics[0].value == value


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_message_or_a_value_error(data):
    """Nothing else leaves the reader."""
    try:
        payload_of(data)
    except ValueError:
        return


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.integers(0, 2**64 - 1))))
def test_varints_of_every_size_are_read(pairs):
    """Field numbers and values."""
    data = b"".join(varint(number << 3) + varint(value) for number, value in pairs)
    assert [(at, value) for at, _, value in wire.fields(data)] == pairs


@pytest.mark.parametrize("data", [b"\x0a\x05ab", b"\x80" * 11, b"\x0b", b"\x00\x01", b"\x0d\x01"])
def test_what_is_cut_or_no_message_is_an_error(data):
    """A text that is longer than the rest, a number without end, a group, field 0, half a float."""
    with pytest.raises(ValueError):
        list(wire.fields(data))


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (DATA, DATA), ("spBv1.0/g/NBIRTH/n", "spBv1.0/g/NDATA/n"), ("spBv1.0/g/DDATA/n", None),
        ("spBv1.0/g/NDATA/n/d", None), ("spBv1.0/STATE/host", None), ("spBv1.0/g/DCMD/n/d", None),
    ],
)  # fmt: skip
def test_a_topic_says_what_it_is_of(text, data):
    """Commands and the host's state are nothing that is read."""
    found = topic_of(text)
    assert (found and found.data) == data


# --- in the decoder of MQTT -----------------------------------------------------------------------


def decoder(*addresses, texts=()):
    """(decode a message to rows of (tag, time, value, quality), the decoder)."""
    made = Decoder(
        [parse_address(text) for text in addresses], list(range(len(addresses))),
        [index in texts for index in range(len(addresses))], Dictionary(),
    )  # fmt: skip

    def take(topic, data):
        columns = Columns.empty()
        made.decode(topic, data, 0, columns, NOW_NS)
        return list(
            zip(columns.tag, columns.source_ns, columns.value, columns.quality, strict=True)
        )

    return take, made


def test_values_by_alias_are_read_once_a_birth_told_their_names():
    """The type is the birth's too; a metric's time is its own, else the message's."""
    take, made = decoder(f"{DATA} /Inputs/A", f"{DATA} '/Flow rate'")
    assert BIRTH in made.topics and DEATH in made.topics and DATA in made.topics
    by_alias = payload(metric("", 0, alias=7, raw=2**32 - 3), time_ms=NOW_MS)
    assert take(DATA, by_alias) == [] and "no birth was heard" in made.details[0]
    born = payload(
        metric("Inputs/A", 3, alias=7, raw=1, time_ms=NOW_MS - 5), metric("Flow rate", 9, real=2.5),
        time_ms=NOW_MS,
    )  # fmt: skip
    assert take(BIRTH, born) == [(0, NOW_NS - 5_000_000, 1.0, 0), (1, NOW_NS, 2.5, 0)]
    assert take(DATA, by_alias) == [(0, NOW_NS, -3.0, 0)]


def test_the_death_of_a_node_loses_its_values_and_a_late_one_does_not():
    """By the bdSeq of its birth."""
    take, _ = decoder(f"{DATA} /A")
    take("spBv1.0/plant/NBIRTH/edge", payload(metric("bdSeq", 8, raw=4)))
    assert take(DEATH, payload(metric("bdSeq", 8, raw=3))) == []
    ((tag, _, value, quality),) = take(DEATH, payload(metric("bdSeq", 8, raw=4)))
    assert tag == 0 and math.isnan(value)
    assert quality == Quality.BAD | Quality.COMMUNICATION_LOST
    assert len(take("spBv1.0/plant/DDEATH/edge/dryer", payload())) == 1
    assert take("spBv1.0/plant/DDEATH/edge/other", payload()) == []


@pytest.mark.parametrize(
    ("more", "quality"),
    [
        ({"quality": 192}, 0), ({"quality": 0}, Quality.BAD),
        ({"quality": 500}, Quality.BAD | Quality.COMMUNICATION_LOST),
        ({"is_historical": True}, Quality.REPLAYED),
        ({"is_null": True}, Quality.BAD | Quality.NOT_A_NUMBER | Quality.NOT_AVAILABLE),
    ],
)  # fmt: skip
def test_what_the_node_says_of_a_value_is_its_quality(more, quality):
    """Good, bad, stale, kept until the link was back, null."""
    take, _ = decoder(f"{DATA} /A")
    ((_, _, value, found),) = take(DATA, payload(metric("A", 10, double=1.0, **more)))
    assert found == quality
    assert (value == 1.0) is not bool(quality & Quality.BAD)


def test_a_payload_that_is_no_sparkplug_is_counted_and_told():
    """JSON on such a topic, say."""
    take, made = decoder(f"{DATA} /A")
    assert take(DATA, json.dumps({"A": 1}).encode()) == []
    assert made.undecodable == 1 and "no Sparkplug message" in made.details[0]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("spBv1.0/g/DBIRTH/n/d /A", "name the topic of data"), (f"{DATA}", "metric is missing"),
        (f"{DATA} /A time /ts", "has its own time"), ("spBv1.0/g/DDATA/n /A", "topic of data"),
    ],
)  # fmt: skip
def test_an_address_that_can_bring_nothing_is_refused(text, cause):
    """With how it is written."""
    with pytest.raises(SourceError, match=cause):
        parse_address(text)


def test_float_is_what_the_wire_says():
    """Four bytes and eight."""
    for value, form in ((1.5, "f"), (1.5, "d")):
        kind = wire.FIXED32 if form == "f" else wire.FIXED64
        bits = int.from_bytes(struct.pack(f"<{form}", value), "little")
        assert wire.real(bits, kind) == value
