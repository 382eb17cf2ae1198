"""Attribution: whose a finding of a joint chart is, one input's or the model's as a whole.

Rests on shares of the joint statistics over the latest scans (reconstruction-based contributions,
Alcala & Qin 2009) and on which conditions are open: one fault is one alarm.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core import identity
from agent.core.charts import Charts
from agent.core.condition import Condition
from agent.core.evidence import NEARLY, Active
from agent.core.flag import Flag
from agent.core.identity import FindingKey, Place, Subject
from agent.core.kernels import JOINT_CHARTS
from agent.core.kernels.base import T2
from agent.core.spec import EngineSpec

DOMINANT = 0.5
"""Share of the joint residual from which one input is held to be the one that left."""

PREDICTED = 0.5
"""Cross-validated R2 from which the other inputs say enough of one to call it the faulty one."""

_STATISTIC = {chart.name: chart.statistic for chart in JOINT_CHARTS}


class Attribution:
    """Reads shares from charts; holds no state of its own."""

    def __init__(self, spec: EngineSpec, charts: Charts) -> None:
        self._spec, self._charts = spec, charts
        self._index = {model.name: index for index, model in enumerate(spec.models)}

    def shares(self, model: str, chart: str, now: int) -> dict[str, float]:
        """Each input's share of a joint statistic: of what lasts, else of what scatters."""
        index = self._index[model]
        lasting = self._shares(index, chart, now, each=False)
        return lasting if any(lasting.values()) else self._shares(index, chart, now, each=True)

    def _shares(self, model: int, chart: str, now: int, *, each: bool) -> dict[str, float]:
        charts = self._charts.scans[model]
        found = charts.joint.shares(charts.recent(now), _STATISTIC[chart], each=each)
        return dict(zip(self._spec.models[model].inputs, found, strict=True))

    def of_flag(self, flag: Flag, active: Active) -> Subject:
        """The subject that a joint flag belongs to: the tag that explains it, else the model.

        In the order tried:
        1. The chart says that one input alone explains it: that input.
        2. It says that several may: the one whose condition is open by more than joint charts.
        3. None is: the model's, and so are its other joint flags until that is decided, because
           shares of the residual do not tell inputs apart that mirror each other.
        4. Else `by_shares`.
        """
        model = self._spec.models[flag.row]
        about = [identity.tag(model.inputs[column]) for column in flag.about]
        known = {
            subject for subject, condition in active.items() if not _pending_by_joint(condition)
        }
        if found := [subject for subject in about if len(about) == 1 or subject in known]:
            return found[0]
        owner = self.by_shares(flag.row, flag.detector, flag.time_ns, active)
        undecided = len(about) > 1 or _waits(model.name, flag.time_ns, active)
        return identity.model(model.name) if undecided and owner not in known else owner

    def owners(self, condition: Condition, now: int, active: Active) -> dict[FindingKey, Subject]:
        """A model's joint findings that one tag explains by now: key -> that tag.

        And a tag's, all of them joint, where meanwhile several may explain what its model waits
        with.
        """
        subject = condition.subject
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
            shares = self._shares(model, chart, now, each=each)
            if explaining := _explains(shares, active):
                return identity.tag(explaining)
            best = _most(shares)
            if _STATISTIC[chart] == T2 or shares[best] < DOMINANT:
                continue
            row = rows[inputs.index(best)]
            if self._charts.parameters.baseline(row).r2 >= PREDICTED:
                return identity.tag(best)
        return identity.model(self._spec.models[model].name)


def _pending_by_joint(condition: Condition) -> bool:
    """Whether joint charts alone found something, and people do not know of it yet."""
    return not condition.raised and all(key.joint for key in condition.seen)


def _waits(model: str, now: int, active: Active) -> bool:
    """Whether a sudden change of the model waits to be told whose it is."""
    condition = active.get(identity.model(model))
    return condition is not None and not condition.raised and now < condition.not_before_ns


def _most(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda name: (shares[name], name))


def _explains(shares: Mapping[str, float], active: Active) -> str:
    """The input with an open condition that contributes as much as any, or dominates; or ''."""
    enough = min(DOMINANT, NEARLY * max(shares.values()))
    explain = {
        name: share for name, share in shares.items()
        if identity.tag(name) in active and share >= enough > 0.0
    }
    return _most(explain) if explain else ""
