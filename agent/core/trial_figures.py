"""What is counted of a model during a trial: the same of the candidate and of the one in service.

All of it comes from events, which have a time of their own, so cuts of blocks change no figure.
Time in which nobody watched counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from agent.core import identity
from agent.core.condition import Condition
from agent.core.verdict import ORDER
from agent.types import Event

CONDITIONS_KEPT: Final = 256
"""Conditions of one model that are remembered; of further ones only the number is."""

TOGETHER_NS: Final = 600_000_000_000
"""Two charts that see one fault raise their conditions within this time of each other."""


@dataclass(slots=True)
class Seen:
    """A condition: `to_ns` is 0 while it is open; `before` says that it was before the trial."""

    id: str
    incident: str
    subject: str
    kind: str
    cause: str
    from_ns: int
    to_ns: int = 0
    before: bool = False


@dataclass(slots=True)
class Figures:
    """Of one model, since the trial began.

    Attributes:
        model: its name.
        verdict, since_ns: the present one, and up to when time was counted; 0: nobody watches.
        spent: ns by verdict.
        scans, outside: of the model when the trial began, ever.
        seen: conditions that concern it; `further`: how many more were raised.
    """

    model: str
    verdict: str
    since_ns: int
    scans: int = 0
    outside: int = 0
    spent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ORDER, 0))
    seen: list[Seen] = field(default_factory=list)
    further: int = 0

    # --- what happens -----------------------------------------------------------------------------

    def remember(self, conditions: Iterable[Condition]) -> None:
        """Conditions that are open as the trial begins."""
        for one in conditions:
            if one.raised and self.model in one.models:
                self.seen.append(Seen(one.id, one.incident, str(one.subject), one.kind, one.cause,
                                      one.raised_ns, before=True))  # fmt: skip

    def take(self, events: Iterable[Event]) -> None:
        """What was told meanwhile, in order."""
        subject = str(identity.model(self.model))
        for event in events:
            if event.kind == "verdict" and event.subject == subject:
                self._count(event.time_ns)
                self.verdict = str(event.data["verdict"])
            elif event.kind == "condition" and self.model in event.data["models"]:
                self._condition(event)

    def _count(self, time_ns: int) -> None:
        if self.since_ns:
            self.spent[self.verdict] += max(0, time_ns - self.since_ns)
            self.since_ns = max(self.since_ns, time_ns)

    def _condition(self, event: Event) -> None:
        data, change = event.data, event.data["change"]
        known = next((one for one in self.seen if one.id == data["id"]), None)
        if known is not None:
            known.kind, known.cause = str(data["kind"]), str(data["cause"])
            if change == "cleared":
                known.to_ns = event.time_ns
        elif change == "raised":
            if len(self.seen) >= CONDITIONS_KEPT:
                self.further += 1
                return
            self.seen.append(Seen(
                str(data["id"]), str(data["incident"]), event.subject, str(data["kind"]),
                str(data["cause"]), event.time_ns,
            ))  # fmt: skip

    def pause(self, time_ns: int) -> None:
        """Nobody watches from here on, or time is set anew."""
        self._count(time_ns)
        self.since_ns = 0

    def go_on(self, time_ns: int) -> None:
        """It is watched again."""
        self.since_ns = time_ns

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        self.since_ns += shift_ns if self.since_ns else 0
        for one in self.seen:
            one.from_ns += shift_ns
            one.to_ns += shift_ns if one.to_ns else 0

    # --- what is known ----------------------------------------------------------------------------

    def shown(
        self, now: int, counts: tuple[int, int], other: Sequence[Seen] = ()
    ) -> dict[str, Any]:
        """All of it as of `now`, JSON-ready.

        Args:
            now: engine time in ns.
            counts: scans of the model, and those outside of its training, ever.
            other: conditions of the other model; an incident that it has too is no own one.
        """
        spent = dict(self.spent)
        if self.since_ns:
            spent[self.verdict] += max(0, now - self.since_ns)
        incidents: dict[str, list[Seen]] = {}
        for one in self.seen:
            if not one.before:
                incidents.setdefault(one.incident or one.id, []).append(one)
        own = [name for name, parts in incidents.items() if not _shared(parts, other)]
        causes: dict[str, int] = {}
        for parts in incidents.values():
            causes[parts[0].cause] = causes.get(parts[0].cause, 0) + 1
        return {
            "watched_ns": sum(spent.values()), "spent_ns": spent,
            "scans": counts[0] - self.scans, "outside": counts[1] - self.outside,
            "incidents": len(incidents) + self.further, "causes": dict(sorted(causes.items())),
            "own_incidents": len(own) + self.further,
        }

    def to_json(self) -> dict[str, Any]:
        """Values of JSON."""
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Figures:
        """What `to_json` gave."""
        seen = [Seen(**one) for one in document["seen"]]
        return Figures(**{**document, "spent": dict(document["spent"]), "seen": seen})


def _shared(parts: Sequence[Seen], other: Sequence[Seen]) -> bool:
    """Whether the other model was told of any of these at about the same time.

    One that was open long before is none: it says nothing of what came later.
    """
    return any(
        one.subject == its.subject and abs(one.from_ns - its.from_ns) <= TOGETHER_NS
        for one in parts for its in other
    )
