"""How new a scan is to a model, as one number: what the expected loss of its prediction rests on.

Within the trained ranges it is the scan's distance from the centre of training over the farthest
allowed, by the joint charts; of a model without these, the root mean square of its standardised
inputs. What an input is beyond its range is added, in standard deviations. `fit` and service take
it from here, so a bin of the expected loss means the same in both.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.types import Float64


def novelty_of(
    z: Float64, within: Float64, known: np.ndarray[Any, Any], far: Float64, *, jointly: bool
) -> Float64:
    """float64[m]: of m scans, NaN where an input of a scan is not known.

    Args:
        z: float64[m, d], standardised.
        within: float64[m, d], the same taken to the trained ranges.
        known: uint8[m, d], 1 where an input had a usable value.
        far: float64[m], distance by the joint charts over the farthest allowed, NaN: not known.
        jointly: whether there are any.
    """
    novelty = far.copy()
    if not jointly:
        square = np.zeros(len(z))
        for column in range(z.shape[1]):  # one after another: the same bits on every machine
            square += within[:, column] * within[:, column]
        whole = (known == 1).all(axis=1) & bool(z.shape[1])
        novelty = np.where(whole, np.sqrt(square / max(z.shape[1], 1)), np.nan)
    if z.shape[1]:
        novelty = novelty + np.where(known == 1, np.abs(z - within), 0.0).max(axis=1)
    return novelty
