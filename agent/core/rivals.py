"""Predictions of other versions of a model, scored on the same labels as the version in service.

They move no chart, and no verdict: what is known of them is how their mean loss compares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from agent.core.loss import is_usable

VERSIONS_MOST: Final = 4
_KEPT: Final = 512  # predictions of each version

Rivals = dict[str, dict[str, Any]]
"""Version -> `made` ([when_ns, arrived_ns, key, value, scores of classes] of what waits for its
truth), `labels`, `total` and `own`: labels that both versions had a prediction for, the sum of its
losses over them, and that of the version in service."""


class Compared(NamedTuple):
    """One label, by which `version` lost `loss` and the version in service `own`."""

    version: str
    own: float
    loss: float


def reserve(rivals: Rivals, version: str) -> None:
    """A version is to be compared from now on; where there is no room, the first one goes."""
    if version not in rivals and len(rivals) >= VERSIONS_MOST:
        del rivals[next(iter(rivals))]
    rivals.setdefault(version, _new())


def _new() -> dict[str, Any]:
    return {"made": [], "labels": 0, "total": 0.0, "own": 0.0}


def predicted(
    rivals: Rivals, version: str, when_ns: int, arrived_ns: int, key: int, value: float,
    scores: Mapping[str, float] | None = None,
) -> bool:  # fmt: skip
    """Remember a prediction of another version; False where there are too many versions."""
    if version not in rivals:
        if len(rivals) >= VERSIONS_MOST:
            return False
        rivals[version] = _new()
    made = rivals[version]["made"]
    made.append([when_ns, arrived_ns, key, value, dict(scores or {}) if key else {}])
    del made[:-_KEPT]
    return True


def labelled(
    rivals: Rivals, of_ns: int, key: int, stands_ns: int, own: float,
    loss_of: Callable[[float, Mapping[str, float]], float],
) -> list[Compared]:  # fmt: skip
    """A truth of the time `of_ns` came, by which the version in service lost `own`."""
    compared = []
    for version, found in rivals.items():
        likely = [
            one for one in found["made"]
            if (one[2] == key if key else 0 <= of_ns - one[0] <= stands_ns)
        ]
        if not likely:
            continue
        loss = loss_of(*max(likely, key=lambda one: one[0])[3:])
        if is_usable(own) and is_usable(loss):
            found["labels"] += 1
            found["total"] += loss
            found["own"] += own
            compared.append(Compared(version, own, loss))
    return compared


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
            # of an earlier version without scores
            "made": [
                [int(one[0]), int(one[1]), int(one[2]), float(one[3]), dict(*one[4:])]
                for one in found["made"]
            ],
            "labels": int(found["labels"]), "total": float(found["total"]),
            "own": float(found["own"]),
        }
        for version, found in data.items()
    }  # fmt: skip
