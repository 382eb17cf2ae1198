"""OPC UA notifications, status codes, times and addresses, without any OPC UA stack."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import numpy as np
import pytest

from agent.decode.columns import Dictionary, text_code
from agent.decode.opcua import Address, Decoder, parse_address, status_quality, time_ns
from agent.errors import SourceError
from agent.types import Quality

NOON = datetime(2026, 1, 2, 12, 0, 0, 250_000, tzinfo=UTC)
NOON_NS = 1_767_355_200_250_000_000


def item(handle, value, status=0, stamp=NOON):
    variant = SimpleNamespace(Value=value, VariantType=type(value).__name__)
    data = SimpleNamespace(
        Value=variant, StatusCode=SimpleNamespace(value=status), SourceTimestamp=stamp
    )
    return SimpleNamespace(ClientHandle=handle, Value=data)


def decoder(*, text=(), dictionary=None):
    return Decoder(
        np.array([100, 101, 102], np.int32),
        [i in text for i in range(3)],
        dictionary or Dictionary(),
    )


def test_a_notification_keeps_its_order_and_repeats():
    """A burst of one tag stays in order, each value with its own source time."""
    later = NOON + timedelta(milliseconds=100)
    samples = decoder().decode([item(2, 1.5), item(0, 7), item(2, 2.5, stamp=later), item(1, True)])
    assert samples.tag.tolist() == [102, 100, 102, 101]
    assert samples.value.tolist() == [1.5, 7, 2.5, 1]
    assert samples.quality.tolist() == [0, 0, 0, 0]
    assert samples.source_ns.tolist() == [NOON_NS, NOON_NS, NOON_NS + 100_000_000, NOON_NS]
    assert (samples.tag.dtype, samples.quality.dtype) == (np.int32, np.uint16)


def test_nothing_decodes_to_nothing():
    """An empty notification gives empty columns of the right types."""
    samples = decoder().decode([])
    assert len(samples) == 0 and samples.tag.dtype == np.int32


def test_unknown_handles_are_left_out_and_counted():
    """A server that answers for items nobody asked for harms nothing."""
    subject = decoder()
    samples = subject.decode([item(3, 1.0), item(-1, 1.0), item(1, 2.0)])
    assert samples.tag.tolist() == [101] and len(subject.aside) == 2


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (0x00000000, 0),
        (0x00960000, 0),  # GoodLocalOverride
        (0x40950000, Quality.UNCERTAIN),  # UncertainSubNormal
        (0x40900000, Quality.UNCERTAIN | Quality.COMMUNICATION_LOST),  # UncertainLastUsableValue
        (0x40910000, Quality.UNCERTAIN | Quality.NOT_AVAILABLE),  # UncertainSubstituteValue
        (0x80340000, Quality.BAD | Quality.ADDRESS_REFUSED),  # BadNodeIdUnknown
        (0x80350000, Quality.BAD | Quality.ADDRESS_REFUSED),  # BadAttributeIdInvalid
        (0x80740000, Quality.BAD | Quality.WRONG_TYPE),  # BadTypeMismatch
        (0x801F0000, Quality.BAD | Quality.NOT_AUTHORISED),  # BadUserAccessDenied
        (0x803A0000, Quality.BAD | Quality.NOT_AUTHORISED),  # BadNotReadable
        (0x80320000, Quality.BAD | Quality.NOT_AVAILABLE),  # BadWaitingForInitialData
        (0x808D0000, Quality.BAD | Quality.NOT_AVAILABLE),  # BadOutOfService
        (0x808B0000, Quality.BAD),  # BadDeviceFailure
        (0x408F0000, Quality.UNCERTAIN | Quality.COMMUNICATION_LOST),
        (0x808C0000, Quality.BAD),  # BadSensorFailure
        (0x80310000, Quality.BAD | Quality.COMMUNICATION_LOST),  # BadNoCommunication
        (0x803104FF, Quality.BAD | Quality.COMMUNICATION_LOST),  # the same, with info bits
        (0xC0000000, Quality.BAD),  # reserved severity counts as bad (Part 4, 7.39)
    ],
)
def test_status_codes(status, expected):
    """Severity, and what the code says of why there is no value of now."""
    assert status_quality(status) == expected


def test_bad_values_are_nan_and_uncertain_ones_count():
    """A value with a bad status is not to be had, one with an uncertain status is."""
    samples = decoder().decode([item(0, 5.0, 0x808C0000), item(1, 6.0, 0x40950000)])
    assert math.isnan(samples.value[0]) and samples.value[1] == 6
    assert samples.quality.tolist() == [Quality.BAD, Quality.UNCERTAIN]


@pytest.mark.parametrize("value", [math.nan, math.inf, None, [1.0, 2.0], b"x", NOON, "ERROR"])
def test_what_is_no_number_is_bad(value):
    """NaN, arrays, bytes, times and stray texts under a good status."""
    samples = decoder().decode([item(0, value)])
    assert math.isnan(samples.value[0])
    why = Quality.NOT_AVAILABLE if value is None else Quality.WRONG_TYPE
    expected = Quality.BAD | Quality.NOT_A_NUMBER | (0 if isinstance(value, float) else why)
    assert samples.quality[0] == expected


def test_missing_parts_of_a_data_value():
    """No variant, no status (means good), no source time (0)."""
    data = SimpleNamespace(Value=None, StatusCode=None, SourceTimestamp=None)
    samples = decoder().decode([SimpleNamespace(ClientHandle=0, Value=data)])
    assert math.isnan(samples.value[0]) and samples.source_ns[0] == 0


def test_texts_and_localized_texts():
    """A tag of texts gets codes, from String and LocalizedText alike."""
    values = ["idle", SimpleNamespace(Text="run", Locale="en"), "idle", 4.0]
    samples = decoder(text=[1]).decode([item(1, v) for v in values])
    idle, run, four = (text_code(text) for text in ("idle", "run", "4.0"))
    assert samples.value.tolist() == [idle, run, idle, four]


def test_overflow_is_counted():
    """The overflow bit says that values were lost in the server; the value itself is good."""
    subject = decoder()
    samples = subject.decode([item(0, 1.0, 0x00000480)])
    assert subject.overflowed == 1 and samples.quality[0] == 0


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (NOON, NOON_NS),
        (NOON.replace(tzinfo=None), NOON_NS),
        (NOON.astimezone(timezone(timedelta(hours=2))), NOON_NS),
        (None, 0),
        (datetime(1601, 1, 1, tzinfo=UTC), 0),
        (datetime(9999, 12, 31, tzinfo=UTC), 0),
    ],
)
def test_times(stamp, expected):
    """UTC to the nanosecond; the 'no time' of many servers (1601, 9999) is none."""
    assert time_ns(stamp) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ns=2;s=Reactor.Temperature", Address(2, "", "s=Reactor.Temperature")),
        ("i=2258", Address(0, "", "i=2258")),
        ("ns=3;g=09087e75-8e5e-499b-954f-f2a9603db28a", None),
        ("nsu=urn:plant:a;s=Flow;1", Address(0, "urn:plant:a", "s=Flow;1")),
    ],
)
def test_addresses(text, expected):
    """Index or URI, and an identifier that may hold anything."""
    assert expected is None or parse_address(text) == expected
    assert parse_address(text).text(["", "urn:plant:a"]).endswith(text.split(";", 1)[-1])


def test_namespace_uris_are_resolved_anew():
    """A server may number its namespaces differently after a restart."""
    address = parse_address("nsu=urn:b;s=X")
    assert address.text(["", "urn:a", "urn:b"]) == "ns=2;s=X"
    assert address.text(["", "urn:b"]) == "ns=1;s=X"
    with pytest.raises(SourceError, match="no such namespace; it has urn:c"):
        address.text(["urn:c"])


@pytest.mark.parametrize(
    "text", ["", "Reactor", "ns=2", "ns=70000;i=1", "ns=2;i=abc", "ns=2;i=4294967296", "ns=2;x=1"]
)
def test_bad_addresses_say_how_they_are_written(text):
    """The hint has an example."""
    with pytest.raises(SourceError) as caught:
        parse_address(text)
    assert "ns=2;s=Reactor.Temperature" in caught.value.hint
