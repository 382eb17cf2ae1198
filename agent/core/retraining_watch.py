"""Which conditions count as evidence for retraining a model, and which time is left out.

Told by the events of conditions alone, so that cuts of blocks change nothing. Only causes `process`
and `model` count: an `unknown` may become one of them, and counts from then on. What a person
called a false alarm does not count. Time in which a condition of `sensor` or `integration` was
open, or that a person called an equipment fault, is left out, and known as left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from agent.core.names import MAY_BE_FALSE, MENDED, NAMED_WHILE, TRUE_WHILE
from agent.types import Event

COUNTS = frozenset({"process", "model"})
KEPT = 100
"""Spans of a model; beyond that, those with the least time between them become one."""

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

    Attributes:
        counting: by the id of the condition.
        doubted: subjects of open conditions of which nobody knows yet whether they count, by id.
        left_out: by model, in order of their begin.
    """

    def __init__(self) -> None:
        self.counting: dict[str, Counting] = {}
        self.doubted: dict[str, str] = {}
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
        self.doubted.pop(one, None)
        if self._doubts(one, cause):
            self.doubted[one] = subject
        if counts:
            self.counting[one] = Counting(
                subject, cause, models, int(told["raised_ns"]), str(told["kind"])
            )
        else:
            self._no_more(one, now)
        for name in models:
            self._note(name, Span(from_ns, 0, one, subject, str(told["kind"]), cause), now)

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
            self._add(model, told)
        else:
            known.kind, known.cause = told.kind, told.cause

    def _ended(self, one: str, now: int) -> None:
        self._no_more(one, now)
        self.doubted.pop(one, None)
        self._false.discard(one)
        for spans in self.left_out.values():
            for span in spans:
                if span.of == one and not span.to_ns:
                    span.to_ns = now

    def reach_back(self, subject: str, onset_ns: int) -> None:
        """What is left out for a subject now began so early: its values show it."""
        for spans in self.left_out.values():
            for span in spans:
                if span.subject == subject and not span.to_ns:
                    span.from_ns = min(span.from_ns, onset_ns)
            spans.sort(key=lambda one: (one.from_ns, one.of))

    def _no_more(self, one: str, now: int) -> None:
        """It does not count any more; a fault that a person named is over with the last of it."""
        over = self.counting.pop(one, None)
        for model in over.models if over is not None else ():
            if self.of(model):
                continue
            for span in self.left_out.get(model, ()):
                if span.kind == FAULT and not span.to_ns:
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
        return [one for one in self.counting.values() if model in one.models]

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

    def doubts(self, inputs: Iterable[str]) -> bool:
        """Whether one of these inputs has moved, and nobody knows why."""
        subjects = set(self.doubted.values())
        return any(f"tag/{name}" in subjects for name in inputs)

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
        for one in self.counting.values():
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
            "doubted": dict(sorted(self.doubted.items())),
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
        doubted = document.get("doubted", {  # of an earlier version: as they are told now
            one: event.subject for one, event in open_now.items()
            if self._doubts(one, str(event.data["cause"]))
        })
        self.doubted = {one: str(doubted[one]) for one in doubted if one in open_now}
        known = {span.of for spans in self.left_out.values() for span in spans if not span.to_ns}
        gone = (known | self.counting.keys()) - open_now.keys()
        for one in sorted(gone - {one for one in known if self._is_fault(one)}):
            self._ended(one, now)
        if not document:
            self.take(open_now.values())

    def _is_fault(self, one: str) -> bool:
        return any(
            span.of == one and span.kind == FAULT
            for spans in self.left_out.values() for span in spans
        )
