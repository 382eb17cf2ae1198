"""MQTT: JSON payloads to samples, by topic and JSON pointer (RFC 6901).

Addresses are read in `mqtt_address`. Payloads come from anybody who may publish: whatever they
hold, `decode` returns, what is no number is a bad sample, and what is strange is told in `details`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.decode.columns import Dictionary, scalar
from agent.decode.mqtt_address import Address, Pointer, parse_address, pointer_text
from agent.decode.times import TimeFault, read_time
from agent.types import Quality

__all__ = ["Address", "Columns", "Decoder", "parse_address", "resolve"]

MAX_PAYLOAD_BYTES = 1_000_000
_MOST_DETAILS = 40
_SHOWN_CHARS = 40
_INDEX = re.compile(r"0|[1-9]\d{0,9}", re.ASCII)
_BAD = int(Quality.BAD)
_UNCERTAIN = int(Quality.UNCERTAIN)
_WRONG_TYPE = int(Quality.WRONG_TYPE)
_NOT_A_NUMBER = int(Quality.NOT_A_NUMBER)
_WORDS = {
    TimeFault.ABSENT: "is absent; the time of arrival is used",
    TimeFault.UNREADABLE: "can not be read; the time of arrival is used",
    TimeFault.IMPLAUSIBLE: "is years off; the time of arrival is used",
}
_TRUTH, _NUMBER, _TEXT = "a truth value", "a number", "a number as text"


class _Marker:
    """What stands where there is no value."""


_ABSENT: Any = _Marker()
_UNDECODABLE: Any = _Marker()
_TWICE: Any = _Marker()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a key that comes twice with different values has none."""
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen and repr(seen[key]) != repr(value):
                found[key] = _TWICE
            seen.setdefault(key, value)
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


@dataclass(slots=True)
class Columns:
    """Samples as they come in, in lists; `clear` after they were handed on."""

    tag: list[int]
    source_ns: list[int]
    value: list[float]
    quality: list[int]

    @classmethod
    def empty(cls) -> Columns:
        """Without samples."""
        return cls([], [], [], [])


@dataclass(slots=True)
class _Value:
    """One tag's place in a topic; `kind` is the JSON type that it had so far."""

    address: Address
    tag: int
    is_text: bool
    kind: str = ""


def resolve(document: Any, pointer: Pointer) -> Any:
    """What the pointer points at, or the marker for nothing there."""
    for token in pointer:
        if isinstance(document, dict):
            document = document.get(token, _ABSENT)
        elif isinstance(document, list) and _INDEX.fullmatch(token):
            index = int(token)
            document = document[index] if index < len(document) else _ABSENT
        else:
            return _TWICE if document is _TWICE else _ABSENT
    return document


