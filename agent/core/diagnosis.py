"""What caused a condition, whose it is, and what to do: from evidence to one plain sentence.

Pure functions over small facts. The order tried is the design's: integration, sensor, process,
model; `unknown` names its candidates where the evidence can not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agent.core import shape
from agent.core.conversions import Change, Trace, Wander, explain_jump, told
from agent.core.counters import counted
from agent.core.figures import beside_others, farthest, impossible, jumped, latest
from agent.core.kernels import TRAITS
from agent.core.kernels.base import Symptom, Words
from agent.core.names import EXCURSION
from agent.core.no_instrument import ANNOUNCED, NO_INSTRUMENT
from agent.core.state_tags import describe
from agent.core.tag_evidence import (
    LEAVES_RANGE,
    MOVED,
    OF_SCANS,
    Evidence,
    back,
    drifting,
    finer,
    grown,
    inside,
    momentary,
    noisier,
    reads,
    rescaled,
    rests,
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The name that a person sees.

    `kind` is the fault's name (``stuck``, ``unit change`` ...); `cause` one of ``integration``,
    ``sensor``, ``process``, ``model``, ``unknown``; `text` the reason in a sentence; `hint` what
    to do; `rank` orders names: a more specific one replaces a vaguer one, never the other way.
    `tags` are those blamed where the subject is a model. Of a change upstream, `since` is how many
    samples ago it came (0: not known), and `suggested` the map (see `changes`) that undoes it.
    """

    kind: str
    cause: str
    text: str
    hint: str
    rank: int
    tags: tuple[str, ...] = ()
    since: int = 0
    suggested: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_MOVES = MOVED | {Symptom.SPIKE, Symptom.SCATTER}
_HOW_SERVED = frozenset({Symptom.DIGITS, Symptom.LINES, Symptom.SMOOTH})
_FROZEN = 2  # other tags of a source that stand still at the same sample
_PREDICTED = 0.5  # R2 from which the other inputs say enough of one to call it the faulty one
_ALONE, _NEARLY_ALL = 0.5, 0.9  # shares of how far the scans are off
_SURELY_OFF = 4.0  # standard deviations of what the others leave open
_NO_MEASUREMENT = 7
"""Rank from which a finding's own words say that what arrives is no measurement of now."""
_WHICH = "find out whether the sensor or the process moved"
_CALIBRATE = "compare with a second instrument; calibrate it, or declare the new normal"


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
        _reread, _transport, _counted, _states, _integration, _served, _sensor, _spread, _moved,
        _own_words, _changed,
    ):  # fmt: skip
        diagnosis = attempt(evidence)
        if diagnosis is not None:
            return diagnosis
    return Diagnosis(
        "anomaly", "unknown", f"{evidence.tag} behaves as it did not in training",
        "compare with a second instrument", 1,
    )


def _reread(evidence: Evidence) -> Diagnosis | None:
    """Its registers are read otherwise: a map shifted by one, other bytes first, another type."""
    tag, source = evidence.tag, evidence.source
    if evidence.lost:
        return None
    if evidence.shift is not None:
        shift = evidence.shift
        where = "behind" if shift.step > 0 else "before"
        return Diagnosis(
            "register map shifted", "integration",
            f"{tag} reads what is {where} it at {source}, as {len(shift.tags) - 1} others do",
            f"compare the addresses of {source} with its list: they are off by one", 9,
            since=shift.since,
        )
    if evidence.exchanged:
        return Diagnosis(
            "byte order changed", "integration",
            f"{tag} arrives from {source} with {evidence.exchanged}",
            f"compare the word order of {tag} in the configuration with what {source} sends", 9,
        )
    if evidence.retyped:
        return Diagnosis(
            "data type changed", "integration",
            f"{tag} arrives from {source} as {evidence.retyped}, and is read as another type",
            f"compare the data type of {tag} in the configuration with what {source} serves", 9,
        )
    return None


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
        if name in evidence.found and traits.words and traits.symptom not in OF_SCANS
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
    cause, blame, _ = _who_moved(evidence)
    return Diagnosis(
        new[0], cause, f"{evidence.tag} {new[1]}{blame}",
        "find out what the plant did, and whether the codes at the source were changed", 5,
    )


