"""What came of a scenario, beside what is true. Pure functions of events."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agent.types import Event

RIGHT, WRONG, UNKNOWN, MISSED, NO_FAULT = "right", "wrong", "unknown", "missed", "no fault"


@dataclass(frozen=True, slots=True)
class Named:
    """What a condition was called in the end, and since when it was raised."""

    subject: str
    kind: str
    cause: str
    tags: tuple[str, ...]
    raised_ns: int
    incident: str


def named(events: Iterable[Event], onset_ns: int) -> list[Named]:
    """The conditions of incidents that began after the onset, by their latest names.

    In the order of their raising.
    """
    found: dict[str, Named] = {}
    began: dict[str, int] = {}
    for event in events:
        if event.kind != "condition":
            continue
        data, key = event.data, str(event.data["id"])
        incident = str(data.get("incident") or key)
        if data["change"] == "raised":
            began.setdefault(incident, event.time_ns)
        elif key not in found:
            continue
        if data["change"] == "cleared":
            continue
        place, _, name = event.subject.partition("/")
        listed = data.get("tags") or ()
        tags = [name] if place == "tag" else [str(one) for one in listed]
        raised_ns = found[key].raised_ns if key in found else event.time_ns
        found[key] = Named(event.subject, str(data["kind"]), str(data["cause"]),
                           tuple(dict.fromkeys(tags)), raised_ns, incident)  # fmt: skip
    late = [one for one in found.values() if began[one.incident] >= onset_ns]
    return sorted(late, key=lambda one: one.raised_ns)


def diagnosis(
    names: Sequence[Named], causes: Collection[str], may_name: Collection[str]
) -> str:
    """How the first incident is named, by its first condition.

    A cause that is right on a tag that has no fault is wrong; what says no tag says no wrong one.
    """
    if not causes:
        return NO_FAULT
    if not names:
        return MISSED
    first = names[0]
    if first.cause in {"", "unknown"}:
        return UNKNOWN
    if first.cause not in causes:
        return WRONG
    return RIGHT if set(first.tags) <= {*may_name} or first.cause == "model" else WRONG


def requests(events: Iterable[Event]) -> list[Event]:
    """Each request as it was opened."""
    return [e for e in events if e.kind == "retraining" and e.data["change"] == "requested"]


def lacks(
    left_out: Sequence[dict[str, Any]], excluded: Sequence[tuple[str, int, int]], until_ns: int
) -> list[str]:
    """Tags with a fault of which less than half of the time is left out of a request's data."""
    found = []
    for tag, from_ns, to_ns in excluded:
        spans = sorted(
            (max(from_ns, int(one["from_ns"])), min(to_ns, int(one["to_ns"]) or until_ns))
            for one in left_out if one["cause"] in {"sensor", "integration"}
        )  # fmt: skip
        covered, end_ns = 0, from_ns
        for begin_ns, stop_ns in spans:
            covered += max(0, stop_ns - max(begin_ns, end_ns))
            end_ns = max(end_ns, stop_ns)
        if 2 * covered < to_ns - from_ns:
            found.append(tag)
    return found


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The suite's last line, over all lines that are judged."""
    faults = [row for row in rows if row["diagnosis"] != NO_FAULT]
    return {
        "suite": "scenarios", "n": len(rows),
        "detected": sum(row["diagnosis"] != MISSED for row in faults),
        **{f"diagnosis_{one}": sum(row["diagnosis"] == one for row in faults)
           for one in (RIGHT, WRONG, UNKNOWN)},
        "false_retraining": sum(max(0, row["requests"] - row["requests_most"]) for row in rows),
        "missed_retraining": sum(max(0, row["requests_least"] - row["requests"]) for row in rows),
    }  # fmt: skip
