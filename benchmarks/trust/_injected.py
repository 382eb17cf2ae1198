"""Row `injected`: one fault a run in held-back parts of the records, through the engine.

A run is a window of the held-back part: `LEAD` rows as they are, then the fault. A place (a window)
is drawn by seed among those without a hole of the record's own; at each place every kind is tried
once, on an input drawn by seed among those on which the fault changes anything. The same window
without a fault is judged, too, and what it raises does not count. Found is what was raised within
500 samples; the name is the latest after 550.
"""

from __future__ import annotations

import time
import zlib
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from _faults import KINDS, LAG, SMALL_SD, SWAP, Column, Kind, is_small, is_there, predicted
from _records import MODEL, Fitted, Ready, events_of, ready, rows, with_values
from _said import Condition, conditions_of, incidents_of, without_clean
from _score import attributed, began, tally

from agent.records.table import Table
from agent.types import Int64

LEAD, FOUND_WITHIN, WINDOW = 400, 500, 950
NEAR = 20  # samples by which a condition of the clean run may be earlier or later
FEWEST_VALUES = 10  # an input with fewer different ones in training is a state or constant
PREDICTED = 0.5
PLACES = {"gas turbine": 10, "plant record": 3, "nab ambient": 10, "nab machine": 12, "skab": 12,
          "tep": 4}  # fmt: skip
QUICK_PLACES = {"gas turbine": 2, "plant record": 1, "nab ambient": 2, "nab machine": 2, "skab": 2,
                "tep": 1}  # fmt: skip
GOALS = {"found_percent": 85.0, "right_percent_of_found": 75.0, "wrong_percent_of_found": 5.0}


@dataclass(frozen=True, slots=True)
class Run:
    """One fault: where, on what, and what came of it.

    `small`: it moves the values by less than half an sd. `alone`: no other input predicts the tag,
    and a name would need that. `open_before`: the input's own condition stood at the onset.
    `absorbed`: the fault's condition was counted to an incident from before; so it was told, but is
    `missed` in every figure except `told_percent`.
    """

    record: str
    place: int
    kind: str
    tag: str
    onset_row: int
    small: bool
    alone: bool
    open_before: bool
    absorbed: bool
    outcome: str
    incidents: int
    delay: int
    names: tuple[tuple[str, str], ...]
    cpu_s: float

    @property
    def designed(self) -> bool:
        """Whether it is unknown where the design asks for that."""
        return self.outcome == "unknown" and self.alone


def runs_at(fit: Fitted, place: int, seed: int) -> list[Run]:
    """Every kind once, at one place."""
    here = ready(fit)
    rng = np.random.default_rng([seed, zlib.crc32(fit.record.name.encode()), place])
    start = int(rng.choice(starts(here.test.time_ns, here.test.interval_ns)))
    window = rows(here.test, slice(start, start + WINDOW))
    clean = conditions_of(events_of(here.spec, window))
    made = []
    for kind in KINDS:
        run = _run(fit, here, place, start, window, clean, kind, rng)
        made += [run] if run is not None else []
    return made


def starts(times_ns: Int64, interval_ns: int) -> Int64:
    """Rows at which a window may begin: those without a hole in it, where there are any.

    A hole of the record's own is named so, and would stand over the fault's name.
    """
    holes = np.concatenate([[0], np.cumsum(np.diff(times_ns) > 2 * interval_ns)])
    begins = np.arange(max(len(times_ns) - WINDOW, 0) + 1)
    ends = np.minimum(begins + WINDOW, len(times_ns)) - 1
    whole = holes[ends] == holes[begins]
    return begins[whole] if whole.any() else begins


def _run(
    fit: Fitted, here: Ready, place: int, start: int, window: Table, clean: list[Condition],
    kind: Kind, rng: np.random.Generator,
) -> Run | None:  # fmt: skip
    chosen = _injected(here, window, kind, rng)
    if chosen is None:
        return None
    tags, table, small = chosen
    began_s = time.process_time()
    onset = int(window.time_ns[LEAD])
    told = conditions_of(events_of(here.spec, table))
    late = [item for item in clean if item.raised_ns >= onset]
    after = without_clean(
        [item for item in told if item.raised_ns >= onset], late, NEAR * window.interval_ns
    )
    before = [item for item in told if item.raised_ns < onset]
    own = began([*before, *after], onset, MODEL)
    step = window.interval_ns
    result = attributed(
        incidents_of(own), until_ns=int(window.time_ns[-1]) + step,
        found_until_ns=int(window.time_ns[LEAD + FOUND_WITHIN - 1]) + step,
        causes=kind.causes, may_name=tags,
    )  # fmt: skip
    subject = f"tag/{tags[0]}"
    delay = -1 if result.first_ns is None else (
        int(np.searchsorted(window.time_ns, result.first_ns)) - LEAD
    )
    alone = kind.relation and _r2(here, tags[0]) < PREDICTED
    return Run(
        fit.record.name, place, kind.name, tags[0], start + LEAD, small, alone,
        any(item.subject == subject and (item.cleared_ns or onset + 1) > onset for item in before),
        any(item.subject == subject for item in after) and not own,
        result.outcome, result.incidents, delay, result.names, time.process_time() - began_s,
    )  # fmt: skip


