"""What one worker acknowledges to the gateways, and when. Pure.

Other workers settle messages of the same gateways; so only what the database said in the very
transaction that settled something is passed on, and what is to be said again is read anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent.central.pace import PACE_NS, Answer, Pace, messages

Name = tuple[str, str, str]
"""(site, gateway, store)."""


class Owed(Protocol):
    """What one gateway's store is to be told; see `agent.fleet.ledger.Owed`."""

    @property
    def site(self) -> str:
        """Of the gateway."""

    @property
    def gateway(self) -> str:
        """Its name."""

    @property
    def store(self) -> str:
        """Of which `received` speaks."""

    @property
    def born(self) -> bool:
        """Whether a birth came."""

    @property
    def received(self) -> list[dict[str, Any]]:
        """Of each run and stream ``{"boot", "stream", "through", "missing"}``."""


@dataclass(slots=True)
class _Entry:
    """What one gateway is to be told, and its stores that are to be told again."""

    pace: Pace = field(default_factory=Pace)
    news: dict[str, dict[tuple[int, str], Mapping[str, Any]]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)


class Answers:
    """Paces the acknowledgements of one worker.

    Args:
        client_id: of this worker, told to the gateways.
    """

    def __init__(self, client_id: str) -> None:
        self._client_id = client_id
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._again: set[Name] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, owed: Iterable[Owed], now_ns: int) -> None:
        """What the database said; of a run and stream the later word counts."""
        for one in owed:
            entry = self._entries.setdefault((one.site, one.gateway), _Entry())
            news = entry.news.setdefault(one.store, {})
            for word in one.received:
                news[word["boot"], word["stream"]] = word
            if one.born:
                entry.known.add(one.store)
                entry.pace.birth(now_ns)

    def again(self, key: tuple[str, str], stores: Iterable[str]) -> None:
        """The last answer to this gateway did not go out: it is read anew."""
        self._again.update((*key, store) for store in stores)

    def asked(self, now_ns: int) -> set[Name]:
        """Stores of which all is to be said again: what the database says goes to `take`."""
        found, self._again = self._again, set()
        for (site, gateway), entry in self._entries.items():
            if entry.pace.again(now_ns):
                found |= {(site, gateway, store) for store in entry.known}
        return found

    def due(self, now_ns: int) -> Iterator[tuple[Answer, str]]:
        """The messages to be published now, each with the store it is for."""
        for key, entry in list(self._entries.items()):
            if not entry.pace.due(now_ns):
                continue
            if not entry.news:
                if not entry.pace.follow:
                    del self._entries[key]
                continue
            news, entry.news = entry.news, {}
            entry.pace.told(now_ns)
            for store, words in sorted(news.items()):
                said = [words[place] for place in sorted(words)]
                for answer in messages(*key, store, self._client_id, said):
                    yield answer, store


__all__ = ["PACE_NS", "Answer", "Answers", "Name", "Owed"]
