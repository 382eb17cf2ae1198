"""Budget: false alarms through the whole engine, beside what was promised.

- Streams: 1,000 tags, AR(1) with phi 0, 0.5, 0.9 and 0.98 (250 each), one model a tag group, 10^9
  samples in all at a budget of 10 a day. Training of 500 correlation times (at least 2,000 samples)
  must keep the budget at 95 % by Poisson; training of 60 must be within 3 times it, and
  provisional.
- The plant: a simulated year of normal operation with operating-point moves (a row a second, 15
  inputs, joint charts included) at one in 30 days: at most 18 alarms, not trusted <= 0.5 % of the
  time.

An alarm is a condition raised. `--quick` runs 1 % of it: its counts are then too few to judge by.
`python benchmarks/detection/budget.py [--quick] [--only streams|short|plant]` prints JSON lines.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from _recorded import SECOND, Guard, doubted, note, say, table_of
from _streams import ar1, tau_of
from scipy.stats import poisson

from agent.core.baseline import Baseline, InputBaseline, ModeBaseline
from agent.core.engine import Engine
from agent.core.spec import EngineSpec, ModelSpec, TagSpec
from agent.fit.budget import ModelLoad, divide
from agent.fit.univariate import InputFit, fit_input
from agent.types import Block, Event, Float64
from agent.workers import pool
from simulators.plant import Plant, PlantSettings
from simulators.tags import MODEL_INPUTS, NAMES

DAY_S = 86_400
PHIS = (0.0, 0.5, 0.9, 0.98)
TAGS = 1000
GROUP = 10  # tags of one phi folded by one engine, each by a model of its own
STREAM_SAMPLES = 10**9
PER_DAY = 10.0
YEAR_S = 365 * DAY_S
YEAR_TRAINING = 250_000  # rows; 500 tau and more of the slowest input
MOST_IN_A_YEAR = 18
MOST_NOT_TRUSTED = 0.005
_ROWS = 20_000


@dataclass
class Calm:
    """What an engine said over normal operation."""

    samples: int = 0
    alarms: int = 0
    not_trusted_ns: int = 0
    provisional: int = 0
    inputs: int = 0
    detectors: Counter[str] = field(default_factory=Counter)
    subjects: Counter[str] = field(default_factory=Counter)

    def add(self, other: Calm) -> None:
        """Count another engine's too."""
        for name in ("samples", "alarms", "not_trusted_ns", "provisional", "inputs"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.detectors += other.detectors
        self.subjects += other.subjects


class Watch:
    """Counts alarms, and the time in which a model that was trusted once is not."""

    def __init__(self) -> None:
        self.calm = Calm()
        self._since: dict[str, int] = {}
        self._assessed: set[str] = set()

    def see(self, events: tuple[Event, ...]) -> None:
        """Take the events of one entry."""
        for event in events:
            if event.kind == "condition" and event.data["change"] == "raised":
                self.calm.alarms += 1
                self.calm.subjects[event.subject] += 1
            elif event.kind == "finding" and event.data["up"]:
                self.calm.detectors[str(event.data["detector"])] += 1
            elif event.kind == "verdict":
                self._verdict(event)

    def _verdict(self, event: Event) -> None:
        if event.data["verdict"] != "unassessable" and not doubted(event):
            self._assessed.add(event.subject)
            since = self._since.pop(event.subject, None)
            if since is not None:
                self.calm.not_trusted_ns += event.time_ns - since
        elif event.subject in self._assessed:
            self._since.setdefault(event.subject, event.time_ns)

    def close(self, end_ns: int) -> Calm:
        """The counts, with what is still not trusted at the end."""
        self.calm.not_trusted_ns += sum(end_ns - since for since in self._since.values())
        return self.calm


def engine_of(fits: list[InputFit]) -> Engine:
    """One model a tag, without joint charts: streams that have nothing to do with each other."""
    tags, models = [], []
    for number, fit in enumerate(fits):
        name = f"t{number}"
        item = InputBaseline(
            tag=name, unit="", centre=fit.centre, scale=fit.scale, noise=fit.noise,
            interval_ns=SECOND, tau=fit.tau, n_eff=fit.n_eff, trained=fit.trained,
            edges=fit.edges, longest_gap=0, r2=0.0, provisional=fit.provisional,
            detectors=fit.detectors,
        )
        trained = Baseline(
            model=name, model_version="1", interval_ns=SECOND,
            modes=(ModeBaseline("", None, (item,), {}),), provisional=fit.provisional,
            provisional_text="", mask_ns=0,
        )
        tags.append(TagSpec(number + 1, name, "plant"))
        models.append(ModelSpec(name, "1", SECOND, (name,), frozenset({name}), trained))
    return Engine(EngineSpec(tuple(tags), ("plant",), tuple(models), summary_ns=DAY_S * SECOND))


def blocks(values: Float64, ids: np.ndarray, first_row: int, sequence: int) -> Block:
    """Rows float64[n, d] at 1 Hz as one block."""
    rows, d = values.shape
    times = (np.arange(first_row, first_row + rows, dtype=np.int64) + 1_700_000_000) * SECOND
    arrival = np.repeat(times, d)
    return Block(
        sequence, int(times[-1]) + SECOND, np.tile(ids, rows), arrival, arrival,
        np.ascontiguousarray(values).ravel(), np.zeros(rows * d, np.uint16),
    )


def group(job: tuple[float, int, int, float, int]) -> Calm:
    """Train and guard `GROUP` streams of one phi; (phi, training rows, rows, ARL, seed)."""
    phi, trained, rows, arl, seed = job
    train = ar1(phi, trained, GROUP, 2 * seed)
    fits = [
        fit_input(np.ascontiguousarray(train[:, i]), interval_ns=SECOND, arl=arl, name="t")
        for i in range(GROUP)
    ]
    engine, watch = engine_of(fits), Watch()
    stream = ar1(phi, rows, GROUP, 2 * seed + 1)
    ids = np.arange(1, GROUP + 1, dtype=np.int32)
    for number, start in enumerate(range(0, rows, _ROWS)):
        block = blocks(stream[start : start + _ROWS], ids, start, number + 1)
        watch.see(engine.step(block).events)
    calm = watch.close(block.sealed_ns)
    calm.samples, calm.inputs = rows * GROUP, GROUP
    calm.provisional = sum(fit.provisional for fit in fits)
    return calm


def streams(trained_tau: int, least: int, share: float, factor: float, workers: int) -> None:
    """All AR(1) streams; `share` of the samples, at most `factor` times the budget."""
    began = time.monotonic()
    rows = int(STREAM_SAMPLES * share) // TAGS
    loads = [ModelLoad(str(i), (SECOND,), SECOND, joint_charts=0) for i in range(TAGS)]
    arl = divide(PER_DAY / (DAY_S * SECOND), loads)["0"].inputs[0]
    total = Calm()
    by_phi: dict[str, int] = {}
    with pool(workers) as processes:
        for phi in PHIS:
            note(f"budget: AR(1), phi {phi:g}, {trained_tau} tau of training ...")
            trained = max(least, int(np.ceil(trained_tau * tau_of(phi))))
            jobs = [
                (phi, trained, rows, arl, 10_000 + 1000 * int(100 * phi) + i)
                for i in range(TAGS // len(PHIS) // GROUP)
            ]
            own = Calm()
            for calm in processes.map(group, jobs):
                own.add(calm)
            by_phi[f"{phi:g}"] = own.alarms
            total.add(own)
    promised = PER_DAY * rows / DAY_S
    most = poisson.ppf(0.95, factor * promised)
    provisional = total.provisional / total.inputs
    say(
        table="budget", data=f"AR(1), {trained_tau} tau of training", samples=total.samples,
        tags=TAGS, least_training_rows=least, promised=round(promised, 1), alarms=total.alarms,
        most=int(most), by_phi=by_phi, flags=dict(total.detectors),
        most_on_one_tag=max(total.subjects.values(), default=0),
        provisional_share=round(provisional, 3),
        not_trusted=round(total.not_trusted_ns / (total.samples * SECOND), 6),
        seconds=round(time.monotonic() - began),
        reached=bool(total.alarms <= most and (factor == 1 or provisional > 0.95))
        if share == 1 else None,
    )  # fmt: skip


def year(share: float) -> None:
    """The plant for a simulated year, one row a second."""
    note("budget: a year of the plant ...")
    began = time.monotonic()
    settings = PlantSettings(seed=2025, interval_s=1.0, speed=4.0)
    columns = [NAMES.index(name) for name in MODEL_INPUTS]
    plant = Plant(settings)
    train, _ = plant.advance(YEAR_TRAINING)
    guard = Guard(table_of(train[:, columns], MODEL_INPUTS, SECOND), "1 per 30 days")
    ids = np.array([guard.spec.tag_of[name].index for name in MODEL_INPUTS], np.int32)
    engine, watch = Engine(guard.spec), Watch()
    rows = int(YEAR_S * share)
    for number, values in enumerate(_year_rows(plant, rows, columns)):
        block = blocks(values, ids, number * _ROWS, number + 1)
        watch.see(engine.step(block).events)
    calm = watch.close(block.sealed_ns)
    not_trusted = calm.not_trusted_ns / (rows * SECOND)
    say(
        table="budget", data="simulated year of the plant", rows=rows, inputs=len(columns),
        trained_rows=len(train), trained_tau_least=round(
            min(len(train) / item.tau for item in guard.spec.models[0].baseline.modes[0].inputs)
        ),
        promised=round(rows / DAY_S / 30, 2), alarms=calm.alarms, most=MOST_IN_A_YEAR,
        flags=dict(calm.detectors), subjects=dict(calm.subjects),
        not_trusted=round(not_trusted, 6), most_not_trusted=MOST_NOT_TRUSTED,
        seconds=round(time.monotonic() - began),
        reached=bool(calm.alarms <= MOST_IN_A_YEAR and not_trusted <= MOST_NOT_TRUSTED)
        if share == 1 else None,
    )  # fmt: skip


def _year_rows(plant: Plant, rows: int, columns: list[int]) -> Iterator[Float64]:
    for start in range(0, rows, _ROWS):
        yield plant.advance(min(_ROWS, rows - start))[0][:, columns]


def main() -> None:
    """Print every row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1 %% of the samples")
    parser.add_argument("--only", choices=["streams", "short", "plant"])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    share = 0.01 if chosen.quick else 1.0
    if chosen.only in (None, "streams"):
        streams(500, 2000, share, 1.0, chosen.workers)
    if chosen.only in (None, "short"):
        streams(60, 300, share, 3.0, chosen.workers)
    if chosen.only in (None, "plant"):
        year(share)


if __name__ == "__main__":
    main()
