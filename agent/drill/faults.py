"""Faults put into recorded normal data: pure functions of columns, one row of `FAULTS` a kind.

`sd` is the standard deviation of the training record, `noise` that of its first differences over
sqrt 2, so sizes mean the same on every input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from agent.configuration.units import changes
from agent.core.baseline import InputBaseline
from agent.core.kernels import category
from agent.core.kernels.admission import HOUR_NS
from agent.core.kinds import COUNTERS
from agent.core.state_tags import trained_states
from agent.decode.unit_names import spelt
from agent.fit.kinds import judged
from agent.types import Float64, Int64, Quality, UInt16

SPIKE_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Recording:
    """Rows of all inputs: what was measured, its quality, and the source's time stamps.

    `values` float64[n, d], `quality` uint16[n, d], `source_ns` int64[n, d], `time_ns` int64[n].
    """

    time_ns: Int64
    values: Float64
    quality: UInt16
    source_ns: Int64


def recording(time_ns: Int64, values: Float64) -> Recording:
    """Normal data: good quality, source time equal to arrival."""
    quality = np.zeros(values.shape, np.uint16)
    source = np.repeat(time_ns[:, None], values.shape[1], axis=1)
    return Recording(time_ns, values.copy(), quality, source)


@dataclass(frozen=True, slots=True)
class Case:
    """What a fault of values needs to know besides them: its size, the input, and chance."""

    size: float
    item: InputBaseline
    rng: np.random.Generator


Inject = Callable[[Float64, Case], Float64]


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind in one size; `rows` is how long it may take to be found, in samples.

    `hard` says that it is at the edge of what can be found, so that it is reported, not promised.
    """

    kind: str
    size: float
    text: str
    rows: int = 600
    hard: bool = False

    def right(self, unit: str) -> frozenset[str]:
        """The names that are right for it on an input in `unit`: what a person who reads one would
        look for. A factor that leads from that unit to another is a unit change.
        """
        leads = any(c.old and c.old == spelt(unit) and (c.gain, c.offset) == (self.size, 0.0)
                    for c in changes())  # fmt: skip
        return UNIT_CHANGE if self.kind == "scale" and leads else RIGHT[self.kind]


UNIT_CHANGE = frozenset({"unit change"})
_MOVED = frozenset({"bias", "level shift", "out of trained range", "excursion", "sudden change"})

RIGHT: dict[str, frozenset[str]] = {
    "stuck": frozenset({"stuck"}),
    "spikes": frozenset({"spikes"}),
    "bias": _MOVED,
    "noise": frozenset({"noise"}),
    "fahrenheit": UNIT_CHANGE,
    "scale": frozenset({"scale change"}),
    "dropout": frozenset({"missing", "source lost"}),
    "frozen_clock": frozenset({"frozen source clock"}),
    "bad_quality": frozenset({"bad quality"}),
    "swap": frozenset({"swapped tags"}),
    "late": frozenset({"late data"}),
    "jump": _MOVED,
    "ramp": _MOVED | {"drift"},
    "drift": _MOVED | {"drift"},
    "unseen_state": frozenset({"unseen state"}),
}
"""The right names of each kind; a drift that has ended is at a new level, so both are right."""

_SENSOR, _INTEGRATION = frozenset({"sensor"}), frozenset({"integration"})

CAUSES: dict[str, frozenset[str]] = {
    "stuck": _SENSOR, "spikes": _SENSOR, "bias": _SENSOR, "noise": _SENSOR, "jump": _SENSOR,
    "ramp": _SENSOR, "drift": _SENSOR, "bad_quality": _SENSOR,
    "fahrenheit": _INTEGRATION, "scale": _INTEGRATION, "dropout": _INTEGRATION,
    "frozen_clock": _INTEGRATION, "swap": _INTEGRATION, "late": _INTEGRATION,
    "unseen_state": frozenset({"sensor", "process", "unknown"}),
}  # fmt: skip
"""The right causes of each kind; that of a state which was never trained nobody can tell."""

