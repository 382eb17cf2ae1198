"""Why a verdict is what it is: what is of one fault is told once, all else of it is only counted.

The same rule as `grouped` in agent/status/page/reasons.js.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from agent.status import view
from agent.status.view import Document

_NAMES_MOST: Final = 3
SELF_EXPLAINED: Final = (
    "planned maintenance", "out of service", "extrapolating", "waiting", "not stored", "expired",
)
"""Kinds of reasons that are no fault with a cause to be found: the kind says what it is."""

Reason = Mapping[str, Any]


def grouped(reasons: Iterable[Reason], document: Document) -> list[list[Reason]]:
    """Reasons of one open incident, or else of one tag, together; in the order of the first.

    The first of a group is what the incident is told by, where that has the same cause.
    """
    known = {str(one.get("id")): one for one in view.items(document, "conditions")}
    incident_of: dict[str, str] = {}
    leading = set()
    for incident in view.incidents(document):
        if incident["open"]:
            leading.add(known[incident["told_by"]].get("text"))
            tags = (known[name].get("tag") for name in incident["conditions"])
            incident_of |= {str(tag): incident["id"] for tag in tags if tag}
    groups: dict[tuple[str, str], list[Reason]] = {}
    for place, reason in enumerate(reasons):
        tag = str(reason.get("tag") or "")
        key = ("incident", incident_of[tag]) if tag in incident_of else ("", tag or str(place))
        group = groups.setdefault(key, [])
        first = group[0] if group else reason
        leads = reason.get("text") in leading and first.get("cause") == reason.get("cause")
        group.insert(0 if leads else len(group), reason)
    return list(groups.values())


def rest(group: Sequence[Reason]) -> str:
    """What else came of the fault, in one line; empty where nothing did."""
    own = group[0].get("tag")
    names = [str(one["tag"]) for one in group[1:] if one.get("tag") and one["tag"] != own]
    names = list(dict.fromkeys(names))
    if not names:
        return ""
    more = f" and {len(names) - _NAMES_MOST} more" if len(names) > _NAMES_MOST else ""
    tags = "1 other tag" if len(names) == 1 else f"{len(names)} other tags"
    return f"{tags} of the same fault: {', '.join(names[:_NAMES_MOST])}{more}"


def cause_label(reason: Reason) -> str:
    """What a reason is by: its cause, or its kind where that says it without one."""
    cause, kind = str(reason.get("cause") or "unknown"), str(reason.get("kind") or "")
    if cause != "unknown":
        return cause
    return kind if kind in SELF_EXPLAINED else "cause unknown"
