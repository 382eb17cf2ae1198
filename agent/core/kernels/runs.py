"""Runs: what charts of single samples share, the look at many at once and the flag with a hold.

Nearly always nothing is off, so a chart without a flag looks at `RUN` samples together, without
branches, and goes sample by sample only where one of them is. Nobody can tell from what is said.
"""

from __future__ import annotations

from agent.core.kernels.base import kernel
from agent.core.kernels.gaps import RUN

LEAST = 8
"""Fewer are sooner looked at one by one."""


@kernel
def calm_until(value, at, stop, order, middle, sign, limit):  # type: ignore[no-untyped-def]
    """Where the runs from `at` on end in which sign * |d| < limit for every sample.

    d, by `order`: 0: value - middle; 1: value - the one before; 2: the one before - the mean of its
    neighbours. `at` is at least `order`. `sign` -1 asks for |d| > -limit.
    """
    while stop - at >= LEAST:
        size = min(RUN, stop - at)
        part = value[at - order : at + size]
        found = 0
        if order == 0:
            for i in range(size):
                found += sign * abs(part[i] - middle) >= limit
        elif order == 1:
            for i in range(size):
                found += sign * abs(part[i + 1] - part[i]) >= limit
        else:
            for i in range(size):
                found += sign * abs(part[i + 1] - (part[i + 2] + part[i]) * 0.5) >= limit
        if found > 0:
            break
        at += size
    return at


@kernel
def held(active, quiet, hit, hold):  # type: ignore[no-untyped-def]
    """(active, quiet) after a sample: a hit raises the flag, `hold` in a row without clear it.

    `quiet` counts samples without a hit while the flag is up.
    """
    if hit:
        return 1, 0
    if active == 1:
        quiet += 1
        if quiet >= hold:
            active = 0
    return active, quiet
