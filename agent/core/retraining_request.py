"""The retraining request: evidence that retraining is warranted, and what a person made of it.

open -> declared          the shift is the new normal: only now its data is offered
-> closed            an equipment fault: its time is never offered
-> withdrawn         its evidence has cleared
declared -> closed        it turned out to be a fault after all
         -> in trial      a candidate runs beside the model in service
in trial -> accepted      it serves; rolled back, the request is declared again
         -> declared      it was rejected
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from agent.core import identity
from agent.core.figures import clock
from agent.types import Event

OPEN, DECLARED, CLOSED, WITHDRAWN = "open", "declared", "closed", "withdrawn"
IN_TRIAL, ACCEPTED = "in trial", "accepted"
OFFERED: Final = frozenset({DECLARED, IN_TRIAL, ACCEPTED})
"""States in which its data may be trained on."""

FROM: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "declare": (DECLARED, frozenset({OPEN})),
    "close": (CLOSED, frozenset({OPEN, DECLARED})),
    "withdraw": (WITHDRAWN, frozenset({OPEN})),
}
"""Command of a person -> (state that it leads to, states that it is possible in)."""

_SHOWN = 3
_TODO = {
    OPEN: "find out whether the plant or its equipment changed; then: fieldwarden retraining "
          'declare CONFIG {id} --reason "...", or close where it is a fault',
    DECLARED: "train on what is offered: fieldwarden retraining bundle CONFIG {id} --out "
              "{model}.zip; then try it: fieldwarden retraining trial CONFIG {model} --baseline "
              'FILE --version VERSION --reason "..."',
    CLOSED: "mend the equipment; the model is not to be trained on this time",
    WITHDRAWN: "",
    IN_TRIAL: "wait for the end of the trial: fieldwarden retraining show CONFIG {model}",
    ACCEPTED: "",
}


def todo(state: str, model: str, name: str) -> str:
    """What to do about a request in a state; `name` is its id."""
    return _TODO[state].format(model=model, id=name)


@dataclass(slots=True)
class Request:
    """One request of a model; times are engine ns.

    Attributes:
        criteria: which were met, in words.
        moved: inputs that moved, the farthest first, as `Retraining` tells them.
        further: how many more moved.
        losses: what was told of the errors of the model; empty where nothing was.
        baseline: digest of what it was held against; another one ends its being in hand.
        decisions: who decided what, when, why.
        until_ns: when its data was declared; 0 before.
    """

    id: str
    model: str
    version: str
    owner: str
    baseline: str
    since_ns: int
    opened_ns: int
    criteria: list[str]
    moved: list[dict[str, Any]]
    further: int = 0
    losses: dict[str, Any] = field(default_factory=dict)
    state: str = OPEN
    until_ns: int = 0
    decisions: list[dict[str, Any]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What a person reads of it."""
        named = ", ".join(
            f"{one['tag']} ({one['off']:+.1f} sd)" for one in self.moved[:_SHOWN]
        )
        more = len(self.moved) - _SHOWN + self.further
        moved = f"; moved: {named}" + (f" and {more} more" if more > 0 else "") if named else ""
        return f"{'; '.join(self.criteria)}, since {clock(self.since_ns)}{moved}"

    @property
    def hint(self) -> str:
        """What to do."""
        return todo(self.state, self.model, self.id)

    def decide(self, state: str, now: int, by: str, why: str) -> None:
        """A named person decided."""
        self.state = state
        self.until_ns = now if state == DECLARED else self.until_ns
        self.decisions.append({"state": state, "by": by, "note": why, "time_ns": now})

    def goes_on(self, state: str, now: int, by: str, why: str) -> None:
        """A trial of what was declared began or ended; what it offers stays."""
        self.state = state
        self.decisions.append({"state": state, "by": by, "note": why, "time_ns": now})

    def move(self, shift_ns: int) -> None:
        """Engine time was set anew."""
        self.since_ns += shift_ns
        self.opened_ns += shift_ns
        self.until_ns += shift_ns if self.until_ns else 0
        for one in self.decisions:
            one["time_ns"] += shift_ns

    def shown(self, left_out: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """All that people and central see of it, JSON-ready; it stays as it is now.

        What never changes after the request is opened is shared with it: it is asked for often.
        """
        return {one.name: getattr(self, one.name) for one in fields(self)} | {
            "decisions": [dict(one) for one in self.decisions],
            "text": self.text, "hint": self.hint, "left_out": [dict(one) for one in left_out],
        }

    def event(
        self, change: str, now: int, left_out: Sequence[Mapping[str, Any]],
        told: Mapping[str, Any] | None = None,
    ) -> Event:
        """What people and central are told; `told` is who decided and why."""
        data = {"change": change, **self.shown(left_out), **(told or {})}
        return Event("retraining", now, str(identity.model(self.model)), data)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Request:
        """From `to_json`."""
        return Request(**document)
