"""What people decided of a model: requests for retraining, reviews, and months without one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from agent.core import identity
from agent.core.retraining_request import ACCEPTED, DECLARED, IN_TRIAL, OFFERED, todo

_S: Final = 1_000_000_000
_MOST_MONTHS: Final = 36
_WAITING: Final = frozenset({"open", "declared", "in trial", "passed"})
_MEANS: Final = {
    IN_TRIAL: IN_TRIAL, "passed": IN_TRIAL, ACCEPTED: ACCEPTED, "rejected": DECLARED,
    "rolled back": DECLARED,
}  # fmt: skip
"""State of a trial -> of the request that it is of, as `agent.core.steward` has it go on."""


def retraining(
    events: Iterable[Mapping[str, Any]], model: str, since_ns: int
) -> list[dict[str, Any]]:
    """Requests and trials of a model of which something was told after a time, or that waited then.

    Each as it was told last, with `steps`: everything that was told of it, and by whom. What a
    trial did to the request that it is of is told by the trial alone.

    Args:
        events: of kind ``retraining``, in order.
        model: its name.
        since_ns: the time.
    """
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        data = event["data"]
        if event["subject"] != str(identity.model(model)):
            continue
        steps = found.get(data["id"], {}).get("steps", [])
        step = {
            "time_ns": event["time_ns"], "what": str(data["change"]), "state": str(data["state"]),
            "by": str(data.get("by", "")), "note": str(data.get("note", "")),
        }  # fmt: skip
        told = {key: data.get(key) for key in ("version", "champion", "in_service")}
        found[data["id"]] = told | {
            "id": data["id"], "state": data["state"], "since_ns": data["since_ns"],
            "text": data["text"], "hint": data["hint"], "request": data.get("request", ""),
            "moved": data.get("moved", []), "left_out": data.get("left_out", []),
            "judged": data.get("judged", []), "steps": [*steps, step],
        }
        if (request := found.get(str(data.get("request") or ""))) and request["state"] in OFFERED:
            request["state"] = _MEANS.get(data["state"], request["state"])
            request["hint"] = todo(request["state"], model, request["id"])
    return [
        one for one in found.values()
        if one["state"] in _WAITING or one["steps"][-1]["time_ns"] >= since_ns
    ]


def reviews(events: Iterable[Mapping[str, Any]], model: str) -> list[dict[str, Any]]:
    """Reports on a model that were signed, in order: by whom, why, which, of what time."""
    return [
        {"time_ns": event["time_ns"], "by": event["data"]["by"], "note": event["data"]["note"],
         "report": event["data"]["evidence"], "since_ns": event["data"]["since_ns"],
         "until_ns": event["data"]["until_ns"]}
        for event in events if event["subject"] == str(identity.model(model))
    ]  # fmt: skip


def unsigned(
    signed: Sequence[Mapping[str, Any]], first_ns: int | None, until_ns: int
) -> list[str]:
    """Calendar months (UTC) before a time of which no report was signed, as ``2026-10``.

    A month is signed once reports that were signed cover all of it from `first_ns` on, since when
    there are records. The month that ends at `until_ns` is the one that this report is of.
    """
    if first_ns is None:
        return []
    spans = sorted((one["since_ns"], one["until_ns"]) for one in signed)
    found = []
    for name, start_ns, end_ns in _months(first_ns, until_ns):
        at = max(start_ns, first_ns)
        for since_ns, span_end_ns in spans:
            if since_ns <= at:
                at = max(at, span_end_ns)
        if at < end_ns:
            found.append(name)
    return found[-_MOST_MONTHS:]


def _months(first_ns: int, until_ns: int) -> Iterator[tuple[str, int, int]]:
    """Months that end between two times: name, begin, end."""
    moment = datetime.fromtimestamp(first_ns // _S, UTC)
    name = f"{moment.year:04}-{moment.month:02}"
    while (span := month(name))[1] < until_ns:
        yield name, *span
        after = datetime.fromtimestamp(span[1] // _S, UTC)
        name = f"{after.year:04}-{after.month:02}"


def month(name: str) -> tuple[int, int]:
    """Begin and end in ns of a month in UTC, such as ``2026-10``.

    Raises:
        ValueError: it is no such month.
    """
    begin = datetime.strptime(name, "%Y-%m").replace(tzinfo=UTC)
    after = begin.replace(year=begin.year + begin.month // 12, month=begin.month % 12 + 1)
    return int(begin.timestamp()) * _S, int(after.timestamp()) * _S
