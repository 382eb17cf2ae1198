"""Judgement: flags -> findings -> conditions -> verdicts, in time order.

One instant is judged at a time: due timers first, then that instant's flags, then the verdicts of
the models concerned. Nothing here is numeric work; `Charts` did that.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from agent.core.charts import Charts
from agent.core.condition import Condition, Conditions
from agent.core.diagnosis import Diagnosis, diagnose, group_text, joint_diagnosis
from agent.core.evidence import EvidenceRoom
from agent.core.flag import Flag
from agent.core.scans import ENOUGH
from agent.core.spec import EngineSpec
from agent.core.verdict import LOST_KINDS, Concern, Verdict, judge
from agent.types import Event

TRANSPORT = frozenset({"missing", "bad"})
_LOST_STATES = frozenset({"failed", "stale"})


class Judge:
    """Turns flags and commands into events; holds conditions, source states and verdicts."""

    def __init__(self, spec: EngineSpec, charts: Charts) -> None:
        self.spec, self._charts = spec, charts
        self._room = EvidenceRoom(spec, charts)
        self.conditions = Conditions(self._name, self._suppressed)
        self.source_states: dict[str, tuple[str, str, int]] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.since: dict[str, int] = {}
        self._models = {model.name: model for model in spec.models}
        self._assessed: set[str] = set()
        self._out_of_service: set[str] = set()
        self._joint_home: dict[str, str] = {}
        self._tags_of: dict[str, list[str]] = {name: [] for name in spec.sources}
        for tag in spec.tags:
            self._tags_of.setdefault(tag.source, []).append(tag.name)
        self._users: dict[str, list[str]] = {tag.name: [] for tag in spec.tags}
        for model in spec.models:
            for name in (*model.inputs, *model.outputs):
                self._users[name].append(model.name)

    def restart(self) -> None:
        """The agent was away: no model counts as assessed until enough scans were seen again."""
        self._assessed.clear()

    # --- time ---------------------------------------------------------------------------------

    def run(self, flags: Iterable[Flag], until_ns: int) -> list[Event]:
        """Judge everything before `until_ns`, instant by instant."""
        events: list[Event] = []
        for time_ns, together in groupby(flags, key=lambda flag: flag.time_ns):
            events += self._timers(time_ns + 1)
            concerned: set[str] = set()
            for flag in together:
                made, models = self._flag(flag)
                events += made
                concerned.update(models)
            events += self._verdicts(time_ns, concerned)
        return events + self._timers(until_ns)

    def _timers(self, until_ns: int) -> list[Event]:
        events: list[Event] = []
        while (fired := self.conditions.fire(until_ns)) is not None:
            due, made = fired
            events += made
            if made and self.conditions.next_due_ns > due:
                events += self._verdicts(due)
        return events

    # --- flags --------------------------------------------------------------------------------

    def _flag(self, flag: Flag) -> tuple[list[Event], Iterable[str]]:
        """(events, models whose verdict it may change)."""
        if flag.scope == "scan":
            name = self.spec.models[flag.row].name
            (self._assessed.add if flag.up else self._assessed.discard)(name)
            return [], [name]
        if flag.scope == "joint":
            return self._joint_flag(flag)
        if flag.scope == "tag":
            tag = self.spec.tags[flag.row]
            model, models, interval = "", self._users[tag.name], tag.interval_ns
        else:
            place = self._charts.rows[flag.row]
            tag = self.spec.tags[place.tag]
            model = self.spec.models[place.model].name
            models = [model]
            interval = self._charts.input_baseline(flag.row).interval_ns
        subject = f"tag/{tag.name}"
        events = [_finding(flag, subject, model)]
        detector = flag.detector if not model else f"{flag.detector}@{model}"
        events += self.conditions.finding(
            subject, detector, flag.up, flag.score, flag.time_ns, interval, models
        )
        if flag.detector in TRANSPORT:
            events += self._source_silence(tag.source, flag.time_ns)
        return events, models

    def _joint_flag(self, flag: Flag) -> tuple[list[Event], Iterable[str]]:
        model = self.spec.models[flag.row]
        key = f"{flag.detector}@{model.name}"
        if flag.up:
            self._joint_home[key] = self._room.joint_home(
                flag.row, flag.detector, flag.time_ns, self.conditions.active
            )
        subject = self._joint_home.get(key, f"model/{model.name}")
        events = [_finding(flag, f"model/{model.name}", model.name)]
        events += self.conditions.finding(
            subject, key, flag.up, flag.score, flag.time_ns, model.scan_ns, [model.name]
        )
        return events, [model.name]

    def _source_silence(self, source: str, time_ns: int) -> list[Event]:
        """All tags of a source silent or bad at once is one fault of the source, not many."""
        tags = self._tags_of[source]
        silent = len(tags) > 1 and all(
            (condition := self.conditions.active.get(f"tag/{name}")) is not None
            and bool(TRANSPORT & condition.findings.keys())
            for name in tags
        )
        return self._source_finding(source, "silent", silent, time_ns)

    def _source_finding(self, source: str, what: str, up: bool, time_ns: int) -> list[Event]:
        subject = f"source/{source}"
        known = self.conditions.active.get(subject)
        if up == (known is not None and what in known.findings):
            return []
        models = sorted({user for name in self._tags_of[source] for user in self._users[name]})
        interval = min(
            (self.spec.tag_of[name].interval_ns for name in self._tags_of[source]),
            default=1_000_000_000,
        )
        return self.conditions.finding(subject, what, up, 1.0, time_ns, interval, models)

    # --- commands -----------------------------------------------------------------------------

    def command(self, kind: str, time_ns: int, data: dict[str, Any]) -> list[Event]:
        """What a person or a source said; unknown kinds change nothing."""
        if kind == "source_state":
            return self._source_state(time_ns, data)
        if kind in {"acknowledge", "shelve", "unshelve"}:
            events = self.conditions.command(kind, str(data.get("subject", "")), time_ns, data)
            return events + self._verdicts(time_ns)
        if kind in {"out_of_service", "in_service"}:
            tag = str(data.get("tag", ""))
            change = self._out_of_service.add if kind == "out_of_service" else (
                self._out_of_service.discard
            )
            change(tag)
            return [
                Event("configuration", time_ns, f"tag/{tag}",
                      {"change": kind, "by": data.get("by", "")}),
                *self._verdicts(time_ns),
            ]
        return []

    def _source_state(self, time_ns: int, data: dict[str, Any]) -> list[Event]:
        source, state = str(data["source"]), str(data["state"])
        if source not in self._tags_of:
            return []
        reason = str(data.get("reason", ""))
        old = self.source_states.get(source)
        self.source_states[source] = (state, reason, time_ns)
        events: list[Event] = []
        if old is None or old[:2] != (state, reason):
            detail = {"state": state, "reason": reason, "was": old[0] if old else ""}
            events.append(Event("source", time_ns, f"source/{source}", detail))
        if state in _LOST_STATES or state == "live":
            events += self._source_finding(source, "source", state != "live", time_ns)
        return events + self._verdicts(time_ns)

    # --- names --------------------------------------------------------------------------------

    def _name(self, subject: str, condition: Condition, now: int) -> Diagnosis:
        kind, _, name = subject.partition("/")
        if kind == "source":
            _, reason, _ = self.source_states.get(name, ("", "", 0))
            return group_text(name, reason, len(self._tags_of[name]))
        if kind == "model":
            worst = max(condition.seen, key=lambda key: (condition.seen[key], key))
            index = [model.name for model in self.spec.models].index(name)
            return joint_diagnosis(worst, self._room.shares(index, worst, now))
        lost = self._source_down(self.spec.tag_of[name].source)
        return diagnose(self._room.of_tag(name, condition, now, lost, self.conditions.active))

    def _source_down(self, source: str) -> bool:
        condition = self.conditions.active.get(f"source/{source}")
        return condition is not None and bool(condition.findings)

    def _suppressed(self, condition: Condition) -> bool:
        """A tag that is merely silent while its whole source is lost raises no alarm of its own."""
        kind, _, name = condition.subject.partition("/")
        if kind != "tag" or not self._source_down(self.spec.tag_of[name].source):
            return False
        return condition.findings.keys() <= TRANSPORT

    # --- verdicts -----------------------------------------------------------------------------

    def _verdicts(self, time_ns: int, names: Iterable[str] | None = None) -> list[Event]:
        events = []
        wanted = None if names is None else set(names)
        for index, model in enumerate(self.spec.models):
            if wanted is not None and model.name not in wanted:
                continue
            scans = self._charts.scans[index]
            waiting = f"{min(scans.good_run, ENOUGH)} of {ENOUGH} good scans in a row seen so far"
            verdict = judge(self._concerns(model.name), model.name in self._assessed, waiting)
            before = self.verdicts.get(model.name)
            if before is not None and _same(before, verdict):
                continue
            if before is None or before.verdict != verdict.verdict:
                self.since[model.name] = time_ns
            self.verdicts[model.name] = verdict
            events.append(_verdict_event(model.name, model.version, verdict, before, time_ns))
        return events

    def _concerns(self, name: str) -> list[Concern]:
        model = self._models[name]
        concerns = []
        silent: dict[str, list[str]] = {}
        for subject, condition in sorted(self.conditions.active.items()):
            if name not in condition.models:
                continue
            required = self._hits_required(subject, model.required, model.outputs)
            lost = bool(TRANSPORT & condition.findings.keys())
            if condition.raised:
                kind = condition.kind
                if lost and kind not in LOST_KINDS:
                    kind = "missing"
                concerns.append(
                    Concern(condition.id, subject, kind, condition.cause, condition.text,
                            condition.hint, required, model.baseline.provisional)
                )
            elif lost and required:
                tag = subject.partition("/")[2]
                silent.setdefault(self.spec.tag_of[tag].source, []).append(tag)
        concerns += [
            _silent(source, tags) for source, tags in sorted(silent.items())
            if f"source/{source}" not in {concern.subject for concern in concerns}
        ]
        for tag in sorted(self._out_of_service & {*model.inputs, *model.outputs}):
            concerns.append(
                Concern("", f"tag/{tag}", "out of service", "unknown", f"{tag} is out of service",
                        "put it back in service", tag in model.required, False)
            )
        return concerns

    def _hits_required(
        self, subject: str, required: frozenset[str], outputs: tuple[str, ...]
    ) -> bool:
        kind, _, name = subject.partition("/")
        if kind == "model":
            return True
        tags = self._tags_of[name] if kind == "source" else [name]
        return any(tag in required or tag in outputs for tag in tags)

    # --- what lasts -----------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """All state, JSON-ready, in a fixed order."""
        return {
            "conditions": self.conditions.to_json(),
            "sources": {name: list(state) for name, state in sorted(self.source_states.items())},
            "assessed": sorted(self._assessed),
            "out_of_service": sorted(self._out_of_service),
            "joint_home": dict(sorted(self._joint_home.items())),
            "since": dict(sorted(self.since.items())),
            "verdicts": {
                name: [verdict.verdict, [
                    {field: getattr(reason, field) for field in Concern.__slots__}
                    for reason in verdict.reasons
                ]]
                for name, verdict in sorted(self.verdicts.items())
            },
        }

    def from_json(self, document: dict[str, Any]) -> None:
        """Take state from `to_json`; what the configuration no longer has is left out."""
        known = {model.name for model in self.spec.models}
        self.conditions.from_json(document["conditions"])
        self._drop_unknown(known)
        self.source_states = {
            name: (state[0], state[1], int(state[2]))
            for name, state in document["sources"].items() if name in self._tags_of
        }
        self._assessed = set(document["assessed"]) & known
        self._out_of_service = set(document["out_of_service"])
        self._joint_home = dict(document["joint_home"])
        self.since = {name: int(t) for name, t in document["since"].items() if name in known}
        self.verdicts = {
            name: Verdict(verdict, tuple(Concern(**reason) for reason in reasons))
            for name, (verdict, reasons) in document["verdicts"].items() if name in known
        }

    def _drop_unknown(self, models: set[str]) -> None:
        subjects = {f"tag/{name}" for name in self._users}
        subjects |= {f"source/{name}" for name in self._tags_of}
        subjects |= {f"model/{name}" for name in models}
        active = self.conditions.active
        self.conditions.active = {key: active[key] for key in active if key in subjects}
        for condition in self.conditions.active.values():
            condition.models = [name for name in condition.models if name in models]


def _silent(source: str, tags: list[str]) -> Concern:
    """Required inputs that are not usable, before their condition has settled: one reason."""
    named = tags[0] if len(tags) == 1 else f"{tags[0]} and {len(tags) - 1} more"
    return Concern(
        "", f"source/{source}", "missing", "unknown",
        f"{named} of source {source} can not be used right now", "", True, False,
    )


def _same(a: Verdict, b: Verdict) -> bool:
    """Whether a person would read the same: verdict, and each reason's text."""
    if a.verdict != b.verdict or len(a.reasons) != len(b.reasons):
        return False
    return all(
        (x.subject, x.kind, x.cause) == (y.subject, y.kind, y.cause)
        for x, y in zip(a.reasons, b.reasons, strict=True)
    )


def _finding(flag: Flag, subject: str, model: str) -> Event:
    data = {"detector": flag.detector, "up": flag.up, "score": flag.score, "model": model}
    return Event("finding", flag.time_ns, subject, data)


def reasons_of(verdict: Verdict) -> list[dict[str, str]]:
    """A verdict's reasons, JSON-ready, as status and messages show them."""
    return [
        {
            "text": reason.text, "cause": reason.cause, "kind": reason.kind, "hint": reason.hint,
            "condition": reason.condition,
            "tag": reason.subject[4:] if reason.subject.startswith("tag/") else "",
            "source": reason.subject[7:] if reason.subject.startswith("source/") else "",
        }
        for reason in verdict.reasons
    ]


def _verdict_event(
    name: str, version: str, verdict: Verdict, before: Verdict | None, time_ns: int
) -> Event:
    data = {
        "verdict": verdict.verdict, "was": before.verdict if before else "",
        "version": version, "reasons": reasons_of(verdict),
    }
    return Event("verdict", time_ns, f"model/{name}", data)
