"""A change upstream: differences of one source that came together, and what became of them.

A change is detected (by what its source tells, or in the values), proposed or announced; assessed;
then approved, rejected or expired, or it ended because reality is as agreed again. While it is open
its tags may be held: their samples are journaled with the quality bit ``contract broken``, set at
the edge, and count for nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from agent.types import Event

DETECTED, PROPOSED, ASSESSED = "detected", "proposed", "assessed"
APPROVED, REJECTED, EXPIRED, ENDED = "approved", "rejected", "expired", "ended"
ANNOUNCED: Final = "announced"
UNDECIDED: Final = frozenset({DETECTED, PROPOSED, ASSESSED})
LIVE: Final = UNDECIDED | {APPROVED, REJECTED, ANNOUNCED}
"""States from which a change goes on; the others are its end."""

HELD, WOULD_HOLD, NOT_HELD = "held", "would hold", "none"
IN_VALUES: Final = "values"
"""How a change was found that no protocol tells."""

REBINDING: Final = frozenset({"address", "data_type"})
"""Parts of a tag's map by which its source is read otherwise."""

CONVERTING: Final = frozenset({"unit", "factor", "offset"})
"""Parts of a tag's map that are one conversion, from what is served to what was agreed."""

_UNIT: Final = "served unit"
_UNIT_CODE: Final = "served unit_id"
_NOT_TOLD: Final = (
    "held_tags", "document", "suggested", "figures", "ended_ns", "begun", "seen",
    "announced_by",  # the event of the announcement has it as `by`
)
_NAMED: Final = 3  # differences in one line of text
_SHOWN: Final = 200  # tags and differences in an event

Key = tuple[str, str, str]
"""Subject, term, and what it is now, as text: two differences of one key are the same."""


def key_of(difference: Mapping[str, Any]) -> Key:
    """What makes a difference the same as another."""
    now = difference.get("now")
    told = json.dumps(now, sort_keys=True) if isinstance(now, dict | list | tuple) else repr(now)
    return str(difference["subject"]), str(difference["term"]), told


