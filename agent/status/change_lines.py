"""Changes upstream in words: which are open, whose turn it is, and a line each for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from agent.status import retraining_lines, view
from agent.status.view import Document

UNDECIDED: Final = frozenset({"detected", "proposed", "assessed"})
_MOST: Final = 5
_NS: Final = 1e9

Change = Mapping[str, Any]


def is_open(change: Change) -> bool:
    """Whether it waits for somebody, holds tags, or is planned; not whether its map is in force."""
    if change.get("state") == "rejected":
        return not change.get("ended_ns")
    return change.get("state") in UNDECIDED or change.get("state") == "announced"


def waiting(document: Document) -> list[Change]:
    """The open ones, as they should be read: what holds first, then the oldest."""
    found = [one for one in view.items(document, "changes") if is_open(one)]
    return sorted(found, key=lambda one: (one.get("hold") != "held", one.get("found_ns") or 0))


def held_tags(document: Document) -> int:
    """How many tags are held right now."""
    held = [one for one in view.items(document, "changes")
            if one.get("hold") == "held" and is_open(one)]  # fmt: skip
    return len({tag for one in held for tag in one.get("held_tags") or one.get("tags") or ()})


def line_of(change: Change, now_ns: int) -> str:
    """One line: which, of what state, since when, what differs, whom it touches, whose turn."""
    since = change.get("since_ns") or change.get("found_ns")
    age = f", for {view.duration((now_ns - since) / _NS)}" if since else ""
    hold = {"held": ", held", "would hold": ", would be held"}.get(str(change.get("hold")), "")
    told = f"{change.get('id')}: {change.get('state')}{hold}{age}: {change.get('text')}"
    models = [str(one.get("name")) for one in change.get("models") or ()]
    told += f" (models {', '.join(models)})" if models else ""
    needs = [str(side) for side in change.get("needs") or ()]
    return told + (f"; to be approved by {' and '.join(needs)}" if needs else "")


def lines(document: Document, now_ns: int) -> list[str]:
    """For `status`: a paragraph for each open change; nothing where there is none."""
    found = waiting(document)
    told = ["\n  ".join([line_of(one, now_ns), *_more(one)]) for one in found[:_MOST]]
    if len(found) > _MOST:
        told.append(f"and {len(found) - _MOST} more: fieldwarden change list CONFIG")
    return told


def _more(change: Change) -> list[str]:
    """What a replay showed, or how far it is, and what to do."""
    running, shown = change.get("assessing") or {}, change.get("assessment") or {}
    told = []
    if running.get("since_ns"):
        told.append(f"assessed to {100.0 * float(running.get('progress') or 0.0):.0f} %")
    elif text := running.get("text") or shown.get("text"):
        told.append(f"assessment: {text}")
    return [*told, f"to do: {change['hint']}"] if change.get("hint") else told


def asking(document: Document) -> dict[str, list[str]]:
    """Model -> a line for each open change that touches it, and each of its retraining requests."""
    found: dict[str, list[str]] = {}
    for one in waiting(document):
        for model in one.get("models") or ():
            line = f"touched by a change upstream: {one.get('id')}, {one.get('state')}; see below"
            found.setdefault(str(model.get("name")), []).append(line)
    for name, told in retraining_lines.by_model(document).items():
        found.setdefault(name, []).extend(told)
    return found
