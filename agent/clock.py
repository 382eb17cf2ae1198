"""The only module that reads a clock. Everything else is handed times.

Three clocks count. The wall clock is what people mean by time, and may be set at any moment.
CLOCK_BOOTTIME runs evenly from the start of the kernel, also while the machine sleeps; with the
kernel's boot id it measures real spans and tells whether a moment of it still means anything.
Engine time (`EngineClock`) is the wall clock made steady: it runs on CLOCK_BOOTTIME and follows the
wall clock, see `EngineClock.look`.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from agent.boottime import boot_id, boottime_ns
from agent.types import TimeQuality

__all__ = ["boot_id", "boottime_ns"]  # from where no other library is needed

NS_PER_S = 1_000_000_000
STEP_NS: Final = NS_PER_S
"""A wall clock that differs by this much from engine time was set; less is slewed."""

AWAY_NS: Final = 10 * NS_PER_S
"""A process that did not get to run for longer stood still (SIGSTOP, suspend, a frozen machine)."""

_SLEW: Final = 1000  # engine time is corrected by at most 1/1000 of the time that passes
_YEAR_NS: Final = 365 * 86_400 * NS_PER_S
EARLIEST_NS: Final = 1_767_225_600 * NS_PER_S
"""2026-01-01: this program is not older, so a clock that reads less is wrong."""

LATEST_NS: Final = EARLIEST_NS + 10 * _YEAR_NS
"""A clock that is further ahead is taken to be wrong, as one of 2040 after a flat battery."""

_UNSYNCHRONISED: Final = 0x0040  # STA_UNSYNC, adjtimex(2)
_AT_ONCE_NS: Final = 50_000_000  # two clocks that were read further apart are read again
_TRIES: Final = 5


def wall_ns() -> int:
    """Wall clock in nanoseconds since 1970-01-01 UTC; may step."""
    return time.time_ns()


def monotonic_ns() -> int:
    """Monotonic clock in nanoseconds; its zero means nothing."""
    return time.monotonic_ns()


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2), as far as it is read, and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )  # fmt: skip


def synchronised() -> bool | None:
    """Whether the kernel's clock follows a reference (NTP, PTP); None where it can not say."""
    state = _Timex()
    with suppress(OSError, AttributeError, TypeError):
        if ctypes.CDLL(None).adjtimex(ctypes.byref(state)) >= 0:
            return not state.status & _UNSYNCHRONISED
    return None


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where the clocks are read; a test may put its own in their place."""

    wall_ns: Callable[[], int] = wall_ns
    boottime_ns: Callable[[], int] = boottime_ns
    boot_id: Callable[[], str] = boot_id
    synchronised: Callable[[], bool | None] = synchronised


@dataclass(frozen=True, slots=True)
class ClockSet:
    """Engine time as it was and is at one moment, when it followed a wall clock that was set.

    Attributes:
        before_ns: the moment in the time before.
        shift_ns: what all times before must be moved by to be right; 0 where only the quality, or
            the place of CLOCK_BOOTTIME, is told anew.
        facts: for the journal, see `EngineClock.facts`.
    """

    before_ns: int
    shift_ns: int
    facts: dict[str, Any]


class EngineClock:
    """Engine time in ns since 1970-01-01 UTC: starts at the wall clock, runs on CLOCK_BOOTTIME.

    It moves on evenly between two calls of `look`, and steps only there.

    Args:
        trusted_ns: a time that was seen while the clock was synchronised: a wall clock that is not,
            and reads less, is wrong.
        clocks: where to read them.
    """

    def __init__(self, trusted_ns: int = 0, clocks: Clocks | None = None) -> None:
        self._clocks = clocks or Clocks()
        self._trusted_ns = trusted_ns
        self.boot_id = self._clocks.boot_id()
        wall, boottime = self._read() or (self._clocks.wall_ns(), self._clocks.boottime_ns())
        self._base_ns, self._since_ns, self._apart_ns = wall, boottime, 0
        self._slewed_ns = 0  # since the place of CLOCK_BOOTTIME was last told
        self._alive_ns = boottime
        self.quality = self._quality(wall)

    def now_ns(self) -> int:
        """Engine time now."""
        return self._at(self._clocks.boottime_ns())

    def boottime_ns(self) -> int:
        """CLOCK_BOOTTIME now."""
        return self._clocks.boottime_ns()

    def facts(self) -> dict[str, Any]:
        """What the journal must know of the clock at a boot, and each time that it was set.

        Its quality, the kernel's boot id, and engine time minus CLOCK_BOOTTIME.
        """
        boottime = self._clocks.boottime_ns()
        return {
            "quality": str(self.quality), "boot_id": self.boot_id,
            "offset_ns": self._at(boottime) - boottime,
        }

    def look(self) -> ClockSet | None:
        """Follow the wall clock: a second or more apart it was set, and engine time steps to it.

        Less than that is slewed, by at most 1/1000 of the time that passes.

        Returns:
            What is to be journaled; None where nothing is.
        """
        read = self._read()
        if read is None:
            return None
        wall, boottime = read
        before = self._at(boottime)
        apart, quality = wall - before, self._quality(wall)
        shift = apart if abs(apart) >= STEP_NS else 0
        self._anchor(before + shift, boottime, apart - shift)
        if not shift and quality is self.quality and abs(self._slewed_ns) < STEP_NS:
            return None
        self.quality, self._slewed_ns = quality, 0
        return ClockSet(before, shift, self.facts())

    def stood_still_ns(self) -> int:
        """For how long the process did not run before this call; 0 where no longer than `AWAY_NS`.

        It is to be asked at least every few seconds while the process runs.
        """
        now = self._clocks.boottime_ns()
        passed, self._alive_ns = now - self._alive_ns, now
        return passed if passed > AWAY_NS else 0

    def _at(self, boottime_ns: int) -> int:
        passed = boottime_ns - self._since_ns
        return self._base_ns + passed + self._slew(passed)

    def _slew(self, passed_ns: int) -> int:
        done = min(max(passed_ns, 0) // _SLEW, abs(self._apart_ns))
        return done if self._apart_ns >= 0 else -done

    def _anchor(self, engine_ns: int, boottime_ns: int, apart_ns: int) -> None:
        """Engine time is `engine_ns` at `boottime_ns`, and the wall clock `apart_ns` ahead."""
        self._slewed_ns += self._slew(boottime_ns - self._since_ns)
        self._base_ns, self._since_ns, self._apart_ns = engine_ns, boottime_ns, apart_ns

    def _read(self) -> tuple[int, int] | None:
        """(wall clock, CLOCK_BOOTTIME) of one moment; None where the process can not read both."""
        for _ in range(_TRIES):
            first = self._clocks.boottime_ns()
            wall = self._clocks.wall_ns()
            last = self._clocks.boottime_ns()
            if last - first <= _AT_ONCE_NS:
                return wall, last
        return None

    def _quality(self, wall: int) -> TimeQuality:
        told = self._clocks.synchronised()
        if not EARLIEST_NS <= wall <= LATEST_NS or (told is not True and wall < self._trusted_ns):
            return TimeQuality.IMPLAUSIBLE
        if told:
            self._trusted_ns = max(self._trusted_ns, wall)
        if told is None:
            return TimeQuality.UNKNOWN
        return TimeQuality.SYNCHRONISED if told else TimeQuality.UNSYNCHRONISED