def _integration(evidence: Evidence) -> Diagnosis | None:
    """A jump that a unit, scale or sign change explains, or a swap with another tag."""
    unit = evidence.standard_unit or evidence.unit
    noise = evidence.noise * evidence.scale
    found = explain_jump(
        Trace(evidence.raw, evidence.predicted), unit, noise, evidence.scale, evidence.changes,
        evidence.trained, Wander.of(evidence.scale, noise, evidence.tau, evidence.r2),
    )
    if evidence.swapped_with and not any(change.old for change in found.changes):
        return Diagnosis(
            "swapped tags", "integration",
            f"{evidence.tag} and {evidence.swapped_with} carry each other's values",
            "compare the address lists: two addresses were exchanged", 8, suggested={
                evidence.tag: {"swap_with": evidence.swapped_with},
                evidence.swapped_with: {"swap_with": evidence.tag},
            },
        )
    if not found.changes:
        return _rescaled(evidence)
    kind, how = told(found.changes, unit)
    figures = jumped(found.was, found.now, evidence.unit, found.ratio)
    return Diagnosis(
        kind, "integration", f"{kind}: {evidence.tag} now arrives {how}{figures}",
        f"set the unit or scale at source {evidence.source} back, or change the tag's contract", 8,
        since=found.since, suggested=_undone(evidence.tag, found.changes),
    )


def _undone(tag: str, found: tuple[Change, ...]) -> dict[str, dict[str, float]]:
    """The map that undoes a change; none where several explain it as well."""
    best = found[0]
    if any((one.gain, one.offset) != (best.gain, best.offset) for one in found):
        return {}
    return {tag: {"factor": 1.0 / best.gain, "offset": 0.0 - best.offset / best.gain}}


def _rescaled(evidence: Evidence) -> Diagnosis | None:
    """It stepped to another level, and its values to other steps than in training: no process and
    no instrument does both, but a factor behind the instrument does.
    """
    if not (evidence.symptoms & MOVED and rescaled(evidence)):
        return None
    return Diagnosis(
        "scale change", "integration",
        f"{evidence.tag} arrives at another level and in other steps: by another factor"
        + reads(evidence),
        f"set the unit or scale at source {evidence.source} back, or change the tag's contract", 7,
    )


def _served(evidence: Evidence) -> Diagnosis | None:
    """How values are served is another way: in coarser steps, on lines between few of them."""
    found = evidence.symptoms & _HOW_SERVED
    if Symptom.FLAT in evidence.symptoms and rests(evidence):
        found -= {Symptom.DIGITS}  # one value alone lies on a coarse step by chance
    if not found or not (inside(evidence) or Symptom.DIGITS in found):
        return None  # what falls to nothing has little noise, too
    if Symptom.SMOOTH in found and not found - {Symptom.SMOOTH} and not finer(evidence):
        return None
    words = _words(evidence)
    return read(words, evidence) if words else None


def _sensor(evidence: Evidence) -> Diagnosis | None:
    """One instrument alone: frozen, spiking, or out of the relation it had with the others."""
    tag = evidence.tag
    if Symptom.FLAT in evidence.symptoms and evidence.frozen_with >= _FROZEN:
        return Diagnosis(
            "old values repeated", "integration",
            f"{tag} and {evidence.frozen_with} others of {evidence.source} stand still at once",
            f"see whether {evidence.source} still reads its instruments, or serves a cache", 7,
        )
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
    cause, blame, todo = _who_moved(evidence)
    if Symptom.LEVEL in found and drifting(evidence):
        return Diagnosis(
            "drift", cause,
            f"{tag} is drifting away from where it was trained{blame}{reads(evidence)}",
            _CALIBRATE if cause == "unknown" else todo, 4,
        )
    low, high = evidence.trained
    if found & LEAVES_RANGE and back(evidence):
        return Diagnosis(
            EXCURSION, cause,
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
        todo, 2,
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


def _who_moved(evidence: Evidence) -> tuple[str, str, str]:
    """The cause, in words, and what to find out."""
    if evidence.companions >= 1 and evidence.r2 >= _PREDICTED:
        return "process", ", together with other inputs", "find out what the plant did"
    measured = not evidence.set_by  # of others `NO_INSTRUMENT` says what to do
    either = " (sensor or process)" if measured else " (what sets it, or the process)"
    return "unknown", either, _WHICH
