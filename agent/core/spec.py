"""What the engine is asked to guard: plain immutable facts, built by `app` from configuration,
tag ids and baselines. No behaviour beyond look-ups.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.baseline import Baseline


@dataclass(frozen=True, slots=True)
class TagSpec:
    """One signal. `index` is the id that the store gave once; blocks carry it.

    `interval_ns` is the nominal sampling interval; `max_silence_ns` the longest silence that is
    not yet stale; `by_exception` says that the source reports changes only, so that silence with a
    live session means "unchanged" and the engine restates the last value at the interval, once
    `report_ns`, the interval at which such a source tells its changes, has surely passed.
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


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Everything the engine needs to know; two equal specs give equal judgement."""

    tags: tuple[TagSpec, ...]
    sources: tuple[str, ...]
    models: tuple[ModelSpec, ...]
    summary_ns: int = 600_000_000_000
    tag_of: dict[str, TagSpec] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag_of", {tag.name: tag for tag in self.tags})
