"""The engine: a pure fold of entries into events; reads no clock, does no I/O.

Invariants (tested for every detector):
- the same entries give the same events and the same state bytes, live, in replay, on another
  machine, compiled or not;
- cutting the same samples into other blocks changes no event; snapshot and resume change nothing;
- a bad sample never moves a detector's state.

A block sealed at T stands for everything that happened before T and after the block before it:
samples, scans, silences, timers. Windows of summaries split it; the fold does not notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agent.core import identity, state
from agent.core.charts import Charts, input_key
from agent.core.judge import Judge
from agent.core.series import Series, TagMajor, empty_series
from agent.core.spec import EngineSpec, ModelSpec, TagSpec
from agent.core.summary import summary_of
from agent.errors import FieldwardenError
from agent.types import Block, Command, Entry, Event, Outcome

_MOST_SCANS = 4096


class Engine:
    """Folds entries; see the module's invariants."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self.charts = Charts(spec)
        self.judge = Judge(spec, self.charts)
        self._arrange = TagMajor(spec.tags)
        self.sequence = 0
        self.time_ns = 0
        self._window_ns = self._window_end_ns = 0
        self.texts: dict[int, str] = {}
        self._stride_ns = _MOST_SCANS * min((m.scan_ns for m in spec.models), default=1 << 40)
        tags = len(spec.tags)
        self._last = np.zeros(
            tags, [("value", "f8"), ("arrival_ns", "i8"), ("source_ns", "i8"), ("quality", "i8")]
        )

    # --- the fold -----------------------------------------------------------------------------

    def step(self, entry: Entry) -> Outcome:
        """Fold one entry.

        Raises:
            FieldwardenError: the entry is out of order; the state is as before.
        """
        self._in_order(entry)
        events: list[Event] = []
        summaries: list[dict[str, Any]] = []
        block = entry if isinstance(entry, Block) else None
        if isinstance(entry, Command) and entry.kind == "boot":
            self.charts.restart(entry.sealed_ns)
            self.judge.restart(self.time_ns, entry.sealed_ns)
            self.time_ns = entry.sealed_ns
        at = 0
        while (found := self._next_boundary(block, at, entry.sealed_ns)) is not None:
            boundary, modes = found
            stop = int(np.searchsorted(block.arrival_ns, boundary)) if block else 0
            events += self._advance(block, at, stop, boundary)
            if modes is not None:
                changes, closed = self._change_modes(modes, boundary)
                events += changes
                summaries += closed
            elif boundary == self._window_end_ns:
                summaries += self._close_window(boundary)
            at = stop
        events += self._advance(block, at, len(block) if block else 0, entry.sealed_ns)
        if isinstance(entry, Command) and entry.kind == "text":
            self.texts[int(entry.data["code"])] = str(entry.data["text"])
        elif isinstance(entry, Command):
            events += self.judge.command(entry.kind, entry.sealed_ns, dict(entry.data))
        self.sequence = entry.sequence
        return Outcome(tuple(events), tuple(summaries))

    def _in_order(self, entry: Entry) -> None:
        first = entry.sealed_ns
        if isinstance(entry, Block) and len(entry):
            first = int(entry.arrival_ns[0])
            if int(entry.arrival_ns[-1]) >= entry.sealed_ns or bool(
                (entry.arrival_ns[1:] < entry.arrival_ns[:-1]).any()
            ):
                raise FieldwardenError(
                    "folding entry", str(entry.sequence),
                    "its arrival times decrease, or reach the time it was sealed at",
                    "a block holds what arrived before it was sealed, in order",
                )
        if entry.sequence <= self.sequence or first < self.time_ns:
            raise FieldwardenError(
                "folding entry", str(entry.sequence),
                f"it lies before entry {self.sequence} or before the time judged already",
                "entries are folded once and in the journal's order",
            )

    def _next_boundary(
        self, block: Block | None, at: int, sealed_ns: int
    ) -> tuple[int, Series | None] | None:
        """Where the fold must stop before `sealed_ns`: (time, the rest where modes change there).

        The fold stops where a summary window ends and where a model's mode, or its masking, ends;
        and in a long silence at strides, so that memory does not grow with it.
        """
        start = int(block.arrival_ns[at]) if block is not None and at < len(block) else sealed_ns
        self._move_window(start)
        first = min(self._window_end_ns, (self.time_ns or start) + self._stride_ns)
        modes = self.charts.modes
        if not modes.used:
            return (first, None) if first <= sealed_ns else None
        rest = self._series(block, at, len(block) if block else 0)
        change = min(modes.next_change(rest), modes.next_unmasking(self.time_ns))
        if min(first, change) > sealed_ns:
            return None
        return (first, None) if first < change else (change, rest)

    def _change_modes(
        self, rest: Series, time_ns: int
    ) -> tuple[list[Event], list[dict[str, Any]]]:
        """Modes as of `time_ns`; what was summed so far is closed, for it is on another scale."""
        closed = self._close_window(time_ns) if self.charts.modes.changes_at(rest, time_ns) else []
        events = []
        for model, was, now in self.charts.take_modes(rest, time_ns):
            name = self.spec.models[model].name
            told = {"mode": now, "was": was}
            events.append(Event("mode", time_ns, str(identity.model(name)), told))
            events += self.judge.renew(name, time_ns)
        return events, closed

    def _move_window(self, start_ns: int) -> None:
        """A window that holds nothing moves on to where the next sample, or restated value, is."""
        if not self.charts.counted():
            length = self.spec.summary_ns
            if self.charts.holding():
                start_ns = self.time_ns
            self._open_window(max(self._window_ns, start_ns // length * length))

    def _open_window(self, start_ns: int) -> None:
        """A window from here to where the clock's next one begins."""
        length = self.spec.summary_ns
        self._window_ns, self._window_end_ns = start_ns, start_ns // length * length + length

    def _advance(self, block: Block | None, at: int, stop: int, until_ns: int) -> list[Event]:
        series = self._series(block, at, stop)
        flags = self.charts.fold(series, self.time_ns, until_ns)
        self._note_latest(series)
        events = self.judge.run(flags, until_ns)
        self.charts.remember()
        self.time_ns = until_ns
        return events

    def _series(self, block: Block | None, at: int, stop: int) -> Series:
        if block is None or at == stop:
            return empty_series(len(self.spec.tags))
        if (at, stop) != (0, len(block)):
            block = Block(
                block.sequence, block.sealed_ns, block.tag[at:stop], block.source_ns[at:stop],
                block.arrival_ns[at:stop], block.value[at:stop], block.quality[at:stop],
            )
        return self._arrange.arrange(block)

    def _note_latest(self, series: Series) -> None:
        has = np.nonzero(np.diff(series.starts))[0]
        place = series.starts[has + 1] - 1
        self._last["value"][has] = series.value[place]
        self._last["arrival_ns"][has] = series.arrival[place]
        self._last["source_ns"][has] = series.source[place]
        self._last["quality"][has] = series.quality[place]

    def _close_window(self, end_ns: int) -> list[dict[str, Any]]:
        start_ns = self._window_ns
        self._open_window(end_ns)
        counts, histogram = self.charts.take_tallies()
        made = []
        for row, place in enumerate(self.spec.rows):
            if counts[row]["count"] == 0 and counts[row]["good"] == 0:
                continue
            model = self.spec.models[place.model]
            item = self.charts.parameters.baseline(row)
            made.append(
                summary_of(
                    model.name, self.spec.tags[place.tag].name, model.baseline.digest,
                    item.centre, item.scale, start_ns, end_ns, counts[row], histogram[row],
                )
            )
        return made

    # --- looking in -----------------------------------------------------------------------------

    def latest(self) -> Any:
        """The last sample of each tag (structured: value, arrival_ns, source_ns, quality)."""
        return self._last

    # --- what lasts -----------------------------------------------------------------------------

    def _lasting(self) -> list[state.Lasting]:
        return [*self.charts.arrays(), state.Lasting("last", "tag", self._last)]

    def snapshot(self) -> bytes:
        """The whole state; equal states give equal bytes."""
        facts = {
            "sequence": self.sequence, "time_ns": self.time_ns,
            "window_ns": [self._window_ns, self._window_end_ns],
            "watched_from_ns": self.charts.watched_from_ns,
            "judge": self.judge.to_json(),
            "texts": {str(code): text for code, text in sorted(self.texts.items())},
            "models": {model.name: _facts_of_model(model) for model in self.spec.models},
            "tags": {tag.name: _facts_of_tag(tag) for tag in self.spec.tags},
        }
        arrays = [*self.charts.modes.arrays(), *self._lasting()]
        return state.dump(arrays, self.charts.keys(), facts)

    def resume(self, data: bytes, watch_from_ns: int = 0) -> list[Event]:
        """Take a snapshot's state, of whatever configuration; an event per part that starts anew.

        What stayed goes on: a tag of the same source, unit and interval, a model with the same
        baseline, scan and mode tag. What is new or changed starts as new, and what was found of it
        is forgotten.

        Args:
            data: the snapshot.
            watch_from_ns: tags that it does not know were not read before this time (nor before
                the snapshot's), so their silence until then is nobody's fault.

        Raises:
            StoreError: damaged, or not a snapshot of this engine version; the state is new.
        """
        saved = state.read(data)
        try:
            return self._take(saved, watch_from_ns)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            self.__init__(self.spec)  # type: ignore[misc]  # as if nothing had been tried
            raise state.damaged(error) from error

    def _take(self, saved: state.Saved, watch_from_ns: int) -> list[Event]:
        facts = saved.facts
        kept = _kept(self.spec, facts)
        self.sequence, self.time_ns = int(facts["sequence"]), int(facts["time_ns"])
        self._window_ns, self._window_end_ns = map(int, facts["window_ns"])
        length = self.spec.summary_ns
        # Windows may have become shorter: the open one ends soon, and began when it did.
        self._window_end_ns = min(self._window_end_ns, self.time_ns // length * length + length)
        self.charts.watched_from_ns = int(facts["watched_from_ns"])
        self.texts = {int(code): text for code, text in facts["texts"].items()}
        # The joint charts' arrays are those of the present mode, so modes come first.
        fresh = saved.fill(self.charts.modes.arrays(), self.charts.keys(), kept)
        self.charts.resume_modes(self.time_ns)
        keys = self.charts.keys()
        kept["group"] = {
            key for key in keys["group"] if key.partition("\n")[0] in kept["model"]
        }
        fresh += saved.fill(self._lasting(), keys, kept)
        self.judge.from_json(facts["judge"], self.time_ns, kept)
        self.charts.adopt(max(self.time_ns, watch_from_ns))
        fresh += [f"model {m.name}" for m in self.spec.models if m.name not in kept["model"]]
        fresh += [
            f"tag {tag.name}" for tag in self.spec.tags
            if tag.name in facts["tags"] and tag.name not in kept["tag"]
        ]
        return [
            Event("engine", self.time_ns, "gateway", {"change": "warming up", "part": name})
            for name in fresh
        ]


def _facts_of_tag(tag: TagSpec) -> list[Any]:
    """What must be the same for a tag's state to go on."""
    return [tag.source, tag.unit, tag.interval_ns, tag.by_exception]


def _facts_of_model(model: ModelSpec) -> dict[str, Any]:
    """What must be the same for a model's state to go on."""
    return {
        "baseline": model.baseline.digest, "scan_ns": model.scan_ns, "mode_tag": model.mode_tag,
    }


def _kept(spec: EngineSpec, facts: Mapping[str, Any]) -> dict[str, set[str]]:
    """Which keys of a snapshot still mean the same, by the name of a set (see `Lasting.kept`).

    `tag`: of the same source, unit and interval. `model`: the same baseline, scan and mode tag, and
    all its inputs such tags. `mode`: models whose mode tag is one. `input`: such a tag of a model
    with the same baseline. `held`: such a tag of whatever model, for values in the tag's unit.
    `scanned`: all inputs of a model that is kept, for what is of whole scans.
    """
    tags = {tag.name for tag in spec.tags if facts["tags"].get(tag.name) == _facts_of_tag(tag)}
    same = {
        m.name for m in spec.models
        if facts["models"].get(m.name) == _facts_of_model(m)
        and (m.mode_tag is None or m.mode_tag in tags)  # else its mode is not known any more
    }
    modes = {
        m.name for m in spec.models
        if m.mode_tag in tags and facts["models"].get(m.name, {}).get("mode_tag") == m.mode_tag
    }
    whole = {m.name for m in spec.models if m.name in same and tags.issuperset(m.inputs)}
    places = [(spec.models[place.model].name, spec.tags[place.tag].name) for place in spec.rows]
    return {
        "tag": tags, "mode": modes, "model": whole,
        "held": {input_key(model, tag) for model, tag in places if tag in tags},
        "input": {input_key(model, tag) for model, tag in places if tag in tags and model in same},
        "scanned": {input_key(model, tag) for model, tag in places if model in whole},
    }
