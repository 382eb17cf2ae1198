"""The status document, read the safe way: what has expired, what is unknown, how to word ages.

The document is one JSON object, written by the app at every commit and never changed after it was
handed over; `openapi.json` has its schema (`Status`). Times are engine nanoseconds since
1970-01-01 UTC, None where unknown. Nothing here reads a clock: `now_ns` is handed in. It is the
document's own time plus the real time that has passed since, see `passed_ns`: the wall clock may
have been set meanwhile, and says nothing about how old the document is.

Invariant: no reader ever shows a verdict past its `valid_until_ns`, or without one, as anything
but `unassessable`; all of them get models through `effective_model`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from agent.types import NOT_USABLE, Quality

Document = Mapping[str, Any]

VERDICTS: Final = ("untrusted", "unassessable", "caution", "trusted")
"""Worst first: the order in which people should see them."""

SEVERITIES: Final = ("high", "medium", "low")
CAUSES: Final = ("sensor", "integration", "process", "model", "unknown")
CONDITION_STATES: Final = ("active", "acknowledged", "shelved", "cleared")
_STANDINGS: Final = ("shelved", "acknowledged", "suppressed", "out_of_service")
SOURCE_STATES: Final = ("failed", "stale", "connecting", "live")
CHANGE_STATES: Final = ("detected", "proposed", "assessed", "approved", "rejected", "announced")
"""Of changes upstream that are not over."""

HOLDING: Final = ("detected", "assessed", "rejected")
"""Those of them in which tags may be held."""

QUALITY_CLASSES: Final = ("bad", "uncertain", "good", "none")

FRESH_NS: Final = 10_000_000_000
"""A document older than this means that the agent stands still or is gone."""

_NS: Final = 1_000_000_000
_GONE: Final = "the agent that gave the verdict does not run any more"
_CLOCK: Final = {
    "unsynchronised": "not synchronised: times may be off (see: timedatectl timesync-status)",
    "implausible": "the date can not be right: times are not to be believed until the clock is set",
}


def items(document: Document, key: str) -> list[Mapping[str, Any]]:
    """The list of objects under `key`, empty where the document has none."""
    return [item for item in document.get(key) or () if isinstance(item, Mapping)]


def texts(document: Document, key: str) -> list[str]:
    """The list of sentences under `key`, empty where the document has none."""
    return [str(text) for text in document.get(key) or ()]


def passed_ns(document: Document, boot_id: str, boottime_ns: int) -> int | None:
    """Real time since the document, by CLOCK_BOOTTIME; None where it can not be known.

    That is where another kernel wrote it: the machine was started anew, or it is another one.

    Args:
        document: the status document.
        boot_id: of the running kernel.
        boottime_ns: CLOCK_BOOTTIME now.
    """
    at = document.get("boottime_ns")
    if at is None or not boot_id or document.get("boot_id") != boot_id or boottime_ns < int(at):
        return None
    return boottime_ns - int(at)


def age_ns(document: Document, now_ns: int) -> int | None:
    """How old the document is, in ns, never negative; None where it has no time."""
    time_ns = document.get("time_ns")
    return None if not time_ns else max(0, now_ns - int(time_ns))


def effective_model(
    model: Mapping[str, Any], now_ns: int | None, *, gone: bool = False
) -> dict[str, Any]:
    """A model as it may be shown at `now_ns`: past `valid_until_ns` it is unassessable.

    So it is where `now_ns` is None: nobody can say how long ago it was told; and where the agent
    that told it is `gone`, at once.

    The result has everything of `model`, plus `last_known`: None, or what the verdict was
    (`verdict`, `since_ns`, `reasons`) before it expired. One that has expired already stays so.
    """
    if model.get("last_known"):
        return dict(model)
    shown: dict[str, Any] = {**model, "last_known": None}
    verdict, until = model.get("verdict"), model.get("valid_until_ns")
    known = verdict in VERDICTS
    valid = known and until is not None and now_ns is not None and now_ns <= until
    if valid and not gone:
        return shown
    if verdict == "unassessable" and until is None:
        return shown
    shown["verdict"] = "unassessable"
    text = _GONE if valid else _expired(known=known, until=until, anew=now_ns is None)
    shown["reasons"] = [_not_told(text)]
    if known and verdict != "unassessable":
        ended = now_ns if valid else until
        shown["since_ns"] = ended if ended is not None else model.get("since_ns")
    if known:
        shown["last_known"] = {
            "verdict": verdict,
            "since_ns": model.get("since_ns"),
            "reasons": list(model.get("reasons") or ()),
        }
    return shown


def _expired(*, known: bool, until: int | None, anew: bool) -> str:
    if not known:
        return "the agent gave no verdict that this version understands"
    if until is None:
        return "the verdict does not say how long it is valid"
    if anew:
        return "the verdict was given before this machine was started, or on another one"
    return f"the verdict was valid until {utc(until)} and was not renewed"


def _not_told(text: str) -> dict[str, Any]:
    return {
        "text": text,
        "cause": "unknown",
        "kind": "expired",
        "tag": "",
        "condition": "",
        "hint": "see that the agent runs: systemctl status fieldwarden",
    }


def worst_first(models: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Models ordered by verdict, worst first, then by name."""
    rank = {verdict: place for place, verdict in enumerate(VERDICTS)}
    return sorted(models, key=lambda m: (rank.get(str(m.get("verdict")), 1), str(m.get("name"))))


