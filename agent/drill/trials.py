"""Trials: each fault on each input at random times of the record, through the real engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agent.core.baseline import InputBaseline, ModeBaseline
from agent.core.engine import Engine
from agent.core.spec import EngineSpec, ModelSpec
from agent.drill.faults import FAULTS, Fault, Recording, can_not, inject, recording
from agent.records.table import Table
from agent.types import Block, Event, Float64

LEAD = 400  # rows of normal operation before a fault, for the detectors to settle
_ROWS_AT_ONCE = 512
_ALIKE = 0.5  # tags whose trained ranges overlap more than this are no test of a swap

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault on one input at one time: found after so many rows under which name, or not.

    `alarms` counts all conditions raised from its onset on, `before` those raised before it, of
    whatever subject.
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

    @property
    def right(self) -> bool:
        """Whether it was found under a name that is right for the fault."""
        return self.found and self.name in self.fault.right


@dataclass(frozen=True, slots=True)
class NormalRun:
    """The same record without faults: alarms that nobody put there, and how long it is."""

    alarms: int
    rows: int
    not_trusted: float


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


def normal_run(spec: EngineSpec, table: Table) -> NormalRun:
    """The whole record without faults."""
    names = [name for name in table.names if name in spec.tag_of]
    rows = recording(table.time_ns, np.ascontiguousarray(table.select(names).values))
    events = events_of(spec, names, rows)
    alarms = sum(event.data.get("change") == "raised" for event in events)
    return NormalRun(alarms, len(table.time_ns), _not_trusted(events, table))


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


def columns(model: ModelSpec) -> tuple[str, ...]:
    """What a record must hold: the inputs, and the tag that tells the mode where there is one."""
    return model.inputs if model.mode_tag is None else (*model.inputs, model.mode_tag)


def trials(
    spec: EngineSpec, model: int, table: Table, *, repeats: int, seed: int = 0,
    faults: tuple[Fault, ...] = FAULTS, progress: Progress | None = None,
) -> list[Trial]:
    """Every fault on every input of a model, `repeats` times at random rows of the record.

    A fault that an input can not have is left out; `left_out` says which and why.
    """
    rng = np.random.default_rng(seed)
    names = list(columns(spec.models[model]))
    values = np.ascontiguousarray(table.select(names).values)
    tell = progress or (lambda what, done, of: None)
    done: list[Trial] = []
    inputs = spec.models[model].inputs
    plan = [
        (fault, column) for fault in faults for column in range(len(inputs))
        if not _can_not(fault, spec.models[model].baseline.modes[0].inputs, column)
    ]
    for fault, column in plan:
        for _ in range(repeats):
            tell(f"{fault.text} on {inputs[column]}", len(done), repeats * len(plan))
            done.append(_trial(spec, model, table, values, column, fault, rng))
    tell("done", len(done), len(done))
    return done


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


def _trial(
    spec: EngineSpec, model: int, table: Table, values: np.ndarray, column: int, fault: Fault,
    rng: np.random.Generator,
) -> Trial:  # fmt: skip
    guarded = spec.models[model]
    names = list(columns(guarded))
    tau = guarded.baseline.modes[0].inputs[column].tau
    rows = max(fault.rows, int(np.ceil(5 * tau))) if fault.hard else fault.rows
    rows = min(rows, max(len(values) - LEAD - 1, 10))
    start = int(rng.integers(0, max(len(values) - LEAD - rows, 1)))
    stop = min(start + LEAD + rows, len(values))
    normal = recording(table.time_ns[start:stop], values[start:stop])
    at = min(LEAD, len(normal.values) - 2)
    inputs = _mode_at(guarded, normal.values[at]).inputs
    other = _other(inputs, column) if fault.kind == "swap" else None
    faulty = inject(normal, fault, column, at, inputs[column], rng, other=other)
    onset = int(normal.time_ns[at])
    told = [event for event in events_of(spec, names, faulty) if event.kind == "condition"]
    events = [event for event in told if event.time_ns >= onset]
    found = _found(spec, events, names[column])
    delay = -1
    if found is not None:
        delay = int(np.searchsorted(normal.time_ns, found[0], side="left")) - at
    return Trial(
        names[column], fault, start + at, found is not None, delay,
        found[1] if found else "", found[2] if found else "",
        sum(event.data["change"] == "raised" for event in events),
        sum(event.data["change"] == "raised" and event.time_ns < onset for event in told),
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
