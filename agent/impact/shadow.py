"""Two engines over the same entries, one of which sees a change, and what differs between them.

Scans are compared one by one: each has the verdict that stood at its time. Invariants:
- both go on from one state, so what differs comes of the change alone;
- how entries are cut into blocks changes no figure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import numpy as np

from agent.core import identity
from agent.core.engine import Engine
from agent.core.spec import EngineSpec
from agent.core.timeline import LEAPS
from agent.core.verdict import ORDER
from agent.impact.entries import before
from agent.types import Block, Command, Entry, Event, Int64

_NONE: Final = ORDER.index("unassessable")
Totals = tuple[int, float, float | None]


class Changing(Protocol):
    """What a change does to samples: see `agent.contract.effect.Effect`."""

    def apply(self, block: Block) -> Block:
        """The block as it had been."""

    def begin(self, time_ns: int, latest: Mapping[str, float]) -> Block:
        """What comes unasked as it begins."""


@dataclass(slots=True)
class Figures:
    """Of one model, over the scans that were compared.

    Attributes:
        scans, changed: how many, and how many of them had another verdict.
        now, then: scans by verdict, as `ORDER` has it.
        alarms_now, alarms_then: conditions that were raised and concern it.
        first_ns: from the begin to the first scan with another verdict; -1: there is none.
    """

    scans: int = 0
    changed: int = 0
    now: list[int] = field(default_factory=lambda: [0] * len(ORDER))
    then: list[int] = field(default_factory=lambda: [0] * len(ORDER))
    alarms_now: int = 0
    alarms_then: int = 0
    first_ns: int = -1

    @property
    def share(self) -> float:
        """Of the scans that had another verdict."""
        return self.changed / self.scans if self.scans else 0.0


@dataclass(slots=True)
class _Side:
    """One engine, and what each model's verdict was when it was looked at last."""

    engine: Engine
    verdicts: list[int]

    @staticmethod
    def of(engine: Engine) -> _Side:
        """As it stands."""
        found = (engine.judge.verdicts.get(model.name) for model in engine.spec.models)
        return _Side(engine, [_NONE if one is None else ORDER.index(one.verdict) for one in found])

    def step(self, entry: Entry) -> tuple[list[tuple[list[int], list[int]]], list[int]]:
        """Fold; of each model (times, verdicts) from before the entry on, and alarms raised."""
        events = self.engine.step(entry).events
        names = {str(identity.model(m.name)): i for i, m in enumerate(self.engine.spec.models)}
        courses = [([-1 << 62], [verdict]) for verdict in self.verdicts]
        raised = [0] * len(courses)
        for event in events:
            if event.kind == "verdict" and event.subject in names:
                model = names[event.subject]
                verdict = ORDER.index(str(event.data["verdict"]))
                courses[model][0].append(event.time_ns)
                courses[model][1].append(verdict)
                self.verdicts[model] = verdict
            elif event.kind == "condition" and event.data["change"] == "raised":
                _count(event, self.engine.spec, raised)
        return courses, raised


def _count(event: Event, spec: EngineSpec, raised: list[int]) -> None:
    for index, model in enumerate(spec.models):
        raised[index] += int(model.name in event.data.get("models", ()))


