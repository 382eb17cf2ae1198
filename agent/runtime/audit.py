"""The audit of the promise: false alarms as people found them, against the budget.

What counts are incidents (see `agent.core.incident`), on the day they began; the last word of a
person on one of its conditions says whether it was false.
Everything comes from the store's events, so a restart or a kill changes nothing.

The test: with `promised` false alarms expected in the time that was watched, as many as were found,
or more, must come by chance in less than 5 % of such times (one-sided exact Poisson test; Garwood
1936). A time too short for one promised alarm is judged as if it had been long enough for it: the
one that was promised may come on the first day. As counts only grow, however often one looks in
that first time, it says "exceeded" by chance in less than 5 % of cases; later it is looked at anew
all the time, so that in years it will once say so by chance.

What the store holds is read once; what comes later is handed in as it is committed (`count`), so
that the figures are never behind what `status` shows beside them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from agent.configuration.schema import Gateway
from agent.store import Reader
from agent.types import Event

WINDOW_NS: Final = 30 * 86_400 * 1_000_000_000
SIGNIFICANCE: Final = 0.05
_LOOK_NS: Final = 60_000_000_000
_DAY_NS: Final = 86_400 * 1e9
_WINDOW_DAYS: Final = WINDOW_NS / _DAY_NS


class Audit:
    """Counts raised and false alarms over 30 days; reads the store's events at the first report.

    Args:
        reader: of the store.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._raised: dict[str, int] = {}  # incident -> when it began
        self._false: dict[str, bool] = {}  # incident -> the last word on it
        self._has_read = False
        self._read_ns = self._watched_ns = 0
        self._told: dict[str, Any] = {}
        self._told_ns = 0

    def count(self, events: Iterable[Event]) -> None:
        """Count these too; they are committed together with the next document, or were already."""
        for event in events:
            if event.kind == "condition":
                self._mark(event.time_ns, event.data)
            elif event.kind == "clock":
                self._move(int(event.data["shift_ns"]))

    def report(self, gateway: Gateway, now_ns: int) -> dict[str, Any]:
        """The document's ``budget`` as of `now_ns`; the store is asked once a minute how long it
        was watched.
        """
        since_ns = now_ns - WINDOW_NS
        if not self._has_read:
            for mark in self._reader.condition_marks(since_ns):
                self._mark(mark["time_ns"], mark)
        if not self._has_read or now_ns - self._read_ns >= _LOOK_NS:
            self._watched_ns = self._reader.watched_ns(since_ns, now_ns)
            self._read_ns, self._has_read = now_ns, True
        self._raised = {name: at for name, at in self._raised.items() if at >= since_ns}
        self._false = {name: word for name, word in self._false.items() if name in self._raised}
        return self._count(gateway, min(WINDOW_NS, self._watched_ns))

    def for_central(self, gateway: Gateway, now_ns: int) -> dict[str, Any]:
        """What a birth tells of it (`forward/schemas/state.json`); the same for a minute, so that
        a storm of alarms is no storm of births, and days are whole ones.
        """
        if not self._told or not 0 <= now_ns - self._told_ns < _LOOK_NS:
            known = self.report(gateway, now_ns)
            self._told_ns = now_ns
            self._told = {
                "false_alarms": known["false_alarms"],
                "expected_per_30_days": known["expected_per_30_days"],
                "watched_days": int(known["watched_days"]),
                "raised": known["raised_30_days"],
                "acknowledged": known["acknowledged_30_days"],
                "false": known["acknowledged_false"],
                "exceeded": known["exceeded"],
            }
        return self._told

    def _move(self, shift_ns: int) -> None:
        """The clock was set: an alarm was raised as long ago as before."""
        self._raised = {name: at + shift_ns for name, at in self._raised.items()}
        self._read_ns += shift_ns

    def _mark(self, time_ns: int, told: Mapping[str, Any]) -> None:
        if told["change"] == "raised":
            self._raised.setdefault(told["incident"], time_ns)
        elif told["change"] == "acknowledged":
            self._false[told["incident"]] = bool(told["false"])

    def _count(self, gateway: Gateway, watched_ns: int) -> dict[str, Any]:
        false = sum(self._false.values())
        promised = gateway.false_alarms_per_ns * watched_ns
        in_window = gateway.false_alarms_per_ns * WINDOW_NS
        return {
            "false_alarms": gateway.false_alarms,
            "expected_per_30_days": in_window,
            "raised_30_days": len(self._raised),
            "acknowledged_30_days": len(self._false),
            "acknowledged_false": false,
            "watched_days": round(watched_ns / _DAY_NS, 3),
            "promised": promised,
        } | verdict(
            false, promised, len(self._raised) - len(self._false), watched_ns / _DAY_NS, in_window
        )


def verdict(
    false: int, promised: float, unjudged: int, days: float, in_window: float
) -> dict[str, Any]:
    """``exceeded``, the chance of it (`at_least`), and the same in words.

    Args:
        false: alarms that people called false.
        promised: false alarms expected in the time that was watched.
        unjudged: alarms that nobody has acknowledged.
        days: that were watched.
        in_window: false alarms expected in 30 days.
    """
    least = min(1.0, in_window)
    expected = max(promised, least)
    chance = at_least(false, expected)
    exceeded = chance < SIGNIFICANCE
    text = f"{'exceeded' if exceeded else 'kept'}: {false} false in {_span(days)}"
    text += f", {expected:.2g} promised"
    if promised < least:
        text += f" in {_span(_WINDOW_DAYS * least / in_window)}"
    if unjudged:
        text += f"; {unjudged} not judged by anybody"
    return {"exceeded": exceeded, "chance": chance, "text": text}


def _span(days: float) -> str:
    hours = days * 24
    if hours < 1:
        return "less than an hour"
    return f"{days:.0f} days" if days >= 2 else f"{hours:.0f} hours"


def at_least(count: int, expected: float) -> float:
    """The chance of `count` or more events where `expected` are (Poisson), 0 to 1."""
    if count <= 0:
        return 1.0
    if expected <= 0:
        return 0.0
    # In logarithms: exp(-expected) alone is 0 beyond 745.
    log = math.log(expected)
    below = math.fsum(math.exp(i * log - expected - math.lgamma(i + 1)) for i in range(count))
    return min(1.0, max(0.0, 1.0 - below))
