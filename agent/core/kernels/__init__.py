"""The detectors: one module each, one row each in a table.

`DETECTORS` judge a model's inputs (feed "good"); `TAG_DETECTORS` judge raw tags (feed "all").
Adding a detector is one module and one row; the generic tests run over every row.
"""

from __future__ import annotations

from types import ModuleType

from agent.core.kernels import (
    bad,
    category,
    drift,
    late,
    level,
    missing,
    noise,
    outside,
    pace,
    rate,
    source_clock,
    spike,
    step,
    stuck,
)
from agent.core.kernels import range as trained_range
from agent.core.kernels.base import Detector


def _row(module: ModuleType, feed: str, reference: str, *, blocked: bool = False) -> Detector:
    return Detector(
        name=module.NAME,
        kind=module.NAME,
        feed=feed,
        params=module.PARAMS,
        state=module.STATE,
        fold=module.fold,
        disabled=module.DEFAULTS,
        blocked=blocked,
        reference=reference,
    )


_CUSUM = "Page 1954, two-sided CUSUM of block means"

DETECTORS: tuple[Detector, ...] = (
    _row(trained_range, "good", "Siffer et al. 2017, peaks over threshold"),
    _row(stuck, "good", "QARTOD flat line test; limit by peaks over threshold of run lengths"),
    _row(spike, "good", "QARTOD spike test; limit by peaks over threshold"),
    _row(rate, "good", "first difference; limit by peaks over threshold"),
    _row(level, "good", _CUSUM, blocked=True),
    _row(drift, "good", _CUSUM, blocked=True),
    _row(noise, "good", "von Neumann 1941, successive differences; Page 1954", blocked=True),
    _row(step, "good", "Basseville & Nikiforov 1993; limit by peaks over threshold", blocked=True),
    _row(outside, "good", "Reynolds & Stoumbos 1999, CUSUM of a Bernoulli stream"),
    _row(category, "good", "support of a Markov chain; Good 1953, what a record has not shown"),
)

TAG_DETECTORS: tuple[Detector, ...] = (
    _row(bad, "all", "OPC UA Part 8; NAMUR NE 43"),
    _row(missing, "all", "ISA-18.2, stale inputs"),
    _row(source_clock, "all", "OPC UA Part 4, SourceTimestamp"),
    _row(pace, "all", "mean inter-arrival time over a window"),
    _row(late, "all", "OPC UA Part 4, SourceTimestamp and ServerTimestamp"),
)
