"""What a message says: from its bytes and its topic to a `Reading`, or why it is none. Pure.

Every consumer reads messages here: `agent.central.subscriber` in memory, `agent.fleet` into a
database.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from agent.central.lives import Life, Place
from agent.errors import FieldwardenError
from agent.forward.json_payload import CHECK, SCHEMA, time_of
from agent.store import ranges
from agent.store.received import MarkKey

STREAMS: Final = ("state", "verdict", "event", "summary", "gap")
ANSWERS: Final = "central"  # last level of the topic on which a central acknowledges
LARGEST: Final = 2**53  # beyond it not every JSON reader keeps a number
LONGEST_NAME: Final = 500  # bytes
READ_ERRORS: Final = (
    ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError,
    FieldwardenError,
)  # fmt: skip
"""What reading a message of any content may raise."""

_LEVELS = 5  # prefix, schema, site, gateway, what


@dataclass(frozen=True, slots=True)
class Reading:
    """A message of a gateway.

    Attributes:
        site, gateway, store, boot, stream, seq: who says it, and which message of theirs it is.
        time_ns: engine time of the gateway.
        covers: numbers that this message holds besides its own, by run.
        document: the whole of it; `data` of it is in `data`.
        payload: as it came.
    """

    site: str
    gateway: str
    store: str
    boot: int
    stream: str
    seq: int
    time_ns: int
    covers: Mapping[int, ranges.Ranges]
    document: Mapping[str, Any]
    data: Mapping[str, Any]
    payload: bytes

    @property
    def life(self) -> Life:
        """The run that says it."""
        return Life(self.store, self.boot)

    @property
    def place(self) -> Place:
        """Where it belongs in the store's life."""
        return Place(self.boot, self.seq)

    @property
    def key(self) -> MarkKey:
        """The stream that its number counts in."""
        return MarkKey(self.site, self.gateway, self.store, self.boot, self.stream)

    @property
    def kind(self) -> str:
        """Of an event: finding, condition, ...; KeyError where it says none."""
        return str(self.document["type"]).rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Cleared:
    """A retained verdict was taken back: the model is not watched any more."""

    site: str
    gateway: str
    model: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that says nothing that could be understood, and why."""

    reason: str


Read = Reading | Cleared | Unreadable | None
"""None: nothing for a consumer, as an answer of a central or the trial of a gateway's `check`."""


def read(payload: bytes, topic: str = "") -> Read:
    """What one message says.

    Args:
        payload: as it came.
        topic: it came on; empty where it is not known.
    """
    levels = topic.split("/")
    if levels[_LEVELS - 1 :] == [ANSWERS]:
        return None  # a central's own
    if not payload:
        return _cleared(levels)
    try:
        document = json.loads(payload)
        if document == CHECK:  # a gateway's `check` tries what it may publish
            return None
        return _reading(document, levels, payload)
    except READ_ERRORS as error:
        return Unreadable(f"{type(error).__name__}: {str(error)[:200]}")


def _cleared(levels: list[str]) -> Cleared | None:
    if len(levels) != _LEVELS + 1 or levels[_LEVELS - 1] != "verdict":
        return None
    return Cleared(levels[2], levels[3], unquote(levels[_LEVELS]))


def _reading(document: Any, levels: list[str], payload: bytes) -> Reading:
    """Raises one of `READ_ERRORS` where it is none of ours, or not of whom the topic names."""
    if document["schema"] != SCHEMA:
        raise ValueError("another schema")
    site, gateway, store, stream = (
        name_of(document[key]) for key in ("site", "gateway", "store", "stream")
    )
    if len(levels) >= _LEVELS and levels[2:4] != [site, gateway]:
        raise ValueError("said on another gateway's topic")
    if stream not in STREAMS:
        raise ValueError("a stream that there is not")
    if not isinstance(document["time"], str):
        raise TypeError("no time")
    boot = number_of(document["boot"])
    data = document["data"]
    if not isinstance(data, dict):
        raise TypeError("no data")
    return Reading(
        site, gateway, store, boot, stream, number_of(document["seq"]), time_of(document["time"]),
        by_boot(document.get("covers", ()), boot), document, data, payload,
    )  # fmt: skip


def name_of(value: Any) -> str:
    """A name that can stand in a topic; ValueError where it is none."""
    if not isinstance(value, str) or not value or any(ch in value for ch in "/+#\x00"):
        raise ValueError("no name that could stand in a topic")
    if len(value.encode()) > LONGEST_NAME:
        raise ValueError("a name that is too long")
    return value


def number_of(value: Any) -> int:
    """A number of a message or a run, from 1; ValueError where it is none."""
    if type(value) is not int or not 1 <= value < LARGEST:
        raise ValueError("no number of a message")
    return value


def range_of(pair: Iterable[Any]) -> tuple[int, int]:
    """``[first, last]``; ValueError where it is none."""
    first, last = pair
    if number_of(first) > number_of(last):
        raise ValueError("a range that ends before it begins")
    return first, last


def by_boot(items: Iterable[Any], boot: int) -> dict[int, ranges.Ranges]:
    """Ranges by the run they count in: ``[first, last]`` of `boot`, ``[boot, first, last]``."""
    found: dict[int, ranges.Ranges] = {}
    for item in items:
        own, pair = (number_of(item[0]), item[1:]) if len(item) == 3 else (boot, item)
        found.setdefault(own, []).append(range_of(pair))
    return found
