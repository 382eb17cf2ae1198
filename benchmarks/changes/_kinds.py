"""What may change upstream that no protocol shows, and what a plant does by itself, as edits.

Each kind takes a run (a plant, its values without the change, the row of the onset) and gives the
samples that arrive, and the tags that it touches; None where it can not touch this plant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from _plant import EVERY, NAMES, SENSORS, Plant, Told, ar1, told

from agent.types import Float64

Made = tuple[Told, tuple[str, ...]] | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run: `exact` float64[rows, 10] before any source rounds it, changed from `onset` on."""

    plant: Plant
    exact: Float64
    onset: int
    rng: np.random.Generator

    @property
    def values(self) -> Float64:
        """As the sources serve it without the change."""
        return self.plant.shown(self.exact)

    def one(self, names: tuple[str, ...] = NAMES) -> int:
        """The column of one of these tags."""
        return NAMES.index(str(self.rng.choice(names)))


def _whole(values: Float64, *columns: int) -> Made:
    return told(values), tuple(NAMES[column] for column in columns)


_UNITS: Mapping[str, tuple[tuple[float, float], ...]] = {
    "degC": ((1.8, 32.0), (1.0, 273.15)),
    "bar": ((14.5037738, 0.0), (100.0, 0.0), (0.1, 0.0), (1000.0, 0.0)),
    "m3/h": ((1000.0 / 60.0, 0.0), (1.0 / 3.6, 0.0), (4.40286754, 0.0)),
    "%": ((0.01, 0.0),), "fraction": ((100.0, 0.0),),
}  # fmt: skip


def _digits(run: Run, column: int, values: Float64) -> Float64:
    """The converted values, with so many digits that none of the old ones is lost."""
    if SENSORS[column].name in run.plant.fine:
        return values
    size = np.abs(values).mean() / np.abs(run.exact[:, column]).mean()
    return np.round(values, max(SENSORS[column].decimals - int(np.floor(np.log10(size))), 0))


def _converted(run: Run, column: int, factor: float, offset: float) -> Made:
    values = run.values
    changed = run.exact[run.onset :, column] * factor + offset
    values[run.onset :, column] = _digits(run, column, changed)
    return _whole(values, column)


def unit(run: Run) -> Made:
    """A tag in another unit."""
    column = run.one(tuple(one.name for one in SENSORS if one.unit in _UNITS))
    choices = _UNITS[SENSORS[column].unit]
    return _converted(run, column, *choices[int(run.rng.integers(len(choices)))])


def scale(run: Run) -> Made:
    """A power of ten."""
    return _converted(run, run.one(), float(run.rng.choice([0.001, 0.01, 0.1, 10.0, 100.0])), 0.0)


def sign(run: Run) -> Made:
    """The sign."""
    return _converted(run, run.one(), -1.0, 0.0)


def gain(run: Run) -> Made:
    """A span entered anew behind what rounds: a gain that is no unit's."""
    factor = float(run.rng.choice([0.5, 2.0, 0.8, 1.25, 4.0, 0.25, 1.6]))
    column = run.one(tuple(name for name in NAMES if name not in run.plant.fine))
    values = run.values
    values[run.onset :, column] *= factor
    return _whole(values, column)


def offset(run: Run) -> Made:
    """Kelvin for degrees and back; gauge for absolute pressure behind what rounds."""
    column = run.one(("feed_temp", "bed_temp", "jacket_temp", "head", "suction"))
    if SENSORS[column].unit == "degC":
        return _converted(run, column, 1.0, 273.15 * float(run.rng.choice([-1.0, 1.0])))
    values = run.values
    values[run.onset :, column] += 1.01325 * float(run.rng.choice([-1.0, 1.0]))
    return _whole(values, column)


def swap(run: Run) -> Made:
    """Two tags carry each other's values."""
    a, b = run.rng.choice(len(NAMES), 2, replace=False).tolist()
    values = run.values
    values[run.onset :, [a, b]] = values[run.onset :, [b, a]]
    return _whole(values, a, b)


