"""Evidence: what diagnosis is shown of an input of a model at one instant.

Reads the charts' traces as of that instant, so that live, in replay and after any cutting of
blocks the same evidence leads to the same name. A tag that several models use is looked at with
the baseline of each.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from heapq import nsmallest

import numpy as np

from agent.core import delays, identity, shape
from agent.core.activity import goes_along
from agent.core.charts import Charts
from agent.core.condition import Condition
from agent.core.facts import Facts
from agent.core.identity import FindingKey, Place, Subject
from agent.core.kernels import DETECTORS, category, digits, stuck
from agent.core.kernels.base import T2_AND_SPE, Symptom
from agent.core.kinds import COUNTERS, shown, shown_unit
from agent.core.names import HOW_SERVED
from agent.core.output_diagnosis import OutputEvidence
from agent.core.output_evidence import OutputReader
from agent.core.registers import RegisterReader, exchanged, within
from agent.core.retyped import retyped
from agent.core.spec import OUTPUT, EngineSpec, ModelSpec
from agent.core.state import FOR_EVER
from agent.core.state_tags import trained_states
from agent.core.tag_evidence import ABRUPT, MOVED, Evidence
from agent.types import Float64

NEARLY = 0.8
"""Times the largest share from which another input may as well be the one."""

PREDICTED = 0.5
"""Cross-validated R2 from which what the other inputs say of one is looked at."""

LASTING = 3
"""Scans that a tag must have been off before the latest ones for it to be more than a moment."""

AMID = 1.5
"""Standard deviations from the centre within which the mean of an off-delay is nothing unusual."""

_MOST_MOVED = 24
"""Tags of a source that are compared with one that moved, beside the inputs of its model."""

_LEAST_RESTING, _MOST_RESTING = 5, 60
"""Samples that repeat, and of a trace all that can be seen of them."""

_LOOKS_BACK = {d.name: d.looks_back for d in DETECTORS if d.looks_back is not None}

Active = Mapping[Subject, Condition]


class EvidenceReader:
    """Reads evidence from charts and facts; holds no state of its own."""

    def __init__(self, spec: EngineSpec, charts: Charts, facts: Facts) -> None:
        self._spec, self._charts, self._facts = spec, charts, facts
        self._rows: dict[tuple[str, str], int] = {
            (spec.tags[place.tag].name, spec.models[place.model].name): row
            for row, place in enumerate(spec.rows)
        }
        self._settling_ns = {
            model.name: delays.settling_ns(max(
                (one.tau * one.interval_ns for mode in model.baseline.modes for one in mode.inputs),
                default=0.0,
            ))
            for model in spec.models
        }
        charted = {model.name: {*model.inputs, *model.charted} for model in spec.models}
        self._users: dict[str, tuple[str, ...]] = {
            tag.name: tuple(name for name, tags in charted.items() if tag.name in tags)
            for tag in spec.tags
        }
        self._outputs = OutputReader(spec, charts, self._settling_ns)
        self._registers = RegisterReader(spec, charts.traces)

    # --- of one tag -----------------------------------------------------------------------------

    def of_tag(
        self, condition: Condition, now: int, active: Active, joint_up: Collection[FindingKey],
        *, lost: bool, refusal: str,
    ) -> list[Evidence | OutputEvidence]:
        """Everything known of a tag as of `now`, once for each model that has to do with it.

        And of other tags that what was found is of, as a loop's output.

        Args:
            condition: the tag's.
            now: engine time in ns.
            active: all conditions.
            joint_up: the joint charts whose flags are up then.
            lost: whether the tag's source is.
            refusal: why its address is refused, where it is.
        """
        found: list[Evidence | OutputEvidence] = []
        for name in _tags_of(condition):
            found_by = {key.model for key in condition.seen if key.model} or self._users[name]
            models = [model for model in self._users[name] if model in found_by]
            plain = replace(self._plain(name, condition, now, lost=lost), refusal=refusal)
            found += [
                self._of_model(plain, condition, model, now, active, joint_up) for model in models
            ] or [plain]
        return found

    def _plain(self, name: str, condition: Condition, now: int, *, lost: bool) -> Evidence:
        """What is known of a tag without any model."""
        tag = self._spec.tag_of[name]
        raw = self._charts.traces.of_tag(self._spec.row_of_tag[tag.name], now)
        return Evidence(
            tag.name, tag.unit, tag.source, _found(condition, name, ""), raw=raw,
            physical=tag.physical, lost=lost, role=tag.role, loop=tag.loop,
            loop_part=tag.loop_part, address=tag.address, changes=self._spec.changes,
            standard_unit=tag.standard_unit,
        )

    def _of_model(
        self, plain: Evidence, condition: Condition, model: str, now: int, active: Active,
        joint_up: Collection[FindingKey],
    ) -> Evidence | OutputEvidence:
        row = self._rows[plain.tag, model]
        item = self._charts.parameters.baseline(row)
        recent, means = self._charts.traces.of_input(row, now)
        states = item.detectors.get(category.NAME)
        alone = replace(
            plain, found=_found(condition, plain.tag, model), recent=recent, means=means,
            kind=item.kind, unit=shown_unit(plain.unit, item.kind),
            raw=recent * item.scale + item.centre if item.kind in COUNTERS else plain.raw,
            tag=shown(plain.tag, item.kind),
            centre=item.centre, scale=item.scale, noise=item.noise / item.scale, tau=item.tau,
            trained=item.trained, states=trained_states(states, item.centre, item.scale),
        )
        if self._spec.rows[row].role == OUTPUT:
            alone = replace(alone, role=OUTPUT, changes=())
            return self._outputs.of(alone, row, condition, active, now)
        share, alike, swapped = self._joint_share(row, now)
        said, off = self._by_others(row, now)
        return replace(
            alone, predicted=self._predicted(row, now, alone.raw, recent), r2=item.r2,
            joint=any(key.model == model for key in joint_up), share=share, alike=alike,
            said=said, off=off, outside=self._facts.holds(row),
            companions=self._companions(plain.tag, condition, model, active),
            swapped_with=swapped or self._traded(plain, row, now, active),
            exchanged=exchanged(
                alone.raw, self._spec.tag_of[plain.tag].register, item.trained, item.noise
            ),
            retyped=retyped(
                alone.raw, self._spec.tag_of[plain.tag].register, item.trained, item.noise
            ),
            shift=self._registers.shift(plain.tag, now), frozen_with=self._frozen_with(row, now),
            step=float(item.detectors.get(digits.NAME, {}).get("own", 0.0)),
        )

    def _companions(self, name: str, condition: Condition, model: str, active: Active) -> int:
        """How many other inputs of the model are flagged as moved right now, and may have been by
        what moved this one.
        """
        row = self._rows[name, model]
        inputs = self._spec.models[self._spec.rows[row].model].inputs
        others = ((tag, active.get(identity.tag(tag))) for tag in inputs if tag != name)
        return sum(
            1 for tag, other in others
            if other is not None
            and any(key.model == model and key.symptom in MOVED for key in other.findings)
            and not self._apart(row, condition, self._rows[tag, model], other)
        )

    def _apart(self, row: int, mine: Condition, place: int, other: Condition) -> bool:
        """Whether two inputs jumped, each at a time of its own, and nobody knows why the other did:
        what makes several jump does so at once. What slides gets off training at any time.
        """
        if other.cause == "process" or not (_jumped(mine) and _jumped(other)):
            return False
        items = [self._charts.parameters.baseline(one) for one in (row, place)]
        slowest = max(one.tau * one.interval_ns for one in items)
        reach_ns = delays.at_once_ns(slowest, max(one.interval_ns for one in items))
        return abs(other.first_ns - mine.first_ns) > reach_ns

    def _joint_share(self, row: int, now: int) -> tuple[float, tuple[str, ...], str]:
        """(lasting share of T2 and SPE, inputs that have as large a one, swapped with).

        Lasting is what the latest scans and those before them agree on: one spike is no bias.
        """
        place = self._spec.rows[row]
        scans = self._charts.scans[place.model]
        names = scans.model.inputs
        recent = scans.recent(now)
        views = (recent, recent[:-LASTING])
        lasting = np.min([scans.joint.shares(view, T2_AND_SPE) for view in views], axis=0)
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
        return share, alike, partner

    def _by_others(self, row: int, now: int) -> tuple[float, float]:
        """(what the other inputs say that it reads, in its unit; how far it is off, lasting).

        Off in standard deviations of what they leave open; 0 where the latest scans and those
        before them do not agree on a side.
        """
        place = self._spec.rows[row]
        scans = self._charts.scans[place.model]
        recent = scans.recent(now)
        views = [scans.joint.by_others(view) for view in (recent, recent[:-LASTING])]
        said = float(views[0][0][place.position])
        both = [float(off[place.position]) for _, off in views]
        lasting = min(both, key=abs) if both[0] * both[1] > 0.0 else 0.0
        item = self._charts.parameters.baseline(row)
        return said * item.scale + item.centre, lasting

    def _predicted(self, row: int, now: int, raw: Float64, recent: Float64) -> Float64:
        """float64[n]: what the other inputs say of each of an input's latest values, in its unit.

        Empty where they do not predict it, or the values are not all samples that were judged.
        """
        item = self._charts.parameters.baseline(row)
        judged = recent * item.scale + item.centre
        relation = self._charts.parameters.relation(row) if item.r2 >= PREDICTED else None
        if relation is None or len(raw) != len(judged) or not np.allclose(raw, judged):
            return np.zeros(0)
        said = np.full(len(raw), relation[0])
        rows = self._spec.rows_of(self._spec.rows[row].model)
        for other, slope in zip(rows, relation[1], strict=True):
            if slope:
                theirs = self._charts.traces.of_input(other, now)[0]
                known = min(len(theirs), len(said))
                said[: len(said) - known] = np.nan
                said[len(said) - known :] += slope * theirs[len(theirs) - known :]
        found: Float64 = said * item.scale + item.centre
        return found

    def _traded(self, plain: Evidence, row: int, now: int, active: Active) -> str:
        """The tag that jumped to where this one was when this one jumped to where it was; or ''.

        Seen in the traces alone, so also of inputs that no joint chart relates: those of its model,
        and what else of its source has a condition, as inputs of other models that moved do.
        """
        mine = shape.jump(plain.raw)
        if mine is None:
            return ""
        model = self._spec.models[self._spec.rows[row].model]
        for other in dict.fromkeys((*model.inputs, *self._moved_too(plain, active))):
            raw = self._charts.traces.of_tag(self._spec.row_of_tag[other], now)
            theirs = shape.ends(raw, mine.age)
            if other == plain.tag or theirs is None:
                continue
            places = ((plain.tag, theirs.after), (other, mine.after))
            if shape.crossed(mine, theirs) and all(self._is_at_home(model, *at) for at in places):
                return other
        return ""

    def _is_at_home(self, model: ModelSpec, tag: str, value: float) -> bool:
        """Whether what comes in a tag's place is as trained: of many that move two often cross."""
        row = self._rows.get((tag, model.name))
        item = self._charts.parameters.baseline(row) if row is not None else None
        if item is None or item.kind in COUNTERS:  # its range is that of its rates
            return True
        return bool(within(np.array([value]), item.trained)[0])

    def _moved_too(self, plain: Evidence, active: Active) -> list[str]:
        """Other tags of its source whose conditions began about when its own did, the next first;
        not all of thousands: who trades places moves at once.
        """
        mine = active.get(identity.tag(plain.tag))
        began = [
            (abs(other.first_ns - mine.first_ns) if mine else 0, subject.name)
            for subject, other in active.items() if subject.place is Place.TAG
            and self._spec.tag_of[subject.name].source == plain.source
        ]
        return [name for _, name in nsmallest(_MOST_MOVED, began)]

    def _frozen_with(self, row: int, now: int) -> int:
        """How many other inputs from the same source repeat their values since this one does, if
        all of them that are judged by that do; 0 else.
        """
        spec, charts = self._spec, self._charts
        place = spec.rows[row]
        source = spec.tags[place.tag].source
        mine = _resting(charts.traces.of_tag(place.tag, now))
        others = 0
        for other in spec.rows_of(place.model):
            tag = spec.rows[other].tag
            judged = charts.parameters.inputs[stuck.NAME]["limit"][other] < FOR_EVER // 2
            if other == row or spec.tags[tag].source != source or not judged:
                continue
            if _resting(charts.traces.of_tag(tag, now)) < min(mine - 1, _MOST_RESTING):
                return 0
            others += 1
        return others if mine >= _LEAST_RESTING else 0

    # --- of time --------------------------------------------------------------------------------

    def stay_ns(self, row: int, key: FindingKey) -> int:
        """For how long a fault that a momentary finding on an input showed may stay by its name."""
        if not key.traits.latched:
            return 0
        item = self._charts.parameters.baseline(row)
        return delays.stay_ns(item.tau, item.interval_ns)

    def looks_back_ns(self, row: int, key: FindingKey) -> int:
        """How long before a finding on an input its cause may lie; 0: it is now."""
        item = self._charts.parameters.baseline(row)
        parameters = item.detectors.get(key.detector)
        looks_back = _LOOKS_BACK.get(key.detector)
        if looks_back is None or parameters is None:
            return 0
        return looks_back(parameters) * item.interval_ns

    def settling_ns(self, condition: Condition, active: Active) -> int:
        """Until all conditions of the fault that began one have begun: from its slowest model.

        What follows from a condition that is open is part of it, however late.
        """
        if self._outputs.follows(condition, active):
            return FOR_EVER
        found = [self._settling_ns[model] for model in condition.models]
        return max(found, default=delays.settling_ns(0.0))

    def is_normal(self, condition: Condition, now: int) -> bool:
        """Whether a tag that had left its trained range is back amid it, for an off-delay now.

        A step within the range may have moved the level, as the charts on blocks will find or not;
        after one out of it the way back is as plain as the way out was.
        """
        if condition.subject.place is not Place.TAG:
            return False
        left_range = {key.model for key in condition.seen if key.symptom is Symptom.BEYOND}
        return bool(left_range) and all(
            self._amid(self._rows[name, model], now) for name in _tags_of(condition)
            for model in self._users[name] if model in condition.models
        )

    def goes_along(self, condition: Condition, now: int) -> bool:
        """Whether all that is seen of a tag is noise that goes along with the other inputs'."""
        if condition.subject.place is not Place.TAG or not condition.seen or any(
            key.symptom is not Symptom.SCATTER for key in condition.seen
        ):
            return False
        return all(
            self._active_with_others(self._rows[name, model], now)
            for name in _tags_of(condition) for model in self._users[name]
            if model in condition.models
        )

    def _active_with_others(self, row: int, now: int) -> bool:
        place = self._spec.rows[row]
        if place.role == OUTPUT:
            return False
        document = self._charts.parameters.joint(row).get("activity")
        rows = self._spec.rows_of(place.model)
        latest = [self._charts.traces.of_input(other, now)[0] for other in rows] if document else []
        return goes_along(document, place.position, latest)

    def _amid(self, row: int, now: int) -> bool:
        wanted = delays.off_delay_samples(self._charts.parameters.baseline(row).interval_ns)
        latest = self._charts.traces.of_input(row, now)[0][-wanted:]
        return len(latest) == wanted and abs(float(latest.mean())) <= AMID


def _jumped(condition: Condition) -> bool:
    return any(key.symptom in ABRUPT for key in condition.seen)


def _resting(raw: Float64) -> int:
    """Samples at the end that are all the same."""
    moved = np.flatnonzero(raw != raw[-1]) if len(raw) else raw
    return len(raw) - 1 - int(moved[-1]) if len(moved) else len(raw)


def _tags_of(condition: Condition) -> list[str]:
    """The tags that a tag's findings are of, its own first; else the tag itself."""
    own = condition.subject.name
    found = dict.fromkeys(key.of or own for key in condition.seen if not key.joint)
    return sorted(found, key=lambda name: name != own) or [own]


def _found(condition: Condition, tag: str, model: str) -> frozenset[str]:
    """The detectors that found something for a model, or for none; what is lost, or is served in
    another way, only while it is.
    """
    keys: Iterable[FindingKey] = [
        key for key in condition.seen if (key.of or condition.subject.name) == tag
    ]
    return frozenset(
        key.detector for key in keys
        if key.model in {"", model} and not key.of_contract
        and (key in condition.findings or not (key.traits.transport or key.symptom in HOW_SERVED))
    )
