"""The audit of the promise: false alarms as people found them, against the budget.

An alarm counts on the day it was raised; the last word of a person on it says whether it was false.
Everything comes from the store's events, so a restart or a kill changes nothing.

The test: with `promised` false alarms expected in the time that was watched, as many as were found,
or more, must come by chance in less than 5 % of such times (one-sided exact Poisson test; Garwood
1936). It is looked at anew all the time, so that in years it will once say "exceeded" by chance.
"""

from __future__ import annotations

import math
from typing import Any, Final

from agent.config import Gateway
from agent.store import Reader

WINDOW_NS: Final = 30 * 86_400 * 1_000_000_000
SIGNIFICANCE: Final = 0.05
_LOOK_NS: Final = 60_000_000_000
_DAY_NS: Final = 86_400 * 1e9


class Audit:
    """Counts raised and false alarms over 30 days; reads only what is new in the store.

    Args:
        reader: of the store.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._raised: dict[str, int] = {}  # occurrence -> when it was raised
        self._false: dict[str, bool] = {}  # occurrence -> the last word on it
        self._after = (0, -1)
        self._looked: tuple[int, dict[str, Any]] = (-_LOOK_NS, {})

    def forget(self) -> None:
        """Look again at the next report: somebody has just said something."""
        self._looked = (-_LOOK_NS, {})

    def report(self, gateway: Gateway, now_ns: int) -> dict[str, Any]:
        """The document's ``budget`` as of `now_ns`; the store is asked once a minute."""
        if now_ns - self._looked[0] >= _LOOK_NS:
            self._read(now_ns)
            watched_ns = min(WINDOW_NS, self._reader.watched_ns(now_ns - WINDOW_NS, now_ns))
            self._looked = (now_ns, self._count(gateway, watched_ns))
        # The promise may have been changed by a reload since.
        if self._looked[1]["false_alarms"] != gateway.false_alarms:
            self.forget()
            return self.report(gateway, now_ns)
        return self._looked[1]

    def _read(self, now_ns: int) -> None:
        since_ns = now_ns - WINDOW_NS
        for mark in self._reader.condition_marks(since_ns, self._after):
            self._after = mark["sequence"], mark["position"]
            if mark["change"] == "raised":
                self._raised[mark["id"]] = mark["time_ns"]
            else:
                self._false[mark["id"]] = bool(mark["false"])
        self._raised = {name: at for name, at in self._raised.items() if at >= since_ns}
        self._false = {name: word for name, word in self._false.items() if name in self._raised}

    def _count(self, gateway: Gateway, watched_ns: int) -> dict[str, Any]:
        false = sum(self._false.values())
        promised = gateway.false_alarms_per_ns * watched_ns
        return {
            "false_alarms": gateway.false_alarms,
            "expected_per_30_days": gateway.false_alarms_per_ns * WINDOW_NS,
            "raised_30_days": len(self._raised),
            "acknowledged_30_days": len(self._false),
            "acknowledged_false": false,
            "watched_days": round(watched_ns / _DAY_NS, 3),
            "promised": promised,
        } | verdict(false, promised, len(self._raised) - len(self._false), watched_ns / _DAY_NS)


def verdict(false: int, promised: float, unjudged: int, days: float) -> dict[str, Any]:
    """``exceeded``, the chance of it (`at_least`), and the same in words.

    Args:
        false: alarms that people called false.
        promised: false alarms expected in the time that was watched.
        unjudged: alarms that nobody has acknowledged.
        days: that were watched.
    """
    chance = at_least(false, promised)
    exceeded = chance < SIGNIFICANCE
    text = f"{'exceeded' if exceeded else 'kept'}: {false} false in {_span(days)}"
    text += f", {f'{promised:.2g}' if promised >= 0.01 else 'less than 0.01'} promised"
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
