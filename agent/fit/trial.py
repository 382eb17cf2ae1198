"""The promise tried: the real engine over held-back time, as if it had been installed before that.

The baseline is the one that would have been fitted on the lead of the record's last part (see
`held_back`); what follows is replayed as it would have come. What the engine raises there is taken
for false, though some of it may be a fault that the record holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from agent.configuration.schema import Configuration
from agent.core.baseline import Baseline
from agent.core.delays import MOST_TIME
from agent.core.engine import Engine
from agent.core.names import TRUE_WHILE
from agent.fit import held_back
from agent.fit.fitted import Fitted
from agent.records.replay import after_texts, table_entries
from agent.records.table import Table
from agent.runtime.assemble import build_spec
from agent.status.view import duration
from agent.types import Event, Int64

_ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a trial, beside what is promised.

    Attributes:
        days: how long the time held back is.
        incidents, promised: that were raised, and that may be; holes of the record are none.
        lost: share of the time in which a condition kept the model from "trusted".
        longest_s: the longest condition.
        charts: how many incidents each chart began.
    """

    days: float
    incidents: int
    promised: float
    lost: float
    longest_s: float
    charts: dict[str, int]

    def text(self) -> str:
        """What a person reads."""
        by = ", ".join(f"{name} {count}" for name, count in sorted(self.charts.items()))
        longest = f", the longest {duration(self.longest_s)}" if self.incidents else ""
        return (
            f"tried on {duration(self.days * 86_400)} held back: {self.incidents} "
            f"incident{'' if self.incidents == 1 else 's'} (promised {self.promised:.2g})"
            f"{f', begun by {by}' if by else ''}; not trusted for {self.lost:.2%} of the time "
            f"(promised {MOST_TIME:.1%}){longest}"
        )


def run(
    configuration: Configuration, name: str, baseline: Baseline, table: Table, from_row: int
) -> Trial:
    """Run the engine of one model over a record's rows from `from_row` on."""
    model = configuration.models[name]
    outputs = {one.item.tag for mode in baseline.modes for one in mode.outputs}
    needed = {*model.inputs, *outputs, *([model.mode.tag] if model.mode else [])}
    tags = {tag: item for tag, item in configuration.tags.items() if tag in needed}
    part = configuration.model_copy(update={"tags": tags, "models": {name: model}})
    spec = build_spec(
        part, {tag: row for row, tag in enumerate(tags)}, {name: baseline}, recorded={}
    )
    rest = replace(table, time_ns=table.time_ns[from_row:], values=table.values[from_row:])
    engine = Engine(spec)
    entries = after_texts(rest, table_entries(spec, rest, _ROWS_AT_ONCE))
    events = [event for entry in entries for event in engine.step(entry).events]
    end_ns = int(rest.time_ns[-1]) + rest.interval_ns
    span_ns = end_ns - int(rest.time_ns[0])
    raised, lengths = _raised(events, end_ns)
    return Trial(
        days=span_ns / 86_400e9,
        incidents=len(raised),
        promised=configuration.gateway.false_alarms_per_ns * span_ns,
        lost=_lost_ns(events, end_ns) / span_ns,
        longest_s=max(lengths, default=0) / 1e9,
        charts=dict(Counter(raised.values())),
    )


def tried(
    configuration: Configuration, baseline: Baseline, table: Table, fitted: Sequence[Fitted],
    row_of: Sequence[Int64],
) -> Trial | None:  # fmt: skip
    """The promise tried on the rows that no mode's lead holds; None without any.

    Stretches of a longer record are tried each by itself.
    """
    held = tuple(one.held for one in fitted if one.held is not None)
    if len(held) < len(fitted):
        return None
    from_row = max(
        next((int(row) for row in rows[one.from_row :] if row >= 0), len(table.time_ns))
        for one, rows in zip(fitted, row_of, strict=True)
    )
    starts = table.selection.starts if table.selection else (0,)
    stops = [*(start - 1 for start in starts[1:]), len(table.time_ns)]
    whole = replace(baseline, modes=held)
    found = [
        run(configuration, baseline.model, whole, _rows(table, max(start, from_row), stop), 0)
        for start, stop in zip(starts, stops, strict=True)
        if stop - max(start, from_row) >= held_back.FEWEST
    ]
    return _together(found) if found else None


def _rows(table: Table, start: int, stop: int) -> Table:
    return replace(table, time_ns=table.time_ns[start:stop], values=table.values[start:stop])


def _together(found: Sequence[Trial]) -> Trial:
    days = sum(one.days for one in found)
    charts: Counter[str] = Counter()
    for one in found:
        charts.update(one.charts)
    return Trial(
        days=days, incidents=sum(one.incidents for one in found),
        promised=sum(one.promised for one in found),
        lost=sum(one.lost * one.days for one in found) / days if len(found) > 1 else found[0].lost,
        longest_s=max(one.longest_s for one in found), charts=dict(charts),
    )


def _raised(events: Iterable[Event], end_ns: int) -> tuple[dict[str, str], list[int]]:
    """The chart that began each incident, and the lengths of all conditions, in ns."""
    began: dict[str, str] = {}
    since: dict[str, int] = {}
    lengths: list[int] = []
    for event in events:
        if event.kind != "condition" or event.data["kind"] in TRUE_WHILE:
            continue
        known, change = event.data["id"], event.data["change"]
        if change == "raised":
            since[known] = event.time_ns
            charts = [key.partition("@")[0] for key in event.data["detectors"]]
            began.setdefault(event.data["incident"], charts[0])
        elif change == "cleared" and known in since:
            lengths.append(event.time_ns - since.pop(known))
    return began, [*lengths, *(end_ns - start for start in since.values())]


def _lost_ns(events: Iterable[Event], end_ns: int) -> int:
    """How long a condition that is no hole of the record kept the model from "trusted"."""
    verdicts = [event for event in events if event.kind == "verdict"]
    ends = [*(event.time_ns for event in verdicts[1:]), end_ns]
    lost = 0
    for event, until_ns in zip(verdicts, ends, strict=True):
        charged = any(
            reason["condition"] and reason["kind"] not in TRUE_WHILE
            for reason in event.data["reasons"]
        )
        if event.data["verdict"] in {"caution", "untrusted"} and charged:
            lost += until_ns - event.time_ns
    return lost


def covers(length_ns: int) -> str:
    """What a record of this length can not show, in a sentence."""
    days = length_ns / 86_400e9
    if days >= 2 * 365:
        return ""
    if days >= 365:
        return f"the record covers {days / 365:.1f} years: each season is in it only once"
    if days >= 60:
        return f"the record covers {days / 365:.1f} of a year: not all seasons are in it"
    if days >= 2:
        return (
            f"the record covers {days:.0f} days: it shows how days differ, and neither seasons nor "
            "what wears slowly"
        )
    return (
        f"the record covers {duration(length_ns / 1e9)}: it shows neither how days differ, nor "
        "seasons, nor what wears slowly"
    )
