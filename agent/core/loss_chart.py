"""The loss chart of one model: a fold over its scans and labels, prediction-powered.

For label k with loss L_k (clipped at the record's 99.9 % quantile) and expected loss r_k,

    X_k = (L_k - c r_k) + c mean(r of the scans since the last label),

whose mean is that of the loss, whatever r is worth, as long as labelled scans are taken like any
others; its variance is smaller by the square of the correlation of L and r (prediction-powered
inference, Angelopoulos et al. 2023; for monitoring: Zhang et al., PPRM, ICML 2026, arXiv
2602.02229). Labels that come without a scan between them share a mean of scans; where that would
add more variance than it removes, X is L.

Two judgements of X, both only upwards:

- a CUSUM (Page 1954) of log-likelihood ratios for a shift of `SHIFT` standard deviations of the
  loss, each label weighed by the variance that its X has. It *warns*; its limit was calibrated by
  `agent.fit.loss_limits` for so many labels between two false alarms (Siegmund 1985).
- bets against (1 + tolerance) x reference risk (`agent.core.betting`; Timans et al., UAI 2025,
  arXiv 2506.16416; Waudby-Smith & Ramdas 2024), half of the money on X and half on L: X varies
  less, but L can not fall so far below its mean, so more of the money can be staked on it. Their
  mean *opens* a retraining request. Where neighbouring losses go along, bets on X are on means of
  labels, over which that is forgotten; those on L are on each label, against (1 + tolerance) x the
  highest mean that what went before ever let expect in the record: so a large shift need not
  outlast what may be months.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite, sqrt
from typing import Any, NamedTuple

from agent.core.betting import ALPHA, Bets, Wealth
from agent.core.expected_loss import LossReference

SHIFT = 0.5
"""Standard deviations of the loss: the shift that the CUSUM is tuned to."""

RISK_SURE = 2.326
"""Standard errors by which the record's risk may be underestimated: alpha of .01 on one side."""

_CEILING = 2.0  # times its limit: a CUSUM goes no higher, so that it is seen to come back
_COUNTS = ("labels", "clipped", "unusable", "used", "scans", "scans_before")
_SUMS = ("summed", "mean", "cusum")


class LossStep(NamedTuple):
    """What one label said.

    Attributes:
        x: the prediction-powered loss, in the loss's unit.
        score: CUSUM over its limit; it warns from 1.
        raised, cleared: whether the warning began or ended with this label.
        evidence: of the bets, over what opens a request.
        opens: whether a request is opened by this label; the bets then begin anew.
    """

    x: float
    score: float
    raised: bool
    cleared: bool
    evidence: float
    opens: bool


