"""Conditions by hand: findings at given seconds, and what was told."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.condition import Conditions
from agent.core.diagnosis import Diagnosis
from agent.types import Event
from tests.core.small import SECOND, START

SUBJECT = "tag/a"
OFF = 60


@dataclass
class Desk:
    """Conditions with names by hand: times are seconds, what was said is kept."""

    name: Diagnosis = field(default_factory=lambda: named("level shift", 2))
    suppressed: bool = False
    over: bool = False
    owners: dict[str, str] = field(default_factory=dict)
    told: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conditions = Conditions(
            lambda *_: self.name, lambda _: self.suppressed, lambda *_: self.over,
            lambda one, _: {
                key: subject for key, subject in self.owners.items()
                if key in one.seen and subject != one.subject
            },
        )

    def at(self, second: float, detector: str, *, up: bool, subject: str = SUBJECT,
           score: float = 1.0, linger: int = OFF, back: int = 0,
           settle: int | None = None) -> None:
        self.until(second)
        self.told += self.conditions.finding(
            subject, detector, score, START + round(second * SECOND), SECOND, ["m"], up=up,
            linger=linger, back=back, settle=settle,
        )

    def until(self, second: float) -> None:
        while (fired := self.conditions.fire(START + round(second * SECOND))) is not None:
            self.told += fired[2]

    def say(self, second: float, kind: str, **data: object) -> None:
        self.until(second)
        self.told += self.conditions.command(
            kind, SUBJECT, START + round(second * SECOND), dict(data)
        )

    def changes(self) -> list[tuple[float, str]]:
        return [((e.time_ns - START) / SECOND, e.data["change"]) for e in self.told]


def named(kind: str, rank: int, cause: str = "unknown") -> Diagnosis:
    return Diagnosis(kind, cause, f"it is {kind}", "look", rank)
