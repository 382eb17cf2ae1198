"""What caused a condition, whose it is, and what to do: from evidence to one plain sentence.

Pure functions over small facts. The order tried is the design's: integration, sensor, process,
model; `unknown` names its candidates where the evidence can not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

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
    the tag's share of the joint residual while a joint chart is flagged (0 otherwise), `joint`
    says that one is; `companions` counts other inputs of the same models flagged as moved; `states`
    is `states.trained_states` of a state tag.
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
    companions: int = 0
    out_of_physical: bool = False
    lost: bool = False
    swapped_with: str = ""
    states: tuple[tuple[float, ...], tuple[int, ...]] = ((), ())


_NOISE_WINDOW = 40
_LATEST = 8
_ABSURD = 1e100  # no reading, and its square would overflow
_AFTER = 6  # samples after a jump that a conversion must explain


_MOVES = frozenset({"level", "drift", "range", "outside", "rate", "step", "spike", "noise"})


def diagnose(evidence: Evidence) -> Diagnosis:
    """The most specific name that the evidence supports."""
    for attempt in (_transport, _states, _integration, _sensor, _spread, _moved, _pace):
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
    """(from unit, to unit) or ("", factor) where the last jump is a linear change of units.

    The step is the largest difference among the recent raw values; the mean after it must be the
    conversion of the mean before it within what noise and 2 % of the step allow, and lie outside
    what the noise explains.
    """
    raw = evidence.raw[np.abs(evidence.raw) < _ABSURD]
    if len(raw) < _AFTER + 4:
        return None
    place = int(np.argmax(np.abs(np.diff(raw)))) + 1
    before, after = raw[max(0, place - 8) : place], raw[place : place + 16]
    if len(before) < 4 or len(after) < _AFTER:
        return None
    was, now = float(before.mean()), float(after.mean())
    noise = evidence.noise * evidence.scale
    if abs(now - was) < 8.0 * noise:
        return None
    error = noise * float(np.sqrt(1.0 / len(before) + 1.0 / len(after)))
    fits = [
        (misfit(was, now, gain, offset, error), name)
        for name, gain, offset in changes(evidence.unit)
    ]
    least, name = min(fits, key=lambda fit: fit[0])
    return name if least <= 1.0 else None


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
    alone = evidence.joint and evidence.share >= 0.5 and evidence.r2 >= 0.5
    if alone and not evidence.companions:
        kind = "drift" if _is_ramp(evidence.means) else "bias"
        verb = "is drifting" if kind == "drift" else "is off"
        return Diagnosis(
            kind, "sensor", f"{tag} {verb}: the other inputs say otherwise",
            "calibrate or replace the sensor; exclude this window from any training", 5,
        )
    away = evidence.found & {"level", "drift", "outside"} or (
        "range" in evidence.found and not _came_back(evidence)
    )
    fast = "spike" in evidence.found or (
        "rate" in evidence.found and len(evidence.recent) >= _LATEST
    )
    momentary = fast and not _stepped(evidence)
    if momentary and not (away or _noisier(evidence)):
        return Diagnosis(
            "spikes", "sensor", f"{tag} shows spikes that training never had",
            "check wiring, shielding and grounding", 4,
        )
    return None


def _came_back(evidence: Evidence) -> bool:
    """Whether the latest samples lie in the trained range, so that leaving it was momentary."""
    low, high = ((edge - evidence.centre) / evidence.scale for edge in evidence.trained)
    latest = evidence.recent[-_LATEST:]
    inside = int(((latest >= low) & (latest <= high)).sum())
    return len(latest) > 0 and 4 * inside >= 3 * len(latest)


def _stepped(evidence: Evidence) -> bool:
    """Whether the largest recent step was one to a new level: the values did not come back."""
    recent = evidence.recent
    if len(recent) < _LATEST:
        return False
    steps = np.diff(recent)
    place = int(np.argmax(np.abs(steps)))
    step = abs(float(steps[place]))
    before, after = recent[max(0, place - 7) : place + 1], recent[place + 1 :][-_LATEST:]
    moved = abs(float(np.median(after)) - float(np.median(before)))
    return len(after) >= 4 and step > 6.0 * evidence.noise and moved >= 0.5 * step


def _spread(evidence: Evidence) -> Diagnosis | None:
    """The noise changed while the level did not."""
    if evidence.found & {"level", "drift", "range", "outside"}:
        return None
    if evidence.found & {"noise", "spike", "rate", "step"} and _noisier(evidence):
        return Diagnosis(
            "noise", "sensor", f"{evidence.tag} is noisier than in training",
            "check wiring, shielding and grounding, and what vibrates", 5,
        )
    if "noise" not in evidence.found or _stepped(evidence):
        return None
    return Diagnosis(
        "noise", "sensor", f"{evidence.tag} is noisier or quieter than in training",
        "check filtering and damping of the transmitter, and its wiring", 3,
    )


def _noisier(evidence: Evidence) -> bool:
    """Whether most steps grew, not a few: the median step tells noise from spikes."""
    steps = np.abs(np.diff(evidence.recent[-_NOISE_WINDOW:]))
    usual = 0.6745 * np.sqrt(2.0) * evidence.noise
    return len(steps) >= _NOISE_WINDOW // 2 and float(np.median(steps)) > 1.8 * usual


def _moved(evidence: Evidence) -> Diagnosis | None:
    """The value moved: out of the trained range, in a step, or as a ramp."""
    tag, unit = evidence.tag, evidence.unit
    if not evidence.found & _MOVES:
        return None
    cause, blame = _who_moved(evidence)
    if _is_ramp(evidence.means) and evidence.found & {"level", "drift"}:
        return Diagnosis(
            "drift", cause, f"{tag} is drifting away from where it was trained{blame}",
            "compare with a second instrument; calibrate it, or declare the new normal", 4,
        )
    low, high = evidence.trained
    if evidence.found & {"range", "outside"} and _came_back(evidence):
        return Diagnosis(
            "out of trained range", cause,
            f"{tag} left the trained range of {low:.4g} to {high:.4g} {unit} for a moment{blame}"
            .replace("  ", " "),
            "look at what happened then; the model never saw this region", 3,
        )
    if evidence.found & {"range", "outside"} and not _came_back(evidence):
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


def _who_moved(evidence: Evidence) -> tuple[str, str]:
    if evidence.companions >= 1 and evidence.r2 >= 0.5:
        return "process", ", together with other inputs"
    return "unknown", " (sensor or process)"


def _is_ramp(means: Float64) -> bool:
    """Whether the recent means rise or fall along a line rather than in one step.

    Compares the residual of the best straight ramp with that of the best single step over the
    stretch since the means left the trained band of one standard deviation.
    """
    if len(means) < 6:
        return False
    level = np.abs(means)
    inside = np.nonzero(level < 0.5)[0]
    start = max(int(inside[-1]) - 1, 0) if len(inside) else 0
    part = means[start:]
    if len(part) < 5:
        part = means[-6:]
    x = np.arange(len(part), dtype=np.float64) - (len(part) - 1) / 2.0
    slope = float((x * part).sum() / (x * x).sum())
    ramp = float(((part - part.mean() - slope * x) ** 2).sum())
    steps = [
        float(((part[:k] - part[:k].mean()) ** 2).sum() + ((part[k:] - part[k:].mean()) ** 2).sum())
        for k in range(1, len(part))
    ]
    return abs(slope) * len(part) > 1.0 and ramp < min(steps)


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
    most = sorted(shares, key=lambda tag: -shares[tag])[:3]
    named = ", ".join(most)
    if kind.startswith("spe"):
        return Diagnosis(
            "relations changed", "unknown",
            f"the inputs no longer relate as in training; most of it lies in {named}",
            "look at these inputs first: a sensor of them or the process changed", 3,
        )
    if kind.startswith("change"):
        return Diagnosis(
            "sudden change", "unknown",
            f"the inputs moved faster together than they did in training; most in {named}",
            "look at these inputs first: what happened just before?", 2,
        )
    return Diagnosis(
        "new operating region", "process",
        f"the inputs moved together out of the trained region; most in {named}",
        "the plant did something the model did not see; decide whether it is a new normal", 3,
    )