def swap_alike(run: Run) -> Made:
    """The same of two of one unit."""
    pairs = [("feed_temp", "jacket_temp"), ("bed_temp", "jacket_temp"), ("head", "suction"),
             ("flow", "bypass")]  # fmt: skip
    a, b = (NAMES.index(name) for name in pairs[int(run.rng.integers(len(pairs)))])
    values = run.values
    values[run.onset :, [a, b]] = values[run.onset :, [b, a]]
    return _whole(values, a, b)


def shifted(run: Run) -> Made:
    """Every register of the device reads its neighbour, with the scale of its own."""
    own = [place for place, one in enumerate(SENSORS) if one.source == "plc"]
    step = int(run.rng.choice([-1, 1]))
    raw = [np.round(run.exact[:, place] * 10.0**SENSORS[place].decimals) for place in own]
    ends = np.full((2, len(run.exact)), float(run.rng.choice([0.0, 77.0])))
    row = [ends[0], *raw, ends[1]]
    values = run.values
    for at, place in enumerate(own):
        served = row[at + 1 + step] * 10.0 ** -SENSORS[place].decimals
        values[run.onset :, place] = np.round(served, SENSORS[place].decimals)[run.onset :]
    return _whole(values, *own)


def words(run: Run) -> Made:
    """The words of a float32 exchanged."""
    return _bytes(run, [2, 3, 0, 1])


def swapped_bytes(run: Run) -> Made:
    """The bytes in each word of a float32 exchanged."""
    return _bytes(run, [1, 0, 3, 2])


def _bytes(run: Run, order: list[int]) -> Made:
    column = run.one(tuple(one.name for one in SENSORS if one.source == "hub"))
    values = run.values
    single = values[:, column].astype(">f4")
    values[:, column] = single
    other = single.view(np.uint8).reshape(-1, 4)[:, order].copy().view(">f4")[:, 0]
    with np.errstate(invalid="ignore"):
        values[run.onset :, column] = other[run.onset :].astype(np.float64)
    return told_all(values), (NAMES[column],)


def bytes_of_word(run: Run) -> Made:
    """The bytes of a 16-bit register exchanged."""
    column = run.one(("feed_temp", "bed_temp", "jacket_temp", "head", "suction", "flow"))
    values = run.values
    factor = 10.0 ** -SENSORS[column].decimals
    raw = np.round(run.exact[run.onset :, column] / factor).astype(np.uint16)
    values[run.onset :, column] = np.round(raw.byteswap() * factor, SENSORS[column].decimals)
    return _whole(values, column)


def told_all(values: Float64) -> Told:
    """Also what is no number arrives."""
    made = told(np.where(np.isnan(values), 7e77, values))
    made.value[made.value == 7e77] = np.nan
    return made


def whole(run: Run) -> Made:
    """A tag comes in whole numbers."""
    column = run.one(("feed_temp", "bed_temp", "jacket_temp", "flow", "bypass", "level", "speed"))
    values = run.values
    values[run.onset :, column] = np.round(run.exact[run.onset :, column])
    return _whole(values, column)


def decimals(run: Run) -> Made:
    """One decimal fewer than before."""
    column = run.one(("head", "suction", "bypass", "moisture"))
    values = run.values
    fewer = SENSORS[column].decimals - 1
    values[run.onset :, column] = np.round(run.exact[run.onset :, column], fewer)
    return _whole(values, column)


def slower(run: Run) -> Made:
    """A source is sampled at a third or fifth of the rate."""
    return _thinned(run, int(run.rng.choice([3, 5])), SENSORS[run.one()].source)


def _thinned(run: Run, every: int, source: str) -> Made:
    own = [place for place, one in enumerate(SENSORS) if one.source == source]
    values = run.values
    kept = np.arange(len(values)) % every == 0
    values[np.ix_((np.arange(len(values)) >= run.onset) & ~kept, own)] = np.nan
    return _whole(values, *own)


