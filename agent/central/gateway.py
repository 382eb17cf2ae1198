"""What central knows of one gateway: its stores and their runs, its models, its conditions. Pure.

A gateway is known by (site, name). Its store has an id, and each run of the agent on it a boot
number; a disk that was replaced is another store, an image that was played back another boot. Two
that speak by turns are two gateways of one name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.central.contracts import KnownContract
from agent.central.incidents import Condition, open_incidents
from agent.central.lives import Life, Place
from agent.central.requests import Request, open_requests, poor_errors
from agent.central.streams import Stream
from agent.store import ranges
from agent.store.acknowledge import NOT_KEPT

COUNTED = ("event", "summary")  # streams in which a hole is a loss
ACKNOWLEDGED = (*COUNTED, "gap")  # streams that the gateway keeps until central has them
LATEST_KEPT = 200  # ranges of a stream in which only the latest counts
LIVES_KEPT = 64  # runs of which the numbers are remembered
STORES_KEPT = 16
MODELS_KEPT = 1_000
CONDITIONS_KEPT = 5_000
REQUESTS_KEPT = 1_000
DROPPED_KEPT = 200  # (reason, run) pairs
CLASH_NS = 600_000_000_000  # both of two must have spoken within
UNWATCHED_NS = 600_000_000_000  # for so long a model that is no longer watched is still shown
UNWATCHED = "no longer watched"


@dataclass(slots=True)
class Presence:
    """What was said last of one store being there."""

    place: Place
    online: bool
    reason: str
    since: str  # by the gateway's own clock


@dataclass(slots=True)
class KnownVerdict:
    """A verdict as it was told last; `expires_ns` and `heard_ns` are central's monotonic clock."""

    data: Mapping[str, Any]
    place: Place
    expires_ns: int
    heard_ns: int

    @property
    def unwatched(self) -> bool:
        """The gateway says that the model is not in its configuration any more."""
        reasons = self.data["reasons"]
        return self.data["verdict"] == "unassessable" and any(
            UNWATCHED in str(reason.get("text", "")) for reason in reasons
        )


@dataclass(slots=True)
class Turns:
    """Recognises two who speak by turns under one name; one who follows another is none of them."""

    last: str = ""
    heard_ns: dict[str, int] = field(default_factory=dict)
    back_ns: int | None = None  # when somebody spoke again who had been followed by another

    def note(self, who: str, now_ns: int) -> None:
        """`who` spoke just now."""
        if who != self.last and now_ns - self.heard_ns.get(who, now_ns - CLASH_NS) < CLASH_NS:
            self.back_ns = now_ns
        self.last = who
        self.heard_ns.pop(who, None)
        self.heard_ns[who] = now_ns
        while len(self.heard_ns) > STORES_KEPT:
            del self.heard_ns[next(iter(self.heard_ns))]

    def of(self, now_ns: int) -> list[str]:
        """Those who speak by turns; empty where nobody does."""
        if self.back_ns is None or now_ns - self.back_ns >= CLASH_NS:
            return []
        found = [who for who, heard in self.heard_ns.items() if now_ns - heard < CLASH_NS]
        return sorted(found) if len(found) > 1 else []


