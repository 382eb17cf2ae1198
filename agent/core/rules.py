"""What the lifecycle of conditions asks of judgement."""

from __future__ import annotations

from typing import Protocol

from agent.core.condition import Condition
from agent.core.diagnosis import Diagnosis
from agent.core.identity import Subject


class Rules(Protocol):
    """What conditions ask of judgement."""

    def name(self, condition: Condition, now: int) -> Diagnosis:
        """What the evidence says it is."""

    def is_normal(self, condition: Condition, now: int) -> bool:
        """Whether its subject is seen to be normal again, before the off-delay is over."""

    def stays(self, condition: Condition, now: int) -> bool:
        """Whether it is a fault that lasts until somebody mends it, seen by a chart or not."""

    def is_no_alarm(self, condition: Condition, diagnosis: Diagnosis, now: int) -> bool:
        """Whether it says no more than what is told already, or what the plant does at times."""

    def owner(self, condition: Condition, now: int) -> Subject:
        """Whose is what models found of it, as of now."""

    def lapse_ns(self, condition: Condition) -> int:
        """How long it speaks against its models, where it may be a false alarm."""

    def settling_ns(self, condition: Condition) -> int:
        """How long after a condition a further one of the same fault may begin."""

    def is_output(self, subject: Subject) -> bool:
        """Whether it is what models say, and nothing that any of them is given."""

    def suppressed(self, condition: Condition) -> bool:
        """Whether its source is lost, so that it is no alarm of its own."""

    def out_of_service(self, condition: Condition) -> bool:
        """Whether a person took its subject out of service."""
