"""Conditions: what a person sees, made from findings (ISA-18.2; OPC UA Part 9 terms).

One subject (a tag, a source, a model's joint statistic) has at most one condition, however many
detectors see its fault: one fault is one alarm. A condition is *pending* from its first finding
until its settling time (on-delay) is over; then it is *raised*, named and announced. It clears by
itself once no finding has been active for the off-delay: where what was found may only be the begin
of what slower charts see later, for as long as these may take, unless it is seen to be over before.
Names get more specific as evidence comes.

Invariants:
- time comes only from findings and due timers, which fire in time order, before anything else at
  the same instant; so the way samples were cut into blocks changes nothing.
- a name is replaced by one of higher rank as soon as it is known, of equal rank only at the
  scheduled reviews; by a vaguer one only when what it named is over (data arrive again) and other
  findings remain.
- a timer acts only on the occurrence it was set for, which the time of its first finding names;
  but a shelving is the subject's, and outlasts occurrences: what clears and comes back meanwhile
  comes back shelved, until its time is over or a person ends it (ISA-18.2).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from agent.core import delays
from agent.core.diagnosis import Diagnosis
from agent.types import Event

_OVER_WITHOUT = {
    "source lost": delays.TRANSPORT, "missing": frozenset({"missing"}),
    "bad quality": frozenset({"bad"}), "out of physical range": frozenset({"bad"}),
}
"""A name that says what arrives -> the findings of which one must be active for it to be true."""

Namer = Callable[[str, "Condition", int], Diagnosis]
Over = Callable[["Condition", int], bool]
Owners = Callable[["Condition", int], dict[str, str]]


@dataclass(slots=True)
class Condition:
    """One subject's condition; times are engine ns, `raised_ns` 0 while pending.

    `findings` holds the score of every detector that is active, `seen` of every one that was; keys
    are ``detector``, or ``detector@model`` where it judged a model's input. `held_back` says that
    it came due while it was suppressed; `not_before_ns` gives it time to clear after that, or to be
    told whose it is.
    """

    subject: str
    models: list[str]
    interval_ns: int
    first_ns: int
    raised_ns: int = 0
    linger: int = 0
    cleared_from_ns: int = 0
    state: str = "pending"
    shelved_until_ns: int = 0
    findings: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    kind: str = ""
    cause: str = "unknown"
    text: str = ""
    hint: str = ""
    rank: int = 0
    held_back: bool = False
    not_before_ns: int = 0

    @property
    def id(self) -> str:
        """Names this occurrence for ever: the subject and when it was raised."""
        return f"{self.subject}@{self.raised_ns}"

    @property
    def raised(self) -> bool:
        """Whether it is past its settling time, and so known to people."""
        return self.raised_ns > 0


class Conditions:
    """All conditions of one gateway.

    `name` looks at the evidence, `suppressed` groups tags, `over` says that nothing is left of what
    a condition without findings was raised for, `owners` which of its findings are known by now to
    be another subject's.
    """

    def __init__(
        self, name: Namer, suppressed: Callable[[Condition], bool], over: Over, owners: Owners
    ) -> None:
        self._name, self._suppressed, self._over, self._owners = name, suppressed, over, owners
        self.active: dict[str, Condition] = {}
        self.shelved: dict[str, int] = {}
        """Subject -> engine ns at which its shelving ends."""
        self.mended: dict[str, tuple[int, int]] = {}
        """Subject -> (engine ns from which nothing was found of its last condition that cleared,
        intervals that it waited then)."""
        self._timers: list[tuple[int, str, str, int]] = []

    # --- what happens -----------------------------------------------------------------------

    def finding(
        self, subject: str, detector: str, score: float, time_ns: int, interval_ns: int,
        models: list[str], *, up: bool, linger: int = 0, settle: int | None = None, back: int = 0,
    ) -> list[Event]:
        """A detector's flag came or went; `settle` and `linger` are its delays in intervals.

        One that compares with `back` intervals before may have found but the end of a condition
        that has cleared since: the way back opens none.
        """
        condition = self.active.get(subject)
        if up:
            if condition is None:
                since, waited = self.mended.get(subject, (-1 << 62, 0))
                if time_ns - since <= back * interval_ns:
                    return []
                condition = Condition(subject, sorted(models), interval_ns, time_ns)
                condition.linger = delays.off_delay(interval_ns)
                if time_ns - since <= delays.CHATTERS * waited * interval_ns:
                    condition.linger = min(2 * waited, delays.MOST_LINGER)
                self.active[subject] = condition
            if not condition.raised:
                if settle is None:
                    settle = delays.SETTLE.get(detector, delays.SETTLE_DEFAULT)
                if settle == delays.UNDECIDED and not condition.not_before_ns:
                    condition.not_before_ns = time_ns + settle * interval_ns
                self._at(time_ns + settle * interval_ns, condition, "on")
            condition.linger = max(condition.linger, linger)
            condition.findings[detector] = score
            condition.seen[detector] = score
            condition.models = sorted({*condition.models, *models})
            condition.cleared_from_ns = 0
            return self._rename(condition, time_ns, review=False) if condition.raised else []
        if condition is None or detector not in condition.findings:
            return []
        del condition.findings[detector]
        if not _held(condition):
            self._begin_to_clear(condition, time_ns)
        return self._rename(condition, time_ns, review=False) if condition.raised else []

    def fire(self, until_ns: int) -> tuple[int, list[str], list[Event]] | None:
        """The next timer due before `until_ns`: (its time, models concerned, events), or None."""
        if not self._timers or self._timers[0][0] >= until_ns:
            return None
        due, subject, what, first_ns = heapq.heappop(self._timers)
        condition = self.active.get(subject)
        if what == "unshelve":
            models = condition.models if condition is not None else []
            return due, models, self._unshelved(subject, due)
        if condition is None or condition.first_ns != first_ns:
            return due, [], []
        action = {"on": self._settled, "off": self._faded, "review": self._reviewed}[what]
        return due, condition.models, action(condition, due)

    def pause(self, since_ns: int, until_ns: int) -> None:
        """Nobody looked in [since, until): delays go on where they were; shelving does not wait."""
        away = until_ns - since_ns
        self._timers = [
            (due if what == "unshelve" else due + away, subject, what, first_ns)
            for due, subject, what, first_ns in self._timers
        ]
        heapq.heapify(self._timers)
        for condition in self.active.values():
            if condition.cleared_from_ns:
                condition.cleared_from_ns += away
            condition.not_before_ns += away

    def release(self, subjects: Iterable[str], now: int) -> None:
        """These are suppressed no longer: they have their settling time to clear, or are raised."""
        for subject in subjects:
            condition = self.active.get(subject)
            if condition is not None and not condition.raised:
                condition.not_before_ns = now + delays.SETTLE_DEFAULT * condition.interval_ns
                self._at(condition.not_before_ns, condition, "on")

    def keep(self, subjects: Collection[str]) -> None:
        """Drop what is known of any other subject; shelvings end by their timers."""
        self.active = {key: item for key, item in self.active.items() if key in subjects}
        self.mended = {key: last for key, last in self.mended.items() if key in subjects}

    def forget(self, gone: Callable[[str, str], bool], now: int) -> None:
        """Drop findings, by subject and key: their detectors start anew and never clear them."""
        for condition in self.active.values():
            keys = [key for key in condition.seen if gone(condition.subject, key)]
            had = bool(keys and condition.findings)
            for key in keys:
                condition.findings.pop(key, None)
                condition.seen.pop(key)
            if had and not _held(condition):
                self._begin_to_clear(condition, now)

    @property
    def next_due_ns(self) -> int:
        """When the next timer is due; far in the future where there is none."""
        return self._timers[0][0] if self._timers else 1 << 62

    def command(self, kind: str, subject: str, time_ns: int, data: dict[str, Any]) -> list[Event]:
        """``acknowledge``, ``shelve`` and ``unshelve`` by a named person.

        The command may name the occurrence it is about, by its ``id``: another one of the same
        subject, which that person has not seen, it leaves alone.
        What has cleared is not known here any more: to acknowledge it, the command brings the facts
        of that ``occurrence``, as its last event told them.
        """
        by = {"by": data.get("by", ""), "note": data.get("note", "")}
        judged = by | {"false": bool(data.get("false", False))}
        if kind == "acknowledge" and isinstance(past := data.get("occurrence"), dict):
            facts = past | {"change": "acknowledged", "state": "cleared"}
            return [Event("condition", time_ns, subject, facts | judged)]
        condition = self.active.get(subject)
        if kind == "unshelve":
            return self._unshelve(subject, time_ns, by)
        if condition is None or not condition.raised:
            return []
        if data.get("id", condition.id) != condition.id:
            return []
        if kind == "acknowledge":
            condition.state = "acknowledged"
            return [self._event(condition, "acknowledged", time_ns, judged)]
        condition.state = "shelved"
        condition.shelved_until_ns = time_ns + _whole(data.get("for_ns"))
        self.shelved[subject] = condition.shelved_until_ns
        self._at(condition.shelved_until_ns, condition, "unshelve")
        return [self._event(condition, "shelved", time_ns, by)]

    def _unshelve(self, subject: str, now: int, by: dict[str, Any]) -> list[Event]:
        """By a person or by time: what is raised is active again; what has cleared is only told."""
        if self.shelved.pop(subject, None) is None:
            return []
        condition = self.active.get(subject)
        if condition is None or not condition.raised:
            return [Event("configuration", now, subject, {"change": "unshelved"} | by)]
        if condition.state == "shelved":
            condition.state = "active"
        return [self._event(condition, "unshelved", now, by)]

    # --- timers -----------------------------------------------------------------------------

    def _at(self, due_ns: int, condition: Condition, what: str) -> None:
        heapq.heappush(self._timers, (due_ns, condition.subject, what, condition.first_ns))

    def _begin_to_clear(self, condition: Condition, now: int) -> None:
        condition.cleared_from_ns = now
        self._at(now + delays.off_delay_ns(condition.interval_ns), condition, "off")

    def _settled(self, condition: Condition, now: int) -> list[Event]:
        if condition.raised:
            return []
        if now < condition.not_before_ns or not (condition.findings or _momentary(condition)):
            return []
        condition.held_back = self._suppressed(condition)
        if condition.held_back:
            return []
        events = self._hand_over(condition, now)
        if condition.subject not in self.active:
            return events
        condition.raised_ns = now
        condition.shelved_until_ns = self.shelved.get(condition.subject, 0)
        condition.state = "shelved" if condition.subject in self.shelved else "active"
        self._take(condition, self._name(condition.subject, condition, now))
        for intervals in delays.REVIEWS:
            self._at(now + intervals * condition.interval_ns, condition, "review")
        return [*events, self._event(condition, "raised", now)]

    def _hand_over(self, condition: Condition, now: int) -> list[Event]:
        """Give findings to the subjects whose they are; without any left, it ends untold."""
        events = []
        owners = self._owners(condition, now)
        for key, subject in owners.items():
            if key in condition.findings:
                events += self.finding(
                    subject, key, condition.findings.pop(key), now, condition.interval_ns,
                    condition.models, up=True, settle=0,
                )
            elif subject in self.active:
                self.active[subject].seen[key] = condition.seen[key]
            else:
                continue
            del condition.seen[key]
        if owners and not condition.findings and not _momentary(condition):
            del self.active[condition.subject]
        return events

    def _faded(self, condition: Condition, now: int) -> list[Event]:
        """Looked at after each off-delay without a finding, and when the last one must be over."""
        away = now - condition.cleared_from_ns
        interval = condition.interval_ns
        last, step = condition.linger * interval, delays.off_delay_ns(interval)
        if _held(condition) or away not in {*range(step, last, step), last}:
            return []  # it came again, which set or will set another timer
        if (away < last or condition.findings) and not self._over(condition, now):
            if away < last:
                self._at(now + min(step, last - away), condition, "off")
            return []
        del self.active[condition.subject]
        if not condition.raised:
            return []
        condition.state = "cleared"
        self.mended[condition.subject] = condition.cleared_from_ns, away // condition.interval_ns
        return [self._event(condition, "cleared", now)]

    def _reviewed(self, condition: Condition, now: int) -> list[Event]:
        return self._rename(condition, now, review=True) if condition.raised else []

    def _unshelved(self, subject: str, now: int) -> list[Event]:
        over = self.shelved.get(subject, now + 1) <= now
        return self._unshelve(subject, now, {}) if over else []

    # --- names ------------------------------------------------------------------------------

    def _rename(self, condition: Condition, now: int, *, review: bool) -> list[Event]:
        if not condition.findings:
            return []
        found = self._name(condition.subject, condition, now)
        true_of = _OVER_WITHOUT.get(condition.kind)
        over = true_of is not None and not true_of & condition.findings.keys()
        better = found.rank > condition.rank or (review and found.rank == condition.rank) or over
        if not better or (found.kind, found.cause) == (condition.kind, condition.cause):
            return []
        self._take(condition, found)
        return [self._event(condition, "updated", now)]

    @staticmethod
    def _take(condition: Condition, diagnosis: Diagnosis) -> None:
        condition.kind, condition.cause = diagnosis.kind, diagnosis.cause
        condition.text, condition.hint = diagnosis.text, diagnosis.hint
        condition.rank = diagnosis.rank

    @staticmethod
    def _event(
        condition: Condition, change: str, now: int, more: dict[str, Any] | None = None
    ) -> Event:
        data = {
            "id": condition.id, "change": change, "kind": condition.kind,
            "cause": condition.cause, "severity": severity(condition), "text": condition.text,
            "hint": condition.hint, "models": list(condition.models),
            "raised_ns": condition.raised_ns, "state": condition.state,
            "detectors": sorted(condition.seen), "score": max(condition.seen.values(), default=0.0),
        }
        return Event("condition", now, condition.subject, data | (more or {}))

    # --- what lasts -------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """All state, JSON-ready, in a fixed order."""
        return {
            "active": [
                {name: getattr(condition, name) for name in Condition.__slots__}
                for _, condition in sorted(self.active.items())
            ],
            "shelved": dict(sorted(self.shelved.items())),
            "mended": {name: list(last) for name, last in sorted(self.mended.items())},
            "timers": sorted(list(timer) for timer in self._timers),
        }

    def from_json(self, document: dict[str, Any]) -> None:
        """Take state from `to_json`."""
        self.active = {item["subject"]: Condition(**item) for item in document["active"]}
        known = {name: item.shelved_until_ns for name, item in self.active.items()
                 if item.state == "shelved"}  # all that older snapshots say of it
        self.shelved = {name: int(end) for name, end in document.get("shelved", known).items()}
        mended = document.get("mended", {}).items()
        self.mended = {name: (int(since), int(waited)) for name, (since, waited) in mended}
        self._timers = [
            (int(due), subject, what, int(first_ns))
            for due, subject, what, first_ns in document["timers"]
        ]
        heapq.heapify(self._timers)


def _momentary(condition: Condition) -> bool:
    """Whether what was found counts though it has gone: an event, or a change agreed on."""
    seen = {key.partition("@")[0] for key in condition.seen}
    lasted = condition.cleared_from_ns - condition.first_ns
    agreed = lasted >= delays.AGREED * condition.interval_ns
    return bool(seen & delays.LATCHED or (seen & delays.PASSING and agreed))


def _held(condition: Condition) -> bool:
    """Whether a finding is active that must go before the condition may clear."""
    return any(key.partition("@")[0] not in delays.PASSING for key in condition.findings)


def _whole(value: Any) -> int:
    """A duration in ns out of a command's data; 0 where it is none."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e18 else 0


def severity(condition: Condition) -> str:
    """``high`` for a confirmed cause, ``low`` for hints that are vague yet, ``medium`` else.

    A sudden change has a vague name, but is a joint limit exceeded: no model is trusted with it.
    """
    if condition.cause in {"integration", "sensor", "model"}:
        return "high"
    return "medium" if condition.rank >= 3 or condition.kind == "sudden change" else "low"
