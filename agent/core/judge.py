"""Judgement: flags -> findings -> conditions -> verdicts, in time order.

One instant is judged at a time: due timers first, then that instant's flags, then the verdicts of
the models concerned. Nothing here is numeric work; `Charts` did that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import groupby
from typing import Any

from agent.core import identity, losses
from agent.core.attribution import Attribution
from agent.core.charts import Charts, input_key
from agent.core.condition import Condition
from agent.core.delays import lapse_ns
from agent.core.diagnosis import Diagnosis
from agent.core.evidence import EvidenceReader
from agent.core.facts import SCOPES, Facts
from agent.core.findings import Findings
from agent.core.flag import TRUTH, Flag
from agent.core.identity import FindingKey, Place, Subject
from agent.core.incident import open_incidents
from agent.core.lifecycle import Conditions
from agent.core.loop_evidence import LoopReader
from agent.core.names import MAY_BE_FALSE, lasts
from agent.core.output_diagnosis import name_of
from agent.core.scans import ENOUGH
from agent.core.source_watch import SourceWatch
from agent.core.spec import EngineSpec
from agent.core.verdict import Concerns, Verdict, judge, replaced, same_to_read, verdict_event
from agent.types import Event

_WAITING = f"fewer than {ENOUGH} good scans in a row so far"
_PEOPLE = frozenset({"acknowledge", "shelve", "unshelve"})


class Judge:
    """Turns flags and commands into events; holds conditions, source states and verdicts.

    It is the `Rules` of its conditions.
    """

    def __init__(self, spec: EngineSpec, charts: Charts) -> None:
        self.spec, self._charts = spec, charts
        self._evidence = EvidenceReader(spec, charts)
        self._loops = LoopReader(spec, charts)
        self._attribution = Attribution(spec, charts, self._loops)
        self.conditions = Conditions(self)
        self.sources = SourceWatch(spec, self.conditions)
        self.verdicts: dict[str, Verdict] = {}
        self.since: dict[str, int] = {}
        self._concerns = Concerns(spec)
        self._index = {model.name: index for index, model in enumerate(spec.models)}
        self._assessed: set[str] = set()
        self._out_of_service: set[str] = set()
        self.replaced: set[str] = set()  # models whose baseline's file is another one by now
        self._facts = Facts(spec, charts.modes)
        self._findings = Findings(spec, charts, self._evidence, self._loops, self._attribution)

    def restart(self, since_ns: int, until_ns: int) -> None:
        """The agent was away in [since, until): models are assessed anew, delays go on."""
        self._assessed.clear()
        if since_ns:
            self.conditions.pause(since_ns, until_ns)

    # --- time ---------------------------------------------------------------------------------

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: all times move, so that no delay notices."""
        self.conditions.move(shift_ns)
        self.sources.move(shift_ns)
        self._facts.move(shift_ns)
        self.since = {name: time_ns + shift_ns for name, time_ns in self.since.items()}

    def run(self, flags: Iterable[Flag], until_ns: int) -> list[Event]:
        """Judge everything before `until_ns`, instant by instant."""
        events: list[Event] = []
        for time_ns, together in groupby(flags, key=lambda flag: flag.time_ns):
            events += self._timers(time_ns)
            concerned: set[str] = set()
            events += self._due(time_ns, concerned)
            for flag in together:
                made, models = self._flag(flag)
                events += made
                concerned.update(models)
            events += self._due(time_ns, concerned)
            events += self._verdicts(time_ns, concerned)
        return events + self._timers(until_ns)

    def _timers(self, until_ns: int) -> list[Event]:
        """Every instant before `until_ns` at which nothing but timers is due."""
        events: list[Event] = []
        while (due := self.conditions.next_due_ns) < until_ns:
            concerned: set[str] = set()
            events += self._due(due, concerned)
            events += self._verdicts(due, concerned)
        return events

    def _due(self, now: int, concerned: set[str]) -> list[Event]:
        """Fire what is due up to and at `now`; the models that it touches join `concerned`."""
        events: list[Event] = []
        while (fired := self.conditions.fire(now + 1)) is not None:
            models, made = fired
            events += made
            if made:
                concerned.update(models)
        return events

    def extrapolating(self, model: int) -> bool:
        """Whether a model works outside what it was trained on right now, by its index."""
        return bool(self._facts.of(model))

    def incidents(self, model: str) -> int:
        """How many incidents of a model are open."""
        own = (one for one in self.conditions.active.values() if model in one.models)
        return len(open_incidents(own))

    # --- flags --------------------------------------------------------------------------------

    def _flag(self, flag: Flag) -> tuple[list[Event], Iterable[str]]:
        """(events, models whose verdict it may change)."""
        if flag.scope == "scan":
            name = self.spec.models[flag.row].name
            (self._assessed.add if flag.up else self._assessed.discard)(name)
            return [], [name]
        if flag.scope == TRUTH:
            return self._charts.truth.take(flag, self.conditions)
        if flag.scope in SCOPES:
            return [], [self._facts.take(flag)]
        finding = self._findings.of(flag, self.conditions.active)
        if flag.scope == "joint":
            about = identity.model(self.spec.models[flag.row].name)
        else:
            about = finding.subject
        events = [flag.event(about, finding.key.model)]
        events += self.conditions.finding(finding)
        if finding.key.traits.transport:
            events += self.sources.tag_changed(finding.subject.name, flag.time_ns)
        condition = self.conditions.active.get(finding.subject)
        others = condition.models if condition is not None else ()
        return events, {*finding.models, *others}

    # --- commands -----------------------------------------------------------------------------

    def command(self, kind: str, time_ns: int, data: Mapping[str, Any]) -> list[Event]:
        """What a person or a source said; unknown kinds change nothing."""
        events = self._obey(kind, time_ns, data)
        everyone = {model.name for model in self.spec.models}
        events += self._due(time_ns, set())
        return events + self._verdicts(time_ns, everyone)

    def _obey(self, kind: str, time_ns: int, data: Mapping[str, Any]) -> list[Event]:
        if kind == "source_state":
            return self.sources.told(time_ns, data)
        if kind == "refused":
            return self.sources.refused(time_ns, data)
        if kind in _PEOPLE:
            try:
                subject = Subject.parse(str(data.get("subject", "")))
            except ValueError:
                return []
            return self.conditions.command(kind, subject, time_ns, data)
        if kind in {"out_of_service", "in_service"}:
            return self._service(kind, time_ns, data)
        if kind == "baseline":
            change = self.replaced.add if data.get("replaced") else self.replaced.discard
            change(str(data.get("model", "")))
        return losses.told(time_ns, data) if kind == "lost" else []

    def _service(self, kind: str, time_ns: int, data: Mapping[str, Any]) -> list[Event]:
        tag = str(data.get("tag", ""))
        if tag not in self._findings.users:
            return []
        out = kind == "out_of_service"
        if out == (tag in self._out_of_service) and not (out and data.get("note")):
            return []  # it was so already, and nothing is added
        (self._out_of_service.add if out else self._out_of_service.discard)(tag)
        self.conditions.refresh([identity.tag(tag)], time_ns)
        detail = {"change": kind, "by": data.get("by", "")}
        if data.get("note"):
            detail["note"] = data["note"]
        return [Event("configuration", time_ns, str(identity.tag(tag)), detail)]

    # --- rules of conditions --------------------------------------------------------------------

    def name(self, condition: Condition, now: int) -> Diagnosis:
        """What the evidence says it is; of several models' evidence, what tells most."""
        subject = condition.subject
        if subject.place is Place.SOURCE:
            return self.sources.name(subject.name)
        if subject.place is Place.MODEL:
            return self._loops.named(condition, self._attribution.whole(condition, now), now)
        evidence = self._evidence.of_tag(
            condition, now, self.conditions.active, self._findings.joint_up,
            lost=self.sources.is_silent(self.spec.tag_of[subject.name].source),
            refusal=self.sources.refusal(self.spec.tag_of[subject.name]),
        )
        plain = max((name_of(item) for item in evidence), key=lambda found: found.rank)
        return self._loops.named(condition, plain, now)

    def is_normal(self, condition: Condition, now: int) -> bool:
        """Whether its subject is seen to be normal again."""
        return self._evidence.is_normal(condition, now)

    def stays(self, condition: Condition, now: int) -> bool:
        """Whether a fault lasts by its name: for a while, or while its tag is out of its range."""
        if condition.subject.place is not Place.TAG or not lasts(condition.kind, condition.cause):
            return False
        waited_ns = now - condition.normal_since_ns
        return waited_ns < condition.stay_ns or self._facts.holds_of(condition)

    def is_no_alarm(self, condition: Condition, diagnosis: Diagnosis, now: int) -> bool:
        """Whether a fact tells all it says, or its noise goes along with that of others."""
        return self._evidence.goes_along(condition, now) or self._facts.tell_all_of(
            condition, diagnosis.cause, now
        )

    def lapse_ns(self, condition: Condition) -> int:
        """How long a condition speaks against its models, where it may be a false alarm."""
        return lapse_ns(condition.interval_ns, self.spec.false_alarm_ns)

    def settling_ns(self, condition: Condition) -> int:
        """How long after a condition a further one of the same fault may begin."""
        return self._evidence.settling_ns(condition, self.conditions.active)

    def owner(self, condition: Condition, now: int) -> Subject:
        """Whose is what models found of it, as of now."""
        owner = self._attribution.owner(condition, now, self.conditions.active)
        if owner != condition.subject:  # what is down here may be up there, where it is cleared
            up = [key for key in condition.findings if key.model]
            self._findings.owner |= dict.fromkeys(up, owner)
        return owner

    def suppressed(self, condition: Condition) -> bool:
        """A tag that is merely silent while its whole source is lost raises no alarm of its own."""
        subject = condition.subject
        return (
            subject.place is Place.TAG
            and self.sources.is_lost(self.spec.tag_of[subject.name].source)
            and all(key.traits.transport for key in condition.findings)
        )

    def out_of_service(self, condition: Condition) -> bool:
        """Whether a person took the tag out of service."""
        subject = condition.subject
        return subject.place is Place.TAG and subject.name in self._out_of_service

    # --- verdicts -----------------------------------------------------------------------------

    def _verdicts(self, time_ns: int, names: set[str]) -> list[Event]:
        if not names:
            return []
        events = []
        for index, model in enumerate(self.spec.models):
            if model.name not in names:
                continue
            concerns = self._concerns.of(
                model.name, self.conditions.active, self._out_of_service, self._provisional,
                self._lapsed(time_ns),
            )
            concerns += self._facts.of(index)
            concerns += [replaced(model.name)] if model.name in self.replaced else []
            verdict = judge(
                concerns, self._charts.modes.unjudged(index, time_ns) or _WAITING,
                assessed=model.name in self._assessed,
            )
            before = self.verdicts.get(model.name)
            if before is not None and same_to_read(before, verdict):
                self.verdicts[model.name] = verdict  # its figures may be later ones
                continue
            if before is None or before.verdict != verdict.verdict:
                self.since[model.name] = time_ns
            self.verdicts[model.name] = verdict
            events.append(verdict_event(model.name, model.version, verdict, before, time_ns))
        return events

    def _lapsed(self, time_ns: int) -> Callable[[Condition], bool]:
        """Whether a condition is one of an input against its own past, and was told for long.

        Where another input bears it out (it is in the same incident), or where inputs have left
        their trained relations, it counts for as long as it lasts.
        """
        return lambda condition: (
            (condition.kind, condition.cause) in MAY_BE_FALSE
            and time_ns >= self.conditions.lapses_ns(condition)
            and not any(key.joint and not key.traits.passing for key in condition.findings)
            and self.conditions.incidents.is_alone(condition.incident)
        )

    def _provisional(self, subject: Subject, key: FindingKey) -> bool:
        """Whether the thresholds of the chart that found it are: of that input, or jointly."""
        if not key.model:
            return False
        index = self._index[key.model]
        mode = self.spec.models[index].baseline.modes[self._charts.modes.index(index)]
        if key.joint:
            return bool(mode.joint.get("provisional", self.spec.models[index].baseline.provisional))
        item = mode.of(key.of or subject.name)
        return item is not None and item.provisional

    # --- what lasts -----------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """All state, JSON-ready, in a fixed order."""
        return {
            "conditions": self.conditions.to_json(),
            "sources": self.sources.to_json(),
            "refusals": dict(sorted(self.sources.refusals.items())),
            "assessed": sorted(self._assessed),
            "out_of_service": sorted(self._out_of_service),
            "replaced": sorted(self.replaced),
            "facts": self._facts.to_json(),
            "joint_owner": {str(k): str(to) for k, to in sorted(self._findings.owner.items())},
            "since": dict(sorted(self.since.items())),
            "verdicts": {name: item.to_json() for name, item in sorted(self.verdicts.items())},
        }

    def from_json(
        self, document: Mapping[str, Any], now: int, kept: Mapping[str, Collection[str]]
    ) -> None:
        """Take state of `now` from `to_json`, as far as the present configuration has it.

        Args:
            document: of `to_json`.
            now: engine time of the snapshot in ns.
            kept: by axis, the keys of what is as it was, and whose charts go on.
        """
        known = {model.name for model in self.spec.models}
        self.conditions.from_json(document["conditions"])
        subjects = {identity.tag(name) for name in self._findings.users}
        subjects |= self.sources.subjects()
        subjects |= {identity.model(name) for name in known}
        self.conditions.keep(subjects)
        for condition in self.conditions.active.values():
            condition.models = sorted(known.intersection(self._concerned(condition)))
        self.sources.from_json(document["sources"], document.get("refusals", {}))
        self._assessed = set(document["assessed"]) & set(kept["model"])
        self._out_of_service = set(document["out_of_service"])
        self.replaced = set(document.get("replaced", ())) & set(kept["model"])
        owners = {
            FindingKey.parse(key): Subject.parse(owner)
            for key, owner in document["joint_owner"].items()
        }
        self._findings.owner = {
            key: owner for key, owner in owners.items()
            if key.model in kept["model"] and owner in subjects
        }
        self.since = {name: int(t) for name, t in document["since"].items() if name in known}
        self.verdicts = {
            name: Verdict.from_json(item)
            for name, item in document["verdicts"].items() if name in known
        }
        self._facts.from_json(document.get("facts", []), kept)
        self._forget_what_started_anew(now, kept)

    def _forget_what_started_anew(self, now: int, kept: Mapping[str, Collection[str]]) -> None:
        """Drop every finding whose chart is new, or is not up: nothing would ever clear it."""
        self._findings.joint_up = {
            FindingKey(chart, model.name) for index, model in enumerate(self.spec.models)
            for chart in self._charts.scans[index].joint.flagged()
        }  # fmt: skip

        def gone(subject: Subject, key: FindingKey) -> bool:
            if subject.place is Place.SOURCE:
                return False
            if key.joint or key.of_errors:
                stays = key.of_errors or key.model in kept["model"]
            elif key.model:
                stays = input_key(key.model, key.of or subject.name) in kept["input"]
                stays &= subject == self._findings.owner.get(key, self._loops.home(key, subject))
            else:
                stays = subject.name in kept["tag"]
            up = key in self.conditions.active[subject].findings
            return not stays or (up and not self._is_up(subject, key))

        self.conditions.forget(gone, now)
        self.sources.resumed(now)

    def _concerned(self, condition: Condition) -> Collection[str]:
        """The models that a condition from a snapshot concerns as they are configured now."""
        subject = condition.subject
        if subject.place is Place.MODEL:
            return condition.models
        users = self.sources.users if subject.place is Place.SOURCE else self._findings.users
        judged = all(key.model for key in condition.seen)  # each by the baseline of its model
        return [m for m in users[subject.name] if not judged or m in condition.models]

    def _is_up(self, subject: Subject, key: FindingKey) -> bool:
        tag = self.spec.row_of_tag.get(key.of or subject.name, -1)
        return self._charts.is_up(key.detector, tag, self._index[key.model] if key.model else None)

    def renew(self, model: str, now: int) -> list[Event]:
        """The detectors of one model start anew: what they had found would never clear."""
        self._assessed.discard(model)
        self._facts.forget(self._index[model])
        self._findings.joint_up = {key for key in self._findings.joint_up if key.model != model}
        self.conditions.forget(lambda _, key: key.model == model and not key.of_errors, now)
        return self._verdicts(now, {model})
