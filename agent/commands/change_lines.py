"""Changes upstream as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agent.core.figures import clock
from agent.status.change_lines import UNDECIDED

_SHOWN = 20
_HOW: Final = {
    "connected": "when it connected", "interval": "when it was asked",
    "announced": "when it said so", "in band": "with a sample", "values": "in its values",
}  # fmt: skip
"""How what a source serves was found to be otherwise; the words of the page."""


def line_of(one: Mapping[str, Any]) -> str:
    """A change in one line."""
    held = {"held": ", held", "would hold": ", would be held"}.get(str(one.get("hold")), "")
    held = held if one.get("state") in {"detected", "assessed", "rejected"} else ""
    needs = one.get("needs") or ()
    asked = f"; needs {' and '.join(needs)}" if needs else ""
    since = clock(int(one.get("found_ns") or 0))
    return f"{one.get('id')}  {one.get('state')}{held}, since {since}: {one.get('text')}{asked}"


def report(one: Mapping[str, Any]) -> Iterator[str]:
    """All that is known of a change."""
    yield line_of(one)
    models = [f"{m['name']} {m['version']} of {m['owner']}" for m in one.get("models") or ()]
    yield f"  touches: {'; '.join(models) or 'no model'}"
    tags = list(one.get("tags") or ())
    yield f"  tags: {_some(tags)}"
    if one.get("since_ns") and one.get("how") in _HOW and not one.get("window"):
        since = clock(int(one["since_ns"]))
        yield f"  was as agreed until {since} at least; found {_HOW[one['how']]}"
    for each in list(one.get("differences") or ())[:_SHOWN]:
        yield f"  {each['grade']}: {each['text']}"
    if window := one.get("window"):
        by = f", announced by {one['announced_by']}" if one.get("announced_by") else ""
        yield f"  window: {clock(int(window[0]))} to {clock(int(window[1]))}{by}"
    if (found := one.get("assessment")) is not None:
        yield f"  assessed: {found.get('text', '')}"
    for name, title in (("suggested", "a map that fits"), ("map", "map")):
        for tag, part in (one.get(name) or {}).items():
            yield f"  {title}: {tag}: {_part(part)}"
    for given in one.get("approvals") or ():
        side = f" for {given['side']}" if given.get("side") else ""
        yield f"  approved{side} by {given['by']}, {clock(int(given['at_ns']))}: {given['note']}"
    if one.get("in_force_from"):
        yield f"  in force from entry {one['in_force_from']} on"
    undecided = one.get("state") in UNDECIDED
    if one.get("expires_ns") and undecided:
        yield f"  expires {clock(int(one['expires_ns']))}, if nothing comes of it"
    if undecided:
        seen = f" --revision {one['revision']}" if one.get("revision") else ""
        convert = " --convert" if one.get("suggested") else ""
        yield f"  to do: fieldwarden change approve CONFIG {one['id']}{convert}{seen} --reason WHY"
        yield f"  or: fieldwarden change reject CONFIG {one['id']} --reason WHY"
    elif hint := str(one.get("hint") or "").partition(": fieldwarden change show")[0]:
        yield f"  to do: {hint}"


def _part(part: Mapping[str, Any]) -> str:
    factor, offset = part.get("factor"), part.get("offset")
    told = []
    if factor is not None or offset is not None:
        sign, size = "-" if (offset or 0.0) < 0.0 else "+", abs(offset or 0.0)
        told.append(f"agreed = served * {factor or 1.0:g} {sign} {size:g}")
    told += [f"{key.replace('_', ' ')} {part[key]}" for key in sorted(part)
             if key not in {"factor", "offset"}]  # fmt: skip
    return ", ".join(told)


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "") or "none"
