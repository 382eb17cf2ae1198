"""Scripted faults: what goes wrong, when, and the truth about it.

A script is a TOML file of ``[[fault]]`` tables. Times are wall seconds since the plant's first row:

    [[fault]]
    kind = "drift"
    tag = "feed.temperature"      # or: source = "utilities"
    start = 20
    duration = 15
    size = 6.0

Value kinds (`tag`; `size` in the tag's unit unless said otherwise):
``stuck`` holds the last value · ``drift`` grows linearly to `size` at the end · ``bias`` adds
`size` · ``noise`` adds white noise of standard deviation `size` · ``spikes`` adds +-`size` to one
row in 20 · ``out_of_range`` shows the value `size` (plus the ordinary noise) · ``unit_change``
shows another unit: `to` is ``degF`` (default), ``K`` or ``psi`` · ``scale`` multiplies by `size` ·
``swap`` exchanges `tag` and `other`. What an instrument does (all but the last three) comes in the
steps of its resolution. Delivery kinds: ``dropout`` (no value) · ``bad_quality`` (the
device says that it is bad) · ``frozen_clock`` (the source time stands still). Whole sources:
``source_lost`` (`source`: that server stops and comes back). ``uplink_lost`` concerns no plant
signal: whoever runs the agent's uplink reads it from here. ``process`` is no fault of an
instrument: the plant's own `disturbance` moves by `size` of its standard deviations, and all that
depends on it follows.

A value kind may have the soft sensor's output as its `tag`: the plant is then as it was, and the
soft sensor applies it to its own predictions.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from agent.errors import FieldwardenError
from simulators.plant import DISTURBANCES, Plant
from simulators.tags import COLUMN, PREDICTED, PREDICTED_SOURCE, SOURCES, TAGS

Float64 = NDArray[np.float64]

VALUE_KINDS = (
    "stuck",
    "drift",
    "bias",
    "noise",
    "spikes",
    "out_of_range",
    "unit_change",
    "scale",
    "swap",
)
BEHIND_KINDS = ("unit_change", "scale", "swap")
"""Of these, those that come about behind the instrument, which rounds what it shows."""
DELIVERY_KINDS = ("dropout", "bad_quality", "frozen_clock")
SOURCE_KINDS = ("source_lost",)
UPLINK_KINDS = ("uplink_lost",)
PROCESS_KINDS = ("process",)
KINDS = VALUE_KINDS + DELIVERY_KINDS + SOURCE_KINDS + UPLINK_KINDS + PROCESS_KINDS
NEEDS_SIZE = ("drift", "bias", "noise", "spikes", "out_of_range", "scale", "process")
OUTPUT_KINDS = tuple(kind for kind in VALUE_KINDS if kind != "swap")

UNITS = {"degF": (1.8, 32.0), "K": (1.0, 273.15), "psi": (14.503774, 0.0)}  # factor, offset
SPIKE_SHARE = 0.05
_KEYS = {
    "kind", "tag", "source", "other", "start", "duration", "size", "to", "title", "disturbance",
}  # fmt: skip
_SOURCE_OF = {tag.name: tag.source for tag in TAGS} | {PREDICTED: PREDICTED_SOURCE}
_NOISE_OF = {tag.name: tag.noise for tag in TAGS}
_STEP_OF = {tag.name: tag.resolution for tag in TAGS}


@dataclass(frozen=True, slots=True)
class Fault:
    """One scripted fault.

    Attributes:
        kind: one of `KINDS`.
        start: wall seconds since the plant's first row.
        duration: wall seconds.
        tag: the tag concerned, empty for a source or the uplink.
        source: the source concerned: given for `source_lost`, else that of the tag.
        size: see the module's docstring.
        other: the second tag of a swap.
        to: the new unit of a unit change.
        title: what people call it; default: kind and subject.
        disturbance: of the plant, one of `DISTURBANCES`.
    """

    kind: str
    start: float
    duration: float
    tag: str = ""
    source: str = ""
    size: float = 0.0
    other: str = ""
    to: str = "degF"
    title: str = ""
    disturbance: str = ""

    @property
    def end(self) -> float:
        """Wall seconds since the plant's first row."""
        return self.start + self.duration

    @property
    def subject(self) -> str:
        """The tag, the source, the disturbance, or ``uplink``."""
        return self.tag or self.source or self.disturbance or "uplink"


