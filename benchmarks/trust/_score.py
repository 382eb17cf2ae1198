"""Scores: pure functions of what was said and of what is true. Nothing is counted in favour twice.

An attribution is judged by incident: its first condition's latest cause and tags. `right` needs the
cause and a tag that may rightly be named, in every incident that the fault brought (how many these
are is a figure of its own); one that is right beside one that is wrong counts among the wrong ones,
beside one that is unknown as neither.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from _said import Condition, Incident, Verdicts, incidents_of, is_lost
from numpy.typing import NDArray

from agent.types import Float64

Flags = NDArray[np.bool_]

OUTCOMES = ("right", "right among unknown", "right among wrong", "wrong", "unknown", "missed")
WRONG = ("wrong", "right among wrong")
RATIO = 1.5  # incidents may be so many times the promise
BEYOND = 0.02  # of the trained width


# --- counts beside a promise ----------------------------------------------------------------------


def poisson_95(expected: float) -> int:
    """The smallest count that a Poisson variable exceeds in at most 5 % of cases."""
    term = total = math.exp(-expected)
    count = 0
    while total < 0.95:
        count += 1
        term *= expected / count
        total += term
    return count


def most_incidents(promised: float) -> float:
    """How many may come: 1.5 times the promise, or as many as chance may bring where few."""
    return max(RATIO * promised, float(poisson_95(promised)))


# --- attribution of one fault ---------------------------------------------------------------------


def verdict_on(cause: str, tags: Collection[str], causes: Collection[str],
               may_name: Collection[str]) -> str:  # fmt: skip
    """One attribution: right, wrong or unknown. A right cause on another tag is wrong."""
    if cause in {"", "unknown"}:
        return "unknown"
    if cause in causes and tags and set(tags) <= set(may_name):
        return "right"
    return "wrong"


def outcome_of(judged: Sequence[str]) -> str:
    """All incidents of one fault together, each judged by `verdict_on`; see `OUTCOMES`."""
    if not judged:
        return "missed"
    found = set(judged)
    if found == {"right"}:
        return "right"
    if "right" in found:
        return "right among wrong" if "wrong" in found else "right among unknown"
    return "wrong" if "wrong" in found else "unknown"


@dataclass(frozen=True, slots=True)
class Attributed:
    """What one fault brought: its outcome, incidents, and (kind, cause) of each of them."""

    outcome: str
    incidents: int
    names: tuple[tuple[str, str], ...]
    first_ns: int | None


def attributed(
    incidents: Sequence[Incident], *, until_ns: int, found_until_ns: int,
    causes: Collection[str], may_name: Collection[str],
) -> Attributed:  # fmt: skip
    """Score the incidents of one fault, named as of `until_ns`.

    It is missed where the first was raised after `found_until_ns`.
    """
    if not incidents or incidents[0].raised_ns > found_until_ns:
        return Attributed("missed", len(incidents), (), None)
    names = [incident.name_at(until_ns) for incident in incidents]
    judged = [verdict_on(name.cause, name.tags, causes, may_name) for name in names]
    told = tuple((name.kind, name.cause) for name in names)
    return Attributed(outcome_of(judged), len(incidents), told, incidents[0].raised_ns)


def began(conditions: Iterable[Condition], onset_ns: int, model: str) -> list[Condition]:
    """Those that touch the model, raised after the onset, in an incident that began after it."""
    touching = [item for item in conditions if not item.models or model in item.models]
    return [
        member for incident in incidents_of(touching) if incident.raised_ns >= onset_ns
        for member in incident.members
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tally:
    """Outcomes of many faults, as shares in percent of what they are shares of."""

    runs: int
    found_percent: float
    right_percent_of_found: float | None
    wrong_percent_of_found: float | None
    unknown_percent_of_found: float | None
    among_unknown_percent_of_found: float | None
    outcomes: dict[str, int]


def tally(outcomes: Iterable[str]) -> Tally:
    """Found, and among the found: right, wrong, unknown, and right beside unknown."""
    counts = Counter(outcomes)
    runs = sum(counts.values())
    found = runs - counts["missed"]
    wrong = sum(counts[name] for name in WRONG)

    def of_found(number: int) -> float | None:
        return round(100.0 * number / found, 1) if found else None

    return Tally(
        runs, round(100.0 * found / runs, 1) if runs else 0.0, of_found(counts["right"]),
        of_found(wrong), of_found(counts["unknown"]), of_found(counts["right among unknown"]),
        {name: counts[name] for name in OUTCOMES},
    )  # fmt: skip


# --- closed loops ---------------------------------------------------------------------------------

LOOP_CAUSES: dict[str, frozenset[str]] = {
    "sensor": frozenset({"sensor"}),
    "integration": frozenset({"integration"}),
    "process": frozenset({"process"}),
    "actuator": frozenset({"actuator", "process"}),
    "operator": frozenset({"operator", "process"}),
}
"""Truth -> causes that are right, as the data's README says: an actuator may be called process.

