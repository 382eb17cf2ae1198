"""How people read what losses say of a model: a condition's name, and evidence for retraining."""

from __future__ import annotations

from typing import Any

from agent.core.diagnosis import Diagnosis
from agent.core.figures import clock
from agent.core.names import ERRORS_GREW
from agent.core.truth_pair import Pair

_RANK = 9


def named(pair: Pair) -> Diagnosis:
    """The name of losses that are higher than in training, with figures.

    Where most of the labels are of predictions whose inputs had moved, the plant did something that
    the model was not trained for; else inputs are as trained, and the model is not.
    """
    state, label, reference = pair.state, pair.label, pair.reference
    known = reference.risk if reference is not None else float("nan")
    mean = state.rise_sum / state.rise_labels if state.rise_labels else float("nan")
    moved = 2 * state.rise_shifted > state.rise_labels
    text = (
        f"{label.output} errs more than in training: its mean loss ({label.loss}) is {mean:.3g} "
        f"over the last {state.rise_labels} labels, of {clock(state.rise_ns)} and later; expected "
        f"from training: {known:.3g}"
    )
    if moved:
        return Diagnosis(
            ERRORS_GREW, "process", f"{text}; its inputs were not as trained then",
            "the plant did what the model was not trained for: decide whether it is a new normal",
            _RANK,
        )
    return Diagnosis(
        ERRORS_GREW, "model", f"{text}; its inputs are as trained",
        "the model no longer fits the plant: check the labels, then retrain it", _RANK,
    )


def evidence_of(pair: Pair) -> dict[str, Any]:
    """Why a request for retraining is opened, JSON-ready."""
    state, reference, chart = pair.state, pair.reference, pair.chart
    labels = max(state.rise_labels, 1)
    mean, allowed = state.rise_sum / labels, chart.allowed if chart is not None else 0.0
    return {
        "text": f"the {pair.label.loss} loss of {pair.label.output} is {mean:.3g} over {labels} "
        f"labels, {allowed:.3g} are allowed",
        "output": pair.label.output, "tag": pair.label.tag, "loss": pair.label.loss,
        "mean_loss": mean, "labels": state.rise_labels,
        "since_ns": state.rise_ns, "of_ns": state.of_ns,
        "expected": reference.risk if reference is not None else 0.0,
        "allowed": allowed,
        "tolerance": pair.label.tolerance, "inputs_moved": 2 * state.rise_shifted > labels,
    }


def kinds_of(remarks: list[str]) -> list[str]:
    """What remarks are about, without their figures: as long as that stays, it is told once."""
    return [text.partition(":")[0] for text in remarks]


def not_assessed(pair: Pair) -> dict[str, Any]:
    """That no truth came for too long, JSON-ready; without a text while it is not so."""
    state = pair.state
    since_ns = state.of_ns or state.heard_ns
    text = f"{pair.label.output} is not assessed since {clock(since_ns)}: {pair.label.tag} stopped"
    if not state.of_ns:
        text = f"{pair.label.output} was never assessed: no label of {pair.label.tag} came for it"
    return {
        "output": pair.label.output, "tag": pair.label.tag, "since_ns": since_ns,
        "limit_ns": pair.limit_ns, "text": text if state.stopped else "",
    }  # fmt: skip
