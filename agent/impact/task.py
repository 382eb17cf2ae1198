"""What is to be assessed, how far back and within which bounds; JSON both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

DAY_NS = 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class Task:
    """One change.

    Attributes:
        change: its id; empty for a file that nobody proposed.
        proposal: the document of a proposed change; empty: `differences` say what it is.
        differences: as `agent.contract.differences.Difference.to_json` gives them.
        found: of what was found in values: by tag the map that undoes it.
        tags: those that it names.
        held: those of them whose samples are held since `until_ns`.
        until_ns: engine time at which reality was as agreed last; 0: it still is.
        back_ns: how far back the replay goes.
        limit_s: time that the replay may take.
        limit_mb: memory at most.
    """

    change: str = ""
    proposal: Mapping[str, Any] = field(default_factory=dict)
    differences: tuple[Mapping[str, Any], ...] = ()
    found: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    until_ns: int = 0
    back_ns: int = 7 * DAY_NS
    limit_s: float = 900.0
    limit_mb: int = 1500

    def to_json(self) -> dict[str, Any]:
        """Values of JSON."""
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Task:
        """From `to_json`."""
        listed = {name: tuple(document.get(name, ())) for name in ("differences", "tags", "held")}
        return Task(**{**document, **listed})


def task_of(change: Mapping[str, Any]) -> Task:
    """The task of a change as the status document shows it."""
    how, since_ns = str(change["how"]), int(change["since_ns"] or change["found_ns"])
    ahead = how == "proposed" and not change.get("seen")
    return Task(
        change=str(change["id"]), proposal=dict(change.get("document") or {}),
        differences=tuple(change["differences"]), found=dict(change.get("suggested") or {}),
        tags=tuple(change["tags"]),
        held=tuple(change.get("held_tags", ())) if change["hold"] == "held" else (),
        until_ns=0 if ahead else since_ns,
    )  # fmt: skip
