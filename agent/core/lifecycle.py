"""Lifecycle: when a condition is raised, renamed, and has returned to normal (ISA-18.2).

A condition is *pending* from its first finding until its on-delay is over; then it is *raised*,
named and announced. It returns to normal by itself once nothing has been found for the off-delay.
What lasts until somebody mends it (a unit that was changed) stays open by its name for a while, or
until the subject is seen to be normal; what says no more than a fact is no alarm. Names get more
specific as evidence comes.

Invariants:
- time comes only from findings and due timers, which fire in time order, before anything else at
  the same instant; so the way samples were cut into blocks changes nothing.
- a name is replaced by one of higher rank as soon as it is known, of equal rank only at the
  scheduled reviews; by a vaguer one only when what it named is over (data arrive again) and other
  findings remain.
- a timer acts only on what it was set for, which the time it counts from names. A shelving is the
  subject's and outlasts conditions: what returns to normal and comes back meanwhile comes back
  shelved, until its time is over or a person ends it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from agent.core import delays
from agent.core.condition import Condition, Finding
from agent.core.identity import FindingKey, Subject
from agent.core.incident import Incidents
from agent.core.names import EXCURSION, NAMED_WHILE, OF_PLACE, SAID_WHILE
from agent.core.rules import Rules
from agent.core.timers import Due, Returned, Timer, moved, paused, whole_ns
from agent.types import Event

_REVIEWED_AGAIN = 3
"""Of the reviews, those that a further finding brings again."""


class Conditions:
    """All conditions of one gateway.

    Attributes:
        active: subject -> its condition, pending ones too.
        shelved: subject -> engine ns at which its shelving ends.
        returned: subject -> when its last condition returned to normal.
        incidents: what people count.
        turns: how often engine time was set back; it keeps occurrences of one time apart.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.active: dict[Subject, Condition] = {}
        self.shelved: dict[Subject, int] = {}
        self.returned: dict[Subject, Returned] = {}
        self.incidents = Incidents(rules.is_output)
        self._timers: list[Timer] = []
        self.turns = 0

    # --- what happens -----------------------------------------------------------------------

    def finding(self, finding: Finding) -> list[Event]:
        """A detector's flag came or went."""
        condition = self.active.get(finding.subject)
        if finding.up:
            condition = condition or self._opened(finding)
            return self._found(condition, finding) if condition is not None else []
        if condition is None or finding.key not in condition.findings:
            return []
        del condition.findings[finding.key]
        self._note_holds(condition)
        if not condition.kept_open:
            self._begin_to_clear(condition, finding.time_ns)
        return self._rename(condition, finding.time_ns, review=False)

    def _opened(self, finding: Finding) -> Condition | None:
        """A new condition; none where the finding may be the way back from the last one."""
        last = self.returned.get(finding.subject, Returned())
        passed_ns = finding.time_ns - last.since_ns
        if passed_ns <= finding.looks_back_ns:
            return None
        condition = Condition(
            finding.subject, sorted(finding.models), finding.interval_ns, finding.time_ns
        )
        if passed_ns <= delays.CHATTERS * last.waited_ns:
            longest_ns = delays.longest_off_delay_ns(finding.interval_ns)
            condition.off_delay_ns = min(2 * last.waited_ns, longest_ns)
        self.active[finding.subject] = condition
        return condition

    def _found(self, condition: Condition, finding: Finding) -> list[Event]:
        now = finding.time_ns
        is_new = finding.key not in condition.findings
        condition.findings[finding.key] = condition.seen[finding.key] = finding.score
        if not condition.raised:
            due = now + finding.on_delay_ns
            if len(finding.about) > 1 and not condition.not_before_ns:
                condition.not_before_ns = due  # it is told whose it is by then
            self._at(due, condition, Due.RAISE)
        elif is_new:  # what it is shows some samples later, as at its raising
            for intervals in delays.REVIEWS[:_REVIEWED_AGAIN]:
                self._at(now + intervals * condition.interval_ns, condition, Due.REVIEW)
        condition.interval_ns = max(condition.interval_ns, finding.interval_ns)
        condition.off_delay_ns = max(
            condition.off_delay_ns, delays.off_delay_ns(condition.interval_ns)
        )
        condition.stay_ns = max(condition.stay_ns, finding.stay_ns)
        condition.models = sorted({*condition.models, *finding.models})
        condition.about = finding.about or condition.about
        condition.normal_since_ns = 0
        self._note_holds(condition)
        return self._rename(condition, now, review=False)

    def reworded(self, subject: Subject, now: int, *, text: bool = True) -> list[Event]:
        """What is open is explained otherwise by now: so is its name, and its `text` alone too."""
        condition = self.active.get(subject)
        return [] if condition is None else self._rename(condition, now, review=text, told=text)

    def fire(self, until_ns: int) -> tuple[list[str], list[Event]] | None:
        """The next timer due before `until_ns`: (models concerned, events), or None."""
        if not self._timers or self._timers[0][0] >= until_ns:
            return None
        due, subject, what, since_ns = heapq.heappop(self._timers)
        condition = self.active.get(subject)
        if what is Due.UNSHELVE:
            models = condition.models if condition is not None else []
            return models, self._shelving_ended(subject, due)
        if condition is None:
            return [], []
        if what is Due.CLEAR:
            stands = condition.normal_since_ns == since_ns and not condition.kept_open
            return condition.models, self._look_again(condition, due) if stands else []
        if condition.first_ns != since_ns:
            return [], []
        if what is Due.RAISE:
            return condition.models, self._raise(condition, due)
        if what is Due.LAPSE:
            return condition.models, [condition.event("updated", due)] if condition.raised else []
        return condition.models, self._rename(condition, due, review=True)

    def lapses_ns(self, condition: Condition) -> int:
        """Until when a raised condition that may be false speaks against its models: so long after
        its incident began, or one fault with many conditions would cost as many times the time.
        """
        began_ns = self.incidents.began_ns(condition.incident, condition.raised_ns)
        return began_ns + self._rules.lapse_ns(condition)

    def pause(self, since_ns: int, until_ns: int) -> None:
        """Nobody looked in [since, until): delays go on where they were; shelving does not wait."""
        away = until_ns - since_ns
        self._timers = paused(self._timers, away)
        heapq.heapify(self._timers)
        for condition in self.active.values():
            if condition.normal_since_ns:
                condition.normal_since_ns += away
            if condition.not_before_ns:
                condition.not_before_ns += away

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: all times move, so that no delay notices."""
        self._timers = moved(self._timers, shift_ns)
        self.shelved = {subject: end + shift_ns for subject, end in self.shelved.items()}
        self.returned = {
            subject: Returned(last.since_ns + shift_ns, last.waited_ns)
            for subject, last in self.returned.items()
        }
        self.incidents.move(shift_ns)
        for condition in self.active.values():
            condition.move(shift_ns)

    def refresh(self, subjects: Iterable[Subject], now: int) -> None:
        """Suppression or service changed: what is held back no longer has its on-delay again."""
        for subject in subjects:
            condition = self.active.get(subject)
            if condition is None:
                continue
            was = condition.held_back
            self._note_holds(condition)
            if was and not condition.held_back and not condition.raised:
                condition.not_before_ns = now + delays.on_delay_ns(condition.interval_ns)
                self._at(condition.not_before_ns, condition, Due.RAISE)

    def _note_holds(self, condition: Condition) -> None:
        condition.suppressed = self._rules.suppressed(condition)
        condition.out_of_service = self._rules.out_of_service(condition)

    def keep(self, subjects: Collection[Subject]) -> None:
        """Drop what is known of any other subject; shelvings end by their timers."""
        self.active = {key: item for key, item in self.active.items() if key in subjects}
        self.returned = {key: last for key, last in self.returned.items() if key in subjects}
        self.incidents.keep(subjects)

    def forget(self, gone: Callable[[Subject, FindingKey], bool], now: int) -> None:
        """Drop findings, by subject and key: their detectors start anew and never clear them."""
        for condition in self.active.values():
            keys = [key for key in condition.seen if gone(condition.subject, key)]
            had = bool(keys and condition.findings)
            condition.about = () if keys else condition.about
            for key in keys:
                condition.findings.pop(key, None)
                condition.seen.pop(key)
            if had and not condition.kept_open:
                self._begin_to_clear(condition, now)

    @property
    def next_due_ns(self) -> int:
        """When the next timer is due; far in the future where there is none."""
        return self._timers[0][0] if self._timers else 1 << 62

    # --- people -----------------------------------------------------------------------------

    def command(
        self, kind: str, subject: Subject, time_ns: int, data: Mapping[str, Any]
    ) -> list[Event]:
        """``acknowledge``, ``shelve`` and ``unshelve`` by a named person.

        The command may name the occurrence it is about, by its ``id``: another one of the subject,
        which that person has not seen, it leaves alone. What has returned to normal is not known
        here: to acknowledge it, the command brings the facts of that ``occurrence``, as told last.
        """
        by = {"by": data.get("by", ""), "note": data.get("note", "")}
        judged = by | {"false": bool(data.get("false", False))}
        if kind == "acknowledge" and isinstance(past := data.get("occurrence"), dict):
            facts = past | {"change": "acknowledged", "state": "cleared", "acknowledged": True,
                            "active": False}
            return [Event("condition", time_ns, str(subject), facts | judged)]
        condition = self.active.get(subject)
        if kind == "unshelve":
            return self._unshelve(subject, time_ns, by)
        if condition is None or not condition.raised:
            return []
        if data.get("id", condition.id) != condition.id:
            return []
        if kind == "acknowledge":
            condition.acknowledged = True
            return [condition.event("acknowledged", time_ns, judged)]
        until_ns = time_ns + whole_ns(data.get("for_ns"))
        condition.shelved_until_ns = self.shelved[subject] = until_ns
        self._at(until_ns, condition, Due.UNSHELVE)
        return [condition.event("shelved", time_ns, by | {"shelved_until_ns": until_ns})]

    def _unshelve(self, subject: Subject, now: int, by: dict[str, Any]) -> list[Event]:
        """By a person or by time: what is raised is told so; what has cleared is only told."""
        if self.shelved.pop(subject, None) is None:
            return []
        condition = self.active.get(subject)
        if condition is None or not condition.raised:
            return [Event("configuration", now, str(subject), {"change": "unshelved"} | by)]
        condition.shelved_until_ns = 0
        return [condition.event("unshelved", now, by)]

    def _shelving_ended(self, subject: Subject, now: int) -> list[Event]:
        return self._unshelve(subject, now, {}) if self.shelved.get(subject, now + 1) <= now else []

    # --- timers -----------------------------------------------------------------------------

    def _at(self, due_ns: int, condition: Condition, what: Due) -> None:
        since_ns = condition.normal_since_ns if what is Due.CLEAR else condition.first_ns
        heapq.heappush(self._timers, (due_ns, condition.subject, what, since_ns))

    def _begin_to_clear(self, condition: Condition, now: int) -> None:
        condition.normal_since_ns = now
        self._at(now + delays.off_delay_ns(condition.interval_ns), condition, Due.CLEAR)

    def _raise(self, condition: Condition, now: int) -> list[Event]:
        """An on-delay is over."""
        if condition.raised:
            return []
        if now < condition.not_before_ns or not (condition.findings or condition.momentary):
            return []
        self._note_holds(condition)
        if condition.held_back:
            return []
        events = self._attribute(condition, now)
        if self.active.get(condition.subject) is not condition:
            return events
        named = self._rules.name(condition, now)
        if self._rules.is_no_alarm(condition, named, now):
            # Asked again later and later, so that what lasts for weeks costs next to nothing.
            self._at(2 * now - condition.first_ns + condition.interval_ns, condition, Due.RAISE)
            return events
        condition.raised_ns = now
        condition.take_name(named, now)
        condition.occurrence = f"{condition.subject}@{now}" + f"+{self.turns}" * bool(self.turns)
        condition.incident = self.incidents.join(
            condition, self.active.values(), self._rules.settling_ns(condition), now
        )
        condition.shelved_until_ns = self.shelved.get(condition.subject, 0)
        for intervals in delays.REVIEWS:
            self._at(now + intervals * condition.interval_ns, condition, Due.REVIEW)
        lapses_ns = self.lapses_ns(condition)
        if lapses_ns > now:
            self._at(lapses_ns, condition, Due.LAPSE)
        return [*events, condition.event("raised", now)]

    def _attribute(self, condition: Condition, now: int) -> list[Event]:
        """Give what models found to the subject whose it is by now: one fault is one alarm."""
        owner = self._rules.owner(condition, now)
        if owner == condition.subject:
            return []
        keys = [key for key in condition.seen if key.model and not key.of_errors]
        if owner not in self.active and len(keys) == len(condition.seen):
            del self.active[condition.subject]
            condition.subject = owner
            self.active[owner] = condition
            if condition.normal_since_ns:
                self._begin_to_clear(condition, condition.normal_since_ns)
            return []
        events: list[Event] = []
        for key in sorted(keys, key=lambda key: key not in condition.findings):
            if key in condition.findings:
                events += self.finding(Finding(
                    owner, key, True, now, condition.findings.pop(key), [key.model],
                    condition.interval_ns, on_delay_ns=0,
                ))
            elif owner in self.active:
                self.active[owner].seen[key] = condition.seen[key]
            else:
                break
            del condition.seen[key]
        if not condition.findings and not condition.momentary:
            del self.active[condition.subject]
        return events

    def _look_again(self, condition: Condition, now: int) -> list[Event]:
        """Looked at after each off-delay without a finding."""
        waited_ns = now - condition.normal_since_ns
        left_ns = condition.off_delay_ns - waited_ns
        if not self._rules.is_normal(condition, now):
            step_ns = delays.off_delay_ns(condition.interval_ns)
            if left_ns > 0:
                self._at(now + min(step_ns, left_ns), condition, Due.CLEAR)
                return []
            if condition.findings:
                return []
            if self._rules.stays(condition, now):
                stay_left_ns = max(condition.stay_ns - waited_ns, step_ns)
                self._at(now + min(max(step_ns, waited_ns), stay_left_ns), condition, Due.CLEAR)
                return []
        del self.active[condition.subject]
        if not condition.raised:
            return []
        self.returned[condition.subject] = Returned(condition.normal_since_ns, waited_ns)
        self.incidents.left(condition.incident, now)
        return [condition.event("cleared", now)]

    # --- names ------------------------------------------------------------------------------

    def _rename(
        self, condition: Condition, now: int, *, review: bool, told: bool = False
    ) -> list[Event]:
        if not condition.raised or not (condition.findings or condition.kind in OF_PLACE):
            return []
        found = self._rules.name(condition, now)
        symptoms = {key.symptom for key in condition.findings}
        usual = SAID_WHILE.get(condition.kind, frozenset())
        over = bool(usual) and (found.kind in NAMED_WHILE or not usual & symptoms)
        better = found.rank > condition.rank or (review and found.rank == condition.rank) or over
        same = (found.kind, found.cause) == (condition.kind, condition.cause)
        if not better or (found.text == condition.text if told else same):
            return []
        again_ns = condition.named_ns + delays.longest_off_delay_ns(condition.interval_ns)
        if condition.kind == EXCURSION and found.kind in OF_PLACE and now < again_ns:
            self._at(again_ns, condition, Due.REVIEW)  # what flickers at the edge is told seldom
            return []
        condition.take_name(found, now)
        return [condition.event("updated", now)]

    # --- what lasts -------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """All state, JSON-ready, in a fixed order."""
        return {
            "active": [condition.to_json() for _, condition in sorted(self.active.items())],
            "shelved": {str(name): end for name, end in sorted(self.shelved.items())},
            "returned": {
                str(name): [last.since_ns, last.waited_ns]
                for name, last in sorted(self.returned.items())
            },
            "incidents": self.incidents.to_json(),
            "turns": self.turns,
            "timers": [[due, str(subject), what, since]
                       for due, subject, what, since in sorted(self._timers)],
        }

    def from_json(self, document: Mapping[str, Any]) -> None:
        """Take state from `to_json`."""
        conditions = [Condition.from_json(item) for item in document["active"]]
        self.active = {condition.subject: condition for condition in conditions}
        self.incidents.from_json(document.get("incidents", []))
        self.turns = int(document.get("turns", 0))
        self.shelved = {Subject.parse(text): int(end) for text, end in document["shelved"].items()}
        self.returned = {
            Subject.parse(text): Returned(int(since), int(waited))
            for text, (since, waited) in document["returned"].items()
        }
        self._timers = [
            (int(due), Subject.parse(subject), Due(what), int(since))
            for due, subject, what, since in document["timers"]
        ]
        heapq.heapify(self._timers)
