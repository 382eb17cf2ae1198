"""What the engine is asked to guard: plain immutable facts, built by `app` from configuration,
tag ids and baselines. No behaviour beyond look-ups.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate

from agent.core.baseline import Baseline
from agent.core.conversions import Change
from agent.core.delays import FALSE_ALARM_NS


@dataclass(frozen=True, slots=True)
class TagSpec:
    """One signal. `index` is the id that the store gave once; blocks carry it.

    `standard_unit` is its unit as `Change.old` writes it, however `unit` spells it.

    `loop` is the control loop that it belongs to, and `loop_part` what it is there: "measurement",
    "set point", "controller output" or "loop mode"; both empty where it is in none.
    `interval_ns` is the nominal sampling interval; `max_silence_ns` the longest silence that is
    not yet stale; `by_exception` says that the source reports changes only, so that silence with a
    live session means "unchanged" and the engine restates the last value at the interval, once
    `report_ns`, the interval at which such a source tells its changes, has surely passed. For texts
    only: `address` is where the source has it, `refusal` how a source that refuses it is told.
    """

    index: int
    name: str
    source: str
    unit: str = ""
    role: str = "input"
    physical: tuple[float, float] | None = None
    interval_ns: int = 1_000_000_000
    max_silence_ns: int = 5_000_000_000
    by_exception: bool = False
    report_ns: int = 0
    address: str = ""
    refusal: str = ""
    loop: str = ""
    loop_part: str = ""
    standard_unit: str = ""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One guarded model: its inputs in the baseline's order, its cadence, its baseline."""

    name: str
    version: str
    scan_ns: int
    inputs: tuple[str, ...]
    required: frozenset[str]
    baseline: Baseline
    outputs: tuple[str, ...] = ()
    mode_tag: str | None = None

    @property
    def needed(self) -> frozenset[str]:
        """The tags without which the model can not be judged."""
        mode = {self.mode_tag} if self.mode_tag is not None else set()
        return self.required | frozenset(self.outputs) | mode

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag that the model uses, once."""
        mode = () if self.mode_tag is None else (self.mode_tag,)
        return tuple(dict.fromkeys((*self.inputs, *self.outputs, *mode)))


@dataclass(frozen=True, slots=True)
class ChartRow:
    """One input of one model, the unit that detectors judge: indices of model, input and tag."""

    model: int
    position: int
    tag: int


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Everything the engine needs to know; two equal specs give equal judgement.

    `false_alarm_ns` is how long one false alarm may keep its model from "trusted"; `changes` are
    the changes of unit and scale that a tag's jump may be.
    """

    tags: tuple[TagSpec, ...]
    sources: tuple[str, ...]
    models: tuple[ModelSpec, ...]
    summary_ns: int = 600_000_000_000
    false_alarm_ns: int = FALSE_ALARM_NS
    changes: tuple[Change, ...] = ()
    tag_of: dict[str, TagSpec] = field(init=False, compare=False)
    row_of_tag: dict[str, int] = field(init=False, compare=False)
    row_of_source: dict[str, int] = field(init=False, compare=False)
    rows: tuple[ChartRow, ...] = field(init=False, compare=False)
    _first_row: tuple[int, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag_of", {tag.name: tag for tag in self.tags})
        object.__setattr__(self, "row_of_tag", {t.name: row for row, t in enumerate(self.tags)})
        names = dict.fromkeys((*self.sources, *(tag.source for tag in self.tags)))
        object.__setattr__(self, "row_of_source", {name: row for row, name in enumerate(names)})
        rows = tuple(
            ChartRow(index, position, self.row_of_tag[name])
            for index, model in enumerate(self.models)
            for position, name in enumerate(model.inputs)
        )
        object.__setattr__(self, "rows", rows)
        counts = [len(model.inputs) for model in self.models]
        object.__setattr__(self, "_first_row", tuple(accumulate(counts, initial=0)))

    def rows_of(self, model: int) -> range:
        """The chart rows of a model: they stand model by model, input by input."""
        return range(self._first_row[model], self._first_row[model + 1])
