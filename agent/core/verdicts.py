"""What every model is worth right now, since when, and what people and files say of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from agent.core.charts import Charts
from agent.core.condition import Condition
from agent.core.contract_watch import ContractWatch
from agent.core.facts import Facts
from agent.core.identity import FindingKey, Subject
from agent.core.lifecycle import Conditions
from agent.core.names import MAY_BE_FALSE
from agent.core.scans import ENOUGH
from agent.core.spec import EngineSpec
from agent.core.verdict import Concerns, Verdict, judge, replaced, same_to_read, verdict_event
from agent.types import Event

_WAITING = f"fewer than {ENOUGH} good scans in a row so far"


class Verdicts:
    """Makes verdicts of conditions, facts and what is held.

    Attributes:
        current: by model; `since`: engine ns since when it is that verdict.
        assessed: models with enough good scans.
        out_of_service: tags that people took out of service, and by whom and why.
        replaced: models whose baseline's file is another one by now.
    """

    def __init__(
        self, spec: EngineSpec, charts: Charts, facts: Facts, conditions: Conditions,
        contract: ContractWatch,
    ) -> None:
        self._spec, self._charts, self._facts = spec, charts, facts
        self._conditions, self._contract = conditions, contract
        self._concerns = Concerns(spec)
        self._index = {model.name: index for index, model in enumerate(spec.models)}
        self.current: dict[str, Verdict] = {}
        self.since: dict[str, int] = {}
        self.assessed: set[str] = set()
        self.out_of_service: dict[str, str] = {}
        self.replaced: set[str] = set()

    def take(self, time_ns: int, names: Collection[str]) -> list[Event]:
        """Judge these models anew; an event of each whose verdict reads otherwise."""
        if not names:
            return []
        events = []
        for index, model in enumerate(self._spec.models):
            if model.name not in names:
                continue
            verdict = self._of(index, time_ns)
            before = self.current.get(model.name)
            if before is not None and same_to_read(before, verdict):
                self.current[model.name] = verdict  # its figures may be later ones
                continue
            if before is None or before.verdict != verdict.verdict:
                self.since[model.name] = time_ns
            self.current[model.name] = verdict
            events.append(verdict_event(model.name, model.version, verdict, before, time_ns))
        return events

    def _of(self, index: int, time_ns: int) -> Verdict:
        model = self._spec.models[index]
        concerns = self._concerns.of(
            model.name, self._conditions.active, self.out_of_service, self._provisional,
            self._lapsed(time_ns),
        )
        concerns += self._contract.concerns(model)
        concerns += self._facts.of(index)
        concerns += [replaced(model.name)] if model.name in self.replaced else []
        return judge(
            concerns, self._charts.modes.unjudged(index, time_ns) or _WAITING,
            assessed=model.name in self.assessed,
        )

    def _lapsed(self, time_ns: int) -> Callable[[Condition], bool]:
        """Whether a condition is one of an input against its own past, and was told for long.

        Where another input bears it out (it is in the same incident), or where inputs have left
        their trained relations, it counts for as long as it lasts.
        """
        return lambda condition: (
            (condition.kind, condition.cause) in MAY_BE_FALSE
            and time_ns >= self._conditions.lapses_ns(condition)
            and not any(key.joint and not key.traits.passing for key in condition.findings)
            and self._conditions.incidents.is_alone(condition.incident)
        )

    def _provisional(self, subject: Subject, key: FindingKey) -> bool:
        """Whether the thresholds of the chart that found it are: of that input, or jointly."""
        if not key.model:
            return False
        index = self._index[key.model]
        mode = self._spec.models[index].baseline.modes[self._charts.modes.index(index)]
        if key.joint:
            of_model = self._spec.models[index].baseline.provisional
            return bool(mode.joint.get("provisional", of_model))
        item = mode.of(key.of or subject.name)
        return item is not None and item.provisional

    def serve(self, tag: str, data: Mapping[str, Any], *, out: bool) -> None:
        """A person takes a tag out of service, or back; `data` says who and why."""
        self.out_of_service.pop(tag, None)
        if out:
            by = f", by {data['by']}" if data.get("by") else ""
            why = f": {data['note']}" if data.get("note") else ""
            self.out_of_service[tag] = by + why

    # --- what lasts -------------------------------------------------------------------------------

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: all times move."""
        self.since = {name: time_ns + shift_ns for name, time_ns in self.since.items()}

    def to_json(self) -> dict[str, Any]:
        """All state, JSON-ready, in a fixed order."""
        return {
            "assessed": sorted(self.assessed),
            "out_of_service": dict(sorted(self.out_of_service.items())),
            "replaced": sorted(self.replaced), "since": dict(sorted(self.since.items())),
            "verdicts": {name: item.to_json() for name, item in sorted(self.current.items())},
        }

    def from_json(self, document: Mapping[str, Any], kept: Collection[str]) -> None:
        """Take state from `to_json`; `kept` are the models that are as they were."""
        known = self._index
        self.assessed = set(document["assessed"]) & set(kept)
        out = document["out_of_service"]  # once a list of tags
        self.out_of_service = dict(out) if isinstance(out, Mapping) else dict.fromkeys(out, "")
        self.replaced = set(document.get("replaced", ())) & set(kept)
        self.since = {name: int(t) for name, t in document["since"].items() if name in known}
        self.current = {
            name: Verdict.from_json(item)
            for name, item in document["verdicts"].items() if name in known
        }
