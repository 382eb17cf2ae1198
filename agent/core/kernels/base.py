"""What every detector kernel has in common: its signature, its compiler, its output rows.

A detector is a module with `NAME`, `PARAMS` (structured dtype), `STATE` (structured dtype whose
first fields are `score` f8 and `active` i8), `DEFAULTS` (parameters where a baseline gives none)
and `fold`, all of one signature:

    fold(params, state, starts, until_ns, arrival, source, value, quality, out) -> int

- `params`, `state`: structured arrays, one row per chart (a model's input).
- `starts` int64[rows + 1]: row i owns samples `starts[i]:starts[i+1]` (tag-major, arrival order).
- `until_ns`: everything that arrived before it has been handed over (drives missing-data timers).
- `arrival`, `source` int64[n] ns; `value` float64[n], standardised: (raw - centre) / scale;
  `quality` uint16[n].
- `out`: `TRANSITION`[capacity], written from 0; the result is how many rows were written. A
  kernel writes at most one row per sample plus two per chart; the caller provides that capacity.

`score` is the statistic over its threshold: >= 1 means flagged. A transition is written when
`active` changes. Feed "good" (see `DETECTORS`) means only usable samples are handed over, so a bad
sample can not move the state. A state of zeros is a detector that has seen nothing. Arithmetic is
+ - * / sqrt, comparisons and integers only, without fastmath, so that compiled ahead of time, just
in time and not at all give the same bits.

Parameters are finite numbers, or fixed lists of them, so that a baseline stores them as JSON;
`NEVER` stands for a limit that nothing reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

from agent.core.kernels.compiler import kernel

__all__ = [
    "ENGINE_TIME", "NEVER", "ON_DELAY", "SAMPLE_CLOCK", "SPE", "T2", "T2_AND_SPE", "TRANSITION",
    "Detector", "JointChart", "Moment", "Symptom", "Traits", "Words", "kernel",
    "tell",
]  # fmt: skip

NEVER = 1e300
"""A limit that no statistic reaches: values are clipped to +-1e9 before they are folded."""

TRANSITION = np.dtype(
    [("row", np.int32), ("up", np.int32), ("time_ns", np.int64), ("score", np.float64)]
)
"""One flag raised (`up` 1) or cleared (`up` 0): chart row, engine time, score at that moment."""


class Symptom(StrEnum):
    """What a raised flag is evidence of. Judgement reads these, and no detector's name."""

    SILENT = "nothing arrives"
    CUT_OFF = "its source has lost the device"
    FORBIDDEN = "this agent may not read it"
    REFUSED = "its address is refused"
    MISTYPED = "is not of the configured type"
    NO_VALUE = "its source has no value"
    NO_NUMBER = "is not a number"
    MARKED_BAD = "marked bad by its source"
    IMPOSSIBLE = "outside its physical range"
    CLOCK_STANDS = "its source's clock stands still"
    LATE = "arrives late"
    ZONE = "its source's clock went by whole quarters of an hour"
    OTHER_PACE = "arrives at another rate"
    LEVEL = "its level moved"
    BEYOND = "beyond what the record makes possible"
    JUMP = "jumped"
    SPIKE = "samples stand off"
    SCATTER = "its noise changed"
    FLAT = "repeats one value"
    STATE = "a state or a transition that was never trained"
    REGION = "inputs are together outside the trained region"
    RELATION = "inputs left their trained relations"
    CHANGE = "inputs moved faster together than in training"
    UNEXPLAINED = "is not what its inputs gave in training"
    MIX = "its classes come in other shares"
    DIGITS = "comes in coarser steps"
    AGAIN = "old values come again"
    LINES = "lies on lines between few values"
    SMOOTH = "is smoother than in training"
    SOURCE = "its source is lost"
    ERRORS = "its predictions err more than in training"
    CONTRACT = "is not what was agreed"


@dataclass(frozen=True, slots=True)
class Words:
    """How people read a finding whose name needs no other evidence; see `diagnosis.Diagnosis`.

    `text` and `hint` may name `{tag}`, `{source}`, `{address}` and `{refusal}` (see `TagSpec`), of
    joint charts the inputs `{named}`.
    """

    kind: str
    cause: str
    text: str
    hint: str
    rank: int


