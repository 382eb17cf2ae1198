"""What caused a condition, whose it is, and what to do: from evidence to one plain sentence.

Pure functions over small facts. The order tried is the design's: integration, sensor, process,
model; `unknown` names its candidates where the evidence can not tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from agent.core import shape
from agent.core.conversions import Change, Trace, explain_jump, told
from agent.core.counters import counted
from agent.core.figures import (
    beside_others,
    beside_training,
    farthest,
    impossible,
    jumped,
    latest,
    times,
)
from agent.core.kernels import TRAITS
from agent.core.kernels.base import Symptom, Words
from agent.core.no_instrument import ANNOUNCED, NO_INSTRUMENT
from agent.core.state_tags import describe
from agent.types import Float64

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The name that a person sees.

    `kind` is the fault's name (``stuck``, ``unit change`` ...); `cause` one of ``integration``,
    ``sensor``, ``process``, ``model``, ``unknown``; `text` the reason in a sentence; `hint` what
    to do; `rank` orders names: a more specific one replaces a vaguer one, never the other way.
    `tags` are those blamed where the subject is a model.
    """

    kind: str
    cause: str
    text: str
    hint: str
    rank: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one tag, as an input of one model, when its condition is named.

    `found` holds the names of the detectors whose flags are or were up; `recent` and `means` are
    standardised (see `Traces.of_input`), `raw` is in the tag's unit, `predicted` what the others
    say of each of these (empty where they do not); `noise` is in standard deviations; `share` is
    the tag's share of how far the scans are off (T2 and SPE together; 0 where they are calm),
    `alike` the inputs whose share is as large; `said` what the others say that it reads, in its
    unit, and `off` how many standard deviations of what they leave open it is off; `joint` says
    that a joint chart is flagged; `companions` counts other inputs of the same model flagged as
    moved; `changes` are the changes of unit and scale that are thought of; `states` is
    `trained_states` of a state tag; `role`, `loop`, `loop_part`, `address` and `refusal` are of
    its `TagSpec`.
    """

    tag: str
    unit: str
    source: str
    found: frozenset[str]
    recent: Float64 = field(default_factory=lambda: np.zeros(0))
    means: Float64 = field(default_factory=lambda: np.zeros(0))
    raw: Float64 = field(default_factory=lambda: np.zeros(0))
    predicted: Float64 = field(default_factory=lambda: np.zeros(0))
    centre: float = 0.0
    scale: float = 1.0
    noise: float = 1.0
    trained: Span = (-np.inf, np.inf)
    physical: Span | None = None
    r2: float = 0.0
    joint: bool = False
    share: float = 0.0
    said: float = np.nan
    off: float = 0.0
    alike: tuple[str, ...] = ()
    companions: int = 0
    lost: bool = False
    swapped_with: str = ""
    changes: tuple[Change, ...] = ()
    standard_unit: str = ""
    states: tuple[tuple[float, ...], tuple[int, ...]] = ((), ())
    role: str = "input"
    loop: str = ""
    loop_part: str = ""
    kind: str = ""
    address: str = ""
    refusal: str = ""

    @property
    def set_by(self) -> str:
        """The key of `NO_INSTRUMENT` of a tag that no transmitter measures; empty for others."""
        kinds = (self.loop_part, self.role)
        return next((kind for kind in kinds if kind in NO_INSTRUMENT), "")

    @property
    def symptoms(self) -> frozenset[Symptom]:
        """What the detectors' flags are evidence of."""
        return frozenset(TRAITS[name].symptom for name in self.found)


_OF_SCANS = frozenset({Symptom.REGION, Symptom.RELATION, Symptom.CHANGE})
LEAVES_RANGE = frozenset({Symptom.BEYOND})
"""What says of a value that it is out of where it was trained, and no more."""

