"""MQTT addresses and payloads, hostile ones first of all."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode.columns import Dictionary, text_code
from agent.decode.mqtt import Address, Columns, Decoder, parse_address
from agent.decode.mqtt_document import MAX_PAYLOAD_BYTES
from agent.decode.times import TimeFault, read_time
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
    subject = decoder(address, **more)
    count = subject.decode(subject.topics[0], payload, 0, columns)
    assert count == len(columns.tag) == len(columns.value) == len(columns.quality)
    return columns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plant/line1 /speed", Address("plant/line1", ("speed",))),
        ("plant/line1", Address("plant/line1", ())),
        ("/lead/ing /a/0/b~1c~0d", Address("/lead/ing", ("a", "0", "b/c~d"))),
        ('"with blank" /v', Address("with blank", ("v",))),
        ('"with blank" time /ts', Address("with blank", (), ("ts",))),
        ("plant/ks /Flow rate", Address("plant/ks", ("Flow rate",))),
        ('plant/ks "/Flow rate"', Address("plant/ks", ("Flow rate",))),
        ("t '/a b/c' time \"/time of it\"", Address("t", ("a b", "c"), ("time of it",))),
        ("plant/ks /Flow rate time /ts", Address("plant/ks", ("Flow rate",), ("ts",))),
        ("plant/ks #/Flow%20rate", Address("plant/ks", ("Flow rate",))),
        ('plant/ks "/a /b"', Address("plant/ks", ("a ", "b"))),
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
        ("$share/group/plant/x /v", "shared subscription"),
        ("the flow of line 1", "blanks that are not in quotes"),
        ("plant/x $.speed", "blanks that are not in quotes"),
        ("mqtt://host/plant /v", "a URL"),
        ('t "/a', "not closed"),
        ('t "/a" b', "neither a pointer"),
        ('t "a"', "does not begin"),
        ("t time ts", "neither a pointer"),
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


WRONG = UNDEFINED | Quality.WRONG_TYPE
HOSTILE = [
    *((text, UNDEFINED) for text in (
        b'{"v": NaN}', b'{"v": Infinity}', b'{"v": 1e999}', b'{"v": -1e999}',
        b'{"v": ' + b"9" * 400 + b"}",
    )),
    (b'{"v": null}', UNDEFINED | Quality.NOT_AVAILABLE),
    *((text, WRONG) for text in (
        b'{"v": "ERROR"}', b'{"v": []}', b'{"v": {}}', b"", b"\x00", b"\xff\xfe\x00", b"not json",
        b'{"v": 1', b"[" * 100_000, b'{"v": ' + b"9" * 5_000 + b"}",
        b" " * MAX_PAYLOAD_BYTES + b'{"v": 1}', b'{"v": 1, "v": 2}',
    )),
]  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "quality"), HOSTILE, ids=[repr(payload[:16]) for payload, _ in HOSTILE]
)
def test_hostile_payloads_are_bad_samples(payload, quality):
    """No number, no JSON, too deep, too large, said twice: one bad sample that says why."""
    columns = decode("t /v", payload)
    assert len(columns.value) == 1 and math.isnan(columns.value[0])
    assert columns.quality == [quality]


@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("vw"), inner),
).map(lambda document: json.dumps(document).encode()))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_any_payload_gives_agreeing_samples(payload):
    """Whatever arrives: no exception, and a sample is finite exactly if it is not bad."""
    columns = Columns.empty()
    subject = decoder("t /v", "t", "t /v/w", "t /0 time /v", text=[3])
    subject.decode("t", payload, 0, columns)
    for value, quality, stamp in zip(
        columns.value, columns.quality, columns.source_ns, strict=True
    ):
        assert math.isfinite(value) == (not quality & Quality.BAD)
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
    code = text_code("running")
    assert decode("t", b"running", text=[0], dictionary=dictionary).value == [code]
    assert decode("t", b'"running"', text=[0], dictionary=dictionary).value == [code]
    assert decode("t", b"\xff", text=[0]).quality[0] & Quality.BAD


NOON = 1_767_355_200_000_000_000  # 2026-01-02T12:00:00Z
ABSENT, UNREADABLE, IMPLAUSIBLE = TimeFault


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1_767_355_200, NOON),
        (1_767_355_200.25, NOON + 250_000_000),
        (1_767_355_200_250, NOON + 250_000_000),
        (1_767_355_200_250_001, NOON + 250_001_000),
        (1_767_355_200_250_001_002, NOON + 250_001_002),
        ("1767355200250", NOON + 250_000_000),
        (" 1767355200.25 ", NOON + 250_000_000),
        ("1.7673552e9", NOON),
        ("2026-01-02T12:00:00.25Z", NOON + 250_000_000),
        ("2026-01-02T14:00:00+02:00", NOON),
        ("2026-01-02 13:00:00 +0100", NOON),
        ("2026-01-02T12:00:00", NOON),
        ("2026/01/02 12:00:00", NOON),
        ("20260102120000", NOON),
        ("20260102T120000Z", NOON),
        ("02.01.2026 12:00:00", NOON),
        ("2.1.2026 12:00", NOON),
        ("02.01.2026, 14:00:00,250 +02:00", NOON + 250_000_000),
        ("02.01.2026 12:00:00 UTC", NOON),
        ("Fri, 02 Jan 2026 12:00:00 GMT", NOON),
        ("13/01/2026 12:00", NOON + 11 * 86_400 * 10**9),
        ("01/13/2026 12:00", NOON + 11 * 86_400 * 10**9),
        ("01/01/2026 12:00", NOON - 86_400 * 10**9),
    ],
)
def test_times(value, expected):
    """Seconds to nanoseconds by size, as number or text; dates that can only mean one moment."""
    assert read_time(value, NOON) == (expected, None)
    assert read_time(value) == (expected, None)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        *((value, ABSENT) for value in (None, "")),
        *((value, UNREADABLE) for value in (
            True, math.nan, math.inf, "soon", {}, [], "01/02/2026 12:00", "31.02.2026 12:00",
            "12:00:00", "02.01.26 12:00", "2" * 500, "2026-01-02 12:00 XYZ",
        )),
        *((value, IMPLAUSIBLE) for value in (
            0, -5, 10**30, "0001-01-01", "1970-01-01T00:00:00Z", "01.01.1990 00:00:00", "0", 86_400,
            2**32 - 1, "2099-01-01", 1_000_000_000,
        )),
    ],
)  # fmt: skip
def test_a_time_that_is_none_says_why(value, fault):
    """Not there, not to be read, and years off are three faults."""
    stamp, found = read_time(value, NOON)
    assert found == fault and (stamp > 0) == (fault is IMPLAUSIBLE)


def test_a_clock_of_ours_that_is_not_set_blames_nobody():
    """An agent that begins in 1970 takes the device's time as it is."""
    assert read_time(NOON / 1e9, 5_000_000_000) == (NOON, None)


