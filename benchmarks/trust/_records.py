"""Records of the shared data as a person would use them: parts in files, `init`, `fit`, the engine.

Configurations are what `fieldwarden init` writes, baselines what `fieldwarden fit` writes. Fits are
kept in the run's folder by the hash of the data and of the agent's source, so that all rows share
them, and a folder given again is used again only for the same of both.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from io import StringIO
from pathlib import Path

import numpy as np
from click.testing import CliRunner, Result

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks" / "detection"))

from agent.cli import cli  # noqa: E402
from agent.configuration.load import load  # noqa: E402
from agent.configuration.schema import Configuration  # noqa: E402
from agent.core.engine import Engine  # noqa: E402
from agent.core.spec import EngineSpec  # noqa: E402
from agent.records.replay import ScanWriter, recorded_spec, table_entries  # noqa: E402
from agent.records.table import Table, read_table, tags_of_texts  # noqa: E402
from agent.records.times import Reading  # noqa: E402
from agent.types import Entry, Event  # noqa: E402

MODEL = "m"
SHARE = 0.6
TEP_NAMES = [*(f"xmeas.{i}" for i in range(1, 42)), *(f"xmv.{i}" for i in range(1, 12))]
_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Record:
    """One record: the file, what a person says to `init`, and whether faults are put into it.

    `how` and `roles` are options; `whole` trains on all of the file (another one is judged).
    """

    name: str
    path: str
    how: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    injected: bool = True
    whole: bool = False


RECORDS = (
    Record("gas turbine", "gas_turbine/gas_turbine.parquet"),
    Record("plant record", "plant_record/plant_record.csv"),
    Record("nab ambient", "nab/ambient_temperature_system_failure.csv", ("--timezone", "UTC")),
    Record("nab machine", "nab/machine_temperature_system_failure.csv", ("--timezone", "UTC")),
    Record("skab", "skab/anomaly-free.csv"),
    Record("tep", "tep/d00.dat"),
    Record("preheat", "closed_loop/preheat/train.parquet", injected=False),
    Record("reactor", "closed_loop/reactor/train.parquet", roles=("--output", "soft_sensor"),
           injected=False),
)  # fmt: skip
LOOPS = tuple(
    replace(record, whole=True) for record in RECORDS if record.path.startswith("closed_loop")
)


def command(*words: str) -> Result:
    """A command of `fieldwarden` in this process; its output and exit code."""
    return CliRunner().invoke(cli, list(words))


# --- parts ----------------------------------------------------------------------------------------


def parts(record: Record, data: Path, folder: Path) -> tuple[Path, Path]:
    """The files that train and that are judged, cut from the record as it is written."""
    source = data / record.path
    ending = ".csv" if source.suffix == ".dat" else source.suffix
    train, test = folder / f"train{ending}", folder / f"test{ending}"
    if source.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(source)
        cut = table.num_rows if record.whole else int(SHARE * table.num_rows)
        pq.write_table(table.slice(0, cut), train)
        pq.write_table(table.slice(cut), test)
    elif source.suffix == ".dat":  # two files already; the first one is transposed
        train.write_text(_tep(np.loadtxt(source).T), encoding="utf-8")
        test.write_text(_tep(np.loadtxt(source.with_name("d00_te.dat"))), encoding="utf-8")
    else:
        head, *lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
        cut = int(SHARE * len(lines))
        train.write_text("".join([head, *lines[:cut]]), encoding="utf-8")
        test.write_text("".join([head, *lines[cut:]]), encoding="utf-8")
    return train, test


def _tep(values: np.ndarray) -> str:
    start, step = np.datetime64("2023-01-01T00:00:00"), np.timedelta64(180, "s")
    rows = [
        f"{start + i * step}Z," + ",".join(f"{value:.6g}" for value in row)
        for i, row in enumerate(values)
    ]
    return "\n".join([",".join(["time", *TEP_NAMES]), *rows]) + "\n"


# --- fits -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fitted:
    """A record with its configuration and baseline, in `folder`; what it cost, in CPU seconds."""

    record: Record
    folder: Path
    config: Path
    train: Path
    test: Path
    fit_s: float

    @property
    def how(self) -> Reading:
        """What a person said about how it is written."""
        words = dict(zip(self.record.how[::2], self.record.how[1::2], strict=True))
        return Reading(timezone=words.get("--timezone", ""))


@lru_cache(maxsize=1)
def _source_hash() -> str:
    """Of everything that a fit depends on besides the data."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "agent").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def fitted(record: Record, data: Path, work: Path) -> Fitted:
    """The record, fitted; once in a run, whoever asks first."""
    source = hashlib.sha256((data / record.path).read_bytes())
    source.update(f"{_source_hash()}{record}".encode())
    folder = work / f"{re.sub(r'[^a-z0-9]+', '-', record.name)}-{source.hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "done.json"
        if not done.exists():
            done.write_text(json.dumps(_fit(record, data, folder)), encoding="utf-8")
        facts = json.loads(done.read_text(encoding="utf-8"))
    return Fitted(
        record, folder, folder / "config.toml", folder / facts["train"], folder / facts["test"],
        facts["fit_s"],
    )  # fmt: skip


