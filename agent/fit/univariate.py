"""The baseline of one input: standardisation, dynamics, trained range, and every detector's limits.

Each chart is given the average run length (samples between two false alarms) that its share of the
gateway's budget allows. Limits judged at every sample come from `tails`, charts on blocks from
`bootstrap`. What a short record leaves open widens them, and the baseline then says "provisional".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np

from agent.core import kernels
from agent.core.delays import flag_hold
from agent.core.kernels import DETECTORS
from agent.core.kernels.level import PARTS
from agent.fit import bootstrap
from agent.fit.category import fit_category, read_states
from agent.fit.record import Dynamics, Record, coarse_step, dynamics, read_record
from agent.fit.served import fit_served
from agent.fit.smooth import ewma_limits
from agent.fit.spike import fit_spike
from agent.fit.step import fit_step
from agent.fit.tails import extrapolate, peaks_limit
from agent.fit.unseen import unseen_movement, unseen_share
from agent.types import Float64, Int64

EQUAL = 1e-9  # standard deviations within which one reading is the same as another: a scan's last
# bits are not the record's, because the agent multiplies by the inverse of what `fit` divides by
ENOUGH_TAU = 500  # correlation times of training from which thresholds are no longer provisional
TAU_ERROR = 0.85  # what the correlation time of 500 of it may be overestimated by
BINS = 16
GAP = 1.5  # intervals; samples further apart are not neighbours
MIN_STUCK = 10  # samples; repeated values happen in transmission
LEVEL_SHIFT = 0.85  # sd; the shift that the level chart is tuned to
EWMA_SHARE = 0.3  # of the chart's false alarms, for its EWMA
LEVEL_BLOCK = 1.4  # of the quick time of the dynamics: 1.1 tau of AR(1)
DRIFT_SHIFT = 0.4
DRIFT_BLOCK = 10.0
NOISE_RATIO = 1.6  # of the noise; what the chart is tuned to: a quarter more is nobody's concern
_LEAST_K = 0.5
_MIN_BLOCK = 8
NOISE_BLOCK = 32  # differences; slow swings of the noise's size are in the bootstrap
_MIN_NOISE_BLOCK = 8
_FEWEST_NOISE_BLOCKS = 64
_FEWEST_BLOCKS = 16


@dataclass(frozen=True, slots=True)
class InputFit:
    """What was learnt about one input.

    Attributes:
        centre, scale: raw units; detectors see (raw - centre) / scale.
        noise: standard deviation of first differences / sqrt 2, raw units.
        tau: correlation time in samples; n_eff: effectively independent samples.
        resolution: raw units, 0 where none shows; interval_ns: of the record.
        trained: smallest and largest value of the record, raw units.
        edges: inner edges of the trained quantile bins, raw units, increasing.
        longest_gap: missing samples in a row.
        provisional: the record is shorter than 500 tau; `needed`: samples more until it is not.
        constant: nothing but leaving its value can be watched.
        detectors: {detector: parameters}, complete for every row of `DETECTORS`.
        thresholds: {detector: text} for the table that `fieldwarden fit` prints.
        notes: what a person should know.
        wider: {detector: times as wide as the record alone asks for}, infinite where it is off for
            that; empty before `held_back` looked at it.
    """

    centre: float
    scale: float
    noise: float
    tau: float
    n_eff: float
    resolution: float
    interval_ns: int
    trained: tuple[float, float]
    edges: tuple[float, ...]
    longest_gap: int
    provisional: bool
    needed: int
    constant: bool
    detectors: dict[str, dict[str, Any]]
    thresholds: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    wider: dict[str, float] = field(default_factory=dict)


def fit_input(
    values: Float64, *, interval_ns: int, arl: float, name: str, seed: int = 0
) -> InputFit:
    """Learn one input from its training column.

    Args:
        values: float64[n] in the tag's unit at a fixed interval, NaN where missing.
        interval_ns: the record's sampling interval.
        arl: average run length between false alarms that each chart may have, in samples.
        name: the tag, for errors.
        seed: of the bootstrap; the same seed and record give the same baseline.

    Raises:
        BaselineError: no usable sample.
    """
    record = read_record(values, name)
    rng = np.random.default_rng(seed)
    n = len(record.z)
    moves = Dynamics(float(n), float(n), float(n), 1.0) if record.constant else dynamics(record.z)
    differences = np.diff(record.z)[record.joined[1:]]
    noise = float(np.sqrt(np.mean(differences**2) / 2)) if len(differences) else 0.0
    fitted = {d.name: dict(d.disabled) for d in DETECTORS}
    hold = flag_hold(interval_ns)
    short = n < TAU_ERROR * ENOUGH_TAU * max(moves.tau, 1.0)
    states = read_states(record)
    if states is not None:
        fitted[kernels.category.NAME], text, note = fit_category(states, record, interval_ns)
    elif record.constant or n < 2 * _MIN_BLOCK:
        half = 1.0 if record.constant else 10.0
        fitted[kernels.trained_range.NAME] = {"middle": 0.0, "half": half, "hold": hold}
    else:
        length_ns = n * interval_ns
        beyond = unseen_movement(record.z, length_ns)
        fitted[kernels.trained_range.NAME] = _range(record, moves, beyond, arl, hold)
        fitted[kernels.stuck.NAME] = _stuck(record, arl, hold)
        fitted |= _neighbours(record, interval_ns, arl, hold)
        fitted[kernels.level.NAME] = _level(record, moves, beyond, arl, rng)
        fitted[kernels.drift.NAME] = _drift(record, moves, unseen_share(length_ns), arl, rng)
        fitted[kernels.noise.NAME] = _noise(differences, interval_ns, arl, rng)
        fitted |= fit_served(record, interval_ns, arl, hold)
        if (steps := fit_step(record, arl, int(GAP * interval_ns), hold)) is not None:
            fitted[kernels.step.NAME] = steps
    fitted = {name: _plain(values) for name, values in fitted.items()}
    # A state's limits come from its changes, not from how it moves: more data would not alter them.
    judged_by_tau = states is None and not record.constant
    provisional = judged_by_tau and short
    return InputFit(
        centre=record.centre,
        scale=record.scale,
        noise=noise * record.scale,
        tau=moves.tau,
        n_eff=n / moves.long_run,
        resolution=record.resolution,
        interval_ns=interval_ns,
        trained=(record.low, record.high),
        edges=_edges(record),
        longest_gap=record.longest_gap,
        provisional=provisional,
        needed=max(0, ceil(ENOUGH_TAU * max(moves.tau, 1.0)) - n) if provisional else 0,
        constant=record.constant,
        detectors=fitted,
        thresholds=_thresholds(fitted, record) if states is None else {kernels.category.NAME: text},
        notes=record.notes if states is None else (*record.notes, note),
    )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Python numbers, for JSON; integers stay integers, and lists lists."""
    return {
        name: value if isinstance(value, list)
        else int(value) if isinstance(value, int | np.integer) else float(value)
        for name, value in values.items()
    }