@given(st.text(max_size=40) | st.integers() | st.floats() | st.datetimes().map(str)
       | st.from_regex(r"[0-9]{1,4}[./-][0-9]{1,2}[./-][0-9]{1,4}[ T][0-9:.,]{0,12}[Z+0-9-]{0,6}",
                       fullmatch=True))  # fmt: skip
@settings(max_examples=500, deadline=None)
def test_any_time_is_a_time_or_a_fault(value):
    """Whatever stands there: no exception, and either a plausible time or the reason why not."""
    stamp, fault = read_time(value, NOON)
    assert (stamp == 0) == (fault in {ABSENT, UNREADABLE})
    assert fault is not None or abs(stamp - NOON) < 11 * 366 * 86_400 * 10**9


def test_time_of_a_payload():
    """The time pointer gives the samples' source time; without it there is none."""
    payload = b'{"v": 1, "ts": 1767355200250}'
    assert decode("t /v time /ts", payload).source_ns == [NOON + 250_000_000]
    assert decode("t /v", payload).source_ns == [0]


@pytest.mark.parametrize(
    ("payload", "fault"),
    [
        (b'{"v": 1}', ABSENT), (b'{"v": 1, "ts": "soon"}', UNREADABLE),
        (b'{"v": 1, "ts": 86400}', IMPLAUSIBLE), (b'{"v": 1, "ts": 1, "ts": 2}', UNREADABLE),
    ],
)  # fmt: skip
def test_a_configured_time_that_is_none_is_told(payload, fault):
    """The value counts but is uncertain, the time is that of arrival, and the source says so."""
    subject, columns = decoder("t /v time /ts", "t /v"), Columns.empty()
    for _ in range(3):
        subject.decode("t", payload, 0, columns, NOON)
    assert columns.source_ns == [0] * 6 and columns.value == [1.0] * 6
    assert columns.quality == [Quality.UNCERTAIN, 0] * 3
    assert subject.times == {fault.value: 3}
    assert len(subject.details) == 1 and "(3 times)" in subject.details[0]


def strange(*values):
    """(values, qualities, details) of one tag to which these came one after the other."""
    subject, columns = decoder("t /v"), Columns.empty()
    for value in values:
        subject.decode("t", b'{"v": ' + value + b"}", 0, columns)
    return columns.value, columns.quality, " ".join(subject.details)


def test_a_truth_value_among_numbers_is_of_the_wrong_type():
    """A number that becomes true is not 1; a state that is told by true and false is."""
    values, quality, details = strange(b"3.5", b"true", b"4.5")
    assert [values[0], values[2]] == [3.5, 4.5] and quality == [0, WRONG, 0]
    assert "was a number, and a truth value came" in details
    assert strange(b"true", b"false", b"true") == ([1.0, 0.0, 1.0], [0, 0, 0], "")


def test_numbers_as_text_are_read_and_told():
    """A text that is a number counts, and the source says that it was text."""
    values, quality, details = strange(b"3.5", b'"4.5"', b'" 5 "')
    assert (values, quality) == ([3.5, 4.5, 5.0], [0, 0, 0])
    assert "was a number, and a number as text came" in details


@pytest.mark.parametrize(
    "value", [b"9007199254740993", b'"9007199254740993"', b"-18446744073709551615"]
)
def test_whole_numbers_beyond_float64_are_uncertain(value):
    """A counter that is larger than 2^53 may be another number: told, not silently rounded."""
    _, quality, details = strange(value)
    assert quality == [Quality.UNCERTAIN] and "2^53" in details
    assert strange(b"9007199254740992") == ([2.0**53], [0], "")


def test_a_key_that_comes_twice_with_one_value_is_no_fault():
    """Only what could be two values is none."""
    assert strange(b'1, "v": 1') == ([1.0], [0], "")


def test_details_are_bounded():
    """However many topics are strange, the list of details stays short."""
    subject = decoder(*(f"t{n} /v" for n in range(200)))
    for n in range(200):
        subject.decode(f"t{n}", b'{"v": "x"}', 0, Columns.empty())
    assert len(subject.details) <= 40
