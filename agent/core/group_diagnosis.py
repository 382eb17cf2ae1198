"""What is called by one name of many: a whole source, or the inputs of a model together."""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.diagnosis import Diagnosis, read
from agent.core.kernels import JOINT_CHARTS, TRAITS
from agent.core.kernels.base import Symptom, Words
from agent.core.spec import TagSpec
from agent.core.tag_evidence import Evidence

_OF_MODELS = {chart.name: chart.words for chart in JOINT_CHARTS}
_RANK = 9
_WORDS = {
    traits.symptom: traits.words
    or Words("out of physical range", "sensor", f"{{tag}} is {traits.symptom}", "", _RANK)
    for traits in TRAITS.values() if traits.transport
}


def group_text(source: str, reason: str, tags: int) -> Diagnosis:
    """The diagnosis of a whole source that is lost or silent."""
    why = reason or "it gave no reason"
    return Diagnosis(
        "source lost", "integration", f"source {source} is lost with {tags} tags: {why}",
        f"check the device, cable and network of {source}", _RANK,
    )


def group_alike(symptom: Symptom, example: TagSpec) -> Diagnosis:
    """The diagnosis of a source that answers, most of whose tags have one fault.

    Args:
        symptom: what most of them have.
        example: one of them.
    """
    source = example.source
    own = read(_WORDS[symptom], Evidence(
        example.name, example.unit, source, frozenset(), role=example.role,
        address=example.address, refusal=example.refusal,
    ))  # fmt: skip
    kind, hint = own.kind, own.hint
    if own.cause != "integration":  # most instruments do not fail at once: what reads them did
        kind, hint = "source lost", f"look at what {source} says of itself and of what it reads"
    text = f"source {source} answers, but most of its tags can not be used; so {own.text}"
    return Diagnosis(kind, "integration", text, hint, _RANK)


def joint_diagnosis(chart: str, shares: Mapping[str, float]) -> Diagnosis:
    """The diagnosis of a model whose inputs left their trained relations or region together.

    Args:
        chart: the joint chart that saw it best.
        shares: of each input in that chart's statistic.
    """
    most = sorted((tag for tag in shares if shares[tag] > 0.0), key=lambda tag: -shares[tag])[:3]
    parts = [f"{tag} ({100.0 * shares[tag]:.0f} %)" for tag in most]
    named = f"; most of it lies in {', '.join(parts)}" if parts else ""
    words = _OF_MODELS[chart]
    return Diagnosis(
        words.kind, words.cause, words.text.format(named=named), words.hint, words.rank
    )