def open_conditions(document: Document) -> list[Mapping[str, Any]]:
    """Conditions that are not cleared, gravest first, the newest of equals first."""
    rank = {severity: place for place, severity in enumerate(SEVERITIES)}
    shown = [c for c in items(document, "conditions") if c.get("state") != "cleared"]
    return sorted(
        shown, key=lambda c: (rank.get(str(c.get("severity")), 3), -(c.get("raised_ns") or 0))
    )


def incidents(document: Document) -> list[dict[str, Any]]:
    """One for each fault: its conditions that are open, or wait for somebody, put together.

    It is told by its first condition (`told_by`; `text`, `hint`, `kind`, `cause`), or, where that
    has cleared, by the gravest that is open; `conditions` are the ids of all of them in the order
    in which they were raised, `open` is how many of them are. Open incidents come first, the
    gravest of them first, the newest of equals first. A condition that names no incident is one of
    its own.
    """
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for condition in items(document, "conditions"):
        key = str(condition.get("incident") or condition.get("id"))
        grouped.setdefault(key, []).append(condition)
    made = [_incident(key, members) for key, members in grouped.items()]
    rank = {severity: place for place, severity in enumerate(SEVERITIES)}
    return sorted(
        made, key=lambda one: (not one["open"], rank.get(one["severity"], 3), -one["since_ns"])
    )


def _incident(key: str, members: list[Mapping[str, Any]]) -> dict[str, Any]:
    members = sorted(members, key=lambda c: (c.get("raised_ns") or 0, str(c.get("id"))))
    opened = [c for c in members if c.get("state") != "cleared"]
    counted = opened or members
    rank = {severity: place for place, severity in enumerate(SEVERITIES)}
    gravest = min(counted, key=lambda c: rank.get(str(c.get("severity")), len(rank)))
    first = next((c for c in counted if c.get("id") == key), gravest)
    states = {str(c.get("state")) for c in opened}
    named = {str(c.get("severity")) for c in counted}
    models = {
        name.strip() for c in members for name in str(c.get("model") or "").split(",")
    } - {""}
    return {
        "id": key,
        "told_by": str(first.get("id")),
        **{name: first.get(name) or "" for name in ("text", "hint", "kind", "cause")},
        "severity": next((one for one in SEVERITIES if one in named), "low"),
        "since_ns": min(c.get("raised_ns") or 0 for c in members),
        "state": next((s for s in CONDITION_STATES if s in states), "cleared"),
        "models": sorted(models),
        "open": len(opened),
        "conditions": [str(c.get("id")) for c in members],
    }


def extrapolated(model: Mapping[str, Any], most: int = 3) -> str:
    """Which inputs were outside their trained range for how much of the time; empty for none."""
    shares = [
        (float((one.get("extrapolation") or {}).get("share") or 0.0), str(one.get("tag")))
        for one in items(model, "inputs")
    ]
    found = sorted((pair for pair in shares if pair[0] > 0.0), key=lambda pair: (-pair[0], pair[1]))
    told = [f"{tag} {_percent(share)}" for share, tag in found[:most]]
    if len(found) > most:
        told.append(f"{len(found) - most} more inputs less than that")
    jointly = float((model.get("extrapolation") or {}).get("share_jointly") or 0.0)
    if jointly > 0.0:
        told.append(f"all inputs together, each within its range, {_percent(jointly)}")
    return f"outside of training in the last day: {', '.join(told)}" if told else ""


def _percent(share: float) -> str:
    return f"{100.0 * share:.2g} %" if share >= 0.001 else "< 0.1 %"


def audited(budget: Mapping[str, Any]) -> str:
    """The promise on false alarms, and how it was kept, in words; unknown parts are left out."""
    text = f"promised: at most {budget.get('false_alarms') or 'unknown'}"
    raised = budget.get("raised_30_days")
    if raised is not None:
        text += f"; in the last 30 days {raised} incident{'' if raised == 1 else 's'}"
        text += f", {budget.get('acknowledged_false') or 0} acknowledged as false"
    if budget.get("text"):
        text += f"; {budget['text']}"
    return text


