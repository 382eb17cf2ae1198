"""The engine of a running agent: judges by the baselines in service, and tries candidates.

It is the fold of `Engine`, with what people decide on candidates folded in too: which baseline was
in force for an entry follows from the entries before it, live, after a restart and in a replay.

Invariants:
- only the model in service is heard: a candidate's engine moves figures of its trial, no verdict.
- a switch is one entry: those before it were judged by one baseline, those after it by the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from agent.core import identity, rivals, state
from agent.core.engine import Engine
from agent.core.retraining_request import ACCEPTED as REQUEST_ACCEPTED
from agent.core.retraining_request import DECLARED, OFFERED
from agent.core.retraining_request import IN_TRIAL as REQUEST_IN_TRIAL
from agent.core.serving import Dropped, Served, Service
from agent.core.spec import EngineSpec, ModelSpec
from agent.core.timeline import LEAPS, leap_of
from agent.core.trial import ACCEPTED, Trial, begun
from agent.core.trial_criteria import GOES_ON, MET, REJECTED
from agent.types import Command, Entry, Event, Outcome

ROLLED_BACK, SUPERSEDED = "rolled back", "superseded"
ENDED_KEPT: Final = 16
"""Trials that are over and still known."""


class Steward(Engine):
    """Folds entries; see the module's invariants.

    Attributes:
        configured: what the configuration says; `spec` is what is judged by.
        service: which accepted candidates serve.
        dropped: those that do not any more in the present configuration, not told yet.
        trials: by model, those that run; `ended` those that are over, oldest first.
    """

    def __init__(self, spec: EngineSpec) -> None:
        super().__init__(spec)
        self.service = Service()
        self.dropped: list[Dropped] = []
        self.trials: dict[str, Trial] = {}
        self.ended: list[Trial] = []

    # --- the fold ---------------------------------------------------------------------------------

    def step(self, entry: Entry) -> Outcome:
        """Fold one entry, by the models in service and by every candidate.

        Raises:
            FieldwardenError: the entry is out of order; the state is as before.
        """
        made = self._step_both(entry) if self.trials else super().step(entry)
        if not isinstance(entry, Command):
            return made
        told = self._act(entry)
        return Outcome((*made.events, *told), made.summaries) if told else made

    def _act(self, told: Command) -> list[Event]:
        """What a command does that is about trials, and what serves."""
        acts: Mapping[str, Callable[[int, Mapping[str, Any]], list[Event]]] = {
            "trial": self._begin, "trial_judged": self._judge_trial, "accept": self._accept,
            "reject": self._reject, "rollback": self._roll_back, "superseded": self._superseded,
        }  # fmt: skip
        return acts[told.kind](told.sealed_ns, told.data) if told.kind in acts else []

    def _step_both(self, entry: Entry) -> Outcome:
        leaps = isinstance(entry, Command) and entry.kind in LEAPS
        figures = [f for trial in self.trials.values() for f in (trial.candidate, trial.champion)]
        if leaps and isinstance(entry, Command):
            before_ns = leap_of(entry, self.timeline, self.time_ns).before_ns
            for one in figures:
                one.pause(max(before_ns, self.time_ns))
        made = super().step(entry)
        for trial in self.trials.values():
            trial.champion.take(made.events)
            trial.step(entry)
            if trial.engine is not None:
                trial.compare(self.truth.pairs[self._place(trial.model)])
        if leaps:
            for one in figures:
                one.go_on(entry.sealed_ns)
        for pairs in self.truth.pairs:
            for pair in pairs:
                pair.compared.clear()
        return made

    def _move(self, shift_ns: int) -> None:
        super()._move(shift_ns)
        self.service.move(shift_ns)
        for trial in (*self.trials.values(), *self.ended):
            trial.move(shift_ns)

    # --- what people, and the trial's own time, bring about --------------------------------------

    def _begin(self, now: int, data: Mapping[str, Any]) -> list[Event]:
        """A trial of the candidate with the digest `data` names; fixed are its criteria."""
        name = str(data.get("model", ""))
        if self._place(name) < 0 or name in self.trials:
            return []
        model = self.spec.models[self._place(name)]
        trial = begun(self, model, self._place(name), data, now)
        for pair in self.truth.pairs[self._place(name)]:
            rivals.reserve(pair.state.rivals, trial.version)
            pair.compared.clear()  # what came before the trial
        self.trials[name] = trial
        self._request(trial.request, REQUEST_IN_TRIAL, now, trial.by, trial.note)
        told = {"by": trial.by, "note": trial.note}
        why, trial.broken = trial.broken, ""  # that it began is the same when it is folded again
        event = trial.event(trial.state, now, self._counts(name), told)
        trial.broken = why
        return [event]

    def _judge_trial(self, now: int, data: Mapping[str, Any]) -> list[Event]:
        """Its time is over, or it can not go on; `data["reason"]` says why where it can not."""
        trial = self.trials.get(str(data.get("model", "")))
        if trial is None or trial.id != data.get("trial"):
            return []
        trial.broken = trial.broken or str(data.get("reason", ""))
        counts = self._counts(trial.model)
        found = trial.outcome(trial.figures(now, counts))
        if found in {GOES_ON, trial.state}:
            return []
        if found == REJECTED:
            return self._reject_now(trial, now, "", "")
        return [trial.decide(found, now, counts)]

    def _reject(self, now: int, data: Mapping[str, Any]) -> list[Event]:
        """A person ends a trial."""
        trial = self.trials.get(str(data.get("model", "")))
        why = str(data.get("note", ""))
        return self._reject_now(trial, now, str(data.get("by", "")), why) if trial and why else []

    def _reject_now(self, trial: Trial, now: int, by: str, note: str) -> list[Event]:
        event = trial.decide(REJECTED, now, self._counts(trial.model), by, note)
        self._end(trial)
        self._request(trial.request, DECLARED, now, by, note or str(event.data["text"]))
        return [event]

    def _end(self, trial: Trial) -> None:
        del self.trials[trial.model]
        self.ended = [*self.ended, trial][-ENDED_KEPT:]

    def _accept(self, now: int, data: Mapping[str, Any]) -> list[Event]:
        """The candidate serves from here on.

        Whether it may was said before the command was journaled; here only what it is is needed,
        so that a journal that has lost the begin of the trial still switches where it did.
        """
        name, why = str(data.get("model", "")), str(data.get("note", ""))
        place, digest = self._place(name), str(data.get("digest", ""))
        if place < 0 or not why or self.configured.why_unfit(name, digest):
            return []
        model = self.spec.models[place]
        if model.baseline.digest != data.get("replaces"):
            return []
        trial = self.trials.get(name)
        served = Served(
            str(data["version"]), digest, str(data.get("trial", "")),
            str(data.get("request", "")), str(data.get("by", "")), why, now,
        )  # fmt: skip
        told = {"by": served.by, "note": why}
        self._request(served.request, REQUEST_ACCEPTED, now, served.by, why)
        if trial is not None and trial.digest == digest:
            event = trial.decide(ACCEPTED, now, self._counts(name), served.by, why)
            self._end(trial)
        else:
            event = _of_service(ACCEPTED, model, served, now, told)
        return [event, *self._switch(self.service.accepted(self._configured(name), served), now)]

    def _roll_back(self, now: int, data: Mapping[str, Any]) -> list[Event]:
        """What the accepted candidate replaced serves again."""
        name, why = str(data.get("model", "")), str(data.get("note", ""))
        served = self.service.now(name)
        if served is None or not why or served.digest != data.get("digest"):
            return []
        trial = self.trials.get(name)
        by = str(data.get("by", ""))
        events = []
        if trial is not None:  # it ran beside what does not serve any more
            events += self._reject_now(trial, now, by, f"rolled back meanwhile: {why}")
        self._request(served.request, DECLARED, now, by, why)
        verdicts = self._switch(self.service.rolled_back(name), now)
        model = self.spec.models[self._place(name)]
        told = {"by": by, "note": why}
        return [*events, _of_service(ROLLED_BACK, model, served, now, told), *verdicts]

    def _superseded(self, now: int, data: Mapping[str, Any]) -> list[Event]:
        """An accepted candidate serves no more: the configuration, or its file, is another."""
        name = str(data.get("model", ""))
        self.dropped = [one for one in self.dropped if one.model != name]
        served = Served(
            str(data.get("version", "")), str(data.get("digest", "")), str(data.get("trial", "")),
            "", "", "", now,
        )  # fmt: skip
        model = self._configured(name) if self._place(name) >= 0 else None
        told = {"text": str(data.get("reason", ""))}
        return [_of_service(SUPERSEDED, model, served, now, told, name)]

    def _request(self, request: str, to: str, now: int, by: str, why: str) -> None:
        known = self.retraining.requests.get(request)
        if known is not None and known.state in OFFERED:
            known.goes_on(to, now, by or "agent", why)

    # --- switching --------------------------------------------------------------------------------

    def _switch(self, service: Service, now: int) -> list[Event]:
        """Judge by what is to serve, and go on with all else as it is; all of it, or nothing.

        Returns:
            What is told of verdicts: that of the model begins anew.
        """
        was, self.service = self.service, service
        try:
            fresh = Steward(self.configured)
            fresh.resume(self.snapshot())
        finally:
            self.service = was
        fresh.dropped = [*self.dropped, *fresh.dropped]
        self.__dict__.update(fresh.__dict__)
        return self._judged(self.judge.command("accept", now, {}))

    def _take(self, saved: state.Saved, watch_from_ns: int) -> list[Event]:
        facts = saved.facts
        service = Service.from_json(facts.get("service", {}))
        spec, self.dropped = service.applied(self.configured)
        configured = self.configured
        Engine.__init__(self, spec)
        self.configured, self.service = configured, service
        fresh = super()._take(saved, watch_from_ns)
        trials = [Trial.from_json(one, self.spec) for one in facts.get("trials", ())]
        self.trials = {one.model: one for one in trials}
        self.ended = [Trial.from_json(one, self.spec) for one in facts.get("ended", ())]
        return fresh

    def serve(self, document: Mapping[str, Any]) -> None:
        """Go on with what served, as it was noted elsewhere: `document` of `Service.to_json`."""
        if document != self.service.to_json():
            self._switch(Service.from_json(document), self.time_ns)

    def _facts(self) -> dict[str, Any]:
        return super()._facts() | {
            "service": self.service.to_json(),
            "trials": [one.to_json() for _, one in sorted(self.trials.items())],
            "ended": [one.to_json() for one in self.ended],
        }

    # --- looking in -------------------------------------------------------------------------------

    def trials_shown(self) -> list[dict[str, Any]]:
        """All trials that are known, those that run first, then the newest, JSON-ready."""
        running = [one.shown(self.time_ns, self._counts(name)) for name, one in self.trials.items()]
        return running + [self._over(one) for one in reversed(self.ended)]

    def _over(self, trial: Trial) -> dict[str, Any]:
        """A trial that has ended; where its candidate was accepted, whether that still serves."""
        shown, served = trial.shown(self.time_ns, (0, 0)), self.service.now(trial.model)
        if trial.state != ACCEPTED or (served is not None and served.digest == trial.digest):
            return shown
        return shown | {"text": f"version {trial.version} serves no more", "hint": ""}

    def due(self) -> list[dict[str, Any]]:
        """The data of a command ``trial_judged`` for each trial that is to be judged by now."""
        return [
            {"model": name, "trial": trial.id, "reason": trial.broken}
            for name, trial in self.trials.items()
            if trial.is_due(self.time_ns, self._counts(name))
        ]

    def lacking(self, model: str) -> list[dict[str, Any]]:
        """The criteria of a running trial that are not met by now."""
        trial = self.trials[model]
        held = trial.judged(trial.figures(self.time_ns, self._counts(model)))
        return [one for one in held if one["state"] != MET]

    def configured_of(self, model: str) -> ModelSpec | None:
        """What the configuration says of a model, whatever serves; None: there is none."""
        return next((one for one in self.configured.models if one.name == model), None)

    def _configured(self, name: str) -> ModelSpec:
        return self.configured.models[self._place(name)]

    def _place(self, name: str) -> int:
        models = enumerate(self.spec.models)
        return next((place for place, model in models if model.name == name), -1)

    def _counts(self, name: str) -> tuple[int, int]:
        """Scans of a model in service, and those outside of its training, ever."""
        place = self._place(name)
        return self.charts.extrapolated()[1][place] if place >= 0 else (0, 0)


def _of_service(
    change: str, model: ModelSpec | None, served: Served, now: int, told: Mapping[str, Any],
    name: str = "",
) -> Event:  # fmt: skip
    """That what serves is another one, where no trial tells so; `model` is what serves now."""
    name = model.name if model is not None else name
    version = model.version if model is not None else ""
    text = f"version {served.version}"
    if change != ACCEPTED:
        text += f" serves no more; version {version} does" if version else " serves no more"
    if told.get("text"):
        text += f": {told['text']}"
    data: dict[str, Any] = {
        "change": change, "id": served.trial, "model": name, "version": served.version,
        "owner": model.owner if model is not None else "", "baseline": served.digest,
        "request": served.request, "state": change, "since_ns": served.since_ns, "hint": "",
        "in_service": {
            "version": version, "baseline": model.baseline.digest if model is not None else "",
        },
    }  # fmt: skip
    return Event("retraining", now, str(identity.model(name)), {**data, **told, "text": text})
