"""What may be wrong with a gateway of a fleet that is made up: one row a kind."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple


class Trouble(NamedTuple):
    """One kind.

    Attributes:
        name: of the kind.
        verdict: as it is told of the models that are touched.
        cause: sensor, integration, process, model or unknown.
        text: of the condition and of the verdict's reason; empty: there is no condition.
        subject: of the condition.
        severity: of the condition.
        models: how many of the gateway's first models are touched.
        offline: the broker says that it is gone.
        silent_s: nothing was heard for so long.
        hold: of an open change upstream: held, would hold or none; empty: there is no change.
        request: state of a retraining request; empty: there is none.
        exceeded: its promise of false alarms is not kept.
        missing: events that nothing explains the lack of.
    """

    name: str
    verdict: str = "trusted"
    cause: str = "sensor"
    text: str = ""
    subject: str = "tag/cooling.flow"
    severity: str = "medium"
    models: int = 1
    offline: bool = False
    silent_s: float = 0.0
    hold: str = ""
    request: str = ""
    exceeded: bool = False
    missing: int = 0


TROUBLES: Final = (
    Trouble("stuck", "untrusted", "sensor", "cooling.flow is stuck at 41.2 m3/h", severity="high"),
    Trouble("unit", "untrusted", "integration", "feed.temperature jumped as if its unit were K",
            "tag/feed.temperature", "high", 2, hold="held"),
    Trouble("source", "unassessable", "integration",
            "cooling.flow is lost: no connection to source utilities", "source/utilities", "high",
            2),
    Trouble("offline", "trusted", models=0, offline=True, silent_s=5_400.0),
    Trouble("process", "caution", "process", "steam.pressure is above its trained range",
            "tag/steam.pressure"),
    Trouble("model", "untrusted", "model", "its errors grew: 2.5, 1.2 are allowed", "model/yield",
            request="open"),
    Trouble("silent", "trusted", models=0, silent_s=900.0),
    Trouble("declared", "caution", "model", "the plant runs otherwise than in training",
            "model/yield", request="declared"),
    Trouble("promise", "caution", "unknown", "cooling.flow moves less than its noise",
            exceeded=True, missing=3),
    Trouble("announced", "trusted", models=0, hold="would hold"),
)  # fmt: skip


def reasons_of(trouble: Trouble) -> list[dict[str, str]]:
    """Of a verdict message."""
    if not trouble.text:
        return []
    return [{"text": trouble.text, "cause": trouble.cause, "hint": "look at it on the gateway"}]


def contract_of(number: int, trouble: Trouble | None, now: datetime) -> Mapping[str, Any]:
    """As a birth tells it."""
    changes = []
    if trouble and trouble.hold:
        since = now - timedelta(hours=1 + number % 70)
        changes.append({
            "id": f"utilities-{number}", "source": "utilities", "state": "detected",
            "grade": "breaking", "hold": trouble.hold, "since_ns": int(since.timestamp()) * 10**9,
            "tags": 1, "models": ["yield"], "needs": ["integration"],
            "text": "tag feed.temperature: unit was degC, is K",
        })  # fmt: skip
    return {
        "hash": f"{number:064x}", "made": "2026-09-01T08:00:00Z",
        "held_tags": sum(one["hold"] == "held" for one in changes), "open_changes": len(changes),
        "changes": changes,
    }  # fmt: skip


def promise_of(chance: random.Random, trouble: Trouble | None) -> dict[str, Any]:
    """As a birth tells it."""
    raised = chance.choice((0, 0, 0, 1, 2)) + (9 if trouble and trouble.exceeded else 0)
    return {
        "false_alarms": "1 per 30 days", "expected_per_30_days": 1.0, "watched_days": 30,
        "raised": raised, "acknowledged": raised,
        "false": 7 if trouble and trouble.exceeded else int(raised > 1),
        "exceeded": bool(trouble and trouble.exceeded),
    }  # fmt: skip
