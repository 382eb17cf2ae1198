"""Ablation: what each chart adds. The drill's faults, with every chart there is and with one less.

Leaving a chart out means that it never flags: a detector has the parameters of one that is off, a
joint chart a limit that nothing reaches (diagnosis asks for the same limit, so it does without this
one too). All else stays: the baseline, the rows at which faults begin, and their random numbers,
so that trials with and without a chart are pairs.

Records: those of `faults` (the plant simulator, Tennessee Eastman, SKAB's clean record), a gas
turbine's hourly means, and a state tag, which none of them has; "all" adds them up. A row says:

- `watched`: inputs that the chart has a limit for; where there are none, the row says nothing;
- `tried`, `found`, `named_right`: trials, those found, and of these those under a right name;
- `median_delay_samples` of what is found; `alarms_each`: conditions one found fault raised;
- `alarms_before`: conditions in the 400 rows before a fault, in all trials together;
- `alarms_without_fault`: conditions in the test record as it is, once through;
- `lost`, `gained`: trials by fault that only the whole set of charts finds, or only this one;
- `later`, `sooner`: trials that both find, by which of them this set finds later, or sooner.

`python benchmarks/detection/ablation.py [--quick] [--only DATA] [--without CHART ...]` prints JSON
lines. `--quick` takes eight inputs of a record at most, one trial of a fault on each, and hard
faults on the simulator alone.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _drilled import PROMISED, Drilled, gas_turbine, simulator, skab, states, tennessee
from _recorded import DATA, Guard, absent, note, say
from faults import BUDGET, SEED

from agent.core.baseline import InputBaseline, ModeBaseline
from agent.core.kernels import DETECTORS, category, joint
from agent.core.kernels.base import NEVER, Detector
from agent.core.spec import EngineSpec
from agent.drill.trials import Trial, normal_run, trials
from agent.workers import pool

WORKERS = 2
NOTHING, ALL_JOINT = "none left out", "all joint charts"
LEFT_OUT = (NOTHING, *(one.name for one in DETECTORS), *joint.CHARTS, ALL_JOINT)
RECORDS: dict[str, tuple[str, Callable[[Path], Drilled | None], int]] = {
    # name: (folder within the data, its record, trials of a fault on an input)
    "simulator": ("", lambda _: simulator(), 2),
    "tep": ("tep", tennessee, 1),
    "skab": ("skab", skab, 5),
    "gas turbine": ("gas_turbine", gas_turbine, 2),
    "states": ("", lambda _: states(), 5),
}
_WINDOW = 1 << 16  # rows
_FEW = 8  # inputs that the quick part takes at most, evenly spread
_HARD_TOO = "simulator"  # the only record of which the quick part takes hard faults


@dataclass(frozen=True)
class Fitted:
    """A record with the baseline of its training part."""

    drilled: Drilled
    spec: EngineSpec
    repeats: int


@dataclass(frozen=True)
class Outcome:
    """What was found with one set of charts."""

    watched: int
    trials: tuple[Trial, ...]
    alarms_without_fault: int
    rows: int


def fitted(name: str, data: Path, *, quick: bool) -> Fitted | None:
    """Read and fit a record; None where its data is not here."""
    folder, read, repeats = RECORDS[name]
    drilled = read(data / folder)
    if drilled is None:
        return None
    names = drilled.train.names
    if quick:
        repeats, drilled = 1, drilled.select(names[:: -(-len(names) // _FEW)])
        if name != _HARD_TOO:
            drilled = replace(drilled, faults=PROMISED)
    # degC everywhere, so that the change to degF is tried on every input
    spec = Guard(drilled.train, BUDGET, unit="degC").spec
    # Nobody reads the summaries, and a slow record would be folded window by window for them.
    return Fitted(drilled, replace(spec, summary_ns=_WINDOW * drilled.train.interval_ns), repeats)


def outcome(fit: Fitted, left_out: str) -> Outcome:
    """Every trial without one chart, and the record without faults."""
    spec = without(fit.spec, left_out)
    test = fit.drilled.test
    done = trials(spec, 0, test, repeats=fit.repeats, seed=SEED, faults=fit.drilled.faults)
    calm = normal_run(spec, test)
    return Outcome(watched(fit.spec, left_out), tuple(done), calm.alarms, calm.rows)


def without(spec: EngineSpec, left_out: str) -> EngineSpec:
    """The same models with a chart that never flags."""
    models = tuple(
        replace(model, baseline=replace(model.baseline, modes=tuple(
            _without(mode, left_out) for mode in model.baseline.modes
        )))
        for model in spec.models
    )  # fmt: skip
    return replace(spec, models=models)


def _without(mode: ModeBaseline, left_out: str) -> ModeBaseline:
    for detector in DETECTORS:
        if detector.name == left_out:
            inputs = tuple(
                replace(item, detectors={**item.detectors, left_out: _off(detector, item)})
                for item in mode.inputs
            )
            return replace(mode, inputs=inputs)
    off = joint.CHARTS if left_out == ALL_JOINT else (left_out,)
    groups = [
        {**group, "limit": [
            NEVER if chart in off else limit
            for chart, limit in zip(joint.CHARTS, group["limit"], strict=True)
        ]}
        for group in mode.joint.get("groups", ())
    ]  # fmt: skip
    return replace(mode, joint={**mode.joint, "groups": groups})


def _off(detector: Detector, item: InputBaseline) -> dict[str, Any]:
    if detector.name == category.NAME and _watches(item, detector):
        # Its states stay: by them the drill knows which faults a state tag can have.
        return {**item.detectors[detector.name], "tolerance": NEVER}
    return dict(detector.disabled)


def _watches(item: InputBaseline, detector: Detector) -> bool:
    """Whether a detector has limits of its own for an input."""
    own = item.detectors.get(detector.name)
    return own is not None and dict(own) != dict(detector.disabled)


def watched(spec: EngineSpec, left_out: str) -> int:
    """Inputs, over modes, for which a chart has a limit; all inputs where none is left out."""
    modes = [mode for model in spec.models for mode in model.baseline.modes]
    for detector in DETECTORS:
        if detector.name == left_out:
            return sum(_watches(item, detector) for mode in modes for item in mode.inputs)
    if left_out == NOTHING:
        return sum(len(mode.inputs) for mode in modes)
    groups = [group for mode in modes for group in mode.joint.get("groups", ())]
    return sum(len(group["columns"]) for group in groups)


def row_of(got: Outcome, whole: Outcome) -> dict[str, object]:
    """One row of the table; `whole` is the outcome with every chart."""
    hits = [trial for trial in got.trials if trial.found]
    pairs = list(zip(got.trials, whole.trials, strict=True))
    both = [(one.delay, other.delay) for one, other in pairs if one.found and other.found]
    return {
        "watched": got.watched, "tried": len(got.trials), "found": len(hits),
        "named_right": sum(trial.right for trial in hits),
        "median_delay_samples": float(np.median([t.delay for t in hits])) if hits else None,
        "alarms_each": round(sum(t.alarms for t in hits) / len(hits), 3) if hits else None,
        "alarms_before": sum(trial.before for trial in got.trials),
        "alarms_without_fault": got.alarms_without_fault, "rows_without_fault": got.rows,
        "lost": _by_fault(one for one, other in pairs if other.found and not one.found),
        "gained": _by_fault(one for one, other in pairs if one.found and not other.found),
        "later": sum(one > other for one, other in both),
        "sooner": sum(one < other for one, other in both),
    }  # fmt: skip


def _by_fault(found: Iterator[Trial]) -> dict[str, int]:
    return dict(Counter(trial.fault.text for trial in found).most_common())


def added(outcomes: Sequence[Outcome]) -> Outcome:
    """The outcomes of several records as one."""
    return Outcome(
        sum(one.watched for one in outcomes),
        tuple(trial for one in outcomes for trial in one.trials),
        sum(one.alarms_without_fault for one in outcomes), sum(one.rows for one in outcomes),
    )  # fmt: skip


def measured(
    names: Sequence[str], data: Path, left_out: Sequence[str], *, quick: bool
) -> Iterator[tuple[str, dict[str, Outcome]]]:
    """(record, what is left out -> outcome) of each record whose data is here, as it is done."""
    began = time.monotonic()
    with pool(WORKERS) as processes:
        fits = [processes.submit(fitted, name, data, quick=quick) for name in names]
        jobs: dict[str, dict[str, Future[Outcome]]] = {}
        for name, fitting in zip(names, fits, strict=True):
            fit = fitting.result()
            note(f"ablation: {name} {'fitted' if fit else 'absent'} ({_since(began)})")
            if fit is None:
                absent("ablation", data / RECORDS[name][0])
            else:
                jobs[name] = {one: processes.submit(outcome, fit, one) for one in left_out}
        for name, by_chart in jobs.items():
            done: dict[str, Outcome] = {}
            for one, job in by_chart.items():
                done[one] = job.result()
                note(f"ablation: {name}, {one}: {len(done)} of {len(left_out)} ({_since(began)})")
            yield name, done


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"


def main() -> None:
    """Print a row for each record and chart, and for each chart over all records."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with tep, skab ...")
    parser.add_argument("--quick", action="store_true", help="fewer inputs and trials")
    parser.add_argument("--only", choices=list(RECORDS))
    parser.add_argument("--without", nargs="+", choices=LEFT_OUT[1:], help="these charts alone")
    chosen = parser.parse_args()
    names = [chosen.only] if chosen.only else list(RECORDS)
    left_out = (NOTHING, *chosen.without) if chosen.without else LEFT_OUT
    here: list[dict[str, Outcome]] = []
    for name, got in measured(names, chosen.data, left_out, quick=chosen.quick):
        here.append(got)
        for one in left_out:
            say(table="ablation", data=name, left_out=one, **row_of(got[one], got[NOTHING]))
    for one in left_out if len(here) > 1 else ():
        total, whole = (added([got[key] for got in here]) for key in (one, NOTHING))
        say(table="ablation", data="all", left_out=one, **row_of(total, whole))


if __name__ == "__main__":
    main()
