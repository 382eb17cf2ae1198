"""The state of charts as it was some time ago, for the case that what came since does not count.

Kept of the charts that look far back, those on blocks, at the end of a window now and then: some
250 bytes an input and time, `KEPT` times. All others forget what came within some samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agent.core.kernels import DETECTORS
from agent.core.state import Lasting

KEPT = 2
APART = 32
"""Longest scans between two of them at least, so that the older one is from before any onset."""

_NAMES = tuple(one.name for one in DETECTORS if one.blocked)

States = Mapping[str, np.ndarray[Any, Any]]
Copy = dict[str, str]
"""Detector -> bytes of one row's state, as hex: JSON-ready."""


class Before:
    """The last `KEPT` states of the charts on blocks, the newest first.

    Attributes:
        times: engine ns of each; 0 where there is none yet.
    """

    def __init__(self, rows: int, scan_ns: int) -> None:
        self._apart_ns = APART * scan_ns
        self.times = [0] * KEPT
        self._kept = [
            {one.name: np.zeros(rows, one.state) for one in DETECTORS if one.blocked}
            for _ in range(KEPT)
        ]

    def take(self, now: int, states: States) -> None:
        """A window ended: keep the states of now, where the last ones are old enough."""
        if self.times[0] and now - self.times[0] < self._apart_ns:
            return
        self.times = [now, *self.times[:-1]]
        self._kept = [{name: states[name].copy() for name in _NAMES}, *self._kept[:-1]]

    def copy(self, row: int, onset_ns: int) -> Copy:
        """The newest state of a row from before an onset; empty where there is none: it is new."""
        for place, time_ns in enumerate(self.times):
            if 0 < time_ns <= onset_ns:
                kept = self._kept[place]
                return {name: state[row : row + 1].tobytes().hex() for name, state in kept.items()}
        return {}

    def forget(self, rows: range) -> None:
        """These inputs have another baseline."""
        for kept in self._kept:
            for state in kept.values():
                state[rows.start : rows.stop] = np.zeros((), state.dtype)

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        self.times = [time_ns + shift_ns if time_ns else 0 for time_ns in self.times]

    def arrays(self) -> list[Lasting]:
        """What lasts, but for the times."""
        return [
            Lasting(f"before.{place}.{one.name}", "input", kept[one.name], moments=one.moments)
            for place, kept in enumerate(self._kept) for one in DETECTORS if one.blocked
        ]


def put_back(states: States, row: int, copy: Copy) -> None:
    """Make a row of all states what it was, all flags down; as new where nothing was kept of it."""
    for name, state in states.items():
        state[row] = np.zeros((), state.dtype)
        data = bytes.fromhex(copy.get(name, ""))
        if name in _NAMES and len(data) == state.dtype.itemsize:
            state[row] = np.frombuffer(data, state.dtype)[0]
            state["active"][row] = 0
