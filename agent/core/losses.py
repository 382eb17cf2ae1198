"""Losses: what a part of the agent could not keep, as the journal is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.types import Event


def told(time_ns: int, data: Mapping[str, Any]) -> list[Event]:
    """What a part of the agent lost: that it did, and how many samples or entries."""
    data_told = {"change": str(data.get("reason", "")), **data}
    events = [Event("engine", time_ns, "gateway", data_told)]
    if int(data.get("count", 0)) > 0:
        events.append(Event("gap", time_ns, "gateway", dict(data)))
    return events
