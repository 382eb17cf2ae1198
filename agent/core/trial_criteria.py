"""What a candidate must show in its trial: fixed before the trial begins, with defaults that serve.

They are journaled with the command that begins the trial, so no later edit of the configuration
changes what it is judged by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

_DAY_NS: Final = 86_400_000_000_000
MET, NOT_YET, NOT_MET = "met", "not yet", "not met"
GOES_ON, PASSED, REJECTED = "goes on", "passed", "rejected"

Judged = dict[str, Any]
"""One criterion as of now: `name`, `text` (what is asked for), `found` and `state`."""


@dataclass(frozen=True, slots=True)
class TrialCriteria:
    """All of these together; spans in ns of time that was watched.

    Attributes:
        lasts_ns: how long a trial is, at least.
        at_most_ns: how long, while nothing but labels is lacking.
        trusted: share of the time in which the candidate can be assessed that it is trusted.
        assessable: share of the time in which it can be assessed.
        extrapolating: share of its scans outside of its training, at most.
        own_incidents: incidents that the model in service does not have, at most.
        labels: labels of each output by which both are compared; 0: none are asked for.
        loss_margin: by what share its mean loss may exceed that of the model in service.
        loss_error: chance that a candidate passes which errs more than that, and that one fails
            early which does not.
    """

    lasts_ns: int = 7 * _DAY_NS
    at_most_ns: int = 28 * _DAY_NS
    trusted: float = 0.95
    assessable: float = 0.5
    extrapolating: float = 0.05
    own_incidents: int = 3
    labels: int = 50
    loss_margin: float = 0.2
    loss_error: float = 0.05

    def to_json(self) -> dict[str, Any]:
        """Values of JSON."""
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> TrialCriteria:
        """What `to_json` gave; a key that is missing has its default.

        Raises:
            TypeError, ValueError: it is not that.
        """
        usual = DEFAULT.to_json()
        return TrialCriteria(**{
            name: type(value)(document.get(name, value)) for name, value in usual.items()
        })  # fmt: skip


DEFAULT = TrialCriteria()


def judged(
    criteria: TrialCriteria, candidate: Mapping[str, Any], losses: Sequence[Mapping[str, Any]]
) -> list[Judged]:
    """Each criterion, what was found, and whether it is met.

    Args:
        criteria: of the trial.
        candidate: its figures, as `trial_figures.Figures.shown` gives them.
        losses: of each output with labels, as `trial_losses.Losses.shown` gives them.
    """
    watched_ns, spent = candidate["watched_ns"], candidate["spent_ns"]
    assessable_ns = watched_ns - spent["unassessable"]
    own, scans = candidate["own_incidents"], candidate["scans"]
    made = [
        _one("time", f"watched for {span(criteria.lasts_ns)}", span(watched_ns),
             MET if watched_ns >= criteria.lasts_ns else NOT_YET),
        _share("assessable", f"assessable in {_percent(criteria.assessable)} of the time",
               assessable_ns, watched_ns, least=criteria.assessable),
        _share("trusted", f"trusted in {_percent(criteria.trusted)} of the time in which it is "
               "assessable", spent["trusted"], assessable_ns, least=criteria.trusted),
        _share("extrapolating", f"at most {_percent(criteria.extrapolating)} of its scans outside "
               "of its training", candidate["outside"], scans, most=criteria.extrapolating),
        _one("incidents", f"at most {criteria.own_incidents} incidents that the model in service "
             "does not have", str(own), MET if own <= criteria.own_incidents else NOT_MET),
    ]  # fmt: skip
    return made + ([_losses(criteria, one) for one in losses] if criteria.labels else [])


def outcome(criteria: TrialCriteria, held: Sequence[Judged], watched_ns: int) -> str:
    """Whether a trial goes on, is passed or is over; `held` are its criteria as of now."""
    states = {one["state"] for one in held}
    if watched_ns < criteria.lasts_ns:
        return GOES_ON
    if NOT_MET in states:
        return REJECTED
    if NOT_YET in states:
        return GOES_ON if watched_ns < criteria.at_most_ns else REJECTED
    return PASSED


def missing(held: Sequence[Judged]) -> str:
    """What is not met, in words; empty where all is."""
    return "; ".join(
        f"{one['text']}: {one['found']} so far" for one in held if one["state"] != MET
    )


def span(span_ns: int) -> str:
    """A span of time for people."""
    for unit, length_ns in (("d", _DAY_NS), ("h", 3_600_000_000_000), ("min", 60_000_000_000)):
        if span_ns >= length_ns:
            return f"{span_ns / length_ns:.3g} {unit}"
    return f"{span_ns / 1e9:.3g} s"


def _one(name: str, text: str, found: str, state: str) -> Judged:
    return {"name": name, "text": text, "found": found, "state": state}


def _share(
    name: str, text: str, part: int, whole: int, *, least: float = 0.0, most: float = 1.0
) -> Judged:
    if not whole:
        return _one(name, text, "no time", NOT_MET)
    share = part / whole
    state = MET if least <= share <= most else NOT_MET
    return _one(name, text, _percent(share, exact=True), state)


def _losses(criteria: TrialCriteria, one: Mapping[str, Any]) -> Judged:
    """Whether it errs no more than the model in service, by what is known up to now."""
    text = (
        f"of {one['output']}, a mean loss at most {_percent(criteria.loss_margin)} above that of "
        f"the model in service, shown by bets at {criteria.loss_error:g} and by at least "
        f"{criteria.labels} labels"
    )
    if not one["labels"]:
        return _one("losses", text, "no label with a prediction of both", NOT_YET)
    found = (
        f"{one['candidate']:.3g} beside {one['champion']:.3g} in {one['labels']} labels, evidence "
        f"{min(one['for'], 1e6):.3g} of {1.0 / criteria.loss_error:g}"
    )
    enough = one["labels"] >= criteria.labels
    if one["against"] * criteria.loss_error >= 1.0 and enough:
        return _one("losses", text, f"{found}: it errs more", NOT_MET)
    sure = one["for"] * criteria.loss_error >= 1.0
    return _one("losses", text, found, MET if sure and enough else NOT_YET)


def _percent(share: float, *, exact: bool = False) -> str:
    return f"{100.0 * share:.2f} %" if exact else f"{100.0 * share:g} %"
