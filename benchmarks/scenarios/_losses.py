"""Losses through the engine: the estimate on clean runs, and the loss chart's delay and alarms.

**Estimate.** At the end of each day of a clean run, whether the mean loss of the day's labels, as
dense as the record's, lies within the interval that the inputs alone gave. 90 % is promised of
that. The mean over all predictions of the day, labelled or not, is told beside it: it scatters less
where losses between labels are independent, which no label can show.

**Chart.** A model with three independent inputs and one prediction; the engine itself says how new
each scan is to it. A first pass over the inputs has these novelties; made normal by their ranks
(g), they carry a loss of unit variance, 2 + rho g + sqrt(1 - rho^2) e, whose labels a second pass
of a fresh engine over the same entries judges. The reference is fitted to 2,000 labels; the shift
is of .5 standard deviations from the first label on. `python benchmarks/steward/loss.py` measures
the same chart on many more kinds of streams without an engine around it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from _guarded import LABEL, NS, OUTPUT, Guarded, record_of, simulated
from _judged import opened, spec_of
from _scenes import Scene, entries

from agent.configuration.schema import Configuration
from agent.core.engine import Engine
from agent.core.expected_loss import LossReference
from agent.core.spec import EngineSpec
from agent.fit.expected_loss import fit_expected_loss
from agent.fit.labels import _Recorded
from agent.fit.model import fit_model
from agent.records.table import Table
from agent.runtime.assemble import build_spec
from agent.types import Block, Event, Float64

Row = dict[str, Any]
DAY_S = 86_400
COVERS = (85.0, 95.0)
_SEED = 4_000

# --- the estimate ---------------------------------------------------------------------------------


def tasks(plants: list[str], *, quick: bool) -> list[tuple[str, int]]:
    """(plant, how many clean runs)."""
    runs = {"simulator": 6 if quick else 80, "gas turbine": 2 if quick else 12}
    return [(plant, count) for plant, count in runs.items() if plant in plants]


def estimated(data: Path, work: Path, task: tuple[str, int]) -> Row:
    """Days of clean runs whose mean loss lies within its interval."""
    site, runs = task
    plant, began = opened(site, data, work), time.process_time()
    hits = np.array([hit for run in range(runs) for hit in _days(plant, data, run)])
    covered, of_all = (100.0 * hits.mean(axis=0)).tolist()
    return {
        "scenario": f"{site}: estimated loss", "plant": site, "family": "estimate",
        "seed": _SEED, "days": len(hits), "covered_percent": round(covered, 1),
        "of_all_predictions_percent": round(of_all, 1),
        "reached": COVERS[0] <= covered <= COVERS[1],
        "cpu_s": round(time.process_time() - began, 1),
    }  # fmt: skip


def _days(plant: Guarded, data: Path, run: int) -> Iterator[tuple[bool, bool]]:
    """Of each day, whether the mean of its labels and that of all predictions are within."""
    site, record = plant.site, record_of(plant.site, data)
    day = DAY_S // site.step_s
    if site.name == "simulator":
        frame = simulated(_SEED + run, 2 * day)
    else:
        frame = record.parts[run % len(record.parts)]
    scene = Scene.of(frame)
    scene.labels = []
    error = record.noise * np.random.default_rng(_SEED + run).standard_normal(
        len(scene.truth)
    )
    loss = np.abs(scene.predicted(plant) - scene.truth - error)
    spec = spec_of(plant)
    engine, done = Engine(spec), day
    for entry in entries(spec, plant, scene):
        engine.step(entry)
        row = int((engine.time_ns - int(scene.time_ns[0])) // (site.step_s * NS))
        if row < done:
            continue
        found = engine.truth.pairs[0][0].estimate()
        if found is not None:
            own, low, high = loss[max(0, row - day) : row], found[0].low, found[0].high
            means = (np.mean(own[:: site.every]), np.mean(own))
            yield (bool(low <= means[0] <= high), bool(low <= means[1] <= high))
        done = row + day


# --- the chart ------------------------------------------------------------------------------------

ARL, SHIFT = 1000.0, 0.5
EVERY, LABELS = 5, 2_000
REFERENCES = {0.3: 32.3, 0.8: 19.3, 0.9: 16.8}
"""Delay in labels at ARL 1,000; at .3 that of labels alone: 29.8 to 32.3."""

MOST_DELAY, FALSE_ALARMS = 1.25, (0.3, 1.5)
NAMES = ("a", "b", "c")
_TRAINED = 4_000
_STEP_NS = 60 * NS
_START_NS = 1_767_225_600 * NS
_BASE = 2.0


def charts(*, quick: bool) -> list[tuple[float, int, int, int]]:
    """(correlation, references, runs of the shift and labels without one of each of these)."""
    return [(rho, *((1, 6, 2_000) if quick else (6, 4, 2_000))) for rho in REFERENCES]


@lru_cache(maxsize=1)
def _model() -> tuple[Configuration, Any]:
    """The configuration, and the baseline of three inputs that know nothing of each other."""
    configuration = Configuration.model_validate({
        "schema": 1, "gateway": {"site": "s", "name": "g", "summary": "1d"},
        "sources": {"s": {"protocol": "mqtt", "host": "h"}},
        "tags": {name: {"source": "s", "address": f"{name} /v"}
                 for name in (*NAMES, OUTPUT, LABEL)},
        "models": {"m": {
            "version": "1", "owner": {"team": "t", "contact": "c"}, "baseline": "m.json",
            "scan": "60s", "inputs": list(NAMES), "outputs": [OUTPUT],
            "labels": [{"tag": LABEL, "of": OUTPUT, "within": "1h"}],
        }},
    })  # fmt: skip
    values = np.random.default_rng(1).standard_normal((_TRAINED, len(NAMES)))
    times = _START_NS + np.arange(_TRAINED, dtype=np.int64) * _STEP_NS
    table = Table(times, NAMES, np.asfortranarray(values), _STEP_NS)
    return configuration, fit_model(configuration, "m", table).baseline


def _spec(reference: LossReference | None) -> EngineSpec:
    configuration, baseline = _model()
    losses = {f"absolute of {OUTPUT}": reference} if reference is not None else {}
    names = (*NAMES, OUTPUT, LABEL)
    intervals = dict.fromkeys(names, _STEP_NS) | {LABEL: EVERY * _STEP_NS}
    return build_spec(
        configuration, {name: row + 1 for row, name in enumerate(names)},
        {"m": replace(baseline, losses=losses)}, recorded=intervals,
    )  # fmt: skip


class _Stream:
    """Scans by seed; `engine` folds them with labels, the losses of which are given."""

    def __init__(self, seed: int, labels: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.count = labels * EVERY
        self._inputs = self._rng.standard_normal((self.count, len(NAMES)))
        self.times = _START_NS + np.arange(self.count, dtype=np.int64) * _STEP_NS

    def novelty(self) -> Float64:
        """float64[n]: how new each scan is, as the engine says."""
        engine = Engine(_spec(None))
        engine.truth.pairs[0][0].recorder = seen = _Recorded()
        for block in self.blocks(None):
            engine.step(block)
        engine.truth.settle()
        return seen.columns()[0]

    def losses(self, rho: float, novelty: Float64) -> Float64:
        """float64[n], of unit variance about 5, as correlated with novelty as that."""
        from scipy.stats import norm

        n = len(novelty)
        ranks = np.argsort(np.argsort(np.where(np.isfinite(novelty), novelty, -1.0)))
        noise = self._rng.standard_normal(n)
        loss = _BASE + rho * norm.ppf((ranks + 0.5) / n) + np.sqrt(1.0 - rho * rho) * noise
        return np.maximum(loss, 0.0)

    def blocks(self, losses: Float64 | None) -> Iterator[Block]:
        """One a label: inputs, a prediction of 0 each scan, and the label of the last one."""
        width = len(NAMES) + 1
        for number, first in enumerate(range(0, self.count, EVERY), 1):
            times = self.times[first : first + EVERY]
            values = np.column_stack([self._inputs[first : first + EVERY], np.zeros(EVERY)])
            tag = np.tile(np.arange(1, width + 1, dtype=np.int32), EVERY)
            arrival, value = np.repeat(times, width), values.ravel()
            source = arrival.copy()
            if losses is not None and first:
                # half a row after the scan that it is of was made
                came = int(times[0]) + _STEP_NS // 4
                place = int(np.searchsorted(arrival, came))
                tag = np.insert(tag, place, width + 1)
                source = np.insert(source, place, int(self.times[first - 1]))
                arrival = np.insert(arrival, place, came)
                value = np.insert(value, place, losses[first - 1])
            yield Block(number, int(times[-1]) + _STEP_NS, tag.astype(np.int32), source, arrival,
                        value, np.zeros(len(tag), np.uint16))  # fmt: skip


def _fitted(rho: float, novelty_of: Float64, stream: _Stream) -> LossReference:
    losses = stream.losses(rho, novelty_of)
    labelled = np.full(len(losses), np.nan)
    labelled[EVERY - 1 :: EVERY] = losses[EVERY - 1 :: EVERY]
    return fit_expected_loss(novelty_of, np.zeros(len(losses)), labelled, arl=ARL)


def _raised(events: list[Event]) -> int:
    return sum(
        event.kind == "condition" and event.data["change"] == "raised"
        and event.data["kind"] == "errors grew" for event in events
    )  # fmt: skip


def _until(reference: LossReference, stream: _Stream, losses: Float64) -> tuple[int, int]:
    """Labels until it warns, and until the bets open a request; all there are where it does not."""
    engine, labels, warned = Engine(_spec(reference)), 0, 0
    for block in stream.blocks(losses):
        events = engine.step(block).events
        labels += int((block.tag == len(NAMES) + 2).sum())
        if not warned and _raised(list(events)):
            warned = labels
        opened_now = [e for e in events if e.kind == "evidence" and e.data["change"] == "opened"]
        if opened_now:
            return warned or labels, labels
    return warned or labels, labels


def _alarms(reference: LossReference, rho: float, seed: int, quiet: int) -> int:
    """Warnings of a stream on which nothing is wrong."""
    stream = _Stream(seed, quiet)
    engine, alarms = Engine(_spec(reference)), 0
    for block in stream.blocks(stream.losses(rho, stream.novelty())):
        alarms += _raised(list(engine.step(block).events))
    return alarms


def chart(task: tuple[float, int, int, int]) -> Row:
    """Delay and false alarms at a correlation, and labels until a doubling is found.

    Means over references: each is learnt from 2,000 labels, and errs by what these were.
    """
    rho, references, runs, quiet = task
    began = time.process_time()
    delays, alarms, doubled = list[int](), 0, {"powered": [0, 0], "alone": [0, 0]}
    for number in range(references):
        trained = _Stream(10 + number, LABELS)
        reference = _fitted(rho, trained.novelty(), trained)
        alone = replace(reference, slope=0.0, powered=reference.alone)
        for run in range(runs):
            stream = _Stream(1_000 + runs * number + run, 200)
            losses = stream.losses(rho, stream.novelty())
            delays.append(_until(reference, stream, losses + SHIFT)[0])
            for name, one in (("powered", reference), ("alone", alone)):
                found = _until(one, stream, 2.0 * losses)
                doubled[name] = [a + b for a, b in zip(doubled[name], found, strict=True)]
        alarms += _alarms(reference, rho, 900 + number, quiet)
    runs *= references
    delay, ratio = float(np.mean(delays)), alarms / (references * quiet / ARL)
    share = 100.0 * doubled["powered"][0] / doubled["alone"][0]
    return {
        "scenario": f"loss chart, correlation {rho:g}", "plant": "made", "family": "chart",
        "seed": 1_000, "correlation": round(reference.correlation, 2),
        "slope": round(reference.slope, 2), "references": references, "arl": int(ARL),
        "shift_sd": SHIFT,
        "delay": round(delay, 1), "reference": REFERENCES[rho],
        "over_reference": round(delay / REFERENCES[rho], 2),
        "false_alarms_of_promise": round(ratio, 2),
        "labels_until_doubling_warns": {k: round(v[0] / runs, 1) for k, v in doubled.items()},
        "labels_until_doubling_opens": {k: round(v[1] / runs, 1) for k, v in doubled.items()},
        "share_of_labels_alone_percent": round(share, 1),
        "reached": delay <= MOST_DELAY * REFERENCES[rho]
        and FALSE_ALARMS[0] <= ratio <= FALSE_ALARMS[1],
        "cpu_s": round(time.process_time() - began, 1),
    }  # fmt: skip
