"""Operating modes: which baseline each model is judged by right now, and when it is not judged.

A model with a mode tag follows it: a change selects the mode's own baseline and masks judgement for
the time that changes took in training. A value that was never trained, or none yet, masks until a
known one comes. A model without a mode tag is always in its only mode.

What lasts is the mode tag's value, not the place of its mode in a baseline: another baseline may
have more modes, fewer, or the same in another order.
"""

from __future__ import annotations

import numpy as np

from agent.core.kernels.base import ENGINE_TIME
from agent.core.series import Series
from agent.core.spec import EngineSpec
from agent.core.state import FOR_EVER, Lasting
from agent.types import NOT_USABLE, Int64

UNKNOWN = -1

STATE = np.dtype(
    [
        ("known", np.int64),  # whether a value of the mode tag is
        ("value", np.float64),  # the last one
        ("masked_until_ns", np.int64),
        ("taken_ns", np.int64),  # values that arrived until then were looked at
    ]
)


class Modes:
    """The present mode of every model; `state` is `STATE`[models]."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._tag_row = [
            spec.row_of_tag[model.mode_tag] if model.mode_tag is not None else -1
            for model in spec.models
        ]
        self.used = any(row >= 0 for row in self._tag_row)
        self.state = np.zeros(len(spec.models), STATE)
        self.texts: dict[int, str] = {}  # of codes, kept by the engine
        self._index = [0] * len(spec.models)
        for model, row in enumerate(self._tag_row):
            if row >= 0:
                self._take(model, None, 0)

    def _take(self, model: int, value: float | None, masked_until_ns: int) -> None:
        """Be in the mode of a value; masked for ever where it was never trained, or is None."""
        codes = [mode.code for mode in self._spec.models[model].baseline.modes]
        self._index[model] = codes.index(value) if value in codes and value is not None else UNKNOWN
        until_ns = masked_until_ns if self._index[model] >= 0 else FOR_EVER
        own = self.state[model : model + 1]
        own["known"], own["value"] = value is not None, value or 0.0
        own["masked_until_ns"] = until_ns

    def resumed(self, time_ns: int) -> None:
        """`state` was filled from a snapshot of `time_ns`, perhaps with other baselines' modes."""
        for model, row in enumerate(self._tag_row):
            if row < 0:
                self.state[model] = np.zeros((), STATE)
                continue
            known, value, until_ns, _ = self.state[model].item()
            # A mode that was unknown and is trained now is judged from now on.
            self._take(
                model, value if known else None, time_ns if until_ns == FOR_EVER else until_ns
            )

    def index(self, model: int) -> int:
        """The mode whose baseline a model's arrays hold; the first while it is unknown."""
        return max(self._index[model], 0)

    def masked(self, model: int, time_ns: int) -> bool:
        """Whether a model is not judged at `time_ns`."""
        return time_ns < int(self.state[model]["masked_until_ns"])

    def next_change(self, series: Series) -> int:
        """When the first mode tag of a segment changes its value; far in the future where none."""
        first = FOR_EVER
        for model, row in enumerate(self._tag_row):
            place = self._first_other(series, model) if row >= 0 else None
            if place is not None:
                first = min(first, int(series.arrival[place]))
        return first

    def _first_other(self, series: Series, model: int) -> int | None:
        """Where a mode tag's first usable value is that is not the present one."""
        known, now, _, _ = self.state[model].item()
        places = self._usable(series, model)
        other = places[series.value[places] != now] if known else places
        return int(other[0]) if len(other) else None

    def _usable(self, series: Series, model: int) -> Int64:
        """Places of a mode tag's usable values that were not looked at yet."""
        row = self._tag_row[model]
        own = slice(int(series.starts[row]), int(series.starts[row + 1]))
        usable = (series.quality[own] & NOT_USABLE) == 0
        usable &= series.arrival[own] > self.state[model]["taken_ns"]
        return np.nonzero(usable)[0] + own.start

    def changes_at(self, series: Series, time_ns: int) -> bool:
        """Whether a mode tag has another value at `time_ns`."""
        return self.next_change(series) == time_ns

    def next_unmasking(self, after_ns: int) -> int:
        """When the first masked model is judged again; far in the future where none is masked."""
        until = self.state["masked_until_ns"]
        coming = until[until > after_ns]
        return int(coming.min()) if len(coming) else FOR_EVER

    def change(self, series: Series, time_ns: int) -> list[tuple[int, str, str]]:
        """Take the mode tags' values of `time_ns`; (model, was, is now) of what changed.

        Of several values at one time the last one counts, and none of them is looked at again.
        """
        changed = []
        for model, row in enumerate(self._tag_row):
            if row < 0:
                continue
            places = self._usable(series, model)
            now = places[series.arrival[places] == time_ns]
            if not len(now):
                continue
            value = float(series.value[now[-1]])
            was, known = self.text(model), bool(self.state[model]["known"])
            self.state["taken_ns"][model] = time_ns
            if known and value == self.state[model]["value"]:
                continue
            mask_ns = self._spec.models[model].baseline.mask_ns if known else 0
            self._take(model, value, time_ns + mask_ns)
            changed.append((model, was, self.text(model)))
        return changed

    def known(self, model: int) -> bool:
        """Whether the present mode was trained."""
        return self._index[model] >= 0

    def text(self, model: int) -> str:
        """The mode as people call it; empty for a model without modes."""
        if self._tag_row[model] < 0:
            return ""
        if self._index[model] >= 0:
            return self._spec.models[model].baseline.modes[self._index[model]].name
        known, value, _, _ = self.state[model].item()
        value_text = self.texts.get(int(value)) or f"{value:g}"
        return f"{value_text}, which was never trained" if known else "not known yet"

    def unjudged(self, model: int, time_ns: int) -> str:
        """Why the present mode lets nothing be judged now; empty where it does."""
        if not self.masked(model, time_ns):
            return ""
        text = self.text(model)
        if self.known(model):
            return f"not judged while the plant changes to {text}"
        return f"not judged: operating mode {text}"

    def arrays(self) -> list[Lasting]:
        """Everything that lasts."""
        moments = {"masked_until_ns": ENGINE_TIME, "taken_ns": ENGINE_TIME}
        return [Lasting("mode", "model", self.state, kept="mode", moments=moments)]
