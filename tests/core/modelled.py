"""A model with outputs, fitted by `fit` on a record, and what it gives in service.

Inputs a and b are AR(1); y is what a linear model gives of them, c a class by a, free a class by
nobody's knowledge.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from agent.configuration.schema import Configuration
from agent.core.baseline import Baseline
from agent.core.engine import Engine
from agent.core.spec import EngineSpec
from agent.fit.model import FitReport, fit_model
from agent.records.replay import table_entries
from agent.records.table import Table
from agent.runtime.assemble import build_spec
from agent.types import Event, Float64
from tests.core.small import SECOND, START
from tests.fit.streams import ar1

ROWS = 3_000
NAMES = ("a", "b", "y", "c")
EVERY = 60 * SECOND


def configured(outputs: tuple[str, ...] = ("y", "c")) -> Configuration:
    """Model m of a and b."""
    return Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g"},
        "sources": {"s": {"protocol": "mqtt", "host": "h"}},
        "tags": {name: {"source": "s", "address": f"{name} /v"} for name in ("a", "b", *outputs)},
        "models": {"m": {
            "version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": "m.json",
            "scan": "60s", "inputs": ["a", "b"], "outputs": list(outputs),
        }},
    })  # fmt: skip


def inputs(rows: int, seed: int) -> Float64:
    """float64[rows, 2]."""
    return np.column_stack([10.0 + ar1(0.7, rows, seed), 5.0 + ar1(0.5, rows, seed + 1)])


def given(of: Float64, seed: int) -> Float64:
    """float64[rows, 4]: the inputs, and what the model gives of them."""
    rng = np.random.default_rng(seed)
    y = 50.0 + 3.0 * (of[:, 0] - 10.0) - 2.0 * (of[:, 1] - 5.0)
    y += 0.5 * rng.standard_normal(len(of))
    c = np.digitize(of[:, 0] + rng.standard_normal(len(of)), [9.0, 11.0]).astype(float)
    return np.column_stack([of, y, c])


def table(values: Float64, names: tuple[str, ...] = NAMES) -> Table:
    """A row a minute."""
    times = START + np.arange(len(values), dtype=np.int64) * EVERY
    return Table(times, names, np.asfortranarray(values), EVERY)


@cache
def fitted() -> FitReport:
    """As `fit` makes it of 50 hours."""
    return fit_model(configured(), "m", table(given(inputs(ROWS, 1), 7)))


def spec_of(baseline: Baseline, outputs: tuple[str, ...] = ("y", "c")) -> EngineSpec:
    """What the engine guards, at the interval of the record."""
    names = ("a", "b", *outputs)
    ids = {name: row + 1 for row, name in enumerate(names)}
    return build_spec(
        configured(outputs), ids, {"m": baseline}, recorded=dict.fromkeys(names, EVERY)
    )


def run(values: Float64, names: tuple[str, ...] = NAMES) -> list[Event]:
    """The events of an engine over rows of a minute each."""
    engine = Engine(spec_of(fitted().baseline, tuple(n for n in names if n not in "ab")))
    entries = table_entries(engine.spec, table(values, names), 64)
    return [event for entry in entries for event in engine.step(entry).events]


def raised(events: list[Event]) -> list[tuple[str, str, str]]:
    """(subject, kind, cause) of every condition that was raised."""
    return [
        (event.subject, event.data["kind"], event.data["cause"])
        for event in events if event.kind == "condition" and event.data["change"] == "raised"
    ]


def verdict(events: list[Event]) -> str:
    """The last one."""
    return [event.data["verdict"] for event in events if event.kind == "verdict"][-1]
