"""Figures in the texts that people read: values of a tag with its unit."""

from __future__ import annotations

import numpy as np

from agent.types import Float64

_LATEST = 8  # samples that a figure is the mean of


def latest(raw: Float64) -> str:
    """The latest usable value."""
    usable = raw[np.isfinite(raw)]
    return f"{usable[-1]:.5g}" if len(usable) else "?"


def beside_others(raw: Float64, unit: str, said: float, off: float) -> str:
    """What a tag reads, what the other inputs say, and how sure that is; empty if not known.

    Args:
        raw: float64[n], its latest values.
        unit: of it.
        said: what the others say that it reads.
        off: how many standard deviations of what they leave open it is off.
    """
    usable = raw[np.isfinite(raw)][-_LATEST:]
    if not (np.isfinite(said) and len(usable)):
        return ""
    unit = unit and f" {unit}"
    reads = float(np.mean(usable))
    return f": it reads {reads:.5g}{unit}, they say {said:.5g}{unit} ({abs(off):.0f} sd apart)"


def impossible(raw: Float64, unit: str, physical: tuple[float, float] | None) -> str:
    """The latest value outside the physical range, and that range."""
    unit = unit and f" {unit}"
    low, high = physical or (-np.inf, np.inf)
    usable = raw[np.isfinite(raw)]
    outside = usable[(usable < low) | (usable > high)][-1:]
    value = f"{outside[0]:.5g}{unit}" if len(outside) else f"a value{unit and f' in{unit}'}"
    given = f": its physical range is {low:.5g} to {high:.5g}{unit}" if physical else ""
    return f"{value}, which can not be{given}"
