"""Attribution: whose a finding of a joint chart is, one input's or the model's as a whole.

Rests on shares of the joint statistics over the latest scans (reconstruction-based contributions,
Alcala & Qin 2009) and on which conditions are open: one fault is one alarm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from agent.core.charts import Charts
from agent.core.condition import Condition
from agent.core.diagnosis import Diagnosis
from agent.core.evidence import NEARLY, Active
from agent.core.group_diagnosis import joint_diagnosis
from agent.core.identity import Place, Subject
from agent.core.kernels import JOINT_CHARTS
from agent.core.kernels.base import T2, T2_AND_SPE
from agent.core.loop_evidence import LoopReader
from agent.core.spec import EngineSpec

DOMINANT = 0.5
"""Share of the joint residual from which one input is held to be the one that left."""

OVERWHELMING = 0.9
"""Share of it from which nothing else needs to be explained."""

PREDICTED = 0.5
"""Cross-validated R2 from which the other inputs say enough of one to call it the faulty one."""

_STATISTIC = {chart.name: chart.statistic for chart in JOINT_CHARTS}


class Attribution:
    """Reads shares from charts; holds no state of its own."""

    def __init__(self, spec: EngineSpec, charts: Charts, loops: LoopReader) -> None:
        self._spec, self._charts, self._loops = spec, charts, loops
        self._index = {model.name: index for index, model in enumerate(spec.models)}

    def shares(self, model: str, chart: str, now: int) -> dict[str, float]:
        """Each input's share of a joint statistic: of what lasts, else of what scatters."""
        index, statistic = self._index[model], _STATISTIC[chart]
        lasting = self._shares(index, now, statistic, each=False)
        return lasting if any(lasting.values()) else self._shares(index, now, statistic, each=True)

    def _shares(
        self, model: int, now: int, statistic: str = T2_AND_SPE, *, each: bool
    ) -> dict[str, float]:
        """Each input's share of a statistic; of all of it, unless told, as that names best.

        What the reconstruction of one input removes of T2 and SPE together is (S^-1 x)_i^2 /
        (S^-1)_ii: the whole Mahalanobis distance tells inputs apart that SPE alone smears.
        """
        charts = self._charts.scans[model]
        found = charts.joint.shares(charts.recent(now), statistic, each=each)
        return dict(zip(self._spec.models[model].inputs, found, strict=True))

    def whole(self, condition: Condition, now: int) -> Diagnosis:
        """What a condition of a model's inputs together is called by its joint charts."""
        joint = [key for key in condition.seen if key.joint]
        errors = [key for key in condition.seen if key.of_errors]
        if errors and (not joint or any(key in condition.findings for key in errors)):
            return self._charts.truth.named(condition.subject.name)
        if not joint:
            return Diagnosis(
                "loops disagree", "unknown", f"loops of {condition.subject.name} moved as they "
                "never did, and several of their parts may be why",
                "compare the measurements with second instruments; look at valves and loads", 2,
            )
        worst = max(joint, key=lambda key: (condition.seen[key], key))
        shares = self.shares(condition.subject.name, worst.detector, now)
        return joint_diagnosis(worst.detector, shares)

    def owner(self, condition: Condition, now: int, active: Active) -> Subject:
        """Whose is what models found of a condition, as of `now`: what their loops tell; else of a
        model's condition the tag that explains it; else its subject's.
        """
        subject = condition.subject
        if all(key.of_errors for key in condition.seen):
            return subject
        told = self._loops.owner(condition, now)
        if told is not None or subject.place is not Place.MODEL:
            return told or subject
        model = self._index[subject.name]
        inputs = self._spec.models[model].inputs
        known = [name for name in inputs if self._loops.at(model, name) in active]
        found = self._explaining(condition, now, known)
        return self._loops.at(model, found) if found else subject

    def _explaining(self, condition: Condition, now: int, known: Collection[str]) -> str:
        """The one input that explains what joint charts found, or ''; `known` have a condition.

        Suspects are the inputs that a chart says may alone explain it, else all by their shares,
        first of what lasts over the latest scans, then of what scatters in them. One fault is one
        alarm: a known one goes first that contributes as much as any or dominates, or is one of
        several that may explain it; what it has no part in must not hide behind it. Else it is one
        that dominates and that the others predict; of a new region of all together, none.
        """
        model = self._index[condition.subject.name]
        far = self._shares(model, now, each=False)
        best = _most(far)  # f and g say little of a step beyond what they hold of one scan
        if best in known and far[best] >= OVERWHELMING and condition.about:
            return best
        likely = [name for name in condition.about if name in known]
        if likely or len(condition.about) == 1:
            return [*likely, *condition.about][0]
        found = {_STATISTIC[key.detector] for key in condition.seen if key.joint}
        statistic = found.pop() if len(found) == 1 else T2_AND_SPE
        for each in (False, True):
            shares = self._shares(model, now, statistic, each=each)
            enough = min(DOMINANT, NEARLY * max(shares.values()))
            if explain := {name: shares[name] for name in known if shares[name] >= enough > 0.0}:
                return _most(explain)
            shares = self._shares(model, now, each=each)
            best = _most(shares)
            if statistic != T2 and shares[best] >= DOMINANT and self._is_predicted(model, best):
                return best
        return ""

    def _is_predicted(self, model: int, name: str) -> bool:
        row = self._spec.rows_of(model)[self._spec.models[model].inputs.index(name)]
        return self._charts.parameters.baseline(row).r2 >= PREDICTED


def _most(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda name: (shares[name], name))
