"""What kind of tag a column is, by its data, name and unit; a person confirms it.

A kind is claimed only where the data show it and nothing else would look the same: what only grows
may be a counter or a slow ramp, so the name or the unit must say that it counts. Where they do not,
it is a question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import pi

import numpy as np

from agent.core.kinds import ALIKE, COUNTERS, QUANTISED
from agent.fit.category import read_states
from agent.fit.kinds import judged
from agent.fit.record import read_record
from agent.types import Float64

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\dA-Z_]+|[A-Z]+")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_COUNTS = _set(
    "total totals totaliser totalizer totalised totalized tot cum cumulative cumulated accumulated"
    " counter count counts cnt pulses fq fqi fqt fiq eq jq wq wqi zähler zaehler zählerstand"
    " zaehlerstand meter reading summe zählwerk zaehlwerk compteur contador accumulated accum acc"
    " stückzähler stueckzaehler impulse"
)
_HOURS = _set(
    "hours hrs runhours runtime operatinghours betriebsstunden laufzeit stunden bh uptime"
)
_ENERGY = _set("kwh mwh gwh wh gj mj kvarh")
_AMOUNTS = _set("m3 nm3 sm3 l kg t lb")
_COMPASS = _set("direction winddir winddirection azimuth heading compass bearing richtung yaw")
_ANGLES = _set("angle phase winkel phi theta rotation position crank dir") | _COMPASS
_SET = _set("sp sv spt setpoint setpt sollwert soll consigne vorgabe ref reference demand")
_COMMANDS = _set("cmd command befehl start stop open close trip reset")
_BY_NATURE = _set(
    "design nominal nenn limit limits serial seriennummer sn const constant rated rating hh ll"
    " version id faktor factor lim koeffizient coefficient"
)
_PIECES = _set("counter count counts cnt pulses impulse stückzähler stueckzaehler")
_HOUR = {"s": 3600.0, "min": 60.0}  # units of run time -> how many are an hour
_INTENSIVE = _set("% degc degf k bar mbar kpa mpa psi rpm")  # what nothing is counted in
_CIRCLES = {"deg": 360.0, "degree": 360.0, "degrees": 360.0, "grad": 360.0, "rad": 2 * pi}
_FEWEST = 50  # steps forward, for "it only grows" to be more than chance
_MOST_BACK = 0.01  # of the steps may be beginnings anew
_MOST_CHANGES = 0.2  # of the samples of what is set
_MOST_NAMED = 12  # tags of one kind in a sentence
_MOST_VALUES = 40  # of a coarse instrument


@dataclass(frozen=True, slots=True)
class FoundKind:
    """A kind, and why; not `sure`: a question, for another kind looks the same."""

    kind: str
    why: str
    sure: bool = True


def words_of(name: str) -> frozenset[str]:
    """The words of a name, lower case; two that are written as one are both."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return frozenset(words) | {a + b for a, b in pairwise(words)}


def is_constant_by_nature(name: str) -> bool:
    """Whether the name is that of a design value, a limit or a number of something."""
    return bool(words_of(name) & _BY_NATURE)


def proposals(kinds: Mapping[str, str]) -> list[str]:
    """What the file proposes, for a person to confirm: each kind with its tags, in one sentence."""
    by_kind: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        by_kind.setdefault(kind, []).append(name.removeprefix("loop ") if "loop" in kind else name)
    texts = [
        f"{kind}: {', '.join(names[:_MOST_NAMED])}{', ...' * (len(names) > _MOST_NAMED)}"
        for kind, names in by_kind.items()
    ]
    return [f"proposed in the file, to be confirmed: {'; '.join(texts)}"] if texts else []


