"""Modbus addresses, plans and the decoding of registers and bits."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.decode import modbus
from agent.decode.modbus import Address, Decoder, Request, parse_address, plan, split
from agent.errors import SourceError
from agent.types import Quality

FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
BAD = int(Quality.BAD)


def encode(number, kind, order):
    """The bytes on the wire, written from the definition and not from the decoder."""
    data = struct.pack(">" + FORMATS[kind], number)
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return b"".join(words)


def decode_one(text, data):
    address = parse_address(text)
    (request,) = plan([address], 0)
    value, quality = Decoder([address], [request]).decode([data])
    return value[0], quality[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("holding 100 float32 ABCD", Address("holding", 100, "float32", "ABCD", 1.0, 2)),
        ("input 7 int16 scale 0.1", Address("input", 7, "int16", "ABCD", 0.1, 1)),
        ("holding 0", Address("holding", 0, "uint16", "ABCD", 1.0, 1)),
        (
            "  holding  65532   float64  DCBA  scale -1e3 ",
            Address("holding", 65532, "float64", "DCBA", -1e3, 4),
        ),
        ("coil 3", Address("coil", 3, "bool", "ABCD", 1.0, 1)),
        ("discrete 9999 bool", Address("discrete", 9999, "bool", "ABCD", 1.0, 1)),
        ("holding 5 scale 2", Address("holding", 5, "uint16", "ABCD", 2.0, 1)),
    ],
)
def test_addresses(text, expected):
    """Area, offset, type, order and scale, the last three with defaults."""
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "not understood"),
        ("40001", "not understood"),
        ("holding -1", "not understood"),
        ("register 5 int16", "no area 'register'"),
        ("holding 5 int8", "no type 'int8'"),
        ("coil 5 float32", "only bool"),
        ("holding 5 float32 ACBD", "no word order 'ACBD'"),
        ("holding 5 int16 scale 0", "scale"),
        ("holding 5 int16 scale e", "scale"),
        ("holding 65535 float32", "ends at 65535"),
        ("coil 65536", "ends at 65535"),
    ],
)
def test_bad_addresses_say_what_is_wrong(text, cause):
    """The cause names the part at fault, the hint shows how it is written."""
    with pytest.raises(SourceError, match=cause) as caught:
        parse_address(text)
    assert "holding 100 float32 ABCD" in caught.value.hint


@pytest.mark.parametrize(
    ("order", "data"),
    [
        ("ABCD", "42f6e979"),
        ("CDAB", "e97942f6"),
        ("BADC", "f64279e9"),
        ("DCBA", "79e9f642"),
    ],
)
def test_word_orders_of_a_known_number(order, data):
    """123.456 as IEEE 754 single is 0x42F6E979; the orders name how its bytes A to D come."""
    value, quality = decode_one(f"holding 0 float32 {order}", bytes.fromhex(data))
    assert value == pytest.approx(123.456, rel=1e-7) and quality == 0


NUMBERS = st.sampled_from(sorted(FORMATS)).flatmap(
    lambda kind: st.tuples(
        st.just(kind),
        st.floats(allow_nan=False, allow_infinity=False, width=int(kind[5:]))
        if kind.startswith("float")
        else st.integers(
            0 if kind[0] == "u" else -(2 ** (8 * struct.calcsize(FORMATS[kind]) - 1)),
            2 ** (8 * struct.calcsize(FORMATS[kind]) - (kind[0] != "u")) - 1,
        ),
        st.sampled_from(modbus.ORDERS),
        st.integers(0, 300),
    )
)


@given(st.lists(NUMBERS, min_size=1, max_size=40), st.integers(0, 124))
@settings(max_examples=200, deadline=None)
def test_any_layout_reads_back(numbers, max_gap):
    """Encoded numbers, wherever they lie, come back exactly; no read is larger than allowed."""
    memory = np.zeros(700, np.uint8)
    taken, addresses, expected, whole = set(), [], [], []
    for kind, number, order, offset in numbers:
        width = struct.calcsize(FORMATS[kind]) // 2
        if taken & set(range(offset, offset + width)):
            continue
        taken |= set(range(offset, offset + width))
        data = encode(number, kind, order)
        memory[2 * offset : 2 * offset + len(data)] = np.frombuffer(data, np.uint8)
        addresses.append(parse_address(f"holding {offset} {kind} {order}"))
        expected.append(float(number))
        whole.append(number)
    requests = plan(addresses, max_gap)
    assert all(request.count <= modbus.MAX_REGISTERS for request in requests)
    assert sorted(c for r in requests for c in r.columns) == list(range(len(addresses)))
    answers = [memory[2 * r.start : 2 * (r.start + r.count)].tobytes() for r in requests]
    decoder = Decoder(addresses, requests)
    value, quality = decoder.decode(answers)
    assert value.tolist() == expected
    rounded = [
        "int64" in address.type and abs(number) > 2**53
        for address, number in zip(addresses, whole, strict=True)
    ]
    assert not quality.any()
    assert sorted(decoder.rounded) == np.nonzero(rounded)[0].tolist()


def test_plan_joins_over_gaps_up_to_the_limit():
    """Neighbours join up to max_gap registers apart, never beyond 125, never across areas."""
    texts = ["holding 0 float32", "holding 10 float32", "holding 124", "holding 125", "input 11"]
    addresses = [parse_address(text) for text in texts]
    assert plan(addresses, 7) == [
        Request("holding", 0, 2, (0,)),
        Request("holding", 10, 2, (1,)),
        Request("holding", 124, 2, (2, 3)),
        Request("input", 11, 1, (4,)),
    ]
    assert plan(addresses, 8)[0] == Request("holding", 0, 12, (0, 1))
    assert plan(addresses, 124)[:2] == [
        Request("holding", 0, 125, (0, 1, 2)),
        Request("holding", 125, 1, (3,)),
    ]


def test_overlapping_tags_share_a_read():
    """Two views of the same registers are read once."""
    addresses = [parse_address(t) for t in ("holding 4 uint32", "holding 4", "holding 5")]
    (request,) = plan(addresses, 0)
    value, _ = Decoder(addresses, [request]).decode([b"\x00\x01\x00\x02"])
    assert value.tolist() == [65538, 1, 2]


def test_bits_come_least_significant_first():
    """Coils and discrete inputs: the first bit is bit 0 of the first byte (section 6.1)."""
    addresses = [parse_address(f"coil {n}") for n in (20, 22, 28, 38)]
    (request,) = plan(addresses, 1)
    assert (request.start, request.count, request.size) == (20, 19, 3)
    value, quality = Decoder(addresses, [request]).decode([b"\xcd\x6b\x05"])
    assert value.tolist() == [1, 1, 1, 1]
    value, _ = Decoder(addresses, [request]).decode([b"\x32\x94\xfa"])
    assert value.tolist() == [0, 0, 0, 0] and not quality.any()


def test_bool_in_a_register_is_anything_but_zero():
    """Many devices keep flags in registers, and not all of them write 1."""
    assert decode_one("holding 0 bool", b"\x01\x00") == (1.0, 0)
    assert decode_one("holding 0 bool", b"\x00\x00") == (0.0, 0)


def test_scale_multiplies():
    """A raw 231 with scale 0.1 is 23.1."""
    value, _ = decode_one("input 0 int16 scale 0.1", struct.pack(">h", -231))
    assert value == pytest.approx(-23.1)


@pytest.mark.parametrize("raw", ["7fc00000", "7fa00000", "7f800000", "ff800000"])
def test_what_is_no_number_is_bad(raw):
    """NaN and infinities, which instruments send for 'no measurement', are never good."""
    value, quality = decode_one("holding 0 float32", bytes.fromhex(raw))
    assert np.isnan(value) and quality == BAD | Quality.NOT_A_NUMBER


def test_an_exception_touches_only_its_own_tags():
    """One refused read makes its tags bad; a gateway that lost its device says lost."""
    addresses = [parse_address(f"holding {n}") for n in (0, 200, 400)]
    requests = plan(addresses, 0)
    value, quality = Decoder(addresses, requests).decode([b"\x00\x05", 2, 11])
    assert value[0] == 5 and np.isnan(value[1:]).all()
    assert quality.tolist() == [
        0, BAD | Quality.ADDRESS_REFUSED, BAD | Quality.COMMUNICATION_LOST
    ]


@pytest.mark.parametrize(("codes", "more"), [
    ((1, 2, 3), Quality.ADDRESS_REFUSED), ((5, 6), Quality.NOT_AVAILABLE),
    ((10, 11), Quality.COMMUNICATION_LOST), ((4, 8, 99), Quality.GOOD),
])  # fmt: skip
def test_the_exception_says_why_there_is_no_value(codes, more):
    """The address, the moment, the way there, or the device itself."""
    addresses = [parse_address("holding 0")]
    decoder = Decoder(addresses, plan(addresses, 0))
    for code in codes:
        assert decoder.decode([code])[1].tolist() == [BAD | more]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x01\x00"])
def test_an_answer_of_wrong_length_is_bad(data):
    """Too few or too many bytes: nobody knows what they are."""
    value, quality = decode_one("holding 0", data)
    assert np.isnan(value) and quality == BAD


def test_a_failed_read_does_not_show_the_values_before():
    """The decoder reuses its buffer, but never a former value."""
    addresses = [parse_address("holding 0")]
    decoder = Decoder(addresses, plan(addresses, 0))
    assert decoder.decode([b"\x00\x07"])[0].tolist() == [7]
    assert np.isnan(decoder.decode([4])[0]).all()


def test_split_narrows_down_to_the_refused_tag():
    """A refused read is split at its gaps, then in halves, until one tag is left alone."""
    addresses = [parse_address(f"holding {n}") for n in (0, 1, 2, 3, 9)]
    (whole,) = plan(addresses, 16)
    parts = split(whole, addresses)
    assert [part.columns for part in parts] == [(0, 1, 2, 3), (4,)]
    halves = split(parts[0], addresses)
    assert [half.columns for half in halves] == [(0, 1), (2, 3)]
    assert split(parts[1], addresses) == [parts[1]]


@pytest.mark.parametrize(
    ("address", "codes", "raw", "is_there"),
    [
        ("holding 0 int16 scale 0.1", ["0x8000"], 0x8000, False),
        ("holding 0 int16", [-32768], 0x8000, False),
        ("holding 0 int16", ["0x8000"], 0x7FFF, True),
        ("holding 0 uint16", ["0x8000", 65535], 0xFFFF, False),
        ("holding 0 uint16", ["0xFFFF"], 0xFFFE, True),
        ("holding 0 int32 CDAB", ["0x80000000"], 0x00008000, False),
        ("holding 0 float32", ["0x7f7fffff"], 0x7F7FFFFF, False),
        ("holding 0 float32", [-9999], 0xC61C3C00, False),
        ("holding 0 uint64", ["0xFFFFFFFFFFFFFFFF"], 2**64 - 1, False),
    ],
)
def test_declared_codes_are_no_values(address, codes, raw, is_there):
    """A raw value that was declared so is "not available", in any type and word order."""
    where = parse_address(address)
    (request,) = plan([where], 0)
    found = tuple(modbus.raw_code(code, where) for code in codes)
    data = raw.to_bytes(2 * where.width)
    value, quality = Decoder([where], [request], [found]).decode([data])
    if is_there:
        assert quality[0] == 0 and np.isfinite(value[0])
    else:
        assert np.isnan(value[0]) and quality[0] == BAD | Quality.NOT_AVAILABLE


@pytest.mark.parametrize(
    ("address", "code"), [("holding 0 int16", 65535), ("holding 0", "0x18000"), ("holding 0", -1)]
)
def test_a_code_that_can_not_be_in_the_registers(address, code):
    """It is none, and the configuration says so."""
    assert modbus.raw_code(code, parse_address(address)) is None


def test_what_was_not_asked_leaves_no_trace_in_what_was():
    """A read without an answer means nothing; the codes of an older answer in it neither."""
    where = [parse_address("holding 0"), parse_address("holding 50")]
    requests = plan(where, 0)
    decoder = Decoder(where, requests, [(0xFFFF,), (0xFFFF,)])
    decoder.decode([b"\xff\xff", b"\x00\x01"])
    value, quality = decoder.decode([2, b"\x00\x02"])
    assert quality.tolist() == [BAD | Quality.ADDRESS_REFUSED, 0] and value[1] == 2
    value, quality = decoder.decode([None, b"\x00\x03"])
    assert value[1] == 3 and quality[1] == 0
