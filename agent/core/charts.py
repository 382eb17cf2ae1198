"""The numeric half of the engine: arrays of parameters and states, folded by kernels into flags.

Invariants:
- the order of flags is (time, detector, row) and depends on the samples alone, not on blocks;
- every array that lasts is listed in `arrays()`, so that a snapshot is exactly those bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.core.baseline import InputBaseline
from agent.core.flag import Flag
from agent.core.kernels import DETECTORS, TAG_DETECTORS, admission, late, tally, trace
from agent.core.kernels.base import TRANSITION, Detector
from agent.core.modes import Modes
from agent.core.scans import ModelScans
from agent.core.series import Series, without_lost
from agent.core.snapshot import Lasting
from agent.core.spec import EngineSpec, TagSpec
from agent.types import Float64, Quality

_LATE_NS = 10_000_000_000
_LATE_INTERVALS = 10


@dataclass(frozen=True, slots=True)
class ChartRow:
    """One input of one model, the unit that detectors judge."""

    model: int
    position: int
    tag: int


class Charts:
    """Folds tag-major series into flags; see the module's invariants."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self._tag_row = {tag.name: row for row, tag in enumerate(spec.tags)}
        self.rows = tuple(
            ChartRow(m, position, self._tag_row[name])
            for m, model in enumerate(spec.models)
            for position, name in enumerate(model.inputs)
        )
        self.modes = Modes(spec)
        self._tag_of_row = np.array([place.tag for place in self.rows], np.int64)
        self._bank = {detector.name: self._params(detector) for detector in DETECTORS}
        self._state = {d.name: np.zeros(len(self.rows), d.state) for d in DETECTORS}
        self._tag_params = {d.name: self._tag_parameters(d) for d in TAG_DETECTORS}
        self._tag_state = {d.name: np.zeros(len(spec.tags), d.state) for d in TAG_DETECTORS}
        self._admission = self._admission_params()
        self._admission_state = np.zeros(len(self.rows), admission.STATE)
        self._counts = np.zeros(len(self.rows), tally.COUNTS)
        self._histogram = np.zeros((len(self.rows), tally.BINS), np.int64)
        self._edges = self._standard_edges()
        self._trace = np.zeros(len(self.rows), trace.STATE)
        self._fine = np.zeros((len(self.rows), trace.FINE))
        self._coarse = np.zeros((len(self.rows), trace.COARSE))
        self._raw_trace = np.zeros(len(spec.tags), trace.STATE)
        self._raw = np.zeros((len(spec.tags), trace.FINE))
        self._raw_coarse = np.zeros((len(spec.tags), trace.COARSE))
        self.scans = tuple(
            ModelScans(index, model, self._tag_row, spec.tag_of)
            for index, model in enumerate(spec.models)
        )
        self._started = np.zeros(1, np.int64)
        self._all: Series | None = None
        self._admitted: Series | None = None

    # --- parameters -----------------------------------------------------------------------

    def input_baseline(self, row: int) -> InputBaseline:
        """The `InputBaseline` of a chart row in its model's current mode."""
        place = self.rows[row]
        model = self.spec.models[place.model]
        return model.baseline.modes[self.modes.index(place.model)].inputs[place.position]

    def _params(self, detector: Detector) -> np.ndarray[Any, Any]:
        params = np.zeros(len(self.rows), detector.params)
        self._fill_params(detector, params, range(len(self.rows)))
        return params

    def _fill_params(
        self, detector: Detector, params: np.ndarray[Any, Any], rows: Iterable[int]
    ) -> None:
        for row in rows:
            values = self.input_baseline(row).detectors.get(detector.name)
            for name in detector.params.names or ():
                params[row][name] = detector.disabled[name] if values is None else values[name]

    def _tag_parameters(self, detector: Detector) -> np.ndarray[Any, Any]:
        params = np.zeros(len(self.spec.tags), detector.params)
        for name, value in detector.disabled.items():
            params[name] = value
        if detector.name == "missing":
            params["max_silence_ns"] = [tag.max_silence_ns for tag in self.spec.tags]
        if detector.name == "bad":
            # A tag that reports changes only may send one good value and then none for hours.
            clear = params["clear"]
            clear[[tag.by_exception for tag in self.spec.tags]] = 1
        if detector.name == "pace":
            params["interval_ns"] = [
                0 if tag.by_exception else tag.interval_ns for tag in self.spec.tags
            ]
        if detector.name == "late":
            params["limit_ns"] = [_late_limit(tag) for tag in self.spec.tags]
        return params

    def _admission_params(self) -> np.ndarray[Any, Any]:
        params = np.zeros(len(self.rows), admission.PARAMS)
        self._fill_admission(params, range(len(self.rows)))
        return params

    def _fill_admission(self, params: np.ndarray[Any, Any], rows: Iterable[int]) -> None:
        for row in rows:
            place = self.rows[row]
            tag = self.spec.tags[place.tag]
            item = self.input_baseline(row)
            longest = max(tag.interval_ns, item.interval_ns, tag.report_ns)
            delay = 2 * longest if tag.by_exception else 0
            params[row] = (place.tag, item.centre, 1.0 / item.scale, item.interval_ns, delay)

    def _standard_edges(self) -> Float64:
        edges = np.full((len(self.rows), tally.BINS - 1), np.inf)
        self._fill_edges(edges, range(len(self.rows)))
        return edges

    def _fill_edges(self, edges: Float64, rows: Iterable[int]) -> None:
        for row in rows:
            edges[row] = np.inf
            item = self.input_baseline(row)
            inner = np.asarray(item.edges, np.float64)[: tally.BINS - 1]
            edges[row, : len(inner)] = (inner - item.centre) / item.scale

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
        """Load the parameters of a model's current mode."""
        rows = [row for row, place in enumerate(self.rows) if place.model == model]
        for detector in DETECTORS:
            self._fill_params(detector, self._bank[detector.name], rows)
        self._fill_admission(self._admission, rows)
        self._fill_edges(self._edges, rows)
        self.scans[model].use_mode(self.modes.index(model))

    def settle_modes(self) -> None:
        """Load every model's parameters, after a snapshot was read."""
        for model, spec in enumerate(self.spec.models):
            if spec.mode_tag is not None:
                self._use_mode(model)

    # --- folding --------------------------------------------------------------------------

    def fold(self, series: Series, since_ns: int, until_ns: int) -> list[Flag]:
        """Flags that the samples of [since, until) raise and clear, in order."""
        if self._started[0] == 0 and len(series.arrival):
            self._start(int(series.arrival.min()))
        flags = self._fold_tags(series, until_ns) if self._started[0] else []
        admitted = self._admit(series, since_ns, until_ns)
        flags += self._fold_inputs(admitted, until_ns)
        for model, scans in enumerate(self.scans):
            masked = self.modes.masked(model, since_ns)
            flags += scans.fold(series, until_ns, masked=masked)
        tally.tally(
            self._counts, self._histogram, self._edges, admitted.starts, admitted.value
        )
        self._count_all(series, admitted)
        self._all, self._admitted = without_lost(series), admitted
        # Stable, and not by `up`: a row's flags of one instant stay in the order it wrote them.
        flags.sort(key=lambda flag: (flag.time_ns, flag.rank, flag.row))
        return flags

    def _start(self, time_ns: int) -> None:
        """Silence counts from here on: from the boot, or else from the first sample."""
        self._started[0] = time_ns
        self._tag_state["missing"]["last_ns"] = time_ns

    def _fold_tags(self, series: Series, until_ns: int) -> list[Flag]:
        flags: list[Flag] = []
        out = np.zeros(2 * len(series.value) + 2 * len(self.spec.tags), TRANSITION)
        for rank, detector in enumerate(TAG_DETECTORS):
            written = detector.fold(
                self._tag_params[detector.name], self._tag_state[detector.name], series.starts,
                until_ns, series.arrival, series.source, series.value, series.quality, out,
            )
            flags += _flags(out, written, rank, detector.name, "tag")
        return flags

    def _admit(self, series: Series, since_ns: int, until_ns: int) -> Series:
        self._hide_masked(since_ns)
        # one more row, that of a tag without samples: what masked rows are pointed at
        tag_starts = np.append(series.starts, series.starts[-1])
        room = admission.capacity(
            self._admission, self._admission_state, tag_starts, series.arrival, until_ns
        )
        starts = np.zeros(len(self.rows) + 1, np.int64)
        arrival, source = np.empty(room, np.int64), np.empty(room, np.int64)
        value, quality = np.empty(room, np.float64), np.empty(room, np.uint16)
        n = admission.admit(
            self._admission, self._admission_state, tag_starts, until_ns,
            series.arrival, series.source, series.value, series.quality,
            starts, arrival, source, value, quality,
        )
        return Series(starts, arrival[:n], source[:n], value[:n], quality[:n])

    def _hide_masked(self, time_ns: int) -> None:
        nothing = len(self.spec.tags)
        for model, spec in enumerate(self.spec.models):
            if spec.mode_tag is None:
                continue
            masked = self.modes.masked(model, time_ns)
            for row, place in enumerate(self.rows):
                if place.model == model:
                    self._admission[row]["tag"] = nothing if masked else place.tag
                    if masked:
                        self._admission_state[row]["usable"] = 0

    def _fold_inputs(self, admitted: Series, until_ns: int) -> list[Flag]:
        if not self.rows:
            return []
        flags: list[Flag] = []
        out = np.zeros(len(admitted.value) + 2 * len(self.rows), TRANSITION)
        for index, detector in enumerate(DETECTORS):
            written = detector.fold(
                self._bank[detector.name], self._state[detector.name], admitted.starts, until_ns,
                admitted.arrival, admitted.source, admitted.value, admitted.quality, out,
            )
            flags += _flags(out, written, 10 + index, detector.name, "input")
        return flags

    def counted(self) -> bool:
        """Whether the open summary window holds anything."""
        return bool(self._counts["count"].any() or self._counts["good"].any())

    def holding(self) -> bool:
        """Whether silence will be filled: a value that is reported by exception is restated."""
        state = self._admission_state
        return bool(np.any((self._admission["hold_delay_ns"] > 0) & (state["usable"] == 1)))

    def restart(self, time_ns: int) -> None:
        """The agent was away until `time_ns`: silence while it was is nobody's fault."""
        if self._started[0] == 0:
            self._start(time_ns)
            return
        last = self._tag_state["missing"]["last_ns"]
        np.maximum(last, time_ns, out=last)
        self._admission_state["usable"] = 0
        for scans in self.scans:
            scans.restart(time_ns)

    def adopt(self, time_ns: int) -> None:
        """Tags that a snapshot did not know begin to be watched for silence at `time_ns`."""
        last = self._tag_state["missing"]["last_ns"]
        if self._started[0]:
            last[last == 0] = time_ns

    def renew(self, model: int) -> None:
        """Forget what the detectors of one model have seen: its baseline is another."""
        rows = [row for row, place in enumerate(self.rows) if place.model == model]
        for array in (*self._state.values(), self._admission_state, self._counts,
                      self._histogram, self._trace, self._fine, self._coarse):
            array[rows] = np.zeros((), array.dtype)
        self.scans[model].renew()

    def _count_all(self, series: Series, admitted: Series) -> None:
        """Count every sample that came, usable or not, and every one that was restated."""
        per_tag = np.diff(series.starts)
        self._counts["count"] += per_tag[self._tag_of_row]
        held = np.nonzero(admitted.quality & np.uint16(Quality.HELD))[0]
        if len(held):
            row = np.searchsorted(admitted.starts, held, side="right") - 1
            self._counts["count"] += np.bincount(row, minlength=len(self.rows))

    def remember(self) -> None:
        """Take the last fold into the trace; called after judgement."""
        if self._all is None or self._admitted is None:
            return
        forever = np.iinfo(np.int64).max
        trace.remember(
            self._trace, self._fine, self._coarse, self._admitted.starts, forever,
            self._admitted.arrival, self._admitted.value,
        )
        trace.remember(
            self._raw_trace, self._raw, self._raw_coarse, self._all.starts, forever,
            self._all.arrival, self._all.value,
        )
        for scans in self.scans:
            scans.remember()
        self._all = self._admitted = None

    # --- looking back, for diagnosis --------------------------------------------------------

    def recent(self, row: int, time_ns: int) -> tuple[Float64, Float64]:
        """(last <= 64 samples, last <= 32 means of 16) of a chart row as of `time_ns`, standard."""
        return _as_of(self._trace, self._fine, self._coarse, self._admitted, row, time_ns)

    def recent_raw(self, tag: int, time_ns: int) -> Float64:
        """The last <= 64 values of a tag as of `time_ns`, in its unit, unusable ones included."""
        return _as_of(self._raw_trace, self._raw, self._raw_coarse, self._all, tag, time_ns)[0]

    def newest_raw(self, size: int) -> tuple[Float64, np.ndarray[Any, Any]]:
        """All tags' newest values before this fold, and which of them there are: [tags, size]."""
        return trace.newest(self._raw, self._raw_trace["fine_count"], size)

    def scores(self, row: int) -> dict[str, float]:
        """Each detector's current score of a chart row."""
        return {name: float(state["score"][row]) for name, state in self._state.items()}

    def score_columns(self) -> dict[str, Float64]:
        """The same of all chart rows."""
        return {name: state["score"] for name, state in self._state.items()}

    def take_tallies(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The window's counts and histograms; a new window starts."""
        taken = self._counts, self._histogram
        self._counts = np.zeros_like(taken[0])
        self._histogram = np.zeros_like(taken[1])
        return taken

    def arrays(self) -> list[Lasting]:
        """Everything that lasts: what a snapshot holds."""
        kept = [Lasting(f"input.{name}", "row", state) for name, state in self._state.items()]
        kept += [Lasting(f"tag.{name}", "tag", state) for name, state in self._tag_state.items()]
        kept += [
            Lasting("admission", "row", self._admission_state),
            Lasting("counts", "row", self._counts),
            Lasting("histogram", "row", self._histogram),
            Lasting("trace", "row", self._trace),
            Lasting("fine", "row", self._fine),
            Lasting("coarse", "row", self._coarse),
            Lasting("raw_trace", "tag", self._raw_trace),
            Lasting("raw", "tag", self._raw),
            Lasting("raw_coarse", "tag", self._raw_coarse),
            Lasting("started", "", self._started),
            Lasting("modes", "", self.modes.table),
            Lasting("mode_values", "", self.modes.values),
        ]
        for scans in self.scans:
            kept += scans.arrays()
        return kept


def _late_limit(tag: TagSpec) -> int:
    """How much more than usual a tag's data may lag; a label's time is when it was sampled."""
    if tag.role == "label":
        return late.NEVER_NS
    return min(max(_LATE_NS, _LATE_INTERVALS * tag.interval_ns), late.NEVER_NS)


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


def _as_of(
    state: np.ndarray[Any, Any], fine: Float64, coarse: Float64, series: Series | None,
    row: int, time_ns: int,
) -> tuple[Float64, Float64]:
    one, its_fine, its_coarse = state[row : row + 1].copy(), fine[row : row + 1].copy(), coarse[
        row : row + 1
    ].copy()
    if series is not None:
        start, stop = series.starts[row], series.starts[row + 1]
        trace.remember(
            one, its_fine, its_coarse, np.array([0, stop - start], np.int64), time_ns,
            series.arrival[start:stop], series.value[start:stop],
        )
    return (
        trace.unrolled(its_fine[0], int(one[0]["fine_count"])),
        trace.unrolled(its_coarse[0], int(one[0]["coarse_count"])),
    )
