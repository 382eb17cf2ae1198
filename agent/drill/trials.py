"""Trials: each fault on each input at random times of the record, through the real engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from agent.core.baseline import InputBaseline, ModeBaseline
from agent.core.engine import Engine
from agent.core.spec import EngineSpec, ModelSpec
from agent.drill.faults import CAUSES, FAULTS, Fault, Recording, can_not, inject, recording
from agent.records.table import Table
from agent.types import Block, Event, Float64, Int64
from agent.workers import each

LEAD = 400  # rows of normal operation before a fault, for the detectors to settle
_ROWS_AT_ONCE = 512
ALONE = 500_000  # values of all trials up to which one process is done before others have begun
_QUICK_ROWS = 20_000
_YEAR_NS = 365 * 86_400 * 1_000_000_000
_FEW = 8
_ALIKE = 0.5  # tags whose trained ranges overlap more than this are no test of a swap

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault on one input at one time: found after so many rows under which name, or not.

    `alarms` counts all conditions raised from its onset on, `before` those raised before it, of
    whatever subject; `incidents` those faults that people are told of from its onset on.
    """

    tag: str
    fault: Fault
    at: int
    found: bool
    delay: int
    name: str
    cause: str
    alarms: int
    before: int = 0
    incidents: int = 0
    unit: str = ""

    @property
    def outcome(self) -> str:
        """``right``, ``unknown`` or ``wrong``, as the cause was told; ``missed``."""
        if not self.found:
            return "missed"
        if self.cause in CAUSES[self.fault.kind]:
            return "right"
        return "unknown" if self.cause == "unknown" else "wrong"

    @property
    def right(self) -> bool:
        """Whether it was found under a name that is right for the fault."""
        return self.found and self.name in self.fault.right(self.unit)


@dataclass(frozen=True, slots=True)
class NormalRun:
    """The same record without faults: alarms that nobody put there, and how long it is.

    `alarms` are conditions, `incidents` the faults that people would be told of.
    """

    alarms: int
    rows: int
    not_trusted: float
    incidents: int = 0


def blocks(spec: EngineSpec, names: list[str], rows: Recording) -> Iterator[Block]:
    """The recording as blocks; a NaN of good quality is a value that did not come."""
    index = np.array([spec.tag_of[name].index for name in names], np.int32)
    times = rows.time_ns
    step = int(times[1] - times[0]) if len(times) > 1 else 1_000_000_000
    for number, start in enumerate(range(0, len(times), _ROWS_AT_ONCE)):
        stop = min(start + _ROWS_AT_ONCE, len(times))
        part, marks = rows.values[start:stop], rows.quality[start:stop]
        row, column = np.nonzero(~np.isnan(part) | (marks != 0))
        sealed = int(times[stop]) if stop < len(times) else int(times[-1]) + step
        yield Block(
            number + 1, sealed, index[column], rows.source_ns[start:stop][row, column],
            times[start:stop][row], part[row, column], marks[row, column],
        )


def events_of(spec: EngineSpec, names: list[str], rows: Recording) -> list[Event]:
    """All events of a fresh engine over a recording."""
    engine = Engine(spec)
    return [event for block in blocks(spec, names, rows) for event in engine.step(block).events]


def _unsummed(spec: EngineSpec) -> EngineSpec:
    """The same, but with windows of a year: nobody reads the summaries of a drill, and they cost as
    much as all judgement where rows are minutes apart.
    """
    return replace(spec, summary_ns=_YEAR_NS)


def normal_run(spec: EngineSpec, table: Table) -> NormalRun:
    """The whole record without faults."""
    spec = _unsummed(spec)
    names = [name for name in table.names if name in spec.tag_of]
    rows = recording(table.time_ns, np.ascontiguousarray(table.select(names).values))
    events = events_of(spec, names, rows)
    raised = [event for event in events if event.data.get("change") == "raised"]
    incidents = {event.data["incident"] for event in raised}
    return NormalRun(
        len(raised), len(table.time_ns), _not_trusted(events, table), len(incidents)
    )