def recognise(name: str, values: Float64, unit: str, interval_ns: int) -> FoundKind | None:
    """The kind of a column float64[n], NaN where missing; None where it is a plain measurement."""
    words, unit = words_of(name), unit.lower()
    raw = values[np.isfinite(values)]
    if len(raw) < 2:
        return None
    if words & _SET and np.mean(np.diff(raw) != 0.0) <= _MOST_CHANGES:
        return FoundKind("set point", "moves in steps or not at all, as its name says")
    if (raw == raw[0]).all():
        by_nature = is_constant_by_nature(name)
        return FoundKind("constant", "one value, as its name says") if by_nature else None
    for found in (
        _command(raw, words), _circle(raw, words, unit),
        _counter(values, words, unit, interval_ns),
    ):  # fmt: skip
        if found is not None:
            return found
    if read_states(read_record(values, name)) is not None:
        return FoundKind("state", "few codes that come back again and again")
    return _coarse(raw)


def _command(raw: Float64, words: frozenset[str]) -> FoundKind | None:
    if words & _COMMANDS and set(np.unique(raw).tolist()) in ({0.0, 1.0}, {0.0, 100.0}):
        return FoundKind("command", "on and off, as its name says")
    return None


def _circle(raw: Float64, words: frozenset[str], unit: str) -> FoundKind | None:
    """Within one turn; its name says so, or it goes over the end of the circle as angles do."""
    if unit not in _CIRCLES and not (words & _ANGLES and not unit):
        return None
    low, high = float(raw.min()), float(raw.max())
    for turn in [_CIRCLES[unit]] if unit in _CIRCLES else [360.0, 2 * pi]:
        room = 0.01 * turn
        within = (low >= -room and high <= turn + room) or max(-low, high) <= turn / 2 + room
        if not within:
            continue
        steps = np.abs(np.diff(raw))
        over = steps > turn / 2
        if over.sum() >= 2 and over.mean() < 0.1 and np.median(steps) < turn / 8:
            circle = f"{turn:.4g}"
            return FoundKind("angle", f"goes over the end of a circle of {circle}")
        if words & _COMPASS and unit in _CIRCLES and high - low > turn / 4:
            return FoundKind("angle", "a direction, as its name says")
    return None


def _counter(
    values: Float64, words: frozenset[str], unit: str, interval_ns: int
) -> FoundKind | None:
    gone = np.diff(values[np.isfinite(values)])
    ahead, back = int((gone > 0).sum()), int((gone < 0).sum())
    if ahead < _FEWEST or back > _MOST_BACK * ahead:
        return None
    found = judged(values, next(iter(COUNTERS)), interval_ns=interval_ns)
    rate = found.values[np.isfinite(found.values)]
    if not len(rate) or (rate < 0.0).any():
        return None  # it went back by itself
    how = "only grows" if not back else f"only grows, but for {back} beginnings anew"
    if (unit == "h" or words & _HOURS) and (words & (_HOURS | _COUNTS)):
        hours = rate / _HOUR.get(unit, 1.0)
        by_clock = bool(np.quantile(hours, 0.99) * np.mean(rate > 0) <= 1.2)
        return FoundKind("run hours" if by_clock else "counter", f"{how}, as hours do")
    if words & _COUNTS or unit in _ENERGY:
        counts = not words & _PIECES or unit in _ENERGY | _AMOUNTS
        kind = "totaliser" if counts else "counter"
        return FoundKind(kind, f"{how}, and its {'name' if words & _COUNTS else 'unit'} counts")
    if unit in _INTENSIVE:
        return None
    why = f"it {how}: does it count? Then take away the first #"
    return FoundKind("totaliser", why, sure=False)


def _coarse(raw: Float64) -> FoundKind | None:
    distinct = np.unique(raw)
    if len(distinct) > _MOST_VALUES or len(raw) < 20 * len(distinct):
        return None
    gaps = np.diff(distinct)
    steps = gaps / gaps.min()
    if np.abs(steps - np.round(steps)).max() > 1e-3:
        return None
    alike = ALIKE * gaps.min()
    why = f"comes in {len(distinct)} values, steps of {gaps.min():.3g}; within {alike:.2g} is equal"
    return FoundKind(QUANTISED, why)
