"""Row `closed_loop`: every run of every plant, scored against its truth."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _records import MODEL, Fitted, events_of, opened
from _said import conditions_of, incidents_of
from _score import began, called_sensor, loop_outcome, most_incidents

WITHOUT_FAULT = frozenset({"none"})
OTHERS = frozenset({"concept_shift"})
"""Kinds in which the inputs look normal: only labels can tell, so they are no faults here."""

GOALS = {"right_percent": 70.0, "wrong_percent": 5.0, "called_sensor_runs": 0,
         "incidents_a_fault": 1.5}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """One run; `false` incidents are those without a fault: before its onset, or on clean runs."""

    plant: str
    run: str
    kind: str
    cause: str
    outcome: str
    incidents: int
    false: int
    fault_free_days: float
    called_sensor: tuple[str, ...]
    names: tuple[tuple[str, str, str], ...]


def runs_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The truth of each run of a plant that has its file."""
    truth: dict[str, dict[str, Any]] = json.loads((folder / "truth.json").read_text("utf-8"))
    return {name: item for name, item in truth.items() if (folder / f"{name}.parquet").exists()}


def judge(fit: Fitted, folder: Path, name: str) -> Run:
    """One run through a fresh engine."""
    truth = runs_of(folder)[name]
    spec, table = opened(fit, folder / f"{name}.parquet")
    told = conditions_of(events_of(spec, table))
    first, end = int(table.time_ns[0]), int(table.time_ns[-1]) + table.interval_ns
    faulty = truth["cause"] not in WITHOUT_FAULT and truth["kind"] not in OTHERS
    onset = _ns(truth["onset"]) if truth["onset"] else end
    after = incidents_of(began(told, onset, MODEL))
    result = loop_outcome(
        truth["cause"], truth["tags"], bool(truth.get("visible")), after, end
    ) if faulty else None  # fmt: skip
    loops = json.loads((folder / "loops.json").read_text("utf-8")).values()
    never = {loop[part] for loop in loops for part in ("sp", "out", "mode") if loop.get(part)}
    false = [item for item in incidents_of(told) if item.raised_ns < onset]
    names = [incident.name_at(end) for incident in after]
    return Run(
        folder.name, name, truth["kind"], truth["cause"],
        result.outcome if result else "no fault", result.incidents if result else 0, len(false),
        (onset - first) / 86_400e9, tuple(called_sensor(told, never)),
        tuple((item.kind, item.cause, ",".join(item.tags)) for item in names),
    )  # fmt: skip


def _ns(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def summary(runs: list[Run]) -> dict[str, Any]:
    """All runs of all plants; shares are of the faults that show, or of which anything was said."""
    faults = [run for run in runs if run.outcome != "no fault"]
    counted = [run for run in faults if run.outcome != "invisible"]
    counts = Counter(run.outcome for run in counted)

    def percent(*names: str) -> float:
        return round(100.0 * sum(counts[name] for name in names) / max(len(counted), 1), 1)

    said = [run for run in faults if run.incidents]
    each = round(float(np.mean([run.incidents for run in said])), 2) if said else 0.0
    days = sum(run.fault_free_days for run in runs)
    false = sum(run.false for run in runs)
    accused = [run for run in runs if run.called_sensor]
    row = {
        "runs": len(runs), "faults": len(faults),
        "not_visible_and_silent": len(faults) - len(counted),
        "right_percent": percent("right"),
        "wrong_percent": percent("wrong", "right among wrong"),
        "right_among_unknown_percent": percent("right among unknown"),
        "unknown_percent": percent("unknown"), "missed_percent": percent("missed"),
        "incidents_a_fault": each, "incidents_most": max((r.incidents for r in faults), default=0),
        "called_sensor_runs": len(accused),
        "called_sensor": dict(Counter(tag for run in accused for tag in run.called_sensor)),
        "false_incidents": false, "fault_free_days": round(days, 1),
        "false_at_most": most_incidents(days / 30.0),
        "false_on_clean_runs": sum(run.false for run in runs if run.outcome == "no fault"),
        "outcomes": dict(counts), "goals": GOALS,
    }  # fmt: skip
    row["reached"] = (
        row["right_percent"] >= GOALS["right_percent"]
        and row["wrong_percent"] <= GOALS["wrong_percent"]
        and len(accused) == 0 and each <= GOALS["incidents_a_fault"]
        and false <= row["false_at_most"]
    )  # fmt: skip
    return row


def by_kind(runs: list[Run]) -> list[dict[str, Any]]:
    """A row for each kind of fault."""
    kinds = dict.fromkeys(run.kind for run in runs if run.outcome != "no fault")
    return [
        {"kind": kind, "runs": [
            {"run": f"{run.plant}/{run.run}", "outcome": run.outcome, "incidents": run.incidents,
             "names": run.names[:4]} for run in runs if run.kind == kind
        ]} for kind in kinds
    ]  # fmt: skip

