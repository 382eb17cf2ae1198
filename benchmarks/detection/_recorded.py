"""Recorded processes through the real engine: fit on one part of a record, judge another."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.configuration.schema import Configuration
from agent.core.baseline_file import write_baseline
from agent.core.engine import Engine
from agent.core.verdict import EXTRAPOLATING
from agent.fit.model import fit_model
from agent.records.replay import recorded_spec, table_entries
from agent.records.table import Table
from agent.types import Event, Float64

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
SECOND = 1_000_000_000
MODEL = "recorded"
_ROWS_AT_ONCE = 512

Flags = NDArray[np.bool_]


def data_folder(name: str, about: str) -> Path:
    """The folder of a data set: `--data` (default: shared/data beside the repository) / name."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with tep, skab and nab")
    chosen: Path = parser.parse_args().data
    return chosen / name


def say(**row: object) -> None:
    """Print a row of the table."""
    print(json.dumps(row, allow_nan=False), flush=True)


def note(text: str) -> None:
    """Tell whoever waits how far the work is; the table itself goes to stdout."""
    print(text, file=sys.stderr, flush=True)


def absent(table: str, folder: Path) -> None:
    """Say that there is no data to judge."""
    say(table=table, skipped=f"no data in {folder}", reached=None)


def table_of(values: Float64, names: Sequence[str], interval_ns: int, start_ns: int = 0) -> Table:
    """Rows float64[n, d] at a fixed interval, from `start_ns` (0: some day of 2023)."""
    first = start_ns or 1_700_000_000 * SECOND
    times = first + np.arange(len(values), dtype=np.int64) * interval_ns
    return Table(times, tuple(names), np.asfortranarray(values), interval_ns)


def configuration(
    names: Sequence[str], interval_ns: int, false_alarms: str, folder: str, unit: str = ""
) -> Configuration:
    """One model on all tags, scanned as often as the record was sampled; `unit` is every tag's."""
    return Configuration.model_validate({
        "schema": 1,
        "gateway": {"site": "bench", "name": MODEL, "false_alarms": false_alarms},
        "sources": {"plant": {"protocol": "modbus", "host": "127.0.0.1"}},
        "tags": {
            name: {"source": "plant", "address": f"holding {2 * row} float32 ABCD",
                   "unit": unit}
            for row, name in enumerate(names)
        },
        "models": {
            MODEL: {
                "version": "1", "owner": {"team": "bench", "contact": "bench@plant.example"},
                "baseline": str(Path(folder) / "baseline.json"), "scan": interval_ns,
                "inputs": list(names),
            }
        },
    })  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What the engine said of every row of a table.

    `verdicts`: of the model after each row's scan; `flagged`: rows at which it was not trusted for
    more than a fact, such as a value outside the trained range; `joint`: whether any joint chart
    was over its limit then; `raised`: rows at which a condition was raised; `events`: everything.
    """

    verdicts: list[str]
    flagged: Flags
    joint: Flags
    raised: tuple[int, ...]
    events: tuple[Event, ...]

    def conditions(self, change: str = "raised") -> list[Event]:
        """The conditions that were raised, in order."""
        return [event for event in self.events if event.data.get("change") == change]


class Guard:
    """A model with its baseline, as an operator would have it."""

    def __init__(self, train: Table, false_alarms: str, unit: str = "") -> None:
        with tempfile.TemporaryDirectory() as folder:
            set_up = configuration(train.names, train.interval_ns, false_alarms, folder, unit)
            self.report = fit_model(set_up, MODEL, train)
            write_baseline(Path(folder) / "baseline.json", self.report.baseline)
            self.spec = recorded_spec(set_up, train.names)

    def judge(self, table: Table) -> Judged:
        """Fold a table through a fresh engine."""
        engine = Engine(self.spec)
        events = [
            event
            for block in table_entries(self.spec, table, _ROWS_AT_ONCE)
            for event in engine.step(block).events
        ]
        return _by_row(table, events)


def doubted(verdict: Event) -> bool:
    """Whether a verdict is not "trusted" for more than facts, which are no alarms."""
    return any(reason["kind"] != EXTRAPOLATING for reason in verdict.data["reasons"])


def _by_row(table: Table, events: list[Event]) -> Judged:
    """A row holds what was said before the next row came."""
    ends = np.append(table.time_ns[1:], table.time_ns[-1] + table.interval_ns)
    verdicts, now, doubt = [], "unassessable", True
    flagged, joint = np.zeros(len(ends), np.bool_), np.zeros(len(ends), np.bool_)
    up: set[str] = set()
    left = iter(events)
    event = next(left, None)
    for row, end in enumerate(ends.tolist()):
        over = bool(up)
        while event is not None and event.time_ns < end:
            if event.kind == "verdict":
                now, doubt = str(event.data["verdict"]), doubted(event)
            elif event.kind == "finding" and event.subject.startswith("model/"):
                (up.add if event.data["up"] else up.discard)(str(event.data["detector"]))
                over = over or bool(up)
            event = next(left, None)
        verdicts.append(now)
        flagged[row], joint[row] = doubt, over
    raised = tuple(
        int(np.searchsorted(ends, event.time_ns, side="right"))
        for event in events if event.data.get("change") == "raised"
    )
    return Judged(verdicts, flagged, joint, raised, tuple(events))
