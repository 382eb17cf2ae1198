"""What is answered of vectors compared with training: per input, jointly, and in words."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from agent.core.figures import many
from agent.core.spec import TagSpec
from agent.core.vectors import Compared, Training
from agent.types import Float64


def answer_of(
    training: Training, values: Float64, found: Compared, tags: Sequence[TagSpec],
    required: Collection[str],
) -> list[dict[str, Any]]:
    """One answer for each vector, JSON-ready.

    `overall` is ``extrapolating`` where an input is outside its trained or its physical range, or
    all together are too far from training; ``unknown`` where a required input, or its distance from
    training, is not known; else ``within``.

    Args:
        training: what they were compared with.
        values: float64[m, d] as they came, NaN where there was none.
        found: what came of it.
        tags: of the d inputs.
        required: inputs without which the model can not be judged.
    """
    physical = np.array([tag.physical or (-math.inf, math.inf) for tag in tags]).reshape(-1, 2)
    with np.errstate(invalid="ignore"):
        possible = np.isnan(values) | ((values >= physical[:, 0]) & (values <= physical[:, 1]))
    return [
        _one(training, values[row], found, row, possible[row], tags, required)
        for row in range(len(values))
    ]


def _one(
    training: Training, values: Float64, found: Compared, row: int, possible: Any,
    tags: Sequence[TagSpec], required: Collection[str],
) -> dict[str, Any]:
    known, inside = found.known[row], found.inside[row]
    far = float(found.distance[row])
    outside, unknown, inputs = [], [], []
    for j, tag in enumerate(tags):
        value, item = float(values[j]), training.inputs[j]
        given = math.isfinite(value)
        if not inside[j]:
            outside.append(_beyond(tag, value, *item.trained, "trained"))
        if not possible[j] and tag.physical is not None:
            outside.append(_beyond(tag, value, *tag.physical, "physical"))
        if not known[j]:
            counted = given and not training.tells[j]
            why = f"it is a {item.kind}, which one value does not tell" if counted else "no value"
            unknown.append((tag.name in required, f"{tag.name} is not judged: {why}"))
        inputs.append({
            "tag": tag.name, "value": value if given else None, "unit": tag.unit,
            "in_trained_range": bool(inside[j]) if known[j] else None,
            "trained": list(item.trained),
            "in_physical_range":
                bool(possible[j]) if given and tag.physical is not None else None,
            "physical": list(tag.physical) if tag.physical is not None else None,
        })  # fmt: skip
    if far > 1.0:
        outside.append(
            f"together the inputs are {many(far)} times as far from training as is allowed"
        )
    lacking = [text for needed, text in unknown if needed]
    whole = bool(found.whole[row])
    if not whole:
        lacking = lacking or [text for _, text in unknown]
        lacking.append("how far the inputs are from training together is not known")
    overall = "extrapolating" if outside else "unknown" if lacking else "within"
    return {
        "overall": overall, "reasons": outside + lacking, "inputs": inputs,
        "joint": {
            "distance": far if math.isfinite(far) else None,
            "within": None if not math.isfinite(far) else far <= 1.0 and (whole or None),
        },
    }


def _beyond(tag: TagSpec, value: float, low: float, high: float, what: str) -> str:
    unit = f" {tag.unit}" if tag.unit else ""
    side = "above" if value > high else "below"
    return f"{tag.name} = {value:.5g}{unit} is {side} its {what} range of {low:.5g} to {high:.5g}"
