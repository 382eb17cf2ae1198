"""Row `tep`: the shared faults of the Tennessee Eastman process, found and counted.

Twice: as `benchmarks/detection/tep.py` sets it up (its budget), and as `init` and `fit` do.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from _records import MODEL, TEP_NAMES, Fitted, opened  # first: it adds the path below
from _said import conditions_of, incidents_of
from _score import began

import tep as detection  # isort: skip
from _drilled import TEP_INTERVAL_NS  # isort: skip
from _recorded import Guard, table_of  # isort: skip

GOALS = {"detected_percent": 95.0, "before_fault_percent": 1.0, "incidents_median": 2.0}


def faults(folder: Path) -> list[Path]:
    """The records with a fault that is counted."""
    return [
        path for path in sorted(folder.glob("d[0-9][0-9]_te.dat"))
        if path.name[:3] not in {"d00", *detection.LEFT_OUT}
    ]  # fmt: skip


def tennessee(folder: Path, fit: Fitted | None) -> dict[str, Any]:
    """The row at the budget of the detection benchmark, or (`fit`) at the promise as shipped."""
    if fit is None:
        train = table_of(np.loadtxt(folder / "d00.dat").T, TEP_NAMES, TEP_INTERVAL_NS)
        guard, model = Guard(train, detection.BUDGET), "recorded"
        budget = detection.BUDGET
    else:
        spec, _ = opened(fit, fit.test)
        guard, model, budget = _ready(spec), MODEL, "as init writes it"
    shares, before, counts = [], [], []
    for path in faults(folder):
        table = table_of(np.loadtxt(path), TEP_NAMES, TEP_INTERVAL_NS)
        judged = guard.judge(table)
        found = detection._detected(judged)
        shares.append(found["detected_percent"])
        before.append(found["before_onset_percent"])
        onset = int(table.time_ns[detection.ONSET])
        counts.append(len(incidents_of(began(conditions_of(judged.events), onset, model))))
    normal = guard.judge(table_of(np.loadtxt(folder / "d00_te.dat"), TEP_NAMES, TEP_INTERVAL_NS))
    row = {
        "budget": budget, "faults": len(shares),
        "detected_percent": round(float(np.mean(shares)), 2),
        "before_fault_percent": round(float(np.mean(before)), 2),
        "normal_record_flagged_percent":
            round(100.0 * float(normal.flagged[detection.WARM_UP :].mean()), 2),
        "incidents_median": float(np.median(counts)), "incidents": counts,
        "detected": shares, "goals": GOALS,
    }  # fmt: skip
    row["reached"] = (
        row["detected_percent"] >= GOALS["detected_percent"]
        and row["before_fault_percent"] <= GOALS["before_fault_percent"]
        and row["incidents_median"] <= GOALS["incidents_median"]
    )  # fmt: skip
    return row


def _ready(spec: Any) -> Guard:
    """A guard around a spec that is there already."""
    guard = Guard.__new__(Guard)
    guard.spec = spec
    return guard
