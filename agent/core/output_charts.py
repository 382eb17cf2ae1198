"""What one model's outputs have beside the charts of an input: `OUTPUT_CHARTS`.

The residual of an output on the inputs is judged scan by scan, where all inputs are usable and as
trained; all else as its values are admitted. Nothing here is seen by the charts of inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.core.flag import Flag
from agent.core.kernels import OUTPUT_CHARTS, given
from agent.core.kernels.base import TRANSITION
from agent.core.series import Series
from agent.core.spec import EngineSpec
from agent.core.state import Lasting
from agent.types import Float64, Int64

_RANK = 40


class OutputState:
    """What lasts of all models' outputs: arrays by chart row of an output.

    Attributes:
        newest: `given.STATE`[outputs].
        charts: detector -> its state[outputs].
        rows: chart row -> row here.
    """

    def __init__(self, spec: EngineSpec) -> None:
        rows = [row for model in range(len(spec.models)) for row in spec.outputs_of(model)]
        self.rows = {row: place for place, row in enumerate(rows)}
        self.newest = np.zeros(len(rows), given.STATE)
        self.charts = {one.name: np.zeros(len(rows), one.state) for one in OUTPUT_CHARTS}

    def arrays(self) -> list[Lasting]:
        """All of it, by name; a gateway without charted outputs keeps nothing."""
        if not self.rows:
            return []
        kept = [
            Lasting(f"output.{one.name}", "output", self.charts[one.name], "input",
                    moments=one.moments)
            for one in OUTPUT_CHARTS
        ]
        return [*kept, Lasting("output.newest", "output", self.newest, "input")]

    def is_up(self, detector: str, row: int) -> bool:
        """Whether a chart's flag is up on a chart row."""
        place = self.rows.get(row)
        state = self.charts.get(detector)
        return state is not None and place is not None and bool(state["active"][place])

    def forget(self, rows: range) -> None:
        """Begin anew with the outputs among some chart rows."""
        own = [self.rows[row] for row in rows if row in self.rows]
        for array in (self.newest, *self.charts.values()):
            array[own] = np.zeros((), array.dtype)


class ModelOutputs:
    """Folds one model's outputs; `index` is the model's."""

    def __init__(self, index: int, spec: EngineSpec, state: OutputState) -> None:
        self._spec, self._model = spec, spec.models[index]
        self._rows = spec.outputs_of(index)
        first = state.rows[self._rows.start] if self._rows else 0
        own = slice(first, first + len(self._rows))
        self._newest = state.newest[own]
        self._state = {name: array[own] for name, array in state.charts.items()}
        self._params = np.zeros(len(self._rows), given.PARAMS)
        self._slopes = np.zeros((len(self._rows), len(self._model.inputs)))
        self._charts = {one.name: np.zeros(len(self._rows), one.params) for one in OUTPUT_CHARTS}
        self._residual = _nothing(len(self._rows))
        self.use_mode(0)

    def use_mode(self, mode: int) -> None:
        """Judge by this mode's baseline from now on."""
        known = {one.item.tag: one for one in self._model.baseline.modes[mode].outputs}
        for place, name in enumerate(self._model.charted):
            output = known[name]
            relation, item = output.relation, output.item
            self._params[place] = (
                self._spec.row_of_tag[name], item.centre, 1.0 / item.scale, int(bool(relation)),
                relation.get("intercept", 0.0), relation.get("middle", 0.0),
                1.0 / relation.get("spread", 1.0),
            )
            self._slopes[place] = relation.get("slopes", 0.0)
            for one in OUTPUT_CHARTS:
                values = {**one.disabled, **output.charts.get(one.name, {})}
                for key in one.params.names or ():
                    self._charts[one.name][place][key] = values[key]

    def take(
        self, series: Series, first_ns: int, scan_ns: int, z: Float64,
        usable: np.ndarray[Any, Any],
    ) -> None:
        """Take samples in, and set the outputs beside m scans.

        Args:
            series: tag by tag.
            first_ns: time of the first scan.
            scan_ns: from scan to scan.
            z: float64[m, d], the inputs, standardised.
            usable: uint8[m], whether all of them are usable and as trained.
        """
        if not self._rows:
            return
        starts = np.zeros(len(self._rows) + 1, np.int64)
        times = np.empty(len(self._rows) * len(z), np.int64)
        values = np.empty(len(times))
        given.residuals(
            self._params, self._slopes, self._newest, series.starts, series.arrival, series.value,
            series.quality, first_ns, scan_ns, z, usable, starts, times, values,
        )
        count = int(starts[-1])
        self._residual = Series(
            starts, times[:count], times[:count], values[:count], np.zeros(count, np.uint16)
        )

    def fold(self, admitted: Series, until_ns: int) -> list[Flag]:
        """Flags that what was taken in, and what was admitted of it, raise and clear."""
        if not self._rows:
            return []
        own = Series(
            admitted.starts[self._rows.start : self._rows.stop + 1], admitted.arrival,
            admitted.source, admitted.value, admitted.quality,
        )
        fed = {"good": own, "residual": self._residual}
        flags: list[Flag] = []
        for rank, one in enumerate(OUTPUT_CHARTS, _RANK):
            seen = fed[one.feed]
            out = np.zeros(int(seen.starts[-1] - seen.starts[0]) + 2 * len(self._rows), TRANSITION)
            written = one.fold(
                self._charts[one.name], self._state[one.name], seen.starts, until_ns, seen.arrival,
                seen.source, seen.value, seen.quality, out,
            )
            flags += [
                Flag(int(o["time_ns"]), rank, self._rows.start + int(o["row"]), bool(o["up"]),
                     min(float(o["score"]), 1e9), one.name, "input")
                for o in out[:written]
            ]
        self._residual = _nothing(len(self._rows))
        return flags

    def restart(self) -> None:
        """The agent was away: what came before is not beside what comes now."""
        self._newest["fresh"] = 0


def _nothing(rows: int) -> Series:
    none: Int64 = np.zeros(0, np.int64)
    return Series(np.zeros(rows + 1, np.int64), none, none, np.zeros(0), np.zeros(0, np.uint16))