def quality_class(tag: Mapping[str, Any]) -> str:
    """``good``, ``uncertain`` or ``bad`` for a tag's quality bits; ``none``: nothing came yet."""
    if tag.get("arrival_ns") is None:
        return "none"
    bits = int(tag.get("quality") or 0)
    if bits & int(NOT_USABLE):
        return "bad"
    return "uncertain" if bits & Quality.UNCERTAIN else "good"


def quality_told(tag: Mapping[str, Any]) -> str:
    """What is wrong with a tag's samples, and its condition, in words, each once."""
    said = [*(tag.get("quality_names") or ()), tag.get("condition") or "good"]
    names = dict.fromkeys(str(name).replace("_", " ") for name in said)
    return ", ".join(name for name in names if name != "good")


def stalled(document: Document, now_ns: int, *, fresh_ns: int = FRESH_NS) -> str:
    """Why the agent does not count as healthy; empty where intake, engine and store move on.

    The document itself is written by intake, engine and store in turn, so its age covers all
    three; `progress` (`intake_ns`, `engine_ns`, `store_ns`, optional) names the one that stands.
    """
    age = age_ns(document, now_ns)
    if age is None:
        return "no status has been written yet"
    progress = document.get("progress") or {}
    for part in ("intake", "engine", "store"):
        moved = progress.get(f"{part}_ns")
        if moved is not None and now_ns - moved > fresh_ns:
            return f"the {part} made no progress for {duration((now_ns - moved) / _NS)}"
    if age > fresh_ns:
        return f"the status is {duration(age / _NS)} old: intake, engine or store stands still"
    return ""


def degraded(document: Document) -> list[str]:
    """What of a running agent does not work as it should, in words; empty where all does.

    `trouble` keeps it from storing: it samples and judges in memory. `parts` failed unexpectedly
    and were started again.
    """
    told = []
    if text := (document.get("trouble") or {}).get("text"):
        told.append(f"nothing is stored, sampling and verdicts go on in memory: {text}")
    for part in items(document, "parts"):
        if part.get("state") in ("failing", "unsteady"):
            times = int(part.get("restarts") or 0)
            again = f"failed {times} time{'s' if times != 1 else ''} and is started again"
            told.append(f"{part.get('name')} {again}: {part.get('reason')}")
    return told


def recovered(document: Document) -> list[str]:
    """Parts that run well again, in words: what happened to them since the start, and when."""
    return [
        f"{part.get('name')} began anew at {utc(part.get('since_ns'))}: {part.get('reason')}"
        for part in items(document, "parts")
        if part.get("state") == "running"
    ]


def utc(time_ns: int | None) -> str:
    """``2026-03-01T02:14:07Z``; ``unknown`` for None or a time outside the calendar."""
    try:
        moment = datetime.fromtimestamp((time_ns or 0) // _NS, UTC) if time_ns else None
    except (OverflowError, ValueError, OSError):
        moment = None
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else "unknown"


def duration(seconds: float | None) -> str:
    """``0.4 s``, ``12 s``, ``3 min``, ``2 h 5 min``, ``4 d 2 h``; ``-`` where unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 100:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


def number(value: Any) -> str:
    """A measured value to five significant digits; ``-`` where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "-" if value is None or isinstance(value, float) else str(value)
    return f"{value:.5g}"


def unacknowledged(document: Document) -> list[Mapping[str, Any]]:
    """Conditions that have cleared and that nobody has acknowledged, the last to clear first."""
    return [c for c in items(document, "conditions") if c.get("state") == "cleared"]


def is_poor(tag: Mapping[str, Any]) -> bool:
    """Whether a tag's value is not good, or a condition is open on it or its source."""
    return quality_class(tag) != "good" or bool(tag.get("condition"))


def acted(act: Mapping[str, Any], when: Callable[[int], str]) -> str:
    """What a person did, in words: ``shelved by Mara until 14:00: being changed``.

    Args:
        act: as `agent.runtime.standings` gives it.
        when: how a time in ns is said.
    """
    text = str(act.get("what"))
    text += " as false" if act.get("false") else ""
    text += f" by {act['by']}" if act.get("by") else ""
    text += f" until {when(act['until_ns'])}" if act.get("until_ns") else ""
    return text + (f": {act['note']}" if act.get("note") else "")


def clock_told(document: Document) -> str:
    """What people should know of the clock; empty where it is synchronised, or nothing is known."""
    return _CLOCK.get(str(document.get("time_quality")), "")


def standing(condition: Mapping[str, Any]) -> str:
    """What people and the plant's design did to a condition, in words; ``active`` for nothing."""
    found = [name.replace("_", " ") for name in _STANDINGS if condition.get(name)]
    return ", ".join(found) or str(condition.get("state"))
