"""Timers of conditions, and what is remembered of those that have returned to normal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.core.identity import Subject

_LONG_AGO = -1 << 62


@dataclass(frozen=True, slots=True)
class Returned:
    """A subject's last condition: normal since when, and how long that was waited for, in ns."""

    since_ns: int = _LONG_AGO
    waited_ns: int = 0


class Due(StrEnum):
    """What a timer is for; of one instant, in this order."""

    CLEAR = "clear"
    RAISE = "raise"
    REVIEW = "review"
    LAPSE = "lapse"
    UNSHELVE = "unshelve"


Timer = tuple[int, Subject, Due, int]
"""When it is due, of which subject, what is due, and the time that it counts from: since when
nothing is found for `CLEAR`, the first finding for all others."""


def paused(timers: Iterable[Timer], away_ns: int) -> list[Timer]:
    """Nobody looked for so long: delays go on where they were; shelving does not wait."""
    return [
        (due, subject, what, since) if what is Due.UNSHELVE else
        (due + away_ns, subject, what, since + (away_ns if what is Due.CLEAR else 0))
        for due, subject, what, since in timers
    ]


def moved(timers: Iterable[Timer], shift_ns: int) -> list[Timer]:
    """Engine time was set anew: no delay notices."""
    return [(due + shift_ns, subject, what, since + shift_ns)
            for due, subject, what, since in timers]


def whole_ns(value: Any) -> int:
    """A duration in ns out of a command's data; 0 where it is none."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 1e18 else 0
