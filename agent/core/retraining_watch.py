"""Which conditions count as evidence for retraining a model, and which time is left out.

Told by the events of conditions alone, so that cuts of blocks change nothing. Only causes `process`
and `model` count: an `unknown` may become one of them, and counts from then on. So do inputs that
moved of unknown cause where several did, for instruments fail one by one, or where the truth bears
them out (`agent.core.borne_out`). What a person
called a false alarm does not count. Time in which a condition of `sensor` or `integration` was
open, or that a person called an equipment fault, is left out, and known as left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

from agent.core.names import MAY_BE_FALSE, MENDED, NAMED_WHILE, TRUE_WHILE
from agent.types import Event

COUNTS = frozenset({"process", "model"})
KEPT = 100
"""Spans of a model; beyond that, those with the least time between them become one."""

SEVERAL_MOVED = 3
"""Inputs of a model that have moved, of which no other says why, and no fault is known: from so
many on the process moved them. Two may be two faults, or one in what both instruments share."""

STAYS_MOVED = frozenset({"level shift", "drift", "out of trained range"})
"""What an input is called that reads elsewhere than it was trained, for as long as it does."""

RETURNS_NS = 86_400_000_000_000
"""A fault of the same subject that comes back within a day was there meanwhile: what flickers is
not mended, and nobody knows which of the values between were right."""

FAULT = "equipment fault"
_SEVERAL = "several"


@dataclass(slots=True)
class Counting:
    """An open condition that counts: what it is on, what moved it, since when, its name."""

    subject: str
    cause: str
    models: list[str]
    since_ns: int
    kind: str = ""


@dataclass(slots=True)
class Span:
    """Time of a model that is left out, and why; `to_ns` is 0 while it goes on.

    `of` is the id of the condition, or of the request that was closed as an equipment fault.
    """

    from_ns: int
    to_ns: int
    of: str
    subject: str
    kind: str
    cause: str

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def meets(self, start_ns: int, end_ns: int) -> bool:
        """Whether it has any time in common with a window."""
        return self.from_ns < end_ns and (not self.to_ns or self.to_ns > start_ns)

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        self.from_ns += shift_ns
        self.to_ns += shift_ns if self.to_ns else 0


class Watch:
    """Conditions that count, and spans that are left out, of all models.

    Args:
        inputs: the subjects of each model's inputs.

    Attributes:
        counting: by the id of the condition.
        doubted: open conditions of which nobody knows yet whether they count, by id; `borne` are
            those of them that the truth bears out.
        left_out: by model, in order of their begin.
    """

    def __init__(self, inputs: Mapping[str, frozenset[str]] = MappingProxyType({})) -> None:
        self._inputs = inputs
        self.counting: dict[str, Counting] = {}
        self.doubted: dict[str, Counting] = {}
        self.borne: set[str] = set()
        self.left_out: dict[str, list[Span]] = {}
        self._false: set[str] = set()

    # --- what happens -----------------------------------------------------------------------------

    def take(self, events: Iterable[Event]) -> None:
        """What was told of conditions."""
        for event in events:
            if event.kind == "condition":
                self._take(event.subject, event.time_ns, event.data)

    def _take(self, subject: str, now: int, told: Mapping[str, Any]) -> None:
        one, cause = str(told["id"]), str(told["cause"])
        if not told["active"]:
            self._ended(one, now)
            return
        if told["change"] == "acknowledged":
            (self._false.add if told.get("false") else self._false.discard)(one)
        models = [str(name) for name in told["models"]]
        # What says of what arrives that it is no measurement now says nothing of the time before.
        passing = one in self.counting and told["kind"] in NAMED_WHILE
        passing |= one in self.doubted and cause == "integration" and told["kind"] in TRUE_WHILE
        from_ns = now if passing else int(told["raised_ns"])
        counts = cause in COUNTS and one not in self._false
        known = _told(subject, told)
        self.doubted.pop(one, None)
        if self._doubts(one, cause):
            self.doubted[one] = known
        else:
            self.borne.discard(one)
        self.counting.pop(one, None)
        if counts:
            self.counting[one] = known
        for name in models:
            self._note(name, Span(from_ns, 0, one, subject, str(told["kind"]), cause), now)
        self._end_faults(now)

    def _doubts(self, one: str, cause: str) -> bool:
        """Whether nobody knows whether a condition counts."""
        return cause not in COUNTS | MENDED and one not in self._false

    def _note(self, model: str, told: Span, now: int) -> None:
        """A condition is left out, or is so no more by the cause that it has now."""
        spans = self.left_out.get(model, [])
        known = next((span for span in spans if span.of == told.of and not span.to_ns), None)
        if told.cause not in MENDED:
            if known is not None:
                known.to_ns = now
        elif known is None:
            if (before := _comes_back(spans, told)) is not None:
                spans.remove(before)
                told.from_ns = before.from_ns
            self._add(model, told)
        else:
            known.kind, known.cause = told.kind, told.cause

    def _ended(self, one: str, now: int) -> None:
        self.counting.pop(one, None)
        self.doubted.pop(one, None)
        self.borne.discard(one)
        self._false.discard(one)
        for spans in self.left_out.values():
            for span in spans:
                if span.of == one and not span.to_ns:
                    span.to_ns = now
        self._end_faults(now)

    def reach_back(self, subject: str, onset_ns: int) -> None:
        """What is left out for a subject now began so early: its values show it."""
        for spans in self.left_out.values():
            for span in spans:
                if span.subject == subject and not span.to_ns:
                    span.from_ns = min(span.from_ns, onset_ns)
            spans.sort(key=lambda one: (one.from_ns, one.of))

    def _end_faults(self, now: int) -> None:
        """A fault that a person named is over with the last of what counts."""
        for model, spans in self.left_out.items():
            going_on = [span for span in spans if span.kind == FAULT and not span.to_ns]
            if going_on and not self.of(model):
                for span in going_on:
                    span.to_ns = now

    def exclude(self, model: str, request: str, since_ns: int, now: int) -> None:
        """A person says that it was an equipment fault: until nothing of it counts any more."""
        end_ns = 0 if self.of(model) else now
        self._add(model, Span(since_ns, end_ns, request, f"model/{model}", FAULT, "process"))

    def _add(self, model: str, span: Span) -> None:
        spans = self.left_out.setdefault(model, [])
        spans.append(span)
        spans.sort(key=lambda one: (one.from_ns, one.of))
        if len(spans) > KEPT:
            self._join(spans)

    def _join(self, spans: list[Span]) -> None:
        """The two that are over and have the least time between them: too much is left out."""
        over = [place for place, span in enumerate(spans) if span.to_ns]
        if len(over) < 2:
            spans.pop(0)
            return
        gaps = [(spans[b].from_ns - spans[a].to_ns, a, b) for a, b in pairwise(over)]
        _, a, b = min(gaps)
        first, second = spans[a], spans[b]
        first.to_ns = max(first.to_ns, second.to_ns)
        if (first.kind, first.subject) != (second.kind, second.subject):
            first.kind = _SEVERAL
        del spans[b]

    # --- looking in -------------------------------------------------------------------------------

    def of(self, model: str) -> list[Counting]:
        """What counts for a model right now."""
        known = [one for one in self.counting.values() if model in one.models]
        inputs = self._inputs.get(model, frozenset())
        more = {
            one: item for one, item in self.doubted.items()
            if item.kind in STAYS_MOVED and item.subject in inputs and model in item.models
        }
        several = len(more) >= SEVERAL_MOVED
        return known + [item for one, item in more.items() if several or one in self.borne]

    def explains(self, event: Event) -> bool:
        """Whether it tells of a fault that is to be mended and may be why a model errs.

        Not what says of what arrives that it is no measurement: nobody takes it for one. Nor what
        may be false, unless something had moved and nobody knew why.
        """
        told = event.data
        if event.kind != "condition" or not told["active"] or told["cause"] not in MENDED:
            return False
        known = told["kind"] in TRUE_WHILE or (told["kind"], told["cause"]) in MAY_BE_FALSE
        return not known or str(told["id"]) in self.doubted

    def moved(self, model: str) -> list[Counting]:
        """Inputs of a model that the process moved: by their cause, or as they are several."""
        inputs = self._inputs.get(model, frozenset())
        return [one for one in self.of(model) if one.cause != "model" and one.subject in inputs]

    def doubts(self, model: str) -> set[str]:
        """Subjects of those inputs that have moved, and nobody knows why."""
        inputs = self._inputs.get(model, frozenset())
        counted = {one.subject for one in self.moved(model)}
        return {one.subject for one in self.doubted.values()} & inputs - counted

    def meets(self, model: str, start_ns: int, end_ns: int) -> bool:
        """Whether any time of a window is left out."""
        return any(span.meets(start_ns, end_ns) for span in self.left_out.get(model, ()))

    def since(self, model: str, since_ns: int, now: int) -> list[dict[str, Any]]:
        """What is left out of the time since then, JSON-ready."""
        spans = self.left_out.get(model, ())
        return [span.to_json() for span in spans if span.meets(since_ns, now + 1)]

    # --- time and what lasts ----------------------------------------------------------------------

    def forget(self, model: str, before_ns: int) -> None:
        """Spans that ended before a time are of no use any more."""
        spans = self.left_out.get(model)
        if spans:
            self.left_out[model] = [s for s in spans if not s.to_ns or s.to_ns >= before_ns]

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        for one in (*self.counting.values(), *self.doubted.values()):
            one.since_ns += shift_ns
        for spans in self.left_out.values():
            for span in spans:
                span.move(shift_ns)

    def to_json(self) -> dict[str, Any]:
        """All state, in a fixed order."""
        return {
            "counting": {one: asdict(item) for one, item in sorted(self.counting.items())},
            "left_out": {
                name: [span.to_json() for span in spans]
                for name, spans in sorted(self.left_out.items()) if spans
            },
            "false": sorted(self._false),
            "borne": sorted(self.borne),
            "doubted": {one: asdict(item) for one, item in sorted(self.doubted.items())},
        }

    def from_json(
        self, document: Mapping[str, Any], models: Sequence[str], open_now: Mapping[str, Event],
        now: int,
    ) -> None:
        """Take what `to_json` gave.

        Args:
            document: of `to_json`; empty where an earlier version wrote the state.
            models: that there are now.
            open_now: the conditions that are open by now, by id, as they would be told again.
            now: engine time in ns.
        """
        self.counting = {
            one: Counting(**item) for one, item in document.get("counting", {}).items()
        }
        self.left_out = {
            name: [Span(**span) for span in spans]
            for name, spans in document.get("left_out", {}).items() if name in models
        }
        self._false = set(document.get("false", ())) & open_now.keys()
        self.doubted = self._doubted_of(document.get("doubted"), open_now)
        self.borne = set(document.get("borne", ())) & self.doubted.keys()
        known = {span.of for spans in self.left_out.values() for span in spans if not span.to_ns}
        gone = (known | self.counting.keys()) - open_now.keys()
        for one in sorted(gone - {one for one in known if self._is_fault(one)}):
            self._ended(one, now)
        if not document:
            self.take(open_now.values())

    def _doubted_of(
        self, kept: Mapping[str, Any] | None, open_now: Mapping[str, Event]
    ) -> dict[str, Counting]:
        """What is in doubt; an earlier version kept its subject, or nothing of it."""
        known = kept if kept is not None else {
            one: "" for one, event in open_now.items()
            if self._doubts(one, str(event.data["cause"]))
        }
        return {
            one: Counting(**item) if isinstance(item, Mapping)
            else _told(open_now[one].subject, open_now[one].data)
            for one, item in known.items() if one in open_now
        }  # fmt: skip

    def _is_fault(self, one: str) -> bool:
        return any(
            span.of == one and span.kind == FAULT
            for spans in self.left_out.values() for span in spans
        )


def _told(subject: str, told: Mapping[str, Any]) -> Counting:
    """A condition as it is told."""
    models = [str(name) for name in told["models"]]
    return Counting(
        subject, str(told["cause"]), models, int(told["raised_ns"]), str(told["kind"])
    )


def _comes_back(spans: Iterable[Span], told: Span) -> Span | None:
    """The latest time of the same fault, where it ended not long ago.

    What says itself that it is no measurement is left out, and what is between is one.
    """
    if told.kind in NAMED_WHILE:
        return None
    found = [
        span for span in spans
        if span.subject == told.subject and span.to_ns and span.kind not in NAMED_WHILE
        and 0 <= told.from_ns - span.to_ns <= RETURNS_NS
    ]
    return max(found, key=lambda span: span.to_ns, default=None)
