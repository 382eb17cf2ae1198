"""The verdict: one table from conditions and input states to what a model is worth right now.

| when | verdict |
|---|---|
| a required input lost, bad, silent, out of service; too few good scans | unassessable |
| integration, sensor or model cause on a required input; joint limit exceeded | untrusted |
| out of trained range, shift pending or of the process, provisional, optional lost | caution |
| none of these | trusted |

Every verdict carries `valid_until`; past it, it reads as unassessable everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.types import Event

ORDER = ("trusted", "caution", "untrusted", "unassessable")
_CONFIRMED = frozenset({"integration", "sensor", "model"})
LOST_KINDS = frozenset(
    {"source lost", "missing", "bad quality", "out of service", "out of physical range"}
)
_JOINT_KINDS = frozenset({"sudden change"})
"""What a tag's condition is called while all that is known is that a joint limit is exceeded."""
PROVISIONAL_KINDS = frozenset(
    {
        "out of trained range", "level shift", "drift", "bias", "noise", "spikes",
        "relations changed", "new operating region", "sudden change", "anomaly",
        "unseen state", "illegal transition",
    }
)


@dataclass(frozen=True, slots=True)
class Concern:
    """One active condition as a verdict sees it.

    `required` says whether it hits a required input, `lost` that nothing usable arrives right now,
    whatever the condition is called.
    """

    condition: str
    subject: str
    kind: str
    cause: str
    text: str
    hint: str
    required: bool
    provisional: bool
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model is worth, and why: `reasons` are the concerns of that severity, worst first."""

    verdict: str
    reasons: tuple[Concern, ...]


def grade(concern: Concern) -> str:
    """The verdict that one concern alone brings about (the table's rows)."""
    if concern.lost or concern.kind in LOST_KINDS:
        return "unassessable" if concern.required else "caution"
    hard = concern.cause in _CONFIRMED and concern.required
    if concern.subject.startswith("model/") or concern.kind in _JOINT_KINDS:
        hard = True
    if hard and concern.provisional and concern.kind in PROVISIONAL_KINDS:
        hard = False
    return "untrusted" if hard else "caution"


def judge(concerns: Sequence[Concern], waiting: str, *, assessed: bool) -> Verdict:
    """The verdict over all concerns; `waiting` says why there is no assessment yet."""
    graded = sorted(
        ((grade(concern), concern) for concern in concerns),
        # of equal weight, what is known stands before what is not
        key=lambda pair: (
            -ORDER.index(pair[0]), pair[1].cause == "unknown", pair[1].subject
        ),
    )
    worst = graded[0][0] if graded else "trusted"
    if not assessed and worst != "unassessable":
        pending = Concern("", "model", "waiting", "unknown", waiting, "", True, False)
        return Verdict("unassessable", (pending, *(concern for _, concern in graded)))
    return Verdict(worst, tuple(concern for _, concern in graded))


def same_to_read(a: Verdict, b: Verdict) -> bool:
    """Whether a person would read the same: the verdict, and what each reason is about."""
    if a.verdict != b.verdict or len(a.reasons) != len(b.reasons):
        return False
    return all(
        (x.subject, x.kind, x.cause) == (y.subject, y.kind, y.cause)
        for x, y in zip(a.reasons, b.reasons, strict=True)
    )


def reasons_of(verdict: Verdict) -> list[dict[str, str]]:
    """A verdict's reasons, JSON-ready, as status and messages show them."""
    return [
        {
            "text": reason.text, "cause": reason.cause, "kind": reason.kind, "hint": reason.hint,
            "condition": reason.condition,
            "tag": reason.subject[4:] if reason.subject.startswith("tag/") else "",
            "source": reason.subject[7:] if reason.subject.startswith("source/") else "",
        }
        for reason in verdict.reasons
    ]


def verdict_event(
    name: str, version: str, verdict: Verdict, before: Verdict | None, time_ns: int
) -> Event:
    """The event that tells of a verdict that changed, or of its reasons."""
    data = {
        "verdict": verdict.verdict, "was": before.verdict if before else "",
        "version": version, "reasons": reasons_of(verdict),
    }
    return Event("verdict", time_ns, f"model/{name}", data)
