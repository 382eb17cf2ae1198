"""Judgement: flags -> findings -> conditions -> verdicts, in time order.

One instant is judged at a time: due timers first, then that instant's flags, then the verdicts of
the models concerned. Nothing here is numeric work; `Charts` did that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from agent.core.charts import Charts
from agent.core.concerns import Concerns
from agent.core.condition import Condition, Conditions
from agent.core.delays import AGREED, TRANSPORT, UNDECIDED
from agent.core.diagnosis import Diagnosis, diagnose, group_text, joint_diagnosis
from agent.core.evidence import EvidenceRoom
from agent.core.flag import Flag
from agent.core.kernels import DETECTORS
from agent.core.kernels.joint import SMOOTHED
from agent.core.scans import ENOUGH
from agent.core.spec import EngineSpec
from agent.core.verdict import Concern, Verdict, judge, same_to_read, verdict_event
from agent.types import Event

_WAITING = f"fewer than {ENOUGH} good scans in a row so far"
MOST_SILENT = 0.75
"""Share of a source's tags from which their silence is the source's; slow tags may be late."""

_LOST_STATES = frozenset({"failed", "stale"})


class Judge:
    """Turns flags and commands into events; holds conditions, source states and verdicts."""

    def __init__(self, spec: EngineSpec, charts: Charts) -> None:
        self.spec, self._charts = spec, charts
        self._room = EvidenceRoom(spec, charts)
        self.conditions = Conditions(
            self._name, self._suppressed, self._room.is_over, self._owners
        )
        self.source_states: dict[str, tuple[str, str, int]] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.since: dict[str, int] = {}
        self._concerns = Concerns(spec)
        self._assessed: set[str] = set()
        self._out_of_service: set[str] = set()
        self._joint_home: dict[str, str] = {}
        self._joint_up: set[str] = set()
        self._tags_of: dict[str, list[str]] = {name: [] for name in spec.sources}
        for tag in spec.tags:
            self._tags_of.setdefault(tag.source, []).append(tag.name)
        self._silent: dict[str, set[str]] = {name: set() for name in self._tags_of}
        self._users: dict[str, list[str]] = {tag.name: [] for tag in spec.tags}
        for model in spec.models:
            for name in (*model.inputs, *model.outputs):
                self._users[name].append(model.name)

    def restart(self, since_ns: int, until_ns: int) -> None:
        """The agent was away in [since, until): models are assessed anew, delays go on."""
        self._assessed.clear()
        if since_ns:
            self.conditions.pause(since_ns, until_ns)

    def unassess(self, models: set[str], time_ns: int) -> list[Event]:
        """What was seen of these models no longer counts; their verdicts follow."""
        self._assessed -= models
        return self._verdicts(time_ns, models)

    # --- time ---------------------------------------------------------------------------------

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
            _, models, made = fired
            events += made
            if made:
                concerned.update(models)
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
            subject, detector, flag.score, flag.time_ns, interval, models, up=flag.up,
            linger=self._room.lingers(flag), back=self._room.looks_back(flag),
        )
        if flag.detector in TRANSPORT:
            events += self._source_silence(tag.name, tag.source, flag.time_ns)
        return events, models

    def _joint_flag(self, flag: Flag) -> tuple[list[Event], Iterable[str]]:
        model = self.spec.models[flag.row]
        key = f"{flag.detector}@{model.name}"
        if flag.up:
            self._joint_up.add(key)
            self._joint_home[key] = self._room.joint_home(flag, self.conditions.active)
        else:
            self._joint_up.discard(key)
        subject = self._joint_home.get(key, f"model/{model.name}")
        events = [_finding(flag, f"model/{model.name}", model.name)]
        whole = subject.startswith("model/")
        settle = AGREED if flag.detector in SMOOTHED and (whole or flag.about) else None
        if whole and len(flag.about) > 1:
            settle = UNDECIDED
        events += self.conditions.finding(
            subject, key, flag.score, flag.time_ns, model.scan_ns, [model.name], up=flag.up,
            settle=settle,
        )
        return events, [model.name]

    def _owners(self, condition: Condition, now: int) -> dict[str, str]:
        owners = self._room.owners(condition, now, self.conditions.active)
        # What is down here may be up elsewhere, where it will be cleared.
        self._joint_home |= {k: home for k, home in owners.items() if k in condition.findings}
        return owners

    def _source_silence(self, tag: str, source: str, time_ns: int) -> list[Event]:
        """Most tags of a source silent or bad at once is one fault of the source, not many."""
        self._note_silence(tag)
        tags = len(self._tags_of[source])
        silent = tags > 1 and len(self._silent[source]) >= MOST_SILENT * tags
        return self._source_finding(source, "silent", time_ns, up=silent)

    def _note_silence(self, tag: str) -> None:
        """Keep the tags of each source that give nothing usable, so that none is counted again."""
        condition = self.conditions.active.get(f"tag/{tag}")
        silent = self._silent[self.spec.tag_of[tag].source]
        if condition is not None and TRANSPORT & condition.findings.keys():
            silent.add(tag)
        else:
            silent.discard(tag)

    def _source_finding(self, source: str, what: str, time_ns: int, *, up: bool) -> list[Event]:
        subject = f"source/{source}"
        known = self.conditions.active.get(subject)
        if up == (known is not None and what in known.findings):
            return []
        models = sorted({user for name in self._tags_of[source] for user in self._users[name]})
        interval = min(
            (self.spec.tag_of[name].interval_ns for name in self._tags_of[source]),
            default=1_000_000_000,
        )
        events = self.conditions.finding(subject, what, 1.0, time_ns, interval, models, up=up)
        if not self._source_down(source):
            self.conditions.release((f"tag/{tag}" for tag in self._tags_of[source]), time_ns)
        return events

    # --- commands -----------------------------------------------------------------------------

    def command(self, kind: str, time_ns: int, data: dict[str, Any]) -> list[Event]:
        """What a person or a source said; unknown kinds change nothing."""
        events = self._obey(kind, time_ns, data)
        everyone = {model.name for model in self.spec.models}
        events += self._due(time_ns, set())
        return events + self._verdicts(time_ns, everyone)

    def _obey(self, kind: str, time_ns: int, data: dict[str, Any]) -> list[Event]:
        if kind == "source_state":
            return self._source_state(time_ns, data)
        if kind in {"acknowledge", "shelve", "unshelve"}:
            return self.conditions.command(kind, str(data.get("subject", "")), time_ns, data)
        if kind in {"out_of_service", "in_service"}:
            tag = str(data.get("tag", ""))
            if tag not in self._users:
                return []
            change = self._out_of_service.add if kind == "out_of_service" else (
                self._out_of_service.discard
            )
            change(tag)
            if kind == "in_service":
                self.conditions.release([f"tag/{tag}"], time_ns)
            detail = {"change": kind, "by": data.get("by", "")}
            if data.get("note"):
                detail["note"] = data["note"]
            return [Event("configuration", time_ns, f"tag/{tag}", detail)]
        return []

    def _source_state(self, time_ns: int, data: dict[str, Any]) -> list[Event]:
        source, state = str(data.get("source", "")), str(data.get("state", ""))
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
            events += self._source_finding(source, "source", time_ns, up=state != "live")
        return events

    # --- names --------------------------------------------------------------------------------

    def _name(self, subject: str, condition: Condition, now: int) -> Diagnosis:
        kind, _, name = subject.partition("/")
        if kind == "source":
            state, reason, _ = self.source_states.get(name, ("", "", 0))
            if state not in _LOST_STATES:
                reason = "most of them stopped arriving"
                reason = f"it answers, but {reason}" if state == "live" else reason
            return group_text(name, reason, len(self._tags_of[name]))
        if kind == "model":
            worst = max(condition.seen, key=lambda key: (condition.seen[key], key))
            index = [model.name for model in self.spec.models].index(name)
            return joint_diagnosis(worst, self._room.shares(index, worst, now))
        lost = self._source_down(self.spec.tag_of[name].source)
        joint_models = {key.partition("@")[2] for key in self._joint_up}
        return diagnose(
            self._room.of_tag(name, condition, now, self.conditions.active, joint_models, lost=lost)
        )

    def _source_down(self, source: str) -> bool:
        condition = self.conditions.active.get(f"source/{source}")
        return condition is not None and bool(condition.findings)

    def _suppressed(self, condition: Condition) -> bool:
        """A tag that is merely silent while its whole source is lost raises no alarm of its own."""
        kind, _, name = condition.subject.partition("/")
        if kind != "tag":
            return False
        if name in self._out_of_service:
            return True
        return (
            self._source_down(self.spec.tag_of[name].source)
            and condition.findings.keys() <= TRANSPORT
        )

    # --- verdicts -----------------------------------------------------------------------------

    def _verdicts(self, time_ns: int, names: set[str]) -> list[Event]:
        if not names:
            return []
        events = []
        for index, model in enumerate(self.spec.models):
            if model.name not in names:
                continue
            concerns = self._concerns.of(model.name, self.conditions.active, self._out_of_service)
            verdict = judge(
                concerns, self._waiting(index, time_ns), assessed=model.name in self._assessed
            )
            before = self.verdicts.get(model.name)
            if before is not None and same_to_read(before, verdict):
                continue
            if before is None or before.verdict != verdict.verdict:
                self.since[model.name] = time_ns
            self.verdicts[model.name] = verdict
            events.append(verdict_event(model.name, model.version, verdict, before, time_ns))
        return events

    def _waiting(self, model: int, time_ns: int) -> str:
        """Why a model that is not assessed is not."""
        modes = self._charts.modes
        if not modes.masked(model, time_ns):
            return _WAITING
        text = modes.text(model)
        if modes.known(model):
            return f"not judged while the plant changes to {text}"
        return f"not judged: operating mode {text}"

    # --- what lasts -----------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """All state, JSON-ready, in a fixed order."""
        return {
            "conditions": self.conditions.to_json(),
            "sources": {name: list(state) for name, state in sorted(self.source_states.items())},
            "assessed": sorted(self._assessed),
            "out_of_service": sorted(self._out_of_service),
            "joint_home": dict(sorted(self._joint_home.items())),
            "joint_up": sorted(self._joint_up),
            "since": dict(sorted(self.since.items())),
            "verdicts": {
                name: [verdict.verdict, [
                    {field: getattr(reason, field) for field in Concern.__slots__}
                    for reason in verdict.reasons
                ]]
                for name, verdict in sorted(self.verdicts.items())
            },
        }

    def from_json(self, document: dict[str, Any], now: int) -> None:
        """Take state of `now` from `to_json`; what the configuration no longer has is left out."""
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
        self._joint_up = set(document["joint_up"])
        self.since = {name: int(t) for name, t in document["since"].items() if name in known}
        self.verdicts = {
            name: Verdict(verdict, tuple(Concern(**reason) for reason in reasons))
            for name, (verdict, reasons) in document["verdicts"].items() if name in known
        }
        self._forget_unknown(now)

    def _drop_unknown(self, models: set[str]) -> None:
        subjects = {f"tag/{name}" for name in self._users}
        subjects |= {f"source/{name}" for name in self._tags_of}
        subjects |= {f"model/{name}" for name in models}
        self.conditions.keep(subjects)
        for condition in self.conditions.active.values():
            condition.models = [name for name in condition.models if name in models]

    def _forget_unknown(self, now: int) -> None:
        """Drop findings of inputs and models that the configuration no longer has."""
        models = {model.name for model in self.spec.models}
        inputs = {(f"tag/{tag}", model.name) for model in self.spec.models for tag in model.inputs}
        of_inputs = {detector.name for detector in DETECTORS}

        def gone(subject: str, key: str) -> bool:
            detector, _, model = key.partition("@")
            if detector in of_inputs:
                return (subject, model) not in inputs
            return bool(model) and model not in models

        self._forget(gone, now)

    def renew(self, model: str, now: int) -> list[Event]:
        """The detectors of one model start anew: what they had found would never clear."""
        self._assessed.discard(model)
        self._forget(lambda _, key: key.partition("@")[2] == model, now)
        return self._verdicts(now, {model})

    def renew_part(self, part: str, now: int) -> None:
        """One array of `Charts.arrays` starts anew, by its name there (``input.level`` ...)."""
        axis, _, name = part.partition(".")
        if axis == "input":
            self._forget(lambda _, key: key.startswith(f"{name}@"), now)
        elif axis == "tag":
            self._forget(lambda _, key: key == name, now)
        elif axis == "model":
            model = name.rpartition(".joint.")[0] or name.rpartition(".")[0]
            self._assessed.discard(model)
            lost = {key for key in self._joint_up if key.partition("@")[2] == model}
            self._forget(lambda _, key: key in lost, now)

    def _forget(self, gone: Callable[[str, str], bool], now: int) -> None:
        self.conditions.forget(gone, now)
        homes = self._joint_home
        self._joint_up = {key for key in self._joint_up if not gone(homes[key], key)}
        for tag in self._users:
            self._note_silence(tag)


def _finding(flag: Flag, subject: str, model: str) -> Event:
    data = {"detector": flag.detector, "up": flag.up, "score": flag.score, "model": model}
    return Event("finding", flag.time_ns, subject, data)
