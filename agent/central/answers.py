"""What central acknowledges to the gateways, and when. Pure.

An acknowledgement says, for each run and stream, up to which number everything arrived but for the
ranges named as missing. A gateway deletes what is acknowledged and sends the rest again; so only
what central has stored is ever acknowledged: ask for `due` after storing, and before taking more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.central.gateway import ACKNOWLEDGED, COUNTED, GatewayView
from agent.central.pace import PACE_NS, Answer, Pace, messages
from agent.central.streams import Stream
from agent.central.subscriber import Central
from agent.store.received import MarkKey

LONGEST_PAUSE_NS = 60_000_000_000  # between asking again for what does not come
_NOTHING = Stream()


@dataclass(slots=True)
class _Owed:
    """What one gateway is to be told."""

    streams: set[MarkKey] = field(default_factory=set)
    stores: set[str] = field(default_factory=set)  # of which a birth came: all their streams
    known: set[str] = field(default_factory=set)  # stores to be told again at each of `follow`
    pace: Pace = field(default_factory=Pace)
    pause_ns: int = PACE_NS

    def due(self, now_ns: int) -> bool:
        """At once after a birth, soon where there is news, later and later where there is none."""
        news = self.streams or self.stores
        return self.pace.due(now_ns, PACE_NS if news else self.pause_ns)


class Answers:
    """Paces the acknowledgements of one central.

    Args:
        central: whose marks are acknowledged.
        client_id: of this central, told to the gateways.
    """

    def __init__(self, central: Central, client_id: str) -> None:
        self._central = central
        self._client_id = client_id
        self._owed: dict[tuple[str, str], _Owed] = {}

    def everyone(self) -> None:
        """Every gateway is to be told anew: central has a new connection."""
        for (site, gateway), view in self._central.gateways.items():
            for store, _, _ in view.streams:
                self._central.born.add((site, gateway, store))

    def again(self, key: tuple[str, str]) -> None:
        """The last answer to this gateway did not go out."""
        view = self._central.gateways.get(key)
        if view is not None:
            self._owe(key).stores.update(store for store, _, _ in view.streams)

    def _owe(self, key: tuple[str, str]) -> _Owed:
        return self._owed.setdefault(key, _Owed())

    def due(self, now_ns: int) -> list[Answer]:
        """The messages to be published now; what they say must be stored already."""
        heard, self._central.heard = self._central.heard, set()
        born, self._central.born = self._central.born, set()
        for mark in heard:
            if mark.stream in ACKNOWLEDGED:
                owed = self._owe(mark[:2])
                owed.streams.add(mark)
                owed.pause_ns = PACE_NS
        for site, gateway, store in born:
            owed = self._owe((site, gateway))
            owed.stores.add(store)
            owed.known.add(store)
            owed.pace.birth(now_ns)
            owed.pause_ns = PACE_NS
        for owed in self._owed.values():
            if owed.pace.again(now_ns):
                owed.stores |= owed.known
        return [
            answer
            for key, owed in list(self._owed.items())
            if owed.due(now_ns)
            for answer in self._answers(key, owed, now_ns)
        ]

    def _answers(self, key: tuple[str, str], owed: _Owed, now_ns: int) -> list[Answer]:
        view = self._central.gateways[key]
        # Of a run with news all streams are told: of each the tail may have gone to nobody.
        lives = {(mark.store, mark.boot) for mark in owed.streams}
        wanted = {
            MarkKey(view.site, view.gateway, store, boot, name)
            for (store, boot, name), stream in view.streams.items()
            if (name in COUNTED and stream.unexplained())
            or (name in ACKNOWLEDGED and (store, boot) in lives)
        }
        # After a birth also of what never came: all that a run gave to a stream may be lost, and
        # so may be the record of it.
        wanted |= {
            MarkKey(view.site, view.gateway, *life, name)
            for life in view.lives
            for name in ACKNOWLEDGED
            if life.store in owed.stores
        }
        stores = {mark.store for mark in wanted} | owed.stores
        owed.streams, owed.stores = set(), set()
        owed.pace.told(now_ns)
        owed.pause_ns = min(2 * owed.pause_ns, LONGEST_PAUSE_NS)
        if not wanted and not stores and not owed.pace.follow:
            del self._owed[key]
        return [
            answer
            for store in sorted(stores)
            if (there := view.stores.get(store)) is None or there.online
            for answer in self._of(view, store, sorted(m for m in wanted if m.store == store))
        ]

    def _of(self, view: GatewayView, store: str, marks: Iterable[MarkKey]) -> list[Answer]:
        received = []
        for mark in marks:
            stream = view.streams.get((mark.store, mark.boot, mark.stream), _NOTHING)
            received.append({
                "boot": mark.boot, "stream": mark.stream, "through": stream.settled_through,
                "missing": stream.asked(),
            })  # fmt: skip
        return list(messages(view.site, view.gateway, store, self._client_id, received))
