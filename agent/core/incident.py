"""Incidents: what people count. One fault is one incident, whatever conditions it brings about.

The first condition of a fault gives its incident the name (first-out, ISA-18.1); it carries those
that join it. A condition joins

1. the incident that its subject was in last, where that is not over for longer than `REMEMBERED`;
2. else the earliest incident of a model of its own that something joined within the settling time,
   and of which a condition stands, or stood until `JUST_OVER` ago: what is over was another fault.
   What somebody must mend, a sensor or the integration, no other fault brings about: it joins what
   began within the settling time, while names are not sure yet, and not what goes on from one to
   the next; nor what only outputs of models do.

Else it begins one. Pure: time comes in with what is joined.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.core.condition import Condition
from agent.core.identity import Subject
from agent.core.names import MENDED

REMEMBERED_NS = 7 * 86_400 * 1_000_000_000
"""A condition that comes back within a week continues its incident."""

JUST_OVER_NS, JUST_OVER = 60 * 1_000_000_000, 10
"""A minute, or so many intervals where these are longer, since the last condition of an incident
stood: what a fault brings about one after the other is one."""

KEPT = 1_000
"""Incidents at most; the one that was silent for longest is forgotten first."""


@dataclass(slots=True)
class Incident:
    """One incident: its models and subjects, when it began, when something joined it last, and was
    seen last; how many of its conditions stand.
    """

    id: str
    began_ns: int
    joined_ns: int
    seen_ns: int
    standing: int = 0
    models: set[str] = field(default_factory=set)
    subjects: set[Subject] = field(default_factory=set)


class Incidents:
    """All incidents of one gateway that something may still join, the first one first.

    Args:
        is_output: whether a subject is what models say, and nothing that any of them is given.
    """

    def __init__(self, is_output: Callable[[Subject], bool] = lambda _: False) -> None:
        self._is_output = is_output
        self._known: dict[str, Incident] = {}

    def join(
        self, condition: Condition, others: Collection[Condition], settling_ns: int, now: int
    ) -> str:
        """The id of the incident that a condition, just raised and named, is part of from now on.

        Args:
            condition: its id names the incident where it begins one.
            others: all conditions there are; looked at only where an incident may be over, or
                begins, so that many alarms at once cost no more than so many.
            settling_ns: how long after the last one a further condition of the same fault may
                begin.
            now: engine time in ns.
        """
        mended = condition.cause in MENDED
        own = [
            incident for incident in self._known.values()
            if condition.subject in incident.subjects
            and (now - incident.seen_ns <= REMEMBERED_NS or incident.id in open_incidents(others))
        ]
        near = [
            incident for incident in self._known.values()
            if incident.models & set(condition.models)
            and not (mended and all(map(self._is_output, incident.subjects)))
            and now - (incident.began_ns if mended else incident.joined_ns) <= settling_ns
            and (incident.standing > 0 or now - incident.seen_ns <= _just_over_ns(condition))
        ]
        if own:
            found = own[-1]
        elif near:
            found = near[0]
        else:
            self._forget(open_incidents(others), now)
            found = Incident(condition.id, now, now, now)
            self._known[found.id] = found
        found.joined_ns = found.seen_ns = now
        found.standing += 1
        found.models |= set(condition.models)
        found.subjects.add(condition.subject)
        return found.id

    def began_ns(self, incident: str, else_ns: int) -> int:
        """When an incident began; `else_ns` where it is not known any more."""
        known = self._known.get(incident)
        return known.began_ns if known is not None else else_ns

    def is_alone(self, incident: str) -> bool:
        """Whether no more than one subject has had to do with an incident."""
        known = self._known.get(incident)
        return known is not None and len(known.subjects) == 1

    def left(self, incident: str, now: int) -> None:
        """One of its conditions returned to normal."""
        if (known := self._known.get(incident)) is not None:
            known.seen_ns = now
            known.standing = max(known.standing - 1, 0)

    def _forget(self, open_ones: Collection[str], now: int) -> None:
        over = [
            incident for incident in self._known.values() if incident.id not in open_ones
        ]
        for incident in over:
            if now - incident.seen_ns > REMEMBERED_NS:
                del self._known[incident.id]
        if len(self._known) >= KEPT:
            oldest = min(over or self._known.values(), key=lambda one: (one.seen_ns, one.id))
            self._known.pop(oldest.id, None)

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        for incident in self._known.values():
            incident.began_ns += shift_ns
            incident.joined_ns += shift_ns
            incident.seen_ns += shift_ns

    def keep(self, subjects: Collection[Subject]) -> None:
        """Drop what is known of any other subject."""
        for incident in self._known.values():
            incident.subjects &= set(subjects)

    def to_json(self) -> list[dict[str, Any]]:
        """JSON-ready, in the order in which they began."""
        return [
            {
                "id": one.id, "began_ns": one.began_ns, "joined_ns": one.joined_ns,
                "seen_ns": one.seen_ns, "standing": one.standing, "models": sorted(one.models),
                "subjects": sorted(map(str, one.subjects)),
            }
            for one in self._known.values()
        ]

    def from_json(self, document: Sequence[Mapping[str, Any]]) -> None:
        """From `to_json`."""
        self._known = {
            one["id"]: Incident(
                one["id"], int(one.get("began_ns", one["joined_ns"])), int(one["joined_ns"]),
                int(one["seen_ns"]), int(one.get("standing", 0)), set(one["models"]),
                {Subject.parse(text) for text in one["subjects"]},
            )
            for one in document
        }


def _just_over_ns(condition: Condition) -> int:
    return max(JUST_OVER_NS, JUST_OVER * condition.interval_ns)


def open_incidents(conditions: Iterable[Condition]) -> set[str]:
    """Ids of the incidents of which one of these conditions is raised."""
    return {condition.incident for condition in conditions if condition.raised}
