"""Figures in the texts that people read: values with units, times, and how sure something is."""

from __future__ import annotations

import numpy as np

from agent.types import Float64

_LATEST = 8  # samples that a figure is the mean of
_SURE = 1e6  # odds that are not told any more exactly
_IN_WHOLE = 99.5  # ratios from here on are told in whole numbers
_IN_WIDTHS = 9.95  # what is beyond a range by more of its widths is not told in percent


def latest(raw: Float64) -> str:
    """The latest usable value."""
    usable = raw[np.isfinite(raw)]
    return f"{usable[-1]:.5g}" if len(usable) else "?"


def beside_others(raw: Float64, unit: str, said: float, off: float, share: float = 0.0) -> str:
    """What a tag reads, what the other inputs say, and how sure that is; empty if not known.

    Args:
        raw: float64[n], its latest values.
        unit: of it.
        said: what the others say that it reads.
        off: how many standard deviations of what they leave open it is off.
        share: its share of how far the scans are off; 0 where that decided nothing.
    """
    usable = raw[np.isfinite(raw)][-_LATEST:]
    if not (np.isfinite(said) and len(usable)):
        return ""
    unit = unit and f" {unit}"
    reads, apart = float(np.mean(usable)), abs(off)
    part = f", {100.0 * share:.0f} % of all that is off" if share > 0.0 else ""
    return f": it reads {reads:.5g}{unit}, they say {said:.5g}{unit} ({apart:.0f} sd apart{part})"


def beside_training(recent: Float64, unit: str, centre: float, scale: float) -> str:
    """What a tag reads, and where it was trained; empty if nothing is known.

    Args:
        recent: float64[n], its latest standardised values.
        unit: of the tag.
        centre: of training, in that unit.
        scale: standard deviation of training, in that unit.
    """
    usable = recent[np.isfinite(recent)][-_LATEST:]
    if not len(usable):
        return ""
    unit, off = unit and f" {unit}", float(np.mean(usable))
    reads = off * scale + centre
    return f": it reads {reads:.5g}{unit}, in training {centre:.5g}{unit} ({abs(off):.1f} sd apart)"


def times(now: float, usual: float) -> str:
    """How many times something is what it was: " (3.2 times)"; empty if that says nothing."""
    ratio = now / usual if usual > 0.0 else np.inf
    return f" ({many(ratio, 2)} times)" if 0.0 < ratio < _SURE else ""


def many(ratio: float, digits: int = 3) -> str:
    """A ratio as people write it, never with an exponent: 4.13, 1,960, over 1,000,000."""
    if ratio < _IN_WHOLE:
        return f"{ratio:.{digits}g}"
    return f"{ratio:,.0f}" if ratio < _SURE else f"over {_SURE:,.0f}"


def of_width(beyond: float, width: float) -> str:
    """How far beyond a range a value is: in percent of its width, or in widths where it is far."""
    ratio = beyond / width
    return f"{100.0 * ratio:.3g} % of" if ratio < _IN_WIDTHS else f"{many(ratio)} times"


def jumped(was: float, now: float, unit: str, log_ratio: float) -> str:
    """What arrives, what was to be expected, and how sure it is that another unit explains it."""
    unit = unit and f" {unit}"
    return (
        f": it reads {now:.5g} where {was:.5g}{unit} was expected; a change of unit or scale is "
        f"{odds(log_ratio)} than a move of the plant"
    )


def farthest(recent: Float64, unit: str, centre: float, scale: float) -> str:
    """The sample that stands off most, and where the others are; empty if nothing is known.

    Arguments as `beside_training`.
    """
    usable = recent[np.isfinite(recent)]
    if not len(usable):
        return ""
    unit, middle = unit and f" {unit}", float(np.median(usable))
    far = float(usable[np.argmax(np.abs(usable - middle))]) * scale + centre
    rest = middle * scale + centre
    return f": the farthest reads {far:.5g}{unit}, the rest about {rest:.5g}{unit}"


def give_or_take(size: float, error: float, unit: str) -> str:
    """A size and its standard error: "3.1 +- 0.4 degC"."""
    about = f" +- {error:.2g}" if error > 0.0 else ""
    return f"{abs(size):.3g}{about} {unit}".rstrip()


def beside_set_point(reads: float, set_point: float, unit: str) -> str:
    """What a controlled measurement reads, and what it should; empty where that is not known."""
    unit = unit and f" {unit}"
    if not np.isfinite(set_point):
        return ""
    return f": it reads {reads:.5g}{unit}, its set point is {set_point:.5g}{unit}"


def likelier(log_ratio: float) -> str:
    """How sure an explanation is beside all others; empty where no such ratio decided."""
    return f" ({odds(log_ratio)} than any other cause)" if log_ratio > 0.0 else ""


def odds(log_ratio: float) -> str:
    """How much likelier one explanation is, from the log of the likelihood ratio."""
    told = float(f"{np.exp(min(log_ratio, np.log(10.0 * _SURE))):.2g}")
    number = f"{min(told, _SURE):,.0f}" if told >= 10.0 else f"{told:.2g}"
    return f"{'more than ' * (told > _SURE)}{number} times likelier"


def clock(time_ns: int) -> str:
    """An instant of engine time as people read it, in UTC."""
    return f"{np.datetime64(time_ns // 1_000_000_000, 's')}Z"


def impossible(raw: Float64, unit: str, physical: tuple[float, float] | None) -> str:
    """The latest value outside the physical range, and that range."""
    unit = unit and f" {unit}"
    low, high = physical or (-np.inf, np.inf)
    usable = raw[np.isfinite(raw)]
    outside = usable[(usable < low) | (usable > high)][-1:]
    value = f"{outside[0]:.5g}{unit}" if len(outside) else f"a value{unit and f' in{unit}'}"
    given = f": its physical range is {low:.5g} to {high:.5g}{unit}" if physical else ""
    return f"{value}, which can not be{given}"
