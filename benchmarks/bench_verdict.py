"""How fast a model gets its verdict while the agent guards 1,000 tags.

The agent of `bench_agent.py`'s last row (1,000 tags at 1 Hz over three protocols, four models, an
uplink) is asked for verdicts at an even pace, as models ask: one connection each, kept open. A
request that could not be sent in time counts from when it was due, so a server that stands still
is seen in full (no coordinated omission).

`python benchmarks/bench_verdict.py [--quick]` prints one JSON line: percentiles in ms, the share of
requests within the goal, and what the same loop takes for an answer that needs nothing (`idle`), so
that two machines can be compared by the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_agent import ROWS, agent, until_ready

from agent.configuration.load import load

RATE = 200  # requests a second
CLIENTS = 20
GOAL_MS = 5.0


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


async def measure(host: str, port: int, paths: list[str], seconds: float) -> np.ndarray:
    """Milliseconds of every request, float64[n]."""
    began, took = time.perf_counter() + 0.2, list[float]()
    due = [began + n / RATE for n in range(round(RATE * seconds))]
    await asyncio.gather(*(
        ask(host, port, paths[client % len(paths)], due[client::CLIENTS], took)
        for client in range(CLIENTS)
    ))
    return np.array(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="for a first look")
    seconds = 10.0 if parser.parse_args().quick else 60.0
    row = ROWS[-1]
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        with agent(row, folder) as found:
            until_ready(row, folder / "state" / "fieldwarden.db", found)
            configuration = load(folder / "config.toml")
            host, port = configuration.status.address
            paths = [f"/api/v1/models/{name}/verdict" for name in configuration.models]
            took = asyncio.run(measure(host, port, paths, seconds))
            idle = asyncio.run(measure(host, port, ["/page/page.css"], seconds / 4))
    p50, p95, p99, most = np.percentile(took, [50, 95, 99, 100]).round(2).tolist()
    print(json.dumps({
        "table": "verdict", "row": row.name, "requests": len(took), "rate_per_s": RATE,
        "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": most,
        "within_goal": round(float((took <= GOAL_MS).mean()), 5), "goal_ms": GOAL_MS,
        "reached": p99 <= GOAL_MS, "idle_p99_ms": round(float(np.percentile(idle, 99)), 2),
        "p99_over_idle": round(p99 / float(np.percentile(idle, 99)), 2),
        "machine_load": round(os.getloadavg()[0], 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