def _fit(record: Record, data: Path, folder: Path) -> dict[str, object]:
    train, test = parts(record, data, folder)
    config = folder / "config.toml"
    _must(command("init", "--from-csv", str(train), "--model", MODEL, "--out", str(config),
                  "--force", *record.roles, *record.how))
    add_loops(config, (data / record.path).with_name("loops.json"))
    began = time.process_time()
    told = command("fit", str(config), "--model", MODEL, "--data", str(train), *record.how)
    _must(told)
    (folder / "fit.txt").write_text(told.output, encoding="utf-8")
    return {"train": train.name, "test": test.name, "fit_s": time.process_time() - began}


def _must(result: Result) -> None:
    if result.exit_code != 0:
        raise RuntimeError(f"{result.output}\n{result.exception!r}")


def add_loops(config: Path, loops: Path) -> bool:
    """Write the plant's loops into a configuration that can hold them and that has none.

    Where `init` proposes loops itself, or no configuration can say them, it stays as it is.
    """
    text = config.read_text(encoding="utf-8")
    if not loops.exists() or "loops" not in Configuration.model_fields or "[loops." in text:
        return False
    written = [
        f"\n[loops.{json.dumps(name)}]\n" + "".join(
            f"{key} = {json.dumps(tag)}\n" for key, tag in loop.items() if tag
        ) for name, loop in json.loads(loops.read_text(encoding="utf-8")).items()
    ]  # fmt: skip
    config.write_text(text + "".join(written), encoding="utf-8")
    return True


# --- the engine over a table ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """What is needed to judge tables of a fitted record: `train` and `test` hold its tags."""

    spec: EngineSpec
    configuration: Configuration
    train: Table
    test: Table

    @property
    def inputs(self) -> tuple[str, ...]:
        """Of the model."""
        return tuple(self.spec.models[0].inputs)


def opened(fit: Fitted, path: Path) -> tuple[EngineSpec, Table]:
    """A file as `replay` reads it, and the engine's spec for it."""
    configuration = load(fit.config)
    texts = tags_of_texts(configuration)
    table = read_table(path, list(configuration.tags), texts=texts, lenient=True, how=fit.how)
    steps = {name: table.steps_ns(name) for name in table.names}
    intervals = {name: int(np.median(own)) for name, own in steps.items() if len(own)}
    return recorded_spec(configuration, table.names, intervals), table


@lru_cache(maxsize=2)
def ready(fit: Fitted) -> Ready:
    """The record's two parts, and the engine's spec for the one that is judged."""
    spec, test = opened(fit, fit.test)
    _, train = opened(fit, fit.train)
    return Ready(spec, load(fit.config), train, test)


def events_of(spec: EngineSpec, table: Table) -> list[Event]:
    """All events of a fresh engine over a table."""
    engine = Engine(spec)
    return [
        event for entry in _entries(spec, table, _ROWS_AT_ONCE)
        for event in engine.step(entry).events
    ]  # fmt: skip


def _entries(spec: EngineSpec, table: Table, rows: int) -> Iterator[Entry]:
    from agent.records.replay import after_texts

    yield from after_texts(table, table_entries(spec, table, rows))


def says_extrapolating() -> bool:
    """Whether scans are written with a column `extrapolating`."""
    import inspect

    return "extrapolating" in inspect.getsource(ScanWriter)


def with_scans(spec: EngineSpec, table: Table) -> tuple[list[Event], str]:
    """All events, and the lines of `scans.csv`; scan by scan, so slower than `events_of`."""
    engine, file = Engine(spec), StringIO()
    writer = ScanWriter(engine, file)
    events: list[Event] = []
    for entry in _entries(spec, table, 1):
        events += engine.step(entry).events
        writer.write()
    return events, file.getvalue()


def rows(table: Table, part: slice) -> Table:
    """Some rows of a table, with whatever it holds row by row."""
    total = len(table.time_ns)
    cut = {
        item.name: np.asfortranarray(value[part])
        for item in fields(table)
        if isinstance(value := getattr(table, item.name), np.ndarray) and len(value) == total
    }
    return replace(table, **cut)


def with_values(table: Table, columns: Sequence[str], values: np.ndarray) -> Table:
    """The table with other values, float64[n, k], in `columns`."""
    changed = table.values.copy(order="F")
    for position, name in enumerate(columns):
        changed[:, table.names.index(name)] = values[:, position]
    return replace(table, values=changed)
