"""Fit over a lake: rows, seconds and memory of a local pool, of one and of two workers of dask.

    python benchmarks/fit_lake.py --rows 100000000 --folder /tmp/lake

Makes a lake of 8 tags at 1 s in the folder (a file of 1 M rows each, in folders by year and month;
17 MB of disk for 1 M rows), unless it is there; fits it three times; prints a JSON line for each:
rows, seconds, peak memory of all processes of the fit together and of the largest one, digest. With
dask, the scheduler and its workers count too. Ends with an error where the digests differ.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from pyarrow import parquet
from scipy.signal import lfilter

from simulators.children import end_with_parent

TAGS = [f"t{at}" for at in range(8)]
BEGIN_S = 1_640_995_200  # 2022
FILE_ROWS = 1_000_000
DAY_S = 86_400

CONFIG = """\
schema = 1

[gateway]
site = "bench"
name = "lake"
false_alarms = "1 per 30 days"

[sources.line]
protocol = "mqtt"
host = "127.0.0.1"
port = 1883

{tags}
[models.m]
version = "1"
owner = {{ team = "bench", contact = "bench@plant.example" }}
inputs = [{inputs}]
scan = "1s"
baseline = "m.json"
"""


def configuration(folder: Path) -> Path:
    """The configuration of a model of all tags, beside which its baseline is written."""
    tags = "\n".join(
        f'[tags.{tag}]\nsource = "line"\naddress = "bench/{tag}"\nunit = "bar"\ninterval = "1s"\n'
        for tag in TAGS
    )
    file = folder / "config.toml"
    file.write_text(CONFIG.format(tags=tags, inputs=", ".join(f'"{tag}"' for tag in TAGS)))
    return file


def make_lake(folder: Path, rows: int) -> None:
    """Write the lake, a file at a time: two slow swings, a day's, and noise of its own each."""
    rng = np.random.default_rng(20260101)
    slow, fast = np.zeros((2, 1)), np.zeros((len(TAGS), 1))
    for start in range(0, rows, FILE_ROWS):
        count = min(FILE_ROWS, rows - start)
        seconds = BEGIN_S + np.arange(start, start + count)
        common = []
        for at, pole in enumerate((0.9995, 0.99995)):
            noise = rng.normal(scale=(1.0 - pole**2) ** 0.5, size=count)
            made, slow[at] = lfilter([1.0], [1.0, -pole], noise, zi=slow[at])
            common.append(made)
        day = np.sin(2.0 * np.pi * seconds / DAY_S)
        columns = {"time": pa.array(seconds * 10**9).cast(pa.timestamp("ns", "UTC"))}
        for at, tag in enumerate(TAGS):
            own, fast[at] = lfilter([1.0], [1.0, -0.9], rng.normal(size=count), zi=fast[at])
            value = 50.0 + 10.0 * at + (2.0, 1.0, -1.0)[at % 3] * common[at % 2] + 0.3 * day
            columns[tag] = pa.array(np.round(value + 0.3 * own, 2))
        month = np.datetime64(int(seconds[0]), "s").astype("datetime64[M]").astype(str)
        into = folder / f"year={month[:4]}" / f"month={month[5:]}"
        into.mkdir(parents=True, exist_ok=True)
        parquet.write_table(
            pa.table(columns), into / f"{start:012d}.parquet", compression="zstd",
            row_group_size=250_000,
        )
        print(f"made {start + count:,} rows", file=sys.stderr, flush=True)


class Peak:
    """The most memory that processes had, all of them together and each, in MB."""

    def __init__(self) -> None:
        self.together = 0.0
        self.each = 0.0

    def look(self, roots: list[psutil.Process]) -> None:
        found = []
        for root in roots:
            try:
                processes = [root, *root.children(recursive=True)]
                found += [one.memory_info().rss / 1e6 for one in processes]
            except psutil.Error:
                continue
        self.together = max(self.together, sum(found))
        self.each = max([self.each, *found])


@contextmanager
def cluster(workers: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """A scheduler of dask on this machine, and its workers, each of one thread."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    root = Path(__file__).parent.parent
    environment = os.environ | {"PYTHONPATH": str(root)}
    one = [sys.executable, "-m", "dask"]
    commands = [
        [*one, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
        *([*one, "worker", address, "--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard",
           "--death-timeout", "60"] for _ in range(workers)),
    ]  # fmt: skip
    with ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory())
        started = []
        for command in commands:
            process = subprocess.Popen(
                command, env=environment, cwd=work, stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, preexec_fn=end_with_parent,  # noqa: PLW1509
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            started.append(psutil.Process(process.pid))
            time.sleep(1.0)
        yield address, started


def fit(
    config: Path, lake: Path, more: list[str], beside: list[psutil.Process]
) -> dict[str, object]:
    """One fit, and what it took."""
    root = Path(__file__).parent.parent
    began, peak = time.monotonic(), Peak()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "agent.cli", "fit", str(config), "--data", str(lake), "--json",
             *more],
            env=os.environ | {"PYTHONPATH": str(root)}, stdout=out, cwd=root,
            preexec_fn=end_with_parent,  # noqa: PLW1509
        )  # fmt: skip
        own = psutil.Process(process.pid)
        while process.poll() is None:
            peak.look([own, *beside])
            time.sleep(0.2)
        out.seek(0)
        text = out.read()
    if process.returncode:
        raise SystemExit(f"the fit failed:\n{text}")
    said = json.loads(text)
    return {
        "seconds": round(time.monotonic() - began, 1), "peak_rss_mb": round(peak.together),
        "peak_rss_mb_of_one": round(peak.each), "digest": said["digest"],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_200_000)
    parser.add_argument("--folder", type=Path, help="of the lake; else a temporary one")
    parser.add_argument("--make", action="store_true", help="only make the lake")
    parser.add_argument("--only", default="local,dask-1,dask-2")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lake, done = folder / f"lake-{asked.rows}", folder / f"lake-{asked.rows}.done"
        if not done.exists():
            shutil.rmtree(lake, ignore_errors=True)
            make_lake(lake, asked.rows)
            done.touch()
        if asked.make:
            return
        digests = set()
        for name in asked.only.split(","):
            with ExitStack() as one:
                work = Path(one.enter_context(tempfile.TemporaryDirectory()))
                more, beside = ["--workers", "2"], []
                if name.startswith("dask-"):
                    address, beside = one.enter_context(cluster(int(name[5:])))
                    more = ["--scheduler", address]
                found = fit(configuration(work), lake, more, beside)
            digests.add(found["digest"])
            row = {"suite": "fit-lake", "by": name, "rows": asked.rows, "tags": len(TAGS), **found}
            print(json.dumps(row), flush=True)
        if len(digests) > 1:
            raise SystemExit("the digests differ")


if __name__ == "__main__":
    main()
