"""A small engine to test with: three inputs of one model, thresholds by hand, and its samples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.configuration import units
from agent.core.baseline import Baseline, InputBaseline, ModeBaseline, OutputBaseline
from agent.core.engine import Engine
from agent.core.spec import EngineSpec, ModelSpec, TagSpec
from agent.types import Block, Command, Entry, Event, Float64, Quality

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
TAGS = ("a", "b", "c")
_GAP = 3 * SECOND // 2
_NUMBER = re.compile(r'("in_force_from": )[1-9]\d*')  # of an entry: cuts give it another

DETECTORS = {
    "range": {"middle": 0.0, "half": 6.0, "hold": 5},
    "stuck": {"tolerance": 1e-9, "limit": 12, "hold": 3, "count": 0, "values": 0.0},
    "spike": {"limit": 7.0, "minor": 6.0, "weight": 5, "most": 14, "hold": 3, "gap_ns": _GAP},
    "rate": {"limit": 8.0, "hold": 5, "gap_ns": _GAP},
    "level": {"block": 12, "part": 3, "clip": 5.0, "centre": 0.0, "inverse_sd": 3.4, "k": 1.0,
              "h_up": 6.0, "h_down": 6.0, "ewma_up": 0.5, "ewma_down": 0.5},
    "noise": {"block": 10, "clip": 5.0, "centre": 1.17, "inverse_sd": 5.0, "k": 1.0,
              "h_up": 8.0, "h_down": 8.0, "gap_ns": _GAP},
}  # fmt: skip


def input_baseline(
    tag: str, *, centre: float = 0.0, scale: float = 1.0, provisional: bool = False
) -> InputBaseline:
    return InputBaseline(
        tag=tag, unit="degC", centre=centre, scale=scale, noise=scale, interval_ns=SECOND, tau=1.0,
        n_eff=1000.0, trained=(centre - 4 * scale, centre + 4 * scale),
        edges=tuple(centre + scale * edge for edge in (-2.0, -1.0, 0.0, 1.0, 2.0)), longest_gap=1,
        r2=0.0, provisional=provisional, detectors=DETECTORS,
    )


def baseline(
    tags: tuple[str, ...] = TAGS, *, digest: str = "d" * 64, joint: bool = False,
    provisional: bool = False, centre: float = 0.0, scale: float = 1.0,
) -> Baseline:
    """A baseline by hand; `joint` adds T2 and SPE of inputs that are independent in training."""
    inputs = tuple(
        input_baseline(tag, centre=centre, scale=scale, provisional=provisional) for tag in tags
    )
    joined = joint_of(len(tags)) | {"provisional": provisional} if joint else {}
    return Baseline(
        model="m", model_version="1", interval_ns=SECOND,
        modes=(ModeBaseline("", None, inputs, joined),),
        provisional=provisional, provisional_text="short" if provisional else "", mask_ns=0,
        digest=digest,
    )


def joint_of(d: int) -> dict[str, Any]:
    """One group of `d` independent inputs: half of the directions in T2, the others in SPE."""
    return {
        "groups": [{
            "columns": list(range(d)), "components": d // 2, "lags": 0,
            "loadings": np.eye(d).tolist(), "offset": [0.0] * d, "alpha": 0.1, "cap": 200.0,
            "adjusted": np.eye(d).tolist(), "middle": [0.0] * d, "fast": [0.2] * d,
            "weight": [0.5] * d, "limit": [4.0 * d, 4.0 * d, 1.0, 2.0 * d],
            "mean": [d / 2, d / 2, 0.2, d / 2],
        }]
    }  # fmt: skip


def output_of(
    tag: str, slopes: Sequence[float], *, centre: float = 0.0, scale: float = 1.0,
    classes: bool = False,
) -> OutputBaseline:
    """An output by hand: what inputs give of it by these slopes, and `classes` -1, 0 and 1."""
    relation = {"intercept": 0.0, "slopes": list(slopes), "middle": 0.0, "spread": 1.0, "r2": 0.9}
    few = {"values": (-1.0, 0.0, 1.0), "share": (0.3, 0.4, 0.3), "inverse_sd": (6.0,) * 3,
           "k": (0.5,) * 3, "h": (8.0,) * 3}  # fmt: skip
    mix = {name: [*own, *[float(name == "h")] * 13] for name, own in few.items()}
    return OutputBaseline(
        input_baseline(tag, centre=centre, scale=scale),
        {"given_inputs": DETECTORS["level"]}
        | ({"mix": {"block": 10, "count": 3, "tolerance": 0.4} | mix} if classes else {}),
        relation,
    )


def spec(
    *, by_exception: bool | tuple[str, ...] = False, optional: tuple[str, ...] = (),
    trained: Baseline | None = None, summary_ns: int = 60 * SECOND,
) -> EngineSpec:
    """Tag a comes from source one, the others from source two; all are inputs of model m."""
    held = TAGS if by_exception is True else by_exception or ()
    model = ModelSpec(
        "m", "1", SECOND, TAGS, frozenset(TAGS) - frozenset(optional), trained or baseline()
    )
    tags = tuple(
        TagSpec(row + 1, tag, "one" if tag == "a" else "two", "degC", interval_ns=SECOND,
                max_silence_ns=1 << 60 if tag in held else 5 * SECOND, by_exception=tag in held,
                physical=(-1000.0, 1000.0))
        for row, tag in enumerate(TAGS)
    )
    return EngineSpec(tags, ("one", "two"), (model,), summary_ns, changes=units.changes())


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


# --- anything else than rows of a table ---------------------------------------------------------


def samples(
    rows: Sequence[tuple[float, str, float] | tuple[float, str, float, int]], *,
    sequence: int = 1, sealed: float | None = None,
) -> Block:
    """A block of (arrival in seconds after START, tag, value[, quality]) in order of arrival."""
    arrival = np.array([START + round(row[0] * SECOND) for row in rows], np.int64)
    last = int(arrival[-1]) + 1 if len(rows) else START
    return Block(
        sequence, last if sealed is None else START + round(sealed * SECOND),
        np.array([TAGS.index(row[1]) + 1 for row in rows], np.int32),
        arrival.copy(), arrival, np.array([row[2] for row in rows], np.float64),
        np.array([row[3] if len(row) > 3 else Quality.GOOD for row in rows], np.uint16),
    )


def tick(second: float, sequence: int = 1) -> Block:
    """Nothing arrived before `second`."""
    return samples([], sequence=sequence, sealed=second)


def cut(whole: Block, ends_ns: Iterable[int], *, first: int = 1) -> list[Block]:
    """The same samples in blocks sealed at `ends_ns` and at the end of the whole."""
    blocks, start = [], 0
    for end in [*sorted({end for end in ends_ns if end < whole.sealed_ns}), whole.sealed_ns]:
        stop = int(np.searchsorted(whole.arrival_ns, end))
        part = slice(start, stop)
        blocks.append(
            Block(first + len(blocks), end, whole.tag[part], whole.source_ns[part],
                  whole.arrival_ns[part], whole.value[part], whole.quality[part])
        )
        start = stop
    return blocks


@dataclass
class Told:
    """All that an engine said over some entries, as JSON lines, and its state at the end."""

    events: list[str]
    summaries: list[str]
    state: bytes


def tell(engine: Engine, entries: Iterable[Entry]) -> Told:
    """Fold entries; the state is taken as if the last entry's number were 0, to compare cuts."""
    events, summaries = [], []
    for entry in entries:
        outcome = engine.step(entry)
        events += [
            _NUMBER.sub(r"\g<1>1", json.dumps(
                [e.kind, e.time_ns, e.subject, e.data], sort_keys=True, allow_nan=False
            ))
            for e in outcome.events
        ]
        summaries += [json.dumps(s, sort_keys=True, allow_nan=False) for s in outcome.summaries]
    return Told(events, summaries, state_of(engine))


