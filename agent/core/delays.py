"""Delays of conditions (ISA-18.2: on-delay, off-delay), as durations in ns.

Evidence comes at an interval: that of an input's samples or of a model's scans. A delay is so many
intervals of the slowest evidence of a condition, and where that takes seconds or more, a time.
"""

from __future__ import annotations

from agent.core.kernels.base import ON_DELAY

_SECOND_NS = 1_000_000_000

UNDECIDED = 15
"""Intervals that a sudden change which several inputs may explain waits to be told whose it is."""

REVIEWS = (6, 16, 48, 128, 384)
"""Intervals after raising at which the name is looked at again."""

OFF_DELAY = 60
"""Seconds, and at most so many intervals, without any finding until a condition clears."""

FLAG_HOLD = 30
"""Seconds, and at most so many samples, without evidence until a per-sample flag clears."""

_FEWEST = 10
"""Least intervals of an off-delay, and of a flag's hold. A reading an hour that was wrong once must
not keep its model from being trusted for days."""

STEP_CONFIRMED_TAU = 16.0
"""Correlation times until the charts on blocks must have confirmed what a momentary finding began.
"""

LONGEST_OFF_DELAY = 600
"""Intervals that a condition waits without a finding at most."""

SETTLED_TAU = 16.0
"""Correlation times of the slowest input of a model until what a fault brings about has settled."""

_SETTLING_S = (120, 86_400)  # at least, at most

CHATTERS = 10
"""Times the off-delay of a condition: one that is back by then is the same fault at the limit of
what is seen, and its off-delay doubles (ISA-18.2: chattering alarms)."""


def _in_time(seconds: int, interval_ns: int) -> int:
    """How many intervals make up `seconds`: `_FEWEST` at least, as many as seconds at most."""
    return min(max(-(-seconds * _SECOND_NS // max(interval_ns, 1)), _FEWEST), seconds)


def flag_hold(interval_ns: int) -> int:
    """Samples without evidence after which a per-sample detector's flag clears."""
    return _in_time(FLAG_HOLD, interval_ns)


def on_delay_ns(interval_ns: int, intervals: int = ON_DELAY) -> int:
    """Until a finding raises a condition."""
    return intervals * interval_ns


def off_delay_samples(interval_ns: int) -> int:
    """How many samples the off-delay holds."""
    return _in_time(OFF_DELAY, interval_ns)


def off_delay_ns(interval_ns: int) -> int:
    """Without any finding until a condition clears."""
    return off_delay_samples(interval_ns) * interval_ns


def longest_off_delay_ns(interval_ns: int) -> int:
    """The longest that an off-delay may become."""
    return LONGEST_OFF_DELAY * interval_ns


def confirmation_ns(tau: float, interval_ns: int) -> int:
    """Until the charts on blocks must have confirmed a momentary finding; `tau` in samples."""
    return int(min(STEP_CONFIRMED_TAU * tau, LONGEST_OFF_DELAY)) * interval_ns


def settling_ns(slowest_ns: float) -> int:
    """Until all conditions of one fault have begun; from the slowest correlation time in ns."""
    least, most = _SETTLING_S
    return int(min(max(SETTLED_TAU * slowest_ns, least * _SECOND_NS), most * _SECOND_NS))
