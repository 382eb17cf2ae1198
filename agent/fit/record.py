"""One column of a training record: what is usable in it, its scale, resolution and dynamics.

Correlation time: the variance of block means over growing block lengths is explained by a
non-negative mixture of first-order processes on a logarithmic grid of time constants (white noise
included). That sees slow movement of the operating point under fast noise, where the first
crossing of the autocorrelation does not, and it allows for the mean being estimated too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.stats import chi2

from agent.errors import BaselineError
from agent.types import Float64

DECORRELATED = 0.75  # share of the long-run variance that a block of 4 tau of AR(1) shows
QUICK = 0.3  # share from which a block shows the faster half of the movement: 0.8 tau of AR(1)
_AGREES = 0.02  # probability that a true model of the dynamics is taken to fail at one length
_FEWEST_MEANS = 12  # blocks of the longest length looked at
_FREEDOM = 0.65  # degrees of freedom of a component's variance per 4 of its tau (measured on AR(1))
_LEAST_SHARE = 0.01  # of what independent samples show; what alternates exactly shows nothing
_FEWEST_ALIKE = 12  # changes of one size that are no chance
_APART = 5.0  # times the spread of the largest changes, between them and all lesser ones
_TINY = 1e-280  # smaller variation than this can not be scaled in float64


@dataclass(frozen=True, slots=True)
class Dynamics:
    """How a stationary series moves.

    Attributes:
        block: samples after which block means are nearly uncorrelated: 4 tau.
        long_run: variance of the mean of n samples, times n, for long n; in units of the
            variance of a sample.
        quick: samples after which block means show `QUICK` of the long-run variance; far shorter
            than `block` where slow movement lies under fast.
        freedom: degrees of freedom to which `long_run` is known.
        mixture: (time constant in samples, share of the variance) of each first-order process that
            explains it.
    """

    block: float
    long_run: float
    quick: float
    freedom: float
    mixture: tuple[tuple[float, float], ...] = ()

    @property
    def tau(self) -> float:
        """Correlation time in samples; for an AR(1) process -1 / ln phi."""
        return self.block / 4.0


@dataclass(frozen=True, slots=True)
class Record:
    """A cleaned, standardised column.

    Attributes:
        z: float64[n], the usable samples, (raw - centre) / scale, in order.
        joined: bool[n], whether a sample follows the one before it without a gap.
        centre, scale: raw units; mean and standard deviation, or a stand-in where constant.
        resolution: smallest step of the instrument, raw units; 0 where none shows.
        low, high: the trained range, raw units.
        longest_gap: missing samples in a row.
        constant: no usable variation at all.
        notes: what a person should know.
    """

    z: Float64
    joined: np.ndarray[tuple[int], np.dtype[np.bool_]]
    centre: float
    scale: float
    resolution: float
    low: float
    high: float
    longest_gap: int
    constant: bool
    notes: tuple[str, ...]


def read_record(values: Float64, name: str) -> Record:
    """Clean and standardise one column; `values` float64[n] in its unit, NaN where missing.

    Raises:
        BaselineError: no usable sample at all.
    """
    usable, notes = _usable(np.asarray(values, np.float64), name)
    position = np.flatnonzero(usable)
    raw = np.asarray(values, np.float64)[position]
    joined = np.diff(position, prepend=-2) == 1
    gaps = np.diff(position, prepend=-1, append=len(values)) - 1
    low, high = _trained(raw)
    unit = max(float(np.abs(raw).max()), _TINY)
    mean = float(np.mean(raw / unit)) * unit
    scale = float(np.std(raw / unit - mean / unit)) * unit
    constant = not scale > max(_TINY, 1e-12 * unit)
    if constant:
        mean = float(raw[0])
        scale = 0.01 * max(abs(mean), 1e-3) if unit < 1e300 else 0.01 * unit
        notes.append("constant: only leaving its value by 1 % is watched")
    return Record(
        z=raw / scale - mean / scale,
        joined=joined,
        centre=mean,
        scale=scale,
        resolution=_resolution(raw) if not constant else 0.0,
        low=low,
        high=high,
        longest_gap=int(gaps.max()),
        constant=constant,
        notes=tuple(notes),
    )


def _usable(
    values: Float64, name: str
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], list[str]]:
    usable = np.isfinite(values)
    if not usable.any():
        raise BaselineError(
            "fitting", name, "the training record has no usable value of it",
            "check the column's name and units, or leave the input out of the model",
        )
    finite = values[usable]
    low, middle, high = np.percentile(finite, [25, 50, 75], method="lower")
    spread = high / 1.35 - low / 1.35
    notes: list[str] = []
    if spread > 0:
        wild = usable & (np.abs(values / 1e3 - middle / 1e3) > spread)
        if 0 < wild.sum() <= 0.001 * usable.sum() + 1:
            usable = usable & ~wild
            notes.append(f"{wild.sum()} values beyond 1,000 times the spread left out")
    return usable, notes


def far_off(raw: Float64) -> tuple[float, float]:
    """Beyond what a value lies far off the rest of float64[n]: by the middle 99 % once more."""
    lowest, highest = np.percentile(raw, [0.5, 99.5])
    width = highest - lowest
    return float(lowest - width), float(highest + width)


def _trained(raw: Float64) -> tuple[float, float]:
    """The range of a column but for a few values that stand far off the rest.

    At most one in a thousand is left out, and only what lies more than the width of the middle
    99 % beyond it: one wrong reading must not make a range of everything up to it.
    """
    least, most = far_off(raw)
    near = raw[(raw >= least) & (raw <= most)]
    if len(raw) - len(near) > 0.001 * len(raw) + 1 or not most > least:
        near = raw
    return float(near.min()), float(near.max())


def _resolution(raw: Float64) -> float:
    """The step of a quantised instrument: the smallest common gap between distinct values."""
    distinct = np.unique(raw)
    if len(distinct) < 2 or len(distinct) > 0.5 * len(raw):
        return 0.0
    gaps = np.diff(distinct)
    return float(np.percentile(gaps, 10))


def coarse_step(sizes: Float64) -> float:
    """The step that sizes float64[n] >= 0 of changes come in; 0 where they come in all sizes.

    An instrument may show whole units only, and a historian interpolate between two of them: the
    values are then fine, their changes nearly alike or nearly none. What a change by one step more
    would be, no tail of such a record can tell; no less is returned than that step.
    """
    if len(sizes) <= _FEWEST_ALIKE:
        return 0.0
    ordered = np.sort(sizes)
    gaps = np.diff(ordered)
    below = int(np.argmax(gaps))
    gap = float(gaps[below])
    alike = len(ordered) - 1 - below
    width = float(ordered[-1] - ordered[below + 1])
    if alike < _FEWEST_ALIKE or gap < _APART * width:
        return 0.0
    wide = np.flatnonzero(gaps[:below] > 0.5 * gap)
    lesser = float(ordered[below] - ordered[wide[-1] + 1 if len(wide) else 0])
    return gap + 2.0 * (width + lesser)


def dynamics(z: Float64) -> Dynamics:
    """Decorrelation block and long-run variance of a series float64[n] (any mean and scale).

    Slow components are admitted one by one, from fast to slow, until the means of still longer
    blocks vary no more than explained, within sampling error; so noise in the few longest blocks is
    not taken for movement, nor is what the mixture can not explain of the quick ones.
    """
    n = len(z)
    variance = float(np.var(z))
    if n < 16 or not variance > 0:
        return Dynamics(4.0, 1.0, 1.0, max(n / 4.0, 1.0))
    lengths = _lengths(n)
    sums = np.concatenate([[0.0], np.cumsum(z - z.mean())])
    observed = np.array([np.mean(np.square((sums[b:] - sums[:-b]) / b)) for b in lengths])
    observed = np.maximum(observed / variance, _LEAST_SHARE / lengths)
    times = np.concatenate([[0.0], np.geomspace(0.7, n / 10.0, 24)])
    model = np.column_stack([_mean_variance(lengths, t) - _mean_variance(n, t) for t in times])
    weights = np.zeros(len(times))
    enough = False
    for slowest in range(2, len(times) + 1):
        weights = _mixture(model[:, :slowest], observed, n / lengths)
        parts = weights * [_long_run(t) for t in times[:slowest]]
        if enough:  # one more than agrees: the first that agrees is on the fast side
            break
        # Only blocks longer than what is admitted tell of something slower.
        longer = lengths >= times[slowest - 1]
        known = n / np.maximum(lengths[longer], float(parts.sum()))
        ratio = observed[longer] / (model[longer, :slowest] @ weights)
        enough = bool(np.all(ratio <= chi2.ppf(1.0 - _AGREES, known) / known + 0.01))
    return _summed(times[: len(weights)], weights, parts, n)


def _summed(times: Float64, weights: Float64, parts: Float64, n: int) -> Dynamics:
    """Dynamics of a mixture of first-order processes; `parts` of its long-run variance."""
    long_run = float(parts.sum())
    grid = np.unique(np.round(np.geomspace(1, max(n, 2), 400)))
    grown = sum(w * _mean_variance(grid, t) * grid for w, t in zip(weights, times, strict=True))
    block, quick = (
        float(np.append(grid[grown >= share * long_run], n)[0]) for share in (DECORRELATED, QUICK)
    )
    freedom = _FREEDOM * n / np.maximum(4.0 * times, 1.0)
    return Dynamics(
        block, long_run, quick, long_run**2 / float(np.sum(parts**2 / freedom)),
        tuple((float(t), float(w)) for t, w in zip(times, weights, strict=True) if w > 0.0),
    )


def smoothed_variance(moves: Dynamics, part: int, gain: float) -> tuple[float, float]:
    """(variance, that of its steps) of an EWMA of means of `part` samples, from the mixture.

    In units of the variance of a sample.
    """
    found = np.array([_smoothed(part, gain, time) for time, _ in moves.mixture])
    variance, steps = np.array([share for _, share in moves.mixture]) @ found
    return float(variance), float(steps)


def _smoothed(part: int, gain: float, time: float) -> tuple[float, float]:
    """(variance, that of its steps) of an EWMA of means of unit-variance AR(1)."""
    phi = float(np.exp(-1.0 / time)) if time > 0.0 else 0.0
    own = float(_mean_variance(part, time))
    beside = phi * ((1.0 - phi**part) / (part * (1.0 - phi))) ** 2  # covariance of neighbours
    ahead = gain * beside / (1.0 - (1.0 - gain) * phi**part)  # of the EWMA and the next mean
    variance = (gain * own + 2.0 * (1.0 - gain) * ahead) / (2.0 - gain)
    return variance, 2.0 * gain * (variance - ahead)


def _mixture(model: Float64, observed: Float64, blocks: Float64) -> Float64:
    """Non-negative weights of the components, summing to 1."""
    weight = np.sqrt(blocks) / observed
    weights, _ = nnls(model * weight[:, None], observed * weight)
    if not weights.sum() > 0:
        weights = np.zeros(model.shape[1])
        weights[0] = 1.0
    shares: Float64 = weights / weights.sum()
    return shares


def _lengths(n: int) -> Float64:
    return np.unique(np.round(np.geomspace(1, max(2, n / _FEWEST_MEANS), 30))).astype(np.int64)


def _long_run(time: float) -> float:
    if time == 0.0:
        return 1.0
    phi = float(np.exp(-1.0 / time))
    return (1 + phi) / (1 - phi)


def _mean_variance(length: Float64 | int, time: float) -> Float64:
    """Variance of the mean of `length` samples of unit-variance AR(1), phi = exp(-1 / time)."""
    b = np.asarray(length, np.float64)
    if time == 0.0:
        return 1.0 / b
    phi = np.exp(-1.0 / time)
    variance: Float64 = (_long_run(time) - 2 * phi * (1 - phi**b) / (b * (1 - phi) ** 2)) / b
    return variance
