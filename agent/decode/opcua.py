"""OPC UA: a whole data change notification to columns in one pass; addresses; status codes.

Works on anything shaped like the stack's `MonitoredItemNotification` (ClientHandle, Value with
Value, StatusCode, SourceTimestamp), so that no OPC UA stack is needed to test it. Sources of the
meanings: OPC UA Part 4, 7.39 (StatusCode), Part 8, 6.3 (DataAccess status codes), Part 6,
5.3.1.10 (text form of a NodeId) and 5.2.2.5 (DateTime).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from agent.decode.columns import MAX_TIME_NS, Dictionary, Samples, scalar, settle
from agent.errors import SourceError
from agent.types import Int32, Quality

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BAD = int(Quality.BAD)
_SEVERITY = 0xC0000000
_UNCERTAIN_SEVERITY = 0x40000000
_CODE = 0xFFFF0000
_OVERFLOW = 0x0480  # InfoType DataValue and its overflow bit: the server's queue lost values
_CHANGED = 0xC000  # StructureChanged and SemanticsChanged: what the value means may be another
_KINDS: dict[Quality, tuple[int, ...]] = {
    Quality.COMMUNICATION_LOST: (
        0x80050000,  # BadCommunicationError
        0x800A0000,  # BadTimeout
        0x800D0000,  # BadServerNotConnected
        0x80310000,  # BadNoCommunication
        0x808A0000,  # BadNotConnected
        0x408F0000,  # UncertainNoCommunicationLastUsableValue
        0x40900000,  # UncertainLastUsableValue: what updated it has stopped doing so
    ),
    Quality.ADDRESS_REFUSED: (
        0x80330000,  # BadNodeIdInvalid
        0x80340000,  # BadNodeIdUnknown
        0x80350000,  # BadAttributeIdInvalid
        0x80360000,  # BadIndexRangeInvalid
        0x803F0000,  # BadObjectDeleted
        0x80890000,  # BadConfigurationError
    ),
    Quality.WRONG_TYPE: (
        0x80380000,  # BadDataEncodingInvalid
        0x80390000,  # BadDataEncodingUnsupported
        0x80740000,  # BadTypeMismatch
    ),
    Quality.NOT_AUTHORISED: (
        0x801F0000,  # BadUserAccessDenied
        0x803A0000,  # BadNotReadable
        0x80210000,  # BadIdentityTokenRejected
        0x80E60000,  # BadSecurityModeInsufficient
    ),
    Quality.NOT_AVAILABLE: (
        0x80320000,  # BadWaitingForInitialData
        0x80370000,  # BadIndexRangeNoData
        0x803D0000,  # BadNotSupported
        0x80400000,  # BadNotImplemented
        0x808D0000,  # BadOutOfService
        0x809B0000,  # BadNoData
        0x809E0000,  # BadDataUnavailable
        0x80B10000,  # BadNoDataAvailable
        0x40910000,  # UncertainSubstituteValue: a person wrote it
        0x40920000,  # UncertainInitialValue: nothing was measured yet
    ),
}
"""What a status code says of why there is no value of now; all other bad codes are the device's
own, such as BadDeviceFailure and BadSensorFailure."""

_KIND_OF = {code: int(kind) for kind, codes in _KINDS.items() for code in codes}
_NODE_ID = re.compile(r"(?:ns=(\d{1,5});|nsu=([^;]+);)?([isgb])=(.+)", re.DOTALL)
_HINT = "write it like 'ns=2;s=Reactor.Temperature', 'ns=3;i=1007' or 'nsu=urn:plant;s=Flow'"


@dataclass(frozen=True, slots=True)
class Address:
    """A node: its namespace as an index or, where `uri` is not empty, by its URI."""

    namespace: int
    uri: str
    identifier: str

    def text(self, namespaces: Sequence[str] = ()) -> str:
        """The text form of the NodeId.

        Args:
            namespaces: the server's NamespaceArray; a server may renumber it at each start.

        Raises:
            SourceError: the server has no such namespace.
        """
        index = self.namespace
        if self.uri:
            if self.uri not in namespaces:
                cause = f"the server has no such namespace; it has {', '.join(namespaces)}"
                raise SourceError("resolving namespace", repr(self.uri), cause, _HINT)
            index = namespaces.index(self.uri)
        return f"ns={index};{self.identifier}"


def parse_address(text: str) -> Address:
    """``"ns=2;s=Reactor.Temperature"`` or ``"nsu=urn:plant;s=..."`` -> `Address`.

    Raises:
        SourceError: what is wrong with it, and how it is written.
    """
    match = _NODE_ID.fullmatch(text.strip())
    cause = ""
    if match is None:
        cause = "it is not understood"
    elif match[1] and int(match[1]) > 0xFFFF:
        cause = "a namespace index is at most 65535"
    elif match[3] == "i" and not (match[4].isascii() and match[4].isdigit()):
        cause = f"{match[4]!r} is no numeric identifier"
    elif match[3] == "i" and int(match[4]) > 0xFFFFFFFF:
        cause = "a numeric identifier is at most 4294967295"
    if match is None or cause:
        raise SourceError("reading OPC UA address", repr(text), cause, _HINT)
    return Address(int(match[1] or 0), match[2] or "", f"{match[3]}={match[4]}")


def status_quality(status: int) -> int:
    """Quality bits for a StatusCode (uint32)."""
    severity = status & _SEVERITY
    if severity == 0:
        return 0
    bits = int(Quality.UNCERTAIN if severity == _UNCERTAIN_SEVERITY else Quality.BAD)
    return bits | _KIND_OF.get(status & _CODE, 0)


def time_ns(stamp: datetime | None) -> int:
    """Nanoseconds since 1970 (UTC where naive); 0 for none, or outside of 1970 to 2262."""
    if stamp is None:
        return 0
    delta = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)) - _EPOCH
    ns = (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1_000
    return ns if 0 < ns <= MAX_TIME_NS else 0


class News(NamedTuple):
    """What a sample says besides its value: what it is may be another than before.

    Attributes:
        row: of the samples, the first one that is so.
        handle: the client handle.
        variant: the value's variant, of another type than the one before; None where the type is
            the same, but the status code says that structure or semantics changed.
    """

    row: int
    handle: int
    variant: Any


class Decoder:
    """Turns the items of notifications into columns; a client handle is a position in `tag`.

    Args:
        tag: int32[n], the tag ids by client handle.
        is_text: for each, whether it holds texts.
        dictionary: gives the texts' codes.

    Attributes:
        aside: items of the latest notification that have other client handles.
        news: what samples of it say besides their values.
        handles: of each sample.
        overflowed: items whose queue in the server lost values before them.
    """

    def __init__(self, tag: Int32, is_text: Sequence[bool], dictionary: Dictionary) -> None:
        self._tag = tag
        self._is_text = tuple(is_text)
        self._dictionary = dictionary
        self._types: list[Any] = [None] * len(tag)  # of the variant that came last
        self.aside: list[Any] = []
        self.news: list[News] = []
        self.handles: list[int] = []
        self.overflowed = 0

    def forget(self) -> None:
        """What comes next may be of any type: the next type of each handle is news."""
        self._types = [None] * len(self._tag)

    def decode(self, items: Iterable[Any]) -> Samples:
        """Columns of all items, in their order; items with other handles stand in `aside`."""
        aside, types = [], self._types
        news: list[News] = []
        handles: list[int] = []
        values: list[float] = []
        stamps: list[int] = []
        qualities: list[int] = []
        count = len(self._tag)
        last_stamp: datetime | None = None
        last_ns = 0
        for item in items:
            handle, data = item.ClientHandle, item.Value
            if not 0 <= handle < count:
                aside.append(item)
                continue
            status = 0 if data.StatusCode is None else data.StatusCode.value
            quality = 0
            if status:
                quality = status_quality(status)
                if status & _OVERFLOW == _OVERFLOW:
                    self.overflowed += 1
                if status & _CHANGED:
                    news.append(News(len(handles), handle, None))
            variant = data.Value
            value = None if variant is None else variant.Value
            if quality & _BAD:
                value = np.nan
            # A text tag's numbers need their codes too, so only plain floats skip `scalar`.
            elif (
                value.__class__ is not float
                or variant.VariantType is not types[handle]
                or self._is_text[handle]
            ):
                kind = _kind(variant, value)
                if kind != types[handle] and value is not None:
                    types[handle] = kind
                    news.append(News(len(handles), handle, variant))
                value, bits = self._scalar(value, handle)
                quality |= bits
            stamp = data.SourceTimestamp
            if stamp is not last_stamp and stamp != last_stamp:
                last_stamp, last_ns = stamp, time_ns(stamp)
            handles.append(handle)
            values.append(value)
            stamps.append(last_ns)
            qualities.append(quality)
        column, quality_column = np.array(values, np.float64), np.array(qualities, np.uint16)
        settle(column, quality_column)
        self.aside, self.news, self.handles = aside, news, handles
        tag = self._tag[np.array(handles, np.intp)]
        return Samples(tag, np.array(stamps, np.int64), column, quality_column)

    def _scalar(self, value: Any, handle: int) -> tuple[float, int]:
        if value is not None and not isinstance(value, (bool, int, float, str)):
            # LocalizedText is a text with a locale; every other structure is no scalar.
            value = getattr(value, "Text", value)
        return scalar(value, is_text=self._is_text[handle], dictionary=self._dictionary)


def _kind(variant: Any, value: Any) -> Any:
    """What tells one type of values from another: the type, and of an array that it is one."""
    kind = getattr(variant, "VariantType", None)
    return (kind, "[]") if isinstance(value, list) else kind
