"""The numeric half of the engine: samples folded by kernels into flags.

Invariants:
- the order of flags is (time, detector, row) and depends on the samples alone, not on blocks;
- every array that lasts is listed in `arrays()`, so that a snapshot is exactly those bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.core import losses_before
from agent.core.before import Before, Copy
from agent.core.flag import TRUTH, Flag
from agent.core.identity import LOSS
from agent.core.joint_lasting import joint_arrays
from agent.core.kernels import DETECTORS, TAG_DETECTORS, admission, scan, tally
from agent.core.kernels.base import TRANSITION
from agent.core.modes import Modes
from agent.core.parameters import Parameters
from agent.core.scans import GRID_MOMENTS, ModelScans, ScanState
from agent.core.seen import Seen
from agent.core.series import Series, news
from agent.core.spec import EngineSpec
from agent.core.state import FOR_EVER, Keys, Lasting
from agent.core.traces import Traces
from agent.core.truth import Truth
from agent.types import Float64, Int64, Quality


class Charts:
    """Folds tag-major series into flags; see the module's invariants.

    Attributes:
        watched_from_ns: silence counts from then on; 0 before the first sample and the first boot.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self.modes = Modes(spec)
        self.parameters = Parameters(spec)
        self.traces = Traces(len(spec.rows), len(spec.tags))
        self.watched_from_ns = 0
        self._tag_of_row = np.array([place.tag for place in spec.rows], np.int64)
        self._state = {d.name: np.zeros(len(spec.rows), d.state) for d in DETECTORS}
        self.tag_state = {d.name: np.zeros(len(spec.tags), d.state) for d in TAG_DETECTORS}
        longest = max((model.scan_ns for model in spec.models), default=1_000_000_000)
        self._admission = np.zeros(len(spec.rows), admission.STATE)
        sources = [spec.row_of_source[tag.source] for tag in spec.tags]
        self._source_of_tag = np.array(sources, np.int64)
        self._restates = any(tag.by_exception for tag in spec.tags)
        self._counts = np.zeros(len(spec.rows), tally.COUNTS)
        self._histogram = np.zeros((len(spec.rows), tally.BINS), np.int64)
        self._scans = ScanState(spec)
        self.before = Before(len(spec.rows), self._scans.outputs.rows, longest)
        self.scans = tuple(ModelScans(m, spec, self._scans) for m in range(len(spec.models)))
        self.truth = Truth(spec, self.modes.texts)

    # --- modes ------------------------------------------------------------------------------

    def take_modes(self, series: Series, time_ns: int) -> list[tuple[int, str, str]]:
        """Mode tags as of `time_ns`: a model whose mode changed is judged by that mode's baseline.

        Returns:
            (model, was, is now) of every change.
        """
        changed = self.modes.change(series, time_ns)
        for model, _, _ in changed:
            self._use_mode(model)
            self.renew(model)
        return changed

    def _use_mode(self, model: int) -> None:
        self.parameters.use_mode(model, self.modes.index(model))
        self.scans[model].use_mode(self.modes.index(model))

    # --- folding ----------------------------------------------------------------------------

    def fold(self, series: Series, since_ns: int, until_ns: int) -> list[Flag]:
        """Flags that the samples of [since, until) raise and clear, in order."""
        if self.watched_from_ns == 0 and len(series.arrival):
            self._watch_from(int(series.arrival.min()))
        flags = self._fold_tags(series, until_ns) if self.watched_from_ns else []
        admitted = self._admit(series, since_ns, until_ns)
        flags += self._fold_inputs(admitted, until_ns)
        for model, scans in enumerate(self.scans):
            masked = self.modes.masked(model, since_ns)
            flags += scans.fold(series, admitted, until_ns, masked=masked)
            flags += scans.outputs.fold(admitted, until_ns)
            flags += self.truth.gather(model, series, *scans.seen, until_ns)
        tally.tally(
            self._counts, self._histogram, self.parameters.edges, admitted.starts, admitted.value
        )
        self._count_all(series, admitted)
        self.traces.hold(series, admitted)
        # Stable, and not by `up`: a row's flags of one instant stay in the order it wrote them.
        flags.sort(key=lambda flag: (flag.time_ns, flag.rank, flag.row))
        return flags

    def _watch_from(self, time_ns: int) -> None:
        """Silence counts from here on: from the boot, or else from the first sample."""
        self.watched_from_ns = time_ns
        for state in self._of_silence():
            state["last_ns"] = time_ns

    def _of_silence(self) -> list[np.ndarray[Any, Any]]:
        """The states of the detectors whose flags time alone may raise."""
        return [self.tag_state[d.name] for d in TAG_DETECTORS if d.by_time]

    def _fold_tags(self, series: Series, until_ns: int) -> list[Flag]:
        flags: list[Flag] = []
        out = np.zeros(2 * len(series.value) + 2 * len(self.spec.tags), TRANSITION)
        for rank, detector in enumerate(TAG_DETECTORS):
            written = detector.fold(
                self.parameters.tags[detector.name], self.tag_state[detector.name], series.starts,
                until_ns, series.arrival, series.source, series.value, series.quality, out,
            )
            flags += _flags(out, written, rank, detector.name, "tag")
        return flags

    def _admit(self, series: Series, since_ns: int, until_ns: int) -> Series:
        params = self.parameters.admission
        self._hide_masked(since_ns)
        # one more row, that of a tag without samples: what masked rows are pointed at
        tag_starts = np.append(series.starts, series.starts[-1])
        room = admission.capacity(params, self._admission, tag_starts, series.arrival, until_ns)
        starts = np.zeros(len(self.spec.rows) + 1, np.int64)
        arrival, source = np.empty(room, np.int64), np.empty(room, np.int64)
        value, quality = np.empty(room, np.float64), np.empty(room, np.uint16)
        news_starts, heard = self._news(series)
        n = admission.admit(
            params, self._admission, tag_starts, until_ns,
            series.arrival, series.source, series.value, series.quality, news_starts, heard,
            starts, arrival, source, value, quality,
        )
        return Series(starts, arrival[:n], source[:n], value[:n], quality[:n])

    def _news(self, series: Series) -> tuple[Int64, Int64]:
        """When each source brought anything; only values that are restated depend on it."""
        sources = len(self.spec.row_of_source)
        if not self._restates:
            return np.zeros(sources + 1, np.int64), np.zeros(0, np.int64)
        return news(series, self._source_of_tag, sources)

    def link(self, source: str, time_ns: int, *, lost: bool) -> None:
        """A source says whether its link is lost: silence while it is tells nothing of its tags."""
        row = self.spec.row_of_source.get(source)
        if row is None:
            return
        tags = self._source_of_tag == row
        rows = tags[self._tag_of_row]
        admission.link(self.parameters.admission, self._admission, rows, time_ns, lost=lost)
        held = rows & np.array([self.spec.tags[tag].by_exception for tag in self._tag_of_row], bool)
        self._scans.held["lost"][held] = int(lost)
        for state in self._of_silence():
            back = tags & (state["lost"] == 1)
            if not lost:
                state["back_ns"][back] = time_ns
            state["lost"][tags] = int(lost)

    def _hide_masked(self, time_ns: int) -> None:
        nothing = len(self.spec.tags)
        for model, spec in enumerate(self.spec.models):
            if spec.mode_tag is None:
                continue
            masked = self.modes.masked(model, time_ns)
            for row in self.spec.charted_of(model):
                tag = self.spec.rows[row].tag
                self.parameters.admission[row]["tag"] = nothing if masked else tag
                if masked:
                    self._admission[row]["usable"] = self._admission[row]["based"] = 0

    def _fold_inputs(self, admitted: Series, until_ns: int) -> list[Flag]:
        if not self.spec.rows:
            return []
        flags: list[Flag] = []
        out = np.zeros(len(admitted.value) + 2 * len(self.spec.rows), TRANSITION)
        for index, detector in enumerate(DETECTORS):
            written = detector.fold(
                self.parameters.inputs[detector.name], self._state[detector.name],
                admitted.starts, until_ns,
                admitted.arrival, admitted.source, admitted.value, admitted.quality, out,
            )
            flags += _flags(out, written, 10 + index, detector.name, "input")
        return flags

    def counted(self) -> bool:
        """Whether the open summary window holds anything."""
        counts = self._counts
        return bool(counts["count"].any() or counts["good"].any()) or self.truth.counted()

    def holding(self) -> bool:
        """Whether silence will be filled: a value that is reported by exception is restated."""
        delays = self.parameters.admission["hold_delay_ns"]
        return bool(np.any((delays > 0) & (self._admission["usable"] == 1)))

    def _count_all(self, series: Series, admitted: Series) -> None:
        """Count every sample that came, usable or not, once, and every one that was restated."""
        per_tag = np.diff(series.starts)
        again = np.nonzero(series.quality & np.uint16(Quality.REPEATED))[0]
        if len(again):
            tag = np.searchsorted(series.starts, again, side="right") - 1
            per_tag = per_tag - np.bincount(tag, minlength=len(per_tag))
        self._counts["count"] += per_tag[self._tag_of_row]
        held = np.nonzero(admitted.quality & np.uint16(Quality.HELD))[0]
        if len(held):
            row = np.searchsorted(admitted.starts, held, side="right") - 1
            self._counts["count"] += np.bincount(row, minlength=len(self.spec.rows))

    def remember(self) -> None:
        """Take the last fold into what is looked back on; called after judgement."""
        self.truth.settle()
        self.traces.remember()
        for scans in self.scans:
            scans.remember()

    def take_tallies(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], list[Seen]]:
        """The window's counts, histograms and scans of each input; a new window starts."""
        taken = self._counts, self._histogram
        self._counts = np.zeros_like(taken[0])
        self._histogram = np.zeros_like(taken[1])
        return *taken, self._scans.beyond.take([place.model for place in self.spec.rows])

    def extrapolated(self) -> tuple[list[Seen], list[tuple[int, int]]]:
        """What each input (no output) had in the open window, and (scans, of these outside of
        training in any way) of each model ever.
        """
        beyond = self._scans.beyond
        models = [(int(one["scans"]), int(one["extrapolating"])) for one in beyond.model_count]
        seen = beyond.seen([place.model for place in self.spec.rows])
        inputs = (row for model in range(len(models)) for row in self.spec.rows_of(model))
        return [seen[row] for row in inputs], models

    # --- time ---------------------------------------------------------------------------------

    def settled_ns(self) -> int:
        """From when on, without a sample, no scan and no restated value differs from the last."""
        if self.holding():
            return FOR_EVER
        return max((scans.settled_ns() for scans in self.scans), default=0)

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew: all times move, so that nothing that counts them notices."""
        for item in [*self.modes.arrays(), *self.arrays()]:
            item.move(shift_ns)
        self.truth.move(shift_ns)
        if self.watched_from_ns:
            self.watched_from_ns += shift_ns

    def compare_anew(self) -> None:
        """The clock is another than before, by how much is not known: learn lags anew."""
        for item in self.arrays():
            item.compare_anew()

    # --- starting anew ------------------------------------------------------------------------

    def restart(self, time_ns: int) -> None:
        """The agent was away until `time_ns`: silence while it was is nobody's fault."""
        if self.watched_from_ns == 0:
            self._watch_from(time_ns)
            return
        for state in self._of_silence():
            np.maximum(state["last_ns"], time_ns, out=state["last_ns"])
        self._admission["usable"] = 0
        self.truth.restart(time_ns)
        for scans in self.scans:
            scans.restart(time_ns)

    def adopt(self, time_ns: int) -> None:
        """Tags that a snapshot did not know begin to be watched for silence at `time_ns`."""
        if self.watched_from_ns:
            for state in self._of_silence():
                last = state["last_ns"]
                last[last == 0] = time_ns

    def renew(self, model: int) -> None:
        """Forget what the detectors of one model have seen: its baseline is another."""
        rows = self.spec.charted_of(model)
        self._scans.outputs.forget(rows)
        own = (self._admission, self._counts, self._histogram, self._scans.beyond.inputs_count)
        for array in (*self._state.values(), *own):
            array[rows.start : rows.stop] = np.zeros((), array.dtype)
        self.before.forget(rows)
        self.traces.forget(rows)
        self.scans[model].renew()

    def keep(self, now: int) -> None:
        """A window ended: what charts on blocks are now may be asked for later."""
        self.before.take(now, self._state, self._scans.outputs.charts)
        losses_before.keep(self.truth, now)

    def put_back(self, row: int, copy: Copy) -> None:
        """What came to a chart row lately does not count: it is as in a copy of `before`."""
        self.before.put_back(self._state, self._scans.outputs.charts, row, copy)
        place = self.spec.rows[row]
        self.traces.forget(range(row, row + 1), range(place.tag, place.tag + 1))
        self._scans.ring[row] = 0.0
        self.scans[place.model].joint_anew()

    # --- looking in ---------------------------------------------------------------------------

    def scores(self, row: int) -> dict[str, float]:
        """Each detector's current score of a chart row."""
        return {name: float(state["score"][row]) for name, state in self._state.items()}

    def score_columns(self) -> dict[str, Float64]:
        """The same of all chart rows."""
        return {name: state["score"] for name, state in self._state.items()}

    def is_up(self, detector: str, tag: int, model: int | None) -> bool:
        """Whether a detector's flag is up right now on a tag, as an input of a model or by itself.

        Args:
            detector: its name; one that this version does not have is not up.
            tag: row of the tag, -1 for all inputs of a model together.
            model: index of the model, None for what judges a tag by itself.
        """
        if model is None:
            state = self.tag_state.get(detector)
            return state is not None and tag >= 0 and bool(state["active"][tag])
        if detector == LOSS:
            return self.truth.is_up(model, tag)
        if detector in self.scans[model].joint.flagged():
            return True
        state, outputs = self._state.get(detector), self._scans.outputs
        rows = [row for row in self.spec.charted_of(model) if self.spec.rows[row].tag == tag]
        if state is None:
            return any(outputs.is_up(detector, row) for row in rows)
        return any(bool(state["active"][row]) for row in rows)

    # --- what lasts -----------------------------------------------------------------------------

    def keys(self) -> Keys:
        """The key of each row of every axis."""
        spec = self.spec
        rows = [
            input_key(spec.models[place.model].name, spec.tags[place.tag].name)
            for place in spec.rows
        ]
        return {
            "tag": [tag.name for tag in spec.tags],
            "model": [model.name for model in spec.models],
            "input": rows, "output": [rows[row] for row in self._scans.outputs.rows],
            "group": [
                f"{scans.model.name}\n{group}"
                for scans in self.scans for group in scans.joint.groups
            ],
            TRUTH: self.truth.keys,
        }

    def arrays(self) -> list[Lasting]:
        """Everything that lasts but the modes: what a snapshot holds."""
        kept = [
            Lasting(f"input.{d.name}", "input", self._state[d.name], moments=d.moments)
            for d in DETECTORS
        ]
        kept += [
            Lasting(f"tag.{d.name}", "tag", self.tag_state[d.name], moments=d.moments)
            for d in TAG_DETECTORS
        ]
        kept += [
            Lasting("admission", "input", self._admission, moments=admission.MOMENTS),
            Lasting("counts", "input", self._counts),
            Lasting("histogram", "input", self._histogram),
            Lasting("scan.held", "input", self._scans.held, "held", moments=scan.MOMENTS),
            Lasting("scan.ring", "input", self._scans.ring, kept="scanned"),
            Lasting("scan.grid", "model", self._scans.grid, moments=GRID_MOMENTS),
            *self._scans.beyond.arrays(), *self._scans.outputs.arrays(),
            *joint_arrays(self.spec, self.scans),
        ]
        return kept + self.before.arrays() + self.traces.arrays() + self.truth.arrays()

    def resume_modes(self, time_ns: int) -> None:
        """The modes were filled from a snapshot: judge by them."""
        self.modes.resumed(time_ns)
        for model, spec in enumerate(self.spec.models):
            if spec.mode_tag is not None:
                self._use_mode(model)


def input_key(model: str, tag: str) -> str:
    """What names an input of a model in a snapshot."""
    return f"{model}\n{tag}"


def _bounded(score: float) -> float:
    """A score that JSON can carry."""
    return min(score, 1e9) if score == score else 1e9


def _flags(
    out: np.ndarray[Any, Any], written: int, rank: int, detector: str, scope: str
) -> list[Flag]:
    return [
        Flag(int(o["time_ns"]), rank, int(o["row"]), bool(o["up"]), _bounded(float(o["score"])),
             detector, scope)
        for o in out[:written]
    ]
