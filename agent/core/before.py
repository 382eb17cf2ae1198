"""The state of charts as it was some time ago, for the case that what came since does not count.

Kept of the charts that look far back, those on blocks, of inputs and of outputs alone, at the end
of a window now and then: some 250 bytes an input and time, `KEPT` times. All others forget what
came within some samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.core.kernels import DETECTORS, OUTPUT_CHARTS
from agent.core.kernels.base import Detector
from agent.core.state import Lasting

KEPT = 2
APART = 32
"""Longest scans between two of them at least, so that the older one is from before any onset."""

_INPUT, _OUTPUT = (
    tuple(one for one in charts if one.blocked) for charts in (DETECTORS, OUTPUT_CHARTS)
)
_NAMES = frozenset(one.name for one in (*_INPUT, *_OUTPUT))

States = Mapping[str, np.ndarray[Any, Any]]
Copy = dict[str, str]
"""Detector -> bytes of one row's state, as hex: JSON-ready."""


class Before:
    """The last `KEPT` states of the charts on blocks, the newest first.

    Args:
        rows: chart rows.
        outputs: chart row of an output -> its row of the charts that outputs alone have.
        scan_ns: the longest time from scan to scan.

    Attributes:
        times: engine ns of each; 0 where there is none yet.
    """

    def __init__(self, rows: int, outputs: Mapping[int, int], scan_ns: int) -> None:
        self._rows = outputs
        self._apart_ns = APART * scan_ns
        self.times = [0] * KEPT
        self._kept = [_new(_INPUT, rows) for _ in range(KEPT)]
        self._of_outputs = [_new(_OUTPUT, len(outputs)) for _ in range(KEPT)]

    def take(self, now: int, states: States, outputs: States) -> None:
        """A window ended: keep the states of now, where the last ones are old enough."""
        if self.times[0] and now - self.times[0] < self._apart_ns:
            return
        self.times = [now, *self.times[:-1]]
        self._kept = [{d.name: states[d.name].copy() for d in _INPUT}, *self._kept[:-1]]
        self._of_outputs = [
            {d.name: outputs[d.name].copy() for d in _OUTPUT}, *self._of_outputs[:-1]
        ]

    def copy(self, row: int, onset_ns: int) -> Copy:
        """The newest state of a chart row from before an onset; empty where there is none: it is
        new.
        """
        place = next((at for at, ns in enumerate(self.times) if 0 < ns <= onset_ns), None)
        if place is None:
            return {}
        found = {name: _bytes(state, row) for name, state in self._kept[place].items()}
        if (output := self._rows.get(row)) is not None:
            of_output = self._of_outputs[place]
            found |= {name: _bytes(state, output) for name, state in of_output.items()}
        return found

    def put_back(self, states: States, outputs: States, row: int, copy: Copy) -> None:
        """Make a chart row of all states what it was, all flags down; as new where nothing was kept
        of it.
        """
        _put_back(states, row, copy)
        if (output := self._rows.get(row)) is not None:
            _put_back(outputs, output, copy)

    def forget(self, rows: range) -> None:
        """These inputs and outputs have another baseline."""
        own = [self._rows[row] for row in rows if row in self._rows]
        for all_kept, places in ((self._kept, list(rows)), (self._of_outputs, own)):
            for kept in all_kept:
                for state in kept.values():
                    state[places] = np.zeros((), state.dtype)

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        self.times = [time_ns + shift_ns if time_ns else 0 for time_ns in self.times]

    def arrays(self) -> list[Lasting]:
        """What lasts, but for the times."""
        found = [
            Lasting(f"before.{place}.{one.name}", "input", kept[one.name], moments=one.moments)
            for place, kept in enumerate(self._kept) for one in _INPUT
        ]
        return found + [
            Lasting(f"before.{place}.output.{one.name}", "output", kept[one.name], "input",
                    moments=one.moments)
            for place, kept in enumerate(self._of_outputs) for one in _OUTPUT
            if len(kept[one.name])
        ]  # fmt: skip


def _new(charts: Sequence[Detector], rows: int) -> dict[str, np.ndarray[Any, Any]]:
    return {one.name: np.zeros(rows, one.state) for one in charts}


def _bytes(state: np.ndarray[Any, Any], row: int) -> str:
    found: str = state[row : row + 1].tobytes().hex()
    return found


def _put_back(states: States, row: int, copy: Copy) -> None:
    for name, state in states.items():
        state[row] = np.zeros((), state.dtype)
        data = bytes.fromhex(copy.get(name, ""))
        if name in _NAMES and len(data) == state.dtype.itemsize:
            state[row] = np.frombuffer(data, state.dtype)[0]
            state["active"][row] = 0
