"""MQTT: what messages are like besides their values: JSON types, keys, what is not there. Pure.

A running source tells it before the first value that is another; `contract snapshot` reads it of
one message, by the same functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agent.decode.kinds import Kinds
from agent.decode.mqtt_address import Address, Pointer, pointer_text
from agent.decode.mqtt_document import ABSENT, TWICE, UNDECODABLE, Marker, resolve
from agent.decode.sparkplug import TYPES, Metric
from agent.decode.sparkplug_nodes import Heard

NUMBER: Final = "number"
NO_JSON: Final = "no JSON"
TEXT: Final = "text"
"""A payload that is no JSON, for a tag of texts that takes the whole of it."""
JSON_TYPES: Final[Mapping[type, str]] = {
    int: NUMBER, float: NUMBER, bool: "boolean", str: "string", dict: "object", list: "array",
}  # fmt: skip
"""JSON knows one kind of number: many programs write 20.0 as 20. Null is of no type."""

News = tuple[int, int, dict[str, Any]]
"""(row of the columns before which it must be told, tag, terms: see `grades.SERVED`)."""

_TWICE = "twice"  # a key in one object, with different values
_MOST_KEYS = 200
_DEEPEST = 8
_NO_KEYS: Final[frozenset[str]] = frozenset()
_WINDOW_NS = 60_000_000_000  # a key that did not come for so long is there no more
_KNOWN = 10  # messages with a value, until it is known how often one lacks it
_MISSING = 9  # messages in a row without it until it is gone, before that is known
_NEVER_MISSING = 2  # and of one that was in every message


def json_type(value: Any) -> str | None:
    """The JSON type of a value; None for null."""
    return JSON_TYPES.get(type(value))


def pointers(document: Any) -> Iterator[tuple[Pointer, Any]]:
    """Every pointer that a document has, and what it points at; not what is given twice."""
    yield (), document
    yield from _below((), document)


def _below(at: Pointer, value: Any) -> Iterator[tuple[Pointer, Any]]:
    if len(at) >= _DEEPEST:
        return
    inner = isinstance(value, list)
    items = value.items() if isinstance(value, dict) else enumerate(value) if inner else ()
    for key, each in items:
        if isinstance(each, Marker):
            continue
        pointer = (*at, str(key))
        yield pointer, each
        yield from _below(pointer, each)


def keys_of(document: Any) -> dict[str, str]:
    """Pointer -> JSON type of all that stands in a message, but for nulls; bounded."""
    found: dict[str, str] = {}
    for pointer, value in pointers(document):
        kind = json_type(value)
        if kind is not None and not isinstance(value, dict | list):
            found[pointer_text(pointer) or "/"] = kind
            if len(found) >= _MOST_KEYS:
                break
    return found


def born(metric: Metric) -> dict[str, Any]:
    """What a birth says of a Sparkplug metric; None of what it does not say."""
    unit = metric.properties.get("engUnit")
    return {"data_type": TYPES.get(metric.type), "unit": None if unit in (None, "") else str(unit)}


class Shape:
    """How the value of one tag comes: of which type, or not at all.

    That a message lacks it is common where a topic has messages of several kinds: it is gone where
    more in a row lack it than ever did between two that have it.

    Attributes:
        plain: the type that comes all the time; None while something is odd.
        is_gone: messages come, and it is in none of them any more.
    """

    __slots__ = ("_came", "_kinds", "_longest", "_missing", "is_gone", "plain")

    def __init__(self) -> None:
        self._kinds = Kinds()
        self._came = self._missing = self._longest = 0
        self.plain: str | None = None
        self.is_gone = False

    @property
    def told(self) -> str | None:
        """Its type, or several; None where it is gone."""
        return None if self.is_gone else self._kinds.told or None

    def came(self, kind: str | None, now_ns: int) -> bool:
        """A value of this type came; None: null. Whether something is to be told."""
        was_gone, self.is_gone = self.is_gone, False
        if self._missing:
            self._longest = self._longest if was_gone else max(self._longest, self._missing)
            self._missing = 0
        self._came += 1
        is_news = kind is not None and self._kinds.came(kind, now_ns)
        is_plain = not self._kinds.is_mixed and self._came > _KNOWN
        self.plain = (self._kinds.told or None) if is_plain else None
        return is_news or was_gone

    def lacked(self) -> bool:
        """A message came without it; whether that is to be told."""
        self._missing += 1
        self.plain = None
        is_known = self._came > _KNOWN
        allowed = 2 * self._longest + _NEVER_MISSING if is_known else _MISSING
        if self.is_gone or self._missing <= allowed:
            return False
        self.is_gone = True
        return True


class Keys:
    """The keys of a topic's messages, of all of their kinds together."""

    __slots__ = ("_names", "_until_ns", "_window", "told")

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        self._names: set[str] = set()
        self._window: set[str] = set()
        self._until_ns = 0

    def came(self, document: Any, now_ns: int) -> bool:
        """A message came; whether `told` is another now."""
        names = document.keys() if document.__class__ is dict else _NO_KEYS
        if now_ns < self._until_ns and names <= self._window:
            return False
        return self._changed(document, set(names), now_ns)

    def _changed(self, document: Any, names: set[str], now_ns: int) -> bool:
        was = self.told
        if now_ns >= self._until_ns:
            if self._window and (dropped := self._names - self._window - names):
                self._names -= dropped
                self.told = {
                    key: kind for key, kind in self.told.items() if _top(key) not in dropped
                }
            self._until_ns, self._window = now_ns + _WINDOW_NS, set()
        self._window |= names
        self._names |= names
        self.told = dict(list({**self.told, **keys_of(document)}.items())[:_MOST_KEYS])
        return was != self.told


