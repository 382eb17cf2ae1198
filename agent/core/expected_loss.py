"""The expected loss of a prediction before its truth is known, r(x), and what a window's is worth.

r(x) is a table over joint novelty x level of the prediction, learnt by `agent.fit.expected_loss`
from labels of the training record. A mean of it is an estimate of the loss that nobody has
measured: it sees what moves the inputs into regions where the model was seen to err more, and
nothing else. A model that became wrong where its inputs look as trained has the same expected loss
as before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import inf, isfinite, nan, sqrt
from typing import Any

NOVELTY_BINS, PREDICTION_BINS = 8, 4
COVERAGE = 0.9
"""Share of clean windows whose mean loss lies within the interval of its estimate."""

_MOST_LENGTHS = 100


@dataclass(frozen=True, slots=True)
class ExpectedLoss:
    """r(x): `table[novelty bin][prediction bin]`, in the loss's unit.

    `novelty` and `prediction` are the upper edges of all bins but the last; what lies on an edge
    belongs to the bin above it.
    """

    novelty: tuple[float, ...]
    prediction: tuple[float, ...]
    table: tuple[tuple[float, ...], ...]

    def of(self, novelty: float, prediction: float) -> float:
        """Expected loss of a prediction; NaN where one of the two is not known."""
        if novelty != novelty or prediction != prediction:
            return nan
        return self.table[self.novelty_bin(novelty)][bisect_right(self.prediction, prediction)]

    def novelty_bin(self, novelty: float) -> int:
        """The row of the table that a novelty falls into; see `agent.core.label_selection`."""
        return bisect_right(self.novelty, novelty)

    @property
    def range(self) -> tuple[float, float]:
        """Its least and its largest value."""
        return min(map(min, self.table)), max(map(max, self.table))


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated mean loss, with the interval that covers `COVERAGE` of clean windows."""

    value: float
    low: float
    high: float


def scatter_of(expected: float, risk: float) -> float:
    """How many times as far as the record's a mean loss scatters, where more is expected."""
    return max(1.0, expected / risk) if risk > 0.0 else 1.0


@dataclass(frozen=True, slots=True)
class Errors:
    """How far the mean loss of held-out windows lay from the mean of r(x), by length of window.

    Attributes:
        scans: lengths, ascending.
        low, high: 5 % and 95 % quantile of the error over `scatter_of`, at each length, in the
            loss's unit.
        least: half the width that no window, however long, goes below: the record's own mean.
    """

    scans: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    least: float

    def estimate(self, expected: float, scans: int, risk: float) -> Estimate:
        """The mean loss of a window of so many scans, from its mean `expected` loss.

        It is the mean of labels as dense as those of the record. Where more is expected than the
        reference `risk`, the interval is as many times as wide: losses scatter as they grow.
        """
        times = scatter_of(expected, risk)
        low, high = self._at(self.low, scans), self._at(self.high, scans)
        return Estimate(
            expected,
            max(expected + times * min(low, -self.least), 0.0),
            expected + times * max(high, self.least),
        )

    def _at(self, quantiles: Sequence[float], scans: float) -> float:
        """A quantile at a length: between two that were measured, q sqrt(n) goes straight in n.

        Beyond the longest, all but the error of the record's own mean falls as that of independent
        losses does.
        """
        lengths = self.scans
        above = bisect_right(lengths, scans)
        if above == 0:
            return quantiles[0]
        if above == len(lengths):
            own = quantiles[-1] ** 2 - self.least**2
            reach = sqrt(self.least**2 + max(own, 0.0) * lengths[-1] / scans)
            return reach if quantiles[-1] > 0.0 else -reach
        a, b = lengths[above - 1], lengths[above]
        share = (scans - a) / (b - a)
        scaled = (1.0 - share) * quantiles[above - 1] * sqrt(a) + share * quantiles[above] * sqrt(b)
        return scaled / sqrt(scans)


@dataclass(frozen=True, slots=True)
class Limit:
    """A CUSUM in service: variance of X in the long run, what is added to the reference value for
    the record's finite length (both in the loss's unit), and the limit in nats.
    """

    variance: float
    allowance: float
    limit: float