@dataclass(slots=True)
class GatewayView:
    """One gateway's present state."""

    site: str
    gateway: str
    store: str = ""  # the one that spoke of itself last
    stores: dict[str, Presence] = field(default_factory=dict)
    births: dict[Life, int] = field(default_factory=dict)  # in the order in which they came
    streams: dict[tuple[str, int, str], Stream] = field(default_factory=dict)
    lives: dict[Life, None] = field(default_factory=dict)  # the last one heard of stands last
    models: dict[tuple[str, str], KnownVerdict] = field(default_factory=dict)
    conditions: dict[tuple[str, str], Condition] = field(default_factory=dict)
    requests: dict[tuple[str, str], Request] = field(default_factory=dict)
    contracts: dict[str, KnownContract] = field(default_factory=dict)  # by store
    promises: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # by store
    dropped: dict[tuple[str, str, int], ranges.Ranges] = field(default_factory=dict)
    past: dict[str, int] = field(default_factory=dict)  # counts of runs that were forgotten
    time_quality: str = ""
    store_turns: Turns = field(default_factory=Turns)
    birth_turns: Turns = field(default_factory=Turns)

    @property
    def presence(self) -> Presence | None:
        """Of the store that counts."""
        return self.stores.get(self.store)

    @property
    def online(self) -> bool | None:
        """Whether it is there; None where nobody said."""
        return None if self.presence is None else self.presence.online

    def clash(self, now_ns: int) -> list[str]:
        """Ids of the stores that are alive under this one name; empty where there is one only."""
        return self.store_turns.of(now_ns) or self.birth_turns.of(now_ns)

    def stream(self, life: Life, name: str) -> tuple[Stream, list[tuple[str, int, str]]]:
        """One stream, and the keys of those that were forgotten to make room for it."""
        key = (*life, name)
        gone: list[tuple[str, int, str]] = []
        self.lives.pop(life, None)
        self.lives[life] = None
        if key not in self.streams:
            self.streams[key] = Stream() if name in ACKNOWLEDGED else Stream(most=LATEST_KEPT)
            while len(self.lives) > LIVES_KEPT:
                oldest = next(iter(self.lives))
                del self.lives[oldest]
                gone += [known for known in self.streams if known[:2] == oldest]
        for known in gone:
            self._forget(known)
        return self.streams[key], gone

    def _forget(self, key: tuple[str, int, str]) -> None:
        """Let a stream go; its counts stay."""
        stream = self.streams.pop(key)
        left = sum(last - first + 1 for first, last in stream.missing())
        counts = {"count": stream.count, "duplicates": stream.duplicates}
        if key[2] in COUNTED:
            counts[f"missing {key[2]}"] = left
        for name, number in counts.items():
            self.past[name] = self.past.get(name, 0) + number

    # --- what was told ------------------------------------------------------------------------

    def later(self, store: str, place: Place, known: Place) -> bool:
        """Whether `place` is later than `known` in one store's life.

        Runs follow each other as their births came; boot numbers decide only where no birth did,
        because a store that was played back from an image counts from where the image was.
        """
        if place.boot == known.boot:
            return place.seq > known.seq
        first, second = Life(store, place.boot), Life(store, known.boot)
        if first in self.births and second in self.births:
            return self.births[first] > self.births[second]
        return place.boot > known.boot

    def state(
        self, store: str, place: Place, *, online: bool, reason: str, since: str, retained: bool
    ) -> None:
        """The gateway said that it is there, or the broker that it is not."""
        known, life = self.stores.get(store), Life(store, place.boot)
        if known is not None and known.place.boot == place.boot and known.place.seq >= place.seq:
            return
        if online:
            self.births.pop(life, None)
            self.births[life] = 1 + max(self.births.values(), default=0)
            while len(self.births) > LIVES_KEPT:
                del self.births[next(iter(self.births))]
        elif known is not None and not self.later(store, place, known.place):
            return  # an earlier run's end
        self.stores[store] = Presence(place, online, reason, since)
        if online or retained or not self.store:
            self.store = store
        while len(self.stores) > STORES_KEPT:
            del self.stores[next(one for one in self.stores if one != self.store)]

    def contract(self, store: str, place: Place, told: KnownContract | None) -> None:
        """A birth told which contract is watched, or that there is none; an earlier run's not."""
        known = self.stores.get(store)
        if known is None or known.place.boot != place.boot:
            return
        self.contracts.pop(store, None)
        if told is not None:
            self.contracts[store] = told
        while len(self.contracts) > STORES_KEPT:
            del self.contracts[next(iter(self.contracts))]

    def promise(self, store: str, place: Place, told: Mapping[str, Any] | None) -> None:
        """A birth told how false alarms are as promised; an earlier run's not.

        It is not stored: the broker has every gateway's birth.
        """
        known = self.stores.get(store)
        if known is None or known.place.boot != place.boot:
            return
        self.promises.pop(store, None)
        if told is not None:
            self.promises[store] = told
        while len(self.promises) > STORES_KEPT:
            del self.promises[next(iter(self.promises))]

    def verdict(
        self, store: str, place: Place, data: Mapping[str, Any], expires_ns: int, now_ns: int
    ) -> None:
        """A model's verdict was told."""
        key = (store, str(data["model"]))
        known = self.models.get(key)
        if known is None or self.later(store, place, known.place):
            self.models.pop(key, None)
            self.models[key] = KnownVerdict(data, place, expires_ns, now_ns)
        while len(self.models) > MODELS_KEPT:
            del self.models[next(iter(self.models))]

    def condition(self, store: str, place: Place, data: Mapping[str, Any]) -> None:
        """A condition was raised, changed or cleared, in whatever order that arrives."""
        key = (store, str(data["id"]))
        known = self.conditions.get(key)
        if known is not None and not self.later(store, place, known.place):
            return
        told = Condition.told(place, data)
        self.conditions.pop(key, None)
        self.conditions[key] = told
        while len(self.conditions) > CONDITIONS_KEPT:
            shut = (one for one, told in self.conditions.items() if not told.open)
            del self.conditions[next(shut, next(iter(self.conditions)))]

    def retraining(self, store: str, place: Place, data: Mapping[str, Any]) -> None:
        """Retraining was asked for, or a person decided on it, in whatever order that arrives."""
        key = (store, str(data["id"]))
        known = self.requests.get(key)
        if known is not None and not self.later(store, place, known.place):
            return
        told = Request.told(place, data)
        self.requests.pop(key, None)
        self.requests[key] = told
        while len(self.requests) > REQUESTS_KEPT:
            ended = (one for one, told in self.requests.items() if not told.open)
            del self.requests[next(ended, next(iter(self.requests)))]

    def lost(self, reason: str, life: Life, some: ranges.Ranges) -> None:
        """The gateway dropped these numbers.

        Each is lost once: where a gateway says only that it keeps a number no longer, because it
        was asked for it, what it said of that number before, or says later, counts.
        """
        of, key = reason.partition(":")[0], (reason, *life)
        others = {
            one: known for one, known in self.dropped.items()
            if one[1:] == (*life,) and one[0] != reason and one[0].partition(":")[0] == of
        }
        if reason == f"{of}: {NOT_KEPT}":
            some = ranges.without(some, [span for known in others.values() for span in known])
        elif (vague := (f"{of}: {NOT_KEPT}", *life)) in others:
            self._dropped(vague, ranges.without(others[vague], some))
        self._dropped(key, ranges.union([*self.dropped.get(key, ()), *some]))
        while len(self.dropped) > DROPPED_KEPT:
            del self.dropped[next(iter(self.dropped))]

    def _dropped(self, key: tuple[str, str, int], some: ranges.Ranges) -> None:
        """Those of one reason and run are these; there is no entry of none."""
        if some != self.dropped.get(key):
            self.dropped[key] = some
        if not some:
            del self.dropped[key]

    def remove_model(self, name: str) -> None:
        """The gateway's topic of it was cleared."""
        for key in [one for one in self.models if one[1] == name]:
            del self.models[key]

    # --- what it is worth ---------------------------------------------------------------------

    def shown(self, now_ns: int) -> list[tuple[str, KnownVerdict]]:
        """(store, verdict) of each model that is watched, by name."""
        stores = self._counted(now_ns)
        return sorted(
            (
                (store, told)
                for (store, _), told in self.models.items()
                if (stores is None or store in stores)
                and not (told.unwatched and now_ns - told.heard_ns > UNWATCHED_NS)
            ),
            key=lambda pair: (str(pair[1].data["model"]), pair[0]),
        )

    def worth(self, store: str, told: KnownVerdict, now_ns: int) -> tuple[str, str]:
        """(verdict, why it is not the one that was told) as it may be believed now."""
        said = str(told.data["verdict"])
        if said == "unassessable":
            return said, ""
        presence, why = self.stores.get(store), ""
        if presence is not None and not presence.online:
            why = f"the gateway is offline: {presence.reason}"
        elif presence is not None and presence.place.boot != told.place.boot:
            why = "the agent was started anew and has not told it yet"
        elif told.expires_ns <= told.heard_ns:
            why = "its age is not known; it counts when it is told again"
        elif now_ns >= told.expires_ns:
            why = "no longer valid: nothing heard in time"
        return ("unassessable", why) if why else (said, "")

    def open_incidents(self, now_ns: int) -> list[dict[str, Any]]:
        """See `agent.central.incidents.open_incidents`."""
        return open_incidents(self.conditions, self._counted(now_ns))

    def open_requests(self, now_ns: int) -> list[dict[str, Any]]:
        """See `agent.central.requests.open_requests`."""
        return open_requests(self.requests, self._counted(now_ns))

    def poor_errors(self, now_ns: int) -> list[dict[str, Any]]:
        """See `agent.central.requests.poor_errors`."""
        return poor_errors((store, told.data) for store, told in self.shown(now_ns))

    def _counted(self, now_ns: int) -> set[str] | None:
        """The stores that count; None: all, for nobody has said which."""
        return {self.store, *self.store_turns.of(now_ns)} if self.store else None
