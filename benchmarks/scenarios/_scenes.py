"""What arrives at the agent in a scenario: rows of inputs and predictions, labels that come late.

A scene is made of a clean part; kinds of faults change it; `entries` makes blocks of it, each row
arriving at its time, each label at its own. The soft sensor predicts from the inputs as they are
told, so a fault of an input is one of the prediction too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from _guarded import LABEL, NS, OUTPUT, Frame, Guarded, Record
from numpy.typing import NDArray

from agent.core.spec import EngineSpec
from agent.types import Block, Command, Entry, Float64, Int64

_ROWS_AT_ONCE = 64


@dataclass(slots=True)
class Scene:
    """What is told; kinds change it in place.

    Attributes:
        time_ns: of each row; `inputs` float64[n, k] as told, NaN where nothing is.
        truth: float64[n], what the labels' instrument would say.
        quality: uint16[n, k]; `source_ns` int64[n, k], the time that the source gives.
        output: float64[n], what the model says; None: what the soft sensor makes of the inputs.
        labels: (arrived, of, value); None: one in `every` rows, `late` rows late.
        commands: (time, kind, data) of what the agent itself notes, such as a lost link.
    """

    time_ns: Int64
    inputs: Float64
    truth: Float64
    quality: NDArray[np.uint16]
    source_ns: Int64
    output: Float64 | None = None
    labels: list[tuple[int, int, float]] | None = None
    commands: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)

    @classmethod
    def of(cls, frame: Frame) -> Scene:
        """A clean part as it is told."""
        shape = frame.inputs.shape
        return cls(
            frame.time_ns, frame.inputs.copy(), frame.truth.copy(), np.zeros(shape, np.uint16),
            np.repeat(frame.time_ns[:, None], shape[1], axis=1),
            labels=list(frame.labels) if frame.labels is not None else None,
        )  # fmt: skip

    def labelled(self, guarded: Guarded, record: Record, rng: np.random.Generator) -> None:
        """Give it its labels, where the record has none of its own."""
        if self.labels is not None:
            return
        site, found = guarded.site, list[tuple[int, int, float]]()
        for row in range(0, len(self.time_ns), site.every):
            error = record.noise * float(rng.standard_normal())
            if np.isfinite(self.truth[row]):
                of_ns = int(self.time_ns[row])
                came_ns = of_ns + site.late * site.step_s * NS + site.step_s * NS // 3
                found.append((came_ns, of_ns, float(self.truth[row]) + error))
        self.labels = found

    def predicted(self, guarded: Guarded) -> Float64:
        """What the model says at each row."""
        return guarded.sensor.predict(self.inputs) if self.output is None else self.output


def entries(
    spec: EngineSpec, guarded: Guarded, scene: Scene, sequence: int = 0
) -> Iterator[Entry]:
    """What the engine folds; `sequence` is that of the entry before."""
    rows = np.arange(len(scene.time_ns))
    width, step_ns = scene.inputs.shape[1], guarded.site.step_s * NS
    index = [spec.tag_of[name].index for name in guarded.names]
    told, made = np.isfinite(scene.inputs), scene.predicted(guarded)
    row, column = np.nonzero(told)
    said = np.flatnonzero(np.isfinite(made))
    end_ns = int(scene.time_ns[-1]) + step_ns
    labels = sorted(one for one in scene.labels or () if scene.time_ns[0] < one[0] < end_ns)
    count = len(labels)
    arrival = np.concatenate([
        scene.time_ns[row], scene.time_ns[said], np.array([x[0] for x in labels], np.int64)
    ])
    source = np.concatenate([
        scene.source_ns[row, column], scene.time_ns[said],
        np.array([x[1] for x in labels], np.int64),
    ])  # fmt: skip
    tag = np.concatenate([
        np.array(index, np.int32)[column],
        np.full(len(said), spec.tag_of[OUTPUT].index, np.int32),
        np.full(count, spec.tag_of[LABEL].index, np.int32),
    ])  # fmt: skip
    value = np.concatenate([
        scene.inputs[row, column], made[said], np.array([x[2] for x in labels], np.float64)
    ])
    quality = np.concatenate([
        scene.quality[row, column], np.zeros(len(said) + count, np.uint16)
    ])
    place = np.concatenate([column, np.full(len(said), width), np.full(count, width + 1)])
    order = np.lexsort((place, arrival))
    columns = [tag[order], source[order], arrival[order], value[order], quality[order]]
    begin, commands = 0, sorted(scene.commands, key=lambda one: one[0])
    for first in rows[:: _ROWS_AT_ONCE]:
        last = first + _ROWS_AT_ONCE
        sealed_ns = int(scene.time_ns[last]) if last < len(rows) else end_ns
        stops = [one for one in commands if one[0] <= sealed_ns]
        commands = commands[len(stops) :]
        for until_ns, kind, data in [*stops, (sealed_ns, "", {})]:
            stop = int(np.searchsorted(columns[2], until_ns))
            sequence += 1
            yield Block(sequence, until_ns, *(part[begin:stop] for part in columns))
            begin = stop
            if kind:
                sequence += 1
                yield Command(sequence, until_ns, kind, data)
