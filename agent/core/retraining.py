"""Retraining by evidence: weighs what lasts, and asks people once.

It looks at each window that closes, and at what conditions told meanwhile; so what it says does not
depend on how samples were cut into blocks. A window of which any time is left out counts for
nothing. While a request is open, or declared and its model not trained anew, and for the cool-down
after a person decided, there is no other of the same model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from agent.core.borne_out import BearingOut
from agent.core.charts import Charts
from agent.core.condition import Condition
from agent.core.kernels.tally import UNITS_PER_SD
from agent.core.kinds import shown_unit
from agent.core.names import ERRORS_GREW
from agent.core.retraining_evidence import Evidence
from agent.core.retraining_request import DECLARED, FROM, IN_TRIAL, OPEN, Request
from agent.core.retraining_watch import Counting, Watch
from agent.core.seen import Seen
from agent.core.spec import EngineSpec, ModelSpec
from agent.core.state import Lasting
from agent.types import Event

REQUESTS_KEPT = 16
"""Of a model; those that are in hand stay."""

ENDED_SHOWN = 50
"""Of all models together, in every status document; the account has all of them."""

MOVED_TOLD = 20
_FAR = 1.0
"""Standard deviations of training from which an input is said to have moved."""

_KEPT_NS = 40 * 86_400_000_000_000
"""For so long it is known what was left out, and for as long as a request needs it."""

_MOVED = np.dtype([("sum", np.int64), ("good", np.int64)])
_HOUR_NS = 3_600_000_000_000


class Retraining:
    """Evidence and requests of all models; see the module's invariants.

    Attributes:
        requests: by id, the oldest first.
        watch: which conditions count, and what is left out.
    """

    def __init__(self, spec: EngineSpec, charts: Charts) -> None:
        self._spec, self._charts = spec, charts
        self._index = {model.name: index for index, model in enumerate(spec.models)}
        self.watch = Watch({
            model.name: frozenset(f"tag/{name}" for name in model.inputs) for model in spec.models
        })
        self.requests: dict[str, Request] = {}
        self._evidence = {model.name: Evidence() for model in spec.models}
        self._moved = np.zeros(len(spec.rows), _MOVED)
        self._bearing = BearingOut(spec, charts.truth, charts.modes.index)

    # --- what happens -----------------------------------------------------------------------------

    def take(self, events: Sequence[Event]) -> None:
        """What judgement told; losses that exceed what is allowed are evidence.

        While an input has moved and nobody knows why, or one that reads far from where it was
        trained explains them, they may be those of a sensor: they wait. So
        they do until they warned for as long as an output must be off, for errors may show a fault
        of an input before its own charts do. Errors that had begun when such a fault was found
        told of it, until their chart was back at 0; and so did an output that was off by then, for
        as long as that condition stands, unless it repeats itself.
        """
        for event in events:
            if self.watch.explains(event):
                for name in self._evidence.keys() & set(event.data["models"]):
                    self._evidence[name].explain(event.time_ns)
            self.watch.take([event])
            if event.kind == "evidence" and event.data.get("change") == "opened":
                model = event.subject.partition("/")[2]
                own = self._evidence.get(model)
                if own is not None and event.data["since_ns"] < own.explained_ns:
                    continue
                warned = [one for one in self.watch.of(model) if one.subject == event.subject]
                self.note_losses(model, _since(warned) or event.time_ns, event.data)

    def note_losses(self, model: str, time_ns: int, evidence: Mapping[str, Any]) -> None:
        """The e-process of a model's losses says that its errors grew; weighed when a window ends.

        Args:
            model: its name.
            time_ns: engine time from which on they had grown.
            evidence: JSON-ready, what people are to be told of it.
        """
        own = self._evidence.get(model)
        if own is not None and not own.losses_ns:
            own.losses_ns, own.losses = time_ns, dict(evidence)

    def close(
        self, start_ns: int, end_ns: int, counts: np.ndarray[Any, Any], seen: Sequence[Seen]
    ) -> list[Event]:
        """A window ends; `counts` is `tally.COUNTS`[rows] of it, `seen` what of its scans lay
        outside of training, by row. The requests that it brings.
        """
        events: list[Event] = []
        scans = self._charts.extrapolated()[1]
        self._bearing.add(counts)
        for index, model in enumerate(self._spec.models):
            self._bearing.look(index, self.watch, end_ns)
            rows = self._spec.rows_of(index)
            own = counts[rows.start : rows.stop]
            passed = self._evidence[model.name].passed(*scans[index])
            if own["count"].any() and not self.watch.meets(model.name, start_ns, end_ns):
                outside = min(passed[1], self._outside(index, seen))
                events += self._weigh(
                    model, end_ns, end_ns - start_ns, own, (passed[0], outside)
                )
            self._forget(model.name, end_ns)
        return events

    def _outside(self, index: int, seen: Sequence[Seen]) -> int:
        """Scans outside of training, but for those in which only inputs are of which nobody knows
        whether the process moved them.
        """
        model = self._spec.models[index]
        names, doubted = model.inputs, self.watch.doubts(model.name)
        rows = self._spec.rows_of(index)
        inputs = zip(rows, names, strict=False)
        jointly = seen[rows.start].jointly if len(rows) else 0
        return jointly + sum(
            seen[row].extrapolating for row, name in inputs if f"tag/{name}" not in doubted
        )

    def _weigh(
        self, model: ModelSpec, end_ns: int, span_ns: int, counts: np.ndarray[Any, Any],
        passed: tuple[int, int],
    ) -> list[Event]:
        """A window of which nothing is left out."""
        criteria, own = model.retraining, self._evidence[model.name]
        counting = self.watch.of(model.name)
        moved = self.watch.moved(model.name) + [
            one for one in counting if one.cause == "process" and _is_of_all_inputs(model, one)
        ]
        # What its losses say is the bets': their chart only warns.
        own_outputs = {f"tag/{name}" for name in model.outputs}
        wrong = [
            one for one in counting if one.cause == "model" and one.subject in own_outputs
            and (one.since_ns >= own.explained_ns or one.kind == "stuck")
        ]
        own.inputs.add(
            span_ns, criteria.shifted_for_ns, _since(moved),
            holds=_shifted(model, moved) >= criteria.needed(len(model.inputs)),
        )
        own.outputs.add(span_ns, criteria.outputs_shifted_ns, _since(wrong), holds=bool(wrong))
        outside = passed[1] if moved else 0  # else nobody knows whether the plant is outside
        own.extrapolating.add(
            _since(moved), span_ns, criteria.extrapolating_over_ns, passed[0], outside
        )
        misreads = self._bearing.misreads(self._index[model.name], self.watch, end_ns)
        if own.misreads(span_ns, criteria.outputs_shifted_ns, end_ns, holds=misreads):
            own.explain(end_ns)
        erring = bool(own.losses_ns) or any(one.kind == ERRORS_GREW for one in counting)
        own.erring.add(
            span_ns, criteria.outputs_shifted_ns, own.losses_ns or end_ns,
            holds=erring and not self.watch.doubts(model.name)
            and not misreads,
        )
        self._add_moved(model.name, counts, begins=not own.since_ns, counts_now=bool(counting))
        met = _met(model, own)
        if not met or self.in_hand(model.name) or end_ns < own.not_before_ns:
            return []
        return [self._open(model, met, end_ns)]

    def _add_moved(
        self, model: str, counts: np.ndarray[Any, Any], *, begins: bool, counts_now: bool
    ) -> None:
        rows = self._spec.rows_of(self._index[model])
        kept = self._moved[rows.start : rows.stop]
        if begins and not any(one.state == OPEN for one in self._of(model)):
            kept[...] = np.zeros((), _MOVED)
        if counts_now:
            kept["sum"] += counts["sum"]
            kept["good"] += counts["good"]

    def _open(self, model: ModelSpec, met: list[str], now: int) -> Event:
        own = self._evidence[model.name]
        moved, further = self._moved_of(model)
        name = f"{model.name}@{now // 1_000_000_000}"
        while name in self.requests:  # engine time was set back
            name += "+"
        request = Request(
            name, model.name, model.version, model.owner, model.baseline.digest,
            min(own.since_ns or now, now), now, met, moved, further, dict(own.losses),
        )
        self.requests[name] = request
        for old in [one for one in self._of(model.name) if not self._needed(one)][:-REQUESTS_KEPT]:
            del self.requests[old.id]
        return request.event("requested", now, self.left_out(request, now))

    def _moved_of(self, model: ModelSpec) -> tuple[list[dict[str, Any]], int]:
        """(inputs that moved, the farthest first; how many more did)."""
        named = {one.subject for one in self.watch.of(model.name)}
        found: list[dict[str, Any]] = []
        for row in self._spec.rows_of(self._index[model.name]):
            total, good = map(int, self._moved[row].tolist())
            item = self._charts.parameters.baseline(row)
            off = total / good / UNITS_PER_SD if good else 0.0
            if abs(off) >= _FAR or f"tag/{item.tag}" in named:
                found.append({
                    "tag": item.tag, "off": off, "value": item.centre + off * item.scale,
                    "centre": item.centre, "scale": item.scale, "trained": list(item.trained),
                    "unit": shown_unit(item.unit, item.kind),
                })
        found.sort(key=lambda one: (-abs(one["off"]), one["tag"]))
        return found[:MOVED_TOLD], max(0, len(found) - MOVED_TOLD)

    # --- people -----------------------------------------------------------------------------------

    def why_not(self, kind: str, request: str) -> str:
        """Why a person's command can not be carried out now; empty where it can."""
        found = self.requests.get(request)
        if found is None:
            return "there is no such request"
        if found.state not in FROM[kind][1]:
            return f"it is {found.state} already"
        if kind == "withdraw" and (still := self.watch.of(found.model)):
            subjects = ", ".join(sorted(one.subject for one in still)[:4])
            return f"its evidence stands: {subjects}"
        return ""

    def command(self, kind: str, now: int, data: Mapping[str, Any]) -> list[Event]:
        """A named person decides on a request, with a reason; what is not possible changes nothing.

        `data` has ``request`` (its id), ``by`` and ``note``.
        """
        name, why, by = (str(data.get(key, "")) for key in ("request", "note", "by"))
        if not why or self.why_not(kind, name):
            return []
        request = self.requests[name]
        request.decide(FROM[kind][0], now, by, why)
        if kind == "close":
            self.watch.exclude(request.model, request.id, request.since_ns, now)
        model = self._spec.models[self._index[request.model]]
        self._evidence[request.model].begin_anew(now + model.retraining.cool_down_ns)
        told = {"by": by, "note": why}
        return [request.event(request.state, now, self.left_out(request, now), told)]

    # --- looking in -------------------------------------------------------------------------------

    def left_out(self, request: Request, now: int) -> list[dict[str, Any]]:
        """What is left out of a request's time, JSON-ready."""
        return self.watch.since(request.model, request.since_ns, request.until_ns or now)

    def shown(self, now: int) -> list[dict[str, Any]]:
        """Requests that are in hand, and the newest `ENDED_SHOWN` others; the newest first."""
        newest = list(reversed(self.requests.values()))
        ended = [one.id for one in newest if not self._needed(one)]
        hidden = set(ended[ENDED_SHOWN:])
        return [one.shown(self.left_out(one, now)) for one in newest if one.id not in hidden]

    def in_hand(self, model: str) -> list[str]:
        """Ids of a model's requests that somebody has to act on, the oldest first."""
        return [one.id for one in self._of(model) if self._needed(one)]

    def pins(self) -> dict[str, int]:
        """Model -> since when its data may still be asked for."""
        found: dict[str, int] = {}
        for one in self.requests.values():
            if self._needed(one):
                found[one.model] = min(one.since_ns, found.get(one.model, one.since_ns))
        return found

    def _of(self, model: str) -> list[Request]:
        return [one for one in self.requests.values() if one.model == model]

    def _needed(self, request: Request) -> bool:
        """Whether it waits for a decision, or for a model trained on what was declared."""
        if request.state in {DECLARED, IN_TRIAL}:
            model = self._spec.models[self._index[request.model]]
            return request.baseline == model.baseline.digest
        return request.state == OPEN

    def _forget(self, model: str, now: int) -> None:
        pinned = [one.since_ns for one in self._of(model) if self._needed(one)]
        since_ns = self._evidence[model].since_ns or now
        self.watch.forget(model, min([now - _KEPT_NS, since_ns, *pinned]))

    # --- time and what lasts ----------------------------------------------------------------------

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: all times move."""
        self.watch.move(shift_ns)
        for request in self.requests.values():
            request.move(shift_ns)
        for own in self._evidence.values():
            own.move(shift_ns)

    def arrays(self) -> list[Lasting]:
        """How far each input is from where it was trained."""
        return [Lasting("retraining.moved", "input", self._moved), *self._bearing.arrays()]

    def to_json(self) -> dict[str, Any]:
        """All other state, JSON-ready, in a fixed order."""
        return {
            "watch": self.watch.to_json(),
            "requests": [one.to_json() for one in self.requests.values()],
            "evidence": {name: own.to_json() for name, own in sorted(self._evidence.items())},
        }

    def from_json(
        self, document: Mapping[str, Any], now: int, kept: Mapping[str, Collection[str]],
        conditions: Iterable[Condition],
    ) -> None:
        """Take state of `now` from `to_json`; evidence of models that are judged anew is forgotten.

        Args:
            document: of `to_json`; empty where an earlier version wrote the state.
            now: engine time of the snapshot in ns.
            kept: by axis, the keys of what is as it was.
            conditions: those that are open by now.
        """
        told = [one.event("updated", now) for one in conditions if one.raised]
        models = [model.name for model in self._spec.models]
        open_now = {str(event.data["id"]): event for event in told}
        self.watch.from_json(document.get("watch", {}), models, open_now, now)
        requests = map(Request.from_json, document.get("requests", ()))
        self.requests = {one.id: one for one in requests if one.model in self._index}
        for name, own in document.get("evidence", {}).items():
            if name in kept["model"]:
                self._evidence[name] = Evidence.from_json(own)
            elif name in self._index:
                self._evidence[name].not_before_ns = int(own["not_before_ns"])


def _since(counting: Sequence[Counting]) -> int:
    return min((one.since_ns for one in counting), default=0)


def _is_of_all_inputs(model: ModelSpec, one: Counting) -> bool:
    """Whether a condition is on all inputs together; else on one, on an output, or on losses."""
    return one.subject == f"model/{model.name}" and one.kind != ERRORS_GREW


def _shifted(model: ModelSpec, moved: Sequence[Counting]) -> int:
    """How many inputs the process moved; a condition on the model is of all of them together."""
    subjects = {one.subject for one in moved}
    if f"model/{model.name}" in subjects:
        return len(model.inputs)
    return sum(f"tag/{name}" in subjects for name in model.inputs)


def _met(model: ModelSpec, own: Evidence) -> list[str]:
    """The criteria that are met, in words."""
    criteria, met = model.retraining, []
    if own.inputs.held_ns >= criteria.shifted_for_ns:
        count = criteria.needed(len(model.inputs))
        met.append(f"at least {count} of {len(model.inputs)} inputs shifted by the process for "
                   f"{_hours(criteria.shifted_for_ns)}")
    share = own.extrapolating
    if share.span_ns >= criteria.extrapolating_over_ns and share.share >= criteria.extrapolating:
        met.append(f"{100.0 * share.share:.0f} % of scans outside of training in "
                   f"{_hours(share.span_ns)}")
    if own.outputs.held_ns >= criteria.outputs_shifted_ns:
        met.append(f"outputs shifted for {_hours(criteria.outputs_shifted_ns)} while the inputs "
                   "are as trained")
    lasts = own.erring.held_ns >= criteria.outputs_shifted_ns
    if criteria.losses and own.losses_ns and lasts:
        met.append(f"its errors grew: {own.losses.get('text') or 'the bets on them say so'}")
    return met


def _hours(span_ns: int) -> str:
    hours = span_ns / _HOUR_NS
    return f"{hours:.3g} h" if hours >= 1.0 else f"{span_ns / 1e9:.3g} s"
