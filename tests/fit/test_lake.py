"""A baseline of a lake: the same in any files, by any number of workers, here or on a cluster."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from distributed import LocalCluster

from agent import cluster
from agent.cli import cli
from agent.errors import FieldwardenError
from agent.records.lake import choose, opening, stream, survey
from simulators.ports import free_port
from tests.records.lakes import record, write
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
ROWS = 4000

CONFIG = """
schema = 1
[gateway]
site = "site"
name = "gw"
false_alarms = "1 per 30 days"
[sources.line]
protocol = "mqtt"
host = "127.0.0.1"
port = 1883
[tags.flow]
source = "line"
address = "flow"
unit = "m3/h"
interval = "1s"
[tags.level]
source = "line"
address = "level"
unit = "m"
interval = "1s"
[models.m]
version = "1"
owner = { team = "team", contact = "who@plant.example" }
inputs = ["flow", "level"]
scan = "1s"
baseline = "m.json"
"""


@pytest.fixture
def small(monkeypatch):
    """Limits of the size of a test's record."""
    for module in (opening, stream):
        monkeypatch.setattr(module, "WHOLE_CELLS", 6000)
    for module in (choose, stream):
        monkeypatch.setattr(module, "CHOSEN_CELLS", 3000)
    monkeypatch.setattr(survey, "BLOCK_ROWS", 256)


@pytest.fixture
def plant(tmp_path):
    """A configuration, and one record in two lakes."""
    (tmp_path / "config.toml").write_text(CONFIG)
    table = record(ROWS)
    write(table, tmp_path / "one/all.parquet", ROWS)
    for number, start in enumerate(range(0, ROWS, 1000)):
        folder = tmp_path / f"many/year=2026/part={9 - number}"
        write(table.slice(max(start - 100, 0), 1100), folder / "x.parquet", 700)
    return tmp_path


def fit(plant, data, *more):
    """(digest, document) of the baseline that the command writes."""
    config = str(plant / "config.toml")
    done = CliRunner().invoke(cli, ["fit", config, "--json", "--data", str(data), *more])
    assert done.exit_code == 0, done.output
    written = json.loads((plant / "m.json").read_text())
    assert json.loads(done.stdout)["digest"] == written["digest"]
    return written["digest"], written


@contextmanager
def workers(count):
    """A cluster of processes on loopback, that ends with this one."""
    with LocalCluster(
        n_workers=count, threads_per_worker=1, processes=True, host="127.0.0.1",
        dashboard_address=":0", silence_logs=50,
    ) as made:  # fmt: skip
        yield made


def test_one_record_has_one_baseline_wherever_the_work_is_done(small, plant):
    """In one file and in many, by one process, by two, and by two workers of a real cluster."""
    here, document = fit(plant, plant / "one", "--workers", "1")
    assert fit(plant, plant / "many/**/*.parquet", "--workers", "2")[0] == here
    with workers(2) as made:
        address = made.scheduler_address
        assert fit(plant, plant / "many", "--scheduler", address)[0] == here
    used = document["facts"]["used"]
    assert document["facts"]["rows"] == ROWS
    assert used["rows"] < ROWS / 2
    assert len(used["stretches_ns"]) > 2
    assert "4,000 rows" in used["text"]


def test_ranges_are_those_of_all_rows(small, plant):
    """A value that no stretch holds is in the trained range, and in that of the chart."""
    table = record(ROWS)
    flow = table["flow"].to_numpy().copy()
    flow[40] = top = flow.max() + 0.5
    changed = write(table.set_column(1, "flow", pa.array(flow)), plant / "peak/all.parquet")
    _, document = fit(plant, changed.parent, "--workers", "1")
    spans = document["facts"]["used"]["stretches_ns"]
    time_ns = table["time"].to_numpy().astype(np.int64)[40]
    assert not any(first <= time_ns <= last for first, last in spans)
    own = document["modes"][0]["inputs"][0]
    assert own["trained"] == [flow.min(), top]
    chart = own["detectors"]["range"]
    assert (top - own["centre"]) / own["scale"] <= chart["middle"] + chart["half"] + 1e-12


def test_a_small_lake_has_the_baseline_of_one_file(plant):
    """As it was fitted before there were lakes: only where it is stands otherwise in it."""
    digest, lake = fit(plant, plant / "many", "--workers", "1")
    again, file = fit(plant, plant / "one/all.parquet", "--workers", "1")
    assert digest == again
    assert lake["facts"].pop("record") != file["facts"].pop("record")
    assert lake == file
    assert "used" not in lake["facts"]


