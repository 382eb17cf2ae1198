"""Activity: noise of one input that goes along with the others' as in training is no fault.

What a plant does (load changes, a season of rough running) spans noise of all its inputs by factors
of 2 to 5: the size of one's noise is to be judged at its operating point, of which the sizes of its
companions' noise are the best measure. A size is the fourth root of the variance of `BLOCK` first
differences, which is nearly normal (Wilson & Hilferty 1931), as in the chart `noise`. Each is
regressed on the others (`fit.activity`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.types import Float64

BLOCK = 32
"""Differences whose variance is a size."""

EXPLAINS = 0.5
"""Cross-validated R2 from which the others' noise says enough of an input's."""

NEAR = 3.0
"""Standard deviations of what the others leave open, within which it goes along with them."""


def sizes(values: Float64) -> Float64:
    """Size of noise of each column of float64[BLOCK + 1, d]; not a number where one is missing."""
    differences = np.diff(values, axis=0)
    moved = differences.mean(axis=0)
    spread = np.maximum((differences * differences).mean(axis=0) - moved * moved, 0.0)
    found: Float64 = np.sqrt(np.sqrt(spread))
    return found


def goes_along(document: Mapping[str, Any] | None, column: int, latest: Sequence[Float64]) -> bool:
    """Whether the noise of an input is what its companions' noise lets expect.

    Args:
        document: of `fit.activity`, None where nothing was learnt.
        column: the input's.
        latest: of each input its latest values, standardised, oldest first.
    """
    if document is None:
        return False
    relation = document["relations"][column]
    if relation["r2"] < EXPLAINS or any(len(values) <= BLOCK for values in latest):
        return False
    found = sizes(np.column_stack([values[-BLOCK - 1 :] for values in latest]))
    expected = relation["intercept"] + float(np.dot(relation["coefficients"], found))
    near = NEAR * float(relation["spread"])
    return bool(abs(float(found[column]) - expected) <= near)
