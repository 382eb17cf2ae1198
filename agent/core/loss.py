"""Losses of one prediction against one truth, and sums of them that add up exactly.

A loss is a float64 from 0 to `MOST`, NaN where prediction or truth can not be used. All of them use
+ - * / and comparisons only, so that the same label gives the same bits on every machine.

Sums are kept as whole multiples of the least float64, so `merge` is associative and commutative to
the bit, however labels were cut into windows and windows into gateways.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.errors import FieldwardenError

MOST = 1e140
"""The largest loss; more is counted as this, so that sums of squares stay finite."""

LEAST_SCORE = 1e-15
"""A class's share below this counts as this: what was held impossible costs 34.5, not infinity."""

OTHER = ""
"""In a confusion, a class that was not declared."""

def is_usable(loss: float) -> bool:
    """Whether a loss can be summed: no NaN, infinite or negative one."""
    return 0.0 <= loss < math.inf


_LN2 = 0.6931471805599453
_TERMS = 13  # of the series of the logarithm: the next one is below 1e-19
_ONE = 1 << 1074  # multiples of the least float64 in 1.0
_MOST_PARTS = 64
_MOST_COUNT = 1 << 62


def absolute(prediction: float, truth: float) -> float:
    """|truth - prediction|, in the unit of both."""
    return _bounded(abs(truth - prediction))


def squared(prediction: float, truth: float) -> float:
    """(truth - prediction)^2, in the square of their unit."""
    return _bounded((truth - prediction) * (truth - prediction))


def pinball(prediction: float, truth: float, quantile: float) -> float:
    """Loss of a predicted quantile, 0 < `quantile` < 1 (Koenker & Bassett 1978); in their unit."""
    error = truth - prediction
    return _bounded(quantile * error if error >= 0.0 else (quantile - 1.0) * error)


def log_loss(scores: Mapping[str, float], truth: str) -> float:
    """-ln of the share of the true class in the scores of all, in nats; 0 to 34.5.

    A true class without a score has been held impossible.
    """
    whole = _whole(scores)
    if not whole > 0.0:
        return math.nan
    return -_ln(max(scores.get(truth, 0.0) / whole, LEAST_SCORE))


def brier(scores: Mapping[str, float], truth: str) -> float:
    """Sum over classes of the squared error of the share, 0 to 2 (Brier 1950, all classes)."""
    whole = _whole(scores)
    if not whole > 0.0:
        return math.nan
    missed = [] if truth in scores else [1.0]
    return math.fsum(
        [*missed, *((score / whole - float(name == truth)) ** 2 for name, score in scores.items())]
    )


VALUE_LOSSES: Mapping[str, Callable[[float, float], float]] = {
    "absolute": absolute, "squared": squared,
}  # fmt: skip
"""Losses of a number that need nothing but prediction and truth; `pinball` needs a quantile."""

CLASS_LOSSES: Mapping[str, Callable[[Mapping[str, float], str], float]] = {
    "log": log_loss, "brier": brier,
}  # fmt: skip
"""Losses of classes, from the scores of all and the true one."""


def decided(scores: Mapping[str, float]) -> str:
    """The class with the largest score, of equal ones the first by name; `OTHER` where none is."""
    known = [(-score, name) for name, score in scores.items() if score == score]
    return min(known)[1] if known else OTHER


def _bounded(loss: float) -> float:
    return min(loss, MOST) if loss == loss else math.nan


def _whole(scores: Mapping[str, float]) -> float:
    """Sum of the scores; NaN where one is negative or no finite number."""
    if any(not 0.0 <= score < MOST for score in scores.values()):
        return math.nan
    return math.fsum(scores.values())


def _ln(x: float) -> float:
    """Natural logarithm of x > 0; unlike the system's the same everywhere."""
    mantissa, exponent = math.frexp(x)
    if mantissa < 0.7071067811865476:
        mantissa, exponent = 2.0 * mantissa, exponent - 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    summed = 0.0
    for term in range(_TERMS, -1, -1):
        summed = summed * (s * s) + 1.0 / (2 * term + 1)
    return exponent * _LN2 + 2.0 * s * summed


# --- sums ----------------------------------------------------------------------------------------

KEYS = ("losses", "losses_left_out")
"""Of a label's summary: losses of its output, and those of predictions made on faulty inputs."""


