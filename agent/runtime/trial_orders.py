"""What people ask of trials: which is meant, whether it is possible, and all that is journaled."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from agent.configuration.rules import nearest
from agent.configuration.schema import Configuration, Model
from agent.core.baseline import Baseline
from agent.core.retraining_request import DECLARED, OPEN
from agent.core.steward import Steward
from agent.core.trial import Trial
from agent.core.trial_criteria import TrialCriteria, missing
from agent.errors import BaselineError, FieldwardenError
from agent.mqtt.background import in_thread
from agent.runtime.assemble import check_baseline
from agent.runtime.audit import SIGNIFICANCE, at_least
from agent.runtime.candidates import Candidates

_SHOW = "see: fieldwarden retraining show CONFIG MODEL"


class Tried(Protocol):
    """The agent. A reload replaces these, so they are asked for each time."""

    @property
    def configuration(self) -> Configuration:
        """As it is applied."""

    @property
    def engine(self) -> Steward:
        """As of the last fold."""

    @property
    def candidates(self) -> Candidates:
        """Copies of baselines."""


async def meant(kind: str, data: Mapping[str, Any], agent: Tried) -> dict[str, Any]:
    """The data of a command on a trial, with all that it needs to be folded again at any time.

    Args:
        kind: trial, accept, reject or rollback.
        data: as `agent.status.commands` checked it, with who asks.
        agent: that runs.

    Raises:
        FieldwardenError: there is no such model, or it can not be done now.
    """
    model, request = _of(kind, str(data["model"]), agent)
    told = {"model": model, "by": data["by"], "note": data["note"]}
    if kind == "trial":
        return told | await _candidate(model, request, data, agent)
    trial = agent.engine.trials.get(model)
    if kind == "rollback":
        served = agent.engine.service.now(model)
        if served is None:
            raise _refused(kind, model, "what the configuration says serves already", _SHOW)
        return told | {"digest": served.digest}
    if trial is None:
        raise _refused(kind, model, "no trial of it runs", _SHOW)
    return told | (_accepted(model, trial, agent) if kind == "accept" else {})


def _of(kind: str, asked: str, agent: Tried) -> tuple[str, str]:
    """(model, id of a retraining request where one was named)."""
    name = asked.removeprefix("model/")
    known = agent.engine.retraining.requests.get(asked)
    if known is not None:
        return known.model, known.id
    running = next((one.model for one in agent.engine.trials.values() if one.id == asked), "")
    name = running or name
    if name not in agent.configuration.models:
        hint = nearest(name, [*agent.configuration.models, *agent.engine.retraining.requests])
        raise _refused(kind, asked, "there is no such model or retraining request", hint)
    return name, ""


def _accepted(model: str, trial: Trial, agent: Tried) -> dict[str, Any]:
    lacking = agent.engine.lacking(model)
    if trial.broken or lacking:
        cause = trial.broken or f"not all criteria are met: {missing(lacking)}"
        raise _refused("accept", model, cause, _SHOW)
    return {
        "digest": trial.digest, "version": trial.version, "trial": trial.id,
        "request": trial.request, "replaces": trial.champion_digest,
    }  # fmt: skip


async def _candidate(
    model: str, request: str, data: Mapping[str, Any], agent: Tried
) -> dict[str, Any]:
    """All that a trial begins with; its baseline is in the state directory before."""
    version = str(data["version"])
    _check_beginning(model, version, agent)
    request = _request(model, request, agent)
    path = Path(str(data["baseline"]))
    if not path.is_absolute():
        raise _refused("trial", model, f"{path} is no absolute path",
                       "give the whole path, as the agent's own machine has it")  # fmt: skip
    candidates = agent.candidates
    fits = partial(_check_fit, model, version, agent)
    baseline = await in_thread(partial(candidates.keep, path, fits), "candidate")
    _check_beginning(model, version, agent)  # meanwhile others may have been faster
    configured = agent.configuration.models[model]
    candidates.known[baseline.digest] = baseline
    return {
        "digest": baseline.digest, "version": version, "request": request,
        "criteria": criteria_of(configured, agent.configuration).to_json(),
    }


def _check_beginning(model: str, version: str, agent: Tried) -> None:
    running = agent.engine.trials.get(model)
    if running is not None:
        hint = "wait for its end, or end it: fieldwarden retraining reject CONFIG MODEL"
        raise _refused("trial", model, f"a trial of version {running.version} runs already", hint)
    serves = next(one for one in agent.engine.spec.models if one.name == model)
    if serves.version == version:
        raise _refused("trial", model, f"version {version} is the one in service",
                       "give the candidate a version of its own: --version")  # fmt: skip


def _check_fit(name: str, version: str, agent: Tried, baseline: Baseline) -> None:
    """Whether it is of this model, its version, inputs, units and kinds, and not the one there."""
    if baseline.model != name:
        raise BaselineError("matching baseline", f"model {name}",
                            f"it was made for model {baseline.model}", "fit it for this model")
    serves = next(one for one in agent.engine.spec.models if one.name == name)
    if baseline.digest == serves.baseline.digest:
        raise _refused("trial", name, "this is the very baseline in service", "fit another one")
    meant_so = agent.configuration.models[name].model_copy(update={"version": version})
    check_baseline(name, meant_so, baseline, agent.configuration.tags)


def _request(model: str, asked: str, agent: Tried) -> str:
    """The declared request that the trial is of; empty where it is of none."""
    own = [one for one in agent.engine.retraining.requests.values() if one.model == model]
    if asked:
        found = next(one for one in own if one.id == asked)
        if found.state != DECLARED:
            hint = f"a named person decides first: fieldwarden retraining show CONFIG {asked}"
            raise _refused("trial", asked, f"it is {found.state}, and not declared", hint)
        return found.id
    if waiting := [one.id for one in own if one.state == OPEN]:
        hint = f"decide on it first: fieldwarden retraining show CONFIG {waiting[-1]}"
        raise _refused("trial", model, f"its request {waiting[-1]} is open", hint)
    declared = [one.id for one in own if one.state == DECLARED]
    return declared[-1] if declared else ""


def criteria_of(model: Model, configuration: Configuration) -> TrialCriteria:
    """What a candidate of a model must show, as it is configured right now.

    Where nothing else is said it may have as many incidents of its own as come by chance, at the
    rate that is promised of one model, in all but 5 % of such times.
    """
    told = model.trial
    most = told.own_incidents
    if most is None:
        rate = configuration.gateway.false_alarms_per_ns / max(1, len(configuration.models))
        expected = max(1.0, rate * told.lasts)
        most = 0
        while at_least(most + 1, expected) >= SIGNIFICANCE:
            most += 1
    return TrialCriteria(
        told.lasts, max(told.lasts, told.at_most), told.trusted, told.assessable,
        told.extrapolating, most, told.labels, told.loss_margin, told.loss_error,
    )


def _refused(kind: str, subject: str, cause: str, hint: str) -> FieldwardenError:
    return FieldwardenError(f"carrying out {kind} on", subject, cause, hint)
