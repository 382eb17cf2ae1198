"""Sparkplug B: payloads to metrics, topics to what they are of.

Source: Sparkplug 3.0.0, chapters 4 (topics) and 6 (payloads, and their protobuf). Field numbers are
those of that schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from agent.decode import protobuf as wire

NAMESPACE: Final = "spBv1.0"
BIRTHS: Final = frozenset({"NBIRTH", "DBIRTH"})
DATA: Final = frozenset({"NDATA", "DDATA"})
DEATHS: Final = frozenset({"NDEATH", "DDEATH"})
MAX_PAYLOAD_BYTES: Final = 4_000_000

TYPES: Final[Mapping[int, str]] = {
    1: "Int8", 2: "Int16", 3: "Int32", 4: "Int64", 5: "UInt8", 6: "UInt16", 7: "UInt32",
    8: "UInt64", 9: "Float", 10: "Double", 11: "Boolean", 12: "String", 13: "DateTime", 14: "Text",
    15: "UUID",
}  # fmt: skip
"""Number of a data type that has one value -> its name; data sets, templates and files have none.
"""
TEXTS: Final = frozenset({"String", "Text", "UUID"})
_SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}


class Topic(NamedTuple):
    """``spBv1.0/group/kind/node[/device]``; the device is empty where it is of the node itself."""

    group: str
    kind: str
    node: str
    device: str

    def text(self, kind: str = "") -> str:
        """The topic, or that of the same node and device for messages of another kind."""
        parts = [NAMESPACE, self.group, kind or self.kind, self.node, self.device]
        return "/".join(parts[:-1] if not self.device else parts)

    @property
    def data(self) -> str:
        """The topic that the values of the same node or device come on."""
        return self.text("DDATA" if self.device else "NDATA")


@dataclass(frozen=True, slots=True)
class Metric:
    """One value, or in a birth one definition.

    Attributes:
        name: empty where it is told by its alias.
        alias: None where it has none.
        time_ms: its own time, since 1970; 0: none.
        type: number of its data type, 0 where it is told in the birth only.
        value: None where it is null, or has no single value.
        raw: of a whole number, the bits as they came, for a type that a birth tells.
        properties: such as ``engUnit``.
    """

    name: str = ""
    alias: int | None = None
    time_ms: int = 0
    type: int = 0
    is_historical: bool = False
    value: Any = None
    raw: int | None = None
    description: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)

    def of_type(self, number: int) -> Any:
        """Its value where a birth said of which data type it is."""
        return self.value if self.raw is None or self.type else _whole(self.raw, number)


@dataclass(frozen=True, slots=True)
class Payload:
    """One message: time in ms since 1970 (0: none), sequence number, metrics."""

    time_ms: int
    sequence: int | None
    metrics: Sequence[Metric]


def topic_of(text: str) -> Topic | None:
    """What a topic is of; None where it is no topic of an edge node."""
    parts = text.split("/")
    if parts[0] != NAMESPACE or len(parts) not in (4, 5) or not all(parts):
        return None
    topic = Topic(parts[1], parts[2], parts[3], "".join(parts[4:]))
    of_device = topic.kind.startswith("D")
    known = topic.kind in BIRTHS | DATA | DEATHS
    return topic if known and of_device is bool(topic.device) else None


def payload_of(data: bytes) -> Payload:
    """Read a message.

    Raises:
        ValueError: it is none, is cut, or is too large.
    """
    if len(data) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"it is larger than {MAX_PAYLOAD_BYTES} bytes")
    time_ms, sequence, metrics = 0, None, []
    for number, _, value in wire.fields(data):
        if number == 1:
            time_ms = wire.whole(value)
        elif number == 2:
            metrics.append(_metric(wire.part(value)))
        elif number == 3:
            sequence = wire.whole(value)
    return Payload(time_ms, sequence, metrics)


_PLAIN = {1: "name", 2: "alias", 3: "time_ms", 4: "type", 5: "is_historical"}
_IS_NULL, _METADATA, _PROPERTIES = 7, 8, 9
_DESCRIPTION = 8  # of the metadata
_WHOLE = (10, 11)  # of a metric: its value as int or long; 12 float, 13 double, 14 bool, 15 text


def _metric(data: memoryview) -> Metric:
    found: dict[str, Any] = {}
    is_null = False
    for number, kind, value in wire.fields(data):
        if number == 1:
            found["name"] = wire.text(value)
        elif number in _PLAIN:
            told = wire.whole(value)
            found[_PLAIN[number]] = bool(told) if number == 5 else told
        elif number == _IS_NULL:
            is_null = bool(wire.whole(value))
        elif number == _METADATA:
            parts = wire.fields(wire.part(value))
            told_of = [wire.text(inner) for at, _, inner in parts if at == _DESCRIPTION]
            found["description"] = "".join(told_of[-1:])
        elif number == _PROPERTIES:
            found["properties"] = dict(_properties(wire.part(value)))
        elif number in _WHOLE:
            found["raw"] = wire.whole(value)
        elif number in (12, 13, 14, 15):
            found["value"] = _value(number - 12, kind, value)
    raw = found.pop("raw", None)
    if raw is not None and not is_null:
        found |= {"raw": raw, "value": _whole(raw, found.get("type", 0))}
    return Metric(**(found | {"value": None, "raw": None} if is_null else found))


def _value(which: int, kind: int, value: int | memoryview) -> Any:
    """A float, double, truth value or text, in the order of their field numbers."""
    if which < 2:
        return wire.real(value, kind)
    return bool(wire.whole(value)) if which == 2 else wire.text(value)


def _whole(raw: int, number: int) -> int:
    """Signed types come as the bits of their two's complement, cut to their width or not."""
    bits = _SIGNED_BITS.get(number)
    if bits is None:
        return raw
    low = raw & (1 << bits) - 1
    return low - (1 << bits) if low >> bits - 1 else low


def _properties(data: memoryview) -> Iterator[tuple[str, Any]]:
    """Keys and values stand in two lists of the same order."""
    keys: list[str] = []
    values: list[Any] = []
    for number, _, value in wire.fields(data):
        if number == 1:
            keys.append(wire.text(value))
        elif number == 2:
            values.append(_property(wire.part(value)))
    yield from zip(keys, values, strict=False)


def _property(data: memoryview) -> Any:
    kind_of_data, found = 0, None
    for number, kind, value in wire.fields(data):
        if number == 1:
            kind_of_data = wire.whole(value)
        elif number in (3, 4):
            found = _whole(wire.whole(value), kind_of_data)
        elif number in (5, 6, 7, 8):
            found = _value(number - 5, kind, value)
    return found
