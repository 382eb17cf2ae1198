"""The shape of an input's latest samples: what tells a spike from a step, noise and a ramp.

Pure functions of standardised samples float64[n], oldest first, as `Charts.recent` gives them;
`noise` is the standard deviation of sample-to-sample noise in the record, in the same unit. Each
looks for positive signs: too few samples, or nothing to see any more, is no sign.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from agent.types import Float64

_LATEST = 8
_NOISE_WINDOW = 40
_HALF = 3  # samples either side that a spike is compared with
_STANDS_OFF = 5.0  # noise that a sample must be off its surroundings to be a spike
_GROWN = 1.8  # times its usual size that the bulk of the steps must have for noise to have grown
_APART, _CROSSED = 8.0, 0.25  # noise that two were apart, and the share of it that they met to
_ABSURD = 1e100  # no reading, and its square would overflow
_BULK = 0.607  # rms of Gaussian values without the quarter that is the largest, in sd


def inside(recent: Float64, low: float, high: float) -> bool:
    """Whether the latest samples are centred in [low, high], so that leaving it was momentary."""
    latest = recent[-_LATEST:]
    return len(latest) > 0 and low <= float(np.median(latest)) <= high


def spiked(recent: Float64, noise: float) -> bool:
    """Whether a sample stands off from the running median of the samples on both its sides.

    A spike among the last three samples is not told from a step yet.
    """
    return bool(_standing_off(recent, noise)[_HALF:-_HALF].any())


def _standing_off(recent: Float64, noise: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """bool[n]: samples off the median of the seven around them; neither steps nor ramps do that.

    Near the ends the seven are the first or the last ones.
    """
    width = 2 * _HALF + 1
    if len(recent) < width:
        return np.zeros(len(recent), np.bool_)
    around = np.median(np.lib.stride_tricks.sliding_window_view(recent, width), axis=1)
    off: np.ndarray[Any, np.dtype[np.bool_]] = (
        np.abs(recent - np.pad(around, _HALF, mode="edge")) > _STANDS_OFF * noise
    )
    return off


def stepped(recent: Float64, noise: float) -> bool:
    """Whether the largest step that is no spike's was one to a new level: nothing came back."""
    return step_at(recent, noise) > 0


def step_at(recent: Float64, noise: float) -> int:
    """Index of the first sample behind that step; 0 where there is none."""
    places = np.flatnonzero(~_standing_off(recent, noise))
    kept = recent[places]
    if len(kept) < _LATEST:
        return 0
    steps = np.diff(kept)
    place = int(np.argmax(np.abs(steps)))
    step = abs(float(steps[place]))
    before, after = kept[max(0, place - 7) : place + 1], kept[place + 1 :][-_LATEST:]
    moved = abs(float(np.median(after)) - float(np.median(before)))
    is_step = len(after) >= 4 and step > 6.0 * noise and moved >= 0.5 * step
    return int(places[place + 1]) if is_step else 0


def noisier(recent: Float64, noise: float) -> bool:
    """Whether the steps between samples that do not stand off grew at large.

    Judged by the rms of all but the largest quarter, so that a step to a new level does not count;
    not by the median, which jumps where values come in coarse steps.
    """
    latest = recent[-_NOISE_WINDOW:]
    if len(latest) <= _NOISE_WINDOW // 2:
        return False
    kept = latest[~_standing_off(recent, noise)[-_NOISE_WINDOW:]]
    if 2 * len(kept) < len(latest):
        return True
    steps = np.sort(np.abs(np.diff(kept)))
    bulk = steps[: 3 * len(steps) // 4]
    usual = _BULK * float(np.sqrt(2.0)) * noise
    return float(np.sqrt((bulk * bulk).mean())) > _GROWN * usual


def ramp(means: Float64) -> bool:
    """Whether the recent means rise or fall along a line rather than in one step.

    Compares the residual of the best straight ramp with that of the best single step over the
    stretch since the means left the trained band of one standard deviation.
    """
    if len(means) < 6:
        return False
    level = np.abs(means)
    calm = np.nonzero(level < 0.5)[0]
    start = max(int(calm[-1]) - 1, 0) if len(calm) else 0
    part = means[start:]
    if len(part) < 5:
        part = means[-6:]
    x = np.arange(len(part), dtype=np.float64) - (len(part) - 1) / 2.0
    slope = float((x * part).sum() / (x * x).sum())
    line = float(((part - part.mean() - slope * x) ** 2).sum())
    steps = [
        float(((part[:k] - part[:k].mean()) ** 2).sum() + ((part[k:] - part[k:].mean()) ** 2).sum())
        for k in range(1, len(part))
    ]
    return abs(slope) * len(part) > 1.0 and line < min(steps)


class Level(Protocol):
    """The level of values at their beginning or end, and its standard error in noise."""

    def __call__(self, values: Float64, *, end: bool) -> tuple[float, float]:
        """(level, its standard error in noise)."""


def mean(values: Float64, *, end: bool) -> tuple[float, float]:  # noqa: ARG001 as `edge`
    """(mean, its standard error in noise), whichever end is asked for."""
    return float(values.mean()), 1.0 / float(np.sqrt(len(values)))


def scatter(values: Float64) -> float:
    """The noise of values: the rms of their first differences over sqrt 2."""
    steps = np.diff(values)
    return float(np.sqrt((steps * steps).mean() / 2.0)) if len(steps) else 0.0


def edge(values: Float64, *, end: bool) -> tuple[float, float]:
    """(level half a step beyond one end, its standard error in noise) by a straight line.

    Where a signal wanders, the mean of the samples before a jump is not where it was at the jump.
    """
    n = len(values)
    x = np.arange(n, dtype=np.float64) - (n - 1) / 2.0
    square = float((x * x).sum())
    beyond = n / 2.0 if end else -n / 2.0
    level = float(values.mean()) + float((x * values).sum()) / square * beyond
    return level, float(np.sqrt(1.0 / n + beyond * beyond / square))


@dataclass(frozen=True, slots=True)
class Ends:
    """The levels on both sides of an instant `age` samples ago, and the noise before it."""

    age: int
    before: float
    after: float
    scatter: float


def ends(values: Float64, age: int) -> Ends | None:
    """The medians of up to 8 values on either side; None where too few are kept or usable."""
    before, after = values[:-age][-_LATEST:], values[len(values) - age :][:_LATEST]
    if min(len(before), len(after)) < 4 or not (np.abs([*before, *after]) < _ABSURD).all():
        return None
    return Ends(age, float(np.median(before)), float(np.median(after)), scatter(before))


def jump(values: Float64) -> Ends | None:
    """The ends of the largest step among values; None where it is within their noise."""
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    found = ends(values, len(values) - 1 - int(np.argmax(np.abs(np.diff(values)))))
    return found if found and abs(found.after - found.before) > 4.0 * found.scatter else None


def crossed(mine: Ends, theirs: Ends) -> bool:
    """Whether two signals that jumped at one instant went each to where the other was."""
    apart = abs(theirs.before - mine.before)
    missed = max(abs(theirs.after - mine.before), abs(mine.after - theirs.before))
    return apart > _APART * max(mine.scatter, theirs.scatter) and missed < _CROSSED * apart
