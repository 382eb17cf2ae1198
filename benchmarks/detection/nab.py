"""NAB: hourly ambient temperature of an office, two windows in which the system is known to fail.

One model with one input, fitted on the record's first 15 % (NAB's own probationary period), judged
on the rest at the shipped budget. A window is found when a condition on the value is raised in it;
an alarm outside is one raised in neither. The record has gaps of hours to days: "missing" is what
really happened then, it is counted beside the alarms and not among them. `departures_sd`: how far
means of three days come from training, in standard deviations of its own such means, in each window
and outside: what any limit has to lie between.

The row belongs to the table "skab". `python benchmarks/detection/nab.py [--data FOLDER]` prints it.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
from _recorded import SECOND, Guard, absent, data_folder, say

from agent.csv_data import Table, read_table
from agent.types import Event

FILE = "ambient_temperature_system_failure.csv"
BUDGET = "1 per 30 days"
TRAINING = 0.15
DAYS = 3
WINDOWS = (("2013-12-15 07:00", "2013-12-30 09:00"), ("2014-03-29 15:00", "2014-04-20 22:00"))
GOALS = {"windows_found": 2, "alarms_outside": 1}
_TRANSPORT = {"missing", "source lost", "bad quality"}


def main() -> None:
    """Print the row."""
    folder = data_folder("nab", __doc__ or "")
    if not (folder / FILE).exists():
        absent("skab", folder)
        return
    table = read_table(folder / FILE)
    rows = int(TRAINING * len(table.time_ns))
    guard = Guard(_part(table, slice(0, rows)), BUDGET)
    judged = guard.judge(_part(table, slice(rows, None)))
    spans = [(_ns(start), _ns(end)) for start, end in WINDOWS]
    alarms = [e for e in judged.conditions() if e.data["kind"] not in _TRANSPORT]
    inside = [[e for e in alarms if start <= e.time_ns <= end] for start, end in spans]
    outside = [e for e in alarms if not any(start <= e.time_ns <= end for start, end in spans)]
    found = sum(bool(events) for events in inside)
    times = table.time_ns[rows:]
    faulty = np.any([(times >= start) & (times <= end) for start, end in spans], axis=0)
    (fitted,) = guard.report.rows
    say(
        table="skab", row="nab", budget=BUDGET, training_rows=rows, windows_found=found,
        alarms_outside=len(outside), gaps_named=len(judged.conditions()) - len(alarms),
        first_in_window=[_words(events) for events in inside],
        outside=[text for event in outside for text in _words([event])],
        departures_sd=_departures(table, rows, spans),
        flagged_in_windows_percent=_percent(judged.flagged[faulty]),
        flagged_outside_percent=_percent(judged.flagged[~faulty]),
        tau_hours=round(fitted.tau_s / 3600, 1), n_eff=round(fitted.n_eff, 1),
        provisional=fitted.provisional, goals=GOALS,
        reached=found == GOALS["windows_found"] and len(outside) <= GOALS["alarms_outside"],
    )


def _departures(table: Table, rows: int, spans: list[tuple[int, int]]) -> list[float]:
    """The largest of means of `DAYS` in each span, and of those that touch none."""
    length = DAYS * 86_400 * SECOND
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
