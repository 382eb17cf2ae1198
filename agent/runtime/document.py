"""The status document: all that the page, the API, the metrics and `status` show, as JSON.

Built after each commit and stored with the next, so that `fieldwarden status` can show the last
known state of an agent that is dead. `View` is the running agent as its status server sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np

from agent import __version__, clock
from agent.checking.security import own_certificates
from agent.configuration.schema import Configuration
from agent.core import identity
from agent.core.condition import Condition, severity
from agent.core.identity import Place
from agent.core.kernels.base import Symptom
from agent.core.spec import OUTPUT
from agent.core.steward import Steward
from agent.mqtt.background import in_thread
from agent.runtime.audit import Audit
from agent.runtime.extrapolated import Extrapolated
from agent.runtime.governance import Governance
from agent.runtime.standings import Standings
from agent.runtime.worth import boottime_at, told_of
from agent.status.view import incidents
from agent.store import Reader
from agent.types import Event, Quality, quality_names

logger = logging.getLogger(__name__)

SCHEMA = 1
_HISTORY = 60
_LOOK_S = 3_600.0
_LONG_AFTER = 1 << 62


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the document shows that the engine does not know."""

    boot: int
    started_ns: int
    sources: Sequence[Mapping[str, Any]]
    outbox: Mapping[str, Any]
    budget: Mapping[str, Any]
    process: Mapping[str, Any]
    trouble: Mapping[str, str] = field(default_factory=dict)
    reload: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Mapping[str, Any]] = ()
    contract: Mapping[str, Any] | None = None
    assessing: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Shown(Protocol):
    """What is shown of a running agent. A reload replaces engine and configuration, so both are
    asked for each time.
    """

    @property
    def configuration(self) -> Configuration:
        """As it is applied now."""

    @property
    def engine(self) -> Steward:
        """As of the last fold."""

    @property
    def trouble(self) -> Mapping[str, str]:
        """What keeps it from going on; empty where nothing does."""

    @property
    def reload(self) -> Mapping[str, Any]:
        """What of the file is not applied; empty where all of it is."""

    def surroundings(self, budget: Mapping[str, Any]) -> Surroundings:
        """All that the engine does not know; `budget` is the audit's report."""