def _not_trusted(events: list[Event], table: Table) -> float:
    """Share of the time after the first assessment in which a model was not trusted."""
    verdicts = [event for event in events if event.kind == "verdict"]
    bad_ns, total_ns = 0, 0
    end = int(table.time_ns[-1])
    for subject in {event.subject for event in verdicts}:
        own = [event for event in verdicts if event.subject == subject]
        first = next((i for i, e in enumerate(own) if e.data["verdict"] == "trusted"), None)
        if first is None:
            return 1.0
        total_ns += end - own[first].time_ns
        for event, after in zip(own[first:], [*own[first + 1 :], None], strict=True):
            if event.data["verdict"] != "trusted":
                bad_ns += (after.time_ns if after else end) - event.time_ns
    return bad_ns / total_ns if total_ns > 0 else 0.0


def part(table: Table, first: int, *, quick: bool) -> Table:
    """The record from row `first` on; of a long one not all of it, where it is to be quick."""
    first = max(first, len(table.time_ns) - _QUICK_ROWS) if quick else first
    return replace(table, time_ns=table.time_ns[first:], values=table.values[first:])


def few(model: ModelSpec) -> list[int]:
    """Positions of some inputs that move, spread evenly over all."""
    inputs = model.baseline.modes[0].inputs
    live = [place for place, item in enumerate(inputs) if item.noise > 0.0] or [0]
    count = min(_FEW, len(live))
    return [live[place * len(live) // count] for place in range(count)]


def columns(model: ModelSpec) -> tuple[str, ...]:
    """What a record must hold: the inputs, and the tag that tells the mode where there is one."""
    return model.inputs if model.mode_tag is None else (*model.inputs, model.mode_tag)


@dataclass(frozen=True, slots=True)
class Task:
    """One trial before it is run: a piece of the record (views), and where the fault begins.

    `time_ns` int64[n], `values` float64[n, d]; row `at` of them is `start` + `at` of the record.
    """

    fault: Fault
    column: int
    start: int
    at: int
    seed: tuple[int, ...]
    time_ns: Int64
    values: Float64


def trials(
    spec: EngineSpec, model: int, table: Table, *, repeats: int, seed: int = 0,
    faults: tuple[Fault, ...] = FAULTS, progress: Progress | None = None, first: int = 0,
    workers: int = 1, inputs: Sequence[int] | None = None,
) -> list[Trial]:
    """Every fault on every input of a model, `repeats` times, spread over the record.

    The same seed gives the same trials, whatever the number of workers. A fault that an input can
    not have is left out; `left_out` says which and why.

    Args:
        spec: of the engine.
        model: its index.
        table: the record.
        repeats: times for each fault and input.
        seed: of places, signs and noise.
        faults: which.
        progress: told (what, done, of) as the work goes on.
        first: the row of the record from which on faults may begin.
        workers: processes at most.
        inputs: positions of the inputs that get faults; None: all.
    """
    guarded = spec.models[model]
    values = np.ascontiguousarray(table.select(list(columns(guarded))).values)
    wanted = range(len(guarded.inputs)) if inputs is None else inputs
    tasks = [
        _task(guarded, table.time_ns, values, fault, column, (repeat, repeats, seed, first))
        for fault in faults for column in wanted
        if not _can_not(fault, guarded.baseline.modes[0].inputs, column)
        for repeat in range(repeats)
    ]
    tell = progress or (lambda what, done, of: None)
    done: list[Trial] = []
    if tasks:
        tell(_what(guarded, tasks[0]), 0, len(tasks))
    if sum(task.values.size for task in tasks) < ALONE:
        workers = 1
    for trial in each(run_trial, (_unsummed(spec), model), tasks, workers, "drilling"):
        done.append(trial)
        following = tasks[len(done)] if len(done) < len(tasks) else None
        what = _what(guarded, following) if following else "done"
        tell(what, len(done), len(tasks))
    return done


def _what(model: ModelSpec, task: Task) -> str:
    return f"{task.fault.text} on {model.inputs[task.column]}"


def _task(
    model: ModelSpec, time_ns: Int64, values: Float64, fault: Fault, column: int,
    which: tuple[int, int, int, int],
) -> Task:  # fmt: skip
    """One of `repeats` tasks: each has its own stretch of the record, and its own chance."""
    repeat, repeats, seed, first = which
    of_its_own = (seed & 0xFFFFFFFF, crc32(f"{fault.kind} {fault.size}".encode()), column, repeat)
    tau = model.baseline.modes[0].inputs[column].tau
    rows = max(fault.rows, int(np.ceil(5 * tau))) if fault.hard else fault.rows
    rows = min(rows, max(len(values) - LEAD - 1, 10))
    latest = max(len(values) - LEAD - rows, 0)
    earliest = min(max(first - LEAD, 0), latest)
    along = (repeat + np.random.default_rng([*of_its_own, 1]).random()) / repeats
    start = earliest + int(along * (latest - earliest))
    stop = min(start + LEAD + rows, len(values))
    at = min(LEAD, stop - start - 2)
    return Task(fault, column, start, at, of_its_own, time_ns[start:stop], values[start:stop])


def left_out(model: ModelSpec, faults: Sequence[Fault]) -> list[tuple[str, Fault, str]]:
    """(input, fault, why) of what can not be: constant, a state tag, another unit ..."""
    inputs = model.baseline.modes[0].inputs
    return [
        (name, fault, why) for fault in faults for column, name in enumerate(model.inputs)
        if (why := _can_not(fault, inputs, column))
    ]  # fmt: skip


def _can_not(fault: Fault, inputs: Sequence[InputBaseline], column: int) -> str:
    if why := can_not(fault, inputs[column]):
        return why
    if fault.kind == "swap" and _other(inputs, column) is None:
        return "no other tag has another range"
    return ""


def run_trial(spec: EngineSpec, model: int, task: Task) -> Trial:
    """Put the fault in, and see what the engine makes of it."""
    guarded, fault, column, at = spec.models[model], task.fault, task.column, task.at
    names = list(columns(guarded))
    normal = recording(task.time_ns, task.values)
    inputs = _mode_at(guarded, normal.values[at]).inputs
    other = _other(inputs, column) if fault.kind == "swap" else None
    rng = np.random.default_rng(list(task.seed))
    faulty = inject(normal, fault, column, at, inputs[column], rng, other=other)
    onset = int(normal.time_ns[at])
    told = [event for event in events_of(spec, names, faulty) if event.kind == "condition"]
    events = [event for event in told if event.time_ns >= onset]
    raised = [event for event in events if event.data["change"] == "raised"]
    found = _found(spec, events, names[column])
    delay = -1
    if found is not None:
        delay = int(np.searchsorted(normal.time_ns, found[0], side="left")) - at
    return Trial(
        names[column], fault, task.start + at, found is not None, delay,
        found[1] if found else "", found[2] if found else "", len(raised),
        sum(event.data["change"] == "raised" and event.time_ns < onset for event in told),
        len({event.data["incident"] for event in raised}), inputs[column].unit,
    )


def _mode_at(model: ModelSpec, row: Float64) -> ModeBaseline:
    """The mode's baseline in a row of `columns`; the first where it is none of the trained."""
    modes = model.baseline.modes
    if model.mode_tag is None:
        return modes[0]
    return next((mode for mode in modes if mode.code == row[-1]), modes[0])


def _other(inputs: Sequence[InputBaseline], column: int) -> int | None:
    """An input whose trained range is the most unlike this one's."""
    low, high = inputs[column].trained
    apart = [
        0.0 if other == column else
        1.0 - _overlap((low, high), inputs[other].trained) for other in range(len(inputs))
    ]
    best = int(np.argmax(apart))
    return best if apart[best] > _ALIKE else None


def _overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / max(min(a[1] - a[0], b[1] - b[0]), 1e-300)


def _found(spec: EngineSpec, events: list[Event], tag: str) -> tuple[int, str, str] | None:
    """(when first raised, last name, last cause) of the condition that the fault brought."""
    first: tuple[int, str] | None = None
    name = cause = ""
    source = spec.tag_of[tag].source
    wanted = {f"tag/{tag}", f"source/{source}", *(f"model/{m.name}" for m in spec.models)}
    for event in events:
        if event.subject not in wanted:
            continue
        if event.data["change"] == "raised" and first is None:
            first = event.time_ns, event.subject
        if first is not None and event.subject == first[1] and event.data["change"] != "cleared":
            name, cause = event.data["kind"], event.data["cause"]
    return None if first is None else (first[0], name, cause)
