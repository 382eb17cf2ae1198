"""A candidate's losses beside those of the model in service, on the same labels.

Both bets are e-processes (`agent.core.betting`), valid whenever one looks: one that the candidate's
mean loss is at most `1 + margin` times the other's, and one that it is more. Losses beyond a clip
count as the clip, which is fixed before the first bet: what the baseline says, else three times the
largest of the first `FIRST` labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agent.core.betting import SHARES, Bets, Wealth

FIRST: Final = 10
_TIMES: Final = 3.0
_ENOUGH: Final = 1e12
"""Evidence that nobody asks more of: what is won beyond it would only leave the range of floats."""


def _stake() -> Wealth:
    """One unit, and nothing is paid in later."""
    return Wealth([1.0] * len(SHARES), [], paid_ns=0)


@dataclass(slots=True)
class Losses:
    """Of one output.

    Attributes:
        output, loss: which, and by what loss.
        margin: by what share the candidate's may exceed the other's.
        block: labels of one bet.
        clip: 0.0 while it is not known.
        labels, candidate, champion: how many, and the sums of losses over them.
        better: labels of which the candidate's loss is the smaller one.
        pro, contra: the bets.
    """

    output: str
    loss: str
    margin: float
    block: int = 1
    clip: float = 0.0
    labels: int = 0
    candidate: float = 0.0
    champion: float = 0.0
    better: int = 0
    pro: Wealth = field(default_factory=_stake)
    contra: Wealth = field(default_factory=_stake)
    largest: float = 0.0

    def add(self, champion: float, candidate: float) -> None:
        """One label more, of which both had a prediction."""
        self.labels += 1
        self.champion += champion
        self.candidate += candidate
        self.better += int(candidate < champion)
        if not self.clip:
            self.largest = max(self.largest, champion, candidate)
            if self.labels >= FIRST:
                self.clip = _TIMES * self.largest
            return
        least, allowed = -self.clip, 1.0 + self.margin
        gain = allowed * min(champion, self.clip) - min(candidate, self.clip)
        for bets, wealth, x in (
            (Bets(0.0, least, self.block), self.pro, gain),
            (Bets(0.0, allowed * least, self.block), self.contra, -gain),
        ):
            if wealth.evidence < _ENOUGH:
                bets.fold(wealth, 0, x)

    def shown(self) -> dict[str, Any]:
        """What people see of it, JSON-ready; `for` and `against` are evidence against 1 / error."""
        count = self.labels or 1
        return {
            "output": self.output, "loss": self.loss, "labels": self.labels, "better": self.better,
            "candidate": self.candidate / count, "champion": self.champion / count,
            "for": self.pro.evidence, "against": self.contra.evidence,
        }  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """Values of JSON."""
        made = {name: getattr(self, name) for name in self.__slots__}
        return made | {"pro": self.pro.to_json(), "contra": self.contra.to_json()}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Losses:
        """What `to_json` gave.

        Raises:
            ValueError, TypeError, KeyError: it is not that.
        """
        bets = {name: Wealth.from_json(document[name]) for name in ("pro", "contra")}
        return Losses(**{**document, **bets})
