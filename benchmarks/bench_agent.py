"""CPU of the whole agent, measured from outside, from the socket to the committed row.

`fieldwarden run` guards models on values that real servers bring, each in a process of its own.
The first rows are throughput: CPU microseconds of the agent's process (all threads, user and
system) for each value that the journal holds afterwards. The last is service as in a plant: 1,000
tags at 1 Hz over the three protocols, four models with 50 inputs each, uplink to a second broker.

`python benchmarks/bench_agent.py [--quick] [row ...]` prints a JSON line for each row.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from _load import broker, history, process, server

from agent.configuration.load import load
from agent.core.baseline import digest_of, from_document, to_document
from agent.core.baseline_file import write_baseline
from agent.fit.model import fit_model
from agent.records.table import Table
from agent.store import Reader
from agent.types import Block
from simulators.ports import free_port

ROOT = Path(__file__).parent.parent
TURNS = Path(__file__).parent / "_turns.py"
INPUTS = 50
TRAINING_ROWS = 5_000
FIRST_NS = 1_700_000_000_000_000_000
SOURCES = {
    "modbus": 'host = "127.0.0.1"\nport = {port}\nevery = "{interval_ms}ms"',
    "opcua": 'endpoint = "opc.tcp://127.0.0.1:{port}/bench"\npublishing = "{publishing_ms}ms"',
    "mqtt": 'host = "127.0.0.1"\nport = {port}',
}
ADDRESSES = {
    "modbus": "holding {register} float32 ABCD", "opcua": "ns=2;s=n{i}", "mqtt": "bench/{i} /value",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row of the table: how many tags of each protocol, how often, how many models."""

    name: str
    tags: dict[str, int]
    interval_s: float
    models: int
    goal: float
    unit: str = "us_per_value"
    qos: int = 1


ROWS = (
    Row("modbus", {"modbus": 500}, 0.05, 1, 3.0),
    Row("opcua", {"opcua": 200}, 0.1, 1, 30.0),
    Row("mqtt", {"mqtt": 200}, 0.1, 1, 45.0),
    Row("mqtt QoS 0", {"mqtt": 200}, 0.1, 1, 45.0, qos=0),
    Row("1000 tags at 1 Hz", {"modbus": 333, "opcua": 333, "mqtt": 334}, 1.0, 4, 8.0,
        "cpu_percent"),
)  # fmt: skip


# --- configuration and baselines --------------------------------------------------------------


def configuration_text(row: Row, ports: dict[str, int]) -> str:
    """The whole file; model m guards every m-th tag, so each model has inputs of all protocols."""
    parts = [
        'schema = 1\n[gateway]\nsite = "bench"\nname = "gw"\nsummary = "1min"\n',
        f'[upstream]\nhost = "127.0.0.1"\nport = {ports["central"]}\n',
        f'[status]\nlisten = "127.0.0.1:{ports["status"]}"\n',
    ]
    interval_ms = round(row.interval_s * 1e3)
    names = []
    for kind, count in row.tags.items():
        settings = SOURCES[kind].format(
            port=ports[kind], interval_ms=interval_ms, publishing_ms=min(500, interval_ms)
        )
        parts.append(f'[sources.{kind}]\nprotocol = "{kind}"\n{settings}\n')
        for i in range(count):
            address = ADDRESSES[kind].format(i=i, register=2 * i)
            parts.append(f'[tags."{kind}.{i}"]\nsource = "{kind}"\naddress = "{address}"\n'
                         f'interval = "{interval_ms}ms"\n')  # fmt: skip
            names.append(f"{kind}.{i}")
    step = len(names) // (row.models * INPUTS)
    guarded = names[:: max(1, step)]
    for m in range(row.models):
        inputs = json.dumps(guarded[m :: row.models][:INPUTS])
        parts.append(
            f'[models.m{m}]\nversion = "1"\nowner = {{ team = "bench", contact = "bench" }}\n'
            f'baseline = "m{m}.json"\nscan = "1s"\ninputs = {inputs}\n'
        )
    return "\n".join(parts)


_fitted: dict[float, dict] = {}


def write_baselines(file: Path, row: Row) -> None:
    """One training record fits all: the same document serves each model, under its own names."""
    configuration = load(file)
    for name, model in configuration.models.items():
        if row.interval_s not in _fitted:
            interval_ns = round(row.interval_s * 1e9)
            times = FIRST_NS + interval_ns * np.arange(TRAINING_ROWS)
            values = history(TRAINING_ROWS, INPUTS)
            table = Table(times, tuple(model.inputs), values, interval_ns)
            report = fit_model(configuration, name, table)
            _fitted[row.interval_s] = to_document(report.baseline)
        text = json.loads(json.dumps(_fitted[row.interval_s]))
        text["model"] = name
        for item, tag in zip(text["modes"][0]["inputs"], model.inputs, strict=True):
            item["tag"] = tag
        text["digest"] = digest_of(text)
        write_baseline(Path(model.baseline), from_document(text, name))


# --- measuring ------------------------------------------------------------------------------------