@dataclass(slots=True)
class LossState:
    """All that lasts of a loss chart.

    Attributes:
        labels, clipped, unusable: labels folded, those beyond the clip, those without a loss.
        scans, summed: scans since the last label, and the sum of their expected losses.
        scans_before, mean: scans whose mean the last label had, and that mean.
        used: labels that had it.
        cusum: in nats; `up` whether it warns.
        by_x, by_loss: wealth of the bets on X and on L.
    """

    labels: int = 0
    clipped: int = 0
    unusable: int = 0
    scans: int = 0
    summed: float = 0.0
    scans_before: int = 0
    mean: float = 0.0
    used: int = 0
    cusum: float = 0.0
    up: bool = False
    by_x: Wealth = field(default_factory=Wealth)
    by_loss: Wealth = field(default_factory=Wealth)

    @property
    def evidence(self) -> float:
        """Of the bets, over what opens a request."""
        return ALPHA * 0.5 * (self.by_x.evidence + self.by_loss.evidence)

    def move(self, shift_ns: int) -> None:
        """Time was set anew by so much: no span changes."""
        for wealth in (self.by_x, self.by_loss):
            if wealth.paid_ns is not None:
                wealth.paid_ns += shift_ns

    def to_json(self) -> dict[str, Any]:
        """Values of JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LossState:
        """What `to_json` gave, through JSON or not.

        Raises:
            ValueError: it is not that.
        """
        try:
            found = cls(
                up=bool(data["up"]), by_x=Wealth.from_json(data["by_x"]),
                by_loss=Wealth.from_json(data["by_loss"]),
            )  # fmt: skip
            for name in _COUNTS:
                setattr(found, name, int(data[name]))
            for name in _SUMS:
                setattr(found, name, float(data[name]))
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"state of a loss chart: {type(error).__name__}: {error}") from None
        numbers = [float(getattr(found, name)) for name in (*_COUNTS, *_SUMS)]
        if not all(isfinite(value) and value >= 0.0 for value in numbers):
            raise ValueError("state of a loss chart: a value that it never has")
        return found


class LossChart:
    """Folds scans and labels of one model, in the order of their entries.

    Args:
        reference: what `fit` learnt.
        tolerance: share by which the risk may exceed the reference's before a request, >= 0.
        state: where it goes on from; a new one by default. Whether it was kept under this
            reference and tolerance is for the caller to know.
    """

    def __init__(
        self, reference: LossReference, tolerance: float, state: LossState | None = None
    ) -> None:
        self.reference = reference
        self.state = LossState() if state is None else state
        low, high = reference.expected.range
        sure = reference.risk + RISK_SURE * reference.risk_error
        least = -reference.slope * (high - low)
        tiny = 1e-9 * reference.deviation  # a record without any loss
        self.allowed = (1.0 + tolerance) * max(sure, tiny)
        self._on_x = Bets(
            self.allowed, least, reference.block, sqrt(reference.powered.variance / reference.block)
        )
        highest = max(self.allowed, (1.0 + tolerance) * reference.peak)
        self._on_loss = Bets(highest, 0.0, 1, reference.deviation)
        self._shift = SHIFT * reference.deviation

    def scan(self, expected: float) -> None:
        """A scan's expected loss, labelled or not; one that is not known (NaN) does not count."""
        if expected == expected:
            self.state.summed += expected
            self.state.scans += 1

    def label(self, time_ns: int, loss: float, expected: float) -> LossStep | None:
        """A label's loss, and the expected loss of its prediction, NaN where that is not known.

        None where the loss is no number.
        """
        state, reference = self.state, self.reference
        if not loss >= 0.0:
            state.unusable += 1
            return None
        state.labels += 1
        state.clipped += int(loss > reference.clip)
        loss = min(loss, reference.clip)
        x, share = self._powered(loss, expected)
        score, before = self._warn(x, share), state.up
        state.up = score >= 1.0 or (before and state.cusum > 0.0)
        evidence = self._bet(time_ns, x, loss)
        return LossStep(
            x, score, state.up and not before, before and not state.up, evidence, evidence >= 1.0
        )

    def correct(self, before: float, loss: float) -> None:
        """The truth of a label that was folded is another: its loss was not `before`.

        The sum moves by what the label would have added less or more. Bets lose what the wrong
        loss had won, and win nothing: so they are never worth more than without the correction.
        """
        if not (before >= 0.0 and loss >= 0.0):
            return
        clip, state = self.reference.clip, self.state
        was, now = min(before, clip), min(loss, clip)
        moved = self._shift / self.reference.alone.variance * (now - was)
        state.cusum = max(state.cusum + moved, 0.0)
        for bets, wealth in ((self._on_x, state.by_x), (self._on_loss, state.by_loss)):
            bets.take_back(wealth, was, now)

    def _powered(self, loss: float, expected: float) -> tuple[float, float]:
        """(X, how much of the variance that c r can remove it keeps, 0 to 1)."""
        state = self.state
        if state.scans:
            state.mean, state.scans_before, state.used = state.summed / state.scans, state.scans, 0
            state.summed, state.scans = 0.0, 0
        state.used += 1
        # A mean that j labels have had adds j^2 times its variance to their sum.
        share = (2 * state.used - 1) * self.reference.memory
        if expected != expected or share >= state.scans_before:
            return loss, 1.0
        c = self.reference.slope
        return loss - c * expected + c * state.mean, share / state.scans_before

    def _bet(self, time_ns: int, x: float, loss: float) -> float:
        """Evidence over what opens a request; from 1, the bets begin anew."""
        state = self.state
        self._on_x.fold(state.by_x, time_ns, x)
        self._on_loss.fold(state.by_loss, time_ns, loss)
        evidence = state.evidence
        if evidence >= 1.0:
            state.by_x.begin_anew()
            state.by_loss.begin_anew()
        return evidence

    def _warn(self, x: float, share: float) -> float:
        """Fold X into the CUSUM; its score."""
        alone, powered = self.reference.alone, self.reference.powered
        variance = powered.variance + (alone.variance - powered.variance) * share
        least, most, size = (
            self._shift / sqrt(v) for v in (alone.variance, powered.variance, variance)
        )
        way = (size - least) / (most - least) if most > least else 0.0
        allowance = alone.allowance + way * (powered.allowance - alone.allowance)
        limit = alone.limit + way * (powered.limit - alone.limit)
        beyond = x - self.reference.risk - 0.5 * self._shift - allowance
        summed = self.state.cusum + self._shift / variance * beyond
        self.state.cusum = min(max(summed, 0.0), _CEILING * limit)
        return self.state.cusum / limit
