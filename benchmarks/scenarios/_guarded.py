"""The guarded models: records, a soft sensor of least squares for each, `init`, `fit`, clean parts.

Five plants: the simulator (physics, a row a minute), the two of `closed_loop`, Tennessee Eastman
and the gas turbine. Of each, what trains and what is judged are apart in time; where a record is
cut, the judged parts are taken out before anything is fitted. A model's soft sensor predicts a
measured truth that comes late; it is fed what the agent is fed, faults and all.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

from agent.cli import cli  # noqa: E402
from agent.configuration.load import load  # noqa: E402
from agent.configuration.schema import Configuration  # noqa: E402
from agent.types import Float64, Int64  # noqa: E402
from simulators.plant import LAB_NOISE, Plant, PlantSettings  # noqa: E402
from simulators.tags import COLUMN, MODEL_INPUTS, TAGS  # noqa: E402

MODEL, OUTPUT, LABEL = "m", "predicted", "lab"
NS = 1_000_000_000
START_NS = 1_767_225_600 * NS
JUDGED_NS = START_NS + 100 * 86_400 * NS
_RIDGE = 1e-3


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows of a record: inputs float64[n, k] and the truth float64[n], NaN where not known.

    `labels` are (arrived, of, value) where the record has its own; else some of the truth are.
    """

    time_ns: Int64
    inputs: Float64
    truth: Float64
    labels: tuple[tuple[int, int, float], ...] | None = None

    def part(self, first: int, count: int) -> Frame:
        """Some rows."""
        cut = slice(first, first + count)
        return replace(
            self, time_ns=self.time_ns[cut], inputs=self.inputs[cut].copy(),
            truth=self.truth[cut].copy(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Site:
    """What a plant is, before anything is fitted; all in rows but `step_s`.

    Attributes:
        name: as it stands in each line.
        step_s: from row to row.
        lead: rows before the onset of a fault; `lasts`: after it.
        passes: how long what passes lasts.
        asked_after: what lasts so long is a reason for retraining.
        inputs_shifted: how many inputs the process must have moved.
        every, late: rows from label to label, and until one is there.
        summary: rows of a window.
    """

    name: str
    step_s: int
    lead: int
    lasts: int
    passes: int
    asked_after: int
    summary: int
    every: int
    late: int
    inputs_shifted: int = 2


SITES = {
    site.name: site for site in (
        Site("simulator", 60, lead=400, lasts=1_800, passes=60, asked_after=360, summary=10,
             every=10, late=20),
        Site("gas turbine", 3600, lead=300, lasts=650, passes=24, asked_after=168, summary=6,
             every=4, late=6),
        Site("tep", 180, lead=160, lasts=560, passes=20, asked_after=160, summary=10, every=5,
             late=4),
        Site("reactor", 20, lead=900, lasts=2_400, passes=180, asked_after=720, summary=30,
             every=45, late=120, inputs_shifted=1),
        Site("preheat", 10, lead=1_500, lasts=3_600, passes=360, asked_after=1_080, summary=60,
             every=60, late=60, inputs_shifted=1),
    )
}  # fmt: skip
"""Behind control loops a disturbance may show on one controller output alone."""

PREHEAT_TRUTH = "AT-105"
GAS_INPUTS = ("AT", "AP", "AH", "AFDP", "GTEP", "TIT", "TAT", "CDP")
GAS_TRUTH = "TEY"
GAS_PARTS, GAS_ROWS = 12, 1_000
TEP_NAMES = [*(f"xmeas.{i}" for i in range(1, 42)), *(f"xmv.{i}" for i in range(1, 12))]
TEP_TRUTH = "xmeas.18"
TEP_INPUTS = [name for name in TEP_NAMES[:22] + TEP_NAMES[41:] if name != TEP_TRUTH]
_SIMULATED_ROWS = 30_000


# --- records --------------------------------------------------------------------------------------


def simulated(seed: int, rows: int, moves: tuple[tuple[int, int, str, float], ...] = ()) -> Frame:
    """The simulator's plant; `moves` are (from row, to row, disturbance, standard deviations)."""
    plant = Plant(PlantSettings(seed=seed, interval_s=60.0, speed=4.0 / 60.0))
    edges = sorted({0, rows, *(edge for move in moves for edge in move[:2])})
    parts = []
    for first, last in pairwise(edges):
        for begin, end, name, size in moves:
            if first in (begin, end):
                plant.drive(name, size if first == begin else 0.0)
        parts.append(plant.advance(last - first))
    values, truth = (np.concatenate(part) for part in zip(*parts, strict=True))
    times = JUDGED_NS + np.arange(rows, dtype=np.int64) * 60 * NS
    return Frame(times, values[:, [COLUMN[name] for name in MODEL_INPUTS]], truth)


def _times(count: int, step_s: int, start_ns: int) -> Int64:
    return start_ns + np.arange(count, dtype=np.int64) * step_s * NS


def _loop_frame(file: Path, names: tuple[str, ...], truth: str | None,
                labels: list[tuple[int, int, float]] | None) -> Frame:  # fmt: skip
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    times = table.column("time").cast(pa.timestamp("ns", tz="UTC")).cast(pa.int64()).to_numpy()
    values = np.column_stack([
        table.column(name).to_numpy(zero_copy_only=False).astype(np.float64) for name in names
    ])
    known = table.column(truth).to_numpy(zero_copy_only=False).astype(np.float64) if truth \
        else np.full(len(times), np.nan)  # fmt: skip
    return Frame(times, values, known, tuple(labels) if labels is not None else None)


@lru_cache(maxsize=4)
def _lab(folder: Path) -> dict[str, list[tuple[int, int, float]]]:
    """Run -> (available, sampled, value)."""
    found: dict[str, list[tuple[int, int, float]]] = {}
    with (folder / "lab.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            told = (ns_of(row["available"]), ns_of(row["sampled"]), float(row["value"]))
            found.setdefault(row["run"], []).append(told)
    return found


def ns_of(text: str) -> int:
    """A time as files of the shared data write it."""
    return int(dt.datetime.fromisoformat(text).timestamp()) * NS


@dataclass(frozen=True, slots=True)
class Record:
    """A plant's names, training rows and parts that are judged; None where rows are made."""

    names: tuple[str, ...]
    train: Frame
    parts: tuple[Frame, ...]
    noise: float = 0.0


@lru_cache(maxsize=2)
def record_of(site: Site, data: Path) -> Record:
    """The record of a plant."""
    return {
        "simulator": _simulator, "gas turbine": _gas_turbine, "tep": _tennessee,
        "reactor": _reactor, "preheat": _preheat,
    }[site.name](data)  # fmt: skip


def _simulator(data: Path) -> Record:
    frame = simulated(7, _SIMULATED_ROWS)
    return Record(MODEL_INPUTS, replace(frame, time_ns=frame.time_ns - JUDGED_NS + START_NS), (),
                  LAB_NOISE)  # fmt: skip


def _gas_turbine(data: Path) -> Record:
    """Parts lie evenly over the years, so that each season is in training and in what is judged."""
    import pyarrow.parquet as pq

    table = pq.read_table(data / "gas_turbine" / "gas_turbine.parquet")
    values = np.column_stack([table.column(name).to_numpy() for name in GAS_INPUTS])
    truth, count = table.column(GAS_TRUTH).to_numpy(), table.num_rows
    whole = Frame(_times(count, 3600, START_NS), values, truth)
    every = count // GAS_PARTS
    begins = [every * number + every // 2 for number in range(GAS_PARTS)]
    kept = np.ones(count, np.bool_)
    for begin in begins:
        kept[begin : begin + GAS_ROWS] = False
    train = replace(whole, time_ns=whole.time_ns[kept], inputs=values[kept], truth=truth[kept])
    return Record(GAS_INPUTS, train, tuple(whole.part(begin, GAS_ROWS) for begin in begins))


def _tennessee(data: Path) -> Record:
    places = [TEP_NAMES.index(name) for name in TEP_INPUTS]

    def frame(values: Float64, start_ns: int) -> Frame:
        return Frame(_times(len(values), 180, start_ns), values[:, places],
                     values[:, TEP_NAMES.index(TEP_TRUTH)])  # fmt: skip

    tests = [np.loadtxt(data / "tep" / f"{name}_te.dat") for name in ("d00", "d05")]
    return Record(
        tuple(TEP_INPUTS), frame(np.loadtxt(data / "tep" / "d00.dat").T, START_NS),
        tuple(frame(test, JUDGED_NS) for test in tests),
    )  # fmt: skip


def runs_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The truth of each run of a plant with control loops."""
    found: dict[str, dict[str, Any]] = json.loads((folder / "truth.json").read_text("utf-8"))
    return {name: item for name, item in found.items() if (folder / f"{name}.parquet").exists()}


def _loop_names(folder: Path) -> tuple[str, ...]:
    columns = json.loads((folder / "plant.json").read_text("utf-8"))["columns"]
    return tuple(name for name in columns if name not in {"soft_sensor", PREHEAT_TRUTH})


def _reactor(data: Path) -> Record:
    folder = data / "closed_loop" / "reactor"
    names = _loop_names(folder)
    frames = {
        name: _loop_frame(folder / f"{name}.parquet", names, None, _lab(folder).get(name, []))
        for name in ("train", "clean_1", "clean_2")
    }
    train = frames["train"]
    truth = np.full(len(train.time_ns), np.nan)
    for _, of_ns, value in train.labels or ():
        truth[np.searchsorted(train.time_ns, of_ns)] = value
    return Record(names, replace(train, truth=truth), (frames["clean_1"], frames["clean_2"]))


def _preheat(data: Path) -> Record:
    folder = data / "closed_loop" / "preheat"
    names = _loop_names(folder)
    frames = [
        _loop_frame(folder / f"{name}.parquet", names, PREHEAT_TRUTH, None)
        for name in ("train", "clean_1", "clean_2")
    ]
    return Record(names, frames[0], tuple(frames[1:]))


def run_frame(site: Site, data: Path, name: str) -> Frame:
    """A run of a plant with control loops."""
    folder = data / "closed_loop" / site.name
    truth = PREHEAT_TRUTH if site.name == "preheat" else None
    labels = None if truth else _lab(folder).get(name, [])
    return _loop_frame(folder / f"{name}.parquet", _loop_names(folder), truth, labels)


# --- soft sensors ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SoftSensor:
    """Ridge regression on means of the inputs over the last rows; see `windows`."""

    centre: tuple[float, ...]
    slopes: tuple[float, ...]
    intercept: float
    windows: tuple[int, ...]
    rmse: float

    def predict(self, inputs: Float64) -> Float64:
        """float64[n]; NaN where an input is missing."""
        features = _features(inputs, self.windows)
        return np.round((features - np.array(self.centre)) @ np.array(self.slopes)
                        + self.intercept, 6)  # fmt: skip


def _features(inputs: Float64, windows: tuple[int, ...]) -> Float64:
    """float64[n, k * windows]: means over the last so many rows; as many as there are at first."""
    sums = np.vstack([np.zeros(inputs.shape[1]), np.cumsum(np.nan_to_num(inputs), axis=0)])
    ends = np.arange(1, len(inputs) + 1)
    parts = []
    for window in windows:
        begins = np.maximum(0, ends - window)
        parts.append((sums[ends] - sums[begins]) / (ends - begins)[:, None])
    features = np.hstack(parts)
    features[np.isnan(inputs).any(axis=1)] = np.nan
    return features


def fit_soft_sensor(train: Frame, windows: tuple[int, ...]) -> SoftSensor:
    """Least squares on the first 70 % of rows whose truth is known; its error is of the rest."""
    features = _features(train.inputs, windows)
    rows = np.flatnonzero(np.isfinite(train.truth) & np.isfinite(features).all(axis=1))
    x, y = features[rows], train.truth[rows]
    cut = int(0.7 * len(rows))
    spread = np.where(x[:cut].std(axis=0) > 0.0, x[:cut].std(axis=0), np.inf)
    centre = x[:cut].mean(axis=0)
    scaled = (x - centre) / spread
    gram = scaled[:cut].T @ scaled[:cut] + _RIDGE * cut * np.eye(scaled.shape[1])
    weights = np.linalg.solve(gram, scaled[:cut].T @ (y[:cut] - y[:cut].mean()))
    left = y[cut:] - y[:cut].mean() - scaled[cut:] @ weights
    return SoftSensor(
        tuple(centre), tuple(weights / spread), float(y[:cut].mean()), windows,
        float(np.sqrt(np.mean(left**2))),
    )  # fmt: skip


# --- what is fitted -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Guarded:
    """A plant whose model is guarded: the configuration's file, the soft sensor, what training was.

    `sd` and `noise` are of each input: of its values, and of their differences over sqrt 2.
    """

    site: Site
    config: Path
    names: tuple[str, ...]
    sensor: SoftSensor
    sd: Float64
    noise: Float64
    centre: Float64
    moving: tuple[int, ...]
    """Inputs that measure: with many different values in training."""

    axes: Float64
    """float64[3, k]: how far each input goes along the first principal components, by 1 sd."""


_WINDOWS = {"reactor": (45, 180), "preheat": (30, 180)}


def guarded(site: Site, data: Path, work: Path) -> Guarded:
    """A plant with its configuration and baseline, made where they are not in `work` yet."""
    folder = work / re.sub(r"[^a-z]+", "-", site.name)
    record = record_of(site, data)
    sensor = fit_soft_sensor(record.train, _WINDOWS.get(site.name, (1,)))
    if not (folder / "done").exists():
        _fit(site, record, sensor, data, folder)
    values = record.train.inputs
    sd = values.std(axis=0)
    different = [len(np.unique(column)) for column in values.T]
    moving = tuple(
        place for place, count in enumerate(different)
        if count >= 20 and not record.names[place].endswith(("SP", "MODE", "OUT", "OP"))
    )  # fmt: skip
    scaled = (values - values.mean(axis=0)) / np.where(sd > 0.0, sd, np.inf)
    vectors = np.linalg.svd(scaled[:: max(1, len(scaled) // 5_000)], full_matrices=False)[2][:3]
    spread = (scaled @ vectors.T).std(axis=0)
    return Guarded(
        site, folder / "config.toml", record.names, sensor, sd,
        np.diff(values, axis=0).std(axis=0) / np.sqrt(2.0), np.median(values, axis=0), moving,
        vectors * spread[:, None] * sd,
    )  # fmt: skip


def _fit(site: Site, record: Record, sensor: SoftSensor, data: Path, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    train = record.train
    rng = np.random.default_rng(3)
    known = np.isfinite(train.truth)
    lab = np.where(known, train.truth + record.noise * rng.standard_normal(len(known)), np.nan)
    if train.labels is None:
        lab[np.arange(len(lab)) % site.every != 0] = np.nan
    columns = {
        "time": pa.array(train.time_ns).cast(pa.timestamp("ns", tz="UTC")),
        **{name: pa.array(train.inputs[:, place]) for place, name in enumerate(record.names)},
        OUTPUT: pa.array(sensor.predict(train.inputs), from_pandas=True),
        LABEL: pa.array(lab, from_pandas=True),
    }
    file, config = folder / "train.parquet", folder / "config.toml"
    pq.write_table(pa.table(columns), file)
    roles = [word for name in record.names for word in ("--input", name)]
    _must("init", "--from-csv", str(file), "--model", MODEL, "--out", str(config), "--force",
          *roles, "--output", OUTPUT, "--label", LABEL)  # fmt: skip
    _complete(site, config, record.names, data / "closed_loop" / site.name / "loops.json")
    told = _must("fit", str(config), "--model", MODEL, "--data", str(file), "--labels", str(file),
                 "--workers", "1")  # fmt: skip
    (folder / "done").write_text(told, encoding="utf-8")


def _must(*words: str) -> str:
    result = CliRunner().invoke(cli, list(words))
    if result.exit_code != 0:
        raise RuntimeError(f"fieldwarden {words[0]}: {result.output}\n{result.exception!r}")
    return result.output


UNITS = {
    **{tag.name: tag.unit for tag in TAGS},
    **dict.fromkeys(("AT", "TIT", "TAT"), "degC"), "AH": "%",
    **dict.fromkeys(("AP", "AFDP", "GTEP", "CDP"), "mbar"),
    **{f"TIC-{number}{mark}PV": "degC" for number in (102, 103, 204, 205) for mark in "._"},
    **{f"FIC-{number}{mark}PV": "m3/h" for number in (101, 106, 201, 202) for mark in "._"},
}
"""As data sheets say; `init` only guesses."""


def source_of(site: Site, place: int, count: int) -> str:
    """Who serves an input: half of the inputs each."""
    return "line" if place < (count + 1) // 2 else "utilities"


def _served(text: str, site: Site, names: tuple[str, ...]) -> str:
    """The tags with their units, from two sources."""
    for place, name in enumerate(names):
        begin = text.index(f"[tags.{json.dumps(name)}]")
        end = text.index("\n\n", begin)
        lines = [
            line for line in text[begin:end].splitlines() if not line.startswith(("unit", "source"))
        ]
        lines.append(f'source = "{source_of(site, place, len(names))}"')
        lines += [f'unit = "{UNITS[name]}"'] if name in UNITS else []
        text = text[:begin] + "\n".join(lines) + text[end:]
    sources = "".join(
        f'\n[sources.{name}]\nprotocol = "mqtt"\nhost = "127.0.0.1"\nclient_id = "{name}"\n'
        for name in ("line", "utilities")
    )
    return text + sources


def _complete(site: Site, config: Path, names: tuple[str, ...], loops: Path) -> None:
    """What `init` can not know: criteria of this length, windows, units, sources, loops."""
    text = _served(config.read_text(encoding="utf-8"), site, names)
    text = re.sub(r'within = "[^"]*"', f'within = "{4 * site.late * site.step_s}s"', text)
    summary = f'summary = "{site.summary * site.step_s}s"\n'
    text = text.replace("[gateway]\n", f"[gateway]\n{summary}", 1)
    span = f'"{site.asked_after * site.step_s}s"'
    text += (
        f"\n[models.{MODEL}.retraining]\ninputs_shifted = {site.inputs_shifted}\n"
        f"shifted_for = {span}\nextrapolating_over = {span}\noutputs_shifted_for = {span}\n"
    )
    if loops.exists() and "[loops." not in text:
        for name, loop in json.loads(loops.read_text("utf-8")).items():
            lines = [f"{key} = {json.dumps(tag)}\n" for key, tag in loop.items() if tag]
            text += f"\n[loops.{json.dumps(name)}]\n" + "".join(lines)
    config.write_text(text, encoding="utf-8")


@lru_cache(maxsize=2)
def configuration_of(config: Path) -> Configuration:
    """The configuration of a plant."""
    return load(config)
