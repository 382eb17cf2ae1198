"""The physics of a cooled stirred reactor with feed, jacket, pump and a few utilities.

A first-order exothermic reaction A -> B in a vessel of about 1.8 m3, cooled by a jacket. A PI
controller moves the coolant valve to hold the temperature, another the product flow to hold the
level. Sixteen independent disturbances (Ornstein-Uhlenbeck processes of unit variance, discretised
exactly) drive it: feed composition, header pressures, weather, catalyst activity, fouling, and slow
moves of the operating point. Balances of mass, species and energy are integrated by explicit Euler
in steps of at most 2 s of plant time; the shortest time constant is 8 s.

One seed gives one history: bulk history and step-by-step serving run the same kernel and draw the
same random numbers in the same order, however the rows are cut into calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from simulators.tags import NAMES, TAGS

Float64 = NDArray[np.float64]

MAX_STEP_S = 2.0  # plant seconds, a quarter of the shortest time constant
WARM_UP_S = 7200.0  # plant seconds run and thrown away, so that a history begins settled

_DISTURBANCES = (
    # name, correlation time in plant seconds; None is `PlantSettings.moves_s`
    ("feed rate set point", None),
    ("temperature set point", None),
    ("level set point", None),
    ("feed flow turbulence", 24.0),
    ("feed composition", 60.0),
    ("steam header", 50.0),
    ("coolant header", 30.0),
    ("ambient temperature", 160.0),
    ("humidity", 100.0),
    ("instrument air", 26.0),
    ("agitator load", 16.0),
    ("fouling", 80.0),
    ("vent valve", 28.0),
    ("product back pressure", 24.0),
    ("catalyst activity", 60.0),
    ("mains voltage", 12.0),
)
DISTURBANCES = tuple(name for name, _ in _DISTURBANCES)
N_DISTURBANCES = len(DISTURBANCES)
N_TAGS = len(NAMES)
_START = np.array(
    # mol/l A, K, K, m, K feed, K supply, m3/h coolant, pump fraction, bar, K product,
    # integral of temperature loop %, integral of level loop m3/h, valve %, product flow m3/h
    [0.30, 350.0, 338.0, 1.8, 313.0, 293.0, 5.3, 1.0, 1.2, 330.0, 45.0, 6.0, 45.0, 6.0]
)


@dataclass(frozen=True, slots=True)
class PlantSettings:
    """How the plant is run.

    Attributes:
        seed: everything random follows from it.
        interval_s: wall seconds between two rows.
        speed: plant seconds per wall second, so a row is `interval_s * speed` of plant time.
        moves_s: correlation time of the operating-point moves, in plant seconds.
    """

    seed: int = 7
    interval_s: float = 0.1
    speed: float = 40.0
    moves_s: float = 300.0

    @property
    def row_s(self) -> float:
        """Plant seconds from one row to the next."""
        return self.interval_s * self.speed


@numba.njit(cache=True, error_model="numpy")
def _derive(x: Float64, d: Float64, row: Float64, yield_out: Float64, index: int) -> None:
    """True (noise-free) readings of every tag, in the order of `TAGS`, from the state."""
    celsius = x[1] - 273.15
    feed = 6.0 * x[7] * (1.0 + 0.012 * d[3])
    air = 6.5 + 0.05 * d[9]
    feed_a = 2.0 * (1.0 + 0.012 * d[4])
    density = 985.0 - 14.0 * (x[0] - 0.3) - 0.6 * (celsius - 76.85)
    viscosity = 8.0 + 5.0 * (x[0] - 0.3) - 0.10 * (celsius - 76.85) + 0.03 * d[11]
    row[0] = celsius
    row[1] = x[8]
    row[2] = x[3] / 3.0 * 100.0
    row[3] = x[0]
    row[4] = x[5] - 273.15 + 0.4
    row[5] = x[2] - 273.15
    row[6] = x[12] + 0.4 * (air - 6.5)
    row[7] = 3.2 * (0.4 + 0.6 * x[3] / 1.8) * (viscosity / 8.0) * (1.0 + 0.012 * d[10])
    row[8] = x[13]
    row[9] = x[9] - 273.15
    row[10] = feed
    row[11] = x[4] - 273.15
    row[12] = x[6]
    row[13] = 1450.0 * x[7]
    row[14] = 4.0 + 7.5 * x[7] ** 3 * (1.0 + 0.01 * d[3]) * (1.0 - 0.02 * d[15])
    row[15] = 5.2 * x[7] ** 2 - 0.035 * feed * feed + 0.05 * x[8]
    row[16] = 4.0 + 0.10 * d[5]
    row[17] = x[5] - 273.15
    row[18] = feed_a
    row[19] = density
    row[20] = viscosity
    row[21] = air
    row[22] = 15.0 + 2.0 * d[7]
    row[23] = 60.0 + 6.0 * d[8] - 3.0 * d[7]
    conversion = (feed_a - x[0]) / feed_a
    yield_out[index] = 100.0 * conversion * (0.975 - 0.002 * (celsius - 76.85))


@numba.njit(cache=True, error_model="numpy")
def _advance(x: Float64, d: Float64, h: float) -> None:
    """One Euler step of `h` plant seconds."""
    volume = x[3]  # m3: the cross-section is 1 m2
    feed = 6.0 * x[7] * (1.0 + 0.012 * d[3]) / 3600.0
    outflow = x[13] / 3600.0
    rate = 5.2e-3 * (1.0 + 0.02 * d[14]) * math.exp(5000.0 * (1.0 / 350.0 - 1.0 / x[1])) * x[0]
    transfer = 5.4e-3 * (1.0 + 0.02 * d[11]) * (x[1] - x[2])  # K m3/s
    coolant = x[6] / 3600.0
    feed_a = 2.0 * (1.0 + 0.012 * d[4])
    # controllers: temperature -> coolant valve, level -> product flow
    error = x[1] - (350.0 + 0.15 * d[1])
    x[10] = min(max(x[10] + h * 6.0 / 150.0 * error, 5.0), 95.0)
    valve_set = min(max(x[10] + 6.0 * error, 0.0), 100.0)
    above = x[3] - 1.8 * (1.0 + 0.003 * d[2])
    x[11] = min(max(x[11] + h * 0.10 * above, 0.0), 15.0)
    flow_set = min(max(x[11] + 60.0 * above, 0.0), 18.0) * (1.0 + 0.006 * d[13])
    # balances
    x[0] += h * (feed / volume * (feed_a - x[0]) - rate)
    x[1] += h * (feed / volume * (x[4] - x[1]) + 45.0 * rate - transfer / volume)
    x[2] += h * (coolant * (x[5] + 0.4 - x[2]) + transfer) / 0.3
    x[3] += h * (feed - outflow)
    # first-order lags
    x[4] += h / 40.0 * (313.0 + 1.1 * d[5] + 0.3 * d[7] - x[4])
    x[5] += h / 40.0 * (293.0 + 0.3 * d[7] - 0.1 * d[8] - x[5])
    x[6] += h / 8.0 * (5.3 * x[12] / 45.0 * (1.0 + 0.02 * d[6]) - x[6])
    x[7] += h / 12.0 * (1.0 + 0.008 * d[0] + 0.004 * d[15] - x[7])
    x[8] += h / 16.0 * (1.2 + 0.02 * (x[1] - 350.0) + 0.5 * (x[3] - 1.8) + 0.02 * d[12] - x[8])
    x[9] += h / 30.0 * (x[1] - 0.35 * (x[1] - x[5]) - x[9])
    x[12] += h / 10.0 * (valve_set - x[12])
    x[13] += h / 10.0 * (flow_set - x[13])


@numba.njit(cache=True, error_model="numpy")
def _simulate(
    x: Float64, d: Float64, keep: Float64, kick: Float64, h: float, normals: Float64, rows: Float64,
    yields: Float64,
) -> None:  # fmt: skip
    """Fill `rows` [n, tags] and `yields` [n]; `normals` is [n, sub-steps, disturbances]."""
    for i in range(rows.shape[0]):
        for s in range(normals.shape[1]):
            for j in range(d.shape[0]):
                d[j] = keep[j] * d[j] + kick[j] * normals[i, s, j]
            _advance(x, d, h)
        _derive(x, d, rows[i], yields, i)


class Plant:
    """The running process: truth, then what the instruments would show.

    Args:
        settings: seed, interval, speed and operating-point moves.
    """

    def __init__(self, settings: PlantSettings | None = None) -> None:
        self.settings = settings or PlantSettings()
        process, instruments = np.random.SeedSequence(self.settings.seed).spawn(2)
        self._process = np.random.default_rng(process)
        self._instruments = np.random.default_rng(instruments)
        self._substeps = max(1, math.ceil(self.settings.row_s / MAX_STEP_S))
        self._step_s = self.settings.row_s / self._substeps
        times = np.array([self.settings.moves_s if t is None else t for _, t in _DISTURBANCES])
        self._keep = np.exp(-self._step_s / times)
        self._kick = np.sqrt(1.0 - self._keep**2)
        self._means = np.zeros(N_DISTURBANCES)
        self._state = _START.copy()
        self._disturbance = self._process.standard_normal(N_DISTURBANCES)
        self._truth(max(1, round(WARM_UP_S / self.settings.row_s)))

    def _truth(self, n: int) -> tuple[Float64, Float64]:
        normals = self._process.standard_normal((n, self._substeps, N_DISTURBANCES))
        normals += self._means * (1.0 - self._keep) / self._kick
        rows = np.empty((n, N_TAGS))
        yields = np.empty(n)
        _simulate(
            self._state,
            self._disturbance,
            self._keep,
            self._kick,
            self._step_s,
            normals,
            rows,
            yields,
        )
        return rows, yields

    def drive(self, disturbance: str, size: float) -> None:
        """From now on a disturbance wanders about `size` of its standard deviations; 0: as ever."""
        self._means[DISTURBANCES.index(disturbance)] = size

    def advance(self, n: int = 1) -> tuple[Float64, Float64]:
        """Run `n` rows on.

        Returns:
            Measured values float64[n, tags], each in its tag's unit, with measurement noise and
            the instrument's resolution; and the true yield float64[n] in percent.
        """
        rows, yields = self._truth(n)
        rows += self._instruments.standard_normal(rows.shape) * _NOISE
        return quantise(rows), yields


LAB_NOISE = 0.06  # percent yield, standard deviation of one laboratory analysis


class Laboratory:
    """Analyses one row in `every`; the other rows have no label.

    Args:
        seed: of the analyses' errors.
        every: rows between two analyses.
    """

    def __init__(self, seed: int, every: int) -> None:
        self._random = np.random.default_rng([seed, 1])
        self._every = every
        self._row = 0

    def analyse(self, yields: Float64) -> Float64:
        """Laboratory yields float64[n] in percent for the true `yields` [n]; NaN where none."""
        rows = np.arange(self._row, self._row + len(yields))
        self._row += len(yields)
        taken = np.flatnonzero(rows % self._every == 0)
        lab = np.full(len(yields), np.nan)
        error = LAB_NOISE * self._random.standard_normal(len(taken))
        lab[taken] = np.round(yields[taken] + error, 2)
        return lab


_NOISE = np.array([tag.noise for tag in TAGS])
_RESOLUTION = np.array([tag.resolution for tag in TAGS])
_LOW = np.array([tag.physical[0] for tag in TAGS])
_HIGH = np.array([tag.physical[1] for tag in TAGS])


def quantise(rows: Float64) -> Float64:
    """Round `rows` [n, tags] to each instrument's resolution and clamp to what it can show."""
    rounded = np.round(np.rint(rows / _RESOLUTION) * _RESOLUTION, 6)
    return np.asarray(np.clip(rounded, _LOW, _HIGH))
