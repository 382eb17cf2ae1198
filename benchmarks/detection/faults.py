"""Faults: what is found of every kind of fault on every input, at the shipped budget.

(a) the plant simulator, trained on one part, tried on another; (b) the Tennessee Eastman normal
test record, fitted on `d00`; (c) the last 40 % of the clean SKAB record, fitted on the whole of it
(power
only). Each fault begins at random rows; found means a condition on that input, its source or the
model within 600 samples (hard ones: the longer of 3,600 samples and 5 tau, as far as the record
goes).
"honesty": fitted on the first 60 % of the clean SKAB record, the rest leaves what was trained, and
must be named so on the inputs that do. `named_right`: of what was found, the share under a name
that is right for the fault (`agent.drill.faults.RIGHT`). `alarms_each`: conditions that one fault
raised, of whatever subject: 1 is best, 2 where two tags are swapped.

`python benchmarks/detection/faults.py [--quick]` prints JSON lines.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _recorded import DATA, SECOND, Guard, absent, note, say, table_of

from agent.drill.faults import FAULTS, Fault
from agent.drill.report import Row, rows_of
from agent.drill.trials import trials
from agent.records.table import Table
from agent.types import Float64
from simulators.plant import Plant, PlantSettings
from simulators.tags import NAMES

BUDGET = "1 per 30 days"
GOAL, HARD_GOAL = 0.99, 0.90
_TEP_NAMES = [*(f"xmeas.{i}" for i in range(1, 42)), *(f"xmv.{i}" for i in range(1, 12))]
_LEFT = ("Thermocouple", "Accelerometer1RMS", "Accelerometer2RMS")
_STAYED = ("Current", "Voltage", "Pressure")


_BESIDE_TAU = [fault for fault in FAULTS if fault.kind in {"bias", "drift"} and fault.hard]


def judge(
    data: str, train: Table, test: Table, faults: Sequence[Fault], repeats: int
) -> list[Row]:
    """Say a row for each fault over all inputs, and list the inputs on which it was missed."""
    note(f"faults: {data}, {len(train.names)} inputs, {len(faults)} faults ...")
    # degC everywhere, so that the change to degF is tried on every input
    guard = Guard(train, BUDGET, unit="degC")
    done = rows_of(trials(guard.spec, 0, test, repeats=repeats, seed=23, faults=tuple(faults)))
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


def simulator(repeats: int) -> None:
    """(a): a history of one seed trains, one of another is tried."""
    def part(seed: int, rows: int) -> Table:
        measured, _ = Plant(PlantSettings(seed=seed)).advance(rows)
        return table_of(measured[:, : len(NAMES)], NAMES, SECOND)

    judge("simulator", part(101, 100_000), part(202, 60_000), FAULTS, repeats)


def tennessee(folder: Path, repeats: int) -> None:
    """(b): 500 rows train, the normal test record is tried."""
    if not (folder / "d00.dat").exists():
        absent("faults", folder)
        return
    train = table_of(np.loadtxt(folder / "d00.dat").T, _TEP_NAMES, 180 * SECOND)
    test = table_of(np.loadtxt(folder / "d00_te.dat"), _TEP_NAMES, 180 * SECOND)
    judge("tep", train, test, [fault for fault in FAULTS if not fault.hard], repeats)


def read_skab(path: Path) -> tuple[list[str], Float64]:
    """Names and float64[n, 8] of the clean record."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter=";"))
    names = [name.replace(" ", "_") for name in rows[0][1:9]]
    return names, np.array([[float(cell) for cell in row[1:9]] for row in rows[1:]])


def skab(folder: Path, repeats: int) -> None:
    """(c) and the test of honesty."""
    path = folder / "anomaly-free.csv"
    if not path.exists():
        absent("faults", folder)
        return
    names, values = read_skab(path)
    cut = int(0.6 * len(values))
    whole = table_of(values, names, SECOND)
    judge("skab", whole, table_of(values[cut:], names, SECOND),
          [fault for fault in FAULTS if not fault.hard], repeats)  # fmt: skip
    honest(names, values, cut)


def honest(names: list[str], values: Float64, cut: int) -> None:
    """The rest of a record that really leaves what its first part trained."""
    guard = Guard(table_of(values[:cut], names, SECOND), BUDGET)
    judged = guard.judge(table_of(values[cut:], names, SECOND))
    final: dict[str, set[tuple[str, str]]] = {}
    for event in judged.events:
        if event.kind == "condition" and event.data["change"] != "cleared":
            final.setdefault(event.subject.partition("/")[2], set()).add(
                (event.data["kind"], event.data["cause"])
            )
    r2 = {item.tag: item.r2 for item in guard.spec.models[0].baseline.modes[0].inputs}
    moved = {"out of trained range", "level shift", "drift", "step"}
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
        simulator(repeats)
    if chosen.only in (None, "tep"):
        tennessee(chosen.data / "tep", max(repeats // 4, 1))
    if chosen.only in (None, "skab"):
        skab(chosen.data / "skab", repeats)


if __name__ == "__main__":
    main()
