"""Faults: what is found of every kind of fault on every input, at the shipped budget.

(a) the plant simulator, trained on one part, tried on another; (b) the Tennessee Eastman normal
test record, fitted on `d00`; (c) the last 40 % of the clean SKAB record, fitted on the whole of it
(power only). Each fault begins at random rows; found means a condition on that input, its source or
the model within 600 samples (hard ones: the longer of 3,600 samples and 5 tau, as far as the record
goes).
"honesty": fitted on the first 60 % of the clean SKAB record, the rest leaves what was trained, and
must be named so on the inputs that do. `named_right`: of what was found, the share under a name
that is right for the fault (`agent.drill.faults.RIGHT`). `alarms_each`: conditions that one fault
raised, of whatever subject: 1 is best, 2 where two tags are swapped.

`python benchmarks/detection/faults.py [--quick]` prints JSON lines.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from _drilled import Drilled, read_skab, simulator, skab, tennessee
from _recorded import DATA, SECOND, Guard, absent, note, say, table_of

from agent.drill.faults import FAULTS
from agent.drill.report import Row, rows_of
from agent.drill.trials import trials

BUDGET = "1 per 30 days"
GOAL, HARD_GOAL = 0.99, 0.90
SEED = 23
_LEFT = ("Thermocouple", "Accelerometer1RMS", "Accelerometer2RMS")
_STAYED = ("Current", "Voltage", "Pressure")


_BESIDE_TAU = [fault for fault in FAULTS if fault.kind in {"bias", "drift"} and fault.hard]


def judge(drilled: Drilled, repeats: int) -> list[Row]:
    """Say a row for each fault over all inputs, and list the inputs on which it was missed."""
    data, faults = drilled.data, drilled.faults
    note(f"faults: {data}, {len(drilled.train.names)} inputs, {len(faults)} faults ...")
    # degC everywhere, so that the change to degF is tried on every input
    guard = Guard(drilled.train, BUDGET, unit="degC")
    done = rows_of(
        trials(guard.spec, 0, drilled.test, repeats=repeats, seed=SEED, faults=faults)
    )
    for fault in faults:
        own = [row for row in done if row.fault == fault]
        if not own:  # no input can have it
            continue
        hits = sum(row.found * row.trials for row in own)
        right = sum((row.right or 0.0) * row.found * row.trials for row in own)
        share = sum(row.found * row.trials for row in own) / sum(row.trials for row in own)
        names = Counter(f"{row.name} ({row.cause})" for row in own if row.name)
        delays = [row.delay for row in own if row.delay is not None]
        alarms = sum((row.alarms or 0.0) * row.found * row.trials for row in own)
        say(
            table="faults", data=data, fault=fault.text, hard=fault.hard, inputs=len(own),
            trials=sum(row.trials for row in own), found=round(share, 4),
            median_delay_samples=float(np.median(delays)) if delays else None,
            named=dict(names.most_common(4)),
            named_right=round(right / hits, 4) if hits else None,
            alarms_each=round(alarms / hits, 2) if hits else None,
            missed={row.tag: round(row.found, 2) for row in own if row.found < GOAL},
            goal=HARD_GOAL if fault.hard else GOAL,
            reached=share >= (HARD_GOAL if fault.hard else GOAL),
        )  # fmt: skip
        if fault in _BESIDE_TAU:
            _beside_tau(data, guard, own)
    return done


def _beside_tau(data: str, guard: Guard, rows: list[Row]) -> None:
    for row, item in zip(rows, guard.spec.models[0].baseline.modes[0].inputs, strict=True):
        say(
            table="faults", data=data, fault=row.fault.text, input=row.tag,
            tau_samples=round(item.tau, 1), r2=round(item.r2, 2), found=round(row.found, 2),
            median_delay_samples=row.delay,
        )  # fmt: skip


def recorded(drilled: Drilled | None, folder: Path, repeats: int) -> None:
    """Judge a recorded process, or say that its data is not here."""
    if drilled is None:
        absent("faults", folder)
    else:
        judge(drilled, repeats)


def honest(path: Path) -> None:
    """The rest of a record that really leaves what its first part trained."""
    names, values = read_skab(path)
    cut = int(0.6 * len(values))
    guard = Guard(table_of(values[:cut], names, SECOND), BUDGET)
    judged = guard.judge(table_of(values[cut:], names, SECOND))
    final: dict[str, set[tuple[str, str]]] = {}
    for event in judged.events:
        if event.kind == "condition" and event.data["change"] != "cleared":
            final.setdefault(event.subject.partition("/")[2], set()).add(
                (event.data["kind"], event.data["cause"])
            )
    r2 = {item.tag: item.r2 for item in guard.spec.models[0].baseline.modes[0].inputs}
    moved = {"out of trained range", "excursion", "level shift", "drift", "step"}
    named = [tag for tag in _LEFT if any(kind in moved for kind, _ in final.get(tag, ()))]
    wrong = [tag for tag in _STAYED if tag in final]
    blamed = [
        tag for tag in _LEFT
        if r2[tag] < 0.5 and any(cause == "sensor" for _, cause in final.get(tag, ()))
    ]
    say(
        table="faults", data="skab honesty", named=named, goal_named=list(_LEFT),
        wrongly_flagged=wrong, blamed_as_sensor=blamed,
        conditions={tag: sorted(kinds) for tag, kinds in final.items()},
        reached=len(named) == len(_LEFT) and not wrong and not blamed,
    )  # fmt: skip


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with tep and skab")
    parser.add_argument("--quick", action="store_true", help="fewer trials")
    parser.add_argument("--only", choices=["simulator", "tep", "skab"])
    chosen = parser.parse_args()
    repeats = 3 if chosen.quick else 20
    if chosen.only in (None, "simulator"):
        judge(simulator(), repeats)
    if chosen.only in (None, "tep"):
        recorded(tennessee(chosen.data / "tep"), chosen.data / "tep", max(repeats // 4, 1))
    if chosen.only in (None, "skab"):
        recorded(skab(chosen.data / "skab"), chosen.data / "skab", repeats)
        if (clean := chosen.data / "skab" / "anomaly-free.csv").exists():
            honest(clean)


if __name__ == "__main__":
    main()
