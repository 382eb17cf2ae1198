"""Changes of units, scale and sign: what a tag would read after one, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agent.core import shape
from agent.types import Float64

_ABSURD = 1e100  # no reading, and its square would overflow
_AFTER = 6  # samples after a jump that a conversion must explain

CONVERSIONS: tuple[tuple[str, str, float, float], ...] = (
    ("degC", "degF", 1.8, 32.0),
    ("degF", "degC", 1 / 1.8, -32.0 / 1.8),
    ("degC", "K", 1.0, 273.15),
    ("K", "degC", 1.0, -273.15),
    ("bar", "psi", 14.5037738, 0.0),
    ("psi", "bar", 1 / 14.5037738, 0.0),
    ("bar", "kPa", 100.0, 0.0),
    ("kPa", "bar", 0.01, 0.0),
    ("bar", "MPa", 0.1, 0.0),
    ("MPa", "bar", 10.0, 0.0),
    ("m3/h", "l/s", 1 / 3.6, 0.0),
    ("l/s", "m3/h", 3.6, 0.0),
    ("m3/h", "l/min", 1000 / 60, 0.0),
    ("l/min", "m3/h", 60 / 1000, 0.0),
    ("kg/h", "t/h", 0.001, 0.0),
    ("t/h", "kg/h", 1000.0, 0.0),
    ("rpm", "Hz", 1 / 60, 0.0),
    ("Hz", "rpm", 60.0, 0.0),
    ("m", "mm", 1000.0, 0.0),
    ("m", "ft", 3.2808399, 0.0),
)
_FACTORS = (1000.0, 100.0, 10.0, 0.1, 0.01, 0.001, -1.0)


def changes(unit: str) -> Iterator[tuple[tuple[str, str], float, float]]:
    """(name, gain, offset) of every change that a tag in this unit may undergo."""
    for old, new, gain, offset in CONVERSIONS:
        if old == unit:
            yield (old, new), gain, offset
    for factor in _FACTORS:
        yield ("", f"{factor:g}"), factor, 0.0


_ALIKE = 4.0  # times that scatter may differ from what the gain makes of it
_PLAIN = 100.0  # gain from which the scatter alone shows it: no noise grows so much


def misfit(
    was: float, now: float, gain: float, offset: float, error: float, spread: float
) -> float:
    """How far `now` is from gain * was + offset, in units of what may be; above 1: not this change.

    Allowed are the means' error and slow moves of 2 % of the step, both as they look after the
    change: a gain below 1 shrinks them, or else a value that falls to zero would fit any of those.
    `spread` is the scatter after over that before: it grows with the gain and no more. A level so
    near zero that its step says little is judged where the scatter shows a large gain.
    """
    expected = gain * was + offset
    step = abs(expected - was)
    allowed = 3.0 * error * abs(gain) + 0.02 * step * min(abs(gain), 1.0)
    shown = gain >= _PLAIN and _ALIKE * spread >= gain
    if spread > _ALIKE * max(abs(gain), 1.0) or not (step > 4.0 * allowed > 0.0 or shown):
        return np.inf
    return abs(now - expected) / allowed


def explain_jump(raw: Float64, unit: str, noise: float) -> tuple[str, str] | None:
    """(from unit, to unit) or ("", factor) where a recent jump is a linear change of units.

    The jump is the largest difference among the recent values, or the first beyond noise: after a
    change of scale noise itself may jump further. The level after it must be the conversion of the
    level before it within what noise and 2 % of the step allow, and lie outside what the noise
    explains.

    Args:
        raw: float64[n], the latest values in the tag's unit, oldest first, unusable ones included.
        unit: of the tag.
        noise: standard deviation of sample-to-sample noise, in that unit.
    """
    raw = raw[np.abs(raw) < _ABSURD]
    if len(raw) < _AFTER + 4:
        return None
    steps = np.abs(np.diff(raw))
    places = {int(np.argmax(steps)), int(np.argmax(steps > 8.0 * noise))}
    fits = [fit for place in sorted(places) for fit in _fits(raw, unit, noise, place + 1)]
    least, name = min(fits, key=lambda fit: fit[0], default=(np.inf, ("", "")))
    return name if least <= 1.0 else None


def _fits(
    raw: Float64, unit: str, noise: float, place: int
) -> list[tuple[float, tuple[str, str]]]:
    """(misfit, name) of every change of units, were it made before the sample at `place`."""
    before, after = raw[max(0, place - 8) : place], raw[place : place + 16]
    if len(before) < 4 or len(after) < _AFTER:
        return []
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
            for name, gain, offset in changes(unit)
        ]
    return found
