"""The engine: a pure fold of entries into events; reads no clock, does no I/O.

Invariants (tested for every detector):
- the same entries give the same events and the same state bytes, live, in replay, on another
  machine, compiled or not;
- cutting the same samples into other blocks changes no event; snapshot and resume change nothing;
- a bad sample never moves a detector's state.

A block sealed at T stands for everything that happened before T and after the block before it:
samples, scans, silences, timers. Windows of summaries split it; the fold does not notice.

Every turn of the fold moves time or the place in the block on (`_fold_until`), and what a gap costs
does not grow with it: scans and strides end where nothing can differ any more (`settled_ns`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.core import identity, state
from agent.core.charts import Charts
from agent.core.flag import TRUTH
from agent.core.judge import Judge
from agent.core.kept import facts_of_model, facts_of_tag, kept_of
from agent.core.kernels.base import ENGINE_TIME, Moment
from agent.core.kinds import COUNTERS, shown_unit
from agent.core.order import check_order
from agent.core.retraining import Retraining
from agent.core.retraining_request import FROM as DECISIONS
from agent.core.series import Series, TagMajor, empty_series
from agent.core.source_watch import LOST_STATES
from agent.core.spec import EngineSpec
from agent.core.summary import summary_of
from agent.core.timeline import LEAPS, Timeline, leap_of
from agent.core.truth import KINDS
from agent.core.truth_summary import summaries_of
from agent.types import Block, Command, Entry, Event, Outcome, Quality, TimeQuality

_MOST_SCANS = 4096
_LONGEST_HELD_NS = 3600 * 1_000_000_000
"""Values that are reported by exception are restated over so much time without an entry: a running
agent seals every second, so beyond that nobody watched."""


class Engine:
    """Folds entries; see the module's invariants."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = self.configured = spec
        self.charts = Charts(spec)
        self.judge = Judge(spec, self.charts)
        self.retraining = Retraining(spec, self.charts)
        self._requested: list[Event] = []  # by the windows that closed since events were told
        self.truth = self.charts.truth
        self._arrange = TagMajor(spec.tags)
        self.sequence = 0
        self.time_ns = 0
        self._window_ns = self._window_end_ns = 0
        self.texts = self.charts.modes.texts
        self.timeline = Timeline()
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
        check_order(entry, self.sequence, self.time_ns)
        events: list[Event] = []
        summaries: list[dict[str, Any]] = []
        heard = isinstance(entry, Command)
        if isinstance(entry, Command) and entry.kind in LEAPS:
            heard = self._leap(entry, events, summaries)
        first = int(entry.arrival_ns[0]) if isinstance(entry, Block) and len(entry) else None
        longest = self.time_ns + _LONGEST_HELD_NS
        if self.charts.holding() and (first or entry.sealed_ns) > longest:
            self._fold_until(longest, None, events, summaries)
            summaries += self._resume_at(first or entry.sealed_ns)
        self._fold_until(entry.sealed_ns, entry, events, summaries)
        if isinstance(entry, Command) and entry.kind == "text":
            self.texts[int(entry.data["code"])] = str(entry.data["text"])
        elif isinstance(entry, Command) and entry.kind in DECISIONS:
            events += self.retraining.command(entry.kind, entry.sealed_ns, entry.data)
        elif isinstance(entry, Command) and heard:
            self._note_link(entry)
            if entry.kind in KINDS:
                told = dict(entry.data)
                events += self._judged(
                    self.truth.told(entry.kind, entry.sealed_ns, told, self.judge.conditions)
                )
            events += self._judged(
                self.judge.command(entry.kind, entry.sealed_ns, dict(entry.data), entry.sequence)
            )
            events += self._settled(entry.sealed_ns)
        self.sequence = entry.sequence
        return Outcome(tuple(events), tuple(summaries))

    def _note_link(self, told: Command) -> None:
        """A source says whether its link is lost or back."""
        state = str(told.data.get("state", ""))
        if told.kind == "source_state" and (state in LOST_STATES or state == "live"):
            name = str(told.data.get("source", ""))
            self.charts.link(name, told.sealed_ns, lost=state in LOST_STATES)

    def _fold_until(
        self, until_ns: int, entry: Entry | None, events: list[Event],
        summaries: list[dict[str, Any]],
    ) -> None:
        """Fold all that happened before `until_ns`, with the samples of the entry if it is a block.

        A boundary lies after the time judged so far, or changes a mode at it, after which the
        samples of that time are not looked at again: so this ends.
        """
        block = entry if isinstance(entry, Block) else None
        at = 0
        while (found := self._next_boundary(block, at, until_ns)) is not None:
            boundary, modes = found
            stop = int(np.searchsorted(block.arrival_ns, boundary)) if block else 0
            events += self._advance(block, at, stop, boundary)
            if modes is not None:
                changes, closed = self._change_modes(modes, boundary)
                events += self._judged(changes)
                summaries += closed
            elif boundary >= self._window_end_ns:
                summaries += self._close_window(boundary)
            at = stop
        events += self._advance(block, at, len(block) if block else 0, until_ns)

    def _leap(
        self, told: Command, events: list[Event], summaries: list[dict[str, Any]]
    ) -> bool:
        """Engine time is set anew, or nobody watched for a while; see `agent.core.timeline`.

        Returns:
            Whether judgement begins anew: a clock that was set changes no verdict.
        """
        leap = leap_of(told, self.timeline, self.time_ns)
        if leap.before_ns > self.time_ns:
            self._fold_until(leap.before_ns, None, events, summaries)
        if leap.shift_ns:
            self._move(leap.shift_ns)
        if not leap.compared:
            self.charts.compare_anew()
        if leap.anew:
            summaries += self._resume_at(told.sealed_ns)
        self.time_ns = told.sealed_ns
        events += self.timeline.take(told, leap)
        return leap.anew

    def _resume_at(self, now: int) -> list[dict[str, Any]]:
        """Nobody watched until `now`: an open window that ended meanwhile is closed."""
        closed: list[dict[str, Any]] = []
        if self._window_end_ns <= now:
            if self.charts.counted():
                closed = self._close_window(self._window_end_ns)
            self._open_window(now // self.spec.summary_ns * self.spec.summary_ns)
        self.charts.restart(now)
        self.judge.restart(self.time_ns, now)
        self.time_ns = now
        return closed

    def _move(self, shift_ns: int) -> None:
        """All times of the state move by so much, so that no span between them changes."""
        if shift_ns < 0:
            self.judge.conditions.turns += 1
        self.charts.move(shift_ns)
        self.judge.move(shift_ns)
        self.retraining.move(shift_ns)
        for item in self._own():
            item.move(shift_ns)
        self.time_ns += shift_ns
        self._window_ns += shift_ns
        self._window_end_ns = min(
            self._window_end_ns + shift_ns, self._window_after(self.time_ns)
        )

    def _next_boundary(
        self, block: Block | None, at: int, sealed_ns: int
    ) -> tuple[int, Series | None] | None:
        """Where the fold must stop before `sealed_ns`: (time, the rest where modes change there).

        The fold stops where a summary window ends and where a model's mode, or its masking, ends;
        and in a long silence at strides, so that memory does not grow with it, until nothing
        differs any more.
        """
        start = int(block.arrival_ns[at]) if block is not None and at < len(block) else sealed_ns
        self._move_window(start)
        here = self.time_ns or start
        stride = here + self._stride_ns
        if here >= self.charts.settled_ns():
            stride = max(stride, start)  # nothing differs until the next sample
        first = max(min(self._window_end_ns, stride), self.time_ns)
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
        self._window_ns, self._window_end_ns = start_ns, self._window_after(start_ns)

    def _window_after(self, time_ns: int) -> int:
        """Where the window of the clock ends that holds `time_ns`."""
        length = self.spec.summary_ns
        return time_ns // length * length + length

    def _advance(self, block: Block | None, at: int, stop: int, until_ns: int) -> list[Event]:
        series = self._series(block, at, stop)
        flags = self.charts.fold(series, self.time_ns, until_ns)
        self._note_latest(series)
        events = self._judged(self.judge.run(flags, until_ns))
        self.charts.remember()
        self.time_ns = until_ns
        return events

    def _judged(self, events: list[Event]) -> list[Event]:
        """What was told by now, in order: requests of windows that closed, then these events."""
        self.retraining.take(events)
        for found in self.judge.upstream.take_fresh():
            self.retraining.watch.reach_back(*found)
        requested, self._requested = self._requested, []
        return requested + events

    def _settled(self, now: int) -> list[Event]:
        """Charts whose inputs are as agreed again go on as they were before."""
        self.retraining.take(events := self.judge.settle(now))
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
        # What came again is shown as what it was the first time.
        self._last["quality"][has] = series.quality[place] & ~np.uint16(Quality.REPEATED)

    def _close_window(self, end_ns: int) -> list[dict[str, Any]]:
        start_ns = self._window_ns
        self._open_window(end_ns)
        self._requested += self._settled(end_ns)
        self.charts.keep(end_ns)
        counts, histogram, seen = self.charts.take_tallies()
        self._requested += self.retraining.close(start_ns, end_ns, counts, seen)
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
                    seen[row], unit=shown_unit(item.unit, item.kind),
                    per_hour=item.kind in COUNTERS,
                )
            )
        return made + summaries_of(self.spec, self.truth, start_ns, end_ns)

    # --- looking in -----------------------------------------------------------------------------

    def latest(self) -> Any:
        """The last sample of each tag (structured: value, arrival_ns, source_ns, quality)."""
        return self._last

    @property
    def time_quality(self) -> TimeQuality:
        """How far engine time is to be believed."""
        return self.timeline.quality

    # --- what lasts -----------------------------------------------------------------------------

    def _lasting(self) -> list[state.Lasting]:
        return [*self.charts.arrays(), *self._own()]

    def _own(self) -> list[state.Lasting]:
        moments = {"arrival_ns": ENGINE_TIME, "source_ns": Moment(beside="arrival_ns")}
        last = state.Lasting("last", "tag", self._last, moments=moments)
        return [last, *self.retraining.arrays()]

    def snapshot(self) -> bytes:
        """The whole state; equal states give equal bytes."""
        arrays = [*self.charts.modes.arrays(), *self._lasting()]
        return state.dump(arrays, self.charts.keys(), self._facts())

    def _facts(self) -> dict[str, Any]:
        """All state but the arrays, JSON-ready."""
        return {
            "sequence": self.sequence, "time_ns": self.time_ns,
            "window_ns": [self._window_ns, self._window_end_ns],
            "watched_from_ns": self.charts.watched_from_ns, "timeline": self.timeline.to_json(),
            "judge": self.judge.to_json(), "truth": self.truth.to_json(),
            "retraining": self.retraining.to_json(),
            "texts": {str(code): text for code, text in sorted(self.texts.items())},
            "models": {model.name: facts_of_model(model) for model in self.spec.models},
            "tags": {tag.name: facts_of_tag(tag) for tag in self.spec.tags},
        }

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
            self.__init__(self.configured)  # type: ignore[misc]  # as if nothing had been tried
            raise state.damaged(error) from error

    def _take(self, saved: state.Saved, watch_from_ns: int) -> list[Event]:
        facts = saved.facts
        kept = kept_of(self.spec, facts)
        self.sequence, self.time_ns = int(facts["sequence"]), int(facts["time_ns"])
        self._window_ns, self._window_end_ns = map(int, facts["window_ns"])
        length = self.spec.summary_ns
        # Windows may have become shorter: the open one ends soon, and began when it did.
        self._window_end_ns = min(self._window_end_ns, self.time_ns // length * length + length)
        self.charts.watched_from_ns = int(facts["watched_from_ns"])
        self.timeline = Timeline.from_json(facts.get("timeline", {}))
        self.texts.clear()
        self.texts.update({int(code): text for code, text in facts["texts"].items()})
        # The joint charts' arrays are those of the present mode, so modes come first.
        fresh = saved.fill(self.charts.modes.arrays(), self.charts.keys(), kept)
        self.charts.resume_modes(self.time_ns)
        keys = self.charts.keys()
        kept["group"] = {
            key for key in keys["group"] if key.partition("\n")[0] in kept["model"]
        }
        fresh += saved.fill(self._lasting(), keys, kept)
        self.truth.from_json(facts.get("truth", {}), kept[TRUTH])
        self.judge.from_json(facts["judge"], self.time_ns, kept)
        self.retraining.from_json(
            facts.get("retraining", {}), self.time_ns, kept, self.judge.conditions.active.values()
        )
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
