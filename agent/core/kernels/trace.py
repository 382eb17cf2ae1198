"""The trace: what diagnosis looks back on, per input: the last 64 samples, 32 longer means, and the
largest step between two samples of each of these.

It is no detector. It is folded after judgement, so that judgement at time t can fold a copy of one
row up to t and see exactly what had arrived by then, wherever the block was cut.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.core.kernels.base import kernel
from agent.types import Float64, Int64

FINE = 64
COARSE = 32
PER_MEAN = 16
_NAN = float("nan")

STATE = np.dtype(
    [
        ("fine_count", np.int64), ("coarse_count", np.int64), ("sum", np.float64), ("n", np.int64),
        ("leap", np.float64),  # largest step so far of the mean that is being summed
    ]
)


@kernel
def remember(  # type: ignore[no-untyped-def]
    state, fine, coarse, leaps, starts, limit_ns, arrival, value
):
    """Add samples with arrival <= limit; `fine` float64[rows, 64], `coarse`, `leaps` [rows, 32]."""
    for row in range(len(starts) - 1):
        count = state[row]["fine_count"]
        means = state[row]["coarse_count"]
        total = state[row]["sum"]
        n = state[row]["n"]
        leap = state[row]["leap"]
        for j in range(starts[row], starts[row + 1]):
            if arrival[j] > limit_ns:
                break
            if count > 0:
                step = value[j] - fine[row, (count - 1) % 64]
                if abs(step) > abs(leap):
                    leap = step
            fine[row, count % 64] = value[j]
            count += 1
            total += value[j]
            if total != total:
                total = _NAN  # one NaN: which sign and payload a sum has is the compiler's choice
            n += 1
            if n == 16:
                coarse[row, means % 32] = total / 16.0
                leaps[row, means % 32] = leap
                means += 1
                total = 0.0
                n = 0
                leap = 0.0
        state[row]["fine_count"] = count
        state[row]["coarse_count"] = means
        state[row]["sum"] = total
        state[row]["n"] = n
        state[row]["leap"] = leap


def unrolled(ring, count):  # type: ignore[no-untyped-def]
    """A ring float64[size] of which `count` values were ever written, oldest first."""
    size = len(ring)
    if count <= size:
        return ring[:count].copy()
    return np.roll(ring, -(count % size))


def newest(
    ring: Float64, counts: Int64, size: int
) -> tuple[Float64, np.ndarray[Any, np.dtype[np.bool_]]]:
    """The newest `size` values of every ring, oldest first, and which of these places hold one.

    `ring` float64[rows, capacity]; `counts` int64[rows], how many values were ever written.
    """
    place = counts[:, None] + np.arange(-min(size, ring.shape[1]), 0)
    return np.take_along_axis(ring, place % ring.shape[1], axis=1), place >= 0
