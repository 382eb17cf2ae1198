"""What is known of a model's errors, as everybody is told: losses of labels, and the estimate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from agent.core.engine import Engine
from agent.core.truth_pair import Pair
from agent.core.truth_words import not_assessed

IN_SHORT_MOST: Final = 20
"""Outputs of a model: some 300 bytes each."""

_SHORT: Final = (
    "output", "loss", "labels", "recent_loss", "recent_labels", "expected_loss", "raised",
    "not_assessed",
)  # fmt: skip


def errors_of(engine: Engine, index: int) -> list[dict[str, Any]]:
    """Of each output of the model at `index` that has labels, JSON-ready."""
    return [_of(pair) for pair in engine.truth.pairs[index]]


def in_short(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What central is told with a verdict: what is wrong first, at most `IN_SHORT_MOST`."""
    made = []
    for one in sorted(errors, key=lambda one: not (one["raised"] or one["not_assessed"])):
        estimate = one["estimated"]
        made.append({name: one[name] for name in _SHORT} | {
            "estimated": None if estimate is None else {
                name: estimate[name] for name in ("loss", "low", "high")
            },
        })
    return made[:IN_SHORT_MOST]


def _of(pair: Pair) -> dict[str, Any]:
    state, reference, label = pair.state, pair.reference, pair.label
    return {
        "output": label.output, "label": label.tag, "loss": label.loss,
        "labels": state.labels, "mean_loss": _mean(state.total, state.labels),
        "recent_loss": _mean(math.fsum(state.recent), len(state.recent)),
        "recent_labels": len(state.recent),
        "expected_loss": reference.risk if reference is not None else None,
        "allowed_loss": pair.chart.allowed if pair.chart is not None else None,
        "evidence": state.chart.evidence if pair.chart is not None else None,
        "raised": state.chart.up, "assessed_ns": state.of_ns or None,
        "heard_ns": int(state.latest[-1][0]) if state.latest else None,
        "not_assessed": not_assessed(pair)["text"],
        "left_out": state.spoilt, "late": state.late,
        "unmatched": state.unmatched + len(state.early), "corrected": state.corrected,
        "repeated": state.repeated, "predictions": state.predictions,
        "labelled_share": state.selection.share, "labelled_newer": state.selection.newer,
        "versions": [
            {"version": version, "labels": one["labels"],
             "mean_loss": _mean(one["total"], one["labels"]),
             "mean_loss_in_service": _mean(one["own"], one["labels"])}
            for version, one in sorted(state.rivals.items())
        ],
        "remarks": pair.remarks(), "estimated": _estimated(pair),
    }  # fmt: skip


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None


def _estimated(pair: Pair) -> dict[str, Any] | None:
    """The loss that inputs alone let expect, over the latest day: an estimate, and no finding."""
    found = pair.estimate()
    if found is None:
        return None
    estimate, scans = found
    return {
        "loss": estimate.value, "low": estimate.low, "high": estimate.high, "scans": scans,
        "text": f"estimated from inputs alone: {estimate.value:.3g} "
                f"({estimate.low:.3g} to {estimate.high:.3g})",
    }  # fmt: skip
