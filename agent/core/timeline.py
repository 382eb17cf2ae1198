"""The timeline: how engine time is set anew, and how far it is to be believed.

Order is (boot, sequence); engine time moves on with it, but for two commands, which say that it was
set anew, or that nobody watched:

- ``boot``: a run begins. Engine time is the wall clock's, wherever the journal ended.
- ``clock``: within a run, the wall clock was set, its quality changed, or the process stood still.

Their `sealed_ns` is already in the new time. `data`: `quality`, `boot_id` (the kernel's) and
`offset_ns` (engine time minus CLOCK_BOOTTIME) as of then; `away_ns`, for how long nobody watched,
None where that is not known; and of ``clock`` `shift_ns`, what all times before must be moved by to
be right. Spans do not change: silence, delays and windows go on where they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.types import Command, Event, TimeQuality

LEAPS: Final = frozenset({"boot", "clock"})
_NOISE_NS: Final = 1_000_000_000
"""Two measurements of the time between two runs that differ by less agree."""


@dataclass(frozen=True, slots=True)
class Leap:
    """What a command does to time.

    Attributes:
        before_ns: until then all was watched, in the time before.
        shift_ns: then all times move by so much.
        anew: and from there to the command's own time nobody watched.
        compared: whether times after it and before it are of clocks that are known to agree.
    """

    before_ns: int
    shift_ns: int
    anew: bool
    compared: bool


@dataclass(slots=True)
class Timeline:
    """What the last command of a clock said.

    Attributes:
        quality: how far engine time is to be believed.
        boot_id: the kernel's; empty where none was told.
        offset_ns: engine time minus CLOCK_BOOTTIME of that kernel.
    """

    quality: TimeQuality = TimeQuality.UNKNOWN
    boot_id: str = ""
    offset_ns: int = 0

    def take(self, told: Command, leap: Leap) -> list[Event]:
        """Remember what a command said; the event of it, where people should know."""
        was = self.quality
        self.quality = _quality(told.data)
        self.boot_id = str(told.data.get("boot_id", ""))
        self.offset_ns = _whole(told.data.get("offset_ns")) or 0
        away_ns = (_whole(told.data.get("away_ns")) or 0) if told.kind == "clock" else 0
        changed = told.kind == "clock" and self.quality is not was
        if not (leap.shift_ns or away_ns or changed):
            return []
        data = {
            "change": "set" if leap.shift_ns else "away" if away_ns else "quality",
            "shift_ns": leap.shift_ns, "away_ns": away_ns,
            "time_quality": str(self.quality), "was": str(was),
        }
        return [Event("clock", told.sealed_ns, "gateway", data)]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "quality": str(self.quality), "boot_id": self.boot_id, "offset_ns": self.offset_ns,
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Timeline:
        """From `to_json`; from nothing, where a version before this one wrote the state."""
        return Timeline(
            _quality(document), str(document.get("boot_id", "")),
            int(document.get("offset_ns", 0)),
        )


def leap_of(told: Command, known: Timeline, time_ns: int) -> Leap:
    """What a ``boot`` or ``clock`` command does to time.

    Args:
        told: the command.
        known: of the commands before it.
        time_ns: until when all was judged.
    """
    away_ns = _whole(told.data.get("away_ns"))
    if told.kind == "clock":
        away_ns = away_ns or 0
        shift_ns = _whole(told.data.get("shift_ns")) or 0
        # Whatever it says, what was judged is not judged again.
        before_ns = max(told.sealed_ns - shift_ns - away_ns, time_ns)
        shift_ns = told.sealed_ns - away_ns - before_ns
        return Leap(before_ns, shift_ns, anew=away_ns > 0, compared=True)
    apart_ns = told.sealed_ns - time_ns
    qualities = {known.quality, _quality(told.data)}
    if not time_ns:
        shift_ns = 0
    elif away_ns is not None and abs(apart_ns - away_ns) >= _NOISE_NS:
        shift_ns = apart_ns - away_ns
    elif away_ns is None and TimeQuality.IMPLAUSIBLE in qualities:
        shift_ns = apart_ns  # two clocks of which one is wrong do not tell how long it was
    else:
        shift_ns = min(apart_ns, 0)
    compared = away_ns is not None or qualities == {TimeQuality.SYNCHRONISED}
    return Leap(time_ns, shift_ns, anew=True, compared=compared)


def _quality(data: Mapping[str, Any]) -> TimeQuality:
    text = data.get("quality")
    return TimeQuality(text) if text in set(TimeQuality) else TimeQuality.UNKNOWN


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
