"""NAB: hourly ambient temperature of an office, two windows in which the system is known to fail.

One model with one input, judged at the shipped budget on what follows its training: all that comes
before the first window, as a plant would train on what it knows to be normal (and how it would be
with days less of that); in a second row NAB's own probationary period, the first 15 %. A window is
found when a condition on the value is raised in it; an alarm outside is one raised in neither. The
record has gaps of hours to days: "missing" is what really happened then, it is counted beside the
alarms and not among them. `departures_sd`: how far means of three days come from training, in
standard deviations of its own such means, in each window and outside.

The rows belong to the table "skab". `python benchmarks/detection/nab.py [--data FOLDER]` prints
them.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
from _recorded import SECOND, Guard, absent, data_folder, say

from agent.core.verdict import LOST_KINDS
from agent.records.table import Table, read_table
from agent.types import Event

FILE = "ambient_temperature_system_failure.csv"
BUDGET = "1 per 30 days"
PROBATION = 0.15
LESS = (1, 2, 3, 5, 7, 14, 28)
"""Days that a training may end before the first window."""

DAYS = 3
DAY = 86_400 * SECOND
WINDOWS = (("2013-12-15 07:00", "2013-12-30 09:00"), ("2014-03-29 15:00", "2014-04-20 22:00"))
GOALS = {"windows_found": 2, "alarms_outside": 1}
_TRANSPORT = LOST_KINDS


def main() -> None:
    """Print both rows."""
    folder = data_folder("nab", __doc__ or "")
    if not (folder / FILE).exists():
        absent("skab", folder)
        return
    table = read_table(folder / FILE)
    spans = [(_ns(start), _ns(end)) for start, end in WINDOWS]
    first_ns = spans[0][0]
    row = _row(table, _rows_before(table, first_ns), spans)
    less = {days: _row(table, _rows_before(table, first_ns - days * DAY), spans) for days in LESS}
    reached = (
        row["windows_found"] == GOALS["windows_found"]
        and row["alarms_outside"] <= GOALS["alarms_outside"]
    )
    say(table="skab", row="nab", trained="before the first window", **row,
        found_and_outside_with_days_less={
            days: [one["windows_found"], one["alarms_outside"]] for days, one in less.items()
        }, goals=GOALS, reached=reached)  # fmt: skip
    rows = int(PROBATION * len(table.time_ns))
    say(table="skab", row="nab", trained="the first 15 %", **_row(table, rows, spans))


def _row(table: Table, rows: int, spans: list[tuple[int, int]]) -> dict[str, Any]:
    """What is found after a training of `rows`."""
    guard = Guard(_part(table, slice(0, rows)), BUDGET)
    judged = guard.judge(_part(table, slice(rows, None)))
    alarms = [e for e in judged.conditions() if e.data["kind"] not in _TRANSPORT]
    inside = [[e for e in alarms if start <= e.time_ns <= end] for start, end in spans]
    outside = [e for e in alarms if not any(start <= e.time_ns <= end for start, end in spans)]
    times = table.time_ns[rows:]
    faulty = np.any([(times >= start) & (times <= end) for start, end in spans], axis=0)
    (fitted,) = guard.report.rows
    return {
        "budget": BUDGET, "training_rows": rows,
        "windows_found": sum(bool(events) for events in inside),
        "alarms_outside": len(outside), "gaps_named": len(judged.conditions()) - len(alarms),
        "first_in_window": [_words(events) for events in inside],
        "outside": [text for event in outside for text in _words([event])],
        "departures_sd": _departures(table, rows, spans),
        "flagged_in_windows_percent": _percent(judged.flagged[faulty]),
        "flagged_outside_percent": _percent(judged.flagged[~faulty]),
        "tau_hours": round(fitted.tau_s / 3600, 1), "n_eff": round(fitted.n_eff, 1),
        "provisional": fitted.provisional,
    }  # fmt: skip


def _rows_before(table: Table, time_ns: int) -> int:
    return int(np.searchsorted(table.time_ns, time_ns))


def _departures(table: Table, rows: int, spans: list[tuple[int, int]]) -> list[float]:
    """The largest of means of `DAYS` in each span, and of those that touch none."""
    length = DAYS * DAY
    times, values = table.time_ns, table.values[:, 0]
    ends = np.searchsorted(times, times + length)
    whole = ends - np.arange(len(times)) >= 0.8 * DAYS * 24
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means = (sums[ends] - sums[:-1]) / np.maximum(ends - np.arange(len(times)), 1)
    trained = means[whole & (ends <= rows)]
    off = np.where(whole, np.abs(means - trained.mean()) / trained.std(), 0.0)
    later = np.arange(len(times)) >= rows
    inside = [(times >= start) & (times + length <= end) for start, end in spans]
    near = np.any([(times + length >= start) & (times <= end) for start, end in spans], axis=0)
    places = [*(later & one for one in inside), later & ~near]
    return [round(float(off[place].max()), 2) for place in places]


def _part(table: Table, rows: slice) -> Table:
    values = np.asfortranarray(table.values[rows])
    return Table(table.time_ns[rows], ("temperature",), values, table.interval_ns)


def _ns(text: str) -> int:
    moment = dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
    return int(moment.timestamp()) * SECOND


def _words(events: list[Event]) -> list[str]:
    """The first of them, in words."""
    texts = []
    for event in events[:1]:
        when = dt.datetime.fromtimestamp(event.time_ns // SECOND, dt.UTC)
        texts.append(f"{when:%Y-%m-%d %H:%M} {event.data['kind']}")
    return texts


def _percent(flags: np.ndarray) -> float:
    return round(100.0 * float(np.mean(flags)), 2)


if __name__ == "__main__":
    main()
