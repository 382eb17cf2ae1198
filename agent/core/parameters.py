"""Parameters: what every chart is judged by, from the baselines of the present operating modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.core import kinds
from agent.core.baseline import InputBaseline, ModeBaseline
from agent.core.kernels import DETECTORS, TAG_DETECTORS, admission, tally
from agent.core.spec import OUTPUT, EngineSpec, ModelSpec

_PATIENCE_NS = 30_000_000_000
"""Within this, and within so many of its reports, a source has noticed that its link is lost."""
_PATIENCE_REPORTS = 5


class Parameters:
    """Arrays of parameters as kernels take them.

    Attributes:
        inputs: detector -> its `params`[rows], of every chart row.
        tags: detector -> its `params`[tags].
        admission: `admission.PARAMS`[rows].
        edges: float64[rows, BINS - 1], standardised inner edges of the summaries' histograms.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        rows = len(spec.rows)
        self._mode = [0] * len(spec.models)
        self._items = [
            [_items(model, mode) for mode in model.baseline.modes] for model in spec.models
        ]
        self.inputs = {d.name: np.zeros(rows, d.params) for d in DETECTORS}
        self.tags = {d.name: self._of_tags(d) for d in TAG_DETECTORS}
        self.admission = np.zeros(rows, admission.PARAMS)
        self.edges = np.full((rows, tally.BINS - 1), np.inf)
        for model in range(len(spec.models)):
            self.use_mode(model, 0)

    def baseline(self, row: int) -> InputBaseline:
        """The baseline of a chart row in its model's present mode."""
        place = self._spec.rows[row]
        return self._items[place.model][self._mode[place.model]][place.position]

    def joint(self, row: int) -> Mapping[str, Any]:
        """What was learnt of all inputs of a chart row's model together, in its present mode."""
        place = self._spec.rows[row]
        return self._spec.models[place.model].baseline.modes[self._mode[place.model]].joint

    def relation(self, row: int) -> tuple[float, Sequence[float]] | None:
        """(intercept, slopes) by which all inputs of the model predict this one, standardised;
        None where the baseline holds none, and of an output.
        """
        place = self._spec.rows[row]
        if place.role == OUTPUT or not (found := self.joint(row).get("relations")):
            return None
        return found[place.position]["intercept"], found[place.position]["coefficients"]

    def use_mode(self, model: int, mode: int) -> None:
        """Judge a model's inputs and outputs by this mode's baseline from now on."""
        self._mode[model] = mode
        for row in self._spec.charted_of(model):
            item = self.baseline(row)
            for detector in DETECTORS:
                values = item.detectors.get(detector.name, detector.disabled)
                for name in detector.params.names or ():
                    self.inputs[detector.name][row][name] = values[name]
            self._admit(row, item)
            inner = np.asarray(item.edges, np.float64)[: tally.BINS - 1]
            self.edges[row] = np.inf
            self.edges[row, : len(inner)] = (inner - item.centre) / item.scale

    def _admit(self, row: int, item: InputBaseline) -> None:
        place = self._spec.rows[row]
        tag = self._spec.tags[place.tag]
        longest = max(tag.interval_ns, item.interval_ns, tag.report_ns)
        delay = 2 * longest if tag.by_exception else 0
        patience = max(_PATIENCE_NS, _PATIENCE_REPORTS * tag.report_ns)
        self.admission[row] = (
            place.tag, item.centre, 1.0 / item.scale, item.interval_ns, delay,
            self._spec.row_of_source[tag.source], patience,
            kinds.code_of(item.kind), item.turn, item.cut, item.fastest,
        )

    def _of_tags(self, detector: Any) -> np.ndarray[Any, Any]:
        params = np.zeros(len(self._spec.tags), detector.params)
        for row, tag in enumerate(self._spec.tags):
            for name, value in (dict(detector.disabled) | detector.of_tag(tag)).items():
                params[row][name] = value
        return params


def _items(model: ModelSpec, mode: ModeBaseline) -> tuple[InputBaseline, ...]:
    """What a mode's baseline has of a model's inputs and charted outputs, in that order."""
    outputs = {output.item.tag: output.item for output in mode.outputs}
    return (*mode.inputs, *(outputs[tag] for tag in model.charted))
