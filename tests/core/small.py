"""A small engine to test with: three inputs of one model, thresholds by hand, and its samples."""

from __future__ import annotations

import numpy as np

from agent.core.baseline import Baseline, InputBaseline, ModeBaseline
from agent.core.spec import EngineSpec, ModelSpec, TagSpec
from agent.types import Block, Float64, Quality

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
TAGS = ("a", "b", "c")
_GAP = 3 * SECOND // 2

DETECTORS = {
    "range": {"middle": 0.0, "half": 6.0, "hold": 5},
    "stuck": {"tolerance": 1e-9, "limit": 12, "hold": 3},
    "spike": {"limit": 7.0, "hold": 5, "gap_ns": _GAP},
    "rate": {"limit": 8.0, "hold": 5, "gap_ns": _GAP},
    "level": {"block": 10, "clip": 1e6, "centre": 0.0, "inverse_sd": 3.0, "k": 1.0,
              "h_up": 6.0, "h_down": 6.0},
    "noise": {"block": 10, "clip": 1e6, "centre": 1.4, "inverse_sd": 3.0, "k": 1.0,
              "h_up": 8.0, "h_down": 8.0, "gap_ns": _GAP},
}  # fmt: skip


def input_baseline(tag: str, *, centre: float = 0.0, scale: float = 1.0) -> InputBaseline:
    return InputBaseline(
        tag=tag, unit="degC", centre=centre, scale=scale, noise=scale, interval_ns=SECOND, tau=1.0,
        n_eff=1000.0, trained=(centre - 4 * scale, centre + 4 * scale),
        edges=tuple(centre + scale * edge for edge in (-2.0, -1.0, 0.0, 1.0, 2.0)), longest_gap=1,
        r2=0.0, provisional=False, detectors=DETECTORS,
    )


def spec(*, by_exception: bool = False, optional: tuple[str, ...] = ()) -> EngineSpec:
    baseline = Baseline(
        model="m", model_version="1", interval_ns=SECOND,
        modes=(ModeBaseline("", None, tuple(input_baseline(tag) for tag in TAGS), {}),),
        provisional=False, provisional_text="", mask_ns=0, digest="d" * 64,
    )
    model = ModelSpec(
        "m", "1", SECOND, TAGS, frozenset(TAGS) - frozenset(optional), baseline
    )
    tags = tuple(
        TagSpec(row + 1, tag, "one" if tag == "a" else "two", "degC", interval_ns=SECOND,
                max_silence_ns=1 << 60 if by_exception else 5 * SECOND, by_exception=by_exception,
                physical=(-1000.0, 1000.0))
        for row, tag in enumerate(TAGS)
    )
    return EngineSpec(tags, ("one", "two"), (model,), summary_ns=60 * SECOND)


def normal(n: int, seed: int = 1) -> Float64:
    """float64[n, 3] of white noise, as the baseline expects."""
    return np.random.default_rng(seed).standard_normal((n, len(TAGS)))


def block(
    values: Float64, *, start: int = 0, sequence: int = 1, quality: np.ndarray | None = None,
    sealed: int | None = None,
) -> Block:
    """Rows of all tags at 1 Hz from row `start`; NaN cells are not sent unless quality says so."""
    n, d = values.shape
    times = START + (start + np.arange(n, dtype=np.int64)) * SECOND
    marks = np.zeros((n, d), np.uint16) if quality is None else quality.astype(np.uint16)
    row, column = np.nonzero(~np.isnan(values) | (marks != Quality.GOOD))
    arrival = times[row]
    return Block(
        sequence, START + (start + n) * SECOND if sealed is None else sealed,
        (column + 1).astype(np.int32), arrival.copy(), arrival, values[row, column],
        marks[row, column],
    )
