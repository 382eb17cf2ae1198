"""The only module that reads a clock. Everything else is handed times.

Engine time (`EngineClock`) never steps and never goes back: it starts at the later of the wall
clock and the last time that was journaled, and runs on the monotonic clock from there. A wall
clock that is stepped later (NTP, a person, a flat battery) changes neither order nor timers.
"""

from __future__ import annotations

import time

NS_PER_S = 1_000_000_000


def wall_ns() -> int:
    """Wall clock in nanoseconds since 1970-01-01 UTC; may step."""
    return time.time_ns()


def monotonic_ns() -> int:
    """Monotonic clock in nanoseconds; its zero means nothing."""
    return time.monotonic_ns()


class EngineClock:
    """Engine time in nanoseconds since 1970-01-01 UTC, strictly increasing across boots.

    Args:
        last_ns: the latest engine time that the journal holds, 0 for an empty journal.
    """

    def __init__(self, last_ns: int = 0) -> None:
        self._base = max(wall_ns(), last_ns + 1)
        self._start = monotonic_ns()

    def now_ns(self) -> int:
        """Engine time now."""
        return self._base + monotonic_ns() - self._start
