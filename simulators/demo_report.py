"""What the demonstration found: the simulator's truth against the agent's own events.

Pure functions. A row is filled from events that the agent stored and that central received, or it
stays empty; by what names a fault may be called rightly stands in one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from simulators.tags import PREDICTED

GRACE_NS = 5_000_000_000  # a fault may be named so long after its end
# kinds of events that central gets
DELIVERED = frozenset({"condition", "verdict", "source", "retraining"})
_SHOWN = {"raised", "updated"}
_NOT_MENDED = frozenset({"process", "model"})
"""Causes that can warrant retraining: what an instrument or a connection does is neither."""

_NAMES: Mapping[str, frozenset[str]] = {
    "stuck": frozenset({"stuck"}),
    "out_of_range": frozenset({"out of trained range", "out of physical range", "excursion"}),
    "drift": frozenset({"drift", "bias"}),
    "bias": frozenset({"bias", "level shift"}),
    "unit_change": frozenset({"unit change"}),
    "source_lost": frozenset({"source lost"}),
}
"""What was done -> names that it may be called by. Of other kinds the cause alone is looked at."""


@dataclass(frozen=True, slots=True)
class Reported:
    """One event of the agent, as stored or as received: engine time in ns, JSON detail."""

    kind: str
    time_ns: int
    subject: str
    data: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str, int, str]:
        """The same for the stored event and for the message that told of it."""
        return (
            self.kind,
            self.subject,
            self.time_ns,
            str(self.data.get("change", self.data.get("verdict", self.data.get("state", "")))),
        )


@dataclass(frozen=True, slots=True)
class Outage:
    """The uplink as the agent's own status showed it: ns of wall time, None while unknown."""

    lost_ns: int | None = None
    reason: str = ""
    back_ns: int | None = None
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One fault of the table.

    Attributes:
        title: what was done, and to what.
        injected_s: seconds since the script began.
        detected_s: seconds from the fault's start to the first event that names its subject.
        verdict: the one that followed the agent's last words about it, and gives it as a reason.
        reason: the agent's last words about it while it lasted.
        central: whether the event reached central; None where it could not be (not detected).
        kind: the agent's name for it.
        right: whether that name and its cause are right.
    """

    title: str
    injected_s: float
    detected_s: float | None
    verdict: str
    reason: str
    central: bool | None
    kind: str = ""
    right: bool = False


def faults_of(truth: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The faults that started, in order."""
    return [record for record in truth if record["phase"] == "start"]


def rows_of(
    truth: Iterable[Mapping[str, Any]],
    told: Sequence[Reported],
    arrived: Mapping[tuple[str, str, int, str], int],
    outages: Sequence[Outage],
    start_ns: int,
) -> list[Row]:
    """One row a fault.

    Args:
        truth: the simulator's log.
        told: the agent's stored events, in order.
        arrived: key of each event that central received -> wall ns of its arrival.
        outages: one for each `uplink_lost`, in order.
        start_ns: wall ns of the script's begin.
    """
    rows = []
    left = list(outages)
    for fault in faults_of(truth):
        if fault["kind"] == "uplink_lost":
            outage = left.pop(0) if left else Outage()
            rows.append(_uplink_row(fault, outage, told, arrived, start_ns))
        else:
            rows.append(_row(fault, told, arrived, start_ns))
    return rows


def _row(
    fault: Mapping[str, Any],
    told: Sequence[Reported],
    arrived: Mapping[tuple[str, str, int, str], int],
    start_ns: int,
) -> Row:
    until = fault["end_ns"] + GRACE_NS
    named = [
        event
        for event in told
        if event.kind == "condition"
        and _is_of(fault, event)
        and event.data.get("change") in _SHOWN
        and fault["at_ns"] <= event.time_ns <= until
    ]
    title = str(fault["title"])
    if fault["subject"] not in title:
        title = f"{title}: {fault['subject']}"
    injected = (fault["at_ns"] - start_ns) / 1e9
    if not named:
        return Row(title, injected, None, "", "not detected", None)
    first, last = named[0], _last(fault, named)
    return Row(
        title,
        injected,
        (first.time_ns - fault["at_ns"]) / 1e9,
        _verdict(told, last.subject, last.time_ns, until),
        str(last.data.get("text", "")).rsplit(", since ", 1)[0],
        all(event.key in arrived for event in named),
        str(last.data.get("kind", "")),
        _is_right(fault, last.data),
    )


def _last(fault: Mapping[str, Any], named: Sequence[Reported]) -> Reported:
    """What is shown of a fault: the last words on it; of what moves many inputs, the first."""
    if fault["kind"] != "process":
        return named[-1]
    return [event for event in named if event.subject == named[0].subject][-1]


