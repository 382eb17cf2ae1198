"""Operating modes: each has its own baseline; changes are masked; the untrained is said."""

from __future__ import annotations

import numpy as np
import pytest

from agent.configuration.schema import Configuration
from agent.core.baseline_file import write_baseline
from agent.core.engine import Engine
from agent.core.spec import EngineSpec
from agent.fit.model import fit_model
from agent.records.replay import recorded_spec, table_entries
from agent.records.table import Table
from agent.types import Event

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
NAMES = ("a", "b", "c", "mode")
LEVEL = {0.0: 0.0, 1.0: 50.0, 2.0: 80.0, 3.0: 65.0}


def plant(plan: list[tuple[float, int]], rows: int, seed: int) -> Table:
    """A plant of three AR(1) inputs whose level follows the mode with a lag of 10 s."""
    noise = np.random.default_rng(seed).standard_normal((rows, 3))
    mode = np.resize(np.concatenate([np.full(n, code) for code, n in plan]), rows)
    wander, level = np.zeros((rows, 3)), np.zeros(rows)
    level[0] = LEVEL[float(mode[0])]
    for t in range(1, rows):
        wander[t] = 0.8 * wander[t - 1] + noise[t]
        level[t] = level[t - 1] + (LEVEL[float(mode[t])] - level[t - 1]) / 10
    values = wander + level[:, None] * np.array([1.0, 0.5, 2.0])
    times = START + np.arange(rows, dtype=np.int64) * SECOND
    return Table(times, NAMES, np.column_stack([values, mode]), SECOND)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EngineSpec:
    """A model trained in the modes stopped, grade A and grade B."""
    path = tmp_path_factory.mktemp("modes") / "m.json"
    configuration = Configuration.model_validate(
        {
            "schema": 1,
            "gateway": {"site": "s", "name": "g"},
            "sources": {"s": {"protocol": "mqtt", "host": "h"}},
            "tags": {name: {"source": "s", "address": f"{name} /v"} for name in NAMES},
            "models": {
                "m": {
                    "version": "1",
                    "owner": {"team": "t", "contact": "c"},
                    "baseline": str(path),
                    "scan": "1s",
                    "inputs": list(NAMES[:3]),
                    "mode": {"tag": "mode", "names": {"1": "grade A", "2": "grade B"}},
                }
            },
        }
    )
    trained = plant([(1, 900), (0, 600), (2, 800)], 25_000, 1)
    write_baseline(path, fit_model(configuration, "m", trained).baseline)
    return recorded_spec(configuration, NAMES)


def fold(spec: EngineSpec, table: Table, rows: int, *, resume: int = 0) -> list[Event]:
    """All events; with `resume`, a new engine goes on from a snapshot every so many blocks."""
    engine, events = Engine(spec), list[Event]()
    for block in table_entries(spec, table, rows):
        if resume and block.sequence % resume == 0:
            state = engine.snapshot()
            engine = Engine(spec)
            assert engine.resume(state) == []
        events += engine.step(block).events
    return events


def verdicts(events: list[Event]) -> list[tuple[float, str]]:
    return [
        ((e.time_ns - START) / SECOND, e.data["verdict"]) for e in events if e.kind == "verdict"
    ]


def test_each_mode_is_judged_by_its_own_baseline(spec: EngineSpec) -> None:
    """Levels far apart raise nothing, because each mode was trained at its own."""
    events = fold(spec, plant([(1, 500), (2, 900), (0, 700)], 6000, 2), 512)
    assert [e.data["mode"] for e in events if e.kind == "mode"][:4] == [
        "grade A", "grade B", "0", "grade A",
    ]  # fmt: skip
    assert not [e for e in events if e.data.get("change") == "raised"]


def test_a_change_is_masked_for_the_trained_time(spec: EngineSpec) -> None:
    """Right after a change the model is not assessed, and is again once changes used to be over."""
    mask_s = spec.models[0].baseline.mask_ns / SECOND
    assert 20 <= mask_s <= 200
    told = verdicts(fold(spec, plant([(1, 500), (2, 900)], 1400, 3), 512))
    assert told[1] == (9.5, "trusted")
    assert told[2] == (500.0, "unassessable")
    assert told[3] == (500.0 + mask_s + 9.5, "trusted")


def test_the_level_of_another_mode_is_found(spec: EngineSpec) -> None:
    """The mode tag says grade A while the plant runs at grade B's level: that is no normal A."""
    table = plant([(1, 400), (2, 900)], 1300, 4)
    table.values[:, 3] = 1.0
    events = fold(spec, table, 512)
    assert [e for e in events if e.data.get("change") == "raised"]


def test_a_mode_that_was_never_trained_is_not_judged(spec: EngineSpec) -> None:
    """The verdict says which mode it is, and nothing is raised on it."""
    events = fold(spec, plant([(1, 400), (3, 600)], 1000, 5), 512)
    last = [e for e in events if e.kind == "verdict"][-1]
    assert last.data["verdict"] == "unassessable"
    assert "3, which was never trained" in last.data["reasons"][0]["text"]
    assert not [e for e in events if e.data.get("change") == "raised"]


def test_blocks_and_snapshots_change_nothing(spec: EngineSpec) -> None:
    """Modes change in the middle of blocks and right after a resume; the events are the same."""
    table = plant([(1, 300), (2, 250), (0, 270)], 3000, 6)
    whole = fold(spec, table, 512)
    assert whole == fold(spec, table, 37)
    assert whole == fold(spec, table, 1, resume=101)
