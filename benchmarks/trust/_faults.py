"""Nineteen kinds of faults put into recorded data, and which causes are right for each.

Pure functions of one column from the fault's onset on. `sd` is the standard deviation of the
training record's values, `noise` that of its first differences over sqrt 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from agent.types import Float64

LAG = 20
SMALL_SD = 0.5
"""A fault that moves the values by less than this (rms, in sd) is at the edge of what shows."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a held-back part, float64[n], with the onset's row and what training had."""

    values: Float64
    at: int
    sd: float
    noise: float
    centre: float

    @property
    def after(self) -> Float64:
        """float64[k]: the true values from the onset on."""
        return self.values[self.at :]


Change = Callable[[Column, np.random.Generator], Float64]

SENSOR = frozenset({"sensor"})
INTEGRATION = frozenset({"integration"})
EITHER = SENSOR | INTEGRATION


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind: what it does, which causes are right, and why.

    `relation` says that without others that predict the tag nobody can tell a sensor from the
    process: the design then asks for ``unknown (sensor or process)``, which is counted apart.
    """

    name: str
    change: Change
    causes: frozenset[str]
    why: str
    relation: bool = False


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))


def _stuck(c: Column, _: np.random.Generator) -> Float64:
    return np.full(len(c.after), c.after[0])


def _drift(c: Column, rng: np.random.Generator) -> Float64:
    ramp = np.minimum((np.arange(len(c.after)) + 1.0) / 300.0, 1.0)
    return c.after + 3.0 * c.sd * _sign(rng) * ramp


def _bias(size: float) -> Change:
    return lambda c, rng: c.after + size * c.sd * _sign(rng)


def _noise(c: Column, rng: np.random.Generator) -> Float64:
    return c.after + rng.normal(0.0, np.sqrt(8.0) * c.noise, len(c.after))


def _affine(factor: float, offset: float = 0.0) -> Change:
    return lambda c, _: c.after * factor + offset


def _saturation(c: Column, _: np.random.Generator) -> Float64:
    return np.minimum(c.after, np.nanmedian(c.after))


def _quantisation(c: Column, _: np.random.Generator) -> Float64:
    step = 0.5 * c.sd
    return np.round((c.after - c.centre) / step) * step + c.centre


def _lag(c: Column, _: np.random.Generator) -> Float64:
    return c.values[c.at - LAG : len(c.values) - LAG]


def _dropout(c: Column, _: np.random.Generator) -> Float64:
    return np.full(len(c.after), np.nan)


def _swap(c: Column, _: np.random.Generator) -> Float64:
    return c.after  # the caller exchanges it with another column


_UNIT = "what comes in another unit was configured so: the design's first cause"
KINDS: tuple[Kind, ...] = (
    Kind("stuck", _stuck, SENSOR, "the design: stuck is an instrument's"),
    Kind("drift", _drift, SENSOR, "3 sd within 300 samples: an instrument that leaves the others",
         relation=True),
    Kind("bias 1 sd", _bias(1.0), SENSOR, "an instrument that left the others", relation=True),
    Kind("bias 3 sd", _bias(3.0), SENSOR, "an instrument that left the others", relation=True),
    Kind("gain 5 %", _affine(1.05), EITHER, "a span error of the transmitter or of its scaling: "
         "values alone can not tell which", relation=True),
    Kind("noise x3", _noise, SENSOR, "the design: noisy alone is an instrument's"),
    Kind("degC to degF", _affine(1.8, 32.0), INTEGRATION, _UNIT),
    Kind("degC to K", _affine(1.0, 273.15), INTEGRATION, _UNIT),
    Kind("bar to psi", _affine(14.503773773), INTEGRATION, _UNIT),
    Kind("bar to kPa", _affine(100.0), INTEGRATION, _UNIT),
    Kind("m3/h to l/min", _affine(1000.0 / 60.0), INTEGRATION, _UNIT),
    Kind("x0.001", _affine(0.001), INTEGRATION, "a scale: the design's first cause"),
    Kind("x100", _affine(100.0), INTEGRATION, "a scale: the design's first cause"),
    Kind("sign", _affine(-1.0), INTEGRATION, "a sign: the design's first cause"),
    Kind("swap", _swap, INTEGRATION, "addresses were exchanged; either tag may be named"),
    Kind("saturation", _saturation, SENSOR, "a transmitter at the end of its range, reached in "
         "half of the time"),
    Kind("quantisation", _quantisation, EITHER, "steps of 0.5 sd: the design lists it under "
         "integration, a transmitter's resolution is as likely"),
    Kind("lag of 20", _lag, EITHER, "old values with new stamps are a gateway's; the design calls "
         "one tag that left its relation a sensor's: values alone can not tell"),
    Kind("dropout", _dropout, EITHER, "no value comes: the link's or the instrument's"),
)  # fmt: skip
"""`bar to kPa` and `x100` are one factor on different tags and places: the order names both."""

SWAP = "swap"


def is_there(true: Float64, faulty: Float64, sd: float) -> bool:
    """Whether the fault changes anything that can be seen: one value in twenty, by 0.001 sd."""
    differs = ~np.isclose(true, faulty, rtol=0.0, atol=1e-3 * sd, equal_nan=True)
    return bool(np.mean(differs) >= 0.05)


def is_small(true: Float64, faulty: Float64, sd: float) -> bool:
    """Whether it moves the values by less than `SMALL_SD` in the root mean square."""
    difference = (faulty - true)[np.isfinite(faulty) & np.isfinite(true)]
    return bool(len(difference)) and float(np.sqrt(np.mean(difference**2))) < SMALL_SD * sd


def predicted(train: Float64, column: int) -> float:
    """R2 of a column by all others: ridge, fitted on the first half of rows, scored on the rest.

    Args:
        train: float64[n, d], NaN where missing; rows with any are left out.
        column: which.
    """
    rows = train[np.isfinite(train).all(axis=1)]
    spread = rows.std(axis=0)
    others = [i for i in range(rows.shape[1]) if i != column and spread[i] > 0.0]
    if not others or not spread[column] > 0.0 or len(rows) < 4 * len(others):
        return 0.0
    scaled = (rows - rows.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
    x, y = scaled[:, others], scaled[:, column]
    half = len(rows) // 2
    gram = x[:half].T @ x[:half] + 1e-3 * half * np.eye(len(others))
    weights = np.linalg.solve(gram, x[:half].T @ y[:half])
    left = y[half:] - x[half:] @ weights
    variance = float(np.var(y[half:]))
    return 1.0 - float(np.mean(left**2)) / variance if variance > 0.0 else 0.0
