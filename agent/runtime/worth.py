"""What a model is worth as everybody is told: the engine's verdict, unless nothing can be stored.

Page, API, metrics, the files for models and `fieldwarden status` all take it from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.configuration.schema import Configuration
from agent.core.engine import Engine
from agent.core.steward import Steward
from agent.core.verdict import reasons_of
from agent.runtime.errors_told import errors_of

_VALID_SCANS: Final = 10
_LEAST_VALID_NS: Final = 10_000_000_000
_NO_SCAN: Final = {
    "text": "no scan of its inputs was judged yet", "cause": "unknown", "kind": "waiting",
    "hint": "", "condition": "", "tag": "", "source": "",
}


def valid_until_ns(scan_ns: int, last_ns: int) -> int:
    """Until when a verdict whose last scan was at `last_ns` may be believed."""
    return last_ns + max(_VALID_SCANS * scan_ns, _LEAST_VALID_NS)


def boottime_at(engine: Engine, time_ns: int) -> int:
    """CLOCK_BOOTTIME at an engine time, in the run of the kernel that `boot_id` names."""
    return time_ns - engine.timeline.offset_ns


def told_of(
    configuration: Configuration, engine: Steward, index: int, trouble: Mapping[str, str]
) -> dict[str, Any]:
    """Name, version, owner, verdict, reasons and validity of the model at `index`, JSON-ready.

    Args:
        configuration: as it is applied.
        engine: as of the last fold.
        index: of the model in the engine's spec.
        trouble: what keeps the agent from storing; while it does, nothing that a model was told
            could be shown afterwards, so no verdict is given.
    """
    model = engine.spec.models[index]
    owner = configuration.models[model.name].owner
    found = engine.judge.verdicts.get(model.name)
    verdict, since = "unassessable", engine.judge.since.get(model.name)
    reasons = reasons_of(found) if found is not None else [dict(_NO_SCAN)]
    if trouble:
        if found is None or found.verdict != verdict:
            since = None
        reasons = [_not_stored(trouble), *reasons]
    elif found is not None:
        verdict = found.verdict
    until = valid_until_ns(model.scan_ns, engine.charts.scans[index].last_ns or engine.time_ns)
    return {
        "name": model.name, "version": model.version, "in_service": _whence(engine, model.name),
        "owner": {"team": owner.team, "contact": owner.contact},
        "verdict": verdict, "since_ns": since,
        "valid_until_ns": until, "valid_until_boottime_ns": boottime_at(engine, until),
        "reasons": reasons, "provisional": model.baseline.provisional,
        "baseline": model.baseline.digest[:12], "baseline_hash": model.baseline.digest,
        "errors": errors_of(engine, index),
    }


def _whence(engine: Steward, name: str) -> dict[str, Any]:
    """Why this version of a model serves: the configuration says so, or a person accepted it."""
    served = engine.service.now(name)
    if served is None:
        return {"from": "configuration"}
    before = engine.service.of[name]
    earlier = before.served[-2].version if len(before.served) > 1 else before.version
    return {
        "from": "trial", "trial": served.trial, "since_ns": served.since_ns, "by": served.by,
        "note": served.note, "replaces": earlier, "configured": before.version,
    }


def _not_stored(trouble: Mapping[str, str]) -> dict[str, str]:
    text = f"the agent can store nothing: {trouble.get('text') or 'unknown'}"
    return _NO_SCAN | {"text": text, "kind": "not stored", "hint": trouble.get("hint", "")}


def causes_of(reasons: Sequence[Mapping[str, Any]]) -> list[str]:
    """The causes that reasons name, each once, the first reason's first."""
    return list(dict.fromkeys(str(reason.get("cause", "unknown")) for reason in reasons))
