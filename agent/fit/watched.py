"""What an input is watched for, and what not and why, in words: read from its baseline alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.core.baseline import InputBaseline
from agent.core.kernels import DETECTORS, category
from agent.core.kernels.base import NEVER, Detector, Symptom

PREDICTED = 0.5
"""Share of an input's variance that the others must explain for its relations to be watched."""

RELATIONS = "relations"
"""Key of what the joint charts watch an input for, beside the names of its detectors."""

_WORDS = {
    Symptom.BEYOND: "range", Symptom.FLAT: "stuck", Symptom.SPIKE: "spikes",
    Symptom.JUMP: "jumps", Symptom.SCATTER: "noise", Symptom.STATE: "states",
}  # fmt: skip
"""What people call what a detector sees; where two see the same, they are told once."""

OUTPUT_WORDS = {"given_inputs": "level given its inputs", "mix": "class mix"}
"""What an output is watched for besides, by the name of its chart."""

_NO_LIMIT = frozenset({"block", "part", "clip"})  # sizes, which may be as large as a limit


@dataclass(frozen=True, slots=True)
class Watched:
    """`on`: what an input is watched for; `off`: (what it is not watched for, why)."""

    on: tuple[str, ...]
    off: tuple[tuple[str, str], ...]


def watched(item: InputBaseline, reasons: Mapping[str, str] | None = None) -> Watched:
    """What an input is watched for, and what not and why.

    Args:
        item: the input.
        reasons: why a detector (by its name, or `RELATIONS`) is off, where `fit` knows better than
            can be seen from the baseline.
    """
    told = reasons or {}
    states = not is_off(_CATEGORY, item.detectors.get(_CATEGORY.name, {}))
    on: list[str] = []
    off: dict[str, str] = {}
    for detector in DETECTORS:
        word = _word(detector)
        if not is_off(detector, item.detectors.get(detector.name, {})):
            on.append(word)
        elif detector is not _CATEGORY:
            off.setdefault(word, told.get(detector.name) or _why(detector, item, states=states))
    if RELATIONS in told:
        off[RELATIONS] = told[RELATIONS]
    elif item.r2 >= PREDICTED:
        on.append(f"{RELATIONS} (r2 {item.r2:.2f})")
    elif not states and item.noise > 0.0:
        off[RELATIONS] = "the other inputs do not predict it"
    # One of two detectors that see the same is enough for it to be watched.
    return Watched(
        tuple(dict.fromkeys(on)), tuple((what, why) for what, why in off.items() if what not in on)
    )


def is_off(detector: Detector, parameters: Mapping[str, Any]) -> bool:
    """Whether a detector can never flag with these parameters: its limits are the disabled ones."""
    found = {**detector.disabled, **parameters}
    if detector is _CATEGORY:
        return not found["count"]
    if "limit" in found:
        return _endless(found["limit"])
    limits = [
        value for name, value in found.items()
        if name not in _NO_LIMIT and _endless(detector.disabled.get(name, 0))
    ]
    return all(map(_endless, limits))


def _endless(limit: Any) -> bool:
    if isinstance(limit, list):
        return False
    return bool(abs(limit) >= (NEVER if isinstance(limit, float) else 1 << 60))


_CATEGORY = next(detector for detector in DETECTORS if detector.name == category.NAME)


def _word(detector: Detector) -> str:
    return _WORDS.get(detector.traits.symptom, detector.name)


def _why(detector: Detector, item: InputBaseline, *, states: bool) -> str:
    """Why nothing could be set for it, as the input itself tells."""
    if states:
        return "it takes states only"
    if not item.noise > 0.0:
        return "constant in the record"
    return _REASONS.get(detector.traits.symptom, "the record does not show enough of it")


_REASONS = {
    Symptom.FLAT: "it repeats values for as long when it is well",
    Symptom.SCATTER: "it seldom changes",
    Symptom.LEVEL: "the record is too short to show slow movement",
}
