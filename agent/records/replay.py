"""Replay: the same engine over recorded data, with events and scans written to files.

A wide table is turned into blocks, one row of it arriving at its own time; a journal is folded as
it was committed, commands included. No clock is read: the same data gives the same files.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np

from agent.configuration.schema import Configuration
from agent.core.engine import Engine
from agent.core.kernels import JOINT_CHARTS
from agent.core.spec import EngineSpec
from agent.errors import FieldwardenError
from agent.records.table import Table, read_table, tags_of_texts
from agent.records.times import Reading
from agent.runtime.assemble import baselines_of, build_spec
from agent.store import Reader
from agent.types import Block, Command, Entry, Event

_ROWS_AT_ONCE = 512
_MOST_OFF = 1.1  # times; intervals that are closer are one
_SQLITE = b"SQLite format 3\x00"


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """How much was folded, and what came of it."""

    entries: int
    scans: int
    events: int
    raised: int
    notes: tuple[str, ...] = ()  # on the data


def replay(
    configuration: Configuration, data: Path, events: Path | None, scans: Path | None,
    how: Reading | None = None,
) -> ReplayResult:  # fmt: skip
    """Fold recorded data; write events as JSON lines and scans as CSV.

    Raises:
        FieldwardenError: the data can not be read or holds none of the tags.
    """
    with data.open("rb") as file:
        is_journal = file.read(16) == _SQLITE
    if is_journal:
        notes: tuple[str, ...] = ()
        spec, entries = _journal(configuration, data)
    else:
        spec, entries, notes = _table(configuration, data, how, one_by_one=scans is not None)
    with ExitStack() as stack:
        event_file = stack.enter_context(events.open("w", encoding="utf-8")) if events else None
        scan_file = (
            stack.enter_context(scans.open("w", encoding="utf-8", newline="")) if scans else None
        )
        return replace(run_entries(Engine(spec), entries, event_file, scan_file), notes=notes)


def run_entries(
    engine: Engine, entries: Iterator[Entry], event_file: TextIO | None, scan_file: TextIO | None
) -> ReplayResult:
    """Fold entries through one engine; see `replay`."""
    writer = ScanWriter(engine, scan_file) if scan_file else None
    folded = made = raised = 0
    for entry in entries:
        outcome = engine.step(entry)
        folded += 1
        made += len(outcome.events)
        raised += sum(event.data.get("change") == "raised" for event in outcome.events)
        if event_file is not None:
            for event in outcome.events:
                event_file.write(event_line(event) + "\n")
        if writer is not None:
            writer.write()
    scans = sum(scan.count for scan in engine.charts.scans)
    return ReplayResult(folded, scans, made, raised)


def event_line(event: Event) -> str:
    """One event as a JSON object with an ISO 8601 time.

    `kind` is the event's; a fault's own is `condition_kind`.
    """
    head = {"time": iso(event.time_ns), "kind": event.kind, "subject": event.subject}
    told = {f"{event.kind}_{key}" if key in head else key: v for key, v in event.data.items()}
    return json.dumps(head | told, allow_nan=False)


def iso(time_ns: int) -> str:
    """Engine time as ISO 8601 in UTC, to the microsecond."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest // 1000:06d}Z" if rest else f"{text}Z"


def table_entries(spec: EngineSpec, table: Table, rows_at_once: int) -> Iterator[Block]:
    """Blocks of a wide table; missing cells are not sent; each row arrives at its time.

    A block is sealed at the time of the row after it, so that the scan between them is in it.
    """
    names = [name for name in table.names if name in spec.tag_of]
    values = np.ascontiguousarray(table.select(names).values)
    index = np.array([spec.tag_of[name].index for name in names], np.int32)
    times = table.time_ns
    end = int(times[-1]) + table.interval_ns
    for number, start in enumerate(range(0, len(times), rows_at_once)):
        stop = min(start + rows_at_once, len(times))
        part = values[start:stop]
        row, column = np.nonzero(~np.isnan(part))
        arrival = times[start:stop][row]
        sealed = int(times[stop]) if stop < len(times) else end
        yield Block(
            number + 1, sealed, index[column], arrival, arrival, part[row, column],
            np.zeros(len(row), np.uint16),
        )


def recorded_spec(
    configuration: Configuration, columns: Iterable[str],
    intervals_ns: Mapping[str, int] | None = None,
) -> EngineSpec:  # fmt: skip
    """The engine's spec for a wide table: its columns and the models' inputs, each sampled.

    A configured tag that the table does not have, and no model needs, is nobody's fault.

    Args:
        configuration: of the agent.
        columns: that the table has.
        intervals_ns: at which they come there; that of a trained input is known.
    """
    models = configuration.models.values()
    needed = {name for model in models for name in model.inputs}
    needed |= {model.mode.tag for model in models if model.mode}
    kept = {
        name: tag
        for name, tag in configuration.tags.items()
        if name in needed or name in set(columns)
    }
    part = configuration.model_copy(update={"tags": kept})
    ids = {name: row for row, name in enumerate(kept)}
    return build_spec(part, ids, baselines_of(configuration), recorded=intervals_ns or {})


