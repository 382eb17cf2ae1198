"""Row `real`: the last part of each record through the engine, fitted on the first."""

from __future__ import annotations

import csv
import time
from typing import Any

import numpy as np
from _records import MODEL, Fitted, Ready, events_of, ready, says_extrapolating, with_scans
from _said import Condition, Verdicts, conditions_of, incidents_of, verdicts_of
from _score import (
    amid,
    beyond,
    held,
    is_true_gap,
    lengths_s,
    longest_after_return,
    most_incidents,
    time_lost,
    warned,
)

GOALS = {"not_trusted_percent": 2.0, "beyond_at_least_caution_percent": 100.0,
         "scans_after_return": 5}  # fmt: skip
GRACE = 3  # scans that a reason may take to come up


def real(fit: Fitted) -> dict[str, Any]:
    """The row of one record."""
    here = ready(fit)
    began = time.process_time()
    if says_extrapolating():
        events, scans = with_scans(here.spec, here.test)
        share = _share_of_scans(scans)
    else:
        events, share = events_of(here.spec, here.test), None
    replay_s = time.process_time() - began
    return {
        "record": fit.record.name, "inputs": len(here.inputs),
        "training_rows": len(here.train.time_ns), "rows": len(here.test.time_ns),
        **_alarms(here, conditions_of(events)), **_time(here, verdicts_of(events, MODEL), share),
        "fit_cpu_s": round(fit.fit_s, 1), "replay_cpu_s": round(replay_s, 1),
    }  # fmt: skip


def end_ns(here: Ready) -> int:
    """When the judged part ends."""
    return int(here.test.time_ns[-1]) + here.test.interval_ns


def _alarms(here: Ready, conditions: list[Condition]) -> dict[str, Any]:
    end = end_ns(here)
    span_ns = end - int(here.test.time_ns[0])
    promised = here.configuration.gateway.false_alarms_per_ns * span_ns
    gaps = {item.id for item in conditions if _is_gap(here, item)}
    incidents = incidents_of(item for item in conditions if item.id not in gaps)
    lengths = lengths_s((item for item in conditions if item.id not in gaps), end)
    step = here.test.interval_ns / 1e9
    return {
        "days": round(span_ns / 86_400e9, 2), "promised": round(promised, 3),
        "incidents": len(incidents), "incidents_at_most": most_incidents(promised),
        "conditions": len(conditions) - len(gaps), "true_gaps_named": len(gaps),
        "condition_median_s": round(float(np.median(lengths)), 1) if lengths else None,
        "condition_longest_s": round(max(lengths), 1) if lengths else None,
        "condition_median_scans": round(float(np.median(lengths)) / step, 1) if lengths else None,
    }  # fmt: skip


def _is_gap(here: Ready, condition: Condition) -> bool:
    """Whether it says of a time without values that there were none."""
    place, _, name = condition.subject.partition("/")
    if place == "tag" and name in here.test.names:
        usable = np.isfinite(here.test.column(name))
    else:
        usable = np.isfinite(here.test.values).any(axis=1)
    return is_true_gap(condition, here.test.time_ns, usable, here.test.interval_ns)


def _time(here: Ready, verdicts: Verdicts, share: float | None) -> dict[str, Any]:
    lost = time_lost(verdicts, int(here.test.time_ns[0]), end_ns(here))
    ends = np.append(here.test.time_ns[1:], end_ns(here))
    at = verdicts.at(ends)
    words = [verdicts.words[i] if i >= 0 else "" for i in at.tolist()]
    names = list(here.inputs)
    train = held(here.train.select(names).values)
    judged = held(here.test.select(names).values)
    outside = beyond(train, judged)
    good, of = warned(outside.any(axis=1), words)
    late_good, late_of = warned(outside.any(axis=1), words, GRACE)
    return {
        "not_trusted_percent": lost.by_conditions,
        "not_trusted_with_range_conditions_percent": lost.by_any_condition,
        "unassessable_percent": lost.unassessable,
        "extrapolating_percent": _reasoned(verdicts, at) if share is None else share,
        "beyond_percent": round(100.0 * float(outside.any(axis=1).mean()), 2),
        "beyond_assessed_scans": of,
        "beyond_at_least_caution_percent": round(100.0 * good / of, 2) if of else None,
        "the_same_from_the_fourth_scan_on_percent":
            round(100.0 * late_good / late_of, 2) if late_of else None,
        **_lingering(verdicts, at, names, amid(train, judged)),
    }  # fmt: skip


def _reasoned(verdicts: Verdicts, at: np.ndarray) -> float:
    """Share of scans, in percent, at which a reason says that values are outside of training."""
    says = np.array([any(reason.of_range for reason in own) for own in verdicts.reasons], bool)
    return round(100.0 * float(np.mean([i >= 0 and says[i] for i in at.tolist()])), 2)


def _lingering(
    verdicts: Verdicts, at: np.ndarray, names: list[str], inside: np.ndarray
) -> dict[str, Any]:
    """The input whose reason 'outside of training' stood longest while it was amid training."""
    worst = (0, "")
    for position, name in enumerate(names):
        said = [any(r.of_range and r.tag == name for r in own) for own in verdicts.reasons]
        up = np.array([i >= 0 and said[i] for i in at.tolist()], bool)
        worst = max(worst, (longest_after_return(inside[:, position], up), name))
    return {"scans_after_return": worst[0], "scans_after_return_of": worst[1] if worst[0] else ""}


def _share_of_scans(scans: str) -> float:
    flags = [int(row["extrapolating"]) for row in csv.DictReader(scans.splitlines())]
    return round(100.0 * float(np.mean(flags)), 2) if flags else 0.0


def reached(row: dict[str, Any]) -> bool:
    """Whether one record's row is within the goals."""
    share = row["beyond_at_least_caution_percent"]
    return bool(
        row["incidents"] <= row["incidents_at_most"]
        and row["not_trusted_percent"] <= GOALS["not_trusted_percent"]
        and (share is None or share >= GOALS["beyond_at_least_caution_percent"])
        and row["scans_after_return"] <= GOALS["scans_after_return"]
    )


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All records together."""
    promised = sum(row["promised"] for row in rows)
    scans = sum(row["beyond_assessed_scans"] for row in rows)
    good = sum(
        row["beyond_assessed_scans"] * row["beyond_at_least_caution_percent"] / 100.0
        for row in rows if row["beyond_at_least_caution_percent"] is not None
    )  # fmt: skip
    worst = max(rows, key=lambda row: row["not_trusted_percent"])
    return {
        "records": len(rows), "incidents": sum(row["incidents"] for row in rows),
        "promised": round(promised, 2), "incidents_at_most": most_incidents(promised),
        "not_trusted_median_percent":
            round(float(np.median([row["not_trusted_percent"] for row in rows])), 2),
        "not_trusted_worst": [worst["record"], worst["not_trusted_percent"]],
        "beyond_at_least_caution_percent": round(100.0 * good / scans, 2) if scans else None,
        "scans_after_return": max(row["scans_after_return"] for row in rows),
        "reached_by_records": sum(reached(row) for row in rows), "goals": GOALS,
        "reached": all(reached(row) for row in rows),
    }  # fmt: skip
