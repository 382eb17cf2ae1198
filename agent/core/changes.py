"""Changes upstream, folded from commands: what is open, who decided what, and what is held.

A source's differences come whole, with the command ``contract``, journaled before the first sample
that comes after them; what no protocol tells is found in the values (`found_in_values`). People
decide with ``approve``, ``reject_change`` and ``revert``; they tell ahead with ``propose`` and
``announce``; ``assessed`` brings what a replay showed.

Invariants:
- a difference is part of one live change at most. One that is gone leaves its change, and the last
  of them ends it. An approved change stands while reality is as it was approved; where it is not,
  it ends, its map with it, and what is left is a change of its own. Where the map has the source
  read otherwise, its differences are expected to go, and people alone end it; so also where the
  contract was made anew with what is served by now.
- what is held here follows from the state alone, so the edges can set their gate from it at a
  start; that they set it earlier, as they journal a command, makes no difference here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from agent.core import change as life
from agent.core.change import Change, key_of, text_of
from agent.core.compared import GRADES, compare
from agent.core.decisions import DECISIONS, Act
from agent.core.spec import EngineSpec
from agent.types import Event

ACTS: Final[Mapping[str, Act]] = {"contract": compare, **DECISIONS}
"""Kind of a command -> what it does."""

KINDS: Final = frozenset(ACTS)
"""The commands that it takes."""

ENDED_KEPT: Final = 50
"""Changes that are over and still known."""

TOGETHER_NS: Final = 600 * 1_000_000_000
"""What is found in the values of tags of one source within so long is one change, if it is of one
kind: a register map that shifts is no twenty changes."""

_LATEST: Final = 1 << 62


class Changes:
    """All changes of one gateway.

    Args:
        spec: what is guarded.
        released: told of each change whose tags count again: it was approved, or ended.

    Attributes:
        known: by id, the live ones and the last that are over, oldest first.
        sources: of each governed source its policy and all its differences, as told last.
        taken: commands that were folded, ever.
        version: grows with every change of what is known, so that nobody compares it all.
        next_due_ns: when something happens by time alone: a proposal expires, a window begins.
    """

    def __init__(
        self, spec: EngineSpec, released: Callable[[Change, int], None] = lambda _, __: None
    ) -> None:
        self._spec, self._released = spec, released
        self._tags: dict[str, list[str]] = {name: [] for name in spec.sources}
        for tag in spec.tags:
            self._tags.setdefault(tag.source, []).append(tag.name)
        self.known: dict[str, Change] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        self.taken = self.version = 0
        self.next_due_ns = _LATEST
        self._count = 0

    # --- what a source tells ----------------------------------------------------------------------

    def command(
        self, kind: str, now: int, data: Mapping[str, Any], sequence: int
    ) -> list[Event]:
        """Fold one of `KINDS`; `sequence` is its entry's number. Unknown kinds change nothing."""
        if kind not in KINDS:
            return []
        self.taken += 1
        return self._after(ACTS[kind](self, now, data, sequence))

    def _after(self, events: list[Event]) -> list[Event]:
        self.version += 1
        self.next_due_ns = self._next()
        over = [one.id for one in self.known.values() if not one.live]
        for name in over[:-ENDED_KEPT]:
            del self.known[name]
        return events

    def take_differences(self, one: Change, found: Sequence[dict[str, Any]]) -> None:
        """Make a change one of these differences, with all that follows from them.

        What one side approved is void where they are not what that side saw; where there are more,
        nobody has decided on these, nor assessed them.
        """
        before, now = one.keys, {key_of(each) for each in found}
        if before and now != before and one.state in life.UNDECIDED:
            one.approvals, one.map = [], None
            if now - before:
                one.state, one.assessment = life.DETECTED, None
        one.differences = sorted(
            found, key=lambda each: (-GRADES.index(each["grade"]), key_of(each))
        )
        one.grade = one.differences[0]["grade"]
        one.hold, one.text = self.hold_of(one.source, one.grade), text_of(one.differences)
        if one.how == life.IN_VALUES:  # the evidence is of chance: a model is not trusted, a person
            one.hold = life.NOT_HELD  # is asked, and nothing is thrown away
        one.models = tuple(sorted({name for each in found for name in each["models"]}))
        breaking = [each for each in found if each["grade"] == "breaking"]
        one.tags = self._tags_of(one.source, found)
        one.held_tags = self._tags_of(one.source, breaking)

    def _tags_of(self, source: str, found: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
        """The tags that differences are about; of the source itself, all that it has."""
        names: set[str] = set()
        for each in found:
            place, _, name = str(each["subject"]).partition("/")
            names.update([name] if place == "tag" else self._tags.get(source, ()))
        return tuple(sorted(names))

    def hold_of(self, source: str, grade: str) -> str:
        """What the policy of a source does with a difference of a grade."""
        policy = self.sources.get(source)
        if policy is None or grade != "breaking" or policy["compatibility"] == "none":
            return life.NOT_HELD
        return life.HELD if policy["hold"] == "hold" else life.WOULD_HOLD

    def new_id(self, source: str) -> str:
        """Names one more change."""
        self._count += 1
        return f"{source}-{self._count}"

    # --- what values show -------------------------------------------------------------------------

    def found_in_values(
        self, now_ns: int, tag: str, what: str, onset_ns: int, figures: Mapping[str, Any],
        suggested_map: Mapping[str, Mapping[str, Any]] | None,
    ) -> list[Event]:
        """Something in a tag's values that no protocol tells, and that breaks the contract.

        Nothing where its source is under no contract, or where a change that is open names the tag.

        Args:
            now_ns: engine time at which it was found.
            tag: where.
            what: what it is, in words, such as "unit or scale changed".
            onset_ns: since when, as far as can be told.
            figures: of the evidence, JSON-ready; `text` of them is what people read.
            suggested_map: tag -> map (`factor`, `offset`, `swap_with` ...) that explains it; the
                tags of it are touched, and so are all models that use one of them.
        """
        source = self._spec.tag_of[tag].source
        policy = self.sources.get(source)
        if policy is None or any(one.open and tag in one.tags for one in self.known.values()):
            return []
        found = {
            "subject": f"tag/{tag}", "source": source, "term": life.IN_VALUES, "was": None,
            "now": what, "grade": "breaking",
            "models": list(self.users([tag, *(suggested_map or {})])),
            "text": str(figures.get("text") or f"{tag}: {what}, seen in its values"),
        }  # fmt: skip
        one = self._joined(source, what, now_ns) or Change(
            self.new_id(source), life.DETECTED, life.IN_VALUES, source, (), (), "", [], "", now_ns,
            onset_ns, needs=tuple(policy["needs"]),
        )  # fmt: skip
        is_new = one.id not in self.known
        self.known[one.id] = one
        self.take_differences(one, [*one.differences, found])
        also = tuple(sorted({*one.tags, *(suggested_map or {})}))
        one.tags = one.held_tags = also
        one.since_ns = min(one.since_ns or onset_ns, onset_ns)
        one.figures |= {tag: dict(figures)}
        if fresh := self._from_served(suggested_map or {}):
            one.suggested = (one.suggested or {}) | fresh
        return self._after([one.event("detected" if is_new else "updated", now_ns)])

    def _from_served(
        self, found: Mapping[str, Mapping[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Maps that were found in values which maps in force converted, as maps of what is served.

        None of tags that would be swapped again: that is to take the swap back.
        """
        maps, made = self.maps(), {}
        for tag, part in found.items():
            known = maps.get(tag, {})
            if "swap_with" in part and part["swap_with"] == known.get("swap_with"):
                continue
            made[tag] = dict(part)
            if {"factor", "offset"} & part.keys() and {"factor", "offset"} & known.keys():
                by = float(part.get("factor", 1.0))
                factor, offset = known.get("factor", 1.0), known.get("offset", 0.0)
                made[tag] = {key: value for key, value in part.items() if key != "unit"} | {
                    "factor": factor * by, "offset": offset * by + part.get("offset", 0.0)
                }
        return made

    def _joined(self, source: str, what: str, now: int) -> Change | None:
        """The undecided change of the same kind that this is part of."""
        for one in reversed(self.known.values()):
            alike = one.how == life.IN_VALUES and one.differences[0]["now"] == what
            if alike and one.source == source and one.state == life.DETECTED:
                return one if now - one.found_ns <= TOGETHER_NS else None
        return None

    def as_agreed(self, name: str, now_ns: int) -> list[Event]:
        """The values of a change's tags are as agreed again: it ends."""
        one = self.known.get(name)
        if one is None or not one.open:
            return []
        return self._after([self.end(one, now_ns, "the values are as agreed again")])

    def end(self, one: Change, now: int, why: str, state: str = life.ENDED) -> Event:
        """A change is over, and its tags count again."""
        one.state, one.ended_ns, one.in_force_from = state, now, 0
        self.release(one, now)
        return one.event(state, now, {"why": why})

    # --- time -------------------------------------------------------------------------------------

    def _next(self) -> int:
        return min((self._due(one) for one in self.known.values() if one.live), default=_LATEST)

    @staticmethod
    def _due(one: Change) -> int:
        if one.state in life.UNDECIDED and one.expires_ns:
            return one.expires_ns
        if one.state != life.ANNOUNCED or one.window is None:
            return _LATEST
        return one.window[1] if one.begun else one.window[0]

    def fire(self, now: int) -> list[Event]:
        """What is due by `now`."""
        events: list[Event] = []
        for one in [one for one in self.known.values() if one.live and self._due(one) <= now]:
            if one.state != life.ANNOUNCED:
                events.append(self.end(one, now, "nothing came of it", life.EXPIRED))
            elif not one.begun:
                one.begun = True
                events.append(one.event("begun", now))
            else:
                events.append(self.end(one, now, "the window is over"))
        return self._after(events)

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew; windows stay: people named them by the clock."""
        for one in self.known.values():
            one.move(shift_ns)
        for policy in self.sources.values():
            policy["first_ns"] += shift_ns
        self._after([])

    # --- for decisions ----------------------------------------------------------------------------

    def present(self, source: str) -> set[life.Key]:
        """What is different at a source, as told last."""
        return {key_of(found) for found in self.sources.get(source, {}).get("differences", ())}

    def expect(self, one: Change) -> None:
        """What a change is about is there again, as far as is known: its source is to tell anew."""
        policy = self.sources.get(one.source)
        if policy is not None:
            known = {key_of(found) for found in policy["differences"]}
            policy["differences"] = [
                *policy["differences"],
                *(found for found in one.differences if key_of(found) not in known),
            ]

    def has_source(self, name: str) -> bool:
        """Whether there is such a source."""
        return name in self._tags

    def source_of(self, tag: str) -> str:
        """Whose a tag is; empty where there is no such tag."""
        found = self._spec.tag_of.get(tag)
        return found.source if found is not None else ""

    def users(self, tags: Iterable[str]) -> tuple[str, ...]:
        """The models that use any of these tags, by name."""
        names = set(tags)
        return tuple(
            sorted(model.name for model in self._spec.models if not names.isdisjoint(model.tags))
        )

    def release(self, one: Change, now: int) -> None:
        """The tags of a change count again: it was approved, or is over."""
        self._released(one, now)

    # --- looking in -------------------------------------------------------------------------------

    def holding(self) -> dict[str, Change]:
        """Tag -> the change for which it is held right now."""
        return {
            tag: one for one in self.known.values() if one.holds for tag in one.held_tags
            if tag in self._spec.tag_of
        }

    def maintained(self) -> dict[str, Change]:
        """Tag -> the planned maintenance in whose window it is right now."""
        return {
            tag: one for one in self.known.values()
            if one.state == life.ANNOUNCED and one.begun for tag in one.tags
        }

    def window_due_ns(self) -> int:
        """When a window begins or ends next."""
        windows = [one for one in self.known.values() if one.live and one.window is not None]
        return min(map(self._due, windows), default=_LATEST)

    def maps(self) -> dict[str, dict[str, Any]]:
        """Tag -> the maps in force of it, the later one over the earlier."""
        found: dict[str, dict[str, Any]] = {}
        for one in self.known.values():
            if one.in_force and one.map:
                for tag, part in one.map.items():
                    found[tag] = life.over(found.get(tag, {}), part)
        return found

    def shown(self) -> list[dict[str, Any]]:
        """All that are known as people see them, live ones first, then the newest; JSON-ready."""
        order = sorted(self.known.values(), key=lambda one: (not one.live, -one.found_ns))
        models = {model.name: model for model in self._spec.models}
        return [
            one.to_json() | {
                "needs": list(one.lacking) if one.state in life.UNDECIDED else [],
                "hint": one.hint, "revision": one.revision,
                "models": [
                    {"name": name, "version": models[name].version, "owner": models[name].owner}
                    for name in one.models if name in models
                ],
            }
            for one in order
        ]

    # --- what lasts -------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """All state, JSON-ready, in a fixed order."""
        return {
            "known": [one.to_json() for one in self.known.values()],
            "sources": {name: dict(told) for name, told in sorted(self.sources.items())},
            "count": self._count, "taken": self.taken,
        }

    def from_json(self, document: Mapping[str, Any]) -> None:
        """Take state from `to_json`, as far as the present configuration has it.

        A change of a source that is gone is gone; a tag that is gone, or another source's by now,
        leaves its changes, with what was different of it.
        """
        self.sources = {
            name: dict(told) for name, told in document.get("sources", {}).items()
            if name in self._tags
        }
        found = (Change.from_json(one) for one in document.get("known", ()))
        kept = (self._kept(one) for one in found if one.source in self._tags)
        self.known = {one.id: one for one in kept if one is not None}
        self._count = int(document.get("count", 0))
        self.taken = int(document.get("taken", 0))
        self._after([])

    def _kept(self, one: Change) -> Change | None:
        here = set(self._tags[one.source])
        if here.issuperset(one.tags):
            return one
        models = {model.name for model in self._spec.models}
        fresh = replace(
            one, tags=tuple(tag for tag in one.tags if tag in here),
            held_tags=tuple(tag for tag in one.held_tags if tag in here),
            models=tuple(name for name in one.models if name in models),
            differences=[
                each for each in one.differences
                if not each["subject"].startswith("tag/") or each["subject"][4:] in here
            ],
        )
        return fresh if fresh.tags else None