An operator's move is announced by set point or mode: to say nothing is right as well, and who says
`process` of what moved is not wrong.
"""


def loop_outcome(
    truth_cause: str, may_name: Collection[str], visible: bool,  # noqa: FBT001 - as the truth has it
    incidents: Sequence[Incident], until_ns: int,
) -> Attributed:  # fmt: skip
    """One run with a fault. Silence is right for an operator, ``invisible`` where nothing shows."""
    result = attributed(
        incidents, until_ns=until_ns, found_until_ns=until_ns,
        causes=LOOP_CAUSES[truth_cause], may_name=may_name,
    )  # fmt: skip
    if result.outcome != "missed":
        return result
    silent = "right" if truth_cause == "operator" else "missed" if visible else "invisible"
    return Attributed(silent, result.incidents, result.names, result.first_ns)


def called_sensor(conditions: Iterable[Condition], never: Collection[str]) -> list[str]:
    """The tags of `never` (outputs, set points, modes) that any name ever called `sensor`."""
    found = {
        tag for condition in conditions for name in condition.names
        if name.cause == "sensor" for tag in name.tags if tag in never
    }  # fmt: skip
    return sorted(found)


# --- trained range --------------------------------------------------------------------------------


def held(values: Float64) -> Float64:
    """float64[n, d] with each missing value replaced by the one before; NaN before the first."""
    known = np.where(np.isfinite(values), np.arange(len(values))[:, None], -1)
    last = np.maximum.accumulate(known, axis=0)
    filled = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(last >= 0, filled, np.nan)


def beyond(train: Float64, judged: Float64, share: float = BEYOND) -> Flags:
    """bool[n, d]: outside [min, max] of the column's training values by more than that of it."""
    low, high = np.nanmin(train, axis=0), np.nanmax(train, axis=0)
    margin = share * (high - low)
    with np.errstate(invalid="ignore"):
        outside: Flags = (judged < low - margin) | (judged > high + margin)
    return outside


def amid(train: Float64, judged: Float64, share: float = 0.01) -> Flags:
    """bool[n, d]: within the middle of the training values, `share` cut off at each end."""
    low, high = np.nanquantile(train, [share, 1.0 - share], axis=0)
    with np.errstate(invalid="ignore"):
        inside: Flags = (judged >= low) & (judged <= high)
    return inside


def runs_of(flags: Flags) -> list[tuple[int, int]]:
    """[start, stop) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def warned(is_beyond: Flags, words: Sequence[str], grace: int = 0) -> tuple[int, int]:
    """(scans beyond that were at least caution, scans beyond), of those that were assessed.

    The first `grace` scans of each time beyond are left out.
    """
    counts = is_beyond.copy()
    for start, stop in runs_of(is_beyond):
        counts[start : min(start + grace, stop)] = False
    assessed = counts & np.array([word not in {"", "unassessable"} for word in words])
    good = assessed & np.array([word in {"caution", "untrusted"} for word in words])
    return int(good.sum()), int(assessed.sum())


def longest_after_return(inside: Flags, reason_up: Flags) -> int:
    """Most scans in a row in which a value was back amid training and its reason still stood."""
    return max((stop - start for start, stop in runs_of(inside & reason_up)), default=0)


# --- time -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Time:
    """Shares of time in percent."""

    by_conditions: float
    by_any_condition: float
    unassessable: float


def time_lost(verdicts: Verdicts, from_ns: int, to_ns: int) -> Time:
    """How long the model was not trusted.

    `by_conditions`: caution or untrusted with a condition as a reason, other than 'outside the
    trained range'; `by_any_condition`: that one, too. Time before the first assessment is none.
    """
    known = [i for i, word in enumerate(verdicts.words) if word != "unassessable"]
    start = max(from_ns, int(verdicts.times_ns[known[0]])) if known else from_ns
    total = max(to_ns - start, 1)
    lost = Counter[str]()
    for position, ns in verdicts.spans(start, to_ns):
        if position < 0 or verdicts.words[position] == "unassessable":
            lost["unassessable"] += ns
            continue
        reasons = verdicts.reasons[position]
        if verdicts.words[position] != "trusted":
            lost["any"] += ns * any(reason.condition for reason in reasons)
            lost["alarm"] += ns * any(reason.alarms for reason in reasons)

    def percent(name: str) -> float:
        return round(100.0 * lost[name] / total, 3)

    return Time(percent("alarm"), percent("any"), percent("unassessable"))


def lengths_s(conditions: Iterable[Condition], end_ns: int) -> list[float]:
    """How long each stood, in seconds; what stands at the end counts until then."""
    return [((item.cleared_ns or end_ns) - item.raised_ns) / 1e9 for item in conditions]


# --- gaps that were there -------------------------------------------------------------------------


def is_true_gap(
    condition: Condition, times_ns: NDArray[np.int64], usable: Flags, interval_ns: int
) -> bool:
    """Whether 'nothing arrives' was said of a time in which nothing did, by the record itself.

    `usable` bool[n]: rows at which the subject has a value. It is true where the latest such row is
    at least two intervals before the raising.
    """
    if not is_lost(condition.names[0]):
        return False
    before = times_ns[usable & (times_ns <= condition.raised_ns)]
    latest = int(before[-1]) if len(before) else int(times_ns[0]) - 2 * interval_ns
    return condition.raised_ns - latest >= 2 * interval_ns