_ABRUPT = frozenset({Symptom.SPIKE, Symptom.JUMP, Symptom.CHANGE})
_BRIEF = frozenset({Symptom.SPIKE, Symptom.JUMP, Symptom.SCATTER}) | LEAVES_RANGE | _OF_SCANS
"""What single samples, if they stand off or scatter, may bring up."""

MOVED = frozenset({Symptom.LEVEL, Symptom.JUMP}) | LEAVES_RANGE
"""What says of an input that its value is another one than before."""

_MOVES = MOVED | {Symptom.SPIKE, Symptom.SCATTER}
_PREDICTED = 0.5  # R2 from which the other inputs say enough of one to call it the faulty one
_ALONE, _NEARLY_ALL = 0.5, 0.9  # shares of how far the scans are off
_OF_NOISE = 40  # samples that noise is told of
_SURELY_OFF = 4.0  # standard deviations of what the others leave open
_NO_MEASUREMENT = 7
"""Rank from which a finding's own words say that what arrives is no measurement of now."""


def diagnose(evidence: Evidence) -> Diagnosis:
    """The most specific name that the evidence supports, in words that fit the tag's role."""
    named = _name(evidence)
    if named.cause == "integration" or not evidence.set_by:
        return named
    cause, hint = NO_INSTRUMENT[evidence.set_by]
    blamed = named.cause == "sensor" or evidence.set_by in ANNOUNCED
    return replace(
        named, cause=cause if blamed else named.cause,
        hint=hint.format(tag=evidence.tag, source=evidence.source, loop=evidence.loop),
    )


def _name(evidence: Evidence) -> Diagnosis:
    for attempt in (
        _transport, _counted, _states, _integration, _sensor, _spread, _moved, _own_words, _changed,
    ):  # fmt: skip
        diagnosis = attempt(evidence)
        if diagnosis is not None:
            return diagnosis
    return Diagnosis(
        "anomaly", "unknown", f"{evidence.tag} behaves as it did not in training",
        "compare with a second instrument", 1,
    )


def _transport(evidence: Evidence) -> Diagnosis | None:
    """Nothing usable arrives: lost, silent, bad, or its clock stands still."""
    if evidence.lost:
        source = evidence.source
        return Diagnosis(
            "source lost", "integration",
            f"{evidence.tag} is lost: no connection to source {source}",
            f"check the device, cable and network of {source}", 9,
        )
    words = _words(evidence)
    return read(words, evidence) if words and words.rank >= _NO_MEASUREMENT else None


def _counted(evidence: Evidence) -> Diagnosis | None:
    """A counter that goes back, or stands still."""
    return Diagnosis(*found) if (found := counted(evidence)) else None


def _words(evidence: Evidence) -> Words | None:
    """The most telling of the words that the tag's findings bring themselves."""
    own = [
        traits.words for name, traits in TRAITS.items()
        if name in evidence.found and traits.words and traits.symptom not in _OF_SCANS
    ]
    return max(own, key=lambda words: words.rank, default=None)


def _own_words(evidence: Evidence) -> Diagnosis | None:
    """What was found says itself what it is."""
    words = _words(evidence)
    return read(words, evidence) if words else None


def read(words: Words, evidence: Evidence) -> Diagnosis:
    """A finding's own words, of this tag."""
    facts = {
        "tag": evidence.tag, "source": evidence.source,
        "address": evidence.address or "its address",
        "refusal": evidence.refusal or "its address is refused",
    }
    return Diagnosis(
        words.kind, words.cause, words.text.format(**facts), words.hint.format(**facts), words.rank
    )


def _states(evidence: Evidence) -> Diagnosis | None:
    """A state tag in a state, or a change of state, that training never had."""
    values = evidence.recent * evidence.scale + evidence.centre
    new = describe(values, *evidence.states) if Symptom.STATE in evidence.symptoms else None
    if new is None:
        return None
    cause, blame = _who_moved(evidence)
    return Diagnosis(
        new[0], cause, f"{evidence.tag} {new[1]}{blame}",
        "find out what the plant did, and whether the codes at the source were changed", 5,
    )


