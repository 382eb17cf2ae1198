"""MQTT: JSON payloads to samples, by topic and JSON pointer (RFC 6901).

An address is a topic, then a pointer to the value, then optionally `time` and a pointer to the
time of the values: `plant/line1/telemetry /speed time /ts`. Without a pointer the whole payload
is the value. Payloads come from anybody who may publish: whatever they hold, `decode` returns,
and what is no number is a bad sample.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agent.decode.columns import MAX_TIME_NS, Dictionary, scalar
from agent.errors import SourceError

MAX_PAYLOAD_BYTES = 1_000_000
_MAX_TOPIC_BYTES = 65_535  # MQTT 5.0, 1.5.4
_ADDRESS = re.compile(
    r"(?P<topic>\S(?:.*?\S)??)(?:\s+(?P<pointer>/\S*))?(?:\s+time\s+(?P<time>/\S*))?"
)
_BAD_ESCAPE = re.compile(r"~(?![01])")
_INDEX = re.compile(r"0|[1-9]\d{0,9}", re.ASCII)
_HINT = "write it like 'plant/line1/telemetry /speed', or with 'time /ts' after it"
_ABSENT: Any = object()
_UNDECODABLE: Any = object()
_DECODER = json.JSONDecoder()

Pointer = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """A topic, where in its payload the value is, and where its time is (None: nowhere)."""

    topic: str
    pointer: Pointer
    time: Pointer | None = None


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


@dataclass(frozen=True, slots=True)
class _Value:
    address: Address
    tag: int
    is_text: bool


def parse_address(text: str) -> Address:
    """``"plant/line1/telemetry /speed time /ts"`` -> `Address`.

    Raises:
        SourceError: what is wrong with it, and how it is written.
    """
    match = _ADDRESS.fullmatch(text.strip())
    cause = "it is empty"
    if match is not None:
        topic, pointers = match["topic"], (match["pointer"] or "") + (match["time"] or "")
        size = len(topic.encode("utf-8", "replace"))
        faults = [
            ("+" in topic or "#" in topic, "a tag is one topic: '+' and '#' can not be used"),
            ("\x00" in topic or size > _MAX_TOPIC_BYTES, "MQTT allows no such topic"),
            (" /" in topic, "there are two pointers; the one of the time has 'time' before it"),
            (_BAD_ESCAPE.search(pointers), "in a pointer '~' is written ~0, and '/' in a key ~1"),
        ]
        cause = next((cause for is_fault, cause in faults if is_fault), "")
    if match is None or cause:
        raise SourceError("reading MQTT address", repr(text), cause, _HINT)
    time = match["time"]
    return Address(
        match["topic"], _tokens(match["pointer"] or ""), None if time is None else _tokens(time)
    )


def _tokens(pointer: str) -> Pointer:
    # RFC 6901, section 4: ~1 first, so that ~01 becomes ~1 and not /.
    parts = pointer.split("/")[1:]
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def resolve(document: Any, pointer: Pointer) -> Any:
    """What the pointer points at, or the marker for nothing there."""
    for token in pointer:
        if isinstance(document, dict):
            document = document.get(token, _ABSENT)
        elif isinstance(document, list) and _INDEX.fullmatch(token):
            index = int(token)
            document = document[index] if index < len(document) else _ABSENT
        else:
            return _ABSENT
    return document


def time_ns(value: Any) -> int:
    """A time in a payload as ns since 1970; 0 where it is none.

    Numbers are seconds, milli-, micro- or nanoseconds by their size: seconds are below 1e11
    (the year 5138), milliseconds below 1e14, microseconds below 1e17. Texts are ISO 8601, UTC
    where they name no offset.
    """
    if isinstance(value, bool):
        return 0
    if isinstance(value, str):
        return _iso_ns(value)
    if not isinstance(value, (int, float)) or not 0 < value <= MAX_TIME_NS:
        return 0
    for limit, unit in ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000)):
        if value < limit:
            whole = int(value)
            return min(whole * unit + round((value - whole) * unit), MAX_TIME_NS)
    return int(min(value, MAX_TIME_NS))


def _iso_ns(text: str) -> int:
    try:
        stamp = datetime.fromisoformat(text)
    except ValueError:
        return 0
    stamp = stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)
    delta = stamp - datetime(1970, 1, 1, tzinfo=UTC)
    ns = (delta.days * 86_400 + delta.seconds) * 1_000_000_000 + delta.microseconds * 1_000
    return ns if 0 < ns <= MAX_TIME_NS else 0


class Decoder:
    """Turns messages into samples.

    Args:
        addresses: of all tags.
        tags: their ids.
        is_text: for each, whether it holds texts.
        dictionary: gives the texts' codes.
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
        self.unknown = 0  # messages on topics that no tag has
        self.undecodable = 0  # payloads that are no JSON, or too large
        self.absent = 0  # values that a payload did not have

    def decode(self, topic: str, payload: bytes, bits: int, columns: Columns) -> int:
        """Append the samples of one message; a value that is absent is no news, so no sample.

        Args:
            topic: as received.
            payload: as received, hostile or not.
            bits: quality bits that every sample of the message gets.
            columns: appended to; `source_ns` is 0 where the payload gave no time.

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
        for item in found:
            address = item.address
            value = resolve(document, address.pointer) if address.pointer else document
            if document is _UNDECODABLE:
                value = _plain_text(payload) if item.is_text and not address.pointer else None
            elif value is _ABSENT:
                self.absent += 1
                continue
            quality = bits
            if value.__class__ is not float or item.is_text or not math.isfinite(value):
                value, more = scalar(value, is_text=item.is_text, dictionary=self._dictionary)
                quality |= more
            stamp = 0 if address.time is None else time_ns(resolve(document, address.time))
            columns.tag.append(item.tag)
            columns.source_ns.append(stamp)
            columns.value.append(value)
            columns.quality.append(quality)
            count += 1
        return count


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
        return None
