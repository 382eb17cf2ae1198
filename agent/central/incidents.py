"""What central knows of a gateway's conditions, and which of them are one incident. Pure.

A gateway that does not say of which incident a condition is part counts each condition as one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from agent.central.lives import Place
from agent.status.view import utc

LONGEST_TEXT = 500  # characters
MODELS_NAMED = 20
INCIDENTS_SHOWN = 100

Known = Mapping[tuple[str, str], "Condition"]
"""Conditions by (store, id), the one that was told of last stands last."""


@dataclass(slots=True)
class Condition:
    """A condition as it was told last; `raised_ns` is by the gateway's own clock."""

    place: Place
    open: bool
    incident: str
    text: str = ""
    cause: str = ""
    raised_ns: int = 0
    models: tuple[str, ...] = ()

    @staticmethod
    def told(place: Place, data: Mapping[str, Any]) -> Condition:
        """From the data of a condition's event."""
        # What has cleared may be acknowledged later, and does not open again by that.
        is_open = "cleared" not in (data["change"], data.get("state"))
        raised, models = data.get("raised_ns"), data.get("models")
        return Condition(
            place,
            is_open,
            str(data.get("incident") or data["id"]),
            str(data.get("text", ""))[:LONGEST_TEXT],
            str(data.get("cause", "unknown")),
            raised if type(raised) is int else 0,
            tuple(map(str, models[:MODELS_NAMED])) if isinstance(models, list) else (),
        )

    def to_json(self) -> list[Any]:
        """JSON-ready; what has cleared needs no words any more."""
        known = [*self.place, self.open, self.incident]
        more = [self.text, self.cause, self.raised_ns, list(self.models)]
        return [*known, *more] if self.open else known

    @staticmethod
    def from_json(name: str, document: list[Any]) -> Condition:
        """From `to_json`, or from what earlier versions wrote, which knew no incident."""
        boot, seq, is_open, *rest = document
        incident, *words = rest or [name]
        condition = Condition(Place(boot, seq), is_open, str(incident))
        if words:
            text, cause, raised, models = words
            condition.text, condition.cause = str(text), str(cause)
            condition.raised_ns, condition.models = int(raised), tuple(map(str, models))
        return condition


def open_incidents(known: Known, stores: Collection[str] | None) -> list[dict[str, Any]]:
    """The incidents that have an open condition, the latest first, JSON-ready.

    Each is told by its first condition (`text`, `cause`, `since`), or, once that has cleared, by
    the first that is open; with `models` and the number of open `conditions` of all of them.

    Args:
        known: of one gateway.
        stores: those that count; None: all.
    """
    grouped: dict[tuple[str, str], list[tuple[str, Condition]]] = {}
    for (store, name), one in known.items():
        if one.open and (stores is None or store in stores):
            grouped.setdefault((store, one.incident), []).append((name, one))
    told = []
    for (store, incident), members in grouped.items():
        members.sort(key=lambda pair: (pair[0] != incident, pair[1].raised_ns, pair[0]))
        first = members[0][1]
        told.append((
            min(one.raised_ns for _, one in members),
            {
                "incident": incident, "store": store, "text": first.text, "cause": first.cause,
                "since": utc(min(one.raised_ns for _, one in members)),
                "models": sorted({model for _, one in members for model in one.models}),
                "conditions": len(members),
            },
        ))  # fmt: skip
    return [one for _, one in sorted(told, key=lambda pair: -pair[0])]
