"""What the engine said, put in a form that can be scored: conditions, incidents, verdicts by time.

Pure functions of events. Nothing here knows how the engine comes to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.core.verdict import LOST_KINDS
from agent.types import Event

RANGE_WORDS = ("trained range", "extrapolat", "operating region", "beyond training")
"""Words in the kind of a reason that says that values are outside of what was trained."""

_JOINT_REGION = "operating region"
"""A joint chart's name; as a condition it is an alarm like any other."""


@dataclass(frozen=True, slots=True)
class Name:
    """What a condition was called from `time_ns` on; `tags` are those that it names."""

    time_ns: int
    kind: str
    cause: str
    tags: tuple[str, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition from its raising on; `cleared_ns` is None while it stands.

    `incident` is the id of the incident that it belongs to: its own where the events name none.
    """

    id: str
    incident: str
    subject: str
    models: tuple[str, ...]
    raised_ns: int
    cleared_ns: int | None
    names: tuple[Name, ...]

    def name_at(self, time_ns: int) -> Name:
        """The latest name up to `time_ns`; the first one where it had none before."""
        known = [name for name in self.names if name.time_ns <= time_ns]
        return known[-1] if known else self.names[0]


@dataclass(frozen=True, slots=True)
class Incident:
    """The conditions that people count as one, in the order they were raised."""

    id: str
    members: tuple[Condition, ...]

    @property
    def raised_ns(self) -> int:
        """When the first was raised."""
        return self.members[0].raised_ns

    def name_at(self, time_ns: int) -> Name:
        """The first condition's name, with the tags of all members of the same cause."""
        first = self.members[0].name_at(time_ns)
        tags = dict.fromkeys(first.tags)
        for member in self.members[1:]:
            name = member.name_at(time_ns)
            if member.raised_ns <= time_ns and name.cause == first.cause and not first.tags:
                tags |= dict.fromkeys(name.tags)
        return Name(first.time_ns, first.kind, first.cause, tuple(tags), first.text)


def tags_named(event: Event) -> tuple[str, ...]:
    """The tags that a condition's event blames: its subject's, and those it lists as such.

    What it lists as candidates is not blamed.
    """
    place, _, name = event.subject.partition("/")
    named = [name] if place == "tag" else []
    for key in ("tag", "tags"):
        listed = event.data.get(key) or ()
        named += [listed] if isinstance(listed, str) else [str(item) for item in listed]
    return tuple(dict.fromkeys(named))


def conditions_of(events: Iterable[Event]) -> list[Condition]:
    """All conditions that were raised, in the order of raising."""
    open_: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.kind != "condition" or "id" not in event.data:
            continue
        data, key = event.data, str(event.data["id"])
        change = data.get("change")
        if change == "raised" and key not in open_:
            open_[key] = {
                "id": key, "incident": str(data.get("incident") or key), "subject": event.subject,
                "models": tuple(data.get("models", ())), "raised_ns": event.time_ns,
                "cleared_ns": None, "names": [],
            }  # fmt: skip
        if key not in open_:
            continue
        one = open_[key]
        one["incident"] = str(data.get("incident") or one["incident"])
        if change == "cleared":
            one["cleared_ns"] = event.time_ns
        else:
            one["names"].append(Name(
                event.time_ns, str(data.get("kind", "")), str(data.get("cause", "")),
                tags_named(event), str(data.get("text", "")),
            ))  # fmt: skip
    made = [Condition(**{**one, "names": tuple(one["names"])}) for one in open_.values()]
    return sorted(made, key=lambda item: item.raised_ns)


def incidents_of(conditions: Iterable[Condition]) -> list[Incident]:
    """The conditions grouped by their incident, in the order of the first raising."""
    groups: dict[str, list[Condition]] = {}
    for condition in sorted(conditions, key=lambda item: item.raised_ns):
        groups.setdefault(condition.incident, []).append(condition)
    return [Incident(key, tuple(members)) for key, members in groups.items()]


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of a verdict; `condition` is empty where it is a fact and no alarm."""

    kind: str
    cause: str
    condition: str
    tag: str

    @property
    def of_range(self) -> bool:
        """Whether it says that values are outside of what was trained."""
        return any(word in self.kind for word in RANGE_WORDS)

    @property
    def alarms(self) -> bool:
        """Whether it is a condition of another kind than 'outside the trained range'."""
        outside = self.of_range and _JOINT_REGION not in self.kind
        return bool(self.condition) and not outside


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What one model's verdict was from each of `times_ns` on, with its reasons."""

    times_ns: NDArray[np.int64]
    words: tuple[str, ...]
    reasons: tuple[tuple[Reason, ...], ...]

    def at(self, times_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """The position that holds just before each time; -1 before the first verdict."""
        held: NDArray[np.int64] = np.searchsorted(self.times_ns, times_ns, side="left") - 1
        return held

    def spans(self, from_ns: int, to_ns: int) -> list[tuple[int, int]]:
        """(position, ns that it held within [from_ns, to_ns)); positions before none are -1."""
        edges = np.clip(np.append(self.times_ns, to_ns), from_ns, to_ns)
        first = int(self.times_ns[0]) if len(self.times_ns) else to_ns
        before = [(-1, min(first, to_ns) - from_ns)]
        held = [(i, int(ns)) for i, ns in enumerate(np.diff(edges))]
        return [(i, ns) for i, ns in before + held if ns > 0]


def verdicts_of(events: Iterable[Event], model: str) -> Verdicts:
    """The verdicts of one model."""
    own = [e for e in events if e.kind == "verdict" and e.subject == f"model/{model}"]
    return Verdicts(
        np.array([event.time_ns for event in own], np.int64),
        tuple(str(event.data["verdict"]) for event in own),
        tuple(tuple(_reason(item) for item in event.data["reasons"]) for event in own),
    )


def _reason(data: Any) -> Reason:
    return Reason(
        str(data.get("kind", "")), str(data.get("cause", "")),
        str(data.get("condition") or ""), str(data.get("tag") or ""),
    )  # fmt: skip


def is_lost(name: Name) -> bool:
    """Whether it says that nothing usable arrives."""
    return name.kind in LOST_KINDS


def without_clean(
    faulty: Sequence[Condition], clean: Sequence[Condition], near_ns: int
) -> list[Condition]:
    """The conditions of a run with a fault less those that the run without it raises, too.

    Each of the clean run takes away at most one on the same subject, raised within `near_ns`.
    """
    left = list(faulty)
    for one in clean:
        alike = [
            item for item in left
            if item.subject == one.subject and abs(item.raised_ns - one.raised_ns) <= near_ns
        ]  # fmt: skip
        if alike:
            left.remove(min(alike, key=lambda item: abs(item.raised_ns - one.raised_ns)))
    return left