def _edges(record: Record) -> tuple[float, ...]:
    inner = np.quantile(record.z, np.arange(1, BINS) / BINS) * record.scale + record.centre
    return tuple(float(edge) for edge in np.unique(inner))


def _range(
    record: Record, moves: Dynamics, beyond: float, arl: float, hold: int
) -> dict[str, float]:
    # Peaks nearer than that are one excursion; a flag is over as soon as the value is back.
    apart = max(hold, ceil(2 * moves.tau))
    step = record.resolution / record.scale + beyond
    high = peaks_limit(record.z, arl=2 * arl, apart=apart) + step
    low = peaks_limit(-record.z, arl=2 * arl, apart=apart) + step
    return {"middle": (high - low) / 2, "half": (high + low) / 2, "hold": hold}


def _stuck(record: Record, arl: float, hold: int) -> dict[str, Any]:
    """Within the resolution where that still tells a live signal from a dead one, else equal."""
    step = record.resolution / record.scale
    chosen: dict[str, Any] = {
        "tolerance": EQUAL, "limit": 1 << 62, "hold": hold, "count": 0, "values": 0.0,
    }  # fmt: skip
    for tolerance in (EQUAL, max(EQUAL, 1.001 * step)):
        starts, lengths = _runs(record.z, tolerance)
        rests, elsewhere = _plateaus(record.z, starts, lengths, tolerance, arl)
        limit = _run_limit(lengths[elsewhere], arl)
        if limit <= max(10 * MIN_STUCK, len(record.z) // 4) and (
            tolerance == EQUAL or limit <= 10 * MIN_STUCK
        ):
            values = rests + [0.0] * (kernels.stuck.MOST - len(rests))
            chosen = {"tolerance": tolerance, "limit": limit, "hold": hold, "count": len(rests),
                      "values": values}  # fmt: skip
    return chosen


