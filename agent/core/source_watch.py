"""Source watch: whether a whole source is lost, so that its tags' silence is one fault, not many.

A source is lost while its session is, or while most of its tags give nothing usable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.core import identity
from agent.core.condition import Finding
from agent.core.delays import on_delay_ns
from agent.core.diagnosis import Diagnosis
from agent.core.group_diagnosis import group_alike, group_text
from agent.core.identity import SESSION_LOST, TAGS_SILENT, FindingKey, Subject
from agent.core.kernels.base import Symptom
from agent.core.lifecycle import Conditions
from agent.core.spec import EngineSpec, TagSpec
from agent.types import Event

MOST_SILENT = 0.75
"""Share of a source's tags from which their silence is the source's; slow tags may be late."""

LOST_STATES = frozenset({"failed", "stale"})
_NOTHING_COMES = {
    Symptom.SILENT: "most of them stopped arriving",
    Symptom.CUT_OFF: "it has lost what it reads most of them from",
}
"""What a source that answers has where nothing of now arrives -> how people read it."""


class SourceWatch:
    """Knows the state of every source, and which of its tags are silent.

    Attributes:
        states: source -> (state, reason, since when in ns), as the source itself last said.
        users: source -> the models that use a tag of it.
        refusals: source -> tag -> why its address is refused, as the source last said.
    """

    def __init__(self, spec: EngineSpec, conditions: Conditions) -> None:
        self._spec, self._conditions = spec, conditions
        self.states: dict[str, tuple[str, str, int]] = {}
        self.refusals: dict[str, dict[str, str]] = {}
        self._tags: dict[str, list[str]] = {name: [] for name in spec.sources}
        for tag in spec.tags:
            self._tags.setdefault(tag.source, []).append(tag.name)
        self._silent: dict[str, set[str]] = {name: set() for name in self._tags}
        self.users: dict[str, list[str]] = {
            source: sorted({m.name for m in spec.models if not set(tags).isdisjoint(m.tags)})
            for source, tags in self._tags.items()
        }

    # --- what happens ---------------------------------------------------------------------------

    def tag_changed(self, tag: str, time_ns: int) -> list[Event]:
        """A tag fell silent, went bad, or came back: most of a source's tags are the source."""
        self._note(tag)
        source = self._spec.tag_of[tag].source
        events = self._finding(source, TAGS_SILENT, time_ns, up=self._mostly_silent(source))
        condition = self._conditions.active.get(identity.source(source))
        if not events and condition is not None and self.name(source).kind != condition.kind:
            events = self._conditions.reworded(condition.subject, time_ns)
        return events

    def told(self, time_ns: int, data: Mapping[str, Any]) -> list[Event]:
        """What a source says of its session; an unknown source changes nothing."""
        source, state = str(data.get("source", "")), str(data.get("state", ""))
        if source not in self._tags:
            return []
        reason = str(data.get("reason", ""))
        old = self.states.get(source)
        self.states[source] = (state, reason, time_ns)
        events: list[Event] = []
        if isinstance(gap := data.get("gap"), Mapping):  # before the source is told to be back
            events.append(Event("gap", time_ns, str(identity.source(source)), dict(gap)))
        if old is None or old[:2] != (state, reason):
            detail = {"state": state, "reason": reason, "was": old[0] if old else ""}
            events.append(Event("source", time_ns, str(identity.source(source)), detail))
        if state in LOST_STATES or state == "live":
            events += self._finding(source, SESSION_LOST, time_ns, up=state != "live")
        if state in LOST_STATES:
            events += self._conditions.reworded(identity.source(source), time_ns)
        return events

    def refused(self, time_ns: int, data: Mapping[str, Any]) -> list[Event]:
        """What a source says of its addresses that are refused, of all that are by now."""
        source, told = str(data.get("source", "")), data.get("tags")
        if source not in self._tags or not isinstance(told, Mapping):
            return []
        self.refusals[source] = {
            name: str(told[name]) for name in sorted(self._tags[source]) if name in told
        }
        subjects = [*map(identity.tag, self.refusals[source]), identity.source(source)]
        return [event for one in subjects for event in self._conditions.reworded(one, time_ns)]

    def refusal(self, tag: TagSpec) -> str:
        """Why a tag's address is refused; what it may be, where its source did not say."""
        return self.refusals.get(tag.source, {}).get(tag.name, tag.refusal)

    def _mostly_silent(self, source: str) -> bool:
        tags = len(self._tags[source])
        return tags > 1 and len(self._silent[source]) >= MOST_SILENT * tags

    def _note(self, tag: str) -> None:
        """Keep the tags of each source that give nothing usable, so that none is counted again."""
        condition = self._conditions.active.get(identity.tag(tag))
        silent = self._silent[self._spec.tag_of[tag].source]
        if condition is not None and condition.lost:
            silent.add(tag)
        else:
            silent.discard(tag)

    def _finding(self, source: str, what: str, time_ns: int, *, up: bool) -> list[Event]:
        subject, key = identity.source(source), FindingKey(what)
        known = self._conditions.active.get(subject)
        tags = self._tags[source]
        if up == (known is not None and key in known.findings) or (up and not tags):
            return []  # nothing new; or nothing is read from it, so that nobody misses it
        interval_ns = min(
            (self._spec.tag_of[name].interval_ns for name in tags), default=1_000_000_000
        )
        events = self._conditions.finding(Finding(
            subject, key, up, time_ns, 1.0, self.users[source], interval_ns,
            on_delay_ns(interval_ns, key.traits.on_delay),
        ))
        self._conditions.refresh((identity.tag(tag) for tag in tags), time_ns)
        return events

    # --- looking in -----------------------------------------------------------------------------

    def is_lost(self, source: str) -> bool:
        """Whether a source has a condition that still holds."""
        condition = self._conditions.active.get(identity.source(source))
        return condition is not None and any(not key.of_contract for key in condition.findings)

    def is_silent(self, source: str) -> bool:
        """Whether a source is lost and nothing arrives from it: not even what can not be used."""
        return self.is_lost(source) and (
            self.states.get(source, ("", "", 0))[0] in LOST_STATES
            or self._commonest(source)[0] in _NOTHING_COMES
        )

    def name(self, source: str) -> Diagnosis:
        """How people read what a source has."""
        state, reason, _ = self.states.get(source, ("", "", 0))
        if state not in LOST_STATES:
            symptom, example = self._commonest(source)
            if example is not None and symptom not in _NOTHING_COMES:
                return group_alike(symptom, example)
            reason = _NOTHING_COMES[symptom]
            reason = f"it answers, but {reason}" if state == "live" else reason
        return group_text(source, reason, len(self._tags[source]))

    def _commonest(self, source: str) -> tuple[Symptom, TagSpec | None]:
        """What most of its unusable tags have, and one that has it."""
        found: Counter[Symptom] = Counter()
        example: dict[Symptom, TagSpec] = {}
        for tag in sorted(self._silent[source]):
            condition = self._conditions.active[identity.tag(tag)]
            for key in sorted(condition.findings):
                if key.traits.transport:
                    found[key.symptom] += 1
                    example.setdefault(key.symptom, self._spec.tag_of[tag])
        most = max(found, key=lambda symptom: (found[symptom], symptom), default=Symptom.SILENT)
        one = example.get(most)
        return most, None if one is None else replace(one, refusal=self.refusal(one))

    # --- what lasts -----------------------------------------------------------------------------

    def subjects(self) -> set[Subject]:
        """Every source as a subject."""
        return {identity.source(name) for name in self._tags}

    def to_json(self) -> dict[str, Any]:
        """All state but `refusals`, JSON-ready, in a fixed order; who is silent follows from
        conditions.
        """
        return {name: list(state) for name, state in sorted(self.states.items())}

    def from_json(self, document: Mapping[str, Any], refusals: Mapping[str, Any]) -> None:
        """Take state from `to_json` and `refusals`, as far as these sources are configured."""
        self.refusals = {
            name: {tag: str(why) for tag, why in told.items() if tag in self._tags[name]}
            for name, told in refusals.items() if name in self._tags
        }
        self.states = {
            name: (str(state), str(reason), int(since))
            for name, (state, reason, since) in document.items() if name in self._tags
        }

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: all times move."""
        self.states = {
            name: (state, reason, since + shift_ns)
            for name, (state, reason, since) in self.states.items()
        }

    def resumed(self, now: int) -> None:
        """Conditions were taken from a snapshot: count anew who is silent, perhaps of other tags.

        That most of a source's tags are silent is forgotten where it no longer is so; those that
        were held back for it are no longer.
        """
        for tag in self._spec.tags:
            self._note(tag.name)
        silent = FindingKey(TAGS_SILENT)
        spoke = {
            subject for subject, condition in self._conditions.active.items()
            if silent in condition.findings and not self._mostly_silent(subject.name)
        }
        self._conditions.forget(lambda subject, key: subject in spoke and key == silent, now)
        for subject in spoke:
            self._conditions.refresh(map(identity.tag, self._tags[subject.name]), now)
