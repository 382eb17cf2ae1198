"""Condition: what a person sees of one subject's fault (ISA-18.2; OPC UA Part 9 terms).

One subject (a tag, a source, a model's inputs together) has at most one condition, however many
detectors see its fault: one fault is one alarm. What people and the plant's design do to it is told
apart, each in a field of its own: acknowledged, shelved, suppressed (its source is lost) and out of
service. `lifecycle` says when it is raised and when it returns to normal.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.core.diagnosis import Diagnosis
from agent.core.figures import clock
from agent.core.identity import FindingKey, Subject
from agent.types import Event


@dataclass(frozen=True, slots=True)
class Finding:
    """A detector's flag on a subject, raised (`up`) or cleared, with what it means for delays.

    Attributes:
        models: those whose verdict it may change.
        interval_ns: at which its evidence comes.
        on_delay_ns: until it raises a condition.
        stay_ns: for how long after it a fault that it showed may stay open by its name alone.
        looks_back_ns: how long before it its cause may lie.
        about: the inputs any of which alone explains it, where its chart can say.
    """

    subject: Subject
    key: FindingKey
    up: bool
    time_ns: int
    score: float
    models: Collection[str]
    interval_ns: int
    on_delay_ns: int
    stay_ns: int = 0
    looks_back_ns: int = 0
    about: tuple[str, ...] = ()


MOMENTS = ("first_ns", "raised_ns", "normal_since_ns", "not_before_ns", "shelved_until_ns",
           "named_ns")
"""The fields of a condition that are engine times; its others in ns are spans."""


@dataclass(slots=True)
class Condition:
    """One subject's condition; times are engine ns, 0 where there is none.

    Attributes:
        interval_ns: the longest at which evidence of what was found comes.
        off_delay_ns: nothing must be found for so long until it has returned to normal.
        stay_ns: how long it may stay open by its name alone, no chart seeing it any more.
        normal_since_ns: from when on nothing that holds it open was found.
        not_before_ns: it is not raised earlier.
        named_ns: since when it is called so.
        occurrence: what names it from its raising on: the subject, when it was raised, and how
            often time had gone back by then.
        incident: id of the incident that it is part of; empty before it is raised.
        tags: those that its name blames, where the subject is none.
        about: the inputs any of which alone explains what was found last, where a chart could say.
        findings: score of every detector whose flag is up; `seen`: of every one whose flag was.
    """

    subject: Subject
    models: list[str]
    interval_ns: int
    first_ns: int
    raised_ns: int = 0
    off_delay_ns: int = 0
    stay_ns: int = 0
    normal_since_ns: int = 0
    not_before_ns: int = 0
    acknowledged: bool = False
    shelved_until_ns: int = 0
    named_ns: int = 0
    suppressed: bool = False
    out_of_service: bool = False
    findings: dict[FindingKey, float] = field(default_factory=dict)
    seen: dict[FindingKey, float] = field(default_factory=dict)
    occurrence: str = ""
    incident: str = ""
    kind: str = ""
    cause: str = "unknown"
    text: str = ""
    hint: str = ""
    rank: int = 0
    tags: tuple[str, ...] = ()
    about: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Names this occurrence for ever, also when engine time is set anew."""
        return self.occurrence or f"{self.subject}@{self.raised_ns}"

    @property
    def reason(self) -> str:
        """What people read: its text, and since when something was found."""
        return f"{self.text}, since {clock(self.first_ns)}"

    @property
    def raised(self) -> bool:
        """Whether it is past its on-delay, and so known to people."""
        return self.raised_ns != 0

    @property
    def shelved(self) -> bool:
        """Whether a person has put it aside for a time."""
        return self.shelved_until_ns != 0

    @property
    def state(self) -> str:
        """The one word for it where there is room for one only."""
        if not self.raised:
            return "pending"
        return "shelved" if self.shelved else "acknowledged" if self.acknowledged else "active"

    @property
    def lost(self) -> bool:
        """Whether a detector sees right now that nothing usable arrives."""
        return any(key.traits.transport for key in self.findings)

    @property
    def held_back(self) -> bool:
        """Whether it is no alarm, whatever is found."""
        return self.suppressed or self.out_of_service

    @property
    def kept_open(self) -> bool:
        """Whether something is found that must go before it may return to normal."""
        return any(not key.traits.passing for key in self.findings)

    @property
    def momentary(self) -> bool:
        """Whether what was found counts though it has gone: an event, or what scans agreed on."""
        if any(key.traits.latched for key in self.seen):
            return True
        if not self.normal_since_ns:
            return False
        lasted_ns = self.normal_since_ns - self.first_ns
        return any(
            lasted_ns >= (key.traits.on_delay_agreed or 0) * self.interval_ns
            for key in self.seen if key.traits.passing
        )

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: move all its times by so much."""
        for name in MOMENTS:
            if time_ns := getattr(self, name):
                setattr(self, name, time_ns + shift_ns)

    def take_name(self, diagnosis: Diagnosis, now: int) -> None:
        """Be called so from now on."""
        self.named_ns = now
        self.kind, self.cause = diagnosis.kind, diagnosis.cause
        self.text, self.hint = diagnosis.text, diagnosis.hint
        self.rank, self.tags = diagnosis.rank, diagnosis.tags

    def event(self, change: str, now: int, more: Mapping[str, Any] | None = None) -> Event:
        """What people are told of a change of it."""
        cleared = change == "cleared"
        data = {
            "id": self.id, "incident": self.incident, "change": change, "kind": self.kind,
            "cause": self.cause, "severity": severity(self), "text": self.reason,
            "hint": self.hint, "models": list(self.models), "raised_ns": self.raised_ns,
            "state": "cleared" if cleared else self.state,
            "active": not cleared, "acknowledged": self.acknowledged,
            "shelved": self.shelved, "suppressed": self.suppressed,
            "out_of_service": self.out_of_service,
            "detectors": sorted(str(key) for key in self.seen),
            "score": max(self.seen.values(), default=0.0),
        }
        if self.tags:
            data["tags"] = list(self.tags)
        return Event("condition", now, str(self.subject), data | dict(more or {}))

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, with texts for identities."""
        made = {name: getattr(self, name) for name in Condition.__slots__}
        return made | {
            "tags": list(self.tags), "about": list(self.about),
            "subject": str(self.subject),
            "findings": {str(key): score for key, score in self.findings.items()},
            "seen": {str(key): score for key, score in self.seen.items()},
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Condition:
        """From `to_json`; findings of detectors that this version does not have are left out."""
        made = dict(document) | {"subject": Subject.parse(document["subject"])}
        for name in ("findings", "seen"):
            keys = {FindingKey.parse(text): score for text, score in document[name].items()}
            made[name] = {key: score for key, score in keys.items() if key.known}
        for name in ("tags", "about"):
            made[name] = tuple(document.get(name, ()))
        return Condition(**made)


def severity(condition: Condition) -> str:
    """``high`` for a confirmed cause, ``low`` for hints that are vague yet, ``medium`` else.

    A sudden change has a vague name, but is a joint limit exceeded: no model is trusted with it.
    """
    if condition.cause in {"integration", "sensor", "model"}:
        return "high"
    return "medium" if condition.rank >= 3 or condition.kind == "sudden change" else "low"
