"""What caused a condition, whose it is, and what to do: from evidence to one plain sentence.

Pure functions over small facts. The order tried is the design's: integration, sensor, process,
model; `unknown` names its candidates where the evidence can not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from agent.core import shape
from agent.core.conversions import changes, misfit
from agent.core.states import describe
from agent.types import Float64

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The name that a person sees.

    `kind` is the fault's name (``stuck``, ``unit change`` ...); `cause` one of ``integration``,
    ``sensor``, ``process``, ``model``, ``unknown``; `text` the reason in a sentence; `hint` what
    to do; `rank` orders names: a more specific one replaces a vaguer one, never the other way.
    """

    kind: str
    cause: str
    text: str
    hint: str
    rank: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one tag when its condition is named.

    `found` holds the active detectors' names; `recent` and `means` are standardised (see
    `Charts.recent`), `raw` is in the tag's unit; `noise` is in standard deviations; `share` is
    the tag's share of the joint residual while a joint chart is flagged (0 otherwise), `alike` the
    inputs whose share is as large, `joint` says that one is; `companions` counts other inputs of
    the same models flagged as moved; `states` is `states.trained_states` of a state tag.
    """

    tag: str
    unit: str
    source: str
    found: frozenset[str]
    recent: Float64 = field(default_factory=lambda: np.zeros(0))
    means: Float64 = field(default_factory=lambda: np.zeros(0))
    raw: Float64 = field(default_factory=lambda: np.zeros(0))
    centre: float = 0.0
    scale: float = 1.0
    noise: float = 1.0
    trained: Span = (-np.inf, np.inf)
    physical: Span | None = None
    r2: float = 0.0
    joint: bool = False
    share: float = 0.0
    alike: tuple[str, ...] = ()
    companions: int = 0
    out_of_physical: bool = False
    lost: bool = False
    swapped_with: str = ""
    states: tuple[tuple[float, ...], tuple[int, ...]] = ((), ())


_ABSURD = 1e100  # no reading, and its square would overflow
_AFTER = 6  # samples after a jump that a conversion must explain
_BRIEF = frozenset(
    {"spike", "rate", "step", "noise", "range", "outside", "spe", "spe_smooth", "t2", "change"}
)  # what single samples, if they stand off or scatter, may bring up
_MOVES = frozenset({"level", "drift", "range", "outside", "rate", "step", "spike", "noise"})


def diagnose(evidence: Evidence) -> Diagnosis:
    """The most specific name that the evidence supports."""
    for attempt in (_transport, _states, _integration, _sensor, _spread, _moved, _pace, _changed):
        diagnosis = attempt(evidence)
        if diagnosis is not None:
            return diagnosis
    return Diagnosis(
        "anomaly", "unknown", f"{evidence.tag} behaves as it did not in training",
        "compare with a second instrument", 1,
    )


def _transport(evidence: Evidence) -> Diagnosis | None:
    """Nothing usable arrives: lost, silent, bad, or its clock stands still."""
    tag, source = evidence.tag, evidence.source
    if evidence.lost:
        return Diagnosis(
            "source lost", "integration", f"{tag} is lost: no connection to source {source}",
            f"check the device, cable and network of {source}", 9,
        )
    if "missing" in evidence.found:
        return Diagnosis(
            "missing", "integration", f"{tag} stopped arriving from {source}",
            f"check that {source} still serves it under the configured address", 8,
        )
    if "bad" in evidence.found and not evidence.out_of_physical:
        return Diagnosis(
            "bad quality", "sensor", f"{tag} is marked bad by its source {source}",
            "check the transmitter and its wiring", 7,
        )
    if "source_clock" in evidence.found:
        return Diagnosis(
            "frozen source clock", "integration",
            f"{tag} keeps arriving, but the time stamps of {source} stand still or go back",
            f"check the clock and the buffer of {source}: old values may be served again", 7,
        )
    if "late" in evidence.found:
        return Diagnosis(
            "late data", "integration",
            f"{tag} arrives late: its time stamps from {source} have fallen behind",
            f"check the network to {source}, its buffer and its clock: the model sees the past", 7,
        )
    return None


def _states(evidence: Evidence) -> Diagnosis | None:
    """A state tag in a state, or a change of state, that training never had."""
    values = evidence.recent * evidence.scale + evidence.centre
    new = describe(values, *evidence.states) if "category" in evidence.found else None
    if new is None:
        return None
    cause, blame = _who_moved(evidence)
    return Diagnosis(
        new[0], cause, f"{evidence.tag} {new[1]}{blame}",
        "find out what the plant did, and whether the codes at the source were changed", 5,
    )


def _integration(evidence: Evidence) -> Diagnosis | None:
    """A jump that a unit, scale or sign change explains, or a swap with another tag."""
    conversion = explain_jump(evidence)
    if evidence.swapped_with and not (conversion and conversion[0]):
        return Diagnosis(
            "swapped tags", "integration",
            f"{evidence.tag} and {evidence.swapped_with} carry each other's values",
            "compare the address lists: two addresses were exchanged", 8,
        )
    if conversion is None:
        return None
    before, after = conversion
    if before:
        text = f"unit change: {evidence.tag} now arrives in {after} instead of {before}"
        kind = "unit change"
    else:
        text = f"scale change: {evidence.tag} now arrives multiplied by {after}"
        kind = "scale change"
    return Diagnosis(
        kind, "integration", text,
        f"set the unit or scale at source {evidence.source} back, or change the tag's contract", 8,
    )


def explain_jump(evidence: Evidence) -> tuple[str, str] | None:
    """(from unit, to unit) or ("", factor) where a recent jump is a linear change of units.

    The jump is the largest difference among the recent raw values, or the first beyond noise:
    after a change of scale noise itself may jump further. The level after it must be the
    conversion of the level before it within what noise and 2 % of the step allow, and lie outside
    what the noise explains.
    """
    raw = evidence.raw[np.abs(evidence.raw) < _ABSURD]
    if len(raw) < _AFTER + 4:
        return None
    steps = np.abs(np.diff(raw))
    places = {int(np.argmax(steps)), int(np.argmax(steps > 8.0 * evidence.noise * evidence.scale))}
    fits = [fit for place in sorted(places) for fit in _conversions(evidence, raw, place + 1)]
    least, name = min(fits, key=lambda fit: fit[0], default=(np.inf, ("", "")))
    return name if least <= 1.0 else None


def _conversions(
    evidence: Evidence, raw: Float64, place: int
) -> list[tuple[float, tuple[str, str]]]:
    """(misfit, name) of every change of units, were it made before the sample at `place`."""
    before, after = raw[max(0, place - 8) : place], raw[place : place + 16]
    if len(before) < 4 or len(after) < _AFTER:
        return []
    noise = evidence.noise * evidence.scale
    found = []
    # The mean is the better estimate of a level that stays, the line's edge of one that wanders.
    for level in (shape.mean, shape.edge):
        was, before_error = level(before, end=True)
        now, after_error = level(after, end=False)
        if abs(now - was) < 8.0 * noise:
            continue
        error = noise * float(np.sqrt(before_error**2 + after_error**2))
        spread = shape.scatter(after) / max(shape.scatter(before), noise, 1e-300)
        found += [
            (misfit(was, now, gain, offset, error, spread), name)
            for name, gain, offset in changes(evidence.unit)
        ]
    return found


def _sensor(evidence: Evidence) -> Diagnosis | None:
    """One instrument alone: frozen, spiking, or out of the relation it had with the others."""
    tag = evidence.tag
    if "stuck" in evidence.found:
        text = f"{tag} is stuck at {_number(evidence, -1)} {evidence.unit}".rstrip()
        return Diagnosis(
            "stuck", "sensor", text,
            "check the transmitter: it repeats one value where it never did in training", 6,
        )
    if evidence.out_of_physical:
        return Diagnosis(
            "out of physical range", "sensor",
            f"{tag} reads {_number(evidence, -1)} {evidence.unit}, which can not be".replace(
                "  ", " "
            ),
            "check wiring and range of the transmitter", 6,
        )
    if _momentary(evidence):
        return Diagnosis(
            "spikes", "sensor", f"{tag} shows spikes that training never had",
            "check wiring, shielding and grounding", 4,
        )
    if _noisier(evidence):
        return Diagnosis(
            "noise", "sensor", f"{tag} is noisier than in training",
            "check wiring, shielding and grounding, and what vibrates", 5,
        )
    alone = evidence.joint and evidence.share >= 0.5 and evidence.r2 >= 0.5
    if alone and not evidence.companions:
        kind = "drift" if _drifting(evidence) else "bias"
        verb = "is drifting" if kind == "drift" else "is off"
        why = "the other inputs say otherwise"
        if evidence.alike and not evidence.found & _MOVES:  # its own charts see nothing of it
            verb += f", or {' or '.join(evidence.alike[:2])} is"
            why = "how they relate can not tell which"
        return Diagnosis(
            kind, "sensor", f"{tag} {verb}: {why}",
            "calibrate or replace the sensor; exclude this window from any training", 5,
        )
    return None


def _momentary(evidence: Evidence) -> bool:
    """Whether samples stood off for a moment, and neither the level nor the noise changed."""
    recent, noise = evidence.recent, evidence.noise
    return bool(
        evidence.found & _BRIEF and shape.spiked(recent, noise)
        and not (_away(evidence) or shape.stepped(recent, noise) or shape.noisier(recent, noise))
    )


def _away(evidence: Evidence) -> bool:
    """Whether the level is not where it was trained."""
    found = evidence.found
    return bool(found & {"level", "drift"}) or bool(
        found & {"range", "outside"} and not _inside(evidence)
    )


def _inside(evidence: Evidence) -> bool:
    low, high = ((edge - evidence.centre) / evidence.scale for edge in evidence.trained)
    return shape.inside(evidence.recent, low, high)


def _drifting(evidence: Evidence) -> bool:
    """Whether it went along a ramp; what an abrupt change began is none, wherever it went since."""
    return not evidence.found & {"spike", "rate", "step", "change"} and shape.ramp(evidence.means)


def _noisier(evidence: Evidence) -> bool:
    """Whether the noise grew while the level stayed."""
    return bool(
        evidence.found & _BRIEF and shape.noisier(evidence.recent, evidence.noise)
        and not _away(evidence)
    )


def _spread(evidence: Evidence) -> Diagnosis | None:
    """The noise changed, one can not see how: a filter was switched, or only a chart noticed."""
    if "noise" not in evidence.found or evidence.found & {"level", "drift", "range", "outside"}:
        return None
    if shape.stepped(evidence.recent, evidence.noise):
        return None
    return Diagnosis(
        "noise", "sensor", f"{evidence.tag} is noisier or quieter than in training",
        "check filtering and damping of the transmitter, and its wiring", 3,
    )


def _moved(evidence: Evidence) -> Diagnosis | None:
    """The value moved: out of the trained range, in a step, or as a ramp."""
    tag, unit = evidence.tag, evidence.unit
    if not evidence.found & _MOVES:
        return None
    cause, blame = _who_moved(evidence)
    if evidence.found & {"level", "drift"} and _drifting(evidence):
        return Diagnosis(
            "drift", cause, f"{tag} is drifting away from where it was trained{blame}",
            "compare with a second instrument; calibrate it, or declare the new normal", 4,
        )
    low, high = evidence.trained
    if "outside" in evidence.found and "range" not in evidence.found and _inside(evidence):
        return Diagnosis(
            "out of trained range", cause,
            f"{tag} stays at the edge of its trained range of {low:.4g} to {high:.4g} {unit}{blame}"
            .replace("  ", " "),
            "find out what holds it there; training was seldom there, and never for as long", 3,
        )
    if evidence.found & {"range", "outside"} and _inside(evidence):
        return Diagnosis(
            "out of trained range", cause,
            f"{tag} left the trained range of {low:.4g} to {high:.4g} {unit} for a moment{blame}"
            .replace("  ", " "),
            "look at what happened then; the model never saw this region", 3,
        )
    if evidence.found & {"range", "outside"}:
        return Diagnosis(
            "out of trained range", cause,
            f"{tag} reads {_number(evidence, -1)} {unit}, trained on {low:.4g} to {high:.4g}"
            f"{blame}".replace("  ", " "),
            "the model never saw this region: do not rely on it there", 4,
        )
    return Diagnosis(
        "level shift", cause, f"{tag} moved to a new level{blame}",
        "find out whether the sensor or the process moved", 2,
    )


def _pace(evidence: Evidence) -> Diagnosis | None:
    """It arrives in time, but more or less often than it did."""
    if "pace" not in evidence.found:
        return None
    source = evidence.source
    return Diagnosis(
        "rate change", "integration",
        f"{evidence.tag} arrives from {source} at another rate than configured",
        f"check the sampling or publishing interval at {source}, its load and the network", 4,
    )


def _changed(evidence: Evidence) -> Diagnosis | None:
    """It suddenly left its relation to the other inputs; nothing tells yet how."""
    if "change" not in evidence.found:
        return None
    return Diagnosis(
        "sudden change", "unknown",
        f"{evidence.tag} changed suddenly, and the other inputs do not explain it",
        "look at what happened just before; compare with a second instrument", 2,
    )


def _who_moved(evidence: Evidence) -> tuple[str, str]:
    if evidence.companions >= 1 and evidence.r2 >= 0.5:
        return "process", ", together with other inputs"
    return "unknown", " (sensor or process)"


def _number(evidence: Evidence, position: int) -> str:
    raw = evidence.raw[np.isfinite(evidence.raw)]
    return f"{raw[position]:.5g}" if len(raw) else "?"


def group_text(source: str, reason: str, tags: int) -> Diagnosis:
    """The diagnosis of a whole source that is lost or silent."""
    why = f": {reason}" if reason else ""
    return Diagnosis(
        "source lost", "integration", f"source {source} is lost with {tags} tags{why}",
        f"check the device, cable and network of {source}", 9,
    )


def joint_diagnosis(kind: str, shares: Mapping[str, float]) -> Diagnosis:
    """The diagnosis of a model whose inputs left their trained relations or region together."""
    most = sorted((tag for tag in shares if shares[tag] > 0.0), key=lambda tag: -shares[tag])[:3]
    named = f"; most of it lies in {', '.join(most)}" if most else ""
    if kind.startswith("spe"):
        return Diagnosis(
            "relations changed", "unknown",
            f"the inputs no longer relate as in training{named}",
            "look at these inputs first: a sensor of them or the process changed", 3,
        )
    if kind.startswith("change"):
        return Diagnosis(
            "sudden change", "unknown",
            f"the inputs moved faster together than they did in training{named}",
            "look at these inputs first: what happened just before?", 2,
        )
    return Diagnosis(
        "new operating region", "process",
        f"the inputs moved together out of the trained region{named}",
        "the plant did something the model did not see; decide whether it is a new normal", 3,
    )
