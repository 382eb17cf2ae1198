"""What losses said while an input was another than it was taken for, taken back.

Loss charts are remembered as those of inputs are (`before`), and put back where a change upstream
is over: what labels of the time between said is no evidence of the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.before import APART
from agent.core.truth import Truth
from agent.core.truth_keys import label_key

Losses = Mapping[str, Mapping[str, Any]]
"""Key of a label -> its loss chart, as JSON."""


def keep(truth: Truth, now: int) -> None:
    """A window ended: what loss charts are now may be asked for later."""
    for model, pairs in zip(truth.spec.models, truth.pairs, strict=True):
        for pair in pairs:
            pair.state.keep(now, APART * model.scan_ns)


def copy(truth: Truth, model: int, onset_ns: int) -> dict[str, dict[str, Any]]:
    """A model's loss charts from before an onset, for `put_back`; not those that are younger."""
    found = {
        label_key(truth.spec.models[model], pair.label): pair.state.chart_before(onset_ns)
        for pair in truth.pairs[model]
    }
    return {key: chart for key, chart in found.items() if chart is not None}


def spoil(truth: Truth, model: int, since_ns: int) -> None:
    """An input was another since then: what was made from it tells nothing of the model."""
    for pair in truth.pairs[model]:
        pair.memory.spoil(since_ns)


def put_back(truth: Truth, model: int, charts: Losses) -> None:
    """A model's loss charts are as they were; new where nothing is known of that."""
    for pair in truth.pairs[model]:
        pair.state.put_back(charts.get(label_key(truth.spec.models[model], pair.label)))
        pair.take(pair.state)
