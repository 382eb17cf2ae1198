"""Processes of a pool: they end with the one that has begun them, and give back what they took."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest

from agent.workers import each, elsewhere, give_back
from tests.processes import alive
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
WAIT_S = 60.0

SCRIPT = """
import sys
from pathlib import Path
from agent.workers import each, pool
from tests.test_workers import work_on

if __name__ == "__main__":
    if sys.argv[1] == "pool":
        with pool(2) as processes:
            list(processes.map(work_on, [sys.argv[2]] * 4))
    else:
        list(each(work_on, (), [sys.argv[2]] * 4, 2, "working"))
"""


def work_on(folder):
    """A task that never ends by itself."""
    Path(folder, str(os.getpid())).touch()
    while True:
        sum(range(1000))


@pytest.mark.parametrize("how", ["pool", "each"])
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_processes_of_a_pool_end_with_their_parent(tmp_path, how, ending):
    """However it is ended, and however much work they have."""
    (tmp_path / "script.py").write_text(SCRIPT)
    folder = tmp_path / "pids"
    folder.mkdir()
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), how, str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    children = []
    try:
        wait_until(lambda: len(list(folder.iterdir())) == 2)
        children = [psutil.Process(int(file.name)) for file in folder.iterdir()]
        parent.send_signal(ending)
        parent.wait(WAIT_S)
        wait_until(lambda: not any(alive(child.pid) for child in children))
    finally:
        for one in (parent, *children):
            with contextlib.suppress(psutil.Error):
                one.kill()
        parent.wait()


def test_memory_that_is_free_is_given_back():
    """What was freed amid what is still held leaves the process."""
    before, held, after = elsewhere(_held_and_given_back)
    assert held - before > 100e6
    assert after - before < 0.5 * (held - before)


def _held_and_given_back():
    """RSS before, after half of many small pieces was freed, and when that was given back."""
    own = psutil.Process()
    before = own.memory_info().rss
    pieces = [np.ones(12_000) for _ in range(2000)]  # of a heap, not of mappings of their own
    kept = pieces[::40]
    del pieces
    held = own.memory_info().rss
    give_back()
    assert len(kept) == 50
    return before, held, own.memory_info().rss


def _doubled(task):
    return 2 * task


class _Counted(Sequence):
    """Tasks that know how many were asked for."""

    def __init__(self, count):
        self.count, self.asked = count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, at):
        if at >= self.count:
            raise IndexError(at)
        self.asked += 1
        return at


def test_few_tasks_are_asked_for_before_others_are_done():
    """What is sent to a process is held until it is done: not a record of every input at once."""
    tasks = _Counted(30)
    found = each(_doubled, (), tasks, 2, doing="doubling")
    assert next(found) == 0
    assert tasks.asked <= 6
    assert list(found) == [2 * at for at in range(1, 30)]
