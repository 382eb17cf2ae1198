"""The demonstration as a person runs it: separate processes, Ctrl-C, a table, nothing left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from tests.waiting import PATIENCE_S, START_S

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo(tmp_path):
    command = [sys.executable, "-m", "agent.cli", "demo", "--free-ports", "--folder", str(tmp_path)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    watchdog = threading.Timer(4 * START_S, process.kill)
    watchdog.start()
    yield process
    watchdog.cancel()
    if process.poll() is None:
        process.kill()
    process.wait(PATIENCE_S)
    process.stdout.close()


@pytest.mark.slow
def test_demo_detects_the_first_fault_and_ends_on_ctrl_c(demo):
    """Stuck is injected, named and received; Ctrl-C prints the table and leaves no process."""
    seen: list[str] = []
    children: list[psutil.Process] = []
    for line in demo.stdout:
        seen.append(line)
        if "the script of faults begins" in line:
            children = psutil.Process(demo.pid).children(recursive=True)
        if "central" in line and "steam.pressure is stuck" in line:
            demo.send_signal(signal.SIGINT)
            break
    assert len(children) >= 5, "".join(seen)  # two brokers, plant, soft sensor, agent
    rest = demo.stdout.read()
    assert demo.wait(PATIENCE_S) == 0, "".join(seen) + rest
    story = "".join(seen)
    assert re.search(r"status page: http://127\.0\.0\.1:\d+/", story)
    assert "40 times as fast" in story
    assert re.search(r"-> trusted", story)
    assert re.search(r"trusted -> untrusted: steam.pressure is stuck at", story)
    row = next(line for line in rest.splitlines() if "sensor stuck: steam.pressure" in line)
    assert re.search(r"\d\.\d s +untrusted +steam\.pressure is stuck at \S+ bar +yes", row)
    assert "raised without a fault" not in rest
    assert not [child for child in children if child.is_running()]
