"""What a source tells now, beside the changes that are known of it: the command ``contract``. Pure.

It brings all differences of a source at once. Those that belong to a live change stay with it; a
change whose differences are gone is over, but where others have come of the same tags; what belongs
to none becomes a change, or is only told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from agent.core import change as life
from agent.core.change import Change, Key, key_of, text_of, time_of
from agent.core.decisions import Register
from agent.types import Event

AS_AGREED: Final = "reality is as agreed again"
OTHER: Final = "reality is other than was approved"
NO_CONTRACT: Final = "there is no contract any more"

GRADES: Final = ("additive", "compatible", "breaking")
_DECIDED: Final[Mapping[str, Collection[str]]] = {
    "full": GRADES, "backward": ("breaking",), "none": ("breaking",),
}
"""Compatibility of a source, in the words of schema registries -> grades that are to be decided."""

Present = Mapping[Key, dict[str, Any]]


def compare(register: Register, now: int, data: Mapping[str, Any], sequence: int) -> list[Event]:
    """Take the differences of one source, and its policy as of now."""
    source = str(data.get("source", ""))
    if not register.has_source(source):
        return []
    if not data.get("contract"):
        return _without(register, source, now)
    present = {key_of(one): dict(one) for one in data.get("differences", ())}
    was = register.sources.get(source, {})
    if was and was["contract"] != data["contract"]:
        _renewed(register, source, present)
    register.sources[source] = {
        "first_ns": int(was.get("first_ns", now)), "contract": str(data.get("contract", "")),
        "compatibility": str(data.get("compatibility", "backward")),
        "hold": str(data.get("hold", "report")), "needs": list(data.get("needs", ())),
        "how": str(data.get("how", "")), "differences": list(present.values()),
    }  # fmt: skip
    decided = _DECIDED.get(register.sources[source]["compatibility"], ("breaking",))
    events = _by_policy(register, source, now)
    told_of = [
        one for one in register.known.values()
        if one.live and one.source == source and one.how != life.IN_VALUES and one.differences
    ]
    covered = {key for one in told_of for key in _covered(one, present)}
    about: dict[str, set[Key]] = {}
    for key, found in present.items():
        if found["grade"] in decided:
            about.setdefault(key[0], set()).add(key)
    for one in told_of:
        subjects = {key[0] for key in one.keys} if one.takes_more else set()
        more = {key for name in subjects for key in about.get(name, ())} - covered
        covered |= more
        events += _beside(register, one, present, more, now, sequence)
        if not one.live:
            covered -= one.keys
    events += _absorbed(register, source, now)
    fresh = [found for key, found in present.items() if key not in covered]
    if asked := [found for found in fresh if found["grade"] in decided]:
        events.append(_opened(register, source, asked, data, now))
    before = {key_of(one) for one in was.get("differences", ())}
    told = [one for one in fresh if one["grade"] not in decided and key_of(one) not in before]
    return [*events, _noticed(source, told, now)] if told else events


def _covered(one: Change, present: Present) -> set[Key]:
    """The present differences that a change is about; a proposal, once all of them are there."""
    left = one.keys & present.keys()
    return set() if one.is_proposal and left != one.keys else left


def _absorbed(register: Register, source: str, now: int) -> list[Event]:
    """What came in parts, and was opened so, is over once all that was proposed is there."""
    live = [one for one in register.known.values() if one.live and one.source == source]
    came = [one for one in live if one.how == life.PROPOSED and one.seen]
    return [
        register.end(part, now, f"it is what was proposed: {one.id}")
        for one in came for part in live
        if part.takes_more and part.differences and part is not one and part.keys <= one.keys
    ]


def _by_policy(register: Register, source: str, now: int) -> list[Event]:
    """What was found in values is held as the policy says by now."""
    hold = register.hold_of(source, "breaking")
    found = [
        one for one in register.known.values()
        if one.source == source and one.how == life.IN_VALUES and one.open and one.hold != hold
    ]
    for one in found:
        one.hold = hold
    return [one.event("updated", now) for one in found]


def _without(register: Register, source: str, now: int) -> list[Event]:
    """There is no contract any more: nothing of it is held; what people approved goes on."""
    register.sources.pop(source, None)
    over = [one for one in register.known.values()
            if one.source == source and one.open and not one.is_proposal]  # fmt: skip
    return [register.end(one, now, NO_CONTRACT) for one in over]


def _renewed(register: Register, source: str, present: Present) -> None:
    """The contract was made anew: a map in force stays though what it converts is agreed by now."""
    for one in register.known.values():
        if one.source == source and one.in_force and one.map:
            one.differences = [each for each in one.differences if key_of(each) in present]


def _beside(
    register: Register, one: Change, present: Present, more: set[Key], now: int, sequence: int
) -> list[Event]:
    """What the present differences of its source mean for a live change; `more` of them are of what
    it is about, and new.
    """
    own = one.keys
    left = own & present.keys()
    if one.is_proposal:
        return _came(register, one, now, sequence) if left == own else []
    if one.state == life.APPROVED:
        if own - left <= one.read_otherwise:
            return []
        return [register.end(one, now, OTHER if left else AS_AGREED)]
    if not left and not more:
        return [register.end(one, now, AS_AGREED)]
    hold = "none" if one.how == "values" else register.hold_of(one.source, one.grade)
    if left == own and hold == one.hold and not more:
        return []
    register.take_differences(one, [present[key] for key in sorted(left | more)])
    return [one.event("updated", now)]


def _came(register: Register, one: Change, now: int, sequence: int) -> list[Event]:
    """What was proposed is there: approved ahead, it is in force from here on."""
    one.seen, one.expires_ns = True, 0
    if one.state == life.APPROVED:
        one.in_force_from = sequence
        register.release(one, now)
        return [one.event("in force", now)]
    one.hold = "none" if one.how == "values" else register.hold_of(one.source, one.grade)
    return [one.event("detected", now)]


def _opened(
    register: Register, source: str, found: Sequence[dict[str, Any]], data: Mapping[str, Any],
    now: int,
) -> Event:
    one = Change(
        register.new_id(source), life.DETECTED, str(data.get("how", "")), source, (), (), "", [],
        "", now, time_of(data.get("since_ns")), needs=tuple(data.get("needs", ())),
    )  # fmt: skip
    register.take_differences(one, found)
    register.known[one.id] = one
    return one.event("detected", now)


def _noticed(source: str, found: Sequence[Mapping[str, Any]], now: int) -> Event:
    """Differences that nobody must decide on."""
    return Event("change", now, f"source/{source}", {
        "change": "noticed", "id": "", "state": "noticed", "source": source,
        "differences": list(found), "text": text_of(found), "hint": "",
        "tags": sorted({str(one["subject"]).partition("/")[2] for one in found}),
        "models": sorted({name for one in found for name in one["models"]}),
        "hold": life.NOT_HELD, "grade": max((one["grade"] for one in found), key=GRADES.index),
    })  # fmt: skip
