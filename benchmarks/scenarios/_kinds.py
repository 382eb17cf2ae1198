"""Kinds of scenarios: what each does to what arrives, what is true, how many requests are right.

A kind changes a scene from the row `at` to the row `until`. Sizes are in standard deviations of an
input in training, unless said otherwise; which input, which sign and the onset are drawn by seed.
Lasting shifts move the plant: the simulator by what drives its physics, a record along its own
principal components, with the truth following as the relation of training has it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from _guarded import NS, OUTPUT, Guarded, Record, simulated, source_of
from _scenes import Scene

from agent.types import Float64, Quality

SENSOR, INTEGRATION = frozenset({"sensor"}), frozenset({"integration"})
EITHER = SENSOR | INTEGRATION
PROCESS, WRONG_MODEL = frozenset({"process"}), frozenset({"model"})
NONE: frozenset[str] = frozenset()
DRIVES = {
    "feed rate set point": 5.0, "temperature set point": 5.0, "feed composition": 5.0,
    "fouling": -8.0, "catalyst activity": -8.0, "steam header": 6.0,
}  # fmt: skip
"""Of the simulator's plant, and by how many standard deviations of what drives it."""


@dataclass(slots=True)
class Case:
    """A scene with what a kind needs; it notes what is true.

    Attributes:
        tags: that may rightly be named.
        excluded: (tag, from, to) that a request must have left out: from the first value that a
            fault made another to the last.
    """

    guarded: Guarded
    record: Record
    scene: Scene
    rng: np.random.Generator
    at: int
    until: int
    tags: list[str] = field(default_factory=list)
    excluded: list[tuple[str, int, int]] = field(default_factory=list)

    @property
    def rows(self) -> slice:
        """Those that have it."""
        return slice(self.at, self.until)

    def pick(self, count: int = 1) -> list[int]:
        """So many inputs that measure, by seed; they may be named."""
        chosen = self.rng.choice(self.guarded.moving, count, replace=False).tolist()
        self.tags += [self.guarded.names[place] for place in chosen]
        return chosen

    def differ(self, by: Float64) -> None:
        """The truth is another one by float64[rows], and so are labels that the record has."""
        self.scene.truth[self.rows] += by
        if self.scene.labels is not None:
            times, start = self.scene.time_ns, self.at
            self.scene.labels = [
                (came, of, value + (by[row - start] if start <= row < self.until else 0.0))
                for came, of, value in self.scene.labels
                for row in [int(np.searchsorted(times, of, side="right")) - 1]
            ]

    def sign(self) -> float:
        """Up or down, by seed."""
        return float(self.rng.choice([-1.0, 1.0]))