def _integration(evidence: Evidence) -> Diagnosis | None:
    """A jump that a unit, scale or sign change explains, or a swap with another tag."""
    unit = evidence.standard_unit or evidence.unit
    found = explain_jump(
        Trace(evidence.raw, evidence.predicted), unit, evidence.noise * evidence.scale,
        evidence.scale, evidence.changes,
    )
    if evidence.swapped_with and not any(change.old for change in found.changes):
        return Diagnosis(
            "swapped tags", "integration",
            f"{evidence.tag} and {evidence.swapped_with} carry each other's values",
            "compare the address lists: two addresses were exchanged", 8,
        )
    if not found.changes:
        return None
    kind, how = told(found.changes, unit)
    figures = jumped(found.was, found.now, evidence.unit, found.ratio)
    return Diagnosis(
        kind, "integration", f"{kind}: {evidence.tag} now arrives {how}{figures}",
        f"set the unit or scale at source {evidence.source} back, or change the tag's contract", 8,
    )


def _sensor(evidence: Evidence) -> Diagnosis | None:
    """One instrument alone: frozen, spiking, or out of the relation it had with the others."""
    tag = evidence.tag
    if Symptom.FLAT in evidence.symptoms:
        text = f"{tag} is stuck at {latest(evidence.raw)} {evidence.unit}".rstrip()
        return Diagnosis(
            "stuck", "sensor", text,
            "check the transmitter: it repeats one value where it never did in training", 6,
        )
    if Symptom.IMPOSSIBLE in evidence.symptoms:
        return Diagnosis(
            "out of physical range", "sensor",
            f"{tag} reads " + impossible(evidence.raw, evidence.unit, evidence.physical),
            "check wiring and range of the transmitter", 6,
        )
    if momentary(evidence):
        return Diagnosis(
            "spikes", "sensor", f"{tag} shows spikes that training never had"
            + farthest(evidence.recent, evidence.unit, evidence.centre, evidence.scale),
            "check wiring, shielding and grounding", 4,
        )
    if noisier(evidence):
        return Diagnosis(
            "noise", "sensor", f"{tag} is noisier than in training{grown(evidence)}",
            "check wiring, shielding and grounding, and what vibrates", 5,
        )
    if _left_the_others(evidence):
        kind = "drift" if drifting(evidence) else "bias"
        verb = "is drifting" if kind == "drift" else "is off"
        said = beside_others(
            evidence.raw, evidence.unit, evidence.said, evidence.off, evidence.share
        )
        why = f"the other inputs say otherwise{said}"
        if evidence.alike and not evidence.symptoms & _MOVES:  # its own charts see nothing of it
            verb += f", or {' or '.join(evidence.alike[:2])} is"
            why = "how they relate can not tell which"
        return Diagnosis(
            kind, "sensor", f"{tag} {verb}: {why}",
            "calibrate or replace the sensor; exclude this window from any training", 5,
        )
    return None


def _left_the_others(evidence: Evidence) -> bool:
    """Whether it alone is off: the others predict it, and all but it go together.

    Others that moved since are no companions where it makes up nearly all of what is off.
    """
    if evidence.r2 < _PREDICTED or evidence.share < _ALONE:
        return False
    seen = evidence.joint or abs(evidence.off) >= _SURELY_OFF
    return seen and (not evidence.companions or evidence.share >= _NEARLY_ALL)


def momentary(evidence: Evidence) -> bool:
    """Whether samples stood off for a moment, and neither the level nor the noise changed."""
    recent, noise = evidence.recent, evidence.noise
    return bool(
        evidence.symptoms & _BRIEF and shape.spiked(recent, noise)
        and not (_away(evidence) or shape.stepped(recent, noise) or shape.noisier(recent, noise))
    )


def grown(evidence: Evidence) -> str:
    """How many times its usual noise is what it has now, in words."""
    return times(shape.scatter(evidence.recent[-_OF_NOISE:]), evidence.noise)


