"""What an output's departure is called: in the words of a model, never of a transmitter.

Its cause is the model where the inputs are as trained and the output is not. Where a condition of
an input is open, what the model gives follows from it; where the inputs explain the most of it, it
is what they gave in training. A prediction that stands still is explained by neither.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from agent.core.diagnosis import Diagnosis, diagnose
from agent.core.figures import farthest, latest
from agent.core.kernels import TRAITS
from agent.core.kernels.base import Symptom
from agent.core.names import EXCURSION
from agent.core.state_tags import describe
from agent.core.tag_evidence import (
    LEAVES_RANGE,
    Evidence,
    back,
    drifting,
    finer,
    grown,
    momentary,
    noisier,
    reads,
)

JUDGED = frozenset({
    Symptom.LEVEL, Symptom.JUMP, Symptom.SPIKE, Symptom.SCATTER, Symptom.FLAT, Symptom.STATE,
    Symptom.UNEXPLAINED, Symptom.MIX,
}) | LEAVES_RANGE  # fmt: skip
"""What the charts of a model find of an output; all else is how it arrives, but for values that are
smoother and have no more digits than in training: means have more."""

BY_INPUTS = frozenset({Symptom.LEVEL}) | LEAVES_RANGE
"""What inputs within their training may explain of an output."""

_OF_SHARES = frozenset({Symptom.LEVEL, Symptom.SCATTER, Symptom.SPIKE, Symptom.JUMP})
"""What charts of values find of classes that come in other shares."""

_ANY = (-1,)
"""After a class may come any other: all bits are set."""

_NO_VALUE_OF_NOW = 7
"""Rank from which how it arrives says more than what it is."""


@dataclass(frozen=True, slots=True)
class OutputEvidence:
    """All that is known of one tag, as an output of one model.

    Attributes:
        evidence: as of an input; nothing of others is in it.
        model: its name.
        follows: the condition of an input, or of all of them, that it follows from, in words; empty
            where there is none.
        process: whether that is told to be the plant's.
        given: what its inputs gave in training, in its unit; NaN where no relation was learnt.
        explained: whether its inputs explain the most of where it is.
        mix: in words, how the shares of its classes changed.
        classes: those of training; empty where their shares are not charted.
    """

    evidence: Evidence
    model: str
    follows: str = ""
    process: bool = False
    given: float = np.nan
    explained: bool = False
    mix: str = ""
    classes: tuple[float, ...] = ()


def name_of(item: Evidence | OutputEvidence) -> Diagnosis:
    """The most specific name that the evidence of a tag supports."""
    return _of_output(item) if isinstance(item, OutputEvidence) else diagnose(item)


def _of_output(item: OutputEvidence) -> Diagnosis:
    evidence = item.evidence
    of_model = JUDGED if finer(evidence) else JUDGED | {Symptom.SMOOTH}
    arrives = frozenset(name for name in evidence.found if TRAITS[name].symptom not in of_model)
    judged = evidence.symptoms & of_model
    if arrives or evidence.lost or not judged:
        how = diagnose(replace(evidence, found=arrives))
        if not judged or how.rank >= _NO_VALUE_OF_NOW or Symptom.IMPOSSIBLE in evidence.symptoms:
            return how
    kind, text, rank = _named(item, judged)
    cause, why, hint = _whose(item, kind, judged)
    return Diagnosis(kind, cause, text + why, hint, rank)


def _whose(
    item: OutputEvidence, kind: str, judged: frozenset[Symptom]
) -> tuple[str, str, str]:
    """(cause, what the text says of it, hint)."""
    tag, model = item.evidence.tag, item.model
    if item.follows:
        hint = f"see to that first: what {model} gives follows from what it is given"
        return "process" if item.process else "unknown", f"; it follows {item.follows}", hint
    if item.explained and judged <= BY_INPUTS:
        hint = f"look at what the plant does: {model} gives what such inputs gave in training"
        return "process", "; its inputs moved within their training and explain it", hint
    if kind == "stuck":
        hint = f"look at the program that computes {tag}: does it run, and is it given new inputs?"
        return "model", "", hint
    hint = (
        f"look at what changed in {model}: its version, its settings, how its inputs are prepared; "
        "compare a few of its predictions with the trained version's"
    )
    return "model", ", while the inputs are as trained", hint


def _named(item: OutputEvidence, judged: frozenset[Symptom]) -> tuple[str, str, int]:
    """(kind, text, rank)."""
    evidence = item.evidence
    tag = evidence.tag
    values = evidence.recent * evidence.scale + evidence.centre
    known = item.classes, _ANY * len(item.classes)
    states = evidence.states if Symptom.STATE in judged else known
    if (new := describe(values, *states)) is not None:
        return new[0], f"{tag} {new[1].replace(' state', ' class')}", 5
    if Symptom.FLAT in judged:
        value = f"{latest(evidence.raw)} {evidence.unit}".rstrip()
        return "stuck", f"{tag} repeats the prediction {value}, as it never did in training", 6
    if Symptom.UNEXPLAINED in judged:
        return "bias", f"{tag} is off what its inputs gave in training{_beside(item)}", 5
    if Symptom.MIX in judged or (item.classes and judged & _OF_SHARES):
        return "class mix", f"{tag} gives its classes in other shares than in training{item.mix}", 5
    if momentary(evidence):
        far = farthest(evidence.recent, evidence.unit, evidence.centre, evidence.scale)
        return "spikes", f"{tag} gives single predictions far from all others{far}", 4
    if noisier(evidence):
        return "noise", f"predictions of {tag} scatter more than in training{grown(evidence)}", 5
    return _moved(evidence, judged)


def _moved(evidence: Evidence, judged: frozenset[Symptom]) -> tuple[str, str, int]:
    tag, unit = evidence.tag, evidence.unit and f" {evidence.unit}"
    if judged <= {Symptom.SCATTER, Symptom.SMOOTH} and Symptom.SMOOTH in judged:
        text = f"predictions of {tag} are smoother than in training{grown(evidence)}"
        return "noise", text, 3
    if judged == {Symptom.SCATTER}:
        text = f"predictions of {tag} scatter more or less than in training{grown(evidence)}"
        return "noise", text, 3
    if Symptom.LEVEL in judged and drifting(evidence):
        return "drift", f"predictions of {tag} drift from those of training{reads(evidence)}", 4
    low, high = evidence.trained
    span = f"decided between {low:.4g} and {high:.4g}{unit} in training"
    if judged & LEAVES_RANGE and back(evidence):
        return EXCURSION, f"{tag}, which was {span}, left that for a moment", 3
    if judged & LEAVES_RANGE:
        value = f"{latest(evidence.raw)}{unit}"
        return "out of trained range", f"{tag} is {value}, and was {span}", 4
    if Symptom.STATE in judged:
        text = f"{tag} gave a class, or a change of class, that training never had"
        return "unseen state", text, 2
    return "level shift", f"predictions of {tag} moved to another level{reads(evidence)}", 2


def _beside(item: OutputEvidence) -> str:
    usable = item.evidence.raw[np.isfinite(item.evidence.raw)][-8:]
    if not (np.isfinite(item.given) and len(usable)):
        return ""
    unit = item.evidence.unit and f" {item.evidence.unit}"
    return f": it is {float(np.mean(usable)):.5g}{unit}, they gave {item.given:.5g}{unit}"