@dataclass(slots=True)
class LossSums:
    """What the labels of a window add up to.

    Attributes:
        kind: the loss, such as "absolute" or "pinball 0.9".
        clip: what a chart clips losses at; sums here are of losses as they are.
        classes: names that the confusion tells apart; any other is `OTHER`.
        count: losses summed; `unusable` those that were no number; `clipped` those beyond `clip`.
        total, squares: sums in multiples of the least float64; see `mean` and `variance`.
        confusion: labels by (true class, decided class).
    """

    kind: str
    clip: float = math.inf
    classes: tuple[str, ...] = ()
    count: int = 0
    unusable: int = 0
    clipped: int = 0
    total: int = 0
    squares: int = 0
    confusion: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def touched(self) -> bool:
        """Whether anything was added or corrected."""
        return bool(self.count or self.unusable or self.total or self.confusion)

    def add(self, loss: float) -> None:
        """One loss more; one that is NaN, infinite or negative is counted as unusable."""
        self._fold(loss, 1)

    def correct(self, was: float, loss: float) -> None:
        """A loss that was added, here or in a window before, is another: its truth was corrected.

        So sums over windows are exact, while those of one may say less than nothing. Either may be
        unusable, as in `add`.
        """
        self._fold(was, -1)
        self._fold(loss, 1)

    def _fold(self, loss: float, times: int) -> None:
        if not is_usable(loss):
            self.unusable += times
            return
        loss = min(loss, MOST)
        self.count += times
        self.clipped += times * int(loss > self.clip)
        self.total += times * _multiples(loss)
        self.squares += times * _multiples(loss * loss)

    def correct_class(self, was: str, truth: str, said: str) -> None:
        """The truth of a decision is another."""
        key = self._known(was), self._known(said)
        self.confusion[key] = self.confusion.get(key, 0) - 1
        self.add_class(truth, said)

    def add_class(self, truth: str, said: str) -> None:
        """One decision more in the confusion."""
        key = self._known(truth), self._known(said)
        self.confusion[key] = self.confusion.get(key, 0) + 1

    def _known(self, name: str) -> str:
        return name if name in self.classes else OTHER

    @property
    def mean(self) -> float:
        """Mean loss, correctly rounded; NaN of none."""
        return self.total / (self.count * _ONE) if self.count else math.nan

    @property
    def variance(self) -> float:
        """Variance of the losses (divided by their count), >= 0; NaN of none."""
        if not self.count:
            return math.nan
        spread = self.squares * self.count * _ONE - self.total * self.total
        return max(spread, 0) / (self.count * self.count * _ONE * _ONE)

    def merge(self, other: LossSums) -> LossSums:
        """The sums of both; associative and commutative, to the bit.

        Raises:
            FieldwardenError: another loss, clip or classes.
        """
        for name in ("kind", "clip", "classes"):
            mine, its = getattr(self, name), getattr(other, name)
            if mine != its:
                raise FieldwardenError(
                    "merging losses", self.kind, f"{name} {mine!r} and {its!r}",
                    "merge only what the same baseline was used for",
                )
        return LossSums(
            self.kind, self.clip, self.classes, self.count + other.count,
            self.unusable + other.unusable, self.clipped + other.clipped,
            self.total + other.total, self.squares + other.squares,
            {
                key: self.confusion.get(key, 0) + other.confusion.get(key, 0)
                for key in sorted(self.confusion.keys() | other.confusion.keys())
            },
        )

    def to_json(self) -> dict[str, Any]:
        """Values of JSON; sums as float64 that add up to them exactly, largest first."""
        return {
            "kind": self.kind, "clip": self.clip if self.clip < math.inf else None,
            "classes": list(self.classes),
            "count": self.count, "unusable": self.unusable, "clipped": self.clipped,
            "sum": _parts(self.total), "sum_sq": _parts(self.squares),
            "confusion": [[*key, self.confusion[key]] for key in sorted(self.confusion)],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LossSums:
        """What `to_json` gave.

        Raises:
            FieldwardenError: it is not that.
        """
        try:
            clip = math.inf if data["clip"] is None else float(data["clip"])
            sums = cls(
                str(data["kind"]), clip, tuple(str(name) for name in data["classes"]),
                _counted(data["count"], -_MOST_COUNT), _counted(data["unusable"], -_MOST_COUNT),
                _counted(data["clipped"], -_MOST_COUNT),
                _added(data["sum"]), _added(data["sum_sq"]),
            )
            for truth, said, count in data["confusion"]:
                key = sums._known(str(truth)), sums._known(str(said))
                sums.confusion[key] = sums.confusion.get(key, 0) + _counted(count, -_MOST_COUNT)
            return sums
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FieldwardenError(
                "reading sums of losses", str(data)[:40], f"{type(error).__name__}: {error}",
                "they were not written by this program, or by a later version of it",
            ) from None


def merged(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    """The losses of two summaries; nothing where neither has any."""
    found: dict[str, Any] = {}
    for key in KEYS:
        sums = [LossSums.from_json(one[key]) for one in (a, b) if one.get(key)]
        if sums:
            found[key] = (sums[0].merge(sums[1]) if len(sums) > 1 else sums[0]).to_json()
    return found


def _multiples(value: float) -> int:
    """A finite value in multiples of the least float64, exactly."""
    numerator, denominator = value.as_integer_ratio()
    return numerator * (_ONE // denominator)


def _parts(total: int) -> list[float]:
    found = []
    while total:
        part = total / _ONE
        found.append(part)
        total -= _multiples(part)
    return found


def _added(parts: Any) -> int:
    if not isinstance(parts, list) or len(parts) > _MOST_PARTS:
        raise ValueError("not a list of a sum's parts")
    return sum(_multiples(float(part)) for part in parts)


def _counted(value: Any, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= _MOST_COUNT:
        raise ValueError(f"{str(value)[:40]} is no count")
    return value
