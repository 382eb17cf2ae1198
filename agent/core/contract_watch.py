"""What is held, as conditions and reasons: a tag that breaks its contract counts no more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from agent.core import identity
from agent.core.change import Change, text_of
from agent.core.changes import Changes
from agent.core.condition import Condition, Finding
from agent.core.diagnosis import Diagnosis
from agent.core.figures import clock
from agent.core.identity import CONTRACT, FindingKey, Place, Subject
from agent.core.lifecycle import Conditions
from agent.core.spec import EngineSpec, ModelSpec
from agent.core.verdict import MAINTENANCE, Concern
from agent.types import Event

CONTRACT_BROKEN = "contract broken"
_RANK = 10  # above all that is seen in what arrives: it does not count
_KEY = FindingKey(CONTRACT)


class ContractWatch:
    """Keeps conditions as changes say.

    Args:
        spec: what is guarded.
        conditions: of the gateway.
        users: of a tag or a source, the models that use it.
        released: told of each change whose tags count again.
    """

    def __init__(
        self, spec: EngineSpec, conditions: Conditions,
        users: Callable[[Subject], Collection[str]],
        released: Callable[[Change, int], None] = lambda _, __: None,
    ) -> None:
        self._spec, self._conditions, self._users = spec, conditions, users
        self.changes = Changes(spec, released)
        self._followed = 0
        self._held: dict[Subject, str] = {}  # and what is different
        self._masked: dict[str, Change] = {}  # tag -> the maintenance in whose window it is

    # --- what happens -----------------------------------------------------------------------------

    @property
    def next_due_ns(self) -> int:
        """When something happens by time alone."""
        return self.changes.next_due_ns

    def command(
        self, kind: str, now: int, data: Mapping[str, Any], sequence: int
    ) -> list[Event]:
        """Fold a command, with what follows for conditions."""
        return self.changes.command(kind, now, data, sequence) + self.follow(now)

    def fire(self, now: int) -> list[Event]:
        """What is due by `now`."""
        return self.changes.fire(now) + self.follow(now)

    def follow(self, now: int) -> list[Event]:
        """Raise and clear conditions, so that they say what is held as of now."""
        if self._followed == self.changes.version:
            return []
        before, masked = self._held, self._masked
        self._look()
        events: list[Event] = []
        for subject in sorted(before.keys() | self._held.keys()):
            if (subject in before) != (subject in self._held):
                events += self._conditions.finding(self._finding(subject, now))
            elif before[subject] != self._held[subject]:
                events += self._conditions.reworded(subject, now)
        if masked.keys() != self._masked.keys():
            touched = {identity.tag(tag) for tag in masked.keys() ^ self._masked.keys()}
            touched |= {identity.source(self._spec.tag_of[one.name].source) for one in touched}
            self._conditions.refresh(sorted(touched), now)
        return events

    def _look(self) -> None:
        self._followed = self.changes.version
        self._held = _held(self._spec, self.changes)
        tags = self._spec.tag_of
        self._masked = {
            tag: one for tag, one in self.changes.maintained().items() if tag in tags
        }

    def _finding(self, subject: Subject, now: int) -> Finding:
        tags = self._spec.tag_of
        interval_ns = tags[subject.name].interval_ns if subject.place is Place.TAG else min(
            (tag.interval_ns for tag in self._spec.tags if tag.source == subject.name),
            default=1_000_000_000,
        )
        return Finding(
            subject, _KEY, subject in self._held, now, 1.0, self._users(subject), interval_ns,
            on_delay_ns=0,
        )

    # --- looking in -------------------------------------------------------------------------------

    def name(self, condition: Condition) -> Diagnosis | None:
        """What a subject has that is held; None where it is not."""
        told = self._held.get(condition.subject)
        if told is None or _KEY not in condition.findings:
            return None
        change, _, text = told.partition("\n")
        return Diagnosis(
            CONTRACT_BROKEN, "integration", text,
            f"look at it, then approve or reject it: fieldwarden change show CONFIG {change}",
            _RANK,
        )

    def holds(self, subject: Subject) -> bool:
        """Whether a subject is held."""
        return subject in self._held

    def suppresses(self, subject: Subject) -> bool:
        """Whether a tag, or all tags of a source, are in planned maintenance: it is no alarm."""
        if not self._masked:
            return False
        if subject.place is Place.TAG:
            return subject.name in self._masked
        tags = [tag.name for tag in self._spec.tags if tag.source == subject.name]
        return subject.place is Place.SOURCE and self._masked.keys() >= set(tags)

    def concerns(self, model: ModelSpec) -> list[Concern]:
        """The planned maintenance that a model's tags are in; one reason for each."""
        if not self._masked:
            return []
        found: dict[str, list[str]] = {}
        for tag in model.tags:
            if tag in self._masked:
                found.setdefault(self._masked[tag].id, []).append(tag)
        return [
            self._concern(self._masked[tags[0]], tags, required=not model.needed.isdisjoint(tags))
            for _, tags in sorted(found.items())
        ]

    def _concern(self, one: Change, tags: list[str], *, required: bool) -> Concern:
        named = tags[0] if len(tags) == 1 else f"{tags[0]} and {len(tags) - 1} more"
        until = clock(one.window[1]) if one.window else ""
        by = f", announced by {one.announced_by}" if one.announced_by else ""
        subject = identity.tag(tags[0]) if len(tags) == 1 else identity.source(one.source)
        return Concern(
            "", subject, MAINTENANCE, "unknown",
            f"{named} of source {one.source} in planned maintenance until {until}{by}: "
            f"{one.text}",
            f"wait for its end, or end it: fieldwarden change revert CONFIG {one.id}",
            required, False,
        )

    # --- what lasts -------------------------------------------------------------------------------

    def from_json(self, document: Mapping[str, Any]) -> None:
        """Take state from `Changes.to_json`; conditions are taken from their own."""
        self.changes.from_json(document)
        self._look()


def _held(spec: EngineSpec, changes: Changes) -> dict[Subject, str]:
    """Subject -> change and text of each that is held: a source where what serves it is another."""
    owners = {model.name: f"{model.name} of {model.owner or 'nobody'}" for model in spec.models}
    found: dict[Subject, str] = {}
    for one in changes.known.values():
        if not one.holds:
            continue
        texts: dict[Subject, list[dict[str, Any]]] = {}
        for each in one.differences:
            if each["grade"] == "breaking":
                texts.setdefault(Subject.parse(str(each["subject"])), []).append(each)
        if not any(subject.place is Place.SOURCE for subject in texts):
            texts |= {
                identity.tag(tag): list(one.differences) for tag in one.held_tags
                if identity.tag(tag) not in texts
            }
        whose = "; ".join(owners.get(name, name) for name in one.models)
        for subject, differences in texts.items():
            known = spec.tag_of if subject.place is Place.TAG else spec.row_of_source
            if subject.name in known:
                text = f"{text_of(differences)}; held, and of use to {whose or 'no model'}"
                found[subject] = f"{one.id}\n{text}"
    return found
