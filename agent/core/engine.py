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

from typing import Any

import numpy as np

from agent.core import snapshot
from agent.core.charts import Charts
from agent.core.judge import Judge
from agent.core.series import Series, TagMajor, empty_series
from agent.core.spec import EngineSpec
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
        self._window_ns = 0
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
            elif boundary == self._window_end():
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
        first = min(self._window_end(), (self.time_ns or start) + self._stride_ns)
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
            events.append(Event("mode", time_ns, f"model/{name}", {"mode": now, "was": was}))
            events += self.judge.renew(name, time_ns)
        return events, closed

    def _move_window(self, start_ns: int) -> None:
        """A window that holds nothing moves on to where the next sample, or restated value, is."""
        if not self.charts.counted():
            length = self.spec.summary_ns
            if self.charts.holding():
                start_ns = self.time_ns
            self._window_ns = max(self._window_ns, start_ns // length * length)

    def _window_end(self) -> int:
        length = self.spec.summary_ns
        return self._window_ns // length * length + length

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
        start_ns, self._window_ns = self._window_ns, end_ns
        counts, histogram = self.charts.take_tallies()
        made = []
        for row, place in enumerate(self.charts.rows):
            if counts[row]["count"] == 0 and counts[row]["good"] == 0:
                continue
            model = self.spec.models[place.model]
            item = self.charts.input_baseline(row)
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

    def _keys(self) -> dict[str, list[str]]:
        return {
            "row": [
                f"{self.spec.models[place.model].name}/{self.spec.tags[place.tag].name}"
                for place in self.charts.rows
            ],
            "tag": [tag.name for tag in self.spec.tags],
        }

    def _lasting(self) -> list[snapshot.Lasting]:
        return [*self.charts.arrays(), snapshot.Lasting("last", "tag", self._last)]

    def snapshot(self) -> bytes:
        """The whole state; equal states give equal bytes."""
        facts = {
            "sequence": self.sequence, "time_ns": self.time_ns, "window_ns": self._window_ns,
            "judge": self.judge.to_json(),
            "texts": {str(code): text for code, text in sorted(self.texts.items())},
            "baselines": {model.name: model.baseline.digest for model in self.spec.models},
        }
        return snapshot.dump(self._lasting(), self._keys(), facts)

    def resume(self, data: bytes, watch_from_ns: int = 0) -> list[Event]:
        """Take a snapshot's state; an event per part that starts anew.

        Args:
            data: the snapshot.
            watch_from_ns: tags that it does not know were not read before this time (nor before
                the snapshot's), so their silence until then is nobody's fault.

        Raises:
            StoreError: not a snapshot of this engine version; the state is as before.
        """
        facts, fresh = snapshot.load(data, self._lasting(), self._keys())
        if self.charts.modes.used:
            # The joint charts' arrays are those of the mode, which only the first pass tells.
            self.charts.settle_modes()
            facts, fresh = snapshot.load(data, self._lasting(), self._keys())
        self.sequence, self.time_ns = int(facts["sequence"]), int(facts["time_ns"])
        self._window_ns = int(facts["window_ns"])
        self.judge.from_json(facts["judge"], self.time_ns)
        for part in fresh:
            self.judge.renew_part(part, self.time_ns)
        self.charts.adopt(max(self.time_ns, watch_from_ns))
        self.texts = {int(code): text for code, text in facts["texts"].items()}
        for index, model in enumerate(self.spec.models):
            if facts["baselines"].get(model.name) != model.baseline.digest:
                # States are in units of the old baseline: this model alone warms up again.
                self.charts.renew(index)
                self.judge.unassess({model.name}, self.time_ns)
                self.judge.renew(model.name, self.time_ns)
                fresh.append(f"model {model.name}")
        return [
            Event("engine", self.time_ns, "gateway", {"change": "warming up", "part": name})
            for name in fresh
        ]
