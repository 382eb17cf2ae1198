"""Learn how much the noise of each input goes along with the others'; see `core.activity`."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent.core.activity import BLOCK, sizes
from agent.fit.joint_moments import fold_bounds, moments_of
from agent.fit.joint_relations import relations
from agent.types import Float64

FEWEST = 64
"""Blocks without a missing value that a record must have."""


def fit_activity(z: Float64) -> dict[str, Any] | None:
    """The document of a mode's noise, None where the record tells too little.

    Args:
        z: float64[n, d], scans at a fixed interval, standardised, NaN where missing.
    """
    starts = range(0, len(z) - BLOCK, BLOCK)
    found = np.array([sizes(z[start : start + BLOCK + 1]) for start in starts])
    found = found[np.isfinite(found).all(axis=1)] if len(found) else np.zeros((0, z.shape[1]))
    if len(found) < FEWEST or z.shape[1] < 2:
        return None
    middle, scale = found.mean(axis=0), found.std(axis=0)
    moves = scale > 1e-9 * np.maximum(middle, 1e-9)
    if moves.sum() < 2:
        return None
    standard = (found[:, moves] - middle[moves]) / scale[moves]
    told = [
        {"r2": 0.0, "intercept": 0.0, "coefficients": [0.0] * z.shape[1], "spread": 0.0}
        for _ in range(z.shape[1])
    ]
    columns = np.flatnonzero(moves)
    for column, one in zip(
        columns, relations(moments_of(standard, fold_bounds(len(standard)))), strict=True
    ):
        slopes = np.zeros(z.shape[1])
        slopes[columns] = one.coefficients * scale[column] / scale[columns]
        intercept = middle[column] + scale[column] * one.intercept - float(slopes @ middle)
        told[column] = {
            "r2": one.r2, "intercept": float(intercept), "coefficients": slopes.tolist(),
            "spread": one.residual_sd * float(scale[column]),
        }  # fmt: skip
    return {"relations": told}