class View:
    """The agent as its status server sees it; documents are made once per commit, on demand."""

    def __init__(self, agent: Shown, reader: Reader) -> None:
        self._agent = agent
        self._reader = reader
        self._made: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self.audit = Audit(reader)
        self.standings = Standings(reader)
        self._extrapolated = Extrapolated()
        self._begun = 0  # incidents
        self._certificates: list[str] = []
        self._look = asyncio.Event()

    def count(
        self, events: Sequence[Event], summaries: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Take what is committed together with the next document, or was already."""
        self._extrapolated.count(summaries)
        self._begun += sum(
            event.kind == "condition" and event.data["change"] == "raised"
            and event.data["id"] == event.data["incident"] for event in events
        )
        self.audit.count(events)
        self.standings.count(events)

    def for_central(self, governance: Governance) -> dict[str, Any]:
        """What a birth tells besides that the gateway is there."""
        agent, contract = self._agent, governance.for_central()
        promise = self.audit.for_central(agent.configuration.gateway, agent.engine.time_ns)
        return {"promise": promise, **({} if contract is None else {"contract": contract})}

    def document(self, *, history: bool = True) -> dict[str, Any]:
        """The status document as of the last fold; with each tag's latest values for the page."""
        if not history:
            return self._make(history=False)
        agent = self._agent
        state = (agent.engine.sequence, agent.trouble.get("text"), agent.reload.get("text"))
        if self._made[0] != state:
            self._made = (state, self._make(history=True))
        return self._made[1]

    def _make(self, *, history: bool) -> dict[str, Any]:
        agent = self._agent
        budget = self.audit.report(agent.configuration.gateway, agent.engine.time_ns)
        around = agent.surroundings(budget)
        document = status_document(agent.configuration, agent.engine, around, history=history)
        for condition in document["conditions"]:
            condition["acts"] = self.standings.acts(condition["subject"], condition["id"])
        document["conditions"] += self.standings.cleared()
        document["incidents"] = incidents(document)
        document["incidents_since_start"] = self._begun
        self._add_extrapolated(document["models"])
        document["certificates"] = self._certificates
        return document

    def _add_extrapolated(self, models: Sequence[dict[str, Any]]) -> None:
        """How much of its time each model, and each input, was outside of its training."""
        engine = self._agent.engine
        rows = [(model["name"], item["tag"]) for model in models for item in model["inputs"]]
        window, counts = engine.charts.extrapolated()
        found = iter(self._extrapolated.of(rows, window, engine.time_ns))
        for index, (model, (scans, outside)) in enumerate(zip(models, counts, strict=True)):
            told = [next(found) for _ in model["inputs"]]
            model["extrapolation"] = {
                "now": engine.judge.extrapolating(index), "scans": scans, "extrapolating": outside,
                "jointly": max((one["jointly"] for one in told), default=0),
                "share_jointly": max((one["share_jointly"] for one in told), default=0.0),
            }
            for item, one in zip(model["inputs"], told, strict=True):
                item["extrapolation"] = {
                    name: one[name] for name in ("scans", "extrapolating", "share")
                }

    async def watch_certificates(self) -> None:
        """Know what people should of the agent's own certificates, until cancelled.

        They are looked at once an hour, and after each reload, in a thread: a folder may be slow.
        """
        while True:
            self._look.clear()
            look = partial(own_certificates, self._agent.configuration)
            self._certificates = await in_thread(look, "certificates")
            for text in self._certificates:
                logger.warning("%s", text)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._look.wait()

    def look_at_certificates(self) -> None:
        """Look at them now: the configuration, or a file that it names, may be another."""
        self._look.set()

    def now_ns(self) -> int:
        """Now, on the time of the last fold: it grows by real time, whatever was set."""
        engine = self._agent.engine
        if engine.timeline.boot_id != clock.boot_id():
            return _LONG_AFTER  # of a run before this one, whose boot is not folded yet
        passed_ns = clock.boottime_ns() - boottime_at(engine, engine.time_ns)
        return engine.time_ns + max(passed_ns, 0)

    def events(self, limit: int, kind: str | None) -> list[Mapping[str, Any]]:
        """The newest events of a kind, newest first."""
        return list(self._reader.events(limit, kind))


def status_document(
    configuration: Configuration, engine: Steward, around: Surroundings, *, history: bool
) -> dict[str, Any]:
    """The whole document, JSON-ready, no NaN; `history` adds each tag's latest values."""
    return {
        "schema": SCHEMA, "site": configuration.gateway.site, "gateway": configuration.gateway.name,
        "version": __version__, "boot": around.boot, "sequence": engine.sequence,
        "time_ns": engine.time_ns, "time_quality": str(engine.time_quality),
        "boot_id": engine.timeline.boot_id, "boottime_ns": boottime_at(engine, engine.time_ns),
        "started_ns": around.started_ns,
        "models": _models(configuration, engine, around.trouble), "sources": list(around.sources),
        "tags": _tags(engine, history=history), "conditions": _conditions(engine),
        "changes": [
            one | {"assessing": around.assessing.get(one["id"])}
            for one in engine.judge.changes.shown()
        ],
        "contract": around.contract,
        "retraining": engine.retraining.shown(engine.time_ns), "trials": engine.trials_shown(),
        "outbox": dict(around.outbox), "budget": dict(around.budget),
        "process": dict(around.process), "trouble": dict(around.trouble),
        "reload": dict(around.reload), "parts": [dict(part) for part in around.parts],
    }


def _models(
    configuration: Configuration, engine: Steward, trouble: Mapping[str, str]
) -> list[dict[str, Any]]:
    made = []
    worst = _worst(engine)
    for index, model in enumerate(engine.spec.models):
        scans = engine.charts.scans[index]
        made.append(told_of(configuration, engine, index, trouble) | {
            "scans": scans.count, "provisional_text": model.baseline.provisional_text,
            "inputs": _charted(engine, engine.spec.rows_of(index), worst),
            "outputs": _outputs(engine, index, worst),
            "joint": scans.joint.scores_by_statistic(),
        })
    return made


def _worst(engine: Steward) -> list[tuple[str, float]]:
    """The detector with the highest score, and that score, of every chart row."""
    columns = engine.charts.score_columns()
    names, table = list(columns), np.array(list(columns.values()))
    which = table.argmax(axis=0)
    scores = np.take_along_axis(table, which[None], axis=0)[0]
    return [(names[i], score) for i, score in zip(which.tolist(), scores.tolist(), strict=True)]


def _charted(
    engine: Steward, rows: range, worst: Sequence[tuple[str, float]]
) -> list[dict[str, Any]]:
    """Inputs, or outputs that the baseline knows, by their chart rows."""
    made = []
    for row in rows:
        place = engine.spec.rows[row]
        name, spec = engine.spec.tags[place.tag].name, engine.spec.models[place.model]
        detector, score = worst[row]
        made.append({
            "tag": name, "required": place.role == OUTPUT or name in spec.required,
            "state": _state(engine, name),
            "worst": {"detector": detector, "score": _finite(score)},
            "trained": list(engine.charts.parameters.baseline(row).trained),
        })
    return made


def _outputs(
    engine: Steward, index: int, worst: Sequence[tuple[str, float]]
) -> list[dict[str, Any]]:
    """All outputs of a model; of those that no baseline knows the arrival alone is watched, and of
    those without a tag, which come by the API, the errors.
    """
    charted = _charted(engine, engine.spec.outputs_of(index), worst)
    named = [*engine.spec.models[index].outputs]
    named += [pair.label.output for pair in engine.truth.pairs[index]]
    known = {one["tag"] for one in charted}
    return charted + [
        {"tag": name, "required": True, "worst": None, "trained": None,
         "state": _state(engine, name) if name in engine.spec.tag_of else "good"}
        for name in dict.fromkeys(named) if name not in known
    ]


def _state(engine: Steward, tag: str) -> str:
    """The kind of the condition that is open on a tag, or that its source is lost; else good."""
    active = engine.judge.conditions.active
    own = active.get(identity.tag(tag))
    if own is not None and own.raised:
        return own.kind
    source = active.get(identity.source(engine.spec.tag_of[tag].source))
    return source.kind if source is not None and source.raised and source.findings else "good"


def _kinds(engine: Steward, place: Place) -> dict[str, str]:
    """Name -> kind of the condition that is open on it."""
    active = engine.judge.conditions.active.values()
    return {c.subject.name: c.kind for c in active if c.raised and c.subject.place is place}


def _tags(engine: Steward, *, history: bool) -> list[dict[str, Any]]:
    stale = {
        condition.subject for condition in engine.judge.conditions.active.values()
        if any(key.symptom is Symptom.SILENT for key in condition.findings)
    }
    own, lost = _kinds(engine, Place.TAG), _kinds(engine, Place.SOURCE)
    past = _history(engine) if history else [[] for _ in engine.spec.tags]
    made = []
    for tag, values, latest in zip(engine.spec.tags, past, engine.latest().tolist(), strict=True):
        value, arrival, source, quality = latest
        if stale and identity.tag(tag.name) in stale:
            quality |= int(Quality.STALE)
        made.append({
            "name": tag.name, "source": tag.source, "unit": tag.unit, "role": tag.role,
            "value": _finite(value) if arrival else None, "arrival_ns": arrival or None,
            "source_ns": source or None, "quality": quality,
            "quality_names": quality_names(quality) if arrival else ["waiting"],
            "condition": own.get(tag.name) or lost.get(tag.source, ""),
            "history": values,
        })
    return made


def _history(engine: Steward) -> list[list[float | None]]:
    """The latest values of every tag, oldest first, without a call for each of them."""
    table, known = engine.charts.traces.newest(_HISTORY)
    plain = (known & np.isfinite(table)).all(axis=1)
    lists: list[list[float | None]] = table.tolist()
    for row in np.nonzero(~plain)[0].tolist():
        lists[row] = [_finite(value) for value in table[row, known[row]].tolist()]
    return lists


def _conditions(engine: Steward) -> list[dict[str, Any]]:
    raised = [c for c in engine.judge.conditions.active.values() if c.raised]
    return [_condition(engine, c) for c in sorted(raised, key=lambda c: -c.raised_ns)]


def _condition(engine: Steward, condition: Condition) -> dict[str, Any]:
    place, name = condition.subject.place, condition.subject.name
    source = name if place is Place.SOURCE else ""
    if place is Place.TAG:
        source = engine.spec.tag_of[name].source
    return {
        "id": condition.id, "incident": condition.incident, "subject": str(condition.subject),
        "kind": condition.kind,
        "tag": name if place is Place.TAG else "", "model": ", ".join(condition.models),
        "source": source, "cause": condition.cause, "severity": severity(condition),
        "text": condition.reason, "hint": condition.hint, "raised_ns": condition.raised_ns,
        "cleared_ns": None, "state": condition.state, "acknowledged": condition.acknowledged,
        "shelved": condition.shelved, "suppressed": condition.suppressed,
        "out_of_service": condition.out_of_service,
        "score": _finite(max(condition.seen.values(), default=0.0)),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
