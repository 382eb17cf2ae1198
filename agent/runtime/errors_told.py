"""What is known of a model's errors, as everybody is told: losses of labels, and the estimate."""

from __future__ import annotations

import math
from typing import Any

from agent.core.engine import Engine
from agent.core.truth_pair import Pair
from agent.core.truth_words import not_assessed


def errors_of(engine: Engine, index: int) -> list[dict[str, Any]]:
    """Of each output of the model at `index` that has labels, JSON-ready."""
    return [_of(pair) for pair in engine.truth.pairs[index]]


def _of(pair: Pair) -> dict[str, Any]:
    state, reference, label = pair.state, pair.reference, pair.label
    return {
        "output": label.output, "label": label.tag, "loss": label.loss,
        "labels": state.labels, "mean_loss": _mean(state.total, state.labels),
        "recent_loss": _mean(math.fsum(state.recent), len(state.recent)),
        "recent_labels": len(state.recent),
        "expected_loss": reference.risk if reference is not None else None,
        "raised": state.chart.up, "assessed_ns": state.of_ns or None,
        "not_assessed": not_assessed(pair)["text"] if state.stopped or not state.of_ns else "",
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
