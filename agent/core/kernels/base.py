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
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.core.kernels.compiler import kernel

__all__ = ["NEVER", "TRANSITION", "Detector", "kernel", "tell"]

NEVER = 1e300
"""A limit that no statistic reaches: values are clipped to +-1e9 before they are folded."""

TRANSITION = np.dtype(
    [("row", np.int32), ("up", np.int32), ("time_ns", np.int64), ("score", np.float64)]
)
"""One flag raised (`up` 1) or cleared (`up` 0): chart row, engine time, score at that moment."""


@dataclass(frozen=True, slots=True)
class Detector:
    """One row of `DETECTORS`.

    Attributes:
        name: unique; also the key of its parameters in a baseline.
        kind: the word that conditions and reasons use for what it saw.
        feed: ``good`` (usable, thinned, standardised samples of an input) or ``all`` (every raw
            sample of a tag).
        params, state: structured dtypes, one row per chart.
        fold: the kernel.
        disabled: parameters where nobody gave any; an input's detector then never flags.
        blocked: judges at the end of blocks, not at every sample.
        reference: where its statistic comes from.
    """

    name: str
    kind: str
    feed: str
    params: np.dtype[Any]
    state: np.dtype[Any]
    fold: Callable[..., int]
    disabled: Mapping[str, Any]
    blocked: bool
    reference: str


@kernel
def tell(out, written, row, up, time_ns, score):  # type: ignore[no-untyped-def]
    """Write one `TRANSITION` to `out`; how many have been written then."""
    out[written]["row"] = row
    out[written]["up"] = up
    out[written]["time_ns"] = time_ns
    out[written]["score"] = score
    return written + 1
