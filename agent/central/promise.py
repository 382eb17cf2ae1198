"""What a birth tells of the gateway's promise on false alarms, whatever a gateway sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LONGEST = 100  # characters
_MOST = 10**9


def promise_of(told: Any) -> dict[str, Any] | None:
    """As `forward/schemas/state.json` has it; None where nothing is told, or in no form."""
    if not isinstance(told, Mapping):
        return None
    counts = ("watched_days", "raised", "acknowledged", "false")
    return {
        "false_alarms": str(told.get("false_alarms", ""))[:_LONGEST],
        "expected_per_30_days": _rate(told.get("expected_per_30_days")),
        **{key: _count(told.get(key)) for key in counts},
        "exceeded": told.get("exceeded") is True,
    }


def _rate(value: Any) -> float:
    return float(value) if type(value) in (int, float) and 0 <= value < _MOST else 0.0


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < _MOST else 0
