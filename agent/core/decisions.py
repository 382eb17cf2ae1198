"""What people decide on changes upstream, and tell ahead of them: one function a command. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from agent.core import change as life
from agent.core.change import Change, Key
from agent.core.timers import whole_ns
from agent.types import Event


class Register(Protocol):
    """What there is to decide on: see `agent.core.changes.Changes`."""

    known: dict[str, Change]
    sources: dict[str, dict[str, Any]]

    def present(self, source: str) -> set[Key]:
        """What is different at a source, as told last."""

    def hold_of(self, source: str, grade: str) -> str:
        """What its policy does with a difference."""

    def new_id(self, source: str) -> str:
        """Names one more change."""

    def source_of(self, tag: str) -> str:
        """Whose a tag is; empty where there is no such tag."""

    def expect(self, one: Change) -> None:
        """What a change is about is there again, as far as is known."""

    def has_source(self, name: str) -> bool:
        """Whether there is such a source."""

    def users(self, tags: Iterable[str]) -> tuple[str, ...]:
        """The models that use any of these tags."""

    def take_differences(self, one: Change, found: Sequence[dict[str, Any]]) -> None:
        """Make a change one of these differences."""

    def release(self, one: Change, now: int) -> None:
        """The tags of a change count again."""

    def end(self, one: Change, now: int, why: str, state: str = ...) -> Event:
        """A change is over."""


Act = Callable[[Register, int, Mapping[str, Any], int], list[Event]]


def approve(register: Register, now: int, data: Mapping[str, Any], sequence: int) -> list[Event]:
    """A person approves for one side or more; with a map, or what is there as it is.

    An approval is of its map: another one makes those before it void.
    """
    one = register.known.get(str(data.get("change", "")))
    if one is None or one.state not in life.UNDECIDED or not _signed(data):
        return []
    if data.get("revision", one.revision) != one.revision:  # it has grown meanwhile
        return []
    given = data.get("map")
    wanted = {str(tag): dict(part) for tag, part in given.items()} if given else None
    if wanted is None and one.approvals:
        wanted = one.map
    if wanted != one.map:
        one.approvals = []
    one.map = wanted
    one.needs = tuple(data.get("needs", one.needs))
    sides = [str(side) for side in data.get("sides", ())] or list(one.needs) or [""]
    known = {approval["side"] for approval in one.approvals}
    who = _signed(data)
    one.approvals += [
        {"side": side, "at_ns": now, **who} for side in sides if side not in known
    ]
    if one.lacking:
        return [one.event("approved by one side", now, {**who, "sides": sides})]
    one.state = life.APPROVED
    # What is approved ahead is in force once it is there.
    ahead = one.is_proposal and bool(one.differences)
    waits = ahead and not one.keys <= register.present(one.source)
    one.in_force_from = 0 if waits else sequence
    if not waits:
        register.release(one, now)
    return [one.event("approved", now, {**who, "sides": sides})]


def reject(register: Register, now: int, data: Mapping[str, Any], _: int) -> list[Event]:
    """What is there is not wanted: it stays held until reality is as agreed. A proposal is over."""
    one = register.known.get(str(data.get("change", "")))
    if one is None or one.state not in life.UNDECIDED or not _signed(data):
        return []
    one.approvals, one.map = [], None
    one.state = life.REJECTED
    one.ended_ns = now if one.is_proposal else 0
    return [one.event("rejected", now, _signed(data))]


def revert(register: Register, now: int, data: Mapping[str, Any], _: int) -> list[Event]:
    """What was approved or rejected is undecided again; an announcement is withdrawn."""
    one = register.known.get(str(data.get("change", "")))
    if one is None or not one.live or one.state in life.UNDECIDED or not _signed(data):
        return []
    told = _signed(data) | {"reverted": one.map}
    if one.state == life.ANNOUNCED:
        one.state, one.ended_ns = life.ENDED, now
        return [one.event("reverted", now, told)]
    ahead = one.is_proposal
    if one.read_otherwise:
        register.expect(one)
    one.state = life.PROPOSED if ahead else life.DETECTED
    one.approvals, one.map, one.in_force_from = [], None, 0
    if not ahead and not _is_there(register, one):
        register.end(one, now, why := "nothing of it is different any more")
        return [one.event("reverted", now, told | {"why": why})]
    if not ahead:
        in_values = one.how == life.IN_VALUES
        one.hold = life.NOT_HELD if in_values else register.hold_of(one.source, one.grade)
    return [one.event("reverted", now, told)]


def _is_there(register: Register, one: Change) -> bool:
    """Whether anything is left of a change to decide on: else nothing would ever end it."""
    if one.source not in register.sources:
        return False
    return one.how == life.IN_VALUES or not one.keys.isdisjoint(register.present(one.source))


def assessed(register: Register, now: int, data: Mapping[str, Any], _: int) -> list[Event]:
    """A replay showed what it does to models and verdicts."""
    one = register.known.get(str(data.get("change", "")))
    found = data.get("assessment")
    if one is None or not one.live or not isinstance(found, Mapping):
        return []
    one.assessment = dict(found)
    if one.state in life.UNDECIDED:
        one.state = life.ASSESSED
    told = {"by": str(data["by"])} if data.get("by") else {}
    return [one.event("assessed", now, told)]


def propose(register: Register, now: int, data: Mapping[str, Any], _: int) -> list[Event]:
    """What somebody means to change: differences to come, and the map that they will need."""
    document = data.get("change")
    if not isinstance(document, Mapping) or not _signed(data):
        return []
    source = str(document.get("source", ""))
    if not register.has_source(source):
        return []
    wanted = {str(tag): dict(part) for tag, part in (document.get("map") or {}).items()}
    one = Change(
        register.new_id(source), life.PROPOSED, life.PROPOSED, source, (), (), "breaking", [], "",
        now, needs=tuple(data.get("needs", ())), suggested=wanted or None,
        expires_ns=now + whole_ns(data.get("expires_after_ns")),
    )  # fmt: skip
    if found := [dict(each) for each in document.get("differences", ())]:
        register.take_differences(one, found)
        one.hold = life.NOT_HELD
    one.tags = tuple(sorted({*one.tags, *wanted, *map(str, document.get("tags", ()))}))
    one.models = register.users(one.tags)
    one.document = dict(document.get("document") or {}) or None
    one.text = str(document.get("text") or one.text or data["note"])
    register.known[one.id] = one
    return [one.event("proposed", now, _signed(data))]


def announce(register: Register, now: int, data: Mapping[str, Any], _: int) -> list[Event]:
    """Planned maintenance: what comes in its window is masked, and nothing of it is held."""
    window = life.time_of(data.get("from_ns")), life.time_of(data.get("until_ns"))
    asked = [str(name) for name in data.get("tags", ()) if register.source_of(str(name))]
    if not asked or not max(window[0], now) < window[1] or not _signed(data):
        return []
    events = []
    for source in sorted({register.source_of(name) for name in asked}):
        tags = tuple(sorted(name for name in asked if register.source_of(name) == source))
        one = Change(
            register.new_id(source), life.ANNOUNCED, life.ANNOUNCED, source, tags,
            register.users(tags), "", [], str(data["note"]), now, window[0], window=window,
            announced_by=str(data["by"]),
        )  # fmt: skip
        register.known[one.id] = one
        events.append(one.event("announced", now, _signed(data)))
    return events


def _signed(data: Mapping[str, Any]) -> dict[str, str]:
    """Who decides, and why; empty where either is missing: then nothing is decided."""
    by, note = str(data.get("by", "")), str(data.get("note", ""))
    return {"by": by, "note": note} if by and note else {}


DECISIONS: Final[Mapping[str, Act]] = {
    "approve": approve, "reject_change": reject, "revert": revert, "assessed": assessed,
    "propose": propose, "announce": announce,
}  # fmt: skip
"""Kind of a command -> what it does."""
