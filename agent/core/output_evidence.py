"""Evidence of a model's outputs: where they are, and whether an input explains that.

Reads charts and conditions as of an instant, as `evidence` does; holds no state of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from agent.core import identity
from agent.core.baseline import OutputBaseline
from agent.core.charts import Charts
from agent.core.condition import Condition
from agent.core.identity import Place, Subject
from agent.core.kernels import mix
from agent.core.kernels.base import Symptom
from agent.core.output_diagnosis import OutputEvidence
from agent.core.scan_means import latest_mean
from agent.core.spec import EngineSpec, ModelSpec
from agent.core.tag_evidence import Evidence
from agent.types import Float64

_LATEST = 8
"""Values that where an output is is the mean of."""

_MOSTLY = 0.5
"""Share of an output's way from its centre that inputs explain, from which it is as they give."""

_SHOWN = 3
"""Classes whose shares are told."""

Active = Mapping[Subject, Condition]


class OutputReader:
    """Reads what diagnosis is shown of outputs."""

    def __init__(self, spec: EngineSpec, charts: Charts, settling_ns: Mapping[str, int]) -> None:
        self._spec, self._charts, self._settling_ns = spec, charts, settling_ns
        self._models: dict[str, list[ModelSpec]] = {}
        for model in spec.models:
            for name in model.charted:
                self._models.setdefault(name, []).append(model)

    def of(
        self, evidence: Evidence, row: int, condition: Condition, active: Active, now: int
    ) -> OutputEvidence:
        """All that is known of an output of the model of a chart row.

        Args:
            evidence: of the tag, as of an input.
            row: chart row.
            condition: the tag's.
            active: all conditions.
            now: engine time in ns.
        """
        model = self._spec.models[self._spec.rows[row].model]
        cause = self._cause(model, condition, active)
        given = self._given(row, now)
        return OutputEvidence(
            evidence, model.name, _told(cause), cause is not None and cause.cause == "process",
            given * evidence.scale + evidence.centre,
            _explains(given, evidence.recent) and Symptom.UNEXPLAINED not in evidence.symptoms,
            self._mix(row, evidence.recent), self._classes(row),
        )

    def follows(self, condition: Condition, active: Active) -> bool:
        """Whether all that is found of a tag is of outputs, and follows from their inputs."""
        if condition.subject.place is not Place.TAG or not condition.seen:
            return False
        models = {model.name: model for model in self._models.get(condition.subject.name, ())}
        return all(
            key.model in models and self._cause(models[key.model], condition, active) is not None
            for key in condition.seen
        )

    def _cause(
        self, model: ModelSpec, condition: Condition, active: Active
    ) -> Condition | None:
        """The condition of what a model is given that explains one of its output: one that is told
        already first, else the earliest; none that came later than what one fault brings about.
        """
        still = condition.subject.name not in model.classes and any(
            key.symptom is Symptom.FLAT for key in condition.seen if key.model == model.name
        )
        latest_ns = condition.first_ns + self._settling_ns[model.name]
        found = [
            one for one in self._of_inputs(model, active)
            if one is not condition and one.first_ns <= latest_ns and (not still or _stands(one))
        ]
        return min(
            found, key=lambda one: (not one.raised, one.first_ns, one.subject), default=None
        )

    def _of_inputs(self, model: ModelSpec, active: Active) -> Iterator[Condition]:
        subjects = [identity.tag(name) for name in model.inputs]
        subjects.append(identity.model(model.name))
        subjects += [identity.source(self._spec.tag_of[name].source) for name in model.inputs]
        for subject in dict.fromkeys(subjects):
            one = active.get(subject)
            if one is None:
                continue
            if subject.place is Place.SOURCE or any(
                key.model in {"", model.name} for key in one.seen
            ):
                yield one

    def _given(self, row: int, now: int) -> float:
        """What the inputs' latest scans give by the trained relation, standardised; NaN without."""
        relation = self._baseline(row).relation
        recent = self._charts.scans[self._spec.rows[row].model].recent(now)
        if not relation or not len(recent):
            return np.nan
        slopes = np.asarray(relation["slopes"], np.float64)
        return float(relation["intercept"] + relation["middle"] + slopes @ latest_mean(recent))

    def _mix(self, row: int, recent: Float64) -> str:
        """Which classes come more often or more seldom than in training, among the latest."""
        chart, codes = self._baseline(row).charts.get(mix.NAME, {}), self._classes(row)
        count = len(codes)
        if not count or not len(recent):
            return ""
        values, share = np.array(chart["values"][:count]), np.array(chart["share"][:count])
        now = (np.abs(recent[:, None] - values) <= chart["tolerance"]).mean(axis=0)
        most = np.argsort(-np.abs(now - share), kind="stable")[:_SHOWN]
        told = ", ".join(
            f"{codes[c]:g} in {now[c]:.0%} where it was {share[c]:.0%}" for c in most.tolist()
        )
        return f": of the latest {len(recent)}, {told}"

    def _classes(self, row: int) -> tuple[float, ...]:
        """The classes that it gave in training, where their shares are charted."""
        output = self._baseline(row)
        chart = output.charts.get(mix.NAME, {})
        values = chart["values"][: chart["count"]] if chart else ()
        return tuple(round(z * output.item.scale + output.item.centre) for z in values)

    def _baseline(self, row: int) -> OutputBaseline:
        place = self._spec.rows[row]
        mode = self._spec.models[place.model].baseline.modes[self._charts.modes.index(place.model)]
        name = self._spec.tags[place.tag].name
        return next(one for one in mode.outputs if one.item.tag == name)


def _stands(one: Condition) -> bool:
    """Whether a condition says that an input stands still, or does not come."""
    return one.subject.place is Place.SOURCE or any(
        key.symptom is Symptom.FLAT or key.traits.transport for key in one.seen
    )


def _told(one: Condition | None) -> str:
    if one is None:
        return ""
    who = "its inputs" if one.subject.place is Place.MODEL else one.subject.name
    return f"{who} ({one.kind})" if one.raised else f"{who}, which moved"


def _explains(given: float, recent: Float64) -> bool:
    usable = recent[np.isfinite(recent)][-_LATEST:]
    if not (np.isfinite(given) and len(usable)):
        return False
    away = float(np.mean(usable))
    return bool(abs(away - given) <= (1.0 - _MOSTLY) * abs(away) and away * given > 0.0)
