"""Evidence by betting that a mean loss is above what is allowed, valid at any time.

A gambler without a view of the future bets against "the mean of x is at most m". One unit that
starts at observation s and stakes a fixed share `l` of itself each time has

    M_n = product over s < k <= n of (1 + l (x_k - m)),   0 <= l < 1 / (m - least x),

which under the hypothesis E[x_k | past] <= m is a non-negative supermartingale: an e-process
(Waudby-Smith & Ramdas 2024; of a deployed model's losses Timans et al. 2025, of prediction-powered
ones Zhang et al. 2026). Shares are mixed over a fixed set, so nothing has to be tuned.

A single product loses nearly all of itself in a year without a shift, and restarting it every year
would throw away what had gathered by New Year. So starts are mixed too: money comes in evenly with
time, each piece betting from when it came (a Shiryaev-Roberts sum of e-processes, the e-detector of
Shin, Ramdas & Rinaldo 2024).

Half of the money is with gamblers who are careful: they stake nothing until the mean since it last
rose lies some standard errors above m, and then what that mean less these errors is worth (about
Kelly's share of it). A share that follows from the past alone leaves M_n what it was, and who
seldom bets keeps the money: half of a unit is with them from the first day on.

What is invested, N, less what was paid in is a supermartingale. By Y years no more than
1 / 4 + 3 Y / 4 was paid in, so by Ville's inequality, for whole years,

    P(N >= 1 / alpha at any time within Y years) <= alpha Y,

which is what "alpha per model and year" says, for any number and spacing of labels.

Where neighbouring losses go along, the mean given the past wanders about the long-run one. Bets are
then placed on means of `block` labels, over which that is nearly forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import fsum, isfinite, sqrt
from typing import Any

ALPHA = 0.01
"""False openings per model and year."""

YEAR_NS = 31_556_952_000_000_000
MOST = 0.9
"""The largest stake, as a share of the one that the least possible x can ruin."""

SHARES = tuple(MOST * 0.5**halvings for halvings in range(9))
"""Stakes that stay, in the same way."""

CAUTION = (1.0, 2.0)
"""Standard errors by which a careful gambler holds a mean to be less than it looks."""

_AT_ONCE, _PER_YEAR = 0.5, 0.5
"""Money of a careful gambler."""


@dataclass(slots=True)
class Wealth:
    """State of the bets.

    Attributes:
        invested: what each stake has made of the money paid in.
        careful: what each gambler of `CAUTION` has; without any all money is with the stakes.
        risen, rose: sum of what the latest bets were above what is allowed, and how many they are,
            since it was last not above 0.
        paid_ns: time up to which money was paid in; None before the first observation.
        summed, count: of the block that is being gathered.
    """

    invested: list[float] = field(default_factory=lambda: [0.0] * len(SHARES))
    careful: list[float] = field(default_factory=lambda: [0.0] * len(CAUTION))
    risen: float = 0.0
    rose: int = 0
    paid_ns: int | None = None
    summed: float = 0.0
    count: int = 0

    @property
    def evidence(self) -> float:
        """N: against 1 / alpha."""
        steady = fsum(self.invested) / len(self.invested)
        return 0.5 * (steady + fsum(self.careful) / len(self.careful)) if self.careful else steady

    def begin_anew(self) -> None:
        """A request was opened: what was gathered is spent, and money comes in as before."""
        self.invested, self.careful = [0.0] * len(SHARES), [0.0] * len(self.careful)

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
            money = [[float(value) for value in data[name]] for name in ("invested", "careful")]
            paid = data["paid_ns"]
            found = cls(
                money[0], money[1], float(data["risen"]), int(data["rose"]),
                None if paid is None else int(paid), float(data["summed"]), int(data["count"]),
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"state of bets: {type(error).__name__}: {error}") from None
        known = isfinite(found.summed) and 0.0 <= found.risen < 1e300 and found.rose >= 0
        known &= all(0.0 <= value < 1e300 for values in money for value in values)
        sizes = len(money[0]) == len(SHARES) and len(money[1]) in {0, len(CAUTION)}
        if not sizes or not known or found.count < 0:
            raise ValueError("state of bets: of another form")
        return found


@dataclass(frozen=True, slots=True)
class Bets:
    """What is bet on.

    Attributes:
        allowed: the mean that is bet against.
        least: the least x that there can be, below `allowed`.
        block: observations of a bet.
        deviation: standard deviation of what is bet on, about; only careful gamblers ask for it,
            and keep what they have where it is 0.
    """

    allowed: float
    least: float
    block: int = 1
    deviation: float = 0.0

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
        if wealth.careful:
            wealth.careful = [
                money * (1.0 + self._stake(wealth, caution) * gain)
                for caution, money in zip(CAUTION, wealth.careful, strict=True)
            ]
        wealth.risen, wealth.rose = wealth.risen + gain, wealth.rose + 1
        if wealth.risen <= 0.0:
            wealth.risen, wealth.rose = 0.0, 0

    def _stake(self, wealth: Wealth, caution: float) -> float:
        """What a careful gambler bets on the next mean: by those before it alone."""
        if not self.deviation or not wealth.rose:
            return 0.0
        likely = wealth.risen / wealth.rose - caution * self.deviation / sqrt(wealth.rose)
        if likely <= 0.0:
            return 0.0
        best = likely / (self.deviation * self.deviation + likely * likely)
        return min(best, MOST / (self.allowed - self.least))

    def take_back(self, wealth: Wealth, was: float, now: float) -> None:
        """An observation was `now` and not `was`: what it won too much is lost again.

        As if the others of its bet had been as allowed, all money had been there, and careful
        gamblers had staked the most that they may. Where it is larger than it was nothing is won:
        less money never makes the evidence invalid.
        """
        was, now = max(was, self.least), max(now, self.least)
        if now >= was:
            return
        largest = 1.0 / (self.allowed - self.least) / self.block

        def left(money: float, share: float) -> float:
            won = 1.0 + share * largest * (was - self.allowed)
            return money * (1.0 + share * largest * (now - self.allowed)) / won

        wealth.invested = [left(*one) for one in zip(wealth.invested, SHARES, strict=True)]
        wealth.careful = [left(money, MOST) for money in wealth.careful]
        wealth.risen = max(wealth.risen + (now - was) / self.block, 0.0)
        wealth.rose = wealth.rose if wealth.risen else 0

    @staticmethod
    def _pay(wealth: Wealth, time_ns: int) -> None:
        """Pay in what is due up to now, before anything of the bet is known."""
        at_once = 0.0 if wealth.paid_ns is not None else _AT_ONCE
        paid_ns = time_ns if wealth.paid_ns is None else wealth.paid_ns
        due = max(time_ns - paid_ns, 0) / YEAR_NS
        wealth.paid_ns = max(time_ns, paid_ns)
        wealth.invested = [money + due for money in wealth.invested]
        wealth.careful = [money + at_once + due * _PER_YEAR for money in wealth.careful]
