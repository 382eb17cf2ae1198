"""Changes of units, scale and sign: what a tag would read after one, and whether it does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

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
