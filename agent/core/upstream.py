"""Changes upstream that only values show: from conditions to changes, and back to how charts were.

A tag's condition whose name says that an integration changed opens a change, with its onset and
what explains it. The states of the tag's charts from before the onset are put aside, and back
when the change is over or approved: then charts go on as if what came meanwhile had not been.

Invariant: states are put back where a command was folded or a window ends, never amid a block, so
that cutting blocks changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from agent.core import identity, losses_before
from agent.core.before import Copy
from agent.core.change import APPROVED, IN_VALUES, Change
from agent.core.changes import Changes
from agent.core.charts import Charts, input_key
from agent.core.condition import Condition
from agent.core.diagnosis import Diagnosis
from agent.core.identity import Place, Subject
from agent.core.kernels import TAG_DETECTORS
from agent.core.lifecycle import Conditions
from agent.core.spec import EngineSpec
from agent.types import Event

KINDS: Final = frozenset({
    "unit change", "scale change", "swapped tags", "register map shifted", "byte order changed",
    "data type changed", "coarser resolution", "old values repeated", "interpolated", "averaged",
    "rate change", "frozen source clock", "source clock moved",
})  # fmt: skip
"""What a tag's condition is called where its contract changed and no protocol said so."""

_LOOKS_BACK: Final = 24
"""Intervals before a first finding from which on charts of how values are served had counted."""


@dataclass(slots=True)
class Found:
    """A tag whose values changed: since when (engine ns), the change that was opened ('': none, its
    source is under no contract), and from before the states of its charts and of those of the
    outputs that were predicted from it, by key of the chart row; `losses` of these outputs, by
    key of the label.
    """

    onset_ns: int
    change: str
    kept: dict[str, Copy]
    losses: dict[str, dict[str, Any]] = field(default_factory=dict)


