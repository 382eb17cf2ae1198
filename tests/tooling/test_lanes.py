"""Every test is handed out once, the longest first, and more workers than cores fit the memory."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import lanes
from tests.once import made_once

ROOT = Path(__file__).parents[2]
COMPUTE = "tests/core/test_engine.py", "tests/core/test_state.py", "tests/fit/test_step.py"
WAIT = "tests/end_to_end/test_clock.py", "tests/end_to_end/test_acting.py"
IDS = [f"{file}::test_{number}" for file in (*COMPUTE, *WAIT) for number in range(4)]


class Node:
    """A worker that only notes what it is told to run."""

    shutting_down = False

    def __init__(self, number):
        self.gateway, self.told = SimpleNamespace(id=f"gw{number}"), []

    def send_runtest_some(self, indexes):
        self.told += [IDS[index] for index in indexes]

    def shutdown(self):
        self.shutting_down = True


@pytest.fixture
def nodes():
    return [Node(number) for number in range(4)]


def handed_out(nodes, turns):
    """The scheduler, once these nodes have each done what they were given, in turns."""
    made = lanes.Lanes.__new__(lanes.Lanes)
    made.numnodes, made.log = len(nodes), lambda *_: None
    made.workqueue, made.assigned_work = OrderedDict(), {node: {} for node in nodes}
    made.registered_collections = {node: list(IDS) for node in nodes}
    for one in IDS:
        made.workqueue.setdefault(lanes.unit(one), {})[one] = False
    for place in turns:
        if made.workqueue:
            made._assign_work_unit(nodes[place])
    return made


@pytest.mark.parametrize("turns", [(0, 1, 2, 3) * 5, (0,) * 20, (1,) * 20, (3, 0, 0, 0) * 5])
def test_every_test_is_handed_out_once(nodes, turns):
    """Whoever asks; files as a whole, tests end to end one by one."""
    assert not handed_out(nodes, turns).workqueue
    told = [one for node in nodes for one in node.told]
    assert sorted(told) == sorted(IDS)
    for node in nodes:
        for file in COMPUTE:
            assert sum(one.startswith(file) for one in node.told) in {0, 4}


def test_each_lane_has_its_workers_and_the_longest_comes_first(nodes):
    """A quarter of the workers compute; one whose lane is empty takes from the other."""
    handed_out(nodes, (0, 1, 0, 2))
    assert nodes[0].told[0].startswith(COMPUTE[0])
    assert all(one.startswith(COMPUTE) for one in nodes[0].told)
    assert nodes[1].told[0].startswith(WAIT[0]) and nodes[2].told[0].startswith(WAIT[0])
    other = Node(1)
    handed_out([other, *nodes[1:]], (0,) * 11)
    assert other.told[8].startswith(COMPUTE[0])  # after all that wait


@pytest.mark.parametrize(
    ("cores", "gigabytes", "workers"), [(2, 20, 4), (4, 14, 8), (2, 3, 2), (8, 4, 2), (1, 0, 1)]
)
def test_workers_fit_into_memory(cores, gigabytes, workers):
    """Two a core, where there is room for them; one always."""
    assert lanes.wanted(cores, gigabytes * 10**9) == workers
    assert any(lanes.computes(f"gw{number}", workers) for number in range(workers))


def test_what_is_named_is_there():
    """A file that was renamed would be thought short, and come last."""
    named = [*lanes.SECONDS, *lanes.WAITING, *lanes.ONE_BY_ONE]
    assert [one for one in named if not (ROOT / one).exists()] == []


def test_what_is_made_once_is_made_once(tmp_path_factory):
    """The second one that asks gets what the first made; a failure is none that lasts."""
    made = []

    def make(folder):
        made.append(folder)
        if len(made) == 1:
            raise OSError
        (folder / "x").write_text("whole")

    with pytest.raises(OSError):
        made_once(tmp_path_factory, "test-of-once", make)
    found = [made_once(tmp_path_factory, "test-of-once", make) for _ in range(2)]
    assert len(made) == 2 and found[0] == found[1]
    assert (found[0] / "x").read_text() == "whole"
