"""How fast a model gets its verdict while the agent guards 1,000 tags.

The agent of `bench_agent.py`'s last row (1,000 tags at 1 Hz over three protocols, four models, an
uplink) is asked for verdicts at an even pace, as models ask: one connection each, kept open. A
request that could not be sent in time counts from when it was due, so a server that stands still
is seen in full (no coordinated omission).

In turns with it, the same clients ask for something that needs nothing of the agent (`idle`), so
that both see the same machine, whatever else is done on it: what a verdict takes more, the agent
does. How late its loop was is told by `_turns.py`: as it was, and by CPU alone; where the latter is
small and the former is not, others had the cores.

`python benchmarks/bench_verdict.py [--quick] [--limit SECONDS]` says on stderr what it does, ends
within the limit (170 s), and prints one JSON line: percentiles in ms, the share of requests within
the goal, those of `idle`, the loop's lag, and how much of the time these clients waited for a core.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import tempfile
import time
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from _load import Bounded
from _turns import Turns
from bench_agent import ROWS, agent, until_ready

from agent.configuration.load import load

RATE = 200  # requests a second
CLIENTS = 20
GOAL_MS = 5.0
IDLE = "/page/page.css"


async def ask(host: str, port: int, path: str, due: list[float], took: list[float]) -> None:
    """One model: a request at each due time, one after another."""
    reader, writer = await asyncio.open_connection(host, port)
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    for at in due:
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the agent answers {head.splitlines()[0].decode()}")
        length = next(
            int(line.split(b":")[1]) for line in head.splitlines()
            if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        took.append(1e3 * (time.perf_counter() - at))
    writer.close()


async def measure(
    host: str, port: int, paths: list[str], seconds: float, limit_s: float
) -> np.ndarray:
    """Milliseconds of every request, float64[n]; where it has none after a time, so far."""
    began = time.perf_counter() + 0.2
    due = [began + n / RATE for n in range(round(RATE * seconds))]
    took: list[list[float]] = [[] for _ in range(CLIENTS)]
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit_s):
            await asyncio.gather(*(
                ask(host, port, paths[client % len(paths)], due[client::CLIENTS], own)
                for client, own in enumerate(took)
            ))
    now = time.perf_counter()
    left = [at for client, own in enumerate(took) for at in due[client::CLIENTS][len(own) :]]
    return np.array([*chain(*took), *(1e3 * (now - at) for at in left if at < now)])


Spans = list[tuple[int, int]]


def alternate(
    address: tuple[str, int], paths: list[str], turn_s: float, turns: int, bounded: Bounded
) -> tuple[np.ndarray, np.ndarray, Spans]:
    """(ms of verdicts, ms of idle requests, when verdicts were asked for), as time allows."""
    found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    spans: Spans = []
    for turn in range(turns):
        if turn and bounded.left_s < 3.0 * turn_s:
            break
        begin = time.monotonic_ns()
        found[0].append(asyncio.run(measure(*address, paths, turn_s, _limit(bounded))))
        spans.append((begin, time.monotonic_ns()))
        found[1].append(asyncio.run(measure(*address, [IDLE], turn_s, _limit(bounded))))
        p99, idle = (np.percentile(some[-1], 99) for some in found)
        bounded.note(f"turn {turn + 1} of {turns}: p99 {p99:.1f} ms, idle {idle:.1f} ms")
    return np.concatenate(found[0]), np.concatenate(found[1]), spans


def line(
    took: np.ndarray, idle: np.ndarray, lag: dict[str, float], waited: float
) -> dict[str, Any]:
    """The row; `waited` is the share of the time in which the clients waited for a core."""
    p50, p95, p99, most = np.percentile(took, [50, 95, 99, 100]).round(2).tolist()
    idle_p50, idle_p99 = np.percentile(idle, [50, 99]).round(2).tolist()
    return {
        "table": "verdict", "row": ROWS[-1].name, "requests": len(took), "rate_per_s": RATE,
        "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": most,
        "within_goal": round(float((took <= GOAL_MS).mean()), 5), "goal_ms": GOAL_MS,
        "reached": p99 <= GOAL_MS, "idle_p50_ms": idle_p50, "idle_p99_ms": idle_p99,
        "p50_over_idle": round(p50 / idle_p50, 2), "p99_over_idle": round(p99 / idle_p99, 2),
        "loop": lag, "clients_waited_for_a_core": round(waited, 4),
        "machine_load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def _waited_s() -> float:
    """Seconds for which this process's thread was ready to run, and had no core."""
    return int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9


def _limit(bounded: Bounded) -> float:
    """Seconds after which requests are given up: time is left for the other kind."""
    return max(bounded.left_s / 2.0, 1.0)


def measured(bounded: Bounded, turn_s: float, turns: int) -> dict[str, Any]:
    """The row."""
    row = ROWS[-1]
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        file = folder / "turns"
        bounded.note("training, and starting 1,000 tags over three protocols")
        with agent(row, folder, file) as found:
            bounded.note("waiting for every source and verdict")
            until_ready(row, folder / "state" / "fieldwarden.db", found, bounded.left_s)
            configuration = load(folder / "config.toml")
            paths = [f"/api/v1/models/{name}/verdict" for name in configuration.models]
            bounded.note("ready")
            began, before = time.monotonic(), _waited_s()
            address = configuration.status.address
            took, idle, spans = alternate(address, paths, turn_s, turns, bounded)
            waited = (_waited_s() - before) / (time.monotonic() - began)
        return line(took, idle, Turns.within(file, spans).told(), waited)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="for a first look")
    parser.add_argument("--limit", type=float, default=170.0, help="seconds, for all of it")
    asked = parser.parse_args()
    how = (5.0, 2) if asked.quick else (10.0, 6)
    Bounded("verdict", asked.limit).run(lambda bounded: measured(bounded, *how))


if __name__ == "__main__":
    main()
