"""Conditions by hand: findings at given seconds, and what was told."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.condition import Condition, Finding
from agent.core.diagnosis import Diagnosis
from agent.core.identity import FindingKey, Subject
from agent.core.lifecycle import Conditions
from agent.types import Event
from tests.core.small import SECOND, START

SUBJECT = Subject.parse("tag/a")
MODEL = Subject.parse("model/m")
OFF = 20


def keys(*texts: str) -> set[FindingKey]:
    """Keys of findings, from their texts."""
    return {FindingKey.parse(text) for text in texts}


@dataclass
class Desk:
    """Conditions with names by hand, whose `Rules` it is: times are seconds, what was said is kept.

    `over`: every subject is seen to be normal. `owned_by` is whose they are that are a model's.
    """

    called: Diagnosis = field(default_factory=lambda: named("level shift", 2))
    held: bool = False
    over: bool = False
    out: bool = False
    fact: bool = False
    owned_by: Subject | None = None
    told: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.conditions = Conditions(self)

    def name(self, condition: Condition, now: int) -> Diagnosis:
        return self.called

    def is_normal(self, condition: Condition, now: int) -> bool:
        return self.over

    def stays(self, condition: Condition, now: int) -> bool:
        return now - condition.normal_since_ns < condition.stay_ns and not self.over

    def is_no_alarm(self, condition: Condition, diagnosis: Diagnosis, now: int) -> bool:
        return self.fact

    def lapse_ns(self, condition: Condition) -> int:
        return 1 << 60

    def is_output(self, subject: Subject) -> bool:
        return False

    def settling_ns(self, condition: Condition) -> int:
        return 60 * SECOND

    def suppressed(self, condition: Condition) -> bool:
        return self.held

    def out_of_service(self, condition: Condition) -> bool:
        return self.out

    def owner(self, condition: Condition, now: int) -> Subject:
        return self.owned_by or condition.subject

    def at(self, second: float, detector: str, *, up: bool, subject: Subject = SUBJECT,
           score: float = 1.0, confirmed: int = 0, back: int = 0, delay: int | None = None,
           interval: float = 1.0, about: tuple[str, ...] = ()) -> None:
        """A flag comes or goes; `confirmed`, `back` and `delay` are intervals."""
        self.until(second)
        key, step = FindingKey.parse(detector), round(interval * SECOND)
        self.told += self.conditions.finding(Finding(
            subject, key, up, START + round(second * SECOND), score, ["m"], step,
            step * (key.traits.on_delay if delay is None else delay),
            stay_ns=confirmed * step, looks_back_ns=back * step, about=about,
        ))

    def until(self, second: float) -> None:
        while (fired := self.conditions.fire(START + round(second * SECOND))) is not None:
            self.told += fired[1]

    def say(self, second: float, kind: str, **data: object) -> None:
        self.until(second)
        self.told += self.conditions.command(
            kind, SUBJECT, START + round(second * SECOND), dict(data)
        )

    def changes(self) -> list[tuple[float, str]]:
        return [((e.time_ns - START) / SECOND, e.data["change"]) for e in self.told]


def named(kind: str, rank: int, cause: str = "unknown") -> Diagnosis:
    return Diagnosis(kind, cause, f"it is {kind}", "look", rank)
