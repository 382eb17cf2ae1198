"""Metrics of what models give: their errors against labels, the estimate, and their outputs.

A loss is in the unit of its kind, which the label `loss` names, so names have no unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from prometheus_client.core import Metric

from agent.status import view
from agent.status.families import family, total
from agent.status.view import Document

MAX_OUTPUTS: Final = 200  # of all models, in the order of the configuration
_NS: Final = 1e9

Taken = Callable[[Mapping[str, Any]], float | None]


def _estimated(part: str) -> Taken:
    return lambda one: (one.get("estimated") or {}).get(part)


def _moment(name: str) -> Taken:
    return lambda one: None if one.get(name) is None else one[name] / _NS


_GAUGES: Final[tuple[tuple[str, str, Taken], ...]] = (
    ("output_loss_mean", "Mean loss of the latest labels.", lambda one: one.get("recent_loss")),
    ("output_loss_reference", "Mean loss in training.", lambda one: one.get("expected_loss")),
    ("output_loss_allowed", "Mean loss beyond which evidence gathers.",
     lambda one: one.get("allowed_loss")),
    ("output_loss_estimated", "Estimate, from inputs alone, of the mean loss of the latest day.",
     _estimated("loss")),
    ("output_loss_estimated_low", "Its interval begins here (90 % of clean days).",
     _estimated("low")),
    ("output_loss_estimated_high", "Its interval ends here.", _estimated("high")),
    ("output_errors_grew", "1 while the chart of losses warns.",
     lambda one: None if one.get("expected_loss") is None else float(bool(one.get("raised")))),
    ("output_evidence_ratio", "Evidence that losses exceed what is allowed; 1 asks for retraining.",
     lambda one: one.get("evidence")),
    ("output_not_assessed", "1 where no label came for too long.",
     lambda one: float(bool(one.get("not_assessed")))),
    ("output_last_label_timestamp_seconds", "When a label came last.", _moment("heard_ns")),
    ("output_assessed_timestamp_seconds", "The time that the latest label is of.",
     _moment("assessed_ns")),
)  # fmt: skip
"""Name, help and value of each gauge of an output that has labels; None: there is none."""


def collected(document: Document) -> Iterator[Metric]:
    """All families, each bounded by `MAX_OUTPUTS`."""
    yield from _errors(document)
    yield _outputs(document)


def _errors(document: Document) -> Iterator[Metric]:
    labels = total("output_labels", "Labels compared with a prediction.", "model", "output", "loss",
                   "label")  # fmt: skip
    gauges = [family(name, text, "model", "output", "loss", "label") for name, text, _ in _GAUGES]
    for model, one in _bounded(document, "errors"):
        named = [model, *(str(one.get(key) or "") for key in ("output", "loss", "label"))]
        labels.add_metric(named, one.get("labels") or 0)
        for gauge, (_, _, taken) in zip(gauges, _GAUGES, strict=True):
            if (value := taken(one)) is not None:
                gauge.add_metric(named, value)
    yield labels
    yield from gauges


def _outputs(document: Document) -> Metric:
    found = family(
        "output_as_trained", "1 while no condition is open on an output that training knew.",
        "model", "output",
    )  # fmt: skip
    for model, one in _bounded(document, "outputs"):
        if one.get("trained"):
            found.add_metric([model, str(one.get("tag"))], float(one.get("state") == "good"))
    return found


def _bounded(document: Document, key: str) -> list[tuple[str, Mapping[str, Any]]]:
    """(model, row) of the first outputs of all models."""
    rows = [
        (str(model.get("name")), one)
        for model in view.items(document, "models") for one in view.items(model, key)
    ]
    return rows[:MAX_OUTPUTS]
