"""Golden cases: a folder each, with what goes in (case.json, samples.csv) and what must come out.

`pytest tests/golden --update-golden` writes events.jsonl anew; read the difference before keeping
it. What a case is about stands in `expect` of its case.json and is never rewritten.

A cell of samples.csv is ``value``, ``value/quality`` or ``/quality``; an empty cell is not sent.
"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.configuration import units
from agent.core.engine import Engine
from agent.core.spec import EngineSpec, ModelSpec, TagSpec
from agent.types import Block, Command, Entry, Event, Quality
from tests.core import small
from tests.core.small import SECOND, START

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/case.json"))
ORDER = ("trusted", "caution", "untrusted", "unassessable")


def spec_of(case: dict[str, Any]) -> EngineSpec:
    tags = tuple(
        TagSpec(row + 1, name, tag["source"], tag["unit"], physical=tuple(tag["physical"]),
                role="output" if name in case.get("outputs", {}) else "input")
        for row, (name, tag) in enumerate(case["tags"].items())
    )
    given = case.get("outputs", {})  # name -> what one standard deviation of each input gives
    inputs = tuple(
        replace(small.input_baseline(name, centre=tag["centre"], scale=tag["scale"]),
                unit=tag["unit"])
        for name, tag in case["tags"].items() if name not in given
    )
    outputs = tuple(
        replace(made, item=replace(made.item, unit=case["tags"][name]["unit"]))
        for name, slopes in given.items()
        for made in [small.output_of(name, slopes, **{
            key: case["tags"][name][key] for key in ("centre", "scale")
        })]
    )
    trained = small.baseline()
    trained = replace(
        trained, modes=(replace(trained.modes[0], inputs=inputs, outputs=outputs),)
    )
    model = ModelSpec(
        "yield", "2026.3", SECOND, tuple(item.tag for item in inputs),
        frozenset(case["required"]), trained, outputs=tuple(given),
    )
    sources = tuple(dict.fromkeys(tag.source for tag in tags))
    return EngineSpec(tags, sources, (model,), 60 * SECOND, changes=units.changes())


def entries_of(folder: Path, case: dict[str, Any]) -> list[Entry]:
    """A block a second, and each command where it belongs."""
    made: list[Entry] = []
    commands = [(START + round(at * SECOND), kind, data) for at, kind, data in case["commands"]]
    with (folder / "samples.csv").open(encoding="utf-8", newline="") as file:
        for row in list(csv.reader(file))[1:]:
            arrival = START + int(row[0]) * SECOND
            cells = [(column + 1, cell) for column, cell in enumerate(row[1:]) if cell]
            value = [float(cell.partition("/")[0] or "nan") for _, cell in cells]
            marks = [
                Quality[name.upper()] if (name := cell.partition("/")[2]) else 0
                for _, cell in cells
            ]
            times = np.full(len(cells), arrival, np.int64)
            ends = [at for at, _, _ in commands if arrival < at <= arrival + SECOND]
            block = Block(
                len(made) + 1, ends[0] if ends else arrival + SECOND,
                np.array([tag for tag, _ in cells], np.int32), times, times,
                np.array(value, np.float64), np.array(marks, np.uint16),
            )
            made.append(block)
            made += [
                Command(len(made) + 1, at, kind, data) for at, kind, data in commands if at in ends
            ]
    return made


def line(event: Event) -> str:
    """One event; times in seconds since the start, scores to six digits."""
    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key.removesuffix("_ns"): round((item - START) / SECOND, 9)
                if key.endswith("_ns") and item else plain(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, str):
            return value.replace(f"@{START // SECOND}", "@start+")
        return float(f"{value:.6g}") if isinstance(value, float) else value

    head = {"second": round((event.time_ns - START) / SECOND, 9), "event": event.kind,
            "subject": event.subject}
    return json.dumps(head | plain(dict(event.data)), allow_nan=False)


@pytest.mark.parametrize("name", CASES)
def test_golden(name, request):
    """What the engine says of this recording is what a person once read and kept."""
    folder = HERE / name
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    engine = Engine(spec_of(case))
    events = [event for entry in entries_of(folder, case) for event in engine.step(entry).events]
    text = "".join(line(event) + "\n" for event in events)
    file = folder / "events.jsonl"
    if request.config.getoption("--update-golden"):
        file.write_text(text, encoding="utf-8")
    check(case["expect"], events)
    assert text.splitlines() == file.read_text(encoding="utf-8").splitlines()


def check(expect: dict[str, Any], events: list[Event]) -> None:
    """What the case is about, whatever else was said."""
    conditions = [event for event in events if event.kind == "condition"]
    raised = [event for event in conditions if event.data["change"] == "raised"]
    assert {event.subject for event in raised} == {expect["subject"]}
    assert len(raised) == 1, "one fault is one alarm"
    named = [e for e in conditions if e.data["change"] in {"raised", "updated"}][-1].data
    assert (named["kind"], named["cause"]) == (expect["kind"], expect["cause"])
    cleared = [event for event in conditions if event.data["change"] == "cleared"]
    assert len(cleared) == int(expect["cleared"])
    verdicts = [event for event in events if event.kind == "verdict"]
    first = next(i for i, e in enumerate(verdicts) if e.data["verdict"] == "trusted")
    assert max(ORDER.index(e.data["verdict"]) for e in verdicts[first:]) == ORDER.index(
        expect["worst"]
    )
    assert verdicts[-1].data["verdict"] == expect["last"]


def test_there_is_a_case_for_every_common_fault():
    """The folders are found, none is empty, and the faults that a plant sees most are there."""
    assert set(CASES) >= {
        "stuck", "unit_change", "source_lost_and_back", "source_silent", "out_of_trained_range",
        "bad_quality", "missing", "spike", "level_shift", "drift", "noise",
    }
