"""What a model's process tells of its predictions and their truth: taken over, known keys only.

What is journaled lasts, and is judged again at every replay: so sizes have limits, and what is no
finite number, no text and no time goes no further.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from agent.errors import FieldwardenError

TOLD: Final = ("predictions", "labels")
ITEMS_MAX: Final = 256
_LONGEST: Final = 200  # characters of an id, a version, an output, a class
_CLASSES_MAX: Final = 64
_TIMES_NS: Final = 1 << 62
_KEYS: Final = frozenset({"id", "time_ns", "output", "value", "class", "scores", "version"})


def told_items(kind: str, body: bytes) -> list[dict[str, Any]]:
    """The predictions or labels of a request's body: one object, or a list of them.

    Each has `value` (a number), `class` (a text) or, of predictions, `scores` (class -> share);
    `id`, `time_ns` (what time it is of; default: now), `output` (default: the model's only one),
    and, of predictions, `version` (default: the one in service).

    Raises:
        FieldwardenError: it is something else; nothing of it is taken.
    """
    try:
        told = json.loads(body, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _error(kind, "body", f"no JSON: {str(error)[:80]}") from None
    items = [told] if isinstance(told, dict) else told
    if not isinstance(items, list) or not 0 < len(items) <= ITEMS_MAX:
        raise _error(kind, "body", f"neither an object nor a list of 1 to {ITEMS_MAX} of them")
    return [_item(kind, place, item) for place, item in enumerate(items)]


def _item(kind: str, place: int, item: Any) -> dict[str, Any]:
    where = f"item {place}"
    if not isinstance(item, dict):
        raise _error(kind, where, "it is no object")
    if unknown := sorted(set(item) - _KEYS):
        raise _error(kind, where, f"unknown key {str(unknown[0])[:40]!r}")
    time_ns = item.get("time_ns")
    if time_ns is not None and (type(time_ns) is not int or not 0 < time_ns < _TIMES_NS):
        raise _error(kind, where, "time_ns is no whole number of nanoseconds since 1970")
    found: dict[str, Any] = {"time_ns": time_ns or 0}
    found |= {key: _text(kind, where, key, item.get(key, "")) for key in ("id", "output")}
    found["version"] = _text(kind, where, "version", item.get("version", ""))
    if kind == "labels" and found["version"]:
        raise _error(kind, where, "a truth is of no version")
    if not found["id"] and kind == "labels" and time_ns is None:
        raise _error(kind, where, "give the id of its prediction, or the time_ns that it is of")
    given = [key for key in ("value", "class", "scores") if item.get(key) is not None]
    if len(given) != 1 or (kind == "labels" and given == ["scores"]):
        raise _error(kind, where, "give one of value, class and, of a prediction, scores")
    return found | _said(kind, where, given[0], item[given[0]], found["id"])


def _said(kind: str, where: str, key: str, value: Any, name: str) -> dict[str, Any]:
    """Its value as a number or a class, and the scores of all classes where there are any."""
    if key == "value":
        return {"value": _number(kind, where, value), "class": "", "scores": {}}
    if key == "class":
        said = _text(kind, where, "class", value)
        if not said:
            raise _error(kind, where, "its class has no name")
        return {"value": 0.0, "class": said, "scores": {}}
    if not isinstance(value, Mapping) or not 0 < len(value) <= _CLASSES_MAX:
        raise _error(kind, where, f"scores are no object of 1 to {_CLASSES_MAX} classes")
    if not name:
        raise _error(kind, where, "scores need an id, by which the truth comes for them")
    scores = {
        _text(kind, where, "class", one): _number(kind, where, score)
        for one, score in value.items()
    }
    if "" in scores:
        raise _error(kind, where, "a class of its scores has no name")
    if min(scores.values()) < 0.0 or not sum(scores.values()) > 0.0:
        raise _error(kind, where, "scores are negative, or all 0")
    return {"value": 0.0, "class": max(scores, key=lambda one: scores[one]), "scores": scores}


def _number(kind: str, where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300:
        raise _error(kind, where, f"{str(value)[:40]!r} is no finite number")
    if not math.isfinite(value):
        raise _error(kind, where, f"{str(value)[:40]!r} is no finite number")
    return float(value)


def _text(kind: str, where: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST or not value.isprintable():
        raise _error(kind, where, f"{key} is no text of at most {_LONGEST} characters")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _error(kind: str, subject: str, cause: str) -> FieldwardenError:
    return FieldwardenError(f"taking {kind}:", subject, cause, "nothing of it was taken")