def load_faults(path: Path) -> tuple[Fault, ...]:
    """Read a fault script.

    Raises:
        FieldwardenError: the file can not be read, or a fault is not sensible; names which.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise FieldwardenError("reading fault script", str(path), str(error)) from error
    return parse_faults(document.get("fault", []), subject=str(path))


def parse_faults(tables: Sequence[Any], subject: str = "fault script") -> tuple[Fault, ...]:
    """Faults from parsed ``[[fault]]`` tables, in order of start.

    Raises:
        FieldwardenError: a fault is not sensible; the subject names its position.
    """
    faults = []
    for number, table in enumerate(tables, 1):
        cause = _objection(table)
        if cause:
            raise FieldwardenError("reading fault script", f"{subject}, fault {number}", cause)
        tag = str(table.get("tag", ""))
        source = str(table.get("source", _SOURCE_OF.get(tag, "")))
        faults.append(Fault(**{**table, "tag": tag, "source": source}))
    return tuple(sorted(faults, key=lambda fault: fault.start))


def _objection(table: Any) -> str:
    """Why a table is no fault; empty where it is one."""
    if not isinstance(table, dict):
        return "is no table"
    kind, tag = table.get("kind"), table.get("tag", "")
    checks = (
        (kind not in KINDS, f"kind {kind!r} is none of {', '.join(KINDS)}"),
        (bool(set(table) - _KEYS), f"unknown keys {sorted(set(table) - _KEYS)}"),
        (not _number(table.get("start")), "start must be a number of seconds >= 0"),
        (not _number(table.get("duration")), "duration must be a number of seconds >= 0"),
        (
            kind in VALUE_KINDS + DELIVERY_KINDS
            and tag not in COLUMN
            and not (tag == PREDICTED and kind in OUTPUT_KINDS),
            f"no tag {tag!r}",
        ),
        (kind in NEEDS_SIZE and "size" not in table, f"{kind} needs a size"),
        (kind == "swap" and table.get("other") not in COLUMN, "swap needs `other`, a tag"),
        (table.get("to", "degF") not in UNITS, f"`to` is none of {', '.join(UNITS)}"),
        (
            kind == "source_lost" and table.get("source") not in SOURCES,
            f"source is none of {', '.join(SOURCES)}",
        ),
        (
            kind == "process" and table.get("disturbance") not in DISTURBANCES,
            f"disturbance is none of {', '.join(DISTURBANCES)}",
        ),
    )
    return next((text for wrong, text in checks if wrong), "")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


@dataclass(slots=True)
class Reading:
    """Measured values and what goes with their delivery.

    Attributes:
        value: float64[n, tags]; NaN where nothing is delivered.
        bad: bool[n, tags], the device itself says that the value is bad.
        clock: float64[n, tags], wall seconds since the first row that the source stamps.
    """

    value: Float64
    bad: NDArray[np.bool_]
    clock: Float64


@dataclass
class Injector:
    """Applies a script to measured values, row block by row block; remembers what it must.

    Args:
        faults: the script; those of other columns do nothing.
        seed: of the noise and the spikes.
        columns: name -> column of what it is applied to.
    """

    faults: Sequence[Fault]
    seed: int = 0
    columns: Mapping[str, int] = field(default_factory=lambda: COLUMN)
    _held: dict[int, float] = field(default_factory=dict, init=False)
    _last: Float64 | None = field(default=None, init=False)
    _random: list[np.random.Generator] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        # one stream for each fault: what one draws does not depend on the others
        seeds = np.random.SeedSequence(self.seed).spawn(len(self.faults))
        self._random = [np.random.default_rng(seed) for seed in seeds]

    def apply(self, seconds: Float64, measured: Float64) -> Reading:
        """Faults of the rows at `seconds` float64[n] applied to a copy of `measured` [n, tags]."""
        reading = Reading(
            measured.copy(),
            np.zeros(measured.shape, dtype=np.bool_),
            np.repeat(seconds[:, None], measured.shape[1], axis=1),
        )
        for index, fault in enumerate(self.faults):
            rows = np.flatnonzero((seconds >= fault.start) & (seconds < fault.end))
            if fault.tag not in self.columns or not len(rows):
                continue
            column = self.columns[fault.tag]
            if fault.kind in VALUE_KINDS:
                self._change(index, fault, column, rows, seconds, measured, reading.value)
            elif fault.kind == "dropout":
                reading.value[rows, column] = np.nan
            elif fault.kind == "bad_quality":
                reading.bad[rows, column] = True
            else:
                reading.clock[rows, column] = fault.start
        if len(measured):
            self._last = measured[-1].copy()
        return reading

    def _change(
        self,
        index: int,
        fault: Fault,
        column: int,
        rows: NDArray[np.intp],
        seconds: Float64,
        measured: Float64,
        out: Float64,
    ) -> None:
        random = self._random[index]
        value = out[rows, column]
        if fault.kind == "stuck":
            if index not in self._held:
                before = measured[rows[0] - 1] if rows[0] else self._last
                self._held[index] = float((measured[0] if before is None else before)[column])
            value = np.full(len(rows), self._held[index])
        elif fault.kind == "drift":
            value = value + fault.size * (seconds[rows] - fault.start) / fault.duration
        elif fault.kind == "bias":
            value = value + fault.size
        elif fault.kind == "noise":
            value = value + fault.size * random.standard_normal(len(rows))
        elif fault.kind == "spikes":
            draw = random.random((len(rows), 2))
            sign = np.where(draw[:, 1] < 0.5, -1.0, 1.0)
            value = value + np.where(draw[:, 0] < SPIKE_SHARE, fault.size * sign, 0.0)
        elif fault.kind == "out_of_range":
            value = fault.size + _NOISE_OF.get(fault.tag, 0.0) * random.standard_normal(len(rows))
        elif fault.kind == "unit_change":
            factor, offset = UNITS[fault.to]
            value = value * factor + offset
        elif fault.kind == "scale":
            value = value * fault.size
        else:
            other = self.columns[fault.other]
            out[rows, other] = value
            value = measured[rows, other]
        step = _STEP_OF.get(fault.tag, 0.0)
        if step and fault.kind not in BEHIND_KINDS:
            value = np.rint(value / step) * step
        out[rows, column] = np.round(value, 6)


def outputs_injector(faults: Sequence[Fault], seed: int = 0) -> Injector:
    """What goes wrong with the soft sensor's own predictions: rows of that one column."""
    return Injector(faults, seed, {PREDICTED: 0})


