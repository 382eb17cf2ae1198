"""`fit --labels`: what labels of a record say of a model's losses.

The engine itself runs over the record and matches labels with predictions, as it does in service:
so novelty, losses and what is left out mean the same. Of these, `expected_loss` makes a reference
for each output.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from agent.configuration.schema import Configuration
from agent.core.baseline import Baseline
from agent.core.engine import Engine
from agent.core.expected_loss import LossReference
from agent.core.label_watch import LabelReference, reference_of
from agent.core.truth_pair import Pair
from agent.errors import FieldwardenError
from agent.fit.budget import divide, loads
from agent.fit.expected_loss import fit_expected_loss
from agent.records.replay import after_texts, table_entries
from agent.records.table import Table
from agent.runtime.assemble import build_spec
from agent.types import Float64

_ROWS_AT_ONCE: Final = 512
_YEAR_NS: Final = 365 * 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class LossLearnt:
    """What was learnt of an output's losses.

    Attributes:
        output, label, loss: what was compared, and how.
        labels, left_out: those that counted; those of predictions made on faulty inputs.
        every_s: from one label to the next.
        mean, error: mean loss and its standard error.
        correlation: of loss and held-out expected loss; `used` whether it is enough to go by.
        arl: labels between two false alarms, and `arl_s` how long that is.
    """

    output: str
    label: str
    loss: str
    labels: int
    left_out: int
    every_s: float
    mean: float
    error: float
    correlation: float
    used: bool
    arl: float
    arl_s: float


class _Recorded:
    """All scans and losses of a record, written down in place of judging them."""

    def __init__(self) -> None:
        self._novelty: list[float] = []
        self._said: list[float] = []
        self._scan_of: dict[int, int] = {}
        self._losses: dict[int, tuple[float, float]] = {}

    def scan(self, novelty: float, said: float) -> None:
        """A scan, and the prediction that stood at it."""
        self._novelty.append(novelty)
        self._said.append(said)

    def made(self, when_ns: int) -> None:
        """The prediction of a time was made from the latest scan."""
        self._scan_of[when_ns] = len(self._novelty) - 1

    def label(self, when_ns: int, said: float, loss: float) -> None:
        """What a prediction of a time said, and its loss."""
        self._losses[when_ns] = said, loss

    def columns(self) -> tuple[Float64, Float64, Float64]:
        """Novelty, prediction and loss of all scans."""
        said, loss = np.array(self._said), np.full(len(self._said), np.nan)
        for when_ns, found in self._losses.items():
            scan = self._scan_of.get(when_ns, -1)
            if scan >= 0:
                said[scan], loss[scan] = found
        return np.array(self._novelty), said, loss


def with_labels(table: Table, labels: Table) -> Table:
    """A record with the columns of a second one, each value in the row of its time or before it.

    Raises:
        FieldwardenError: no value lies within the record.
    """
    place = np.searchsorted(table.time_ns, labels.time_ns, side="right") - 1
    rows = np.where(place >= 0, table.time_ns[np.maximum(place, 0)], labels.time_ns)
    near = (place >= 0) & (labels.time_ns - rows < 2 * table.interval_ns)
    if not near.any():
        raise FieldwardenError(
            "taking labels", ", ".join(labels.names), "none of them is of a time of the record",
            "give labels of the same time as the training data, with the times they are of",
        )
    names = [name for name in labels.names if name not in table.names]
    columns = np.full((len(table.time_ns), len(names)), np.nan)
    for column, name in enumerate(names):
        value = labels.column(name)
        known = near & np.isfinite(value)
        columns[place[known], column] = value[known]
    return replace(
        table, names=(*table.names, *names), values=np.column_stack([table.values, columns]),
        texts={**table.texts, **labels.texts},
    )  # fmt: skip


def fit_labels(
    configuration: Configuration, name: str, baseline: Baseline, table: Table
) -> tuple[dict[str, LossReference], tuple[LossLearnt, ...]]:
    """References of a model's losses by "LOSS of OUTPUT", and what people should see of them.

    Args:
        configuration: says what labels there are.
        name: of the model.
        baseline: what its inputs were trained on.
        table: the record, with columns of inputs, outputs and labels.

    Raises:
        BaselineError: too few labels with a prediction.
    """
    found: dict[str, LossReference] = {}
    told = []
    per_ns = divide(configuration.gateway.false_alarms_per_ns, loads(configuration))[name]
    for pair, seen in _run(configuration, name, baseline, table):
        novelty, said, loss = seen.columns()
        count = int(np.isfinite(loss).sum())
        every_ns = table.covered_ns / max(count, 1)
        arl = 1.0 / (per_ns.loss_per_ns * every_ns)
        subject = f"{pair.label.output} by {pair.label.tag}"
        reference = fit_expected_loss(novelty, said, loss, arl=arl, name=subject)
        found[f"{pair.label.loss} of {pair.label.output}"] = reference
        told.append(LossLearnt(
            pair.label.output, pair.label.tag, pair.label.loss, reference.labels,
            pair.state.left_out.count, every_ns / 1e9, reference.risk, reference.risk_error,
            reference.correlation, reference.slope > 0.0, arl, arl * every_ns / 1e9,
        ))  # fmt: skip
    return found, tuple(told)


def streams(configuration: Configuration, name: str, table: Table) -> dict[str, LabelReference]:
    """What the truths of a record look like, by tag."""
    found = {}
    for label in configuration.models[name].labels:
        truths = table.column(label.tag)
        at = np.flatnonzero(np.isfinite(truths))
        if len(at) > 1:
            times = table.time_ns[at].tolist()
            found[label.tag] = reference_of(times, truths[at].tolist())
    return found


def _run(
    configuration: Configuration, name: str, baseline: Baseline, table: Table
) -> list[tuple[Pair, _Recorded]]:
    """Run the engine over a record; each label, and what was written down of it."""
    model = configuration.models[name]
    needed = {*model.inputs, *([model.mode.tag] if model.mode else [])}
    needed |= {one for label in model.labels for one in (label.tag, label.of)}
    tags = {tag: item for tag, item in configuration.tags.items() if tag in needed}
    part = configuration.model_copy(update={"tags": tags, "models": {name: model}})
    spec = build_spec(
        part, {tag: row for row, tag in enumerate(tags)}, {name: replace(baseline, losses={})},
        recorded=_intervals(table),
    )
    engine = Engine(replace(spec, summary_ns=_YEAR_NS))
    made: list[tuple[Pair, _Recorded]] = []
    for pair in engine.truth.pairs[0]:
        pair.recorder = seen = _Recorded()
        made.append((pair, seen))
    for entry in after_texts(table, table_entries(spec, table, _ROWS_AT_ONCE)):
        engine.step(entry)
    return made


def _intervals(table: Table) -> Mapping[str, int]:
    steps: dict[str, Any] = {name: table.steps_ns(name) for name in table.names}
    return {name: int(np.median(own)) for name, own in steps.items() if len(own)}