class Shadow:
    """See the module.

    Args:
        spec: what is guarded, by what serves now.
        effect: of the change.
        texts: of codes, told before the first entry.

    Attributes:
        figures: by model.
        begun_ns: engine time at which the change came; 0: not yet.
        stood: by model the place in `ORDER` of the verdict that stood then.
    """

    def __init__(
        self, spec: EngineSpec, effect: Changing, texts: Mapping[int, str] | None = None
    ) -> None:
        self.spec, self._effect = spec, effect
        self._now = _Side.of(Engine(spec))
        self._then = self._now  # until the change comes
        self._now.engine.texts.update(texts or {})
        self._number = 0
        self._first: Block | None = None
        self.begun_ns = 0
        self.stood: dict[str, int] = {}
        self.figures = {model.name: Figures() for model in spec.models}
        self._before: list[dict[tuple[str, str], Totals]] = []

    @property
    def time_ns(self) -> int:
        """Engine time."""
        return self._now.engine.time_ns

    def warm_up(self, entry: Entry) -> None:
        """Fold an entry of before the change, of which nothing is counted."""
        self._number += 1
        self._now.step(replace(entry, sequence=self._number))

    def begin(self) -> None:
        """The change comes now."""
        engine = Engine(self.spec)
        engine.resume(self._now.engine.snapshot())
        self._then = _Side.of(engine)
        self.begun_ns = engine.time_ns
        names = (model.name for model in self.spec.models)
        self.stood = dict(zip(names, self._now.verdicts, strict=True))
        last = engine.latest()
        latest = {
            tag.name: float(last["value"][row]) for row, tag in enumerate(self.spec.tags)
            if not last["quality"][row]
        }
        self._first = self._effect.begin(self.begun_ns, latest)
        self._before = [_totals(side.engine) for side in (self._now, self._then)]

    def step(self, entry: Entry) -> None:
        """Fold an entry as it was, and as the change makes it; `begin` comes before.

        Raises:
            FieldwardenError: entries are out of order.
        """
        self._number += 1
        entry = replace(entry, sequence=self._number)
        was = self._grids()
        courses, alarms = self._now.step(entry)
        others, further = self._then.step(self._changed(entry))
        leaps = isinstance(entry, Command) and entry.kind in LEAPS
        for index, model in enumerate(self.spec.models):
            figures = self.figures[model.name]
            figures.alarms_now += alarms[index]
            figures.alarms_then += further[index]
            if not leaps:
                times = self._scans(index, was[index])
                self._compare(figures, times, courses[index], others[index])

    def _changed(self, entry: Entry) -> Entry:
        if isinstance(entry, Command):
            return entry
        made = self._effect.apply(entry)
        if self._first is not None:
            made, self._first = before(made, self._first, self.begun_ns), None
        return made

    def _grids(self) -> list[int]:
        return [int(scans.next_ns) for scans in self._now.engine.charts.scans]

    def _scans(self, model: int, was_ns: int) -> Int64:
        """The times of the scans of a model since it had its next one at `was_ns`."""
        scans = self._now.engine.charts.scans[model]
        first = was_ns or (scans.next_ns - scans.count * scans.model.scan_ns if scans.count else 0)
        if not first:
            return np.zeros(0, np.int64)
        return np.arange(first, scans.next_ns, scans.model.scan_ns, dtype=np.int64)

    def _compare(
        self, figures: Figures, times: Int64, now: tuple[list[int], list[int]],
        then: tuple[list[int], list[int]],
    ) -> None:  # fmt: skip
        if not len(times):
            return
        a, b = (_at(times, course) for course in (now, then))
        other = a != b
        figures.scans += len(times)
        figures.changed += int(other.sum())
        for counts, found in ((figures.now, a), (figures.then, b)):
            for verdict, count in enumerate(np.bincount(found, minlength=len(ORDER)).tolist()):
                counts[verdict] += count
        if figures.first_ns < 0 and other.any():
            figures.first_ns = int(times[int(np.argmax(other))]) - self.begun_ns

    def losses(self) -> dict[str, dict[str, Any]]:
        """By model and label the mean losses of truths that came: now and then; `expected` from
        inputs alone, where `fit` learnt it. Models without truths are left out.
        """
        if not self.begun_ns:
            return {}
        sides = [_totals(side.engine) for side in (self._now, self._then)]
        found: dict[str, dict[str, Any]] = {}
        for key in sides[0]:
            now, then = (
                _mean(side[key], was[key]) for side, was in zip(sides, self._before, strict=True)
            )
            if now["labels"] or then["labels"] or now["expected"] is not None:
                found.setdefault(key[0], {})[key[1]] = {"now": now, "then": then}
        return found


def _at(times: Int64, course: tuple[Sequence[int], Sequence[int]]) -> Int64:
    """The verdict that stood at each of these times."""
    place = np.searchsorted(np.array(course[0], np.int64), times, side="right") - 1
    return np.array(course[1], np.int64)[place]


def _totals(engine: Engine) -> dict[tuple[str, str], Totals]:
    """(labels, sum of losses, estimated loss) of each model and label."""
    found: dict[tuple[str, str], Totals] = {}
    for model, pairs in zip(engine.spec.models, engine.truth.pairs, strict=True):
        for pair in pairs:
            estimate = pair.estimate()
            found[model.name, pair.label.name] = (
                pair.state.labels, pair.state.total, estimate[0].value if estimate else None
            )
    return found


def _mean(now: Totals, was: Totals) -> dict[str, Any]:
    labels = now[0] - was[0]
    return {
        "labels": labels, "mean": (now[1] - was[1]) / labels if labels else None,
        "expected": now[2],
    }  # fmt: skip


def verdicts(counts: Iterable[int]) -> dict[str, int]:
    """Scans by the name of their verdict."""
    return dict(zip(ORDER, counts, strict=True))
