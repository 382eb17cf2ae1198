"""What is told to the journal and moves no judgement: losses of the agent, reviews by people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.core import identity
from agent.types import Event


def _lost(time_ns: int, data: Mapping[str, Any]) -> list[Event]:
    """What a part of the agent lost: that it did, and how many samples or entries."""
    data_told = {"change": str(data.get("reason", "")), **data}
    events = [Event("engine", time_ns, "gateway", data_told)]
    if int(data.get("count", 0)) > 0:
        events.append(Event("gap", time_ns, "gateway", dict(data)))
    return events


def _review(time_ns: int, data: Mapping[str, Any]) -> list[Event]:
    """A named person signed a report on a model: its hash is what was decided on."""
    told = {
        "change": "reviewed", "by": str(data.get("by", "")), "note": str(data.get("note", "")),
        "evidence": str(data.get("report", "")), "since_ns": int(data.get("since_ns", 0)),
        "until_ns": int(data.get("until_ns", 0)),
    }  # fmt: skip
    return [Event("review", time_ns, str(identity.model(str(data.get("model", "")))), told)]


_NOTED: Final[Mapping[str, Callable[[int, Mapping[str, Any]], list[Event]]]] = {
    "lost": _lost, "review": _review,
}  # fmt: skip


def told(kind: str, time_ns: int, data: Mapping[str, Any]) -> list[Event]:
    """The events of a command that is only to be noted; none of any other."""
    return _NOTED[kind](time_ns, data) if kind in _NOTED else []