def drive(plant: Plant, faults: Iterable[Fault], second: float) -> None:
    """Have the plant's disturbances wander about what the script says of `second`."""
    moves: dict[str, float] = {}
    for fault in faults:
        if fault.kind in PROCESS_KINDS:
            on = fault.start <= second < fault.end
            moves[fault.disturbance] = moves.get(fault.disturbance, 0.0) + on * fault.size
    for disturbance, size in moves.items():
        plant.drive(disturbance, size)


def truth_record(fault: Fault, phase: str, start_ns: int, at_ns: int) -> dict[str, Any]:
    """One line of the truth log: `phase` is ``start`` or ``end``; `start_ns` the first row."""
    return {
        "phase": phase,
        "kind": fault.kind,
        "tag": fault.tag,
        "source": fault.source,
        "subject": fault.subject,
        "title": fault.title or f"{fault.kind.replace('_', ' ')}: {fault.subject}",
        "size": fault.size,
        "start_s": fault.start,
        "end_s": fault.end,
        "start_ns": start_ns + round(fault.start * 1e9),
        "end_ns": start_ns + round(fault.end * 1e9),
        "at_ns": at_ns,
    }


class TruthLog:
    """Writes a JSON line as each fault starts and as it ends; flushed line by line.

    Args:
        faults: the script.
        out: where to write, or None.
        start_ns: wall time of the first row.
    """

    def __init__(self, faults: Iterable[Fault], out: TextIO | None, start_ns: int) -> None:
        self._out = out
        self._start_ns = start_ns
        edges = [(f.start, 0, "start", f) for f in faults] + [(f.end, 1, "end", f) for f in faults]
        self._edges = sorted(edges, key=lambda edge: edge[:2])

    def advance(self, second: float, at_ns: int | None = None) -> list[tuple[str, Fault]]:
        """Log and return the starts and ends that are due at `second`; None: each on its time."""
        due: list[tuple[str, Fault]] = []
        while self._edges and self._edges[0][0] <= second + 1e-9:
            edge, _, phase, fault = self._edges.pop(0)
            due.append((phase, fault))
            if self._out is not None:
                at = self._start_ns + round(edge * 1e9) if at_ns is None else at_ns
                record = truth_record(fault, phase, self._start_ns, at)
                self._out.write(json.dumps(record) + "\n")
                self._out.flush()
        return due
