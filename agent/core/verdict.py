"""The verdict: one table from conditions and input states to what a model is worth right now.

A model's concerns are the conditions of the subjects that it needs: its inputs, outputs and mode
tag, their sources, and the model itself. Looked at are these subjects alone, so that a gateway with
many models pays for the one whose verdict is asked for.

| when | verdict |
|---|---|
| a required input lost, bad, silent, held, out of service; too few good scans | unassessable |
| integration, sensor or model cause on a required input; joint limit exceeded | untrusted |
| its baseline was replaced in the file, and not taken up | untrusted |
| extrapolating, shift pending or of the process, provisional, optional lost | caution |
| none of these; an input differs from its own past alone, and that was told for long | trusted |

Every verdict carries `valid_until`; past it, it reads as unassessable everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.core import identity
from agent.core.condition import Condition
from agent.core.identity import FindingKey, Place, Subject
from agent.core.names import EXCURSION, TRUE_WHILE
from agent.core.spec import EngineSpec, ModelSpec
from agent.types import Event

ORDER = ("trusted", "caution", "untrusted", "unassessable")
_CONFIRMED = frozenset({"integration", "sensor", "model"})
OUT_OF_SERVICE = "out of service"
MAINTENANCE = "planned maintenance"
EXTRAPOLATING = "extrapolating"
"""What a reason is called that states a fact, and no fault: see `agent.core.extrapolation`."""

LOST_KINDS = TRUE_WHILE.keys() | {OUT_OF_SERVICE, MAINTENANCE}
_JOINT_KINDS = frozenset({"sudden change"})
"""What a tag's condition is called while all that is known is that a joint limit is exceeded."""
PROVISIONAL_KINDS = frozenset(
    {
        "out of trained range", EXCURSION, "level shift", "drift", "bias", "noise", "spikes",
        "relations changed", "new operating region", "sudden change", "anomaly",
        "unseen state", "illegal transition", "class mix",
    }
)


@dataclass(frozen=True, slots=True)
class Concern:
    """One active condition as a verdict sees it.

    `required` says whether it hits a tag that the model needs, `provisional` that only charts with
    provisional thresholds saw it, `lost` that nothing usable arrives right now, whatever the
    condition is called.
    """

    condition: str
    subject: Subject
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

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, with texts for identities."""
        return {
            "verdict": self.verdict,
            "reasons": [
                {name: getattr(reason, name) for name in Concern.__slots__}
                | {"subject": str(reason.subject)}
                for reason in self.reasons
            ],
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Verdict:
        """From `to_json`."""
        reasons = [
            Concern(**(dict(reason) | {"subject": Subject.parse(reason["subject"])}))
            for reason in document["reasons"]
        ]
        return Verdict(document["verdict"], tuple(reasons))


def grade(concern: Concern) -> str:
    """The verdict that one concern alone brings about (the table's rows)."""
    if concern.kind == EXTRAPOLATING:
        return "caution"
    if concern.lost or concern.kind in LOST_KINDS:
        return "unassessable" if concern.required else "caution"
    hard = concern.cause in _CONFIRMED and concern.required
    if concern.subject.place is Place.MODEL or concern.kind in _JOINT_KINDS:
        hard = True
    if hard and concern.provisional and concern.kind in PROVISIONAL_KINDS:
        hard = False
    return "untrusted" if hard else "caution"


def fact(subject: Subject, text: str) -> Concern:
    """A reason that states a fact of an input, or of all inputs of a model together."""
    hint = "the model was never trained there: do not rely on it until this is over"
    return Concern("", subject, EXTRAPOLATING, "unknown", text, hint, True, False)


def replaced(name: str) -> Concern:
    """A reason that states that a model's baseline was replaced and not taken up yet."""
    text = "its baseline's file was replaced: it is judged by one that is not in force any more"
    hint = "take up the new one: systemctl reload fieldwarden; or put the old one back"
    return Concern("", identity.model(name), "baseline replaced", "model", text, hint, True, False)


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
        pending = Concern("", identity.model(""), "waiting", "unknown", waiting, "", True, False)
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
            "tag": reason.subject.name if reason.subject.place is Place.TAG else "",
            "source": reason.subject.name if reason.subject.place is Place.SOURCE else "",
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
    return Event("verdict", time_ns, str(identity.model(name)), data)


class Concerns:
    """Builds the concerns of models; holds no state of its own."""

    def __init__(self, spec: EngineSpec) -> None:
        self._source_of = {tag.name: tag.source for tag in spec.tags}
        self._models = {model.name: model for model in spec.models}
        self._subjects = {model.name: self._subjects_of(model) for model in spec.models}

    def _subjects_of(self, model: ModelSpec) -> tuple[tuple[Subject, bool], ...]:
        """(subject, whether the model can not do without it), sorted."""
        needed = model.needed
        found = {identity.model(model.name): True}
        for tag in model.tags:
            found[identity.tag(tag)] = tag in needed
            source = identity.source(self._source_of[tag])
            found[source] = found.get(source, False) or tag in needed
        return tuple(sorted(found.items()))

    def of(
        self, name: str, active: Mapping[Subject, Condition], out_of_service: Mapping[str, str],
        provisional: Callable[[Subject, FindingKey], bool],
        lapsed: Callable[[Condition], bool],
    ) -> list[Concern]:
        """What speaks against a model right now, by subject.

        Args:
            name: of the model.
            active: all conditions.
            out_of_service: tags that people took out of service; by whom and why, in words.
            provisional: whether what was found on a subject has provisional thresholds.
            lapsed: whether a condition may be false, and was told for long enough.
        """
        model = self._models[name]
        concerns: list[Concern] = []
        silent: dict[str, list[str]] = {}
        for subject, required in self._subjects[name]:
            condition = active.get(subject)
            if condition is None or name not in condition.models:
                continue
            if condition.raised and lapsed(condition):
                continue
            if condition.raised and condition.kind in LOST_KINDS and not condition.findings:
                continue  # data arrive again; ten good scans, not the off-delay, bring trust back
            if condition.raised:
                own = [key for key in condition.seen if key.model in {"", name}]
                vague = [provisional(subject, key) for key in own] or [model.baseline.provisional]
                concerns.append(
                    Concern(condition.id, subject, condition.kind, condition.cause,
                            condition.reason, condition.hint, required, all(vague), condition.lost)
                )
            elif condition.lost and required:
                silent.setdefault(self._source_of[subject.name], []).append(subject.name)
        raised = {concern.subject for concern in concerns}
        concerns += [
            _silent(source, tags) for source, tags in sorted(silent.items())
            if identity.source(source) not in raised
        ]
        return concerns + [
            Concern("", identity.tag(tag), OUT_OF_SERVICE, "unknown",
                    f"{tag} is out of service{out_of_service[tag]}",
                    f'once it serves again: fieldwarden in-service CONFIG {tag} --reason "..."',
                    tag in model.needed, False)
            for tag in sorted(out_of_service.keys() & set(model.tags))
        ]


def _silent(source: str, tags: list[str]) -> Concern:
    """Required tags that are not usable, before their on-delay is over: one reason."""
    named = tags[0] if len(tags) == 1 else f"{tags[0]} and {len(tags) - 1} more"
    return Concern(
        "", identity.source(source), "missing", "unknown",
        f"{named} of source {source} can not be used right now", "", True, False, True,
    )
