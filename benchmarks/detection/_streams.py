"""Streams with known truth: AR(1) processes, and charts folded over them without an engine."""

from __future__ import annotations

import math

import numba
import numpy as np

from agent.core.kernels import DETECTORS
from agent.core.kernels.base import TRANSITION, Detector
from agent.fit.univariate import InputFit
from agent.types import Float64, Int64

SECOND = 1_000_000_000


@numba.njit(cache=True)
def ar1(phi, rows, columns, seed):  # type: ignore[no-untyped-def]
    """float64[rows, columns] of independent AR(1) streams of unit variance."""
    np.random.seed(seed)  # noqa: NPY002 - what numba compiles
    out = np.empty((rows, columns))
    step = np.sqrt(1.0 - phi * phi)
    for column in range(columns):
        x = np.random.randn()  # noqa: NPY002
        for row in range(rows):
            out[row, column] = x
            x = phi * x + step * np.random.randn()  # noqa: NPY002
    return out


def tau_of(phi: float) -> float:
    """Correlation time of an AR(1) stream in samples: -1 / ln phi."""
    return -1.0 / math.log(phi) if phi > 0 else 1.0


def detector(name: str) -> Detector:
    """A detector of the table by its name."""
    return next(d for d in DETECTORS if d.name == name)


def params_of(fit: InputFit, one: Detector) -> np.ndarray:
    """One chart's parameters as the kernel takes them."""
    params = np.zeros(1, one.params)
    for name, value in fit.detectors[one.name].items():
        params[0][name] = value
    return params


def first_flags(fit: InputFit, names: tuple[str, ...], streams: Float64, at: int) -> Int64:
    """Per column of `streams` float64[rows, columns]: rows from `at` to the first flag there.

    Columns in which a flag is up at `at` already are left out; -1 where none comes.
    """
    rows, columns = streams.shape
    z = np.ascontiguousarray(((streams - fit.centre) / fit.scale).T).ravel()
    starts = np.arange(columns + 1, dtype=np.int64) * rows
    arrival = np.tile(np.arange(1, rows + 1, dtype=np.int64) * SECOND, columns)
    quality = np.zeros(len(z), np.uint16)
    first = np.full(columns, np.iinfo(np.int64).max)
    for name in names:
        one = detector(name)
        out = np.zeros(len(z) + 2 * columns, TRANSITION)
        state = np.zeros(columns, one.state)
        params = np.repeat(params_of(fit, one), columns)
        written = one.fold(params, state, starts, (rows + 1) * SECOND, arrival, arrival, z,
                           quality, out)  # fmt: skip
        ups = out[:written][out["up"][:written] == 1]
        place = ups["time_ns"] // SECOND - 1 - at
        np.minimum.at(first, ups["row"], place)
    kept = first[first >= 0]
    return np.where(kept == np.iinfo(np.int64).max, -1, kept)
