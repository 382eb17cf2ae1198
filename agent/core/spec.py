"""What the engine is asked to guard: plain immutable facts, built by `app` from configuration,
tag ids and baselines. No behaviour beyond look-ups.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from agent.core.baseline import Baseline
from agent.core.conversions import Change
from agent.core.delays import FALSE_ALARM_NS
from agent.core.kernels import mix
from agent.core.kinds import STATE
from agent.core.retraining_criteria import DEFAULT, Criteria

INPUT, OUTPUT = "input", "output"


@dataclass(frozen=True, slots=True)
class Register:
    """Where and how a tag's number is served: `place` orders those of one `area`, `width` of them
    apart; `dtype` is numpy's, big endian; a value is the number times `scale`.
    """

    area: str
    place: int
    width: int
    dtype: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class TagSpec:
    """One signal. `index` is the id that the store gave once; blocks carry it.

    `standard_unit` is its unit as `Change.old` writes it, however `unit` spells it.

    `loop` is the control loop that it belongs to, and `loop_part` what it is there: "measurement",
    "set point", "controller output" or "loop mode"; both empty where it is in none.
    `interval_ns` is the nominal sampling interval; `max_silence_ns` the longest silence that is not
    yet stale; `by_exception` says that the source reports changes only, so that silence with a live
    session means "unchanged" and the engine restates the last value at the interval, once
    `report_ns`, the interval at which such a source tells its changes, has surely passed; `paced`
    that a person said the interval.
    `register` is how a device serves its number, where that is known. For texts only: `address` is
    where the source has it, `refusal` how a source that refuses it is told.
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
    paced: bool = False
    address: str = ""
    refusal: str = ""
    loop: str = ""
    loop_part: str = ""
    standard_unit: str = ""
    register: Register | None = None


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """The tag that brings the truth for an output, up to `within_ns` after what it is of.

    `loss` is "absolute", "squared", "pinball Q", "log" or "brier"; `tolerance` the share by which
    the mean loss may exceed the record's; `classes` those that a confusion tells apart.
    """

    output: str
    tag: str
    within_ns: int
    loss: str = "absolute"
    tolerance: float = 0.2
    classes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What its windows are known by."""
        return label_name(self.loss, self.output, self.tag)


def label_name(loss: str, output: str, tag: str) -> str:
    """A label by name: an output may have several, and has windows of its own."""
    return f"{loss} of {output} by {tag}" if tag else f"{loss} of {output}"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One guarded model: its inputs in the baseline's order, its cadence, its baseline.

    `owner` is whom a retraining request is for, `retraining` when there is to be one.
    """

    name: str
    version: str
    scan_ns: int
    inputs: tuple[str, ...]
    required: frozenset[str]
    baseline: Baseline
    outputs: tuple[str, ...] = ()
    mode_tag: str | None = None
    owner: str = ""
    retraining: Criteria = DEFAULT
    labels: tuple[LabelSpec, ...] = ()

    @property
    def charted(self) -> tuple[str, ...]:
        """The outputs that every mode of the baseline knows: those are judged like inputs."""
        known = [{one.item.tag for one in mode.outputs} for mode in self.baseline.modes]
        return tuple(tag for tag in self.outputs if all(tag in mode for mode in known))

    @property
    def classes(self) -> frozenset[str]:
        """Those of them that give classes: one of these again and again is no dead model."""
        given = frozenset(
            output.item.tag for mode in self.baseline.modes for output in mode.outputs
            if mix.NAME in output.charts or output.item.kind == STATE
        )
        return given.intersection(self.charted)

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
    """One signal of one model, the unit that detectors judge: indices of model, signal and tag.

    `role` is what it is there: "input", or "output"; positions count inputs, then charted outputs.
    One model's output may be another's input.
    """

    model: int
    position: int
    tag: int
    role: str = INPUT


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Everything the engine needs to know; two equal specs give equal judgement.

    `false_alarm_ns` is how long one false alarm may keep its model from "trusted"; `changes` are
    the changes of unit and scale that a tag's jump may be. `kept` are baselines of candidates by
    their digest; `unfit` says of (model, digest) why one of them can not be used.
    """

    tags: tuple[TagSpec, ...]
    sources: tuple[str, ...]
    models: tuple[ModelSpec, ...]
    summary_ns: int = 600_000_000_000
    false_alarm_ns: int = FALSE_ALARM_NS
    changes: tuple[Change, ...] = ()
    kept: Mapping[str, Baseline] = field(default_factory=dict, compare=False)
    unfit: Mapping[tuple[str, str], str] = field(default_factory=dict, compare=False)
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
        charted = [model.charted for model in self.models]
        rows = tuple(
            ChartRow(index, position, self.row_of_tag[name],
                     INPUT if position < len(model.inputs) else OUTPUT)
            for index, model in enumerate(self.models)
            for position, name in enumerate((*model.inputs, *charted[index]))
        )
        object.__setattr__(self, "rows", rows)
        counts = [
            len(model.inputs) + len(own) for model, own in zip(self.models, charted, strict=True)
        ]
        object.__setattr__(self, "_first_row", tuple(accumulate(counts, initial=0)))

    def why_unfit(self, model: str, digest: str) -> str:
        """Why the baseline of this digest can not be used for a model; empty where it can."""
        if digest not in self.kept:
            return "the copy of its baseline in the state directory is missing or damaged"
        return self.unfit.get((model, digest), "")

    def charted_of(self, model: int) -> range:
        """The chart rows of a model: they stand model by model, its inputs, then its outputs."""
        return range(self._first_row[model], self._first_row[model + 1])

    def rows_of(self, model: int) -> range:
        """Those of its inputs."""
        first = self._first_row[model]
        return range(first, first + len(self.models[model].inputs))

    def outputs_of(self, model: int) -> range:
        """Those of its outputs."""
        return range(self.rows_of(model).stop, self._first_row[model + 1])