def test_a_worker_that_dies_is_replaced(tmp_path):
    """Its tasks are done anew, by another one; each result is there once, in order."""
    with workers(2) as made, cluster.Cluster(made.scheduler_address) as used:
        mark = tmp_path / "died"
        found = list(used.each(_dies_once, (str(mark),), range(12), "trying"))
        assert mark.exists()
    assert found == [at * at for at in range(12)]


def test_the_scheduler_unpacks_nothing(tmp_path):
    """What tasks are made of is loaded where they are done, and neither passed on nor kept."""
    with workers(1) as made, cluster.Cluster(made.scheduler_address) as used:  # it runs in here
        told = [_Told(str(tmp_path)) for _ in range(3)]
        assert list(used.each(_is_told, (told[0],), told, "trying")) == [True] * 3
    found = {int(file.name) for file in tmp_path.iterdir()}
    assert found
    assert os.getpid() not in found


class _Told:
    """Says in which process it is unpacked."""

    def __init__(self, folder):
        self.folder = folder

    def __setstate__(self, state):
        self.folder = state["folder"]
        Path(self.folder, str(os.getpid())).touch()


def _is_told(given, task):
    return given.folder == task.folder


def _dies_once(mark, at):
    if at == 5 and not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return at * at


def test_workers_that_die_of_a_task_are_told(monkeypatch):
    """The same task on worker after worker: memory, most likely; and it ends."""
    monkeypatch.setattr(cluster, "_WITHOUT_S", 600.0)  # that each has begun is waited for
    with workers(1) as made, cluster.Cluster(made.scheduler_address) as used, pytest.raises(
        FieldwardenError
    ) as error:
        list(used.each(_dies, (), [1], "reading lake"))
    assert "workers ended again and again at one task" in str(error.value)
    assert "--memory-limit" in error.value.hint


def _dies(_at):
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_task_says_comes_here():
    """An error of a worker is the error of the fit: operation, subject, cause, hint."""
    with workers(1) as made, cluster.Cluster(made.scheduler_address) as used, pytest.raises(
        FieldwardenError, match="no file"
    ) as error:
        list(used.each(_raises, ("lake",), [1], "reading lake"))
    assert (error.value.subject, error.value.hint) == ("lake", "look")


def _raises(subject, _at):
    raise FieldwardenError("reading", subject, "no file", "look")


@pytest.fixture
def nobody():
    """An address where no one answers."""
    return f"tcp://127.0.0.1:{free_port()}"


def test_a_scheduler_that_is_not_there_is_told(nobody, monkeypatch):
    """Within seconds, with what to start."""
    monkeypatch.setattr(cluster, "_ANSWERS_S", 1)
    with pytest.raises(FieldwardenError) as error:
        cluster.Cluster(nobody)
    assert f"connecting to {nobody}: no scheduler of dask answers there" in str(error.value)
    assert "dask scheduler" in error.value.hint


def test_a_scheduler_without_workers_is_told(monkeypatch):
    """Nothing would ever be done."""
    monkeypatch.setattr(cluster, "_ANSWERS_S", 5)
    with workers(0) as made, pytest.raises(FieldwardenError) as error:
        cluster.Cluster(made.scheduler_address)
    assert "the scheduler has no worker" in str(error.value)


def test_a_worker_of_another_version_is_told(tmp_path, monkeypatch):
    """Its results might be others: it is named, with what to install."""
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent/__init__.py").write_text("")
    monkeypatch.setattr(cluster, "_ANSWERS_S", PATIENCE_S)
    with workers(0) as made:
        address = made.scheduler_address
        one = subprocess.Popen(
            [sys.executable, "-m", "dask", "worker", address, "--host", "127.0.0.1",
             "--nthreads", "1", "--no-dashboard", "--no-nanny",
             "--death-timeout", f"{PATIENCE_S:g}"],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            with pytest.raises(FieldwardenError) as error:
                cluster.Cluster(address)
        finally:
            one.terminate()
            one.wait(PATIENCE_S)
    assert "has no fieldwarden" in str(error.value)
    assert "pip install" in error.value.hint


def test_progress_says_rows_share_rate_and_time_left():
    """A line on stderr, where that is no terminal."""
    from agent.commands.fit_lake import line

    text = line("statistics", 25_000_000, 100_000_000, 50.0)
    assert text == (
        "statistics: 25,000,000 of 100,000,000 rows (25%), 500,000 rows/s, 2 min left"
    )
    assert line("statistics", 0, 10, 0.0) == "statistics: 0 of 10 rows (0%)"
