"""Judgement: flags -> findings -> conditions -> verdicts, in time order.

One instant is judged at a time: due timers first, then that instant's flags, then the verdicts of
the models concerned. Nothing here is numeric work; `Charts` did that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from typing import Any

from agent.core import identity, noted
from agent.core.attribution import Attribution
from agent.core.changes import KINDS as OF_CHANGES
from agent.core.charts import Charts, input_key
from agent.core.condition import Condition
from agent.core.contract_watch import ContractWatch
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
from agent.core.names import lasts
from agent.core.output_diagnosis import name_of
from agent.core.source_watch import SourceWatch
from agent.core.spec import EngineSpec
from agent.core.upstream import Upstream
from agent.core.verdict import Verdict
from agent.core.verdicts import Verdicts
from agent.types import Event

_PEOPLE = frozenset({"acknowledge", "shelve", "unshelve"})


class Judge:
    """Turns flags and commands into events; holds conditions, source states and verdicts.

    It is the `Rules` of its conditions.
    """

    def __init__(self, spec: EngineSpec, charts: Charts) -> None:
        self.spec, self._charts = spec, charts
        self._facts = Facts(spec, charts.modes)
        self._evidence = EvidenceReader(spec, charts, self._facts)
        self._loops = LoopReader(spec, charts)
        self._attribution = Attribution(spec, charts, self._loops)
        self.conditions = Conditions(self)
        self.sources = SourceWatch(spec, self.conditions)
        self.upstream = Upstream(spec, charts, self.conditions, self.name)
        self.contract = ContractWatch(
            spec, self.conditions, self._users, self.upstream.released
        )
        self.changes = self.contract.changes
        self.worth = Verdicts(spec, charts, self._facts, self.conditions, self.contract)
        self._index = {model.name: index for index, model in enumerate(spec.models)}
        self._findings = Findings(spec, charts, self._evidence, self._loops, self._attribution)

    def restart(self, since_ns: int, until_ns: int) -> None:
        """The agent was away in [since, until): models are assessed anew, delays go on."""
        self.worth.assessed.clear()
        if since_ns:
            self.conditions.pause(since_ns, until_ns)

    # --- time ---------------------------------------------------------------------------------

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: all times move, so that no delay notices."""
        self.conditions.move(shift_ns)
        self.sources.move(shift_ns)
        self._facts.move(shift_ns)
        self.worth.move(shift_ns)
        self.changes.move(shift_ns)
        self.upstream.move(shift_ns)

    def run(self, flags: Iterable[Flag], until_ns: int) -> list[Event]:
        """Judge everything before `until_ns`, instant by instant."""
        events: list[Event] = []
        for time_ns, together in groupby(flags, key=lambda flag: flag.time_ns):
            events += self._timers(time_ns)
            concerned: set[str] = set()
            told = self._due(time_ns, concerned)
            for flag in together:
                made, models = self._flag(flag)
                told += made
                concerned.update(models)
            told += self._due(time_ns, concerned)
            events += told + self.upstream.take(told, time_ns, self.changes)
            events += self.worth.take(time_ns, concerned)
        return events + self._timers(until_ns)

    def _timers(self, until_ns: int) -> list[Event]:
        """Every instant before `until_ns` at which nothing but timers is due."""
        events: list[Event] = []
        while (due := min(self.conditions.next_due_ns, self.contract.next_due_ns)) < until_ns:
            concerned: set[str] = set()
            told = self._due(due, concerned)
            events += told + self.upstream.take(told, due, self.changes)
            events += self.worth.take(due, concerned)
        return events

    def settle(self, now: int) -> list[Event]:
        """Where a command was folded or a window ends: charts of changes that are over go on as
        they were before.
        """
        if not self.upstream.waiting:
            return []
        events = self.upstream.settle(now)
        self._findings.joint_up = self._joint_now()
        return events + (self.worth.take(now, set(self._index)) if events else [])

    def _due(self, now: int, concerned: set[str]) -> list[Event]:
        """Fire what is due up to and at `now`; the models that it touches join `concerned`."""
        events: list[Event] = []
        if self.contract.next_due_ns <= now:
            events += self.contract.fire(now)
            concerned.update(self._index)
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
        active = self.conditions.active.values()
        return len(open_incidents(one for one in active if model in one.models))

    # --- flags --------------------------------------------------------------------------------

    def _flag(self, flag: Flag) -> tuple[list[Event], Iterable[str]]:
        """(events, models whose verdict it may change)."""
        if flag.scope == "scan":
            name = self.spec.models[flag.row].name
            (self.worth.assessed.add if flag.up else self.worth.assessed.discard)(name)
            return [], [name]
        if flag.scope == TRUTH:
            return self._charts.truth.take(flag, self.conditions)
        if flag.scope in SCOPES:
            model, subject = self._facts.take(flag)
            if flag.up:
                return [], [model]
            return self.conditions.reworded(subject, flag.time_ns, text=False), [model]
        finding = self._findings.of(flag, self.conditions.active)
        about = finding.subject
        if flag.scope == "joint":
            about = identity.model(self.spec.models[flag.row].name)
        events = [flag.event(about, finding.key.model), *self.conditions.finding(finding)]
        if finding.key.traits.transport:
            events += self.sources.tag_changed(finding.subject.name, flag.time_ns)
        condition = self.conditions.active.get(finding.subject)
        others = condition.models if condition is not None else ()
        return events, {*finding.models, *others}

    # --- commands -----------------------------------------------------------------------------

    def command(
        self, kind: str, time_ns: int, data: Mapping[str, Any], sequence: int = 0
    ) -> list[Event]:
        """What a person or a source said, by its entry's number; unknown kinds change nothing."""
        if kind in OF_CHANGES:
            events = self.contract.command(kind, time_ns, data, sequence)
        else:
            events = self._obey(kind, time_ns, data)
        everyone = {model.name for model in self.spec.models}
        events += self._due(time_ns, set())
        return events + self.worth.take(time_ns, everyone)

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
            files = self.worth.replaced
            change = files.add if data.get("replaced") else files.discard
            change(str(data.get("model", "")))
        return noted.told(kind, time_ns, data)

    def _service(self, kind: str, time_ns: int, data: Mapping[str, Any]) -> list[Event]:
        tag = str(data.get("tag", ""))
        if tag not in self._findings.users:
            return []
        out = kind == "out_of_service"
        known = self.worth.out_of_service
        if out == (tag in known) and not (out and data.get("note")):
            return []  # it was so already, and nothing is added
        self.worth.serve(tag, data, out=out)
        self.conditions.refresh([identity.tag(tag)], time_ns)
        detail = {"change": kind, "by": data.get("by", "")}
        detail |= {"note": data["note"]} if data.get("note") else {}
        return [Event("configuration", time_ns, str(identity.tag(tag)), detail)]

    # --- rules of conditions --------------------------------------------------------------------

    def name(self, condition: Condition, now: int) -> Diagnosis:
        """What the evidence says it is; of several models' evidence, what tells most."""
        subject = condition.subject
        if (held := self.contract.name(condition)) is not None:
            return held
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

    def is_output(self, subject: Subject) -> bool:
        """Whether it is what models say, and nothing that any of them is given."""
        models = self.spec.models if subject.place is Place.TAG else ()
        return any(subject.name in one.outputs for one in models) and not any(
            subject.name in one.inputs for one in models
        )

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
        if self.contract.suppresses(subject):
            return True
        return (
            subject.place is Place.TAG
            and self.sources.is_lost(self.spec.tag_of[subject.name].source)
            and all(key.traits.transport for key in condition.findings)
        )

    def out_of_service(self, condition: Condition) -> bool:
        """Whether a person took the tag out of service."""
        subject = condition.subject
        return subject.place is Place.TAG and subject.name in self.worth.out_of_service

    # --- verdicts -----------------------------------------------------------------------------

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """What every model is worth."""
        return self.worth.current

    @property
    def since(self) -> dict[str, int]:
        """Engine ns since when each model has its verdict."""
        return self.worth.since

    # --- what lasts -----------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """All state, JSON-ready, in a fixed order."""
        return {
            "conditions": self.conditions.to_json(),
            "sources": self.sources.to_json(),
            "refusals": dict(sorted(self.sources.refusals.items())),
            "facts": self._facts.to_json(), "changes": self.changes.to_json(),
            "upstream": self.upstream.to_json(),
            "joint_owner": {str(k): str(to) for k, to in sorted(self._findings.owner.items())},
            **self.worth.to_json(),
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
        self.worth.from_json(document, kept["model"])
        self.contract.from_json(document.get("changes", {}))
        self.upstream.from_json(document.get("upstream", {}), kept["input"])
        owners = {
            FindingKey.parse(key): Subject.parse(owner)
            for key, owner in document["joint_owner"].items()
        }
        self._findings.owner = {
            key: owner for key, owner in owners.items()
            if key.model in kept["model"] and owner in subjects
        }
        self._facts.from_json(document.get("facts", []), kept)
        self._forget_what_started_anew(now, kept)

    def _joint_now(self) -> set[FindingKey]:
        """The joint charts whose flags are up."""
        return {
            FindingKey(chart, model.name) for index, model in enumerate(self.spec.models)
            for chart in self._charts.scans[index].joint.flagged()
        }

    def _forget_what_started_anew(self, now: int, kept: Mapping[str, Collection[str]]) -> None:
        """Drop every finding whose chart is new, or is not up: nothing would ever clear it."""
        self._findings.joint_up = self._joint_now()

        def gone(subject: Subject, key: FindingKey) -> bool:
            up = key in self.conditions.active[subject].findings
            if key.of_contract:
                return up and not self.contract.holds(subject)
            if subject.place is Place.SOURCE:
                return False
            if key.joint or key.of_errors:
                stays = key.of_errors or key.model in kept["model"]
            elif key.model:
                stays = input_key(key.model, key.of or subject.name) in kept["input"]
                stays &= subject == self._findings.owner.get(key, self._loops.home(key, subject))
            else:
                stays = subject.name in kept["tag"]
            return not stays or (up and not self._is_up(subject, key))

        self.conditions.forget(gone, now)
        self.sources.resumed(now)

    def _users(self, subject: Subject) -> Collection[str]:
        users = self.sources.users if subject.place is Place.SOURCE else self._findings.users
        return users[subject.name]

    def _concerned(self, condition: Condition) -> Collection[str]:
        """The models that a condition from a snapshot concerns as they are configured now."""
        subject = condition.subject
        if subject.place is Place.MODEL:
            return condition.models
        judged = all(key.model for key in condition.seen)  # each by the baseline of its model
        return [m for m in self._users(subject) if not judged or m in condition.models]

    def _is_up(self, subject: Subject, key: FindingKey) -> bool:
        tag = self.spec.row_of_tag.get(key.of or subject.name, -1)
        return self._charts.is_up(key.detector, tag, self._index[key.model] if key.model else None)

    def renew(self, model: str, now: int) -> list[Event]:
        """The detectors of one model start anew: what they had found would never clear."""
        self.worth.assessed.discard(model)
        self._facts.forget(self._index[model])
        self._findings.joint_up = {key for key in self._findings.joint_up if key.model != model}
        self.conditions.forget(lambda _, key: key.model == model and not key.of_errors, now)
        return self.worth.take(now, {model})
