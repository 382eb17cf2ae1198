"""Traces: the last values of every input and every tag, which diagnosis looks back on.

They are folded after judgement, so that judgement at time t sees exactly what had arrived by then,
wherever the block was cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.core.kernels import trace
from agent.core.series import Series, without_lost
from agent.core.state import Lasting
from agent.types import Float64

_FOREVER = np.iinfo(np.int64).max


class _Rings:
    """The last 64 values and 32 longer means of some rows; see `kernels.trace`."""

    def __init__(self, rows: int) -> None:
        self.state = np.zeros(rows, trace.STATE)
        self.fine = np.zeros((rows, trace.FINE))
        self.coarse = np.zeros((rows, trace.COARSE))
        self.leaps = np.zeros((rows, trace.COARSE))
        self.fresh: Series | None = None

    def remember(self) -> None:
        if self.fresh is None:
            return
        trace.remember(
            self.state, self.fine, self.coarse, self.leaps, self.fresh.starts, _FOREVER,
            self.fresh.arrival, self.fresh.value,
        )
        self.fresh = None

    def as_of(self, row: int, time_ns: int) -> tuple[Float64, Float64, Float64]:
        """(fine, coarse, leaps) of one row with what had arrived by `time_ns`, oldest first."""
        own = slice(row, row + 1)
        state, fine = self.state[own].copy(), self.fine[own].copy()
        coarse, leaps = self.coarse[own].copy(), self.leaps[own].copy()
        if self.fresh is not None:
            start, stop = self.fresh.starts[row], self.fresh.starts[row + 1]
            trace.remember(
                state, fine, coarse, leaps, np.array([0, stop - start], np.int64), time_ns,
                self.fresh.arrival[start:stop], self.fresh.value[start:stop],
            )
        blocks = int(state[0]["coarse_count"])
        return (
            trace.unrolled(fine[0], int(state[0]["fine_count"])),
            trace.unrolled(coarse[0], blocks),
            np.append(trace.unrolled(leaps[0], blocks), state[0]["leap"]),
        )


class Traces:
    """The latest of `inputs` chart rows, standardised, and of `tags` tags, in their units."""

    def __init__(self, inputs: int, tags: int) -> None:
        self._inputs, self._tags = _Rings(inputs), _Rings(tags)

    def hold(self, everything: Series, admitted: Series) -> None:
        """What the present fold brought, for looking back until `remember`."""
        self._tags.fresh, self._inputs.fresh = without_lost(everything), admitted

    def remember(self) -> None:
        """Take the present fold in; called after judgement."""
        self._inputs.remember()
        self._tags.remember()

    def of_input(self, row: int, time_ns: int) -> tuple[Float64, Float64]:
        """(last <= 64 samples, last <= 32 means of 16) of a chart row as of `time_ns`, standard."""
        return self._inputs.as_of(row, time_ns)[:2]

    def leaps_of(self, row: int, time_ns: int) -> Float64:
        """The largest step between two samples in each of these means, and since the last one."""
        return self._inputs.as_of(row, time_ns)[2]

    def of_tag(self, row: int, time_ns: int) -> Float64:
        """The last <= 64 values of a tag as of `time_ns`, in its unit, unusable ones included."""
        return self._tags.as_of(row, time_ns)[0]

    def newest(self, size: int) -> tuple[Float64, np.ndarray[Any, Any]]:
        """All tags' newest values before this fold, and which of them there are: [tags, size]."""
        return trace.newest(self._tags.fine, self._tags.state["fine_count"], size)

    def forget(self, rows: range, tags: range = range(0)) -> None:
        """These inputs are standardised otherwise from now on, these tags served otherwise."""
        for own, part in ((self._inputs, rows), (self._tags, tags)):
            for array in (own.state, own.fine, own.coarse, own.leaps):
                array[part.start : part.stop] = np.zeros((), array.dtype)

    def arrays(self) -> list[Lasting]:
        """Everything that lasts."""
        inputs, tags = self._inputs, self._tags
        return [
            Lasting("trace", "input", inputs.state), Lasting("fine", "input", inputs.fine),
            Lasting("coarse", "input", inputs.coarse), Lasting("leaps", "input", inputs.leaps),
            Lasting("raw_trace", "tag", tags.state), Lasting("raw_leaps", "tag", tags.leaps),
            Lasting("raw", "tag", tags.fine), Lasting("raw_coarse", "tag", tags.coarse),
        ]