def _runs(z: Float64, tolerance: float) -> tuple[Int64, Float64]:
    """(first sample, length) of runs within the tolerance, as the kernel counts them."""
    starts, low, high = [0], z[0], z[0]
    for place, value in enumerate(z.tolist()):
        low, high = min(low, value), max(high, value)
        if high - low > tolerance:
            starts.append(place)
            low = high = value
    begins = np.array(starts, np.int64)
    return begins, np.diff(begins, append=len(z)).astype(np.float64)


def _plateaus(
    z: Float64, starts: Int64, lengths: Float64, tolerance: float, arl: float
) -> tuple[list[float], np.ndarray[Any, np.dtype[np.bool_]]]:
    """(values where the record rested, bool[runs]: those that are at none of them).

    A plateau is a value that it rested at longer than its runs at other values let expect, more
    than once, or at an end of its range: one long run amid it is more likely a dead instrument.
    """
    rests: list[float] = []
    elsewhere = np.ones(len(lengths), np.bool_)
    middle = z[starts]
    for run in np.argsort(-lengths, kind="stable")[: 8 * kernels.stuck.MOST].tolist():
        if not elsewhere[run] or len(rests) == kernels.stuck.MOST:
            continue
        near = np.abs(middle - middle[run]) <= tolerance
        others = lengths[elsewhere & ~near]
        if not len(others) or lengths[run] < MIN_STUCK:
            continue
        long = near & (lengths >= _run_limit(others, arl))
        at_end = min(middle[run] - z.min(), z.max() - middle[run]) <= tolerance
        if long.any() and (at_end or long.sum() > 1):
            rests.append(float(middle[run]))
            elsewhere &= ~near
    return rests, elsewhere


def _run_limit(runs: Float64, arl: float) -> int:
    total = runs.sum()
    threshold = np.quantile(runs, 0.9)
    excess = runs[runs > threshold] - threshold
    longest = int(runs.max())
    if len(excess) < 12:
        return max(MIN_STUCK, 3 * longest + 2)
    limit = threshold + extrapolate(excess, arl * len(excess) / total)
    return max(MIN_STUCK, ceil(limit) + 1, longest + 1)


def _neighbours(
    record: Record, interval_ns: int, arl: float, hold: int
) -> dict[str, dict[str, float]]:
    gap = int(GAP * interval_ns)
    fitted: dict[str, dict[str, float]] = {}
    z, joined = record.z, record.joined
    first = np.abs(np.diff(z))[joined[1:]]
    second = np.abs(z[1:-1] - (z[2:] + z[:-2]) / 2)[joined[1:-1] & joined[2:]]
    step = max(record.resolution / record.scale, coarse_step(first))
    if len(first) >= _MIN_BLOCK and first.max() > 0:
        limit = peaks_limit(first, arl=arl, apart=hold) + step
        fitted[kernels.rate.NAME] = {"limit": limit, "hold": hold, "gap_ns": gap}
    if len(second) >= _MIN_BLOCK and second.max() > 0:
        fitted[kernels.spike.NAME] = fit_spike(second, step, arl, hold) | {"gap_ns": gap}
    return fitted


