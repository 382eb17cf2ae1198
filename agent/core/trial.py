"""One trial: a candidate's own engine over the same entries, and what is counted of both.

The candidate has an engine of its own, which begins with what is known of the tags, so no condition
and no chart is shared with the model in service. Nothing that it says leaves the trial but as
figures. Of what the model gives it judges none: outputs that come by tag are those of the model in
service; predictions of the candidate come with its version, and their losses are compared.

Where its engine fails, the trial is broken and the model in service goes on.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from agent.core import identity
from agent.core.baseline import Baseline
from agent.core.engine import Engine
from agent.core.spec import EngineSpec, ModelSpec
from agent.core.trial_criteria import (
    GOES_ON,
    PASSED,
    REJECTED,
    Judged,
    TrialCriteria,
    judged,
    missing,
    outcome,
    span,
)
from agent.core.trial_figures import Figures
from agent.core.trial_losses import Losses
from agent.core.truth import KINDS
from agent.core.truth_pair import Pair
from agent.errors import explained
from agent.types import Command, Entry, Event

IN_TRIAL: Final = "in trial"
ACCEPTED: Final = "accepted"
_TODO: Final = {
    IN_TRIAL: "send its predictions with its version; see: fieldwarden retraining show CONFIG "
              "{model}",
    PASSED: 'decide: fieldwarden retraining accept CONFIG {model} --reason "...", or reject',
    ACCEPTED: "have the new model publish its predictions; to return: fieldwarden retraining "
              'rollback CONFIG {model} --reason "..."',
    REJECTED: "train another candidate, or go on with the model in service",
}  # fmt: skip


@dataclass(slots=True)
class Trial:
    """A candidate beside the model in service.

    Attributes:
        id: model, version and time of the begin.
        request: the retraining request that it is of; empty where it is of none.
        champion_version, champion_digest: of the model in service as it began.
        criteria: fixed as it began.
        engine: of the candidate; None once the trial is over, or broken.
        candidate, champion: what was counted of each.
        losses: of each output with labels, both compared.
        broken: why it can not go on; empty where it can.
        ended: figures and criteria as of its end; empty before.
    """

    id: str
    model: str
    version: str
    digest: str
    request: str
    owner: str
    champion_version: str
    champion_digest: str
    by: str
    note: str
    began_ns: int
    criteria: TrialCriteria
    candidate: Figures
    champion: Figures
    losses: list[Losses]
    engine: Engine | None = None
    state: str = IN_TRIAL
    broken: str = ""
    ended: dict[str, Any] = field(default_factory=dict)
    decisions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether it is not decided yet."""
        return self.state in {IN_TRIAL, PASSED}

    # --- the fold ---------------------------------------------------------------------------------

    def step(self, entry: Entry) -> None:
        """The candidate sees an entry; whatever fails there ends the trial, and nothing else."""
        if self.engine is None:
            return
        try:
            outcome_of = self.engine.step(_own(entry, self.model, self.version))
        except Exception as error:  # noqa: BLE001 - the model in service must not notice
            self.fail(error)
            return
        self.candidate.take(outcome_of.events)

    def fail(self, error: Exception) -> None:
        """The candidate's engine can not go on."""
        told = explained(error, "judging", f"the candidate {self.version}")
        self.engine, self.broken = None, f"{told.operation} {told.subject}: {told.cause}"

    def compare(self, pairs: Sequence[Pair]) -> None:
        """Take over by which labels both were compared; `pairs` are those of the model."""
        for pair, own in zip(pairs, self.losses, strict=True):
            for one in pair.compared:
                if one.version == self.version:
                    own.add(one.own, one.loss)

    # --- what is known ----------------------------------------------------------------------------

    def figures(self, now: int, champion: tuple[int, int]) -> dict[str, Any]:
        """Of both, JSON-ready; `champion` is (scans, those outside of training) of it, ever."""
        counts = self.engine.charts.extrapolated()[1][0] if self.engine is not None else None
        mine, its = self.candidate, self.champion
        counts = counts or (mine.scans, mine.outside)
        return {
            "candidate": mine.shown(now, counts, its.seen),
            "champion": its.shown(now, champion, mine.seen),
            "losses": [one.shown() for one in self.losses],
        }

    def judged(self, figures: Mapping[str, Any]) -> list[Judged]:
        """Its criteria, by figures of it."""
        return judged(self.criteria, figures["candidate"], figures["losses"])

    def shown(self, now: int, champion: tuple[int, int]) -> dict[str, Any]:
        """All that people and central see of it, JSON-ready."""
        figures = self.ended.get("figures") or self.figures(now, champion)
        held = self.ended.get("judged") or self.judged(figures)
        watched_ns = figures["candidate"]["watched_ns"]
        left_ns = max(0, self.criteria.lasts_ns - watched_ns) if self.runs else 0
        return {
            "id": self.id, "model": self.model, "version": self.version, "owner": self.owner,
            "baseline": self.digest, "request": self.request, "state": self.state,
            "champion": {"version": self.champion_version, "baseline": self.champion_digest},
            "since_ns": self.began_ns, "left_ns": left_ns, "broken": self.broken,
            "criteria": self.criteria.to_json(), "judged": held, "figures": figures,
            "decisions": [dict(one) for one in self.decisions],
            "text": self._text(held, watched_ns),
            "hint": _TODO[self.state].format(model=self.model),
        }  # fmt: skip

    def _text(self, held: Sequence[Judged], watched_ns: int) -> str:
        what = f"version {self.version} beside {self.champion_version} for {span(watched_ns)}"
        if self.broken:
            return f"{what}: {self.broken}"
        lacking = missing(held)
        return f"{what}: {lacking or 'all criteria are met'}"

    def outcome(self, figures: Mapping[str, Any]) -> str:
        """Whether it goes on, is passed or is over, by figures of it."""
        if self.broken:
            return REJECTED
        held = self.judged(figures)
        return outcome(self.criteria, held, figures["candidate"]["watched_ns"])

    def is_due(self, now: int, champion: tuple[int, int]) -> bool:
        """Whether it is to be judged: it would not go on as it is."""
        return self.runs and self.outcome(self.figures(now, champion)) not in {GOES_ON, self.state}

    # --- its course -------------------------------------------------------------------------------

    def decide(
        self, state: str, now: int, champion: tuple[int, int], by: str = "", note: str = ""
    ) -> Event:
        """It is passed or over; the event that tells so. `by` is empty where nobody decided it."""
        if state != PASSED:
            figures = self.figures(now, champion)
            self.ended = {"figures": figures, "judged": self.judged(figures)}
            self.engine, self.candidate.seen, self.champion.seen = None, [], []
        self.state = state
        self.decisions.append({"state": state, "by": by, "note": note, "time_ns": now})
        told: dict[str, Any] = {"by": by, "note": note}
        if state == ACCEPTED:
            told["in_service"] = {"version": self.version, "baseline": self.digest}
        return self.event(state, now, champion, told)

    def event(
        self, change: str, now: int, champion: tuple[int, int], told: Mapping[str, Any]
    ) -> Event:
        """What people and central are told."""
        data = {"change": change, **self.shown(now, champion)}
        data |= {name: value for name, value in told.items() if value}
        return Event("retraining", now, str(identity.model(self.model)), data)

    # --- time and what lasts ----------------------------------------------------------------------

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew; its engine is told by the same entry."""
        self.began_ns += shift_ns
        self.candidate.move(shift_ns)
        self.champion.move(shift_ns)
        for one in self.decisions:
            one["time_ns"] += shift_ns

    def to_json(self) -> dict[str, Any]:
        """Values of JSON, with the state of its engine."""
        made = {name: getattr(self, name) for name in self.__slots__}
        return made | {
            "criteria": self.criteria.to_json(), "candidate": self.candidate.to_json(),
            "champion": self.champion.to_json(),
            "losses": [one.to_json() for one in self.losses],
            "engine": b64encode(self.engine.snapshot()).decode() if self.engine else "",
        }  # fmt: skip

    @staticmethod
    def from_json(document: Mapping[str, Any], spec: EngineSpec) -> Trial:
        """What `to_json` gave, as far as the present configuration lets it go on.

        Args:
            document: of `to_json`.
            spec: what is judged now, with the baseline of the model in service.
        """
        trial = Trial(**{
            **document, "criteria": TrialCriteria.from_json(document["criteria"]),
            "candidate": Figures.from_json(document["candidate"]),
            "champion": Figures.from_json(document["champion"]),
            "losses": [Losses.from_json(one) for one in document["losses"]], "engine": None,
        })  # fmt: skip
        if not trial.runs or trial.broken:
            return trial
        trial.broken = trial._why_over(spec)
        if not trial.broken:
            try:
                trial.engine = Engine(candidate_of(spec, trial.model, trial.version,
                                                   spec.kept[trial.digest]))  # fmt: skip
                trial.engine.resume(b64decode(document["engine"]))
            except Exception as error:  # noqa: BLE001 - the model in service must not notice
                trial.fail(error)
        return trial

    def _why_over(self, spec: EngineSpec) -> str:
        """Why it can not go on in the present configuration; empty where it can."""
        model = next((one for one in spec.models if one.name == self.model), None)
        if model is None:
            return "the configuration has no such model any more"
        if model.baseline.digest != self.champion_digest:
            return "the model in service is another one than the trial began beside"
        if [one.output for one in self.losses] != [one.output for one in model.labels]:
            return "the labels of the model were changed in the configuration"
        return spec.why_unfit(self.model, self.digest)


def candidate_of(spec: EngineSpec, name: str, version: str, baseline: Baseline) -> EngineSpec:
    """What a candidate's engine guards: that one model, without its outputs.

    With the tags of the loops that its own are in, by which diagnosis knows a loop.
    """
    model = next(one for one in spec.models if one.name == name)
    made = replace(model, version=version, baseline=baseline, outputs=())
    used = {*made.tags, *(label.tag for label in model.labels)}
    loops = {spec.tag_of[tag].loop for tag in used if tag in spec.tag_of} - {""}
    tags = tuple(
        tag for tag in spec.tags
        if tag.name in used or (tag.loop in loops and tag.name not in model.outputs)
    )
    sources = {tag.source for tag in tags}
    return EngineSpec(tags, tuple(one for one in spec.sources if one in sources), (made,),
                      spec.summary_ns, spec.false_alarm_ns, spec.changes)  # fmt: skip


def begun(
    main: Engine, model: ModelSpec, index: int, data: Mapping[str, Any], now: int
) -> Trial:
    """A trial that begins now, after the entry that `main` folded last.

    Args:
        main: the engine of the models in service.
        model: that it is of.
        index: its place there.
        data: of the command.
        now: its time.
    """
    name, version = model.name, str(data["version"])
    counts = main.charts.extrapolated()[1][index]
    verdict = main.judge.verdicts.get(name)
    criteria = TrialCriteria.from_json(data["criteria"])
    digest = str(data["digest"])
    trial = Trial(
        f"{name}/{version}@{now // 1_000_000_000}", name, version, digest,
        str(data.get("request", "")), model.owner, model.version, model.baseline.digest,
        str(data.get("by", "")), str(data.get("note", "")), now, criteria,
        Figures(name, "unassessable", now),
        Figures(name, verdict.verdict if verdict is not None else "unassessable", now, *counts),
        [_losses_of(pair, criteria) for pair in main.truth.pairs[index]],
    )  # fmt: skip
    trial.champion.remember(main.judge.conditions.active.values())
    trial.broken = main.configured.why_unfit(name, digest)
    if trial.broken:  # since it began: the entry is folded again
        return trial
    try:
        trial.engine = Engine(candidate_of(main.spec, name, version, main.configured.kept[digest]))
        trial.engine.resume(main.snapshot())
        trial.engine.judge.verdicts.clear()  # of the model in service
        trial.engine.judge.command("trial", now, {})
        trial.candidate.remember(trial.engine.judge.conditions.active.values())
    except Exception as error:  # noqa: BLE001 - the model in service must not notice
        trial.fail(error)
    return trial


def _losses_of(pair: Pair, criteria: TrialCriteria) -> Losses:
    known = pair.reference
    block, clip = (known.block, known.clip) if known is not None else (1, 0.0)
    return Losses(pair.label.output, pair.label.loss, criteria.loss_margin, block, clip)


def _own(entry: Entry, model: str, version: str) -> Entry:
    """An entry as the candidate sees it: of predictions, those of its own version alone."""
    if not isinstance(entry, Command) or entry.kind not in KINDS or entry.kind == "labels":
        return entry
    items = [
        one for one in entry.data["items"]
        if entry.data["model"] == model and one["version"] == version
    ]
    return replace(entry, data={**entry.data, "items": items})