def _injected(
    here: Ready, window: Table, kind: Kind, rng: np.random.Generator
) -> tuple[list[str], Table, bool] | None:
    """(the tags that have it, the window with it, whether it is small); None where none can."""
    inputs = [name for name in here.inputs if _moves(here.train.column(name))]
    whole = [name for name in inputs if np.isfinite(window.column(name)[LEAD - LAG :]).all()]
    for name in rng.permutation(whole).tolist():
        train = here.train.column(name)
        train = train[np.isfinite(train)]
        column = Column(
            window.column(name), LEAD, float(np.std(train)),
            float(np.std(np.diff(train)) / np.sqrt(2.0)), float(np.median(train)),
        )  # fmt: skip
        tags, faulty = [name], kind.change(column, rng)
        if kind.name == SWAP:
            others = [other for other in whole if other != name]
            if not others:
                return None
            tags.append(str(rng.choice(others)))
            faulty = window.column(tags[1])[LEAD:]
        compared = slice(0, FOUND_WITHIN)
        if not is_there(column.after[compared], faulty[compared], column.sd):
            continue
        values = window.select(tags).values.copy()
        values[LEAD:, 0] = faulty
        if kind.name == SWAP:
            values[LEAD:, 1] = column.after
        small = is_small(column.after[compared], faulty[compared], column.sd)
        return tags, with_values(window, tags, values), small
    return None


def _moves(values: np.ndarray) -> bool:
    return len(np.unique(values[np.isfinite(values)])) >= FEWEST_VALUES


def _r2(here: Ready, tag: str) -> float:
    names = list(here.inputs)
    return predicted(here.train.select(names).values, names.index(tag))


def scored(runs: list[Run]) -> dict[str, Any]:
    """The figures of some runs."""
    result = tally(run.outcome for run in runs)
    found = [run for run in runs if run.outcome != "missed"]
    large = [run for run in runs if not run.small]
    absorbed = sum(run.absorbed for run in runs)
    right = sum(run.outcome == "right" or run.designed for run in found)
    return {
        **asdict(result),
        "right_or_unknown_as_designed_percent_of_found":
            round(100.0 * right / len(found), 1) if found else None,
        "found_percent_unless_small":
            round(100.0 * sum(r.outcome != "missed" for r in large) / len(large), 1)
            if large else None,
        "small_runs": len(runs) - len(large),
        "open_before": sum(run.open_before for run in runs),
        "absorbed": absorbed,
        "told_percent": round(100.0 * (len(found) + absorbed) / len(runs), 1) if runs else None,
        "median_delay_samples":
            float(np.median([run.delay for run in found])) if found else None,
        "incidents_each": round(float(np.mean([run.incidents for run in found])), 2)
            if found else None,
        "named": [
            [kind, cause, count] for (kind, cause), count in
            Counter(name for run in found for name in run.names).most_common(5)
        ],
    }  # fmt: skip


def summaries(runs: list[Run]) -> list[dict[str, Any]]:
    """By kind, by record, and all together."""
    made = []
    for kind in KINDS:
        own = [run for run in runs if run.kind == kind.name]
        made.append({
            "kind": kind.name, "right_causes": sorted(kind.causes), "because": kind.why,
            **scored(own),
        })  # fmt: skip
    made += [
        {"record": record, **scored([run for run in runs if run.record == record])}
        for record in dict.fromkeys(run.record for run in runs)
    ]
    total = scored(runs)
    made.append({
        "all": True, **total, "small_below_sd": SMALL_SD, "lag_samples": LAG, "goals": GOALS,
        "cpu_s_a_run": round(float(np.mean([run.cpu_s for run in runs])), 2),
        "reached": total["found_percent"] >= GOALS["found_percent"]
        and (total["right_percent_of_found"] or 0.0) >= GOALS["right_percent_of_found"]
        and (total["wrong_percent_of_found"] or 0.0) <= GOALS["wrong_percent_of_found"],
    })  # fmt: skip
    return made
