"""Attribution: whose a finding of a joint chart is, one input's or the model's as a whole.

Rests on shares of the joint statistics over the latest scans (reconstruction-based contributions,
Alcala & Qin 2009) and on which conditions are open: one fault is one alarm.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core import identity
from agent.core.charts import Charts
from agent.core.condition import Condition
from agent.core.diagnosis import Diagnosis
from agent.core.evidence import NEARLY, Active
from agent.core.flag import Flag
from agent.core.group_diagnosis import joint_diagnosis
from agent.core.identity import FindingKey, Place, Subject
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
        if not joint:
            return Diagnosis(
                "loops disagree", "unknown", f"loops of {condition.subject.name} moved as they "
                "never did, and several of their parts may be why",
                "compare the measurements with second instruments; look at valves and loads", 2,
            )
        worst = max(joint, key=lambda key: (condition.seen[key], key))
        shares = self.shares(condition.subject.name, worst.detector, now)
        return joint_diagnosis(worst.detector, shares)

    def of_flag(self, flag: Flag, active: Active) -> Subject:
        """The subject that a joint flag belongs to: the tag that explains it, else the model.

        In the order tried:
        1. The chart says that one input alone explains it: that input, unless another one, whose
           condition is open, makes up nearly all of how far the scans are off: what f and g hold of
           a scan is capped, and so says little of a step that is far beyond that.
        2. It says that several may: the one whose condition is open by more than joint charts.
        3. None is: the model's, and so are its other joint flags until that is decided, because
           shares of the residual do not tell inputs apart that mirror each other.
        4. Else `by_shares`.
        """
        model = self._spec.models[flag.row]
        about = [self._loops.at(flag.row, model.inputs[column]) for column in flag.about]
        known = {
            subject for subject, condition in active.items() if not _pending_by_joint(condition)
        }
        if found := [subject for subject in about if len(about) == 1 or subject in known]:
            return self._overwhelming(flag, active) or found[0]
        owner = self.by_shares(flag.row, flag.detector, flag.time_ns, active)
        undecided = len(about) > 1 or _waits(model.name, flag.time_ns, active)
        return identity.model(model.name) if undecided and owner not in known else owner

    def _overwhelming(self, flag: Flag, active: Active) -> Subject | None:
        """The tag with an open condition that makes up nearly all of how far the scans are off."""
        shares = self._shares(flag.row, flag.time_ns, each=False)
        best = identity.tag(_most(shares))
        return best if best in active and max(shares.values()) >= OVERWHELMING else None

    def owners(self, condition: Condition, now: int, active: Active) -> dict[FindingKey, Subject]:
        """A model's joint findings that one tag explains by now: key -> that tag.

        And a tag's, all of them joint, where meanwhile several may explain what its model waits
        with.
        """
        subject = condition.subject
        told = self._loops.owner(condition, now)
        if told is not None:
            return {key: told for key in condition.seen if key.model and told != subject}
        if subject.place is Place.TAG and _pending_by_joint(condition):
            return {
                key: identity.model(key.model) for key in condition.findings
                if _waits(key.model, now, active)
            }
        if subject.place is not Place.MODEL:
            return {}
        index = self._index[subject.name]
        owners = {
            key: self.by_shares(index, key.detector, now, active) for key in condition.seen
            if key.joint
        }
        return {key: owner for key, owner in owners.items() if owner != subject}

    def by_shares(self, model: int, chart: str, now: int, active: Active) -> Subject:
        """Whose a finding of a joint chart is by the latest scans alone, as of `now`.

        A tag whose condition is open, where it contributes as much as any other input or dominates
        (one fault is one alarm); else one tag that dominates and that the others predict; else the
        model's. First by what lasts over the latest scans, then by what scatters in them. What an
        open tag has no part in is the model's own: another fault must not hide behind it.
        """
        inputs = self._spec.models[model].inputs
        rows = self._spec.rows_of(model)
        for each in (False, True):
            shares = self._shares(model, now, _STATISTIC[chart], each=each)
            if explaining := self._explains(model, shares, active):
                return self._loops.at(model, explaining)
            shares = self._shares(model, now, each=each)
            best = _most(shares)
            if _STATISTIC[chart] == T2 or shares[best] < DOMINANT:
                continue
            row = rows[inputs.index(best)]
            if self._charts.parameters.baseline(row).r2 >= PREDICTED:
                return self._loops.at(model, best)
        return identity.model(self._spec.models[model].name)

    def _explains(self, model: int, shares: Mapping[str, float], active: Active) -> str:
        """The input with an open condition that contributes as much as any, or dominates; or ''."""
        enough = min(DOMINANT, NEARLY * max(shares.values()))
        explain = {
            name: share for name, share in shares.items()
            if self._loops.at(model, name) in active and share >= enough > 0.0
        }
        return _most(explain) if explain else ""


def _pending_by_joint(condition: Condition) -> bool:
    """Whether joint charts alone found something, and people do not know of it yet."""
    return not condition.raised and all(key.joint for key in condition.seen)


def _waits(model: str, now: int, active: Active) -> bool:
    """Whether a sudden change of the model waits to be told whose it is."""
    condition = active.get(identity.model(model))
    return condition is not None and not condition.raised and now < condition.not_before_ns


def _most(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda name: (shares[name], name))