def state_of(engine: Engine) -> bytes:
    """The snapshot of an engine but for the numbers of entries."""
    sequence, engine.sequence = engine.sequence, 0
    changes = engine.judge.changes.known
    numbers = {name: one.in_force_from for name, one in changes.items()}
    for one in changes.values():
        one.in_force_from = min(one.in_force_from, 1)
    try:
        return engine.snapshot()
    finally:
        engine.sequence = sequence
        for name, number in numbers.items():
            changes[name].in_force_from = number


def events_of(engine: Engine, entries: Iterable[Entry]) -> list[Event]:
    return [event for entry in entries for event in engine.step(entry).events]


def conditions(events: Iterable[Event]) -> list[tuple[str, str, str]]:
    """(change, subject, kind) of every condition event."""
    return [
        (e.data["change"], e.subject, e.data["kind"]) for e in events if e.kind == "condition"
    ]


def verdicts(events: Iterable[Event]) -> list[str]:
    return [event.data["verdict"] for event in events if event.kind == "verdict"]


def eventful(n: int = 400, seed: int = 1, *, swapped: bool = True) -> Block:
    """Noise with a stuck `a`, a shifted `b`, spikes, bad quality, gaps, and rows left out."""
    rng = np.random.default_rng(seed)
    values, quality = normal(n, seed), np.zeros((n, len(TAGS)), np.uint16)
    values[60:100, 0] = values[60, 0]
    values[120:180, 1] += 4.0
    values[200:230:7, 2] += 20.0
    values[240:250, :] = np.nan  # all sources silent
    values[260:275, 1:] = np.nan  # all of source two silent
    quality[290:300, 2] = Quality.BAD
    quality[300:303, 0] = Quality.COMMUNICATION_LOST
    values[300:303, 0] = np.nan
    values[310, 1] = np.inf
    values[312, 1] = 5000.0  # beyond the physical range
    values[rng.random((n, len(TAGS))) < 0.03] = np.nan
    values[350:, 0] = values[350:, 0] * 1.8 + 32.0
    whole = block(values, quality=quality)
    if not swapped:
        return whole
    # a notification: some rows arrive together with the row after them
    late = (whole.arrival_ns // SECOND) % 5 == 0
    arrival = whole.arrival_ns + np.where(late, SECOND, 0)
    order = np.argsort(arrival, kind="stable")
    return Block(1, int(arrival[-1]) + SECOND, whole.tag[order], whole.source_ns[order],
                 arrival[order], whole.value[order], whole.quality[order])


def command(seconds: float, kind: str, *, sequence: int = 1, **data: Any) -> Command:
    """A command at `seconds` after the start."""
    return Command(sequence, START + round(seconds * SECOND), kind, data)