class Upstream:
    """Follows conditions of tags, and keeps what their charts were.

    Attributes:
        found: tag -> what was found in its values, while that lasts.
        fresh: (subject, onset) of those found since somebody asked, to be left out of evidence.
    """

    def __init__(
        self, spec: EngineSpec, charts: Charts, conditions: Conditions,
        name: Callable[[Condition, int], Diagnosis],
    ) -> None:
        self._spec, self._charts, self._conditions, self._name = spec, charts, conditions, name
        self.found: dict[str, Found] = {}
        self.fresh: list[tuple[str, int]] = []
        self._pending: set[str] = set()
        self._approved: set[str] = set()  # of these, those of changes that were
        self._rows: dict[str, list[int]] = {}
        self._models: dict[str, list[int]] = {}
        for row, place in enumerate(spec.rows):
            self._rows.setdefault(spec.tags[place.tag].name, []).append(row)
            self._models.setdefault(spec.tags[place.tag].name, []).append(place.model)

    # --- what happens -----------------------------------------------------------------------------

    def take(self, events: Iterable[Event], now: int, changes: Changes) -> list[Event]:
        """What was told of conditions at an instant: the changes that it opens and ends."""
        told: list[Event] = []
        for event in events:
            place, _, tag = event.subject.partition("/")
            if event.kind != "condition" or place != Place.TAG or tag not in self._rows:
                continue
            data = event.data
            if not data["active"] and tag in self.found:
                told += self._over(tag, now, changes)
            elif data["active"] and data["cause"] == "integration" and data["kind"] in KINDS:
                told += self._opened(tag, now, changes)
        return told

    def _opened(self, tag: str, now: int, changes: Changes) -> list[Event]:
        condition = self._conditions.active.get(identity.tag(tag))
        if condition is None or (tag in self.found and tag not in self._pending):
            return []
        named = self._name(condition, now)
        onset_ns = min(condition.first_ns, now - named.since * condition.interval_ns)
        if not named.since:
            onset_ns = condition.first_ns - _LOOKS_BACK * condition.interval_ns
        before = set(changes.known)
        told = changes.found_in_values(
            now, tag, named.kind, onset_ns, {"text": named.text}, named.suggested or None,
        )
        change = next((event.data["id"] for event in told), "")
        if not change and before:
            change = next((
                one.id for one in changes.known.values() if one.open and tag in one.tags
            ), "")
        self._pending.discard(tag)
        self.found[tag] = Found(
            onset_ns, change, *self._kept(tag, onset_ns, list(self.found.values()))
        )
        for model in self._models[tag]:
            losses_before.spoil(self._charts.truth, model, onset_ns)
        self.fresh.append((str(condition.subject), onset_ns))
        return told

    def _kept(
        self, tag: str, onset_ns: int, others: Sequence[Found]
    ) -> tuple[dict[str, Copy], dict[str, dict[str, Any]]]:
        """Charts and losses from before; where another tag touches them, from before that, too."""
        kept = {
            self._key(row): self._charts.before.copy(row, onset_ns) for row in self._touched(tag)
        }
        losses = {
            key: chart for model in self._models[tag]
            for key, chart in losses_before.copy(self._charts.truth, model, onset_ns).items()
        }
        for other in others:
            kept |= {key: copy for key, copy in other.kept.items() if key in kept}
            losses |= {key: chart for key, chart in other.losses.items() if key in losses}
        return kept, losses

    def _touched(self, tag: str) -> list[int]:
        """The chart rows of a tag, and of the outputs of the models that have it as an input."""
        outputs = [
            row for model in self._models[tag] if tag in self._spec.models[model].inputs
            for row in self._spec.outputs_of(model)
        ]
        return list(dict.fromkeys([*self._rows[tag], *outputs]))

    def _over(self, tag: str, now: int, changes: Changes) -> list[Event]:
        """Its condition has returned to normal: so has its change, with the last of its tags."""
        self._pending.add(tag)
        change = self.found[tag].change
        others = [
            other for other, one in self.found.items()
            if one.change == change and other not in self._pending
        ]
        known = changes.known.get(change)
        if others or known is None or known.how != IN_VALUES:
            return []
        return changes.as_agreed(change, now)

    def released(self, change: Change, _: int) -> None:
        """A change was approved or is over: the states of its tags' charts are put back soon."""
        tags = [tag for tag in change.tags if tag in self.found]
        self._pending.update(tags)
        if change.state == APPROVED:
            self._approved.update(tags)

    @property
    def waiting(self) -> bool:
        """Whether any states wait to be put back."""
        return bool(self._pending)

    def settle(self, now: int) -> list[Event]:
        """Put states back where something waits for it; what was found by them meanwhile is over.

        To be called where a command was folded or a window ends.
        """
        pending, self._pending = sorted(self._pending), set()
        self._learn_anew(self._approved & set(pending), now)
        self._approved = set()
        events: list[Event] = []
        models: set[int] = set()
        for tag in pending:
            found = self.found.pop(tag)
            for row in self._touched(tag):
                self._charts.put_back(row, found.kept.get(self._key(row), {}))
            for model in self._models[tag]:
                losses_before.put_back(self._charts.truth, model, found.losses)
            models.update(self._models[tag])
            events += self._mended(identity.tag(tag), now)
        if models:
            self._forget({self._spec.models[model].name: model for model in models}, now)
        return events

    def _learn_anew(self, tags: set[str], now: int) -> None:
        """What is of these tags now is usual from here on: a person said so."""
        rows = [self._spec.row_of_tag[tag] for tag in sorted(tags)]
        for detector in TAG_DETECTORS:
            if detector.traits.learns:
                state = self._charts.tag_state[detector.name]
                state[rows] = np.zeros((), state.dtype)
        subjects = {identity.tag(tag) for tag in tags}
        self._conditions.forget(lambda subject, key: subject in subjects and key.traits.learns, now)

    def _forget(self, models: Mapping[str, int], now: int) -> None:
        """What was found of these models' scans, outputs and losses is so no more."""
        outputs = {
            name: {identity.tag(tag) for tag in self._spec.models[model].outputs}
            for name, model in models.items()
        }
        self._conditions.forget(
            lambda subject, key: key.model in models and (
                key.joint or subject in outputs[key.model]
                or (key.detector == identity.LOSS and not self._charts.truth.is_up(
                    models[key.model], -1))
            ), now,
        )  # fmt: skip

    def take_fresh(self) -> list[tuple[str, int]]:
        """(subject, onset) of what was found since the last time."""
        fresh, self.fresh = self.fresh, []
        return fresh

    def _mended(self, subject: Subject, now: int) -> list[Event]:
        condition = self._conditions.active.get(subject)
        if condition is None or any(not key.model for key in condition.findings):
            return []  # what is seen of the tag by itself goes on
        del self._conditions.active[subject]
        if not condition.raised:
            return []
        self._conditions.incidents.left(condition.incident, now)
        return [condition.event("cleared", now)]

    def _key(self, row: int) -> str:
        place = self._spec.rows[row]
        return input_key(self._spec.models[place.model].name, self._spec.tags[place.tag].name)

    # --- time and what lasts ----------------------------------------------------------------------

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        self._charts.before.move(shift_ns)
        for one in self.found.values():
            one.onset_ns += shift_ns

    def to_json(self) -> dict[str, Any]:
        """All state, JSON-ready, in a fixed order."""
        return {
            "found": {
                tag: [one.onset_ns, one.change, one.kept, one.losses]
                for tag, one in sorted(self.found.items())
            },
            "pending": sorted(self._pending), "approved": sorted(self._approved),
            "before": list(self._charts.before.times),
        }

    def from_json(self, document: Mapping[str, Any], inputs: Iterable[str]) -> None:
        """Take state from `to_json`, as far as these inputs (keys of chart rows) go on."""
        known = set(inputs)
        self.found = {
            tag: Found(int(onset), str(change), {k: v for k, v in kept.items() if k in known},
                       *losses)
            for tag, (onset, change, kept, *losses) in document.get("found", {}).items()
            if tag in self._rows
        }
        self._pending = set(document.get("pending", ())) & self.found.keys()
        self._approved = set(document.get("approved", ())) & self._pending
        times = [int(time_ns) for time_ns in document.get("before", ())]
        if len(times) == len(self._charts.before.times):
            self._charts.before.times = times
