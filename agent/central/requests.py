"""What central knows of a gateway's retraining requests, and of errors of its models. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agent.central.lives import Place
from agent.status.view import utc

ACCEPTED: Final = "accepted"
ENDED: Final = frozenset({
    "closed", "withdrawn", ACCEPTED, "rejected", "rolled back", "superseded",
})  # fmt: skip
"""States of a request, or of a trial, in which nobody has anything to do any more."""

LONGEST_TEXT: Final = 500  # characters
CRITERIA_KEPT: Final = 8
ERRORS_SHOWN: Final = 100

Known = Mapping[tuple[str, str], "Request"]
"""Requests by (store, id)."""


@dataclass(slots=True)
class Request:
    """A retraining request or a trial, as told last.

    `since_ns` is by the gateway's own clock; `answers` is the id of the request that a trial is of.
    """

    place: Place
    state: str
    model: str = ""
    since_ns: int = 0
    owner: str = ""
    text: str = ""
    hint: str = ""
    criteria: tuple[str, ...] = ()
    answers: str = ""

    @property
    def open(self) -> bool:
        """Whether somebody has to decide, to train or to wait for a trial."""
        return self.state not in ENDED

    @staticmethod
    def told(place: Place, data: Mapping[str, Any]) -> Request:
        """From the data of its event."""
        since, criteria = data.get("since_ns"), data.get("criteria")
        return Request(
            place,
            _text(data["state"]),
            _text(data["model"]),
            since if type(since) is int else 0,
            _text(data.get("owner")),
            _text(data.get("text")),
            _text(data.get("hint")),
            tuple(map(_text, criteria[:CRITERIA_KEPT])) if isinstance(criteria, list) else (),
            _text(data.get("request")),
        )

    def to_json(self) -> list[Any]:
        """JSON-ready; what has ended needs no words any more."""
        words = [self.model, self.since_ns, self.owner, self.text, self.hint, list(self.criteria)]
        return [*self.place, self.state, *(words if self.open else ()), self.answers]

    @staticmethod
    def from_json(document: list[Any]) -> Request:
        """From `to_json`."""
        boot, seq, state, *words = document
        answers = str(words.pop()) if len(words) in {1, 7} else ""  # an earlier version had none
        if not words:
            return Request(Place(boot, seq), str(state), answers=answers)
        model, since_ns, owner, text, hint, criteria = words
        return Request(
            Place(boot, seq), str(state), str(model), int(since_ns), str(owner), str(text),
            str(hint), tuple(map(str, criteria)), answers,
        )  # fmt: skip


def _text(value: Any) -> str:
    return "" if value is None else str(value)[:LONGEST_TEXT]


def open_requests(known: Known, stores: Collection[str] | None) -> list[dict[str, Any]]:
    """Requests that somebody has to act on, the oldest first, JSON-ready.

    Args:
        known: of one gateway.
        stores: those that count; None: all.
    """
    answered = {
        (store, one.answers) for (store, _), one in known.items()
        if one.answers and one.state == ACCEPTED
    }
    found = [
        (one.since_ns, name, store, one)
        for (store, name), one in known.items()
        if one.open and (store, name) not in answered and (stores is None or store in stores)
    ]
    return [
        {
            "id": name, "store": store, "model": one.model, "state": one.state,
            "since": utc(one.since_ns), "owner": one.owner, "criteria": list(one.criteria),
            "text": one.text, "hint": one.hint,
        }
        for _, name, store, one in sorted(found, key=lambda each: each[:3])
    ]  # fmt: skip


def poor_errors(verdicts: Iterable[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Outputs whose errors grew, or that nobody labels any more, as the verdicts told last.

    Args:
        verdicts: (store, data of the message) of each model.
    """
    found = [
        {"model": data["model"], "store": store, **_error(one)}
        for store, data in verdicts
        for one in (data["errors"] if isinstance(data.get("errors"), list) else ())
        if isinstance(one, dict) and (one.get("raised") or one.get("not_assessed"))
    ]
    return sorted(found, key=lambda one: not one["raised"])[:ERRORS_SHOWN]


def _error(one: Mapping[str, Any]) -> dict[str, Any]:
    """What is shown of one output's errors, whatever a gateway sent."""
    losses, counts = ("recent_loss", "expected_loss"), ("labels", "recent_labels")
    return {
        **{name: _text(one.get(name)) for name in ("output", "loss", "not_assessed")},
        **{name: one[name] if type(one.get(name)) in (int, float) else None for name in losses},
        **{name: one[name] if type(one.get(name)) is int else 0 for name in counts},
        "raised": one.get("raised") is True,
    }
