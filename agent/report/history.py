"""What happened to a model in a stretch of time, from the events that the store keeps.

Times are as the clock of now has them where the reader moves them, else as they were told.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from agent.core import identity
from agent.core.verdict import ORDER
from agent.store import Reader

NOT_WATCHED = "not watched"
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time in ns, with the verdict that stood in it, or `NOT_WATCHED`."""

    start_ns: int
    end_ns: int
    verdict: str
    why: str = ""


def told(reader: Reader, kind: str, until_ns: int) -> Iterator[dict[str, Any]]:
    """All events of a kind up to a time, in order."""
    place = (0, -1)
    while rows := reader.events(limit=_AT_ONCE, kind=kind, after=place):
        place = (rows[-1]["sequence"], rows[-1]["position"])
        yield from (row for row in rows if row["time_ns"] <= until_ns)


def verdicts(
    events: Iterable[Mapping[str, Any]], model: str, since_ns: int, until_ns: int,
    away: Sequence[tuple[int, int]],
) -> list[Span]:
    """The verdicts that stood between two times, in order, without a hole.

    Args:
        events: of kind ``verdict``, in order.
        model: its name.
        since_ns: where the stretch of time begins.
        until_ns: where it ends.
        away: (began, ended) in which nobody watched, in order; they belong to no verdict.
    """
    subject = str(identity.model(model))
    changes = [(since_ns, NOT_WATCHED, "before the first verdict that is kept")]
    for event in events:
        if event["subject"] == subject:
            reasons = event["data"].get("reasons") or [{}]
            at = max(since_ns, event["time_ns"])
            changes.append((at, event["data"]["verdict"], str(reasons[0].get("text", ""))))
    changes.append((until_ns, NOT_WATCHED, ""))
    spans = []
    for (start, verdict, why), (end, _, _) in pairwise(changes):
        spans += _without(Span(start, min(end, until_ns), verdict, why), away)
    return [span for span in spans if span.end_ns > span.start_ns]


def _without(span: Span, away: Sequence[tuple[int, int]]) -> list[Span]:
    """A span, cut where nobody watched."""
    found, at = [], span.start_ns
    for began, ended in away:
        start, end = max(began, at), min(ended, span.end_ns)
        if start < end:
            found.append(Span(at, start, span.verdict, span.why))
            found.append(Span(start, end, NOT_WATCHED, "the agent did not run"))
            at = end
    return [*found, Span(at, span.end_ns, span.verdict, span.why)]


def shares(spans: Iterable[Span]) -> dict[str, float]:
    """Share of the watched time in each verdict, and in `NOT_WATCHED` that of all the time."""
    length: dict[str, int] = defaultdict(int)
    for span in spans:
        length[span.verdict] += span.end_ns - span.start_ns
    off, whole = length.pop(NOT_WATCHED, 0), sum(length.values())
    found = {verdict: length[verdict] / whole if whole else 0.0 for verdict in ORDER}
    return {**found, NOT_WATCHED: off / (off + whole) if off + whole else 0.0}


def incidents(
    events: Iterable[Mapping[str, Any]], model: str, since_ns: int
) -> list[dict[str, Any]]:
    """Incidents that touch a model and were open after a time, the first to begin first.

    Each with `id`, `since_ns`, `until_ns` (None while it is open), `text`, `cause` and `hint` of
    its first condition as last told, `members`, and `said`: what people said of it.
    """
    grouped: dict[str, dict[str, dict[str, Any]]] = {}
    said: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        data = event["data"]
        if model not in data.get("models", ()):
            continue
        key = str(data.get("incident") or data["id"])
        members = grouped.setdefault(key, {})
        was = members.get(data["id"], {"raised_ns": data.get("raised_ns") or event["time_ns"]})
        active = bool(data.get("active", data["change"] != "cleared"))
        members[data["id"]] = was | {
            name: data[name] for name in ("text", "cause", "hint", "kind") if data.get(name)
        } | {"until_ns": None if active else event["time_ns"]}
        if data.get("by"):
            said[key].append(_act(event))
    found = [_incident(key, members, said[key]) for key, members in grouped.items()]
    found = [one for one in found if one["until_ns"] is None or one["until_ns"] >= since_ns]
    return sorted(found, key=lambda one: (one["since_ns"], one["id"]))


def _incident(
    key: str, members: Mapping[str, Mapping[str, Any]], said: list[dict[str, Any]]
) -> dict[str, Any]:
    first = members.get(key) or min(members.values(), key=lambda one: one["raised_ns"])
    ends = [one["until_ns"] for one in members.values()]
    return {
        "id": key, "since_ns": min(one["raised_ns"] for one in members.values()),
        "until_ns": None if None in ends else max(ends),
        **{name: first.get(name, "") for name in ("text", "cause", "hint", "kind")},
        "members": sorted(members), "said": said,
    }


def _act(event: Mapping[str, Any]) -> dict[str, Any]:
    data = event["data"]
    return {
        "time_ns": event["time_ns"], "by": data["by"], "what": data["change"],
        "note": data.get("note", ""), "false": bool(data.get("false")),
    }
