"""Which alarms have cleared without anybody acknowledging them, and what people did to the others.

ISA-18.2 knows a state between active and forgotten: returned to normal, unacknowledged. The engine
forgets a condition when it clears; here it stays for people until one of them acknowledges it, and
each act keeps who did it, why and until when. Everything comes from the store's events: what the
store holds is read once, what comes later is handed in as it is committed (`count`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from agent.store import Reader
from agent.types import Event

LISTED: Final = 100  # cleared alarms that wait for somebody; the oldest beyond go
_READ: Final = 5_000  # newest events of a kind that are looked through at a start
_ACTS: Final = ("acknowledged", "shelved", "out_of_service")
_ENDS: Final = {"unshelved": "shelved", "in_service": "out_of_service"}


class Standings:
    """What people did, and what they still owe; reads the store at the first question.

    Args:
        reader: of the store.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._cleared: dict[str, dict[str, Any]] = {}  # id -> the condition as it cleared
        self._acts: dict[str, dict[str, dict[str, Any]]] = {}  # subject or id -> what -> act
        self._read = False

    def count(self, events: Iterable[Event]) -> None:
        """Take these too; they are committed together with the next document, or were already."""
        for event in events:
            self._take(event.kind, event.time_ns, event.subject, event.data)

    def cleared(self) -> list[dict[str, Any]]:
        """Alarms that cleared and that nobody has acknowledged, the last to clear first."""
        self._look()
        return list(reversed(self._cleared.values()))

    def acts(self, subject: str, occurrence: str) -> list[dict[str, Any]]:
        """What people did to a subject's condition: what, by, note, time_ns and until_ns each."""
        self._look()
        found = self._acts.get(subject, {}) | self._acts.get(occurrence, {})
        return sorted(found.values(), key=lambda act: act["time_ns"])

    def _look(self) -> None:
        if self._read:
            return
        self._read = True
        rows = [
            row for kind in ("condition", "configuration")
            for row in self._reader.events(limit=_READ, kind=kind)
        ]
        for row in sorted(rows, key=lambda row: (row["sequence"], row["position"])):
            self._take(row["kind"], row["time_ns"], row["subject"], row["data"])

    def _take(self, kind: str, time_ns: int, subject: str, told: Mapping[str, Any]) -> None:
        if kind not in {"condition", "configuration"}:
            return
        change, occurrence = str(told.get("change")), str(told.get("id", ""))
        if change in _ACTS:
            key = occurrence if change == "acknowledged" else subject
            self._acts.setdefault(key, {})[change] = _act(change, time_ns, told)
        elif change in _ENDS:
            self._acts.get(subject, {}).pop(_ENDS[change], None)
        if kind != "condition":
            return
        if change == "acknowledged":
            self._cleared.pop(occurrence, None)
        if change == "cleared":
            self._acts.pop(occurrence, None)
            if not told.get("acknowledged"):
                self._cleared[occurrence] = _as_cleared(time_ns, subject, told)
                while len(self._cleared) > LISTED:
                    self._cleared.pop(next(iter(self._cleared)))


def _act(what: str, time_ns: int, told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "what": what.replace("_", " "), "by": str(told.get("by", "")),
        "note": str(told.get("note", "")),
        "time_ns": time_ns, "until_ns": told.get("shelved_until_ns") or None,
        "false": bool(told.get("false")),
    }


def _as_cleared(time_ns: int, subject: str, told: Mapping[str, Any]) -> dict[str, Any]:
    place, _, name = subject.partition("/")
    return {
        "id": told.get("id", ""), "incident": told.get("incident", ""), "subject": subject,
        "kind": told.get("kind", ""),
        "tag": name if place == "tag" else "", "model": ", ".join(told.get("models", ())),
        "source": name if place == "source" else "", "cause": told.get("cause", "unknown"),
        "severity": told.get("severity", "low"), "text": told.get("text", ""),
        "hint": told.get("hint", ""), "raised_ns": told.get("raised_ns"), "cleared_ns": time_ns,
        "state": "cleared", "acknowledged": False, "shelved": False, "suppressed": False,
        "out_of_service": False, "score": told.get("score"), "acts": [],
    }
