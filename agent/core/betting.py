"""Evidence by betting that a mean loss is above what is allowed, valid at any time.

A gambler without a view of the future bets against "the mean of x is at most m". One unit that
starts at observation s and stakes a fixed share `l` of itself each time has

    M_n = product over s < k <= n of (1 + l (x_k - m)),   0 <= l < 1 / (m - least x),

which under the hypothesis E[x_k | past] <= m is a non-negative supermartingale: an e-process
(Waudby-Smith & Ramdas 2024; of a deployed model's losses Timans et al. 2025, of prediction-powered
ones Zhang et al. 2026). Shares are mixed over a fixed set, so nothing has to be tuned.

A single product loses nearly all of itself in a year without a shift, and restarting it every year
would throw away what had gathered by New Year. So starts are mixed too: money comes in evenly with
time, one unit a year, each piece betting from when it came (a Shiryaev-Roberts sum of e-processes,
the e-detector of Shin, Ramdas & Rinaldo 2024). What is invested, N, less what was paid in is then a
supermartingale, so by Ville's inequality

    P(N >= 1 / alpha at any time within Y years) <= alpha Y,

which is what "alpha per model and year" says, for any number and spacing of labels.

Where neighbouring losses go along, the mean given the past wanders about the long-run one. Bets are
then placed on means of `block` labels, over which that is nearly forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import fsum, isfinite
from typing import Any

ALPHA = 0.01
"""False openings per model and year."""

YEAR_NS = 31_556_952_000_000_000
SHARES = tuple(0.9 * 0.5**halvings for halvings in range(9))
"""Stakes, as shares of the largest that the least possible x can not ruin."""


@dataclass(slots=True)
class Wealth:
    """State of the bets.

    Attributes:
        invested: what each stake has made of the money paid in.
        paid_ns: time up to which money was paid in; None before the first observation.
        summed, count: of the block that is being gathered.
    """

    invested: list[float] = field(default_factory=lambda: [0.0] * len(SHARES))
    paid_ns: int | None = None
    summed: float = 0.0
    count: int = 0

    @property
    def evidence(self) -> float:
        """N: against 1 / alpha."""
        return fsum(self.invested) / len(self.invested)

    def begin_anew(self) -> None:
        """A request was opened: what was gathered is spent, and money comes in as before."""
        self.invested = [0.0] * len(SHARES)

    def to_json(self) -> dict[str, Any]:
        """Values of JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Wealth:
        """What `to_json` gave.

        Raises:
            ValueError: it is not that.
        """
        try:
            invested = [float(value) for value in data["invested"]]
            paid = data["paid_ns"]
            found = cls(
                invested, None if paid is None else int(paid), float(data["summed"]),
                int(data["count"]),
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"state of bets: {type(error).__name__}: {error}") from None
        known = isfinite(found.summed) and all(0.0 <= value < 1e300 for value in invested)
        if len(invested) != len(SHARES) or not known or found.count < 0:
            raise ValueError("state of bets: of another form")
        return found


@dataclass(frozen=True, slots=True)
class Bets:
    """What is bet on.

    Attributes:
        allowed: the mean that is bet against.
        least: the least x that there can be, below `allowed`.
        block: observations of a bet.
    """

    allowed: float
    least: float
    block: int = 1

    def fold(self, wealth: Wealth, time_ns: int, x: float) -> None:
        """One observation more. `time_ns` only says how much money has come in; it may stand still
        or go back.
        """
        if wealth.count == 0:
            self._pay(wealth, time_ns)
        wealth.summed += max(x, self.least)
        wealth.count += 1
        if wealth.count < self.block:
            return
        gain = wealth.summed / wealth.count - self.allowed
        largest = 1.0 / (self.allowed - self.least)
        wealth.summed, wealth.count = 0.0, 0
        wealth.invested = [
            money * (1.0 + share * largest * gain)
            for share, money in zip(SHARES, wealth.invested, strict=True)
        ]

    @staticmethod
    def _pay(wealth: Wealth, time_ns: int) -> None:
        """Pay in what is due up to now, before anything of the bet is known."""
        if wealth.paid_ns is None:
            wealth.paid_ns = time_ns
        due = max(time_ns - wealth.paid_ns, 0) / YEAR_NS
        wealth.paid_ns = max(time_ns, wealth.paid_ns)
        wealth.invested = [money + due for money in wealth.invested]
