"""Every constant of `agent/core` and `agent/fit` that is said to be measured, found anew.

JSON lines: `name`, `code` (the value in the source), `found`, `on` (what it was found on), and
`error`, the standard error of what was found where it was simulated. Exact ones are computed.

`python benchmarks/detection/constants.py [--only NAME]`, some minutes on one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from agent.core import scan_means, shape
from agent.fit import bootstrap, record, univariate
from agent.types import Float64

K = 0.5  # allowance of the CUSUM charts that are simulated, in long-run deviations
LOG_ARL = 7.0


class Found(NamedTuple):
    """A value found, its standard error (0: exact), and on what."""

    value: float
    error: float
    on: str


def ar1(tau: float, rows: int, columns: int, seed: int) -> Float64:
    """float64[rows, columns] of independent AR(1) series of unit variance."""
    rng = np.random.default_rng(seed)
    phi = float(np.exp(-1.0 / tau))
    steps = np.sqrt(1.0 - phi * phi) * rng.standard_normal((rows, columns))
    steps[0] = rng.standard_normal(columns)
    for row in range(1, rows):
        steps[row] += phi * steps[row - 1]
    return steps


def decorrelated() -> Found:
    """Share of the long-run variance that means of 4 tau show."""
    tau = 100.0
    share = 4.0 * tau * float(record._mean_variance(4.0 * tau, tau)) / record._long_run(tau)
    return Found(share, 0.0, "AR(1), blocks of 4 tau")


def quick() -> Found:
    """The same of 0.8 tau."""
    tau = 100.0
    share = 0.8 * tau * float(record._mean_variance(0.8 * tau, tau)) / record._long_run(tau)
    return Found(share, 0.0, "AR(1), blocks of 0.8 tau")


def freedom() -> Found:
    """Degrees of freedom of the long-run variance, per block of 4 tau."""
    tau, blocks, series = 10.0, 50, 240
    z = ar1(tau, int(4 * tau) * blocks, series, 1)
    told = np.array([record.dynamics(z[:, j]).long_run for j in range(series)])
    each = 2.0 * np.mean(told) ** 2 / np.var(told) / blocks
    return Found(each, each * np.sqrt(2.0 / series), f"{series} AR(1) records of 200 tau")


def tau_error() -> Found:
    """True over estimated correlation time that 19 of 20 records of 500 of it stay above."""
    tau, series = 5.0, 160
    z = ar1(tau, int(500 * tau), series, 2)
    told = np.array([record.dynamics(z[:, j]).tau for j in range(series)]) / tau
    low = float(np.quantile(1.0 / told, 0.05))
    on = f"{series} AR(1) records of 500 tau; true over estimated, one in 20 below"
    return Found(low, 0.02, on)


def overshoot() -> Found:
    """Of a random walk over two levels (Siegmund 1985): -2 zeta(1/2) / sqrt(2 pi)."""
    # zeta(1/2) by its alternating series
    n = np.arange(1, 200_001)
    terms = (-1.0) ** (n + 1) / np.sqrt(n)
    eta = 0.5 * (terms.sum() + terms[:-1].sum())
    return Found(-2.0 * eta / (1.0 - np.sqrt(2.0)) / np.sqrt(2.0 * np.pi), 0.0, "normal steps")


def correlated() -> Found:
    """More overshoot for each unit that the long-run deviation exceeds a block's own."""
    slopes = []
    for seed, phi in enumerate((0.2, 0.3, 0.4)):
        tau = -1.0 / float(np.log(phi))
        long_run = np.sqrt((1.0 + phi) / (1.0 - phi))
        steps = ar1(tau, 3000, 1500, 10 + seed) / long_run
        h = _level_of(steps)
        bare = bootstrap._siegmund(K, LOG_ARL, 0.0)
        slopes.append((bare - h - bootstrap._OVERSHOOT) / (long_run - 1.0))
    return Found(float(np.mean(slopes)), float(np.std(slopes) / np.sqrt(3.0)),
                 "CUSUM of AR(1) block statistics, phi 0.2 to 0.4, k 0.5, ARL e^7")  # fmt: skip


def _level_of(steps: Float64) -> float:
    """The level that a CUSUM passes once in exp(LOG_ARL) steps, begun anew after each."""
    low, high = 1.0, 20.0
    for _ in range(9):
        h = 0.5 * (low + high)
        s, alarms = np.zeros(steps.shape[1]), 0
        for row in steps:
            s = np.maximum(s + row - K, 0.0)
            over = s > h
            alarms += int(over.sum())
            s[over] = 0.0
        if alarms > steps.size * np.exp(-LOG_ARL):
            low = h
        else:
            high = h
    return 0.5 * (low + high)


def scatter() -> Found:
    """Relative standard deviation of bootstrap thresholds from one record."""
    tau, block, rows, series = 5.0, 7, 2500, 16
    z = ar1(tau, rows, series, 3)
    found = []
    for j in range(series):
        sums = np.concatenate([[0.0], np.cumsum(z[:, j] - z[:, j].mean())])
        pool = (sums[block:] - sums[:-block]) / block
        made = bootstrap.resample(pool - pool.mean(), block, np.random.default_rng(j))
        found.append(bootstrap._threshold(made, K, LOG_ARL))
    relative = float(np.std(found, ddof=1) / np.mean(found))
    return Found(relative, relative / np.sqrt(2.0 * series), f"{series} AR(1) records of 500 tau")


def level_block() -> Found:
    """Blocks of the level chart in units of the quick time, where they are 1.1 tau."""
    tau = 100.0
    grid = np.arange(1.0, 400.0)
    shown = grid * record._mean_variance(grid, tau) / record._long_run(tau)
    return Found(1.1 * tau / float(grid[shown >= record.QUICK][0]), 0.0, "AR(1)")


def bulk() -> Found:
    """Rms of Gaussian values without the quarter that is the largest."""
    edge = float(norm.ppf(0.875))
    return Found(float(np.sqrt(1.0 - 2.0 * edge * norm.pdf(edge) / 0.75)), 0.0, "normal values")


def calm() -> Found:
    """Variance of the fading mean of white noise."""
    weights = scan_means.FADES ** np.arange(400)
    return Found(float((weights**2).sum() / weights.sum() ** 2), 0.0, "white noise")


CONSTANTS: dict[str, tuple[float, Callable[[], Found]]] = {
    "fit.record.DECORRELATED": (record.DECORRELATED, decorrelated),
    "fit.record.QUICK": (record.QUICK, quick),
    "fit.record._FREEDOM": (record._FREEDOM, freedom),
    "fit.univariate.TAU_ERROR": (univariate.TAU_ERROR, tau_error),
    "fit.univariate.LEVEL_BLOCK": (univariate.LEVEL_BLOCK, level_block),
    "fit.bootstrap._OVERSHOOT": (bootstrap._OVERSHOOT, overshoot),
    "fit.bootstrap._CORRELATED": (bootstrap._CORRELATED, correlated),
    "fit.bootstrap._SCATTER": (bootstrap._SCATTER, scatter),
    "core.shape._BULK": (shape._BULK, bulk),
    "core.scan_means.CALM": (scan_means.CALM, calm),
}
"""Name -> (value in the code, how it is found)."""


def lines(only: str = "") -> Iterator[dict[str, object]]:
    """One object a constant whose name holds `only`."""
    for name, (code, find) in CONSTANTS.items():
        if only in name:
            found = find()
            yield {
                "table": "constants", "name": name, "code": code, "found": round(found.value, 4),
                "error": round(float(found.error), 4), "on": found.on,
            }  # fmt: skip


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a name")
    for line in lines(parser.parse_args().only):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
