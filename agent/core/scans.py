"""One model's scans: sampled and held on a fixed grid, judged jointly, counted as evidence.

The grid is anchored half a scan after the first sample of any input, so that a row of recorded
data, or a poll, falls in the middle between two scans. A model is *assessed* after `ENOUGH` scans
in a row in which every required input was usable; a verdict is never better than that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.core import kinds
from agent.core.extrapolation import Extrapolation, ExtrapolationState
from agent.core.flag import Flag
from agent.core.joint_charts import JointCharts
from agent.core.kernels import scan as scan_kernel
from agent.core.kernels.base import ENGINE_TIME
from agent.core.novelty import novelty_of
from agent.core.output_charts import ModelOutputs, OutputState
from agent.core.series import Series
from agent.core.spec import EngineSpec
from agent.types import Float64, Int64

ENOUGH = 10
RECENT = 16

GRID = np.dtype(
    [
        ("next_ns", np.int64),  # when the next scan is; 0: none is planned yet
        ("good_run", np.int64),  # good scans in a row
        ("count", np.int64),  # scans so far
    ]
)
GRID_MOMENTS = {"next_ns": ENGINE_TIME}


class ScanState:
    """What lasts of all models' scans: `held` and `ring` by input, `grid` by model, and facts.

    Attributes:
        held: `scan.STATE`[rows], each input's last value, in its unit.
        ring: float64[rows, RECENT], the last standardised values that were scanned.
        grid: `GRID`[models].
        beyond: what is outside the trained range, and how often it was.
        outputs: what the models' outputs have beside the scans.
    """

    def __init__(self, spec: EngineSpec) -> None:
        rows = len(spec.rows)
        self.held = np.zeros(rows, scan_kernel.STATE)
        self.ring = np.zeros((rows, RECENT))
        self.grid = np.zeros(len(spec.models), GRID)
        self.beyond = ExtrapolationState(rows, len(spec.models))
        self.outputs = OutputState(spec)


class ModelScans:
    """Folds a model's scans; `index` is the model's row in flags of scope joint and scan."""

    def __init__(self, index: int, spec: EngineSpec, state: ScanState) -> None:
        self.index, self.model, self._spec = index, spec.models[index], spec
        rows = spec.rows_of(index)
        self._first_row = rows.start
        own = slice(rows.start, rows.stop)
        self._params = np.zeros(len(rows), scan_kernel.PARAMS)
        self._held, self._ring = state.held[own], state.ring[own].T
        self._grid = state.grid[index : index + 1]
        self._block: tuple[Float64, int] = (np.zeros((0, len(rows))), 0)
        self.extrapolation = Extrapolation(index, self.model, own, state.beyond)
        self.outputs = ModelOutputs(index, spec, state.outputs)
        self.seen: tuple[Int64, Float64] = (np.zeros(0, np.int64), np.zeros(0))
        self._same = 0  # scans of the present fold after those of `_block`, each like its last
        self.use_mode(0)

    def use_mode(self, mode: int) -> None:
        """Judge by this mode's baseline from now on; the joint charts start anew."""
        model = self.model
        inputs = model.baseline.modes[mode].inputs
        for column, name in enumerate(model.inputs):
            item, tag = inputs[column], self._spec.tag_of[name]
            silence = max(tag.max_silence_ns, 2 * model.scan_ns)
            self._params[column] = (
                self._spec.row_of_tag[name], item.centre, 1.0 / item.scale,
                silence, int(name in model.required),
            )
        own = [column for column, item in enumerate(inputs) if kinds.transforms(item.kind)]
        self._judged = np.array(own, np.int64)
        self._held["admitted"] = 0
        self._mode = mode
        self.joint = JointCharts(self.index, model, mode)
        self.extrapolation.use_mode(mode)
        self.outputs.use_mode(mode)

    @property
    def count(self) -> int:
        """Scans so far."""
        return int(self._grid[0]["count"])

    @property
    def good_run(self) -> int:
        """Good scans in a row up to now."""
        return int(self._grid[0]["good_run"])

    @property
    def next_ns(self) -> int:
        """Time of the next scan, 0 before the first sample."""
        return int(self._grid[0]["next_ns"])

    @property
    def last_ns(self) -> int:
        """Time of the last scan, 0 before the first."""
        return self.next_ns - self.model.scan_ns if self.count else 0

    def held(self) -> list[tuple[float, bool, int]]:
        """Of each input its last value, in its unit, whether it is usable, and as of when (ns)."""
        usable = (self._held["usable"] > 0) & (self._held["lost"] == 0)
        columns = (self._held["value"], usable, self._held["last_ns"])
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def fold(
        self, series: Series, admitted: Series, until_ns: int, *, masked: bool = False
    ) -> list[Flag]:
        """Take samples in; judge every scan before `until_ns`, none where `masked`.

        Tags of a kind (see `kinds`) are scanned as they were `admitted`, all others as they came.
        """
        grid = self._grid[0]
        if grid["next_ns"] == 0:
            self.seen = self.seen[0][:0], self.seen[1][:0]
            first = self._first_arrival(series)
            if first is None:
                self._outputs_beside(series, 0, good=np.zeros(0, np.uint8))
                return []
            grid["next_ns"] = first + self.model.scan_ns // 2
        first_ns = int(grid["next_ns"])
        m = max(0, -(-(until_ns - first_ns) // self.model.scan_ns))
        self._same = max(0, m - self._until_settled(series, first_ns))
        m -= self._same
        z = np.zeros((m, len(self._params)))
        known, good = np.zeros((m, len(self._params)), np.uint8), np.zeros(m, np.uint8)
        scan_kernel.scan(
            self._params, self._held, series.starts, series.arrival, series.value,
            series.quality, first_ns, self.model.scan_ns, z, known, good,
        )
        if len(self._judged):
            scan_kernel.follow(
                self._params, self._held, self._judged, self._judged + self._first_row,
                admitted.starts, admitted.arrival, admitted.value, first_ns, self.model.scan_ns,
                z, known, good,
            )
        self._block, self.seen = (z, first_ns), (np.zeros(0, np.int64), np.zeros(0))
        if masked:
            good[:] = known[:] = 0
        if not m:
            self._outputs_beside(series, first_ns, good=good)
            return []
        times = first_ns + np.arange(m, dtype=np.int64) * self.model.scan_ns
        flags = self._assess(good, times)
        within = self.extrapolation.within(z)
        joint, far = self.joint.fold(times, within, good)
        if self.model.outputs:
            as_trained = (within == z).all(axis=1) & ~(far > 1.0)
            good &= np.where(as_trained, np.uint8(3), np.uint8(1))
            self._outputs_beside(series, first_ns, good=good)
        if self.model.labels:
            groups = bool(self.joint.groups)
            self.seen = times, novelty_of(z, within, known, far, jointly=groups)
        flags += joint + self.extrapolation.fold(times, z, known, far)
        if grid["good_run"]:
            grid["good_run"] += self._same
        grid["next_ns"] += (m + self._same) * self.model.scan_ns
        grid["count"] += m + self._same
        return flags

    def _outputs_beside(
        self, series: Series, first_ns: int, *, good: np.ndarray[Any, Any]
    ) -> None:
        """Set outputs beside the scans of the fold, where all inputs are as trained (bit 1)."""
        z = self._block[0][: len(good)]
        self.outputs.take(series, first_ns, self.model.scan_ns, z, (good >> 1) & np.uint8(1))

    def settled_ns(self) -> int:
        """From when on, without a sample, each scan is like the one before: all inputs silent."""
        held = self._held
        if not held["usable"].any():
            return 0
        usable = held["usable"] > 0
        silence = np.where(usable, self._params["max_silence_ns"], 0)
        return int((held["last_ns"] + silence)[usable].max())

    def _until_settled(self, series: Series, first_ns: int) -> int:
        """How many scans from `first_ns` on may differ from the one before them."""
        longest = int(self._params["max_silence_ns"].max(initial=0))
        newest = int(series.arrival.max(initial=0))
        last = max(self.settled_ns(), newest + longest if newest else 0)
        return max(0, -((first_ns - last) // self.model.scan_ns)) + RECENT + 1

    def _first_arrival(self, series: Series) -> int | None:
        firsts = [
            int(series.arrival[series.starts[tag]])
            for tag in self._params["tag"].tolist()
            if series.starts[tag + 1] > series.starts[tag]
        ]
        return min(firsts) if firsts else None

    def _assess(self, good: np.ndarray[Any, Any], times: np.ndarray[Any, Any]) -> list[Flag]:
        flags = []
        run = self.good_run
        usable = (good & 1).astype(bool)
        if run >= ENOUGH and usable.all():
            self._grid["good_run"] = run + len(good)
            return []
        if run == 0 and not usable.any():
            return []
        for is_good, time_ns in zip(usable.tolist(), times.tolist(), strict=True):
            before = run
            run = run + 1 if is_good else 0
            if run == ENOUGH or (run == 0 and before >= ENOUGH):
                flags.append(Flag(time_ns, 30, self.index, run > 0, 0.0, "assessed", "scan"))
        self._grid["good_run"] = run
        return flags

    def recent(self, time_ns: int) -> Float64:
        """The last <= 16 standardised scan vectors as of `time_ns`, oldest first, float64[n, d]."""
        z, first_ns = self._block
        before = self.count - self._same - len(z)
        k = int(min(max((time_ns - first_ns) // self.model.scan_ns + 1, 0), len(z)))
        ring = np.roll(self._ring, -(before % RECENT), axis=0)[-min(before, RECENT) :]
        if before == 0:
            ring = self._ring[:0]
        return np.concatenate([ring, z[:k]])[-RECENT:]

    def restart(self, time_ns: int) -> None:
        """No scans were made until `time_ns`; evidence starts anew, no value is held over it."""
        self._grid["good_run"] = 0
        self._held["usable"] = 0
        self.outputs.restart()
        grid = self._grid[0]
        if grid["next_ns"]:
            missed = -((int(grid["next_ns"]) - time_ns) // self.model.scan_ns)
            grid["next_ns"] += max(missed, 0) * self.model.scan_ns

    def renew(self) -> None:
        """Forget what was judged, but neither the grid nor the values held: a new baseline."""
        self._ring[...] = 0.0
        self._grid["good_run"] = self._grid["count"] = 0
        self.joint = JointCharts(self.index, self.model, self._mode)
        self.extrapolation.forget()

    def joint_anew(self) -> None:
        """The joint charts have seen nothing."""
        self.joint = JointCharts(self.index, self.model, self._mode)

    def remember(self) -> None:
        """Take the last fold's scans into the ring; called after judgement."""
        z, _ = self._block
        # Scans that are all the same fill the ring, so that only where it begins shifts.
        before = self.count - len(z)
        for offset in range(max(0, len(z) - RECENT), len(z)):
            self._ring[(before + offset) % RECENT] = z[offset]
        self._block, self._same = (z[:0], 0), 0
