"""Operating modes: which baseline each model is judged by right now, and when it is not judged.

A model with a mode tag follows it: a change selects the mode's own baseline and masks judgement for
the time that changes took in training. A value that was never trained, or none yet, masks until a
known one comes. A model without a mode tag is always in its only mode.
"""

from __future__ import annotations

import numpy as np

from agent.core.series import Series
from agent.core.spec import EngineSpec
from agent.types import NOT_USABLE, Int64

UNKNOWN = -1
FOR_EVER = 1 << 62


class Modes:
    """The current mode of every model.

    `table` int64[models, 2] holds each model's mode (index into its baseline, `UNKNOWN`) and until
    when it is masked; `values` float64[models] the mode tag's last usable value, NaN before.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        rows = {tag.name: row for row, tag in enumerate(spec.tags)}
        self._tag_row = [
            rows[model.mode_tag] if model.mode_tag is not None else -1 for model in spec.models
        ]
        self.used = any(row >= 0 for row in self._tag_row)
        self.table: Int64 = np.zeros((len(spec.models), 2), np.int64)
        self.values = np.full(len(spec.models), np.nan)
        for model, row in enumerate(self._tag_row):
            if row >= 0:
                self.table[model] = UNKNOWN, FOR_EVER

    def index(self, model: int) -> int:
        """The mode whose baseline a model's arrays hold; the first while it is unknown."""
        return max(int(self.table[model, 0]), 0)

    def masked(self, model: int, time_ns: int) -> bool:
        """Whether a model is not judged at `time_ns`."""
        return time_ns < int(self.table[model, 1])

    def next_change(self, series: Series) -> int:
        """When the first mode tag of a segment changes its value; far in the future where none."""
        first = FOR_EVER
        for model, row in enumerate(self._tag_row):
            if row < 0:
                continue
            place = self._first_other(series, row, float(self.values[model]))
            if place is not None:
                first = min(first, int(series.arrival[place]))
        return first

    @staticmethod
    def _first_other(series: Series, row: int, now: float) -> int | None:
        """Where a row's first usable value other than `now` is."""
        start, stop = int(series.starts[row]), int(series.starts[row + 1])
        usable = (series.quality[start:stop] & NOT_USABLE) == 0
        other = usable & (series.value[start:stop] != now)
        found = np.nonzero(other)[0]
        return start + int(found[0]) if len(found) else None

    def changes_at(self, series: Series, time_ns: int) -> bool:
        """Whether a mode tag has another value at `time_ns`."""
        return self.next_change(series) == time_ns

    def next_unmasking(self, after_ns: int) -> int:
        """When the first masked model is judged again; far in the future where none is masked."""
        until = self.table[:, 1]
        coming = until[until > after_ns]
        return int(coming.min()) if len(coming) else FOR_EVER

    def change(self, series: Series, time_ns: int) -> list[tuple[int, str, str]]:
        """Take the mode tags' values of `time_ns`; (model, was, is now) of what changed."""
        changed = []
        for model, row in enumerate(self._tag_row):
            if row < 0:
                continue
            place = self._first_other(series, row, float(self.values[model]))
            if place is None or int(series.arrival[place]) != time_ns:
                continue
            was, first = self.text(model), bool(np.isnan(self.values[model]))
            self.values[model] = series.value[place]
            baseline = self._spec.models[model].baseline
            codes = [mode.code for mode in baseline.modes]
            code = float(series.value[place])
            known = codes.index(code) if code in codes else UNKNOWN
            mask = 0 if first else baseline.mask_ns
            self.table[model] = known, time_ns + mask if known >= 0 else FOR_EVER
            changed.append((model, was, self.text(model)))
        return changed

    def known(self, model: int) -> bool:
        """Whether the present mode was trained."""
        return int(self.table[model, 0]) >= 0

    def text(self, model: int) -> str:
        """The mode as people call it; empty for a model without modes."""
        if self._tag_row[model] < 0:
            return ""
        known = int(self.table[model, 0])
        if known >= 0:
            return self._spec.models[model].baseline.modes[known].name
        value = float(self.values[model])
        return "not known yet" if np.isnan(value) else f"{value:g}, which was never trained"
