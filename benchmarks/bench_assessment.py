"""The agent's loop while changes are assessed beside it: 1,000 tags at 1 Hz, four models.

The agent of `bench_agent.py` runs for a while, so that there is a past; then changes are proposed
one after the other, so that an assessment runs all the time. The lag of the loop is measured
before and meanwhile.

`python benchmarks/bench_assessment.py [--quick]` prints one JSON line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
from pathlib import Path

from bench_agent import ROWS, agent, until_ready

from agent.client import request, tell
from agent.configuration.load import load

GOAL_MS = 20.0
ROW = next(row for row in ROWS if row.unit == "cpu_percent")


def propose(socket: Path, tag: str, factor: float) -> str:
    """One change more; its id."""
    document = {"text": f"{tag} x {factor}", "who": "bench", "tags": {tag: {"factor": factor}}}
    event = tell(socket, "propose", {"change": document, "note": "bench"})
    return str(event["data"]["id"])


def lags(socket: Path, seconds: float) -> list[float]:
    """The loop's p99 lag as the agent tells it, once a second, in ms."""
    found = []
    for _ in range(round(seconds)):
        time.sleep(1.0)
        found.append(request(socket, "GET", "/api/v1/status")["process"]["loop_lag_p99_ms"])
    return found


def assessed(socket: Path, ids: list[str], limit_s: float) -> tuple[list[float], list[dict]]:
    """The lag while these are assessed, and the assessments."""
    meanwhile: list[float] = []
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        time.sleep(1.0)
        status = request(socket, "GET", "/api/v1/status")
        mine = [one for one in status["changes"] if one["id"] in ids]
        if any(one["assessing"] for one in mine):
            meanwhile.append(status["process"]["loop_lag_p99_ms"])
        done = [one["assessment"] for one in mine if one["assessment"]]
        if len(done) == len(ids):
            return meanwhile, done
    raise SystemExit(f"not all were assessed within {limit_s:g} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short past, two changes")
    quick = parser.parse_args().quick
    past_s, count = (40.0, 2) if quick else (180.0, 6)
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        folder = Path(directory)
        found = stack.enter_context(agent(ROW, folder))
        until_ready(ROW, folder / "state" / "fieldwarden.db", found)
        configuration = load(folder / "config.toml")
        socket = configuration.socket_path
        before = lags(socket, past_s)[-20:]
        tags = [model.inputs[0] for model in configuration.models.values()]
        ids = [propose(socket, tags[turn % len(tags)], 1.0 + 0.1 * (turn + 1))
               for turn in range(count)]  # fmt: skip
        meanwhile, done = assessed(socket, ids, 600.0)
    worst = max(meanwhile, default=0.0)
    print(json.dumps({
        "table": "assessment", "assessments": len(done), "goal_ms": GOAL_MS,
        "loop_lag_p99_ms_before": max(before), "loop_lag_p99_ms": worst,
        "reached": worst <= GOAL_MS, "past_s": past_s,
        "took_s": [one["took_s"] for one in done], "machine_load": round(os.getloadavg()[0], 1),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
