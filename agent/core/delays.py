"""Delays of conditions, in intervals of what they are about (ISA-18.2: on-delay, off-delay)."""

from __future__ import annotations

TRANSPORT = frozenset({"missing", "bad"})
"""Detectors that see that nothing usable arrives; no model is part of their findings' keys."""

LATCHED = frozenset({"spike", "rate", "step"})
"""Detectors of momentary events: their flag counts for the settling time even when it has gone."""

PASSING = frozenset({"change"})
"""Detectors that come back by themselves, hundreds of scans after a move, the way back included:
they hold no condition open that is seen to be over. What several scans agreed on counts for the
settling time, too."""

SETTLE = {"missing": 2, "bad": 5, "source": 0}  # bad: longer than it takes to clear after one
"""Until a detector's finding is raised, where it is not `SETTLE_DEFAULT`."""

SETTLE_DEFAULT = 6

AGREED = 1
"""Scans before a smoothed joint chart raises its model's condition: several have agreed already,
and no more specific name is to be waited for, as there is where one tag explains it."""

UNDECIDED = 15
"""Scans that a sudden change which several inputs may explain waits to be told whose it is."""

REVIEWS = (6, 16, 48, 128, 384)
"""After raising: when the name is looked at again."""

OFF_DELAY = 60
"""Intervals without any finding until a condition clears, where they last a second or less."""

FLAG_HOLD = 30
"""Samples without evidence until a per-sample detector's flag clears, likewise."""

SECOND_NS = 1_000_000_000
FEWEST = 10
"""Longer intervals make up the same time, and are this many at least. A reading an hour that was
wrong once must not keep its model from being trusted for days."""

STEP_LINGER_TAU = 16.0
"""Correlation times that a condition raised by a step waits for the charts on blocks to confirm."""

MOST_LINGER = 600
"""Most that a condition waits without a finding."""

CHATTERS = 10
"""Times what it waited before it cleared: a condition that is back by then is the same fault at the
limit of what is seen, and waits twice as long from then on (ISA-18.2: chattering, off-delay)."""


def _in_time(intervals: int, interval_ns: int) -> int:
    """How many make up `intervals` seconds: `FEWEST` at least, `intervals` at most."""
    return min(max(-(-intervals * SECOND_NS // max(interval_ns, 1)), FEWEST), intervals)


def flag_hold(interval_ns: int) -> int:
    """Samples without evidence after which a per-sample detector's flag clears."""
    return _in_time(FLAG_HOLD, interval_ns)


def off_delay(interval_ns: int) -> int:
    """Intervals without any finding after which a condition clears."""
    return _in_time(OFF_DELAY, interval_ns)


def off_delay_ns(interval_ns: int) -> int:
    """The same as a time."""
    return off_delay(interval_ns) * interval_ns