Change = Callable[[Case], None]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind.

    Attributes:
        family, name: as they stand in each line.
        change: what it does.
        causes: that are right; none where nothing is wrong with what arrives.
        requests: how many there must be.
        lasts: else it passes.
        plants: where it can be; all where none are named.
    """

    family: str
    name: str
    change: Change
    causes: frozenset[str] = NONE
    requests: int = 0
    lasts: bool = True
    plants: tuple[str, ...] = ()


# --- instruments ----------------------------------------------------------------------------------


def _stuck(case: Case, count: int = 1) -> None:
    for place in case.pick(count):
        case.scene.inputs[case.rows, place] = case.scene.inputs[case.at, place]


def _bias(size: float, count: int = 1) -> Change:
    def change(case: Case) -> None:
        for place in case.pick(count):
            case.scene.inputs[case.rows, place] += size * case.sign() * case.guarded.sd[place]

    return change


def _drift(case: Case) -> None:
    (place,) = case.pick()
    ramp = np.linspace(0.0, 4.0, case.until - case.at)
    case.scene.inputs[case.rows, place] += case.sign() * ramp * case.guarded.sd[place]


def _noise(case: Case) -> None:
    (place,) = case.pick()
    size = 4.0 * case.guarded.noise[place]
    case.scene.inputs[case.rows, place] += size * case.rng.standard_normal(case.until - case.at)


def _spikes(case: Case) -> None:
    (place,) = case.pick()
    rows = np.flatnonzero(case.rng.random(case.until - case.at) < 0.04) + case.at
    signs = case.rng.choice([-1.0, 1.0], len(rows))
    case.scene.inputs[rows, place] += 10.0 * case.guarded.sd[place] * signs


# --- the connection -------------------------------------------------------------------------------


def _affine(factor: float, offset: float = 0.0) -> Change:
    def change(case: Case) -> None:
        places = [
            place for place in case.guarded.moving
            if abs((factor - 1.0) * case.guarded.centre[place] + offset)
            > 4.0 * case.guarded.sd[place]
        ]  # fmt: skip
        place = int(case.rng.choice(places))
        case.tags.append(case.guarded.names[place])
        case.scene.inputs[case.rows, place] *= factor
        case.scene.inputs[case.rows, place] += offset

    return change


def _swap(case: Case) -> None:
    one, other = case.pick(2)
    values = case.scene.inputs
    values[case.rows, one], values[case.rows, other] = (
        values[case.rows, other].copy(), values[case.rows, one].copy()
    )  # fmt: skip


def _source_lost(case: Case) -> None:
    guarded = case.guarded
    count = len(guarded.names)
    source = str(case.rng.choice(["line", "utilities"]))
    own = [place for place in range(count) if source_of(guarded.site, place, count) == source]
    case.tags += [*(guarded.names[place] for place in own), OUTPUT]
    case.scene.inputs[case.rows, own] = np.nan
    times = case.scene.time_ns
    data = {"source": source, "cause": "connection refused"}
    case.scene.commands.append((int(times[case.at]), "source_state", data | {"state": "failed"}))
    if case.until < len(times):
        back = int(times[case.until])
        case.scene.commands.append((back, "source_state", data | {"state": "live"}))


def _dropout(case: Case) -> None:
    """Without an input the model says nothing: both are missing."""
    for place in case.pick():
        case.scene.inputs[case.rows, place] = np.nan
    case.tags.append(OUTPUT)


def _bad_quality(case: Case) -> None:
    for place in case.pick():
        case.scene.quality[case.rows, place] = int(Quality.BAD)


def _frozen_clock(case: Case) -> None:
    """The source goes on telling the values of one moment."""
    (place,) = case.pick()
    case.scene.source_ns[case.rows, place] = case.scene.source_ns[case.at, place]


def _late_clock(case: Case) -> None:
    """The clock of all sources is an hour slow: values are right."""
    case.scene.source_ns[case.rows] -= 3600 * NS
    case.tags += list(case.guarded.names)


# --- the process ----------------------------------------------------------------------------------


def _moved(case: Case) -> None:
    """The plant goes elsewhere: several inputs together, and the truth with them."""
    case.tags += list(case.guarded.names)
    if case.guarded.site.name == "simulator":
        name = str(case.rng.choice(list(DRIVES)))
        _simulate(case, name, DRIVES[name])
        return
    axis = int(case.rng.integers(2))
    step = 5.0 * case.sign() * case.guarded.axes[axis]
    step[[place for place in range(len(step)) if place not in case.guarded.moving]] = 0.0
    ramp = np.minimum(1.0, (np.arange(case.until - case.at) + 1) / 10.0)
    case.scene.inputs[case.rows] += ramp[:, None] * step
    slopes = np.array(case.guarded.sensor.slopes).reshape(-1, len(step)).sum(axis=0)
    case.scene.truth[case.rows] += ramp * float(slopes @ step)


def _simulate(case: Case, name: str, size: float) -> None:
    seed = int(case.rng.integers(1 << 30))
    made = simulated(seed, len(case.scene.time_ns), ((case.at, case.until, name, size),))
    case.scene.inputs[...], case.scene.truth[...] = made.inputs, made.truth


def _within_a_shift(change: Change) -> Change:
    """The process moves for good, and an instrument fails for a while in the middle of it."""

    def mixed(case: Case) -> None:
        _moved(case)
        span = case.until - case.at
        inner = Case(
            case.guarded, case.record, case.scene, case.rng, case.at + span // 4,
            case.at + span // 4 + case.guarded.site.asked_after // 3,
        )  # fmt: skip
        before = case.scene.inputs.copy()
        change(inner)
        times = case.scene.time_ns
        for tag in inner.tags:
            place = case.guarded.names.index(tag)
            false = np.flatnonzero(case.scene.inputs[:, place] != before[:, place])
            if len(false):
                case.excluded.append((tag, int(times[false[0]]), int(times[false[-1] + 1])))

    return mixed


# --- the model ------------------------------------------------------------------------------------


def _concept(errors: float) -> Change:
    """The truth leaves the relation: by so many of the model's errors."""

    def change(case: Case) -> None:
        moved = errors * case.sign() * case.guarded.sensor.rmse
        case.differ(np.full(case.until - case.at, moved))

    return change


def _other_slope(case: Case) -> None:
    """What the truth does with the inputs is the other way round."""
    made = case.guarded.sensor.predict(case.scene.inputs)
    mean = case.guarded.sensor.intercept
    case.differ(2.0 * case.guarded.sensor.rmse - 1.6 * (made[case.rows] - mean))


def _output(how: str) -> Change:
    def change(case: Case) -> None:
        made = case.guarded.sensor.predict(case.scene.inputs)
        spread = float(np.nanstd(case.guarded.sensor.predict(case.record.train.inputs[-5_000:])))
        if how == "stuck":
            made[case.rows] = made[case.at]
        else:
            made[case.rows] += 4.0 * spread * case.sign()
        case.scene.output = made
        case.tags.append(OUTPUT)

    return change


# --- labels ---------------------------------------------------------------------------------------


Labels = list[tuple[int, int, float]]


def _labels(change: Callable[[Case, Labels], Labels]) -> Change:
    """What becomes of the labels that are of the time from the onset on."""

    def changed(case: Case) -> None:
        case.scene.labelled(case.guarded, case.record, case.rng)
        onset_ns = int(case.scene.time_ns[case.at])
        labels = case.scene.labels or []
        before = [one for one in labels if one[1] < onset_ns]
        case.scene.labels = before + change(case, [one for one in labels if one[1] >= onset_ns])
        case.tags.append("lab")

    return changed


