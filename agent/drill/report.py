"""The drill's result as rows and as a JSON document; `picture` draws it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.core.baseline import InputBaseline
from agent.drill.faults import Fault
from agent.drill.sizes import size_of
from agent.drill.trials import NormalRun, Trial


@dataclass(frozen=True, slots=True)
class Row:
    """One fault on one input: share found, median delay in samples (None: never), usual name.

    `right` is the share of those found that got a right name; `alarms` how many conditions, and
    `incidents` how many faults that people are told of, each of them raised (None: none was found).
    `outcomes` counts the trials by how their cause was told, see `Trial.outcome`. `size` says how
    large the fault is in the input's unit.
    """

    tag: str
    fault: Fault
    trials: int
    found: float
    delay: float | None
    right: float | None
    name: str
    cause: str
    alarms: float | None
    incidents: float | None
    outcomes: Mapping[str, int]
    size: str = ""


OUTCOMES = ("right", "unknown", "wrong", "missed")


def rows_of(trials: Sequence[Trial], inputs: Sequence[InputBaseline] = ()) -> list[Row]:
    """Trials of the same fault and input together, in the order in which they came.

    `inputs` tell the sizes, where they are given.
    """
    of_tag = {item.tag: item for item in inputs}
    grouped: dict[tuple[str, Fault], list[Trial]] = {}
    for trial in trials:
        grouped.setdefault((trial.tag, trial.fault), []).append(trial)
    made = []
    for (tag, fault), group in grouped.items():
        hits = [trial for trial in group if trial.found]
        names = Counter((trial.name, trial.cause) for trial in hits).most_common(1)
        name, cause = names[0][0] if names else ("", "")
        delay = float(np.median([trial.delay for trial in hits])) if hits else None
        right = sum(trial.right for trial in hits) / len(hits) if hits else None
        alarms = sum(trial.alarms for trial in hits) / len(hits) if hits else None
        incidents = sum(trial.incidents for trial in hits) / len(hits) if hits else None
        told = Counter(trial.outcome for trial in group)
        made.append(Row(
            tag, fault, len(group), len(hits) / len(group), delay, right, name, cause, alarms,
            incidents, {outcome: told[outcome] for outcome in OUTCOMES},
            size_of(fault, of_tag[tag]) if tag in of_tag else "",
        ))  # fmt: skip
    return made


def document(
    rows: Sequence[Row], calm: NormalRun, promised: float,
    without: Sequence[tuple[str, Fault, str]] = (), place: str = "",
) -> dict[str, object]:  # fmt: skip
    """JSON-ready: every row, and false alarms beside what was promised for the same length.

    `without` is what `trials.left_out` says, `place` what `places.Places.text` does.
    """
    return {
        "faults": [
            {
                "input": row.tag, "fault": row.fault.text, "kind": row.fault.kind,
                "size": row.fault.size, "hard": row.fault.hard, "trials": row.trials,
                "found": row.found, "delay_samples": row.delay, "named_right": row.right,
                "name": row.name, "cause": row.cause, "alarms": row.alarms,
                "incidents": row.incidents, "outcomes": dict(row.outcomes), "size_text": row.size,
            }
            for row in rows
        ],
        "left_out": [
            {"input": tag, "fault": fault.text, "why": why} for tag, fault, why in without
        ],
        "false_alarms": calm.alarms, "false_incidents": calm.incidents,
        "false_alarms_promised": promised, "rows": calm.rows,
        "not_trusted": calm.not_trusted, "place": place,
    }  # fmt: skip


def totals_text(rows: Sequence[Row]) -> str:
    """All trials in one line: found, and how their causes were told."""
    tried = sum(row.trials for row in rows)
    told = Counter[str]()
    for row in rows:
        told.update(row.outcomes)
    found = tried - told["missed"]
    if not found:
        return f"in all: none of {tried} faults was found"
    causes = ", ".join(f"{told[one] / found:.0%} {one}" for one in OUTCOMES[:3])
    return f"in all: {found} of {tried} faults found; their cause: {causes}"


def left_out_text(without: Sequence[tuple[str, Fault, str]]) -> list[str]:
    """A line for each reason: the faults that were not tried, and on how many inputs."""
    grouped: dict[str, tuple[list[str], list[str]]] = {}
    for tag, fault, why in without:
        tags, faults = grouped.setdefault(why, ([], []))
        tags.append(tag)
        faults.append(fault.text)
    lines = []
    for why, (tags, faults) in grouped.items():
        named = list(dict.fromkeys(tags))
        shown = ", ".join(named[:3]) + (f" and {len(named) - 3} more" if len(named) > 3 else "")
        lines.append(f"not tried on {shown} ({why}): {', '.join(dict.fromkeys(faults))}")
    return lines