@dataclass(frozen=True, slots=True)
class LossReference:
    """What `fit` learnt of a model's losses; everything that charts of it need.

    Attributes:
        labels: labels of the record, and `scans_per_label` how far apart they were.
        clip: 99.9 % quantile of the record's losses; larger ones count as this.
        risk: mean loss of the record; `risk_error` its standard error.
        deviation: standard deviation of the losses.
        peak: the highest mean loss that those before a label ever let expect in the record.
        correlation: of loss and held-out expected loss; `slope` the c of X, 0 to 1.
        memory: scans after which expected losses are independent.
        block: labels after which losses are nearly so.
        alone: the CUSUM where only losses are known; `powered` that where many scans lie between
            labels.
        arl: labels between two false alarms.
        expected: r(x); `errors` what its means are worth.
    """

    labels: int
    scans_per_label: float
    clip: float
    risk: float
    risk_error: float
    deviation: float
    peak: float
    correlation: float
    slope: float
    memory: float
    block: int
    alone: Limit
    powered: Limit
    arl: float
    expected: ExpectedLoss
    errors: Errors

    def estimate(self, expected: float, scans: int) -> Estimate:
        """The mean loss of a window of so many scans from the mean of r(x) over them."""
        return self.errors.estimate(expected, scans, self.risk)

    def to_json(self) -> dict[str, Any]:
        """Values of JSON, for the baseline's file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LossReference:
        """What `to_json` gave, through JSON or not.

        Raises:
            ValueError: a value is missing, of another form, or can not be judged by.
        """
        try:
            table, errors = data["expected"], data["errors"]
            found = cls(
                **{name: _number(data[name]) for name in _NUMBERS},
                correlation=_number(data["correlation"], -1.0),
                labels=int(_number(data["labels"], 1.0)), block=int(_number(data["block"], 1.0)),
                alone=_limit(data["alone"]), powered=_limit(data["powered"]),
                expected=ExpectedLoss(
                    _numbers(table["novelty"], NOVELTY_BINS - 1, -inf),
                    _numbers(table["prediction"], PREDICTION_BINS - 1, -inf),
                    tuple(_numbers(row, PREDICTION_BINS) for row in table["table"]),
                ),
                errors=Errors(
                    _numbers(errors["scans"], len(errors["scans"])),
                    _numbers(errors["low"], len(errors["scans"]), -inf),
                    _numbers(errors["high"], len(errors["scans"]), -inf),
                    _number(errors["least"]),
                ),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"reference of losses: {type(error).__name__}: {error}") from None
        found.check()
        return found

    def check(self) -> None:
        """Raise ValueError where its parts do not fit together."""
        steps, lengths = self.expected, self.errors.scans
        for edges in (steps.novelty, steps.prediction, lengths):
            if any(b < a for a, b in pairwise(edges)):
                raise ValueError("reference of losses: its edges are not in order")
        if len(steps.table) != NOVELTY_BINS or not 1 <= len(lengths) <= _MOST_LENGTHS:
            raise ValueError("reference of losses: a table of another size")
        if not (self.slope <= 1.0 and self.deviation > 0.0 and lengths[0] > 0.0):
            raise ValueError("reference of losses: slope, deviation or lengths out of range")


_NUMBERS = (
    "scans_per_label", "clip", "risk", "risk_error", "deviation", "peak", "slope", "memory", "arl",
)  # fmt: skip


def _number(value: Any, least: float = 0.0) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise ValueError(f"reference of losses: {str(value)[:40]} is no finite number")
    if value < least:
        raise ValueError(f"reference of losses: {value:g} is below {least:g}")
    return float(value)


def _numbers(values: Any, length: int, least: float = 0.0) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or len(values) != length:
        raise ValueError(f"reference of losses: not a list of {length}")
    return tuple(_number(value, least) for value in values)


def _limit(data: Mapping[str, Any]) -> Limit:
    found = Limit(*(_number(data[name]) for name in ("variance", "allowance", "limit")))
    if not found.variance > 0.0 or not found.limit > 0.0:
        raise ValueError("reference of losses: a variance or limit of 0")
    return found
