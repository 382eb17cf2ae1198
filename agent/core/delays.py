"""Delays of conditions (ISA-18.2: on-delay, off-delay), as durations in ns.

Evidence comes at an interval: that of an input's samples or of a model's scans. A delay is so many
intervals of the slowest evidence of a condition, and where that takes seconds or more, a time.
"""

from __future__ import annotations

from agent.core.kernels.base import ON_DELAY

_SECOND_NS = 1_000_000_000

UNDECIDED = 15
"""Intervals that a sudden change which several inputs may explain waits to be told whose it is."""

REVIEWS = (6, 16, 48, 128, 384, 1152)
"""Intervals after raising at which the name is looked at again."""

FLAG_HOLD, _LEAST_HOLD = 10, 2
"""Seconds without evidence until a per-sample flag clears: so many samples at most, at least."""

OFF_DELAY, _LEAST_OFF = 20, 3
"""Seconds without any finding until a condition clears: so many intervals at most, at least.

Together: one wrong reading is over after 30 s, or 5 intervals where these are longer.
"""

STAYS_TAU = 16.0
"""Correlation times for which a fault that an abrupt change showed is taken to last by its name."""

LONGEST_OFF_DELAY, _LEAST_LONGEST = 600, 12
"""Seconds that a chattering condition waits without a finding: so many intervals at most, at least.
"""

LONGEST_STAY = 600
"""Intervals that a fault may stay open by its name alone, no chart seeing it any more."""

SETTLED_TAU = 16.0
"""Correlation times of the slowest input of a model until what a fault brings about has settled."""

_AT_ONCE = 60
"""Intervals within which one event that makes several inputs jump has done so, at least."""

_SETTLING_S = (120, 86_400)  # at least, at most

MOST_TIME = 0.005
"""Share of the time that false alarms may keep a model from "trusted": the promise's second figure,
beside how often they may come."""

FALSE_ALARM_NS = int(MOST_TIME * 30 * 86_400 * _SECOND_NS)
"""How long one of them may do so where one in 30 days is allowed."""

_LEAST_LAPSE = 10

CHATTERS = 10
"""Times the off-delay of a condition: one that is back by then is the same fault at the limit of
what is seen, and its off-delay doubles (ISA-18.2: chattering alarms)."""


def _in_time(seconds: int, interval_ns: int, least: int) -> int:
    """How many intervals make up `seconds`: `least` at least, as many as seconds at most."""
    return min(max(-(-seconds * _SECOND_NS // max(interval_ns, 1)), least), seconds)


def flag_hold(interval_ns: int) -> int:
    """Samples without evidence after which a per-sample detector's flag clears."""
    return _in_time(FLAG_HOLD, interval_ns, _LEAST_HOLD)


def on_delay_ns(interval_ns: int, intervals: int = ON_DELAY) -> int:
    """Until a finding raises a condition."""
    return intervals * interval_ns


def on_delay_of_sample(interval_ns: int) -> int:
    """Intervals until what a chart of single samples found raises a condition: before its flag and
    the off-delay are over, or a momentary event at a slow interval would never be told.
    """
    return min(ON_DELAY, flag_hold(interval_ns) + off_delay_samples(interval_ns) - 1)


def off_delay_samples(interval_ns: int) -> int:
    """How many samples the off-delay holds."""
    return _in_time(OFF_DELAY, interval_ns, _LEAST_OFF)


def off_delay_ns(interval_ns: int) -> int:
    """Without any finding until a condition clears."""
    return off_delay_samples(interval_ns) * interval_ns


def longest_off_delay_ns(interval_ns: int) -> int:
    """The longest that an off-delay may become."""
    return _in_time(LONGEST_OFF_DELAY, interval_ns, _LEAST_LONGEST) * interval_ns


def lapse_ns(interval_ns: int, false_alarm_ns: int) -> int:
    """After which an alarm that may be false no longer keeps its model from "trusted"."""
    return max(false_alarm_ns, _LEAST_LAPSE * interval_ns)


def stay_ns(tau: float, interval_ns: int) -> int:
    """For how long a fault is taken to last once no chart sees it; `tau` in samples."""
    return int(min(STAYS_TAU * tau, LONGEST_STAY)) * interval_ns


def settling_ns(slowest_ns: float) -> int:
    """Until all conditions of one fault have begun; from the slowest correlation time in ns."""
    least, most = _SETTLING_S
    return int(min(max(SETTLED_TAU * slowest_ns, least * _SECOND_NS), most * _SECOND_NS))


def at_once_ns(slowest_ns: float, interval_ns: int) -> int:
    """Within which inputs jump that one event makes jump; from their slowest correlation time."""
    return max(int(slowest_ns), _AT_ONCE * interval_ns)
