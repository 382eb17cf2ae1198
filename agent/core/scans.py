"""One model's scans: sampled and held on a fixed grid, judged jointly, counted as evidence.

The grid is anchored half a scan after the first sample of any input, so that a row of recorded
data, or a poll, falls in the middle between two scans. A model is *assessed* after `ENOUGH` scans
in a row in which every required input was usable; a verdict is never better than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agent.core.flag import Flag
from agent.core.joint_charts import JointCharts
from agent.core.kernels import scan as scan_kernel
from agent.core.series import Series
from agent.core.snapshot import Lasting
from agent.core.spec import ModelSpec, TagSpec
from agent.types import Float64

ENOUGH = 10
RECENT = 16


class ModelScans:
    """Folds a model's scans; `index` is the model's row in flags of scope joint and scan."""

    def __init__(
        self, index: int, model: ModelSpec, row_of: Mapping[str, int], tags: Mapping[str, TagSpec]
    ) -> None:
        self.index, self.model = index, model
        self._row_of, self._specs = row_of, tags
        self._tags = [row_of[name] for name in model.inputs]
        self._params = np.zeros(len(model.inputs), scan_kernel.PARAMS)
        self._state = np.zeros(len(model.inputs), scan_kernel.STATE)
        # anchor ns (0: none yet), index of the next scan, good scans in a row, scans so far
        self._grid = np.zeros(4, np.int64)
        self._ring = np.zeros((RECENT, len(model.inputs)))
        self._block: tuple[Float64, int] = (np.zeros((0, len(model.inputs))), 0)
        self.use_mode(0)

    def use_mode(self, mode: int) -> None:
        """Judge by this mode's baseline from now on; the joint charts start anew."""
        model = self.model
        inputs = model.baseline.modes[mode].inputs
        for column, name in enumerate(model.inputs):
            item, tag = inputs[column], self._specs[name]
            silence = max(tag.max_silence_ns, 2 * model.scan_ns)
            self._params[column] = (
                self._row_of[name], item.centre, 1.0 / item.scale,
                silence, int(name in model.required),
            )
        self._mode = mode
        self.joint = JointCharts(self.index, model, mode)

    @property
    def count(self) -> int:
        """Scans so far."""
        return int(self._grid[3])

    @property
    def good_run(self) -> int:
        """Good scans in a row up to now."""
        return int(self._grid[2])

    @property
    def last_ns(self) -> int:
        """Time of the last scan, 0 before the first."""
        if self._grid[1] == 0:
            return 0
        return int(self._grid[0] + (self._grid[1] - 1) * self.model.scan_ns)

    def fold(self, series: Series, until_ns: int, *, masked: bool = False) -> list[Flag]:
        """Take samples in; judge every scan before `until_ns`, none where `masked`."""
        if self._grid[0] == 0:
            first = self._first_arrival(series)
            if first is None:
                return []
            self._grid[0] = first + self.model.scan_ns // 2
        first_ns = int(self._grid[0] + self._grid[1] * self.model.scan_ns)
        m = max(0, -(-(until_ns - first_ns) // self.model.scan_ns))
        z = np.zeros((m, len(self._tags)))
        good = np.zeros(m, np.uint8)
        scan_kernel.scan(
            self._params, self._state, series.starts, series.arrival, series.value,
            series.quality, first_ns, self.model.scan_ns, z, good,
        )
        self._block = (z, first_ns)
        if masked:
            good[:] = 0
        if not m:
            return []
        times = first_ns + np.arange(m, dtype=np.int64) * self.model.scan_ns
        flags = self._assess(good, times)
        flags += self.joint.fold(times, z, good)
        self._grid[1] += m
        self._grid[3] += m
        return flags

    def _first_arrival(self, series: Series) -> int | None:
        firsts = [
            int(series.arrival[series.starts[tag]])
            for tag in self._tags
            if series.starts[tag + 1] > series.starts[tag]
        ]
        return min(firsts) if firsts else None

    def _assess(self, good: np.ndarray[Any, Any], times: np.ndarray[Any, Any]) -> list[Flag]:
        flags = []
        run = int(self._grid[2])
        usable = (good & 1).astype(bool)
        if run >= ENOUGH and usable.all():
            self._grid[2] = run + len(good)
            return []
        if run == 0 and not usable.any():
            return []
        for is_good, time_ns in zip(usable.tolist(), times.tolist(), strict=True):
            before = run
            run = run + 1 if is_good else 0
            if run == ENOUGH or (run == 0 and before >= ENOUGH):
                flags.append(Flag(time_ns, 30, self.index, run > 0, 0.0, "assessed", "scan"))
        self._grid[2] = run
        return flags

    def recent(self, time_ns: int) -> Float64:
        """The last <= 16 standardised scan vectors as of `time_ns`, oldest first, float64[n, d]."""
        z, first_ns = self._block
        before = int(self._grid[3]) - len(z)
        k = int(min(max((time_ns - first_ns) // self.model.scan_ns + 1, 0), len(z)))
        ring = np.roll(self._ring, -(before % RECENT), axis=0)[-min(before, RECENT) :]
        if before == 0:
            ring = self._ring[:0]
        return np.concatenate([ring, z[:k]])[-RECENT:]

    def restart(self, time_ns: int) -> None:
        """No scans were made until `time_ns`; evidence starts anew, no value is held over it."""
        self._grid[2] = 0
        self._state["usable"] = 0
        if self._grid[0]:
            passed = time_ns - int(self._grid[0])
            self._grid[1] = max(int(self._grid[1]), -(-passed // self.model.scan_ns))

    def renew(self) -> None:
        """Forget what was judged, but neither the grid nor the values held: a new baseline."""
        self._ring[...] = 0.0
        self._grid[2:] = 0
        self.joint = JointCharts(self.index, self.model, self._mode)

    def remember(self) -> None:
        """Take the last fold's scans into the ring; called after judgement."""
        z, _ = self._block
        before = int(self._grid[3]) - len(z)
        for offset in range(max(0, len(z) - RECENT), len(z)):
            self._ring[(before + offset) % RECENT] = z[offset]
        self._block = (z[:0], 0)

    def arrays(self) -> list[Lasting]:
        """Everything that lasts."""
        prefix = f"model.{self.model.name}."
        return [
            Lasting(prefix + "scan", "", self._state),
            Lasting(prefix + "grid", "", self._grid),
            Lasting(prefix + "ring", "", self._ring),
            *(Lasting(prefix + name, "", array) for name, array in self.joint.arrays().items()),
        ]
