"""Late truth: predictions of models, the labels that come for them, and what losses say of a model.

Predictions and labels are samples of tags. They are taken at their place in time: `gather` tells
judgement where something comes by a flag, and `take`, which judgement calls with it, folds all up
to there. So what is known of the inputs as a prediction is made is known to the instant, however
samples were cut into blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from agent.core import identity, rivals
from agent.core.condition import Condition, Finding
from agent.core.diagnosis import Diagnosis
from agent.core.flag import TRUTH, Flag
from agent.core.identity import LOSS, FindingKey, Place, Subject
from agent.core.label_unit import thought_of
from agent.core.loss_chart import LossStep
from agent.core.names import MENDED, TRUE_WHILE
from agent.core.predictions import CLEAN, MOMENTS, MOST, ROW, SHIFTED, SPOILT, sort
from agent.core.series import Series
from agent.core.spec import EngineSpec, LabelSpec, ModelSpec
from agent.core.state import Lasting
from agent.core.truth_keys import inputs_of, key_of, label_key, settling_ns
from agent.core.truth_pair import Pair, Told
from agent.core.truth_state import PairState
from agent.core.truth_words import evidence_of, kinds_of, named, not_assessed
from agent.types import NOT_USABLE, Event, Float64, Int64

_RANK: Final = 40
_STANDS_SCANS: Final = 10
"""Scans for which a prediction stands that comes by commands."""

_PREDICTION, _LABEL, _SCAN, _DUE = range(4)


KINDS: Final = ("predictions", "labels")
"""Commands that a model's own process sends."""


class Open(Protocol):
    """The conditions that there are."""

    @property
    def active(self) -> Mapping[Subject, Condition]:
        """Subject -> its condition, pending ones too."""

    def finding(self, finding: Finding) -> list[Event]:
        """A chart's flag came or went."""


class _Item(NamedTuple):
    """What comes at an instant; of one instant in this order."""

    time_ns: int
    what: int
    pair: int
    when_ns: int = 0
    value: float = 0.0