ON_DELAY = 6
"""Intervals until a finding raises a condition, where its detector has no delay of its own."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What judgement must know of a detector's findings.

    Attributes:
        symptom: what its flag is evidence of.
        on_delay: intervals until its finding raises a condition (ISA-18.2).
        on_delay_agreed: the same once several scans have agreed before the flag; None: always
            `on_delay`.
        latched: it sees momentary events, so its flag counts for the on-delay though it has gone.
        passing: its flag alone keeps no condition open once the subject looks normal, as it also
            follows the way back.
        transport: it sees that nothing usable arrives; no model is part of its findings.
        learns: it learns in service what is usual; what a person approved is, from then on.
        words: how people read it, where its name needs no other evidence.
    """

    symptom: Symptom
    on_delay: int = ON_DELAY
    on_delay_agreed: int | None = None
    latched: bool = False
    passing: bool = False
    transport: bool = False
    learns: bool = False
    words: Words | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """How a field of a state that holds a time moves when engine time is set anew.

    0 stands for "not yet", and stays.

    Attributes:
        moves: engine time does; the sample clock of an input, which only its steps count of, not.
        beside: a source's own time, which does not move, beside this field, an arrival: where both
            are the same the source gave none, and it moves.
        lag: it is an arrival less a source's own time, 0 where the source gives none; this field
            counts the samples that it was learnt from, which is done anew where nobody knows how
            the clock compares with the one before.
    """

    moves: bool = True
    beside: str = ""
    lag: str = ""


ENGINE_TIME, SAMPLE_CLOCK = Moment(), Moment(moves=False)


@dataclass(frozen=True, slots=True)
class Detector:
    """One row of `DETECTORS` or `TAG_DETECTORS`.

    Attributes:
        name: unique; also the key of its parameters in a baseline.
        feed: ``good`` (usable, thinned, standardised samples of an input or output), ``all``
            (every raw sample of a tag) or ``residual`` (an output less what its inputs explain).
        params, state: structured dtypes, one row per chart.
        fold: the kernel.
        disabled: parameters where nobody gave any; an input's detector then never flags.
        blocked: judges at the end of blocks, not at every sample.
        reference: where its statistic comes from.
        traits: what judgement must know of its findings.
        of_tag: of a tag's detector, its parameters from the `TagSpec`.
        by_time: time alone may raise its flag: its state has `last_ns`, since when it counts.
        looks_back: how many samples before a flag its cause may lie, from its parameters.
        moments: the fields of its state that hold times, by name.
        limits, slopes: the parameters that grow and those that shrink by as much as the chart is
            made wider.
    """

    name: str
    feed: str
    params: np.dtype[Any]
    state: np.dtype[Any]
    fold: Callable[..., int]
    disabled: Mapping[str, Any]
    blocked: bool
    reference: str
    traits: Traits
    of_tag: Callable[[Any], Mapping[str, Any]] | None = None
    by_time: bool = False
    looks_back: Callable[[Mapping[str, Any]], int] | None = None
    moments: Mapping[str, Moment] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    slopes: tuple[str, ...] = ()


T2, SPE, T2_AND_SPE = "t2", "spe", "t2 and spe"
"""The statistics whose shares say how much of them each input brings about."""


@dataclass(frozen=True, slots=True)
class JointChart:
    """One row of `JOINT_CHARTS`, in the order in which `fold_joint` writes them.

    Attributes:
        name: unique among all detectors.
        statistic: `T2`, `SPE` or `T2_AND_SPE`, of which its shares are.
        shown: the name under which people see its score.
        told_apart: its flag says which inputs alone may explain it.
        reference: where its statistic comes from.
        words: how people read it where it is the model's as a whole.
        traits: what judgement must know of its findings.
    """

    name: str
    statistic: str
    shown: str
    told_apart: bool
    reference: str
    words: Words
    traits: Traits


@kernel
def tell(out, written, row, up, time_ns, score):  # type: ignore[no-untyped-def]
    """Write one `TRANSITION` to `out`; how many have been written then."""
    out[written]["row"] = row
    out[written]["up"] = up
    out[written]["time_ns"] = time_ns
    out[written]["score"] = score
    return written + 1