def over(before: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """A tag's map with a later one over it; a conversion is taken whole, never half of each."""
    gone = CONVERTING if CONVERTING & part.keys() else frozenset()
    return {key: value for key, value in before.items() if key not in gone} | dict(part)


@dataclass(slots=True)
class Change:
    """One change; times are engine ns, 0 where there is none.

    Attributes:
        how: by what it came: as in `Served.how`, ``values``, ``proposed`` or ``announced``.
        tags: those that it names, `held_tags` those of them that are, or would be, held.
        models: those that it touches, by name.
        differences: of `agent.contract.differences.Difference`, JSON-ready; what was found in
            values has the term ``values``.
        hold: ``held``, ``would hold`` (told only) or ``none``.
        assessment: what a replay with it applied showed.
        approvals: side, by, at_ns and note of each that was given for `map`.
        needs: the sides that must approve.
        map: of each tag what the edge does so that models see what they were trained on.
        document: of a proposal, as `agent.contract.proposal` checks it.
        suggested: the map that explains what was found in values.
        figures: of what was found in values.
        in_force_from: number of the entry behind which the map is in force; 0: it is not.
        window: of a planned maintenance, from and until.
        announced_by: who announced that.
        ended_ns: since when it is over.
        begun: whether the window has.
        seen: whether what was proposed was seen to be there.
    """

    id: str
    state: str
    how: str
    source: str
    tags: tuple[str, ...]
    models: tuple[str, ...]
    grade: str
    differences: list[dict[str, Any]]
    text: str
    found_ns: int
    since_ns: int = 0
    hold: str = NOT_HELD
    held_tags: tuple[str, ...] = ()
    assessment: dict[str, Any] | None = None
    approvals: list[dict[str, Any]] = field(default_factory=list)
    needs: tuple[str, ...] = ()
    map: dict[str, dict[str, Any]] | None = None
    document: dict[str, Any] | None = None
    suggested: dict[str, dict[str, Any]] | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    in_force_from: int = 0
    window: tuple[int, int] | None = None
    expires_ns: int = 0
    ended_ns: int = 0
    begun: bool = False
    seen: bool = False
    announced_by: str = ""

    @property
    def live(self) -> bool:
        """Whether it is not over."""
        return self.state in LIVE and not self.ended_ns

    @property
    def is_proposal(self) -> bool:
        """Whether it was told ahead, and nothing of it has been seen."""
        return self.how == PROPOSED and not self.seen

    @property
    def open(self) -> bool:
        """Whether it waits for somebody to decide, or for reality to be as agreed."""
        return self.state in UNDECIDED or (self.state == REJECTED and not self.ended_ns)

    @property
    def holds(self) -> bool:
        """Whether its tags are held right now."""
        return self.hold == HELD and self.open

    @property
    def in_force(self) -> bool:
        """Whether it was approved and applies."""
        return self.state == APPROVED and self.in_force_from > 0

    @property
    def read_otherwise(self) -> set[Key]:
        """Those of its differences that go because its map has the source read a tag otherwise.

        Not the unit that its map converts from: where that goes, the conversion is wrong.
        """
        found: set[Key] = set()
        for tag, part in (self.map or {}).items():
            if REBINDING & part.keys():
                stay = CONVERTING & part.keys()
                found |= {
                    key_of(one) for one in self.differences if one["subject"] == f"tag/{tag}"
                    and not (stay and one["term"] == _UNIT and one["now"])
                }
        return found

    @property
    def keys(self) -> set[Key]:
        """Those of its differences."""
        return {key_of(one) for one in self.differences}

    @property
    def revision(self) -> str:
        """Names what is different, and the map that explains it: 8 hexadecimal digits.

        Who approves says what they saw by it: a change that has grown since is another one.
        """
        told = json.dumps([sorted(self.keys), self.suggested], sort_keys=True)
        return hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()[:8]

    @property
    def takes_more(self) -> bool:
        """Whether further differences of what it is about are part of it: it is undecided."""
        return self.state in {DETECTED, ASSESSED} and not self.is_proposal

    @property
    def lacking(self) -> tuple[str, ...]:
        """The sides that have not approved yet."""
        given = {one["side"] for one in self.approvals}
        return tuple(side for side in self.needs if side not in given)

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: move all its times by so much, but what a person named."""
        for name in ("found_ns", "since_ns", "expires_ns", "ended_ns"):
            if time_ns := getattr(self, name):
                setattr(self, name, time_ns + shift_ns)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        made = {name: getattr(self, name) for name in Change.__slots__}
        listed = {name: list(made[name]) for name in ("tags", "models", "held_tags", "needs")}
        return made | listed | {"window": list(self.window) if self.window else None}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Change:
        """From `to_json`."""
        made = {name: document[name] for name in Change.__slots__ if name in document}
        for name in ("tags", "models", "held_tags", "needs"):
            made[name] = tuple(made.get(name, ()))
        for name in ("differences", "approvals"):
            made[name] = [dict(one) for one in made.get(name, ())]
        window = made.get("window")
        made["window"] = (int(window[0]), int(window[1])) if window else None
        return Change(**made)

    def event(self, change: str, now: int, more: Mapping[str, Any] | None = None) -> Event:
        """What people are told of what happened to it; long lists are cut."""
        data: dict[str, Any] = {"change": change, "hint": self.hint}
        data |= self.to_json()
        data |= {
            "tags": list(self.tags[:_SHOWN]), "differences": self.differences[:_SHOWN],
            "tag_count": len(self.tags), "needs": list(self.lacking),
        }
        for name in _NOT_TOLD:
            del data[name]
        return Event("change", now, f"source/{self.source}", data | dict(more or {}))

    @property
    def hint(self) -> str:
        """What a person does about it."""
        see = f"fieldwarden change show CONFIG {self.id}"
        if self.state == REJECTED and self.live:
            return f"put {self.source} back to what was agreed: {see}"
        if self.state in UNDECIDED:
            return f"look at it, then approve or reject it: {see}"
        return ""


def time_of(value: Any) -> int:
    """An engine time in ns out of a command's data; 0 where it is none."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 1 << 62 else 0


def text_of(differences: Sequence[Mapping[str, Any]]) -> str:
    """One line of what is different, what breaks first; of a unit its name, not its code too."""
    units = {one["subject"] for one in differences if one.get("term") == _UNIT}
    shown = [
        one for one in differences
        if one.get("term") != _UNIT_CODE or one["subject"] not in units
    ]
    told = [str(one["text"]) for one in shown[:_NAMED]]
    more = len(shown) - _NAMED
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")