class Truth:
    """All models' truths.

    Attributes:
        opened: the newest evidence that opened a request for retraining, oldest first.
        pairs: by model, those of its outputs that have labels.
    """

    def __init__(self, spec: EngineSpec, texts: Mapping[int, str]) -> None:
        self.spec = spec
        wanted = [(model, label) for model in spec.models for label in model.labels]
        self._keys = [label_key(model, label) for model, label in wanted]
        self._rows = np.zeros((len(wanted), MOST), ROW)
        found = iter(self._rows)
        self.pairs: tuple[tuple[Pair, ...], ...] = tuple(
            tuple(_pair(spec, model, label, next(found), texts) for label in model.labels)
            for model in spec.models
        )
        self._inputs_of = [inputs_of(spec, model) for model in spec.models]
        self._settling_ns = [settling_ns(model) for model in spec.models]
        self._inputs = [CLEAN] * len(spec.models)
        self._spoilt_ns = [0] * len(spec.models)
        self._waiting: list[deque[_Item]] = [deque() for _ in spec.models]

    # --- what comes -----------------------------------------------------------------------------

    def gather(
        self, model: int, series: Series, times: Int64, novelty: Float64, until_ns: int
    ) -> list[Flag]:
        """What comes before `until_ns` for a model: samples of its outputs and labels, and scans.

        Returns:
            A flag at each instant at which `take` must be called.
        """
        pairs = self.pairs[model]
        if not pairs:
            return []
        items = [
            _Item(time_ns, _SCAN, 0, 0, value)
            for time_ns, value in zip(times.tolist(), novelty.tolist(), strict=True)
        ]
        for number, pair in enumerate(pairs):
            items += self._samples(series, pair.label.output, _PREDICTION, number)
            items += self._samples(series, pair.label.tag, _LABEL, number)
        items.sort()
        for number, pair in enumerate(pairs):
            items += self._due(pair, number, items, until_ns)
        items.sort()
        self._waiting[model].extend(items)
        instants = dict.fromkeys(item.time_ns for item in items if item.what != _SCAN)
        return [Flag(time_ns, _RANK, model, True, 0.0, TRUTH, TRUTH) for time_ns in instants]

    def _samples(self, series: Series, tag: str, what: int, pair: int) -> list[_Item]:
        row = self.spec.row_of_tag.get(tag)
        if row is None:  # it comes by commands
            return []
        part = slice(series.starts[row], series.starts[row + 1])
        value = series.value[part]
        usable = ((series.quality[part] & NOT_USABLE) == 0) & np.isfinite(value)
        columns = (series.arrival[part][usable], series.source[part][usable], value[usable])
        return [
            _Item(arrived_ns, what, pair, when_ns, number)
            for arrived_ns, when_ns, number in zip(*(c.tolist() for c in columns), strict=True)
        ]

    @staticmethod
    def _due(pair: Pair, number: int, items: Sequence[_Item], until_ns: int) -> list[_Item]:
        """The instants at which it may not have been assessed for too long."""
        if pair.state.stopped:
            return []
        heard = [item.time_ns for item in items if (item.pair, item.what) == (number, _LABEL)]
        since = pair.state.heard_ns or (items[0].time_ns if items else 0)
        due = [time_ns + pair.limit_ns for time_ns in (since, *heard) if time_ns]
        return [_Item(time_ns, _DUE, number) for time_ns in due if time_ns < until_ns]

    def take(self, flag: Flag, conditions: Open) -> tuple[list[Event], Collection[str]]:
        """Fold all that waits up to a flag; (events, models whose verdict may be another)."""
        model = flag.row
        self._scans_until(model, flag.time_ns)
        self._look_at_inputs(model, conditions)
        waiting, events = self._waiting[model], list[Event]()
        while waiting and waiting[0].time_ns <= flag.time_ns:
            events += self._fold(model, waiting.popleft(), conditions)
        return events, [self.spec.models[model].name] if events else []

    def settle(self) -> None:
        """Fold what still waits: scans after the last prediction and label."""
        for model, waiting in enumerate(self._waiting):
            if waiting:
                self._scans_until(model, waiting[-1].time_ns + 1)

    def _scans_until(self, model: int, time_ns: int) -> None:
        waiting = self._waiting[model]
        while waiting and waiting[0].time_ns < time_ns and waiting[0].what == _SCAN:
            self._scan(model, waiting.popleft())

    def _scan(self, model: int, item: _Item) -> None:
        for pair in self.pairs[model]:
            pair.state.heard_ns = pair.state.heard_ns or item.time_ns
            pair.scan(item.value, item.time_ns, self._inputs[model])

    def _fold(self, model: int, item: _Item, conditions: Open) -> list[Event]:
        if item.what == _SCAN:
            self._scan(model, item)
            return []
        pair = self.pairs[model][item.pair]
        pair.state.heard_ns = pair.state.heard_ns or item.time_ns
        if item.what == _DUE:
            return self._stopped(model, pair, item.time_ns)
        told = Told(item.when_ns, item.time_ns, item.value)
        if item.what == _PREDICTION:
            return self._say(model, pair, pair.predicted(told, self._inputs[model]), item.time_ns,
                             conditions)  # fmt: skip
        events = self._say(model, pair, pair.labelled(told), item.time_ns, conditions)
        return self._came(model, pair, item.time_ns) + events

    def told(self, kind: str, now: int, data: Mapping[str, Any], conditions: Open) -> list[Event]:
        """Predictions or labels that a model's process sent, as `agent.runtime.told` made them."""
        model = next((i for i, m in enumerate(self.spec.models) if m.name == data["model"]), None)
        if model is None:
            return []
        self._look_at_inputs(model, conditions)
        events: list[Event] = []
        for item in data["items"]:
            for pair in self._meant(kind, model, item["output"]):
                events += self._told(kind, now, model, pair, item, conditions)
        return events

    def _meant(self, kind: str, model: int, output: str) -> list[Pair]:
        """All pairs of an output; of a truth those that no tag brings theirs, where there are."""
        found = [pair for pair in self.pairs[model] if pair.label.output == output]
        without = [pair for pair in found if not pair.label.tag]
        return without if kind == "labels" and without else found

    def _told(
        self, kind: str, now: int, model: int, pair: Pair, item: Mapping[str, Any],
        conditions: Open,
    ) -> list[Event]:  # fmt: skip
        key, when_ns = key_of(item["id"]), min(item["time_ns"] or now, now)
        told, events = Told(when_ns, now, item["value"], key), list[Event]()
        pair.state.heard_ns = pair.state.heard_ns or now
        if kind == "labels":
            steps = pair.labelled(told)
            events = self._came(model, pair, now)
        elif item["version"] in {"", self.spec.models[model].version}:
            if item["scores"] and key:
                pair.scored(key, item["scores"])
            steps = pair.predicted(told, self._inputs[model])
        else:
            rivals.predicted(pair.state.rivals, item["version"], when_ns, now, key, told.value,
                             item["scores"])  # fmt: skip
            steps = []
        return events + self._say(model, pair, steps, now, conditions)

    # --- what it says ---------------------------------------------------------------------------

    def _say(
        self, model: int, pair: Pair, steps: Iterable[LossStep], time_ns: int, conditions: Open
    ) -> list[Event]:
        spec, events = self.spec.models[model], list[Event]()
        key, subject = FindingKey(LOSS, spec.name, pair.label.output), identity.model(spec.name)
        for step in steps:
            if step.raised or step.cleared:
                events.append(Flag(time_ns, _RANK, model, step.raised, step.score, LOSS, TRUTH)
                              .event(subject, spec.name))  # fmt: skip
                events += conditions.finding(Finding(
                    subject, key, step.raised, time_ns, step.score, [spec.name], spec.scan_ns,
                    on_delay_ns=0,
                ))  # fmt: skip
            if step.opens:
                data = {"change": "opened", **evidence_of(pair)}
                events.append(Event("evidence", time_ns, str(subject), data))
        return events

    def _stopped(self, model: int, pair: Pair, time_ns: int) -> list[Event]:
        due_ns = pair.due_ns()
        if due_ns is None or time_ns < due_ns:
            return []
        pair.state.stopped = True
        data = {"change": "not assessed", **not_assessed(pair)}
        return [Event("evidence", time_ns, str(identity.model(self.spec.models[model].name)), data)]

    def _came(self, model: int, pair: Pair, time_ns: int) -> list[Event]:
        """What a label's coming says of the stream of labels itself."""
        state, told = pair.state, list[dict[str, Any]]()
        if state.stopped:
            state.stopped = False
            told.append({"change": "assessed again"})
        odd = pair.remarks()
        if kinds_of(odd) != kinds_of(state.odd):
            change = "labels odd" if odd else "labels as usual"
            told.append({"change": change, "text": "; ".join(odd)})
        state.odd = odd
        subject = str(identity.model(self.spec.models[model].name))
        own = {"output": pair.label.output, "tag": pair.label.tag}
        return [Event("evidence", time_ns, subject, one | own) for one in told]

    def named(self, model: str) -> Diagnosis:
        """What a model's condition is called whose losses are higher than in training."""
        index = next(i for i, one in enumerate(self.spec.models) if one.name == model)
        up = [pair for pair in self.pairs[index] if pair.state.chart.up] or self.pairs[index]
        return named(max(up, key=lambda pair: pair.state.chart.cusum))

    def is_up(self, model: int, tag: int) -> bool:
        """Whether losses are higher than in training: of the output with a tag's row; -1: any."""
        rows = self.spec.row_of_tag
        return any(
            pair.state.chart.up for pair in self.pairs[model]
            if tag < 0 or rows.get(pair.label.output) == tag
        )

    # --- the inputs -----------------------------------------------------------------------------

    def _look_at_inputs(self, model: int, conditions: Open) -> None:
        """What is known of the inputs right now; what was made since a fault began is spoilt.

        It began before it was found: by as much as its conditions may lie apart.
        """
        name, state, since_ns = self.spec.models[model].name, CLEAN, 0
        for condition in conditions.active.values():
            if not condition.raised or name not in condition.models:
                continue
            if self._is_of_errors(model, condition):
                continue
            if condition.cause not in MENDED:
                state = max(state, SHIFTED)
                continue
            state = SPOILT
            began_ns = condition.first_ns - self._settling_ns[model]
            since_ns = min(since_ns or began_ns, began_ns)
        if since_ns and since_ns != self._spoilt_ns[model]:
            for pair in self.pairs[model]:
                pair.memory.spoil(since_ns)
        self._inputs[model], self._spoilt_ns[model] = state, since_ns

    def _is_of_errors(self, model: int, condition: Condition) -> bool:
        """Whether a condition is of the losses themselves, or of an output that merely is late."""
        subject = condition.subject
        if subject.place is Place.MODEL:
            return all(key.of_errors for key in condition.seen)
        known = self._inputs_of[model]
        return condition.kind in TRUE_WHILE and subject not in known

    # --- windows --------------------------------------------------------------------------------

    def windows(self) -> list[tuple[int, LabelSpec, dict[str, Any]]]:
        """(model, label, losses) of every output that had a truth in the window that ends."""
        return [
            (model, pair.label, pair.window())
            for model, pairs in enumerate(self.pairs) for pair in pairs
            if pair.state.sums.touched or pair.state.left_out.touched
        ]

    def counted(self) -> bool:
        """Whether the open window holds any."""
        return any(
            pair.state.sums.touched or pair.state.left_out.touched
            for pairs in self.pairs for pair in pairs
        )

    # --- time -----------------------------------------------------------------------------------

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: all times but those of the memory, an array, move."""
        for pairs in self.pairs:
            for pair in pairs:
                pair.state.move(shift_ns)
        self._spoilt_ns = [time_ns + shift_ns if time_ns else 0 for time_ns in self._spoilt_ns]

    def restart(self, time_ns: int) -> None:
        """Nobody watched until `time_ns`."""
        for pairs in self.pairs:
            for pair in pairs:
                pair.state.restart(time_ns)

    # --- what lasts -----------------------------------------------------------------------------

    @property
    def keys(self) -> list[str]:
        """Of each row of the array that lasts."""
        return self._keys

    def arrays(self) -> list[Lasting]:
        """The predictions that are remembered."""
        return [Lasting("truth.predictions", TRUTH, self._rows, take=self._taken, moments=MOMENTS)]

    def _taken(self, rows: np.ndarray[Any, Any]) -> None:
        sort(rows)
        for pairs in self.pairs:
            for pair in pairs:
                pair.memory.counted()

    def to_json(self) -> dict[str, Any]:
        """All state but the array, JSON-ready, in a fixed order."""
        found = zip(self._keys, (pair for pairs in self.pairs for pair in pairs), strict=True)
        return {
            "pairs": {key: pair.state.to_json() for key, pair in found},
            "inputs": {
                model.name: [self._inputs[index], self._spoilt_ns[index]]
                for index, model in enumerate(self.spec.models) if model.labels
            },
        }

    def from_json(self, document: Mapping[str, Any], kept: Collection[str]) -> None:
        """Take what `to_json` gave of what is kept, by key."""
        states = document.get("pairs", {})
        for key, pair in zip(self._keys, (p for pairs in self.pairs for p in pairs), strict=True):
            if key in states and key in kept:
                pair.take(PairState.from_json(states[key]))
        for index, model in enumerate(self.spec.models):
            found = document.get("inputs", {}).get(model.name, [CLEAN, 0])
            self._inputs[index], self._spoilt_ns[index] = map(int, found)


def _pair(
    spec: EngineSpec, model: ModelSpec, label: LabelSpec, rows: np.ndarray[Any, Any],
    texts: Mapping[int, str],
) -> Pair:  # fmt: skip
    reference = model.baseline.losses.get(f"{label.loss} of {label.output}")
    output = spec.tag_of.get(label.output)
    stands_ns = output.max_silence_ns if output is not None else _STANDS_SCANS * model.scan_ns
    stream = model.baseline.labels.get(label.tag)
    told = spec.tag_of.get(label.tag) or output
    unit = (told.standard_unit or told.unit) if told is not None else ""
    changes = thought_of(spec.changes, unit)
    return Pair(label, reference, model.scan_ns, stands_ns, rows, texts, stream, changes)
