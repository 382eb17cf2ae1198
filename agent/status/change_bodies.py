"""What people may say of changes upstream: a map, a window, a proposal; known keys only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from agent.status.bodies import LONGEST_NAME, error_of, is_time, text_of

LONGEST_WINDOW_NS: Final = 30 * 86_400 * 1_000_000_000
_LONGEST_PROPOSAL: Final = 500_000
_LARGEST: Final = 1e12  # of a map's numbers
_MAP_KEYS: Final = frozenset({"factor", "offset", "unit", "address", "data_type", "swap_with"})
_MOST_TAGS: Final = 20_000


def map_of(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """How the edge converts: tag -> its part; "suggested": by what is known of the change."""
    given = body.get("map")
    if given in (None, {}, "suggested"):
        return {"map": given or None}
    if not isinstance(given, Mapping) or len(given) > _MOST_TAGS:
        raise error_of(kind, "map", "it is no object of tag and its map", "")
    return {"map": {text_of(kind, "map", tag, LONGEST_NAME): _part(kind, part)
                    for tag, part in given.items()}}  # fmt: skip


def approval_of(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The map, and which revision of the change is approved where that is said."""
    found = map_of(kind, body)
    if body.get("revision") is not None:
        found["revision"] = text_of(kind, "revision", body["revision"], LONGEST_NAME)
    return found


def _part(kind: str, part: Any) -> dict[str, Any]:
    if not isinstance(part, Mapping) or not part or part.keys() - _MAP_KEYS:
        hint = f"a tag's map has of these: {', '.join(sorted(_MAP_KEYS))}"
        raise error_of(kind, "map", "a part of it is empty, or has an unknown key", hint)
    found: dict[str, Any] = {}
    for key, value in part.items():
        if key in {"factor", "offset"}:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise error_of(kind, f"map, {key}", f"{str(value)[:40]!r} is no number", "")
            if not abs(value) <= _LARGEST or (key == "factor" and not float(value)):
                raise error_of(kind, f"map, {key}", f"{str(value)[:40]!r} converts nothing", "")
            found[key] = float(value)
        else:
            found[key] = text_of(kind, f"map, {key}", value, LONGEST_NAME)
    return found


def window_of(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Which tags, or all of a source, and from when until when."""
    tags = body.get("tags", [])
    if not isinstance(tags, list) or len(tags) > _MOST_TAGS:
        raise error_of(kind, "tags", "it is no list of tags", "")
    found: dict[str, Any] = {"tags": [text_of(kind, "tags", tag, LONGEST_NAME) for tag in tags]}
    found["source"] = text_of(kind, "source", body.get("source", ""), LONGEST_NAME)
    if bool(tags) == bool(found["source"]):
        raise error_of(kind, "tags", "give tags, or a source", "")
    for key in ("from_ns", "until_ns"):
        if not is_time(body.get(key)):
            raise error_of(kind, key, "a window has a begin and an end", "in ns since 1970")
        found[key] = body[key]
    if not found["from_ns"] < found["until_ns"] <= found["from_ns"] + LONGEST_WINDOW_NS:
        raise error_of(kind, "until_ns", "it ends before it begins, or lasts more than 30 days", "")
    return found


def proposal_of(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a proposed change, which is read where the tags are known."""
    document = body.get("change")
    if not isinstance(document, Mapping):
        raise error_of(kind, "change", "it is no object", "see: fieldwarden change propose --help")
    if len(json.dumps(document)) > _LONGEST_PROPOSAL:
        raise error_of(kind, "change", f"it is longer than {_LONGEST_PROPOSAL} characters", "")
    return {"change": dict(document)}