def _rounded(case: Case, labels: Labels) -> Labels:
    step = 2.0 * case.guarded.sensor.rmse
    return [(came, of, float(np.round(value / step) * step)) for came, of, value in labels]


def _later(case: Case, labels: Labels) -> Labels:
    most_ns = 10 * case.guarded.site.late * case.guarded.site.step_s * NS
    return [(came + int(case.rng.integers(most_ns)), of, value) for came, of, value in labels]


def _corrected(case: Case, labels: Labels) -> Labels:
    """One in five was wrong at first."""
    again_ns = case.guarded.site.late * case.guarded.site.step_s * NS // 2
    wrong = [
        (came, of, value + 3.0 * case.guarded.sensor.rmse * case.sign())
        if case.rng.random() < 0.2 else (came, of, value) for came, of, value in labels
    ]  # fmt: skip
    return wrong + [
        (came + again_ns, of, value) for (came, of, value), first in zip(labels, wrong, strict=True)
        if first[2] != value
    ]  # fmt: skip


def _twice(case: Case, labels: Labels) -> Labels:
    more_ns = case.guarded.site.step_s * NS
    return labels + [(came + more_ns, of, value) for came, of, value in labels]


def _nothing(case: Case) -> None:
    """All is well."""


_RECORDED = ("simulator", "gas turbine", "tep")
KINDS: tuple[Kind, ...] = (
    Kind("clean", "clean", _nothing),
    Kind("sensor", "stuck", _stuck, SENSOR),
    Kind("sensor", "bias 4 sd", _bias(4.0), SENSOR),
    Kind("sensor", "bias 2 sd", _bias(2.0), SENSOR),
    Kind("sensor", "drift", _drift, SENSOR),
    Kind("sensor", "noise", _noise, SENSOR),
    Kind("sensor", "spikes", _spikes, SENSOR),
    Kind("sensor", "two stuck", lambda case: _stuck(case, 2), SENSOR),
    Kind("sensor", "two biased", _bias(4.0, 2), SENSOR),
    Kind("sensor", "bias that passes", _bias(4.0), SENSOR, lasts=False),
    Kind("integration", "degC to degF", _affine(1.8, 32.0), INTEGRATION),
    Kind("integration", "x100", _affine(100.0), INTEGRATION),
    Kind("integration", "x0.001", _affine(0.001), INTEGRATION),
    Kind("integration", "sign", _affine(-1.0), INTEGRATION),
    Kind("integration", "swap", _swap, INTEGRATION),
    Kind("integration", "source lost", _source_lost, INTEGRATION),
    Kind("integration", "dropout", _dropout, EITHER),
    Kind("integration", "bad quality", _bad_quality, EITHER),
    Kind("integration", "frozen clock", _frozen_clock, INTEGRATION),
    Kind("integration", "late clock", _late_clock, INTEGRATION),
    Kind("process", "moved for good", _moved, PROCESS, requests=1, plants=_RECORDED),
    Kind("passing", "moved for a while", _moved, PROCESS, lasts=False, plants=_RECORDED),
    Kind("concept", "truth moved", _concept(3.0), WRONG_MODEL, requests=1),
    Kind("concept", "other slope", _other_slope, WRONG_MODEL, requests=1),
    Kind("concept", "output stuck", _output("stuck"), WRONG_MODEL, requests=1),
    Kind("concept", "output shifted", _output("shifted"), WRONG_MODEL, requests=1),
    Kind("labels", "stuck", _labels(lambda case, labels: [
        (came, of, labels[0][2]) for came, of, _ in labels])),
    Kind("labels", "rounded", _labels(_rounded)),
    Kind("labels", "late", _labels(_later)),
    Kind("labels", "twice", _labels(_twice)),
    Kind("labels", "corrected", _labels(_corrected)),
    Kind("labels", "never", _labels(lambda case, labels: [])),
    Kind("mixed", "stuck within a shift", _within_a_shift(_stuck), PROCESS, requests=1,
         plants=_RECORDED),
    Kind("mixed", "spikes within a shift", _within_a_shift(_spikes), PROCESS, requests=1,
         plants=_RECORDED),
)  # fmt: skip


def case_of(guarded: Guarded, record: Record, kind: Kind, seed: int) -> Case:
    """A scenario; the same of the same seed."""
    site = guarded.site
    rng = np.random.default_rng([seed, *map(ord, f"{site.name} {kind.family} {kind.name}")])
    count = site.lead + site.lasts
    if site.name == "simulator":
        frame = simulated(int(rng.integers(1 << 30)), count)
    else:
        whole = record.parts[0 if site.name == "tep" else int(rng.integers(len(record.parts)))]
        frame = whole.part(int(rng.integers(len(whole.time_ns) - count + 1)), count)
    at = site.lead + int(rng.integers(site.lead // 8))
    until = count if kind.lasts else at + site.passes
    case = Case(guarded, record, Scene.of(frame), rng, at, until)
    kind.change(case)
    case.scene.labelled(guarded, record, rng)
    return case
