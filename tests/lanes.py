"""Which worker runs what, so that the cores are busy while tests wait.

Tests with real processes wait on real time for most of theirs; others compute. Twice as many
workers as there are cores take from two lanes, the longest first: a quarter of them what computes,
at a lower priority, the others what waits; whoever has an empty lane takes from the other. With
one worker a core, and files in any order, the end of a run was ten minutes of idle cores.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

WORKER_BYTES = 1_500_000_000
"""What one worker takes with the processes that its tests start, measured."""

COMPUTING_NICE = 5
"""Added by workers that compute: what is asserted of real time is not held up by them."""

ONE_BY_ONE = ("tests/end_to_end/",)
"""Below these each test is handed out for itself: nothing is shared but what `made_once` made."""

WAITING = ("tests/end_to_end/", "tests/simulators/", "tests/sources/", "tests/starting/",
           "tests/central/", "tests/fleet/", "tests/hooks/", "tests/mqtt/")  # fmt: skip
"""Below these tests wait for processes and connections more than they compute."""

SECONDS: Mapping[str, float] = MappingProxyType({
    "tests/end_to_end/test_clock.py": 150.0,
    "tests/impact/test_assess.py": 120.0,
    "tests/starting/test_opcua_start.py": 90.0,
    "tests/end_to_end/test_trial.py": 60.0,
    "tests/core/test_compiled.py": 60.0,
    "tests/core/test_fold_of_commands.py": 60.0,
    "tests/contract/test_live.py": 50.0,
    "tests/end_to_end/test_changes.py": 40.0,
    "tests/end_to_end/test_exactly_once.py": 40.0,
    "tests/end_to_end/test_retraining.py": 40.0,
    "tests/core/test_engine.py": 40.0,
    "tests/core/test_evidence.py": 40.0,
    "tests/commands/test_cli.py": 30.0,
    "tests/core/test_resume.py": 30.0,
    "tests/drill/test_drill.py": 25.0,
    "tests/benchmarks/test_trust_rows.py": 30.0,
    "tests/end_to_end/test_changes_told.py": 30.0,
    "tests/end_to_end/test_continuity.py": 25.0,
    "tests/end_to_end/test_start.py": 25.0,
    "tests/end_to_end/test_hooks.py": 25.0,
    "tests/end_to_end/test_late_truth.py": 20.0,
    "tests/end_to_end/test_standing.py": 20.0,
    "tests/end_to_end/test_verdict_for_models.py": 20.0,
    "tests/core/test_outputs.py": 20.0,
    "tests/core/test_output_charts.py": 20.0,
    "tests/core/test_retraining.py": 20.0,
    "tests/core/test_timeline.py": 20.0,
    "tests/checking/test_baselines.py": 15.0,
    "tests/end_to_end/test_acting.py": 12.0,
    "tests/end_to_end/test_review.py": 12.0,
})  # fmt: skip
"""Of the longest files how long they take, in s: all tests, or each where they go one by one.

Measured on two cores. It decides the order alone: a wrong number costs time and no result.
"""

_ANY_TEST_S = 0.1

_KERNELS = """
from agent.core.engine import Engine
from tests.core.small import START, SECOND, baseline, cut, eventful, spec, tell
for held in (False, True):
    engine = Engine(spec(by_exception=held, trained=baseline(joint=True)))
    tell(engine, cut(eventful(seed=2), [START + 70 * SECOND]))
"""


class Lanes(LoadFileScheduling):
    """Files, or single tests, in two lanes."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._kernels = _compile_kernels()

    def schedule(self) -> None:
        """Every worker has collected: by then the kernels are compiled, once for all of them."""
        self._kernels.wait()
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        computing = computes(node.gateway.id, self.numnodes)
        own = [scope for scope in self.workqueue if waits(scope) != computing]
        scope = max(own or self.workqueue, key=lambda one: seconds(one, len(self.workqueue[one])))
        self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


def unit(nodeid: str) -> str:
    """What is handed out as a whole: a file, or the test alone."""
    return nodeid if nodeid.startswith(ONE_BY_ONE) else nodeid.partition("::")[0]


def waits(scope: str) -> bool:
    """Whether a unit is of the lane of those that wait."""
    return scope.startswith(WAITING)


def seconds(scope: str, tests: int) -> float:
    """About how long a unit of so many tests takes, in s."""
    return SECONDS.get(scope.partition("::")[0], _ANY_TEST_S * tests)


def computes(worker: str, workers: int) -> bool:
    """Whether one of so many workers, by its name such as gw0, is for those that compute."""
    return int(worker.removeprefix("gw")) < max(1, workers // 4)


def wanted(cores: int, free_bytes: int) -> int:
    """How many workers: two a core, as far as there is memory for them."""
    return max(1, min(2 * cores, free_bytes // WORKER_BYTES))


def free_bytes() -> int:
    """Memory that programs can have."""
    with Path("/proc/meminfo").open(encoding="ascii") as lines:
        found = dict(line.split(":") for line in lines)
    return int(found["MemAvailable"].split()[0]) * 1024


def _compile_kernels() -> subprocess.Popen[bytes]:
    """Into numba's cache, which all workers and the agents that they start then read."""
    return subprocess.Popen([sys.executable, "-c", _KERNELS], cwd=Path(__file__).parents[1])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`--numprocesses auto`."""
    return wanted(len(os.sched_getaffinity(0)), free_bytes())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes | None:
    """`--dist loadfile` goes by lanes; any other way is as it was asked for."""
    return Lanes(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_finish() -> None:
    """Modules and 11,000 items stay: looking through them for garbage, over and over, doubles what
    building an OPC UA server takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def pytest_configure(config: pytest.Config) -> None:
    """A worker that computes lets others go first."""
    given = getattr(config, "workerinput", None)
    if given and computes(given["workerid"], given["workercount"]):
        os.nice(COMPUTING_NICE)