FAULTS: tuple[Fault, ...] = (
    Fault("stuck", 0.0, "stuck at its last value"),
    Fault("spikes", 8.0, "spikes of 8 noise"),
    Fault("bias", 3.0, "bias of 3 sd"),
    Fault("noise", 3.0, "noise x3"),
    Fault("fahrenheit", 0.0, "degC becomes degF"),
    Fault("scale", 1000.0, "values x1000"),
    Fault("dropout", 0.0, "no more values"),
    Fault("frozen_clock", 0.0, "source clock stands still"),
    Fault("bad_quality", 0.0, "marked bad by its source"),
    Fault("swap", 0.0, "swapped with a tag of another range"),
    Fault("late", 300.0, "falls behind, up to 300 samples"),
    Fault("unseen_state", 0.0, "a state that was never trained"),
    Fault("jump", 0.0, "jump within the trained range", hard=True),
    Fault("ramp", 30.0, "ramp within the trained range in 30 samples", hard=True),
    Fault("bias", 1.0, "bias of 1 sd", rows=3600, hard=True),
    Fault("drift", 3.0, "drift of 3 sd over 600 samples", rows=3600, hard=True),
)


QUICK = ("stuck", "spikes", "scale", "dropout", "bias")
"""Kinds that `drill --quick` tries, each in its first size: one of each cause and speed."""


def quick_faults() -> tuple[Fault, ...]:
    """Those of `QUICK`."""
    return tuple(next(fault for fault in FAULTS if fault.kind == kind) for kind in QUICK)


def _stuck(x: Float64, _: Case) -> Float64:
    return np.full_like(x, x[0])


def _spikes(x: Float64, case: Case) -> Float64:
    hit = case.rng.random(len(x)) < SPIKE_SHARE
    hit[0] = True
    sign = case.rng.choice([-1.0, 1.0], len(x))
    spiked: Float64 = x + np.where(hit, case.size * case.item.noise * sign, 0.0)
    return spiked


def _bias(x: Float64, case: Case) -> Float64:
    moved: Float64 = x + case.size * case.item.scale * case.rng.choice([-1.0, 1.0])
    return moved


def _drift(x: Float64, case: Case) -> Float64:
    ramp = np.minimum(np.arange(len(x)) / 600.0, 1.0)
    moved: Float64 = x + case.size * case.item.scale * case.rng.choice([-1.0, 1.0]) * ramp
    return moved


def _jump(x: Float64, case: Case) -> Float64:
    return _held(x + _across(x, case), case)


def _ramp(x: Float64, case: Case) -> Float64:
    share = np.minimum((np.arange(len(x)) + 1.0) / case.size, 1.0)
    return _held(x + _across(x, case) * share, case)


def _across(x: Float64, case: Case) -> float:
    """The way to the further quarter of the trained range, from where the values begin."""
    low, high = case.item.trained
    ends = (low + 0.25 * (high - low), high - 0.25 * (high - low))
    start = float(x[0])
    return max((end - start for end in ends), key=abs)


def _held(x: Float64, case: Case) -> Float64:
    """Kept within the trained range: the values themselves are all usual.

    Mirrored at its ends, because values cut off there would be stuck.
    """
    low, high = case.item.trained
    width = max(high - low, 1e-300)
    return high - np.abs((x - low) % (2.0 * width) - width)


def _unseen_state(x: Float64, case: Case) -> Float64:
    codes, _ = trained_states(
        case.item.detectors.get(category.NAME), case.item.centre, case.item.scale
    )
    return np.full_like(x, max(codes, default=0.0) + 1.0)


def _noise(x: Float64, case: Case) -> Float64:
    # noise of sd n becomes size * n when independent noise of sqrt(size^2 - 1) n is added
    added = case.item.noise * float(np.sqrt(case.size**2 - 1.0))
    return x + case.rng.normal(0.0, added, len(x))


def _fahrenheit(x: Float64, _: Case) -> Float64:
    return x * 1.8 + 32.0


def _scale(x: Float64, case: Case) -> Float64:
    return x * case.size


