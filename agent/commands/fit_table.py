"""What `fieldwarden fit` prints of each input: a short table, or all figures with `--full`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from agent.core.spec import OUTPUT
from agent.status.view import duration

if TYPE_CHECKING:
    from agent.fit.model import FitReport, FitRow

_TOLD = 4  # inputs that are named of those that an output is predicted from
_WIDEST = 28
"""Characters up to which an input's name is not broken: the rest fits in a terminal of 80."""


def short(report: FitReport) -> RenderableType:
    """One line an input: how slowly it moves, what it is watched for, and what not and why.

    What most inputs are watched for is said once, below, and so is each reason.
    """
    usual = _usual(report)
    reasons = list(dict.fromkeys(why for row in report.rows for _, why in row.watched.off))
    table = _table(report)
    longest = max((len(_shown(row)) + 2 for row in report.rows), default=0)
    table.add_column("input", overflow="fold", min_width=min(longest, _WIDEST))
    table.add_column("unit", no_wrap=True)
    table.add_column("forgets\nwithin", justify="right", no_wrap=True)
    table.add_column("watched for", overflow="fold")
    table.add_column("not watched for", overflow="fold")
    for row in report.rows:
        on = row.watched.on
        if set(usual) <= set(on) and usual:
            on = ("the usual", *(what for what in on if what not in usual))
        off = [f"{what} ({_sign(reasons.index(why))})" for what, why in row.watched.off]
        table.add_row(
            Text(f"{_shown(row)}{' *' if row.provisional else ''}"),  # no markup: it may be [degC]
            Text(row.unit),
            duration(row.tau_s) if row.tau_s else "-",
            Text(", ".join(on) or "nothing"),
            Text(", ".join(off) or "-"),
            style="" if on else "yellow",
        )
    lines: list[RenderableType] = [table]
    if usual:
        lines.append(Text(f"the usual: {', '.join(usual)}"))
    lines += [Text(f"({_sign(place)}) {why}") for place, why in enumerate(reasons)]
    lines.append(Text("every tag too: missing, late, bad and frozen values, and a lost source"))
    return Group(*lines)


def losses(report: FitReport) -> RenderableType | None:
    """One line an output with labels: how much it errs, and whether its inputs tell when.

    None where no labels were given.
    """
    if not report.losses:
        return None
    table = Table(
        title=Text("losses"), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0)
    )
    table.add_column("output", overflow="fold")
    table.add_column("labels", justify="right", no_wrap=True)
    table.add_column("one in", justify="right", no_wrap=True)
    table.add_column("mean loss", justify="right", no_wrap=True)
    table.add_column("correlation", justify="right")
    table.add_column("false alarm in", justify="right")
    for one in report.losses:
        apart = f" and {one.left_out} left out" if one.left_out else ""
        table.add_row(
            Text(one.output), Text(f"{one.labels}{apart}"), duration(one.every_s),
            Text(f"{one.mean:.3g} +- {one.error:.2g} ({one.loss})"),
            Text(f"{one.correlation:.2f}{'' if one.used else ' (not used)'}"),
            Text(f"{one.arl:.3g} labels, {duration(one.arl_s)}"),
        )
    why = Text(
        "correlation: of a loss with what inputs and prediction say of it; the higher, the fewer "
        "labels show that a model errs more"
    )
    return Group(table, why)


def loops(report: FitReport) -> RenderableType | None:
    """One line a control loop: what its output is predicted from, and how well, or why not at all.

    None where the model has no loops.
    """
    if not report.loops:
        return None
    table = Table(
        title=Text("control loops"), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0)
    )
    table.add_column("loop", overflow="fold")
    table.add_column("output", overflow="fold")
    table.add_column("explained", justify="right", no_wrap=True)
    table.add_column("from", overflow="fold")
    for one in report.loops:
        rest = len(one.by) - _TOLD
        named = ", ".join(one.by[:_TOLD]) + (f" and {rest} more" if rest > 0 else "")
        table.add_row(
            Text(one.loop), Text(one.output), "-" if one.why else f"{100.0 * one.explained:.0f} %",
            Text(f"not learnt: {one.why}" if one.why else named or "nothing else moves it"),
            style="yellow" if one.why else "",
        )
    return table


def _shown(row: FitRow) -> str:
    """The name of an input; of an output, that it is one."""
    return f"{row.tag} (output)" if row.role == OUTPUT else row.tag


def _usual(report: FitReport) -> tuple[str, ...]:
    """What more than half of the inputs are watched for; nothing where that saves no words."""
    counts = Counter(what for row in report.rows for what in row.watched.on)
    found = tuple(what for what, count in counts.items() if 2 * count > len(report.rows))
    return found if len(report.rows) > 1 and len(found) > 1 else ()


def _sign(place: int) -> str:
    """a, b ... z, 27, 28 ..."""
    return chr(ord("a") + place) if place < 26 else str(place + 1)


def full(report: FitReport) -> RenderableType:
    """Dynamics, share of the promise and every threshold, in the input's unit where it has one."""
    table = _table(report)
    table.add_column("input", overflow="fold")
    table.add_column("unit", no_wrap=True)
    for heading in ("tau", "n eff", "R2", "alarms\na month", "provisional"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in report.rows:
        table.add_row(
            Text(_shown(row)),
            Text(row.unit),
            f"{row.tau_s:.3g} s",
            f"{row.n_eff:.0f}",
            f"{row.r2:.2f}",
            f"{row.false_alarms_per_month:.2g}",
            f"{duration(row.needed_s)} more" if row.provisional else "no",
        )
    lines: list[RenderableType] = [table, Text("thresholds")]
    for row in report.rows:
        parts = ", ".join(f"{name} {value}" for name, value in row.thresholds.items())
        lines.append(Padding(Text.assemble((f"{row.tag}: ", "bold"), parts), (0, 0, 0, 2)))
    return Group(*lines)


def _table(report: FitReport) -> Table:
    title = f"model {report.baseline.model}, version {report.baseline.model_version}"
    return Table(
        title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0)
    )