def reads(evidence: Evidence) -> str:
    """What it reads beside training, in words."""
    return beside_training(evidence.recent, evidence.unit, evidence.centre, evidence.scale)


def _away(evidence: Evidence) -> bool:
    """Whether the level is not where it was trained."""
    found = evidence.symptoms
    return Symptom.LEVEL in found or bool(found & LEAVES_RANGE and not inside(evidence))


def inside(evidence: Evidence) -> bool:
    """Whether its latest values are in the trained range."""
    low, high = ((edge - evidence.centre) / evidence.scale for edge in evidence.trained)
    return shape.inside(evidence.recent, low, high)


def drifting(evidence: Evidence) -> bool:
    """Whether it went along a ramp; what an abrupt change began is none, wherever it went since."""
    return not evidence.symptoms & _ABRUPT and shape.ramp(evidence.means)


def noisier(evidence: Evidence) -> bool:
    """Whether the noise grew while the level stayed."""
    return bool(
        evidence.symptoms & _BRIEF and shape.noisier(evidence.recent, evidence.noise)
        and not _away(evidence)
    )


def _spread(evidence: Evidence) -> Diagnosis | None:
    """The noise changed, one can not see how: a filter was switched, or only a chart noticed."""
    found = evidence.symptoms
    if Symptom.SCATTER not in found or found & (LEAVES_RANGE | {Symptom.LEVEL}):
        return None
    if shape.stepped(evidence.recent, evidence.noise):
        return None
    return Diagnosis(
        "noise", "sensor",
        f"{evidence.tag} is noisier or quieter than in training{grown(evidence)}",
        "check filtering and damping of the transmitter, and its wiring", 3,
    )


def _moved(evidence: Evidence) -> Diagnosis | None:
    """The value moved: out of the trained range, in a step, or as a ramp."""
    tag, unit = evidence.tag, evidence.unit and f" {evidence.unit}"
    found = evidence.symptoms
    if not found & _MOVES:
        return None
    cause, blame = _who_moved(evidence)
    if Symptom.LEVEL in found and drifting(evidence):
        return Diagnosis(
            "drift", cause,
            f"{tag} is drifting away from where it was trained{blame}{reads(evidence)}",
            "compare with a second instrument; calibrate it, or declare the new normal", 4,
        )
    low, high = evidence.trained
    if found & LEAVES_RANGE and inside(evidence):
        return Diagnosis(
            "out of trained range", cause,
            f"{tag} left the trained range of {low:.4g} to {high:.4g}{unit} for a moment{blame}",
            "look at what happened then; the model never saw this region", 3,
        )
    if found & LEAVES_RANGE:
        return Diagnosis(
            "out of trained range", cause,
            f"{tag} reads {latest(evidence.raw)}{unit}, trained on {low:.4g} to {high:.4g}{blame}",
            "the model never saw this region: do not rely on it there", 4,
        )
    return Diagnosis(
        "level shift", cause, f"{tag} moved to a new level{blame}{reads(evidence)}",
        "find out whether the sensor or the process moved", 2,
    )


def _changed(evidence: Evidence) -> Diagnosis | None:
    """It suddenly left its relation to the other inputs; nothing tells yet how."""
    if Symptom.CHANGE not in evidence.symptoms:
        return None
    return Diagnosis(
        "sudden change", "unknown",
        f"{evidence.tag} changed suddenly, and the other inputs do not explain it"
        + beside_others(evidence.raw, evidence.unit, evidence.said, evidence.off),
        "look at what happened just before; compare with a second instrument", 2,
    )


def _who_moved(evidence: Evidence) -> tuple[str, str]:
    if evidence.companions >= 1 and evidence.r2 >= _PREDICTED:
        return "process", ", together with other inputs"
    measured = not evidence.set_by
    return "unknown", " (sensor or process)" if measured else " (what sets it, or the process)"