class Decoder:
    """Turns messages into samples.

    Args:
        addresses: of all tags.
        tags: their ids.
        is_text: for each, whether it holds texts.
        dictionary: gives the texts' codes.

    Attributes:
        topics: all, once each.
        unknown: messages on topics that no tag has.
        undecodable: payloads that are no JSON, or too large.
        absent: values that a payload did not have.
        times: how often a configured time was none, by `TimeFault`.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        tags: Sequence[int],
        is_text: Sequence[bool],
        dictionary: Dictionary,
    ) -> None:
        self._dictionary = dictionary
        self._values: dict[str, list[_Value]] = {}
        for address, tag, text in zip(addresses, tags, is_text, strict=True):
            self._values.setdefault(address.topic, []).append(_Value(address, tag, text))
        self.topics = tuple(self._values)
        self.unknown = 0
        self.undecodable = 0
        self.absent = 0
        self.times: Counter[str] = Counter()
        self._details: dict[str, tuple[int, str]] = {}

    @property
    def details(self) -> list[str]:
        """What was strange, how often, and what it was first, in words; bounded."""
        return [
            f"{text}{first and ', first '}{first} ({count} time{'s' * (count != 1)})"
            for text, (count, first) in self._details.items()
        ]

    def _tell(self, text: str, value: Any = _ABSENT) -> None:
        count, first = self._details.get(text, (0, ""))
        if not count:
            if len(self._details) >= _MOST_DETAILS:
                return
            first = "" if value is _ABSENT else _shown(value)
        self._details[text] = count + 1, first

    def decode(
        self, topic: str, payload: bytes, bits: int, columns: Columns, now_ns: int = 0
    ) -> int:
        """Append the samples of one message; a value that is absent is no news, so no sample.

        Args:
            topic: as received.
            payload: as received, hostile or not.
            bits: quality bits that every sample of the message gets.
            columns: appended to; `source_ns` is 0 where the payload gave no time. Where it should
                have given one the sample is uncertain: nobody can tell whether it is in time.
            now_ns: time of arrival, by which a time is judged plausible; 0 where it is not known.

        Returns:
            How many samples were appended.
        """
        found = self._values.get(topic)
        if found is None:
            self.unknown += 1
            return 0
        document = _document(payload)
        self.undecodable += document is _UNDECODABLE
        count = 0
        last_time: Pointer | None = None
        stamp, doubt = 0, 0
        for item in found:
            address = item.address
            value = resolve(document, address.pointer) if address.pointer else document
            if document is _UNDECODABLE:
                value = _plain_text(payload) if item.is_text and not address.pointer else document
            elif value is _ABSENT:
                self.absent += 1
                continue
            quality = bits
            if (
                value.__class__ is not float
                or item.is_text
                or item.kind is not _NUMBER
                or (not math.isfinite(value))
            ):
                value, more = self._scalar(item, value)
                quality |= more
            if address.time is None:
                columns.source_ns.append(0)
            else:
                if address.time is not last_time:  # most tags of a topic share one
                    last_time = address.time
                    stamp, doubt = self._time(topic, document, last_time, now_ns)
                columns.source_ns.append(stamp)
                quality |= doubt
            columns.tag.append(item.tag)
            columns.value.append(value)
            columns.quality.append(quality)
            count += 1
        return count

    def _time(self, topic: str, document: Any, pointer: Pointer, now_ns: int) -> tuple[int, int]:
        """(a message's own time in ns, the quality bits of it): 0 and uncertain where none is."""
        value = resolve(document, pointer)
        if document is _UNDECODABLE:
            return 0, 0
        stamp, fault = read_time(None if value is _ABSENT else value, now_ns)
        if fault is None:
            return stamp, 0
        self.times[fault.value] += 1
        self._tell(
            f"{topic}: the time at {pointer_text(pointer) or 'the whole'} {_WORDS[fault]}", value
        )
        return 0, _UNCERTAIN

    def _scalar(self, item: _Value, value: Any) -> tuple[float, int]:
        """A value that is not simply the next number, with its quality bits."""
        place = f"{item.address.topic} {pointer_text(item.address.pointer)}".rstrip()
        if value is _TWICE or value is _UNDECODABLE:
            twice = "the key comes twice in one object, with different values"
            self._tell(f"{place}: {twice if value is _TWICE else 'the payload is no JSON'}")
            return math.nan, _BAD | _NOT_A_NUMBER | _WRONG_TYPE
        number, bits = scalar(value, is_text=item.is_text, dictionary=self._dictionary)
        if item.is_text:
            return number, bits
        if bits:
            if bits & _WRONG_TYPE:
                self._tell(f"{place}: what came is no number", value)
            elif bits == _UNCERTAIN:
                self._tell(f"{place}: whole numbers beyond 2^53 are not kept exactly")
            return number, bits
        kind = _TRUTH if isinstance(value, bool) else _TEXT if isinstance(value, str) else _NUMBER
        if kind is _TEXT and not item.kind:
            self._tell(f"{place}: numbers come as text")
        if item.kind and kind is not item.kind:
            self._tell(f"{place}: was {item.kind}, and {kind} came")
            if kind is _TRUTH:  # after numbers: true is not 1 of anything
                return math.nan, _BAD | _NOT_A_NUMBER | _WRONG_TYPE
        item.kind = kind
        return number, 0


def _shown(value: Any) -> str:
    """A value as people are shown it, cut where it is long."""
    if isinstance(value, _Marker):
        return "two different ones"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value[:_SHOWN_CHARS]) if isinstance(value, str) else repr(value)[:_SHOWN_CHARS]


def _document(payload: bytes) -> Any:
    """The JSON document, or the marker for none."""
    if len(payload) <= MAX_PAYLOAD_BYTES:
        try:
            # ValueError also is bad UTF-8, and integers of thousands of digits.
            text = payload.decode()
            return _DECODER.decode(text[1:] if text[:1] == "\ufeff" else text)
        except (ValueError, RecursionError):
            pass
    return _UNDECODABLE


def _plain_text(payload: bytes) -> str | None:
    """A payload that is no JSON, for a tag of texts that takes the whole of it."""
    try:
        return payload[:1024].decode().strip()
    except UnicodeDecodeError:
        return None  # bytes of no text are no value
