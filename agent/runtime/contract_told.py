"""What central is told of the contract: which one is watched, and which changes of it are open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.status import change_lines

_CHANGES_MOST: Final = 20
_NAMES_MOST: Final = 20
_LONGEST: Final = 200  # characters of a text


def contract_told(
    contract: Mapping[str, Any] | None, changes: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """As `forward/schemas/state.json` has it; None where there is no contract.

    Args:
        contract: `hash` and `made` of the one that is watched.
        changes: all that are known, as the status document has them.
    """
    if contract is None:
        return None
    document = {"changes": changes}
    found = change_lines.waiting(document)
    return {
        "hash": str(contract.get("hash") or ""), "made": str(contract.get("made") or ""),
        "held_tags": change_lines.held_tags(document), "open_changes": len(found),
        "changes": [_told(one) for one in found[:_CHANGES_MOST]],
    }  # fmt: skip


def _told(change: Mapping[str, Any]) -> dict[str, Any]:
    models = [str(one.get("name")) for one in change.get("models") or ()]
    return {
        **{key: str(change.get(key) or "") for key in ("id", "source", "state", "grade", "hold")},
        "since_ns": int(change.get("since_ns") or change.get("found_ns") or 0),
        "tags": len(change.get("tags") or ()), "models": models[:_NAMES_MOST],
        "needs": [str(side) for side in change.get("needs") or ()][:_NAMES_MOST],
        "text": str(change.get("text") or "")[:_LONGEST],
    }  # fmt: skip
