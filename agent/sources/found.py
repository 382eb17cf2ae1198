"""What a server, broker or register map offers: the tags that a configuration could have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FoundTag:
    """A signal that could be a tag.

    Attributes:
        name: unique among those found with it.
        address: as the configuration writes it.
        source: key of the source's own table in `Found.sources`; empty where there is one only.
        unit: as the source tells it; empty where it does not.
        interval_ns: as the source tells it, or as it came.
        physical: what the sensor can say at all.
        also: other names by which people may know it.
    """

    name: str
    address: str
    source: str = ""
    unit: str = ""
    data_type: str = ""
    interval_ns: int | None = None
    physical: tuple[float, float] | None = None
    description: str = ""
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that was found.

    Attributes:
        tags: in the order of the source.
        notes: what was left out, and what a person should know, in sentences.
        sources: part of a name -> keys of its own in the source's table; of a map of several
            Modbus units one each.
    """

    tags: Sequence[FoundTag]
    notes: Sequence[str] = ()
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"": {}})


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person wants to be looked for.

    Attributes:
        under: OPC UA: nodes to browse below; MQTT: topic filters. None: everything.
        most: tags, at most.
        timeout_s: for a connection, and each answer.
        listen_s: how long is listened for what is sent unasked.
        is_sparkplug: births and data of Sparkplug B instead of JSON.
        file: register map.
        answers: option, without dashes -> what was answered to a question of it.
    """

    under: tuple[str, ...] = ()
    most: int = 20_000
    timeout_s: float = 5.0
    listen_s: float = 60.0
    is_sparkplug: bool = False
    file: Path | None = None
    answers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def unique(names: Sequence[str]) -> list[str]:
    """Each name once: the second of one name has ``_2`` behind it."""
    taken = set(names)
    seen: set[str] = set()
    found = []
    for name in names:
        own, number = name, 1
        while own in seen or (number > 1 and own in taken):
            number += 1
            own = f"{name}_{number}"
        seen.add(own)
        found.append(own)
    return found


def counted_out(left_out: Mapping[str, int], what: str) -> list[str]:
    """A note for each reason why some were left out, the most frequent first."""
    ordered = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    return [f"left out: {what} {why} ({count})" for why, count in ordered]
