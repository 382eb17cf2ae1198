"""When a gateway is told what central has, and in how many messages. Pure; for every central."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.central.reading import ANSWERS
from agent.central.streams import MISSING_ASKED
from agent.forward.json_payload import PREFIX, SCHEMA, to_json

PACE_NS = 2_000_000_000  # at most every so often to one gateway, but for births
FOLLOW_NS = (10_000_000_000, 40_000_000_000)
"""So long after a birth or a connection of central's own it is all said again: a gateway does not
send again at once what it sent shortly before, and of a tail that went to nobody nobody knows."""


@dataclass(slots=True)
class Pace:
    """Of one gateway.

    Attributes:
        born: a birth came: it is told at once.
        follow: times at which all is said again.
        told_ns: when it was told last.
    """

    born: bool = False
    follow: list[int] = field(default_factory=list)
    told_ns: int | None = None

    def birth(self, now_ns: int) -> None:
        """A birth came."""
        self.born, self.follow = True, [now_ns + later for later in FOLLOW_NS]

    def again(self, now_ns: int) -> bool:
        """Whether all is to be said again now; true once for each of `FOLLOW_NS`."""
        if not self.follow or now_ns < self.follow[0]:
            return False
        del self.follow[0]
        return True

    def due(self, now_ns: int, pause_ns: int = PACE_NS) -> bool:
        """At once after a birth, else `pause_ns` after it was told last."""
        return self.told_ns is None or self.born or now_ns - self.told_ns >= pause_ns

    def told(self, now_ns: int) -> None:
        """It is told now."""
        self.born, self.told_ns = False, now_ns


@dataclass(frozen=True, slots=True)
class Answer:
    """One message to a gateway."""

    key: tuple[str, str]
    topic: str
    payload: bytes


def messages(
    site: str, gateway: str, store: str, central: str, received: Iterable[Mapping[str, Any]]
) -> Iterator[Answer]:
    """An acknowledgement, in as many messages as it takes to name few ranges in each.

    Args:
        site: of the gateway.
        gateway: its name.
        store: of which `received` speaks.
        central: who says it.
        received: of each run and stream ``{"boot", "stream", "through", "missing"}``.
    """
    parts: list[list[Mapping[str, Any]]] = [[]]
    room = MISSING_ASKED
    for one in received:
        asked = len(one["missing"])
        if asked > room:
            parts.append([])
            room = MISSING_ASKED
        room -= asked
        parts[-1].append(one)
    topic = f"{PREFIX}/{SCHEMA}/{site}/{gateway}/{ANSWERS}"
    head = {"schema": SCHEMA, "store": store, "central": central}
    for part in parts:
        yield Answer((site, gateway), topic, to_json({**head, "received": part}))
