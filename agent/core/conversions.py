"""Changes of unit, scale and sign: whether a jump of a tag is one, and which.

A change is claimed only if it explains the level and the scatter after the jump better than a move
of the plant or of the instrument does, by a likelihood ratio; those that explain it about as well
as the best one are told with it, because a wrong factor is worse than none.

What the level would be without the change is taken from the input's own past or from what the other
inputs predict, whichever was the better guide before the jump; a change must fit both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from agent.core import shape
from agent.types import Float64

_ABSURD = 1e100  # no reading, and its square would overflow
_AFTER = 6  # samples after a jump that a change must explain
_LONGEST = 16  # samples either side that its levels are taken from; before it half of them
_BEYOND_NOISE = 8.0  # noise that a step is larger than to be the jump
_INEXACT = 0.002  # share of the step that a factor entered by hand may be off
_BIAS_SD = 3.0  # standard deviations that a jump which is no conversion may well have
_FITS = 3.5  # standard errors that level and scatter may be off what a change makes of them
_CLAIMED = 5.0  # log likelihood ratio from which a change is claimed: 150, some per change tried
_AS_WELL = 5.0  # log likelihood within which another change explains it as well
_OWN_UNIT = 1.6  # log of how much likelier a change is from the unit that the tag is said to have,
# or of its sign, than any other
_BACK, _MARGIN = 0.8, 0.25  # share of what came since that a change puts back where it was trained,
# and how far beyond that range it may be, of its width
_LEAST_GAIN = 1.8  # times by which a gain that is no unit's must change level and scatter alike
_FEWEST_OF_GAIN = 14  # samples after the jump from which the scatter tells that
_NEAR_KNOWN = 0.3  # log of the ratio of gains that are near each other
_NOISY_TOO = 3.0  # log of how much rarer it is that the noise grows as the level moves


@dataclass(frozen=True, slots=True)
class Change:
    """A tag in unit `old` that arrives in `new`: gain * x + offset; `old` is empty of a scale."""

    old: str
    new: str
    gain: float
    offset: float


@dataclass(frozen=True, slots=True)
class Explained:
    """What explains a jump, in the tag's unit.

    `changes` do so about equally well, the best first; none where nothing does. `ratio` is the log
    of how much likelier the best is than no change; `was` the level without it, `now` what arrives;
    `since` how many samples ago it came.
    """

    changes: tuple[Change, ...] = ()
    ratio: float = 0.0
    was: float = float("nan")
    now: float = float("nan")
    since: int = 0


@dataclass(frozen=True, slots=True)
class Jump:
    """The levels on both sides of a jump, and how well they are known, in the tag's unit.

    `was` is what the level would be without it; `error` is the standard error of the difference of
    levels while nothing happens, as the samples before show it. `beside` is (level without it,
    error) by the other guide, where there is one: the own past or the other inputs. `grown` is the
    log of how many times the scatter is after it what it was before, and `doubt` the standard error
    of that.
    """

    was: float
    now: float
    error: float
    grown: float
    doubt: float
    beside: tuple[float, float] | None = None

    def off(self, change: Change) -> tuple[float, float, float]:
        """(error of the level, level, scatter): what the change allows, and standard errors off."""
        expected = change.gain * self.was + change.offset
        size = abs(change.gain)
        # What falls to zero would fit any gain below 1, were the step itself the yardstick.
        inexact = _INEXACT * abs(expected - self.was) * min(size, 1.0)
        error = max(float(np.hypot(size * self.error, inexact)), 1e-300)
        return error, (self.now - expected) / error, (self.grown - np.log(size)) / self.doubt

    def likelihood(self, change: Change) -> float:
        """Log likelihood of what is seen, were it this change; -inf where it does not fit."""
        error, level, scatter = self.off(change)
        if abs(level) > _FITS or abs(scatter) > _FITS:
            return -np.inf
        if self.beside is not None:
            was, doubt = self.beside
            if abs(replace(self, was=was, error=doubt).off(change)[1]) > _FITS:
                return -np.inf
        return float(-0.5 * (level * level + scatter * scatter) - np.log(error * self.doubt))

    def by_chance(self, scale: float) -> float:
        """The same, were it none: a move of any size with the scatter as it was, or noise.

        Small moves and little noise are likelier than large ones; so the step has a Cauchy density,
        and the growth of noise an exponential one.
        """
        width, step = _BIAS_SD * scale, self.now - self.was
        move = np.log(width / (np.pi * (width * width + step * step)) * np.sqrt(2.0 * np.pi))
        same = -0.5 * (self.grown / self.doubt) ** 2 - np.log(self.doubt)
        noisier = -abs(self.grown) - np.log(2.0) + 0.5 * np.log(2.0 * np.pi)
        # Where the noise grows or a line breaks, the level moves with it by as much as it likes.
        return float(move + np.logaddexp(same, noisier - np.log(4.0)))


@dataclass(frozen=True, slots=True)
class Trace:
    """The latest values of a tag, oldest first, and what the other inputs say of each of them.

    `raw` float64[n] in the tag's unit, unusable ones included; `predicted` float64[n], NaN where
    the others say nothing.
    """

    raw: Float64
    predicted: Float64 = field(default_factory=lambda: np.zeros(0))

    def usable(self) -> Trace:
        """Without what is no reading; a prediction of another length is none."""
        kept = np.abs(self.raw) < _ABSURD
        known = len(self.predicted) == len(self.raw)
        predicted = self.predicted if known else np.full(len(self.raw), np.nan)
        return Trace(self.raw[kept], predicted[kept])


@dataclass(frozen=True, slots=True)
class Wander:
    """How a tag moved in the record beside its white noise.

    Attributes:
        step: standard deviation of its movement from one sample to the next, in the tag's unit.
        left: share of its variance that the other inputs do not predict.
    """

    step: float
    left: float = 1.0

    @staticmethod
    def of(scale: float, noise: float, tau: float, r2: float) -> Wander:
        """Of a record with this deviation, noise, correlation time in samples and share explained.

        It moves as AR(1) does, and all of the noise at most is movement.
        """
        step = min(scale * float(np.sqrt(2.0 / max(tau, 1.0))), noise * float(np.sqrt(2.0)))
        return Wander(step, 1.0 - min(max(r2, 0.0), 1.0))

    def error(self, level: shape.Level, near: int, after: int) -> float:
        """Standard deviation of the difference of the levels of two spans that adjoin.

        Within a span it moves as a random walk does: the mean of n samples is off its end by n/3 of
        the variance of a step, the end of the straight line through them by 2n/15.
        """
        share = 1.0 / 3.0 if level is shape.mean else 2.0 / 15.0
        return self.step * float(np.sqrt(share * (near + after)))


STILL = Wander(0.0)
"""It moved by noise alone, as far as is known."""


def explain_jump(
    trace: Trace, unit: str, noise: float, scale: float, changes: Iterable[Change],
    trained: tuple[float, float] = (-np.inf, np.inf), wander: Wander = STILL,
) -> Explained:
    """The changes that explain a recent jump; none where it is no such change.

    The jump is the largest difference among the recent values, or the first beyond noise: after a
    change of scale noise itself may jump further.

    Args:
        trace: the latest values.
        unit: of the tag, as `Change.old` writes it; any other text favours none.
        noise: standard deviation of sample-to-sample noise, in that unit.
        scale: standard deviation of the record, in that unit.
        changes: those that are thought of.
        trained: lowest and highest value of the record: what a change explains is back between
            them, and what a plant or an instrument did is seldom.
        wander: how the tag moved in the record, whatever it did in the latest samples.
    """
    trace = trace.usable()
    raw = trace.raw
    if len(raw) < _AFTER + 4:
        return Explained()
    steps = np.abs(np.diff(raw))
    places = {int(np.argmax(steps)), int(np.argmax(steps > _BEYOND_NOISE * noise))}
    known = tuple(changes)
    found = []
    for place in sorted(places):
        jump = jump_at(trace, place + 1, noise, wander)
        if jump is not None:
            after = raw[place + 1 :]
            put_back = [one for one in known if _puts_back(one, after, trained)]
            best = _explained(jump, unit, max(scale, noise), tuple(put_back))
            if not best.changes:
                best = _gain(jump, raw[: place + 1], after, trained, known)
            found.append(replace(best, since=len(after) if best.changes else 0))
    return max(found, key=lambda one: one.ratio, default=Explained())


def _puts_back(change: Change, after: Float64, trained: tuple[float, float]) -> bool:
    """Whether nearly all that came since is where it was trained, without the change."""
    low, high = trained
    margin = _MARGIN * (high - low) if np.isfinite(high - low) else 0.0
    back = (after - change.offset) / change.gain
    return bool(((back >= low - margin) & (back <= high + margin)).mean() >= _BACK)


def _gain(
    jump: Jump, before: Float64, after: Float64, trained: tuple[float, float],
    known: tuple[Change, ...],
) -> Explained:
    """A gain that is none of those known: level and scatter changed by the same factor.

    The level alone tells none, for an instrument may be off by anything: it is the scatter, which
    would be as it was, or any other where the noise grew too.
    """
    if len(after) < _FEWEST_OF_GAIN or not jump.was * jump.now > 0.0:
        return Explained()
    gain = jump.now / jump.was
    if any(one.gain > 0.0 and abs(np.log(one.gain / gain)) < _NEAR_KNOWN for one in known):
        return Explained()  # it was thought of, and something spoke against it
    usual, scatter = shape.scatter(before), shape.scatter(after)
    change = Change("", f"{gain:.2g}", gain, 0.0)
    if abs(np.log(gain)) < np.log(_LEAST_GAIN) or not (
        usual > 0.0 and scatter > 0.0 and _puts_back(change, after, trained)
    ):
        return Explained()
    grown = float(np.log(scatter / usual))
    doubt = 1.25 * float(np.sqrt(0.5 / len(after) + 0.5 / len(before)))
    fits, same = (grown - np.log(gain)) / doubt, grown / doubt
    likely = -0.5 * fits * fits - np.log(doubt)
    noisier = -abs(grown) - np.log(2.0) + 0.5 * np.log(2.0 * np.pi) - _NOISY_TOO
    ratio = float(likely - np.logaddexp(-0.5 * same * same - np.log(doubt), noisier))
    if not ratio > _CLAIMED or abs(fits) > _FITS:
        return Explained()
    return Explained((change,), ratio, jump.was, jump.now)


def _explained(
    jump: Jump, unit: str, scale: float, changes: tuple[Change, ...]
) -> Explained:
    """The best, and those that explain the jump as well."""
    likely = {
        change: jump.likelihood(change)
        + _OWN_UNIT * (change.gain < 0.0 or (bool(unit) and change.old == unit))
        for change in changes
    }
    best = max(likely.values(), default=-np.inf)
    ratio = best - jump.by_chance(scale)
    if not ratio > _CLAIMED:
        return Explained()
    order = sorted(likely, key=lambda change: -likely[change])
    near = tuple(change for change in order if likely[change] > best - _AS_WELL)
    return Explained(near, ratio, jump.was, jump.now)


def jump_at(
    trace: Trace, place: int, noise: float, wander: Wander = STILL
) -> Jump | None:
    """The jump before the sample at `place`; None where too little is known on a side of it."""
    before, after = trace.raw[:place], trace.raw[place : place + _LONGEST]
    if len(before) < 4 or len(after) < _AFTER:
        return None
    near = before[-_LONGEST // 2 :]
    own = min(
        (_levels(level, before, near, after, noise, wander) for level in (shape.mean, shape.edge)),
        key=lambda found: found[2],
    )
    others = _by_others(trace, place, len(near), len(after), wander)
    guides = sorted([own, *others], key=lambda one: one[2])
    was, now, error = guides[0]
    beside = next(((level, doubt) for level, _, doubt in guides[1:]), None)
    usual, scatter = shape.scatter(before), shape.scatter(after)
    if usual <= 0.0 and scatter <= 0.0:  # it rests before and after: only the level tells
        return Jump(was, now, error, 0.0, 10.0, beside)
    doubt = 2.0 * float(np.sqrt(0.5 / len(after) + 0.5 / len(before)))
    usual = usual if usual > 0.0 else max(noise, 1e-300)
    grown = float(np.log(max(scatter, 1e-300) / usual))
    return Jump(was, now, error, grown, doubt, beside)


def _levels(
    level: shape.Level, before: Float64, near: Float64, after: Float64, noise: float,
    wander: Wander,
) -> tuple[float, float, float]:
    """(level before, level after, standard error of their difference while nothing happens).

    The error is that of white noise and of the record's wander, or what such differences were
    among the samples before where these are enough and it was larger: a signal that wanders is not
    where it was, jump or none, and one that rested before the jump may wander after it.
    """
    was, before_error = level(near, end=True)
    now, after_error = level(after, end=False)
    error = float(np.hypot(
        noise * np.hypot(before_error, after_error), wander.error(level, len(near), len(after))
    ))  # fmt: skip
    k, m = len(near), min(len(after), len(before) - len(near) - 4)
    if m >= _AFTER:
        moved = [
            level(before[at : at + m], end=False)[0] - level(before[at - k : at], end=True)[0]
            for at in range(k, len(before) - m + 1)
        ]
        error = max(error, float(np.sqrt(np.mean(np.square(moved)))))
    return was, now, error


def _by_others(
    trace: Trace, place: int, near: int, after: int, wander: Wander
) -> list[tuple[float, float, float]]:
    """The same by what the other inputs say, and how far off it they were before the jump.

    Nothing where they say nothing, or where too little came before to know how far they are right.
    """
    m = min(after, place - near - 4)
    rest = trace.raw[:place] - trace.predicted[:place]
    said = trace.predicted[place : place + after]
    if m < _AFTER or not (np.isfinite(rest).all() and np.isfinite(said).all()):
        return []
    now, left = float(trace.raw[place : place + after].mean()), rest[-near:]
    moved = [
        rest[at : at + m].mean() - rest[at - near : at].mean()
        for at in range(near, place - m + 1)
    ]
    least = float(np.hypot(
        shape.scatter(rest) * np.sqrt(1.0 / near + 1.0 / after),
        np.sqrt(wander.left) * wander.error(shape.mean, near, after),
    ))  # fmt: skip
    error = max(least, float(np.sqrt(np.mean(np.square(moved)))))
    return [(float(left.mean()) + float(said.mean()), now, error)]


def told(found: tuple[Change, ...], unit: str) -> tuple[str, str]:
    """(kind, how it arrives) of what `explain_jump` found for a tag in `unit`.

    A factor of scale is a unit change where it is one between units from the tag's own.
    """
    own = [change for change in found if unit and change.old == unit]
    best = own[0] if own else found[0]
    alike = [
        change for change in found if (change.gain, change.offset) == (best.gain, best.offset)
    ]
    scale = next((change.new for change in alike if not change.old), "")
    kind = "scale change" if scale and not own else "unit change"
    if len(alike) < len(found):
        names = dict.fromkeys(_name(change) for change in found)
        return kind, "in another unit or scale, as " + " or ".join(list(names)[:4])
    if kind == "scale change":
        return kind, f"multiplied by {scale}"
    pairs = (own or alike)[:2]
    return kind, " or ".join(f"in {one.new} instead of {one.old}" for one in pairs)


def _name(change: Change) -> str:
    return f"{change.new} instead of {change.old}" if change.old else f"multiplied by {change.new}"
