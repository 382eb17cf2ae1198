"""Predictions of other versions of a model, scored on the same labels as the version in service.

They move no chart, and no verdict: what is known of them is how their mean loss compares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.core.loss import MOST as MOST_LOSS

VERSIONS_MOST: Final = 4
_KEPT: Final = 512  # predictions of each version

Rivals = dict[str, dict[str, Any]]
"""Version -> `made` ([when_ns, arrived_ns, key, value] of what waits for its truth), `labels`,
`total` and `own`: labels that both versions had a prediction for, the sum of its losses over them,
and that of the version in service."""


def predicted(
    rivals: Rivals, version: str, when_ns: int, arrived_ns: int, key: int, value: float
) -> bool:
    """Remember a prediction of another version; False where there are too many versions."""
    if version not in rivals:
        if len(rivals) >= VERSIONS_MOST:
            return False
        rivals[version] = {"made": [], "labels": 0, "total": 0.0, "own": 0.0}
    made = rivals[version]["made"]
    made.append([when_ns, arrived_ns, key, value])
    del made[:-_KEPT]
    return True


def labelled(
    rivals: Rivals, of_ns: int, key: int, stands_ns: int, own: float,
    loss_of: Callable[[float], float],
) -> None:  # fmt: skip
    """A truth of the time `of_ns` came, by which the version in service lost `own`."""
    for found in rivals.values():
        likely = [
            one for one in found["made"]
            if (one[2] == key if key else 0 <= of_ns - one[0] <= stands_ns)
        ]
        if not likely:
            continue
        loss = loss_of(max(likely, key=lambda one: one[0])[3])
        if 0.0 <= loss <= MOST_LOSS:
            found["labels"] += 1
            found["total"] += loss
            found["own"] += own


def move(rivals: Rivals, shift_ns: int) -> None:
    """Engine time was set anew."""
    for found in rivals.values():
        for made in found["made"]:
            if made[0] == made[1]:
                made[0] += shift_ns
            made[1] += shift_ns


def from_json(data: Mapping[str, Any]) -> Rivals:
    """What was kept as JSON.

    Raises:
        ValueError, TypeError, KeyError: it is not that.
    """
    return {
        str(version): {
            "made": [[int(a), int(b), int(c), float(d)] for a, b, c, d in found["made"]],
            "labels": int(found["labels"]), "total": float(found["total"]),
            "own": float(found["own"]),
        }
        for version, found in data.items()
    }  # fmt: skip
