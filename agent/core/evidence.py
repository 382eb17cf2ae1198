"""Evidence: what diagnosis is shown of a tag or a model at one instant.

Reads the charts' traces as of that instant, so that live, in replay and after any cutting of
blocks the same evidence leads to the same name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from agent.core import shape
from agent.core.charts import Charts
from agent.core.condition import Condition
from agent.core.delays import LATCHED, MOST_LINGER, STEP_LINGER_TAU, TRANSPORT, off_delay
from agent.core.diagnosis import Evidence
from agent.core.flag import Flag
from agent.core.kernels.joint import CHARTS
from agent.core.spec import EngineSpec
from agent.core.states import trained_states
from agent.types import Float64

DOMINANT = 0.5
"""Share of the joint residual from which one input is held to be the one that left."""

NEARLY = 0.8
"""Times the largest share from which another input may as well be the one."""

LASTING = 3
"""Scans that a tag must have been off before the latest ones for it to be more than a moment."""

AMID = 1.5
"""Standard deviations from the centre within which the mean of an off-delay is nothing unusual."""

_APART, _CROSSED = 8.0, 0.25
"""Two inputs traded places when they were so many noise apart, and met to this share of it."""

_MOVED = frozenset({"level", "drift", "range", "outside", "rate", "step"})


class EvidenceRoom:
    """Builds evidence from charts; holds no state of its own."""

    def __init__(self, spec: EngineSpec, charts: Charts) -> None:
        self._spec, self._charts = spec, charts
        self._rows: dict[str, list[int]] = {tag.name: [] for tag in spec.tags}
        for row, place in enumerate(charts.rows):
            self._rows[spec.tags[place.tag].name].append(row)
        self._inputs = {model.name: model.inputs for model in spec.models}
        self._tag_row = {tag.name: row for row, tag in enumerate(spec.tags)}

    def of_tag(
        self, name: str, condition: Condition, now: int, active: Mapping[str, Condition],
        joint_models: Collection[str], *, lost: bool,
    ) -> Evidence:
        """Everything known of a tag as of `now`; `joint_models` have a joint chart raised then."""
        tag = self._spec.tag_of[name]
        raw = self._charts.recent_raw(self._tag_row[name], now)
        found = frozenset(
            key.partition("@")[0] for key in condition.seen
            if key not in TRANSPORT or key in condition.findings
        )
        latest = raw[np.isfinite(raw)][-1:]
        outside = tag.physical is not None and any(
            value < tag.physical[0] or value > tag.physical[1] for value in latest
        )
        rows = self._rows[name]
        if not rows:
            return Evidence(name, tag.unit, tag.source, found, raw=raw, physical=tag.physical,
                            out_of_physical=outside, lost=lost)
        row = rows[0]
        item = self._charts.input_baseline(row)
        recent, means = self._charts.recent(row, now)
        share, alike, joint, swapped = self._joint_share(row, now, joint_models)
        swapped = swapped or self._traded(name, raw, row, now)
        return Evidence(
            name, tag.unit, tag.source, found, recent, means, raw, item.centre, item.scale,
            item.noise / item.scale, item.trained, tag.physical, item.r2, joint, share, alike,
            self._companions(name, condition, active), outside, lost, swapped,
            trained_states(item.detectors.get("category"), item.centre, item.scale),
        )

    def lingers(self, flag: Flag) -> int:
        """Intervals without a finding, beyond the off-delay, until what this flag began is over.

        A step that stays is seen by the level chart some blocks later: one alarm.
        """
        if flag.scope != "input" or flag.detector not in LATCHED:
            return 0
        tau = self._charts.input_baseline(flag.row).tau
        return int(min(STEP_LINGER_TAU * tau, MOST_LINGER))

    def looks_back(self, flag: Flag) -> int:
        """Samples before an input's flag of which it may tell; 0: of nothing that is over.

        A step chart compares groups of block means, so it sees a mended fault's end long after it.
        """
        if flag.scope != "input" or flag.detector != "step":
            return 0
        chart = self._charts.input_baseline(flag.row).detectors.get("step", {})
        return int((chart.get("sides", 1) + 2) * chart.get("block", 0))

    def is_over(self, condition: Condition, now: int) -> bool:
        """Whether a tag that had left its trained range is back amid it, for an off-delay now.

        A step within the range may have moved the level, as the charts on blocks will find or not;
        after one out of it the way back is as plain as the way out was.
        """
        place, _, name = condition.subject.partition("/")
        if place != "tag" or not any(key.partition("@")[0] == "range" for key in condition.seen):
            return False
        waited = off_delay(condition.interval_ns)
        latest = [self._charts.recent(row, now)[0][-waited:] for row in self._rows[name]]
        return all(len(v) == waited and abs(float(v.mean())) <= AMID for v in latest)

    def _companions(
        self, name: str, condition: Condition, active: Mapping[str, Condition]
    ) -> int:
        """How many other tags of the same models are flagged as moved right now."""
        peers = {tag for model in condition.models for tag in self._inputs[model]}
        others = [active.get(f"tag/{tag}") for tag in peers - {name}]
        return sum(
            1 for other in others
            if other is not None and any(key.partition("@")[0] in _MOVED for key in other.findings)
        )

    def _joint_share(
        self, row: int, now: int, joint_models: Collection[str]
    ) -> tuple[float, tuple[str, ...], bool, str]:
        """(lasting share of the joint residual, inputs that have as large a one, whether a joint
        chart is flagged, swapped with).

        Lasting is what the latest scans and those before them agree on: one spike is no bias.
        """
        place = self._charts.rows[row]
        scans = self._charts.scans[place.model]
        if scans.model.name not in joint_models:
            return 0.0, (), False, ""
        names = self._spec.models[place.model].inputs
        recent = scans.recent(now)
        views = (recent, recent[:-LASTING])
        lasting = np.min([scans.joint.shares(view, "spe") for view in views], axis=0)
        share = float(lasting[place.position])
        alike = tuple(
            name for name, other in zip(names, lasting.tolist(), strict=True)
            if name != names[place.position] and other >= NEARLY * share
        )
        swaps = [scans.joint.swapped(view) for view in views]
        partner = ""
        if swaps[0] is not None and swaps[0] == swaps[1] and place.position in swaps[0]:
            other = swaps[0][0] if swaps[0][1] == place.position else swaps[0][1]
            partner = names[other]
        return share, alike, True, partner

    def _traded(self, name: str, raw: Float64, row: int, now: int) -> str:
        """The input that jumped to where this one was when this one jumped to where it was; or ''.

        Seen in the traces alone, so also of inputs that no joint chart relates.
        """
        model = self._spec.models[self._charts.rows[row].model]
        mine = shape.jump(raw)
        if mine is None:
            return ""
        for other in model.inputs:
            theirs = shape.ends(self._charts.recent_raw(self._tag_row[other], now), mine.age)
            if other == name or theirs is None:
                continue
            apart = abs(theirs.before - mine.before)
            crossed = max(abs(theirs.after - mine.before), abs(mine.after - theirs.before))
            if apart > _APART * max(mine.scatter, theirs.scatter) and crossed < _CROSSED * apart:
                return other
        return ""

    def shares(self, model: int, chart: str, now: int) -> dict[str, float]:
        """Each input's share of a joint statistic: of what lasts, else of what scatters."""
        lasting = self._shares(model, chart, now, each=False)
        return lasting if any(lasting.values()) else self._shares(model, chart, now, each=True)

    def _shares(self, model: int, chart: str, now: int, *, each: bool) -> dict[str, float]:
        charts = self._charts.scans[model]
        found = charts.joint.shares(charts.recent(now), chart, each=each)
        return dict(zip(self._spec.models[model].inputs, found, strict=True))

    def joint_home(self, flag: Flag, active: Mapping[str, Condition]) -> str:
        """The subject a joint flag belongs to: the tag that explains it, else the model.

        What the chart itself says of one input stands; of several that it may be, the one whose
        condition is open by more than joint charts. Where none is, that flag and the model's
        others wait with the model: a share of the residual does not tell mirrored inputs apart.
        Else a tag whose condition is open already takes the flag (one fault is one alarm) where it
        contributes as much as any other input, or dominates as they may that move with it;
        otherwise one tag that dominates the residual and that the others predict; first to what
        lasts over the latest scans, then to what scatters in them. What an open tag has no part in
        is the model's own: another fault must not hide behind it.
        """
        model = self._spec.models[flag.row]
        about = [f"tag/{model.inputs[column]}" for column in flag.about]
        known = {name for name, condition in active.items() if not _pending_by_joint(condition)}
        if found := [subject for subject in about if len(about) == 1 or subject in known]:
            return found[0]
        home = self.home(flag.row, flag.detector, flag.time_ns, active)
        undecided = len(about) > 1 or _waits(model.name, flag.time_ns, active)
        return f"model/{model.name}" if undecided and home not in known else home

    def owners(
        self, condition: Condition, now: int, active: Mapping[str, Condition]
    ) -> dict[str, str]:
        """A model's joint findings that one tag explains by now: key -> the tag's subject.

        And a tag's, all of them joint, where meanwhile several may explain what its model waits
        with.
        """
        place, _, name = condition.subject.partition("/")
        if place == "tag" and _pending_by_joint(condition):
            models = {key: key.partition("@")[2] for key in condition.findings}
            return {key: f"model/{m}" for key, m in models.items() if _waits(m, now, active)}
        if place != "model":
            return {}
        row = [model.name for model in self._spec.models].index(name)
        homes = {key: self.home(row, key.partition("@")[0], now, active) for key in condition.seen}
        return {key: home for key, home in homes.items() if home != condition.subject}

    def home(self, model: int, chart: str, now: int, active: Mapping[str, Condition]) -> str:
        """The same by the latest scans alone, as of `now`."""
        for each in (False, True):
            shares = self._shares(model, chart, now, each=each)
            if explaining := _explains(shares, active):
                return f"tag/{explaining}"
            best = _most(shares)
            if chart.startswith("t2") or shares[best] < DOMINANT:
                continue
            row = next(r for r in self._rows[best] if self._charts.rows[r].model == model)
            if self._charts.input_baseline(row).r2 >= 0.5:
                return f"tag/{best}"
        return f"model/{self._spec.models[model].name}"


def _pending_by_joint(condition: Condition) -> bool:
    """Whether joint charts alone found something, and people do not know of it yet."""
    return not condition.raised and all(key.partition("@")[0] in CHARTS for key in condition.seen)


def _waits(model: str, now: int, active: Mapping[str, Condition]) -> bool:
    """Whether a sudden change of the model waits to be told whose it is."""
    condition = active.get(f"model/{model}")
    return condition is not None and not condition.raised and now < condition.not_before_ns


def _most(shares: Mapping[str, float]) -> str:
    return max(shares, key=lambda name: (shares[name], name))


def _explains(shares: Mapping[str, float], active: Mapping[str, Condition]) -> str:
    """The input with an open condition that contributes as much as any, or dominates; or ''."""
    enough = min(DOMINANT, NEARLY * max(shares.values()))
    explain = {
        name: share for name, share in shares.items()
        if f"tag/{name}" in active and share >= enough > 0.0
    }
    return _most(explain) if explain else ""