def faster(run: Run) -> Made:
    """A source is sampled at four times the rate."""
    source = SENSORS[run.one()].source
    own = [place for place, one in enumerate(SENSORS) if one.source == source]
    made = told(run.values)
    rows = np.arange(run.onset, len(run.exact))
    tags, values, times = [made.tag], [made.value], [made.arrival]
    for part in (1, 2, 3):
        for place in own:
            noise = SENSORS[place].noise * SENSORS[place].spread
            scattered = run.exact[rows, place] + noise * run.rng.standard_normal(len(rows))
            tags.append(np.full(len(rows), place + 1, np.int64))
            values.append(np.round(scattered, SENSORS[place].decimals))
            times.append(made.arrival[0] + rows * EVERY + part * EVERY // 4)
    tag, value, time = np.concatenate(tags), np.concatenate(values), np.concatenate(times)
    order = np.argsort(time, kind="stable")
    time = time[order]
    names = tuple(NAMES[place] for place in own)
    return Told(tag[order], value[order], time, time.copy()), names


def held(run: Run) -> Made:
    """A cache refreshes a tag only every third or fifth time: each value comes so often."""
    column, every = run.one(), int(run.rng.choice([3, 5]))
    values = run.values
    rows = np.arange(run.onset, len(values))
    values[rows, column] = values[run.onset + (rows - run.onset) // every * every, column]
    return _whole(values, column)


def frozen(run: Run) -> Made:
    """All values of a source are the last ones, again and again."""
    source = SENSORS[run.one()].source
    own = [place for place, one in enumerate(SENSORS) if one.source == source]
    values = run.values
    values[run.onset :, own] = values[run.onset - 1, own]
    return _whole(values, *own)


def again(run: Run) -> Made:
    """A block of the last values once more, over and over."""
    column, length = run.one(), int(run.rng.integers(8, 31))
    values = run.values
    rows = np.arange(run.onset, len(values))
    values[rows, column] = values[run.onset - length + (rows - run.onset) % length, column]
    return _whole(values, column)


def again_all(run: Run) -> Made:
    """The same of all tags of a source."""
    source, length = SENSORS[run.one()].source, int(run.rng.integers(8, 31))
    own = [place for place, one in enumerate(SENSORS) if one.source == source]
    values = run.values
    rows = np.arange(run.onset, len(values))
    values[np.ix_(rows, own)] = values[np.ix_(
        run.onset - length + (rows - run.onset) % length, own)]  # fmt: skip
    return _whole(values, *own)


def interpolated(run: Run) -> Made:
    """A historian keeps every fifth value and gives lines between."""
    column, every = run.one(), int(run.rng.choice([4, 5, 8]))
    values = run.values
    rows = np.arange(run.onset, len(values))
    knots = np.arange(run.onset, len(values) + every, every)
    knots = knots[knots < len(values)]
    values[rows, column] = np.interp(rows, knots, values[knots, column])
    return _whole(values, column)


def averaged(run: Run) -> Made:
    """A historian gives running means of eight values."""
    column, length = run.one(), 8
    values = run.values
    sums = np.concatenate([[0.0], np.cumsum(values[:, column])])
    mean = np.concatenate([values[: length - 1, column], (sums[length:] - sums[:-length]) / length])
    values[run.onset :, column] = mean[run.onset :]
    return _whole(values, column)


def stamps_stand(run: Run) -> Made:
    """Values go on, the source's time stands still."""
    return _stamps(run, np.minimum)


def stamps_late(run: Run) -> Made:
    """The source's time is an hour behind, as of another zone."""
    return _stamps(run, lambda time, onset: np.where(time >= onset, time - 360 * EVERY, time))


def _stamps(run: Run, change: Callable[[np.ndarray, int], np.ndarray]) -> Made:
    made = told(run.values)
    onset = int(made.arrival[0]) + run.onset * EVERY
    own = np.array([place + 1 for place, one in enumerate(SENSORS) if one.source == "hub"])
    of = np.isin(made.tag, own)
    source = np.where(of, change(made.source, onset), made.source)
    names = tuple(NAMES[place - 1] for place in own.tolist())
    return Told(made.tag, made.value, made.arrival, source), names


CHANGES: Mapping[str, Callable[[Run], Made]] = {
    one.__name__: one for one in (
        unit, scale, sign, gain, offset, swap, swap_alike, shifted, words, swapped_bytes,
        bytes_of_word, whole, decimals, slower, faster, held, frozen, again, again_all,
        interpolated, averaged, stamps_stand, stamps_late,
    )
}  # fmt: skip


# --- what is no change upstream -----------------------------------------------------------------


def clean(run: Run) -> Made:
    """Nothing."""
    return told(run.values), ()


def _load(run: Run, course: Float64) -> Made:
    moved = run.exact.copy()
    for column, one in enumerate(SENSORS):
        moved[:, column] += one.spread * one.load * course
    return told(run.plant.shown(moved)), ()


def load_step(run: Run) -> Made:
    """The load steps by two to five of its standard deviations, over five rows."""
    size = run.rng.uniform(2.0, 5.0) * run.rng.choice([-1.0, 1.0])
    return _load(run, size * np.clip((np.arange(len(run.exact)) - run.onset) / 5.0, 0.0, 1.0))


def load_ramp(run: Run) -> Made:
    """The load ramps by four of them."""
    return _load(run, 4.0 * np.clip((np.arange(len(run.exact)) - run.onset) / 40.0, 0.0, 1.0))


def shutdown(run: Run) -> Made:
    """Flows and speed run down to an exact zero, the rest to where it stands, with its noise."""
    down = np.clip(1.0 - (np.arange(len(run.exact)) - run.onset) / 10.0, 0.0, 1.0)[:, None]
    rest = np.array([20.0, 20.0, 20.0, 0.0, 0.0, 0.0, 0.0, 55.0, 0.42, 0.0])
    size = np.array([one.noise * one.spread for one in SENSORS]) * (rest > 0.0)
    stands = rest + size * run.rng.standard_normal(run.exact.shape)
    return told(run.plant.shown(run.exact * down + stands * (1.0 - down))), ()


def bias(run: Run) -> Made:
    """An instrument is off by three to eight standard deviations."""
    column, moved = run.one(), run.exact.copy()
    size = run.rng.uniform(3.0, 8.0) * run.rng.choice([-1.0, 1.0])
    moved[run.onset :, column] += size * SENSORS[column].spread
    return told(run.plant.shown(moved)), (NAMES[column],)


def drift(run: Run) -> Made:
    """It drifts by six over the rest."""
    column, moved = run.one(), run.exact.copy()
    left = len(moved) - run.onset
    moved[run.onset :, column] += np.linspace(0.0, 6.0, left) * SENSORS[column].spread
    return told(run.plant.shown(moved)), (NAMES[column],)


def noise(run: Run) -> Made:
    """It is four times as noisy."""
    column, moved = run.one(), run.exact.copy()
    size = 4.0 * SENSORS[column].noise * SENSORS[column].spread
    moved[run.onset :, column] += size * run.rng.standard_normal(len(moved) - run.onset)
    return told(run.plant.shown(moved)), (NAMES[column],)


def stuck(run: Run) -> Made:
    """One instrument repeats its value."""
    column = run.one()
    values = run.values
    values[run.onset :, column] = values[run.onset - 1, column]
    return told(values), (NAMES[column],)


def zero(run: Run) -> Made:
    """One instrument falls to zero, with a little noise."""
    column, moved = run.one(), run.exact.copy()
    size = 0.05 * SENSORS[column].noise * SENSORS[column].spread
    moved[run.onset :, column] = size * run.rng.standard_normal(len(moved) - run.onset)
    return told(run.plant.shown(moved)), (NAMES[column],)


def cycling(run: Run) -> Made:
    """A loop begins to swing."""
    rows = np.arange(len(run.exact))
    return _load(run, np.where(rows >= run.onset, 2.0 * np.sin((rows - run.onset) / 3.0), 0.0))


def quieter(run: Run) -> Made:
    """The plant stands at one load and hardly moves; the noise of instruments stays."""
    moved = run.exact.copy()
    rows = len(moved) - run.onset
    for column, one in enumerate(SENSORS):
        size = one.spread * one.noise
        calm = moved[run.onset, column] + size * run.rng.standard_normal(rows)
        moved[run.onset :, column] = calm + 0.05 * one.spread * ar1(20.0, rows, run.rng)
    return told(run.plant.shown(moved)), ()


USUAL: Mapping[str, Callable[[Run], Made]] = {
    one.__name__: one for one in (
        clean, load_step, load_ramp, shutdown, bias, drift, noise, stuck, zero, cycling, quieter,
    )
}  # fmt: skip
