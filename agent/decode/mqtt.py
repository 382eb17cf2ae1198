"""MQTT: JSON payloads to samples, by topic and JSON pointer (RFC 6901); Sparkplug B by metric.

Addresses are read in `mqtt_address`. Payloads come from anybody who may publish: whatever they
hold, `decode` returns, what is no number is a bad sample, and what is strange is told in `details`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.decode.columns import Dictionary, scalar
from agent.decode.mqtt_address import Address, Pointer, parse_address, pointer_text
from agent.decode.mqtt_document import (
    ABSENT,
    TWICE,
    UNDECODABLE,
    Marker,
    document_of,
    plain_text,
    resolve,
)
from agent.decode.mqtt_shape import NUMBER, News, Watch, Watched
from agent.decode.sparkplug import NAMESPACE
from agent.decode.sparkplug_nodes import Heard, Nodes
from agent.decode.times import TimeFault, read_time
from agent.types import Quality

__all__ = ["Address", "Columns", "Decoder", "parse_address", "resolve"]

_MOST_DETAILS = 40
_SHOWN_CHARS = 40
_BAD = int(Quality.BAD)
_UNCERTAIN = int(Quality.UNCERTAIN)
_WRONG_TYPE = int(Quality.WRONG_TYPE)
_NOT_A_NUMBER = int(Quality.NOT_A_NUMBER)
_LOST = int(Quality.COMMUNICATION_LOST)
_REPLAYED = int(Quality.REPLAYED)
_GOOD, _STALE = 192, 500  # of Sparkplug
_WORDS = {
    TimeFault.ABSENT: "is absent; the time of arrival is used",
    TimeFault.UNREADABLE: "can not be read; the time of arrival is used",
    TimeFault.IMPLAUSIBLE: "is years off; the time of arrival is used",
}
_TRUTH, _NUMBER, _TEXT = "a truth value", "a number", "a number as text"


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
class _Value(Watched):
    """One tag's place in a topic; `kind` is what its values were so far.

    Attributes:
        is_plain: the next number is simply that.
    """

    is_text: bool = False
    kind: str = ""
    is_plain: bool = False


class Decoder:
    """Turns messages into samples.

    Args:
        addresses: of all tags.
        tags: their ids.
        is_text: for each, whether it holds texts.
        dictionary: gives the texts' codes.
        watches: whether it is wanted what messages are like besides their values, see `news`.

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
        *,
        watches: bool = False,
    ) -> None:
        self._dictionary = dictionary
        self._watch = Watch() if watches else None
        self._values: dict[str, list[_Value]] = {}
        self._metrics: dict[tuple[str, str], _Value] = {}  # (topic of data, metric) -> where to
        shared: dict[Pointer | None, Pointer | None] = {}  # tags of a message share one time
        for address, tag, text in zip(addresses, tags, is_text, strict=True):
            time = shared.setdefault(address.time, address.time)
            value = _Value(replace(address, time=time), tag, is_text=text)
            if address.metric:
                self._metrics[address.topic, address.metric] = value
            else:
                self._values.setdefault(address.topic, []).append(value)
        self._nodes = Nodes(topic for topic, _ in self._metrics)
        self.topics = (*self._values, *self._nodes.topics)
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

    @property
    def news(self) -> list[News]:
        """What messages were like, where that is another than before; who takes them clears it."""
        return [] if self._watch is None else self._watch.news

    def _tell(self, text: str, value: Any = ABSENT) -> None:
        count, first = self._details.get(text, (0, ""))
        if not count:
            if len(self._details) >= _MOST_DETAILS:
                return
            first = "" if value is ABSENT else _shown(value)
        self._details[text] = count + 1, first

    def tags_of(self, topic: str) -> list[int]:
        """The tags that JSON on a topic has values of."""
        return [item.tag for item in self._values.get(topic, ())]

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
            if self._metrics and topic.startswith(f"{NAMESPACE}/"):
                return self._sparkplug(topic, payload, bits, columns, now_ns)
            self.unknown += 1
            return 0
        document = document_of(payload)
        self.undecodable += document is UNDECODABLE
        if self._watch is not None:
            self._watch.keys(topic, found, document, len(columns.tag), now_ns)
        count = 0
        last_time: Pointer | None = None
        stamp, doubt = 0, 0
        for item in found:
            address = item.address
            value = resolve(document, address.pointer) if address.pointer else document
            if document is UNDECODABLE:
                value = plain_text(payload) if item.is_text and not address.pointer else document
            elif value is ABSENT:
                self.absent += 1
                self._lacked(item, len(columns.tag))
                continue
            quality = bits
            if value.__class__ is not float or not item.is_plain or not math.isfinite(value):
                value, more = self._other(item, value, document, len(columns.tag), now_ns)
                quality |= more
            if address.time is None:
                columns.source_ns.append(0)
            else:
                if address.time is not last_time:  # most tags of a topic share one
                    last_time = address.time
                    stamp, doubt = self._time(topic, document, last_time, now_ns)
                    if self._watch is not None:
                        row = len(columns.tag)
                        self._watch.time(topic, found, last_time, document, row, now_ns)
                columns.source_ns.append(stamp)
                quality |= doubt
            columns.tag.append(item.tag)
            columns.value.append(value)
            columns.quality.append(quality)
            count += 1
        return count

    def _lacked(self, item: _Value, row: int) -> None:
        """A message came without the value."""
        item.is_plain = False
        if self._watch is not None:
            self._watch.lacked(item, row)

    def _other(
        self, item: _Value, value: Any, document: Any, row: int, now_ns: int
    ) -> tuple[float, int]:
        """A value that may be something else than those before it, with its quality bits."""
        if self._watch is not None:
            self._watch.came(item, value, document, row, now_ns)
        number, bits = self._scalar(item, value)
        is_watched = self._watch is not None
        item.is_plain = item.kind is _NUMBER and (item.shape.plain is NUMBER or not is_watched)
        return number, bits

    def _sparkplug(
        self, topic: str, payload: bytes, bits: int, columns: Columns, now_ns: int
    ) -> int:
        """`decode` for a birth, data or death of Sparkplug B."""
        try:
            heard = self._nodes.take(topic, payload)
        except ValueError as error:
            self.undecodable += 1
            self._tell(f"{topic}: the payload is no Sparkplug message: {error}")
            return 0
        if heard is None:
            self.unknown += 1
            return 0
        before = len(columns.tag)
        if heard.unnamed:
            self.absent += heard.unnamed
            self._tell(f"{topic}: values come by alias, and no birth was heard that names them")
        if heard.is_birth and self._watch is not None:
            self._watch.born(self._metrics, heard, before)
        for of in heard.of if heard.is_death else ():
            for (data_topic, _), item in self._metrics.items():
                if data_topic == of:
                    _append(columns, item.tag, 0, math.nan, bits | _BAD | _LOST)
        self._take_metrics(topic, heard, bits, columns, now_ns)
        return len(columns.tag) - before

    def _take_metrics(
        self, topic: str, heard: Heard, bits: int, columns: Columns, now_ns: int
    ) -> None:
        for metric in heard.metrics:
            item = self._metrics.get((heard.of[0], metric.name))
            if item is None:
                continue
            if self._watch is not None:
                self._watch.metric(item, metric, len(columns.tag))
            value, quality = self._scalar(item, metric.value)
            # "Quality" is 192 for good, 0 for bad and 500 for stale (Sparkplug 3.0.0, 6.4.10).
            told = metric.properties.get("Quality", _GOOD)
            if told != _GOOD and not quality & _BAD:
                value, quality = math.nan, quality | _BAD | _LOST * (told == _STALE)
            if metric.is_historical:
                quality |= _REPLAYED
            stamp, fault = 0, None
            if time_ms := metric.time_ms or heard.time_ms:
                stamp, fault = read_time(time_ms, now_ns)
            if fault is not None:
                self.times[fault.value] += 1
                self._tell(f"{topic}: the time of {metric.name} {_WORDS[fault]}", time_ms)
                quality |= _UNCERTAIN
            _append(columns, item.tag, stamp, value, bits | quality)

    def _time(self, topic: str, document: Any, pointer: Pointer, now_ns: int) -> tuple[int, int]:
        """(a message's own time in ns, the quality bits of it): 0 and uncertain where none is."""
        value = resolve(document, pointer)
        if document is UNDECODABLE:
            return 0, 0
        stamp, fault = read_time(None if value is ABSENT else value, now_ns)
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
        if value is TWICE or value is UNDECODABLE:
            twice = "the key comes twice in one object, with different values"
            self._tell(f"{place}: {twice if value is TWICE else 'the payload is no JSON'}")
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


def _append(columns: Columns, tag: int, stamp_ns: int, value: float, quality: int) -> None:
    columns.tag.append(tag)
    columns.source_ns.append(stamp_ns)
    columns.value.append(value)
    columns.quality.append(quality)


def _shown(value: Any) -> str:
    """A value as people are shown it, cut where it is long."""
    if isinstance(value, Marker):
        return "two different ones"
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return repr(value[:_SHOWN_CHARS]) if isinstance(value, str) else repr(value)[:_SHOWN_CHARS]