_VALUES: dict[str, Inject] = {
    "stuck": _stuck, "spikes": _spikes, "bias": _bias, "drift": _drift, "noise": _noise,
    "fahrenheit": _fahrenheit, "scale": _scale, "jump": _jump, "ramp": _ramp,
    "unseen_state": _unseen_state,
}  # fmt: skip

_OF_VALUES = frozenset(_VALUES) - {"unseen_state"} | {"swap"}
"""Faults of measurements: a state may last for hours, and every change of it is a jump."""

_OF_RATE = frozenset({"spikes", "bias", "drift", "noise", "jump", "ramp"})
"""Faults with a size that the baseline gives: of a counter that is one of its rate."""

_OF_MOVEMENT = frozenset({"stuck", "spikes", "noise", "jump", "ramp"})
"""Faults that only show on values that move."""


def _counted(normal: Recording, column: int, at: int, case: Case, kind: str) -> Float64:
    """float64[n]: the readings of a counter whose rate has the fault from row `at` on.

    Sizes are of the rate, as the baseline has it; what it brings is counted on in the readings.
    """
    readings, item = normal.values[:, column], case.item
    known = np.flatnonzero(np.isfinite(readings))
    hours = np.diff(normal.time_ns[known], prepend=normal.time_ns[known[0]]) / HOUR_NS
    step = int(np.median(np.diff(normal.time_ns)))
    rate = judged(readings, item.kind, interval_ns=step, rolls_over_at=item.turn or None).values
    usual = np.nan_to_num(rate[known], nan=item.centre)
    after = known >= at
    more = np.zeros(len(known))
    more[after] = _VALUES[kind](usual[after], case) - usual[after]
    faulty = readings.copy()
    faulty[known] += np.cumsum(more * hours)
    if item.turn:
        low = -item.turn / 2 if np.nanmin(readings) < 0.0 else 0.0  # signed, or not
        faulty[known] -= item.turn * np.floor((faulty[known] - low) / item.turn)
    return faulty


def can_not(fault: Fault, item: InputBaseline) -> str:
    """Why a fault can not be on this input; empty where it can."""
    states = bool(trained_states(item.detectors.get(category.NAME), item.centre, item.scale)[0])
    if fault.kind == "unseen_state":
        return "" if states else "no state tag"
    if states and fault.kind in _OF_VALUES:
        return "a state tag"
    if fault.kind in _OF_MOVEMENT and not item.noise > 0.0:
        return "constant in the record"
    if fault.kind == "fahrenheit" and item.unit != "degC":
        return "not in degC"
    return ""


def inject(
    normal: Recording, fault: Fault, column: int, at: int, item: InputBaseline,
    rng: np.random.Generator, *, other: int | None = None,
) -> Recording:
    """The recording with the fault on one column from row `at` on.

    `other` is the column that a swap exchanges it with. The input is left as it is.
    """
    values, quality = normal.values.copy(), normal.quality.copy()
    source = normal.source_ns.copy()
    if fault.kind in _OF_RATE and item.kind in COUNTERS:
        values[:, column] = _counted(normal, column, at, Case(fault.size, item, rng), fault.kind)
    elif fault.kind in _VALUES:
        values[at:, column] = _VALUES[fault.kind](values[at:, column], Case(fault.size, item, rng))
    elif fault.kind == "swap" and other is not None:
        values[at:, [column, other]] = values[at:, [other, column]]
    elif fault.kind == "dropout":
        values[at:, column] = np.nan
    elif fault.kind == "bad_quality":
        quality[at:, column] |= np.uint16(Quality.BAD)
    elif fault.kind == "frozen_clock":
        source[at:, column] = source[at, column]
    elif fault.kind == "late":
        # Two samples' time passes for one of the source's: the stamps go on, unlike frozen ones.
        step = int(np.median(np.diff(normal.time_ns))) if len(normal.time_ns) > 1 else 0
        lag = np.minimum(0.5 * np.arange(1, len(source) - at + 1), fault.size)
        source[at:, column] -= (lag * step).astype(np.int64)
    return replace(normal, values=values, quality=quality, source_ns=source)