def _top(pointer: str) -> str:
    """The first key of a pointer."""
    return pointer[1:].partition("/")[0].replace("~1", "/").replace("~0", "~")


@dataclass(slots=True)
class Watched:
    """One tag's place in a topic, and how its value comes.

    Attributes:
        shape: of its JSON value.
        data_type: of its Sparkplug metric, as told last.
    """

    address: Address
    tag: int
    shape: Shape = field(default_factory=Shape)
    data_type: str | None = None


class Watch:
    """What the messages of a source are like, message by message.

    Attributes:
        news: what is another than before, in order; who takes them clears it.
    """

    def __init__(self) -> None:
        self._keys: dict[str, Keys] = {}
        self._times: dict[tuple[str, Pointer], tuple[int, Shape]] = {}
        self._number = 0  # of messages
        self.news: list[News] = []

    def came(self, item: Watched, value: Any, document: Any, row: int, now_ns: int) -> None:
        """A value that may be of another type than those before it."""
        kind = JSON_TYPES.get(value.__class__)
        if document is UNDECODABLE:
            kind = TEXT if isinstance(value, str) else NO_JSON
        elif value is TWICE:
            kind = _TWICE
        shape = item.shape
        if (kind is None or kind is not shape.plain) and shape.came(kind, now_ns):
            self.news.append((row, item.tag, {"json_type": shape.told}))

    def lacked(self, item: Watched, row: int) -> None:
        """A message came without the value."""
        if item.shape.lacked():
            self.news.append((row, item.tag, {"json_type": None}))

    def time(
        self, topic: str, items: Iterable[Watched], pointer: Pointer, document: Any, row: int,
        now_ns: int,
    ) -> None:  # fmt: skip
        """The time of a message: it may be of another type, or gone."""
        if document is UNDECODABLE:
            return
        value = resolve(document, pointer)
        seen, shape = self._times.get((topic, pointer)) or (0, Shape())
        if seen == self._number:  # by another tag of the message
            return
        self._times[topic, pointer] = self._number, shape
        kind = JSON_TYPES.get(value.__class__)
        if value is ABSENT:
            is_news = shape.lacked()
        else:
            is_news = (kind is None or kind is not shape.plain) and shape.came(kind, now_ns)
        if is_news:
            told = {"time_type": shape.told}
            self.news += [(row, item.tag, told) for item in items if item.address.time == pointer]

    def keys(
        self, topic: str, items: Iterable[Watched], document: Any, row: int, now_ns: int
    ) -> None:
        """A message came; its keys may be others than before."""
        self._number += 1
        if document is UNDECODABLE:
            return
        keys = self._keys.get(topic)
        if keys is None:
            keys = self._keys[topic] = Keys()
        if keys.came(document, now_ns):
            self.news += [(row, item.tag, {"keys": keys.told}) for item in items]

    def born(self, items: Mapping[tuple[str, str], Watched], heard: Heard, row: int) -> None:
        """A birth came: what it says of its metrics, and which it does not have.

        Args:
            items: (topic of data, name of the metric) -> what it is for.
            heard: the birth.
            row: before which it must be told.
        """
        told = {metric.name: metric for metric in heard.metrics}
        for (topic, name), item in items.items():
            if topic in heard.of:
                terms: dict[str, Any] = {"refused": "not in the birth"}
                if name in told:
                    terms = {"refused": None, **born(told[name])}
                item.data_type = terms.get("data_type")
                self.news.append((row, item.tag, terms))

    def metric(self, item: Watched, metric: Metric, row: int) -> None:
        """A value of a metric, which may be of another type than its birth said."""
        kind = TYPES.get(metric.type)
        if kind is not None and kind != item.data_type:
            item.data_type = kind
            self.news.append((row, item.tag, {"data_type": kind}))