def _is_of(fault: Mapping[str, Any], event: Reported) -> bool:
    """Whether a condition is of a fault: by its subject, or as moved by the process."""
    if fault["kind"] == "process":
        return event.data.get("cause") == "process"
    wanted = f"tag/{fault['tag']}" if fault["tag"] else f"source/{fault['source']}"
    return event.subject == wanted


def _is_right(fault: Mapping[str, Any], said: Mapping[str, Any]) -> bool:
    """Whether a fault is called by a right name, and given to who must act."""
    cause, names = str(said.get("cause", "")), _NAMES.get(str(fault["kind"]))
    if fault["kind"] == "process":
        return cause == "process"
    if fault["tag"] == PREDICTED:
        return cause == "model"
    return cause not in _NOT_MENDED and (names is None or said.get("kind") in names)


def _verdict(told: Sequence[Reported], subject: str, from_ns: int, until_ns: int) -> str:
    """The first verdict from `from_ns` on that gives `subject` as a reason."""
    place, _, name = subject.partition("/")
    verdicts = (
        str(event.data["verdict"])
        for event in told
        if event.kind == "verdict"
        and from_ns <= event.time_ns <= until_ns
        and any(reason.get(place) == name for reason in event.data.get("reasons", ()))
    )
    return next(verdicts, "")


def _uplink_row(
    fault: Mapping[str, Any],
    outage: Outage,
    told: Sequence[Reported],
    arrived: Mapping[tuple[str, str, int, str], int],
    start_ns: int,
) -> Row:
    during = [
        event
        for event in told
        if event.kind in DELIVERED
        and fault["at_ns"] <= event.time_ns <= min(fault["end_ns"], outage.back_ns or 1 << 62)
    ]
    late = [event for event in during if event.key in arrived]
    reason = outage.reason or "not noticed"
    if outage.lost_ns is not None and outage.back_ns is not None:
        reason = f"{reason}; back, {len(late)} of {len(during)} events made meanwhile delivered"
    detected = None if outage.lost_ns is None else (outage.lost_ns - fault["at_ns"]) / 1e9
    complete = bool(during) and len(late) == len(during) and outage.back_ns is not None
    injected = (fault["at_ns"] - start_ns) / 1e9
    right = detected is not None
    return Row(
        str(fault["title"]), injected, detected, "buffering", reason, complete, "uplink", right
    )


def table_of(rows: Sequence[Row], width: int = 130) -> Table:
    """The table that people see; below 110 columns the reason stands under its fault."""
    narrow = width < 110
    table = Table(
        title="What was done, and what was found", box=box.SIMPLE_HEAD, leading=int(narrow)
    )
    table.add_column("fault" + ("\nand reason" if narrow else ""), ratio=1 if narrow else None)
    table.add_column("injected\nat", justify="right", no_wrap=True)
    table.add_column("detected\nafter", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    if not narrow:
        table.add_column("reason", ratio=1)
    table.add_column("reached\ncentral", no_wrap=True)
    for row in rows:
        after = "-" if row.detected_s is None else f"{row.detected_s:.1f} s"
        style = "red" if row.detected_s is None else "" if row.right else "yellow"
        central = {True: "yes", False: "no", None: "-"}[row.central]
        times = (f"{row.injected_s:.1f} s", after)
        if narrow:
            both = Text.assemble((row.title, "bold"), "\n", row.reason)
            table.add_row(both, *times, row.verdict, central, style=style)
        else:
            title, reason = Text(row.title), Text(row.reason)
            table.add_row(title, *times, row.verdict, reason, central, style=style)
    return table


def unexpected(
    told: Sequence[Reported], truth: Iterable[Mapping[str, Any]], start_ns: int
) -> list[Reported]:
    """Conditions raised since `start_ns` that no fault explains.

    None was on then, nor had been for `GRACE_NS`; or only the plant itself had changed, and an
    instrument or a connection is said to be at fault.
    """
    faults = faults_of(truth)

    def explained(event: Reported) -> bool:
        on = [f for f in faults if f["at_ns"] <= event.time_ns <= f["end_ns"] + GRACE_NS]
        if any(fault["kind"] != "process" for fault in on):
            return True
        return bool(on) and event.data.get("cause") not in {"sensor", "integration"}

    return [
        event
        for event in told
        if event.kind == "condition"
        and event.data.get("change") == "raised"
        and event.time_ns >= start_ns
        and not explained(event)
    ]
