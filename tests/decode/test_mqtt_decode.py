"""MQTT addresses and payloads, hostile ones first of all."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.columns import Dictionary
from agent.decode.mqtt import (
    MAX_PAYLOAD_BYTES,
    Address,
    Columns,
    Decoder,
    parse_address,
    time_ns,
)
from agent.errors import SourceError
from agent.types import Quality

UNDEFINED = Quality.BAD | Quality.NOT_A_NUMBER


def decoder(*addresses, text=(), dictionary=None):
    return Decoder(
        [parse_address(a) for a in addresses],
        list(range(10, 10 + len(addresses))),
        [i in text for i in range(len(addresses))],
        dictionary or Dictionary(),
    )


def decode(address, payload, **more):
    columns = Columns.empty()
    count = decoder(address, **more).decode(address.split(" ")[0], payload, 0, columns)
    assert count == len(columns.tag) == len(columns.value) == len(columns.quality)
    return columns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plant/line1 /speed", Address("plant/line1", ("speed",))),
        ("plant/line1", Address("plant/line1", ())),
        ("/lead/ing /a/0/b~1c~0d", Address("/lead/ing", ("a", "0", "b/c~d"))),
        ("with blank /v", Address("with blank", ("v",))),
        ("t /v time /ts", Address("t", ("v",), ("ts",))),
        ("t time /ts", Address("t", (), ("ts",))),
        ("t /~01", Address("t", ("~1",))),
        ("t /", Address("t", ("",))),
    ],
)
def test_addresses(text, expected):
    """Topic, pointer with its escapes (RFC 6901), optional time."""
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "empty"),
        ("plant/+/x /v", r"'\+' and '#'"),
        ("plant/# /v", r"'\+' and '#'"),
        ("t /a~2b", "'~' is written ~0"),
        ("t /a /ts", "two pointers"),
        ("x" * 70_000 + " /v", "no such topic"),
    ],
)
def test_bad_addresses_say_what_is_wrong(text, cause):
    """The cause names the fault."""
    with pytest.raises(SourceError, match=cause):
        parse_address(text)


def test_one_payload_feeds_many_tags():
    """All tags of a topic are taken from one parse; what the payload lacks is no sample."""
    subject = decoder("t /a", "t /b/1", "other /a", "t /c", "t /a/x")
    columns = Columns.empty()
    assert subject.decode("t", b'{"a": 1.5, "b": [0, 7]}', 16, columns) == 2
    assert columns == Columns([10, 11], [0, 0], [1.5, 7.0], [16, 16])
    assert subject.topics == ("t", "other") and subject.absent == 2


def test_unknown_topics_are_counted():
    """A message that nobody asked for gives nothing."""
    subject = decoder("t /a")
    assert subject.decode("u", b"{}", 0, Columns.empty()) == 0
    assert subject.unknown == 1


@pytest.mark.parametrize(
    "payload",
    [
        *(b'{"v": NaN}', b'{"v": Infinity}', b'{"v": 1e999}', b'{"v": -1e999}', b'{"v": null}'),
        *(b'{"v": "ERROR"}', b'{"v": []}', b'{"v": {}}', b'{"v": ' + b"9" * 400 + b"}"),
        *(b"", b"\x00", b"\xff\xfe\x00", b"not json", b'{"v": 1', b"[" * 100_000),
        *(b'{"v": ' + b"9" * 5_000 + b"}", b" " * MAX_PAYLOAD_BYTES + b'{"v": 1}'),
    ],
    ids=lambda payload: repr(payload[:16]),
)
def test_hostile_payloads_are_bad_samples(payload):
    """No number, no JSON, too deep, too large: one bad sample, and decoding goes on."""
    columns = decode("t /v", payload)
    assert len(columns.value) == 1 and math.isnan(columns.value[0])
    assert columns.quality == [UNDEFINED]


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("vw"), inner),
).map(lambda document: json.dumps(document).encode()))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_any_payload_gives_agreeing_samples(payload):
    """Whatever arrives: no exception, and a sample is finite exactly if it is good."""
    columns = Columns.empty()
    subject = decoder("t /v", "t", "t /v/w", "t /0 time /v", text=[3])
    subject.decode("t", payload, 0, columns)
    for value, quality, stamp in zip(
        columns.value, columns.quality, columns.source_ns, strict=True
    ):
        assert math.isfinite(value) == (quality == 0)
        assert 0 <= stamp < 2**63


@pytest.mark.parametrize(
    ("payload", "value"),
    [(b"12.5", 12.5), (b" 7 ", 7.0), (b"true", 1.0), (b'"3.5"', 3.5), (b"\xef\xbb\xbf4", 4.0)],
)
def test_the_whole_payload_as_a_value(payload, value):
    """Without a pointer a bare number is the value, with or without a byte order mark."""
    columns = decode("t", payload)
    assert (columns.value, columns.quality) == ([value], [0])


def test_plain_texts_for_tags_of_texts():
    """A payload that is no JSON is the text itself, where the tag holds texts."""
    dictionary = Dictionary()
    assert decode("t", b"running", text=[0], dictionary=dictionary).value == [1.0]
    assert decode("t", b'"running"', text=[0], dictionary=dictionary).value == [1.0]
    assert decode("t", b"\xff", text=[0]).quality == [UNDEFINED]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_767_355_200, 1_767_355_200_000_000_000),
        (1_767_355_200.25, 1_767_355_200_250_000_000),
        (1_767_355_200_250, 1_767_355_200_250_000_000),
        (1_767_355_200_250_001, 1_767_355_200_250_001_000),
        (1_767_355_200_250_001_002, 1_767_355_200_250_001_002),
        ("2026-01-02T12:00:00.25Z", 1_767_355_200_250_000_000),
        ("2026-01-02T14:00:00+02:00", 1_767_355_200_000_000_000),
        ("2026-01-02T12:00:00", 1_767_355_200_000_000_000),
        *(
            (bad, 0)
            for bad in (None, True, -5, 0, math.nan, math.inf, 10**30, "soon", {}, "0001-01-01")
        ),
    ],
)
def test_times(value, expected):
    """Seconds to nanoseconds by size, ISO 8601, and 0 for what is no time."""
    assert time_ns(value) == expected


def test_time_of_a_payload():
    """The time pointer gives the samples' source time; without it there is none."""
    payload = b'{"v": 1, "ts": 1767355200250}'
    assert decode("t /v time /ts", payload).source_ns == [1_767_355_200_250_000_000]
    assert decode("t /v time /nope", payload).source_ns == [0]
    assert decode("t /v", payload).source_ns == [0]
