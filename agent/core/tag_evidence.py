"""What is known of one tag when its condition is named, and what its traces look like.

Pure facts and predicates; `diagnosis` and `output_diagnosis` make names of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from agent.core import shape
from agent.core.conversions import Change
from agent.core.figures import beside_training, times
from agent.core.kernels import TRAITS
from agent.core.kernels.base import Symptom
from agent.core.kernels.digits import on_grid
from agent.core.no_instrument import NO_INSTRUMENT
from agent.core.registers import Shift
from agent.types import Float64

Span = tuple[float, float]

LEAVES_RANGE = frozenset({Symptom.BEYOND})
"""What says of a value that it is out of where it was trained, and no more."""

OF_SCANS = frozenset({Symptom.REGION, Symptom.RELATION, Symptom.CHANGE})
ABRUPT = frozenset({Symptom.SPIKE, Symptom.JUMP, Symptom.CHANGE})
_BRIEF = frozenset({Symptom.SPIKE, Symptom.JUMP, Symptom.SCATTER}) | LEAVES_RANGE | OF_SCANS
"""What single samples, if they stand off or scatter, may bring up."""

MOVED = frozenset({Symptom.LEVEL, Symptom.JUMP}) | LEAVES_RANGE
"""What says of an input that its value is another one than before."""

_OF_DIGITS = 12  # samples whose digits are looked at
_OFF = 3  # of them off the trained grid: one in a thousand was in training
_MOST_PARTS = 6  # steps that the smallest of a dozen moves may have
_SAME_STEP = 0.05  # of a step: ten random moves are so near to multiples of one in 6e-10 cases
_NO_PART = 0.75
_OF_NOISE = 40  # samples that noise is told of


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one tag, as an input of one model, when its condition is named.

    `found` holds the names of the detectors whose flags are or were up; `recent` and `means` are
    standardised (see `Traces.of_input`), `raw` is in the tag's unit, `predicted` what the others
    say of each of these (empty where they do not); `noise` is in standard deviations,
    `tau` (its correlation time) in samples; `share` is
    the tag's share of how far the scans are off (T2 and SPE together; 0 where they are calm),
    `alike` the inputs whose share is as large; `said` what the others say that it reads, in its
    unit, and `off` how many standard deviations of what they leave open it is off; `joint` says
    that a joint chart is flagged; `outside` whether it is a fact that it is out of its trained
    range now, None where no facts of it are kept; `companions` counts other inputs of the same
    model flagged as moved; `changes` are the changes of unit and scale that are thought of;
    `states` is `trained_states` of a state tag; `role`, `loop`, `loop_part`, `address` and
    `refusal` are of its `TagSpec`; `exchanged` says how its bytes come now, `retyped` of which data
    type it is now, `shift` which tags read their neighbours, `frozen_with` how many others of its
    source repeat their values since then; `step` is the grid that all values of training lie on, 0
    where they do not.
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
    tau: float = np.inf
    trained: Span = (-np.inf, np.inf)
    physical: Span | None = None
    r2: float = 0.0
    joint: bool = False
    share: float = 0.0
    said: float = np.nan
    off: float = 0.0
    alike: tuple[str, ...] = ()
    outside: bool | None = None
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
    exchanged: str = ""
    retyped: str = ""
    shift: Shift | None = None
    frozen_with: int = 0
    step: float = 0.0

    @property
    def set_by(self) -> str:
        """The key of `NO_INSTRUMENT` of a tag that no transmitter measures; empty for others."""
        kinds = (self.loop_part, self.role)
        return next((kind for kind in kinds if kind in NO_INSTRUMENT), "")

    @property
    def symptoms(self) -> frozenset[Symptom]:
        """What the detectors' flags are evidence of."""
        return frozenset(TRAITS[name].symptom for name in self.found)


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


def back(evidence: Evidence) -> bool:
    """Whether it is in its trained range again: by the fact and its last value, where facts are
    kept of it; else by its latest values.
    """
    if evidence.outside is None:
        return inside(evidence)
    last = replace(evidence, recent=evidence.recent[-1:])
    return not evidence.outside and (inside(last) or inside(evidence))


def finer(evidence: Evidence) -> bool:
    """Whether its latest values have more digits than any had in training, and those before did
    not: no instrument does so, but means, lines between values and factors do.

    A record that was rounded as it was written has fewer digits than what is judged, at all times.
    """
    return _finer(evidence.raw[-_OF_DIGITS:], evidence.step) \
        and _as_trained(evidence.raw[:_OF_DIGITS], evidence.step)


def rests(evidence: Evidence) -> bool:
    """Whether its latest values are all the same one."""
    return len(np.unique(evidence.raw[-_OF_DIGITS:])) <= 1


def rescaled(evidence: Evidence) -> bool:
    """Whether it stepped to another level and its values, which were in the steps of training, come
    in steps of another size since then, all of the same one: so a factor does, and no bias and no
    noise; or in even numbers of the trained step alone, as by accident some 1 in 2^n are.
    """
    at = shape.step_at(evidence.recent, evidence.noise) - len(evidence.recent)
    if at == -len(evidence.recent):
        return False
    step, before, since = evidence.step, evidence.raw[:at], evidence.raw[at:][-_OF_DIGITS:]
    before = before[-_OF_DIGITS:]
    if not _as_trained(before, step):
        return False
    moves = np.abs(np.diff(since))
    all_even = _even(since, step) and not _even(before, step)
    return all_even or _in_other_steps(moves[moves > _SAME_STEP * step], step)


def _in_other_steps(moves: Float64, step: float) -> bool:
    """Whether all moves are multiples of one step, and this no part and no multiple of the trained
    one: finer digits are no factor.
    """
    if len(np.unique(moves)) < _OFF + 1 or not np.isfinite(moves).all():
        return False
    if sum(not on_grid(move, step) for move in moves.tolist()) < _OFF:
        return False
    for parts in range(1, _MOST_PARTS + 1):
        own = float(moves.min()) / parts
        if _off_whole(moves / own) < _SAME_STEP:
            return _off_whole(np.array([own / step, step / own])) > _SAME_STEP
    return False


def _off_whole(places: Float64) -> float:
    """How far the farthest, of those that are no part of one, lies from a whole number."""
    return float(np.abs(places - np.round(places))[places > _NO_PART].max())


def _finer(values: Float64, step: float) -> bool:
    if not step > 0.0 or len(values) < _OF_DIGITS or not np.isfinite(values).all():
        return False
    return sum(not on_grid(value, step) for value in values.tolist()) >= _OFF


def _as_trained(values: Float64, step: float) -> bool:
    if not step > 0.0 or len(values) < _OF_DIGITS or not np.isfinite(values).all():
        return False
    return all(on_grid(value, step) for value in values.tolist())


def _even(values: Float64, step: float) -> bool:
    enough = step > 0.0 and len(np.unique(values)) >= _OF_DIGITS // 2
    return enough and all(on_grid(value, 2.0 * step) for value in values.tolist())


def drifting(evidence: Evidence) -> bool:
    """Whether it went along a ramp; what an abrupt change began is none, wherever it went since."""
    return not evidence.symptoms & ABRUPT and shape.ramp(evidence.means)


def noisier(evidence: Evidence) -> bool:
    """Whether the noise grew while the level stayed."""
    return bool(
        evidence.symptoms & _BRIEF and shape.noisier(evidence.recent, evidence.noise)
        and not _away(evidence)
    )
