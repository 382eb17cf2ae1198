"""The verdict: one table from conditions and input states to what a model is worth right now.

| when | verdict |
|---|---|
| a required input lost, bad, silent, out of service; too few good scans | unassessable |
| a confirmed integration, sensor or model cause on a required input; joint limit exceeded | untrusted |
| out of trained range, a shift pending or of the process, provisional, an optional input lost | caution |
| none of these | trusted |

Every verdict carries `valid_until`; past it, it reads as unassessable everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ORDER = ("trusted", "caution", "untrusted", "unassessable")
_CONFIRMED = frozenset({"integration", "sensor", "model"})
LOST_KINDS = frozenset(
    {"source lost", "missing", "bad quality", "out of service", "out of physical range"}
)
PROVISIONAL_KINDS = frozenset(
    {
        "out of trained range", "level shift", "drift", "bias", "noise", "spikes",
        "relations changed", "new operating region", "anomaly",
    }
)


@dataclass(frozen=True, slots=True)
class Concern:
    """One active condition as a verdict sees it; `required` says whether it hits a required input."""

    condition: str
    subject: str
    kind: str
    cause: str
    text: str
    hint: str
    required: bool
    provisional: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model is worth, and why: `reasons` are the concerns of that severity, worst first."""

    verdict: str
    reasons: tuple[Concern, ...]


def grade(concern: Concern) -> str:
    """The verdict that one concern alone brings about (the table's rows)."""
    if concern.kind in LOST_KINDS:
        return "unassessable" if concern.required else "caution"
    hard = concern.cause in _CONFIRMED and concern.required
    if concern.subject.startswith("model/"):
        hard = True
    if hard and concern.provisional and concern.kind in PROVISIONAL_KINDS:
        hard = False
    return "untrusted" if hard else "caution"


def judge(concerns: Sequence[Concern], assessed: bool, waiting: str) -> Verdict:
    """The verdict over all concerns; `waiting` says why there is no assessment yet."""
    graded = sorted(
        ((grade(concern), concern) for concern in concerns),
        key=lambda pair: (-ORDER.index(pair[0]), pair[1].subject),
    )
    worst = graded[0][0] if graded else "trusted"
    if not assessed and worst != "unassessable":
        pending = Concern("", "model", "waiting", "unknown", waiting, "", True, False)
        return Verdict("unassessable", (pending, *(concern for _, concern in graded)))
    return Verdict(worst, tuple(concern for _, concern in graded))