def _level(
    record: Record, moves: Dynamics, beyond: float, arl: float, rng: np.random.Generator
) -> dict[str, float]:
    """Both parts of the level chart; their false alarms add up to the chart's share."""
    means, deviation, known, block = _block_means(record, moves, LEVEL_BLOCK, PARTS)
    chart = Chart(means, deviation, known, block, rng)
    small = chart.limits((LEVEL_SHIFT / 2 + beyond) / deviation, arl / (1.0 - EWMA_SHARE))
    up, down = ewma_limits(record.z, moves, block // PARTS, arl / EWMA_SHARE)
    return chart.scaling() | small | {
        "part": block // PARTS, "ewma_up": up + beyond, "ewma_down": down + beyond,
        "centre": 0.0, "clip": _level_clip(record),
    }  # fmt: skip


def _drift(
    record: Record, moves: Dynamics, unseen: float, arl: float, rng: np.random.Generator
) -> dict[str, float]:
    """Drift may be told from what was not seen once that is a small share, `unseen`, of the sd."""
    off = next(dict(d.disabled) for d in DETECTORS if d.name == kernels.drift.NAME)
    if unseen > DRIFT_SHIFT:
        return off
    means, deviation, known, block = _block_means(record, moves, DRIFT_BLOCK)
    chart = Chart(means, deviation, known, block, rng)
    limits = chart.limits((DRIFT_SHIFT / 2 + unseen) / deviation, arl)
    return off | chart.scaling() | limits | {"part": block, "clip": _level_clip(record)}


def _level_clip(record: Record) -> float:
    """A few wild samples are no level."""
    return float(np.abs(record.z).max()) + 1.0


def _block_means(
    record: Record, moves: Dynamics, length: float, parts: int = 1
) -> tuple[Float64, float, tuple[float, float], int]:
    """Means at every offset, about 0; their long-run deviation; what it is known from; block."""
    n = len(record.z)
    part = ceil(max(_MIN_BLOCK, moves.quick * length) / parts)
    block = parts * max(1, min(part, n // (parts * _FEWEST_BLOCKS)))
    sums = np.concatenate([[0.0], np.cumsum(record.z)])
    means = (sums[block:] - sums[:-block]) / block
    deviation = float(np.sqrt(moves.long_run / block))
    return means - means.mean(), deviation, (n / block, moves.freedom), block


def _noise(
    differences: Float64, interval_ns: int, arl: float, rng: np.random.Generator
) -> dict[str, float]:
    off = next(dict(d.disabled) for d in DETECTORS if d.name == kernels.noise.NAME)
    n = len(differences)
    if n < 16 * _MIN_NOISE_BLOCK or np.mean(differences != 0.0) < 0.05:
        return off
    size = np.abs(differences)
    clip = max(float(np.quantile(size, 0.999)), 4 * float(np.sqrt(np.mean(size**2))))
    steps = np.clip(differences, -clip, clip)
    block = min(NOISE_BLOCK, max(_MIN_NOISE_BLOCK, n // _FEWEST_NOISE_BLOCKS))
    squares, moved = (
        (sums[block:] - sums[:-block]) / block
        for sums in (np.concatenate([[0.0], np.cumsum(part)]) for part in (steps**2, steps))
    )
    roots = np.maximum(squares - moved**2, 0.0) ** 0.25
    centre = float(roots.mean())
    apart = roots - centre
    spread = float(np.mean(apart**2))
    deviation = np.sqrt(spread + 2 * sum(bootstrap.lags(apart, block)))
    known = (n / block, n / block)
    chart = Chart(apart, deviation, known, block, rng)
    k = max(0.5 * (NOISE_RATIO**0.5 - 1.0) * centre / deviation, _LEAST_K)
    fitted = chart.scaling() | chart.limits(k, arl)
    return fitted | {"centre": centre, "clip": clip, "gap_ns": int(GAP * interval_ns)}


@dataclass(frozen=True, slots=True)
class Chart:
    """A CUSUM on block statistics `apart` float64[offsets], from their centre.

    `known`: blocks that the centre, and degrees of freedom that the deviation was estimated from.
    """

    apart: Float64
    deviation: float
    known: tuple[float, float]
    block: int
    rng: np.random.Generator

    def scaling(self) -> dict[str, float]:
        """Its block, and what its statistic is multiplied by."""
        return {"block": self.block, "inverse_sd": 1.0 / self.deviation}

    def limits(self, k: float, arl: float) -> dict[str, float]:
        """Reference value and thresholds at which it alarms once in `arl` samples."""
        log_arl = float(np.log(max(2 * arl / self.block, 2.0)))
        share = float(np.mean(self.apart**2)) / self.deviation**2
        wider, factor = bootstrap.allowance(log_arl, k, *self.known)
        series = bootstrap.resample(self.apart, self.block, self.rng)
        h_up, h_down = bootstrap.thresholds(series, k, log_arl * factor, share)
        return {"k": k + wider, "h_up": h_up, "h_down": h_down}


def _thresholds(fitted: dict[str, dict[str, float]], record: Record) -> dict[str, str]:
    """One short text per detector, in raw units where there are some."""
    limits = fitted[kernels.trained_range.NAME]
    low = (limits["middle"] - limits["half"]) * record.scale + record.centre
    high = (limits["middle"] + limits["half"]) * record.scale + record.centre
    texts = {kernels.trained_range.NAME: f"{low:.4g} to {high:.4g}"}
    for name in (kernels.rate.NAME, kernels.spike.NAME, kernels.step.NAME):
        limit = fitted[name]["limit"] * record.scale
        texts[name] = f"{limit:.4g}" if limit < 1e290 else "off"
    run = int(fitted[kernels.stuck.NAME]["limit"])
    texts[kernels.stuck.NAME] = f"{run} samples" if run < 1 << 60 else "off"
    for name in (kernels.level.NAME, kernels.drift.NAME, kernels.noise.NAME):
        chart = fitted[name]
        found = f"k {chart['k']:.2f} h {chart['h_up']:.1f} x {chart['block']}"
        texts[name] = found if chart["h_up"] < 1e290 else "off"
    return texts