@contextlib.contextmanager
def agent(row: Row, folder: Path, turns: Path | None = None) -> Iterator[psutil.Process]:
    """The agent at work among its servers; `turns` gets those of its loop (`_turns.py`)."""
    ports = {name: free_port() for name in (*row.tags, "central", "status")}
    file = folder / "config.toml"
    file.write_text(configuration_text(row, ports))
    write_baselines(file, row)
    with contextlib.ExitStack() as stack:
        stack.enter_context(broker(folder, ports["central"]))
        if "mqtt" in row.tags:
            stack.enter_context(broker(folder, ports["mqtt"]))
        begin = ("-m", "agent.cli") if turns is None else (str(TURNS), str(turns))
        command = (sys.executable, *begin, "run", str(file))
        for kind in row.tags:
            if kind != "mqtt":
                stack.enter_context(server(kind, ports[kind], row.tags[kind], row.interval_s))
        child = stack.enter_context(process(*command, log=folder / "log", cwd=ROOT))
        if "mqtt" in row.tags:
            stack.enter_context(
                server("mqtt", ports["mqtt"], row.tags["mqtt"], row.interval_s, row.qos)
            )
        yield psutil.Process(child.pid)


def used_s(found: psutil.Process) -> float:
    times = found.cpu_times()
    return times.user + times.system


def until_ready(
    row: Row, store: Path, found: psutil.Process, limit_s: float = 120.0
) -> None:
    """Every source live and every model assessed."""
    end = time.monotonic() + limit_s
    states, verdicts = [], []
    while time.monotonic() < end:
        time.sleep(0.1)
        if not found.is_running() or found.status() == psutil.STATUS_ZOMBIE:
            raise SystemExit(f"the agent ended: {(store.parent.parent / 'log').read_text()}")
        with contextlib.suppress(Exception), contextlib.closing(Reader(store)) as reader:
            status = reader.document("status")
            states = [source["state"] for source in status["sources"]]
            verdicts = [model["verdict"] for model in status["models"]]
            if states == ["live"] * len(row.tags) and "unassessable" not in verdicts:
                return
    raise SystemExit(f"not ready: {states} {verdicts}")


def counted(store: Path, windows: list[tuple[int, int]]) -> list[int]:
    """How many usable samples the journal holds that arrived in each window of time."""
    with contextlib.closing(Reader(store)) as reader:
        blocks = [entry for entry in reader.journal() if isinstance(entry, Block)]
    arrival = np.concatenate([block.arrival_ns[block.quality < 64] for block in blocks])
    return [int(np.sum((arrival >= start) & (arrival < stop))) for start, stop in windows]


def measure(row: Row, warm_up_s: float, turn_s: float, turns: int) -> dict:
    """Run the agent, measure it in turns, and count afterwards what it had committed."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        store = folder / "state" / "fieldwarden.db"
        windows: list[tuple[int, int]] = []
        cpu_s: list[float] = []
        with agent(row, folder) as found:
            until_ready(row, store, found)
            time.sleep(warm_up_s)
            for _ in range(turns):
                start_ns, before_s = time.time_ns(), used_s(found)
                time.sleep(turn_s)
                cpu_s.append(used_s(found) - before_s)
                windows.append((start_ns, time.time_ns()))
            rss_mb = found.memory_info().rss / 1e6
            with contextlib.closing(Reader(store)) as reader:
                status = reader.document("status")
        values = counted(store, windows)
    return _line(row, windows, cpu_s, values, rss_mb, status)


def _line(row: Row, windows, cpu_s, values, rss_mb, status) -> dict:
    seconds = [(stop - start) / 1e9 for start, stop in windows]
    expected = sum(row.tags.values()) / row.interval_s
    rate = sum(values) / sum(seconds)
    assert rate > 0.9 * expected, f"{rate:.0f} values a second came, {expected:.0f} were sent"
    costs = [
        1e6 * used / count if row.unit == "us_per_value" else 100 * used / span
        for used, count, span in zip(cpu_s, values, seconds, strict=True)
    ]
    cost = statistics.median(costs)
    verdicts = sorted({model["verdict"] for model in status["models"]})
    return {
        "table": "agent", "row": row.name, row.unit: round(cost, 2), "goal": row.goal,
        "reached": cost <= row.goal, "values_per_s": round(rate), "turns": len(costs),
        "spread": [round(min(costs), 2), round(max(costs), 2)],
        "rss_mb": round(rss_mb, 1), "loop_lag_p99_ms": status["process"]["loop_lag_p99_ms"],
        "verdicts": verdicts, "machine_load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short turns: for a first look")
    parser.add_argument("rows", nargs="*", help="only these rows", metavar="row")
    arguments = parser.parse_args()
    for row in ROWS:
        if arguments.rows and row.name not in arguments.rows:
            continue
        long = row.unit == "cpu_percent"
        warm_up_s, turn_s = (5.0, 5.0) if arguments.quick else (30.0, 15.0) if long else (10.0, 8.0)
        print(json.dumps(measure(row, warm_up_s, turn_s, 3)), flush=True)


if __name__ == "__main__":
    main()