def _table(
    configuration: Configuration, data: Path, how: Reading | None, *, one_by_one: bool
) -> tuple[EngineSpec, Iterator[Entry], tuple[str, ...]]:
    table = read_table(
        data, list(configuration.tags), texts=tags_of_texts(configuration), lenient=True, how=how
    )
    steps = {name: table.steps_ns(name) for name in table.names}
    intervals_ns = {name: int(np.median(own)) for name, own in steps.items() if len(own)}
    spec = recorded_spec(configuration, table.names, intervals_ns)
    entries = table_entries(spec, table, 1 if one_by_one else _ROWS_AT_ONCE)
    notes = (*table.understood, *table.notes, *_other_interval(configuration, table.interval_ns))
    return spec, after_texts(table, entries), notes


def _other_interval(configuration: Configuration, interval_ns: int) -> Iterator[str]:
    """Of each model that was trained on rows further apart, or closer, than these: that it was."""
    for name, baseline in baselines_of(configuration).items():
        trained = baseline.interval_ns
        if not 1 / _MOST_OFF < interval_ns / trained < _MOST_OFF:
            yield (
                f"the record has a row every {interval_ns / 1e9:g} s, but model {name} was trained "
                f"on one every {trained / 1e9:g} s: delays, and false alarms, are not those of "
                "`fit`; thin the record out, or fit on one like it"
            )


def after_texts(table: Table, blocks: Iterator[Block]) -> Iterator[Entry]:
    """The texts of a table's codes, told as the agent journals them, then its blocks."""
    start = int(table.time_ns[0])
    for number, (code, text) in enumerate(table.texts.items(), start=1):
        yield Command(number, start, "text", {"code": code, "text": text})
    for block in blocks:
        yield replace(block, sequence=block.sequence + len(table.texts))


def _journal(configuration: Configuration, data: Path) -> tuple[EngineSpec, Iterator[Entry]]:
    reader = Reader(data)
    ids = reader.tag_ids()
    missing = sorted(set(configuration.tags) - set(ids))
    if missing:
        raise FieldwardenError(
            "replaying", str(data), f"the journal has no tag {', '.join(missing[:5])}",
            "use the configuration that the agent ran with",
        )
    spec = build_spec(configuration, ids, baselines_of(configuration))
    return spec, reader.journal()


class ScanWriter:
    """Writes a CSV line per scan: time, model, verdict, whether it is outside of training (0 or 1),
    open incidents of the model, joint scores, worst detector per input.
    """

    def __init__(self, engine: Engine, file: TextIO) -> None:
        self._engine = engine
        self._writer = csv.writer(file)
        self._done = [0] * len(engine.spec.models)
        inputs = [name for model in engine.spec.models for name in model.inputs]
        self._inputs = list(dict.fromkeys(inputs))
        self._rows: dict[int, dict[str, int]] = {}
        for index, model in enumerate(engine.spec.models):
            self._rows[index] = dict(zip(model.inputs, engine.spec.rows_of(index), strict=True))
        self._writer.writerow(
            ["time", "model", "verdict", "extrapolating", "open_incidents",
             *(chart.name for chart in JOINT_CHARTS), "worst", "score", *self._inputs]
        )

    def write(self) -> None:
        """Write a line for every model that had a scan since the last call."""
        for index, model in enumerate(self._engine.spec.models):
            scans = self._engine.charts.scans[index]
            if scans.count == self._done[index]:
                continue
            self._done[index] = scans.count
            worst = {name: _worst(self._engine, row) for name, row in self._rows[index].items()}
            top = max(worst, key=lambda name: worst[name][1])
            verdict = self._engine.judge.verdicts.get(model.name)
            joint = scans.joint.scores()
            self._writer.writerow([
                iso(scans.last_ns - model.scan_ns // 2), model.name,
                verdict.verdict if verdict else "unassessable",
                int(self._engine.judge.extrapolating(index)),
                self._engine.judge.incidents(model.name), *(f"{x:.4g}" for x in joint),
                f"{top} {worst[top][0]}", f"{worst[top][1]:.4g}",
                *(_cell(worst.get(name)) for name in self._inputs),
            ])


def _worst(engine: Engine, row: int) -> tuple[str, float]:
    scores = engine.charts.scores(row)
    name = max(scores, key=lambda key: scores[key])
    return name, scores[name]


def _cell(worst: tuple[str, float] | None) -> str:
    return "" if worst is None else f"{worst[0]} {worst[1]:.3g}"


