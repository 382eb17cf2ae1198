"""Gateways as a table of a terminal, worst first; as long as the screen, which cuts nothing
silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from agent.central.rows import Row, in_short, plural, rows_of
from agent.central.worst import EVERYTHING, Choice, counted, in_trouble
from agent.status.terminal import plain

_STYLES = {
    "trusted": "green",
    "caution": "yellow",
    "untrusted": "red",
    "unassessable": "magenta",
    "online": "green",
    "offline": "red",
    "grew": "red",
    "detected": "yellow",
    "assessed": "yellow",
    "rejected": "red",
    "no labels": "magenta",
    "open": "yellow",
    "declared": "yellow",
    "in trial": "yellow",
    "passed": "green",
}

_NOBODY = ("", "", "no gateway was heard of, or none fits --only and --site")
_WIDEST_STATE = 16  # all of ours are shorter; what else is told must not push the names out
_WIDEST = 30
"""Characters up to which a name is not broken; in a terminal of 80 that leaves enough to `why`."""


def table_of(
    document: Mapping[str, Any],
    choice: Choice = EVERYTHING,
    console: Console | None = None,
    lines: int = 0,
) -> Table:
    """Gateways, worst first, under each its models, changes, errors, retraining requests and open
    incidents; whole names at 80 columns.

    Args:
        document: of `Subscriber.document`.
        choice: which gateways.
        console: with it the table has at most `lines` lines there, and says how much is left out.
        lines: as long as the table may be.
    """
    gateways = choice.of(document["gateways"])
    linked = document.get("link", {}).get("connected", True)
    words = counted(gateways), _caption(document)
    if console is None:
        rows = [row for gateway in gateways for row in rows_of(gateway, linked=linked)]
        return _table(*words, rows)
    rest = gateways[lines:]
    beyond = len(rest), sum(map(in_trouble, rest))
    return cut_table(*words, gateways[:lines], beyond, console, lines, linked=linked)


def cut_table(
    title: str,
    caption: str,
    gateways: Sequence[Mapping[str, Any]],
    beyond: tuple[int, int],
    console: Console,
    lines: int,
    *,
    linked: bool = True,
) -> Table:
    """A table of at most `lines` lines, of which the last row says what is not in it. Where not
    all of several gateways fits, each has one line, so that a screen shows the worst of them.

    Args:
        title: what stands above it.
        caption: what stands below it.
        gateways: the worst, in order; `lines` of them are enough.
        beyond: how many more there are, and how many of these are in trouble.
        console: where it is shown.
        lines: as long as it may be.
        linked: whether the broker is there.
    """
    parts = [rows_of(gateway, linked=linked) for gateway in gateways]
    short = len(gateways) + beyond[0] > 1 and (
        beyond[0] > 0 or sum(map(len, parts)) > lines
        or not _fits(_table(title, caption, [row for part in parts for row in part]), console,
                     lines)
    )  # fmt: skip
    if short:
        parts = [[in_short(gateway, linked=linked)] for gateway in gateways]
    rows = [(number, row) for number, part in enumerate(parts) for row in part]

    def cut(most: int) -> Table:
        left = {number for number, _ in rows[most:]}
        begun = bool(rows[:most]) and rows[most - 1][0] in left
        whole = [gateways[number] for number in sorted(left)][begun:]
        count, poor = len(whole) + beyond[0], sum(map(in_trouble, whole)) + beyond[1]
        more = _left_out(count, poor, begun=begun)
        shown = [row for _, row in rows[:most]]
        return _table(title, caption, shown, more, short=short)

    fewest, most = 0, min(len(rows), lines)
    while fewest < most:
        middle = (fewest + most + 1) // 2
        fits = _fits(cut(middle), console, lines)
        fewest, most = (middle, most) if fits else (fewest, middle - 1)
    return cut(fewest)


def _fits(table: Table, console: Console, lines: int) -> bool:
    return len(console.render_lines(table, pad=False)) <= lines


def _left_out(count: int, poor: int, *, begun: bool) -> list[Row]:
    """What a cut table says of the gateways that are not in it."""
    told = ["the rest of this gateway"] if begun else []
    if count:
        told.append(f"{plural(count, 'gateway')} more, {poor:,} in trouble")
    return [("", "", f"and {' and '.join(told)}: see --only, --site, --json")] if told else []


def _table(
    title: str, caption: str, rows: Sequence[Row], more: Sequence[Row] = (), *, short: bool = False
) -> Table:
    """`more` stands below the rows; of those in `short` a line that is too long says so by "…"."""
    table = Table(title=title, caption=escape(caption))
    if not rows and not more:
        more = [_NOBODY]
    heading = "gateway" if short else "gateway\n  model"
    longest = max((len(name) for name, _, _ in rows), default=len("gateway"))
    table.add_column(heading, overflow="fold", min_width=min(longest, _WIDEST))
    table.add_column(
        "worst" if short else "state\nverdict", no_wrap=True, overflow="ellipsis",
        max_width=_WIDEST_STATE,
    )
    table.add_column("why", overflow="fold")
    for at, (name, state, why) in enumerate([*rows, *more]):
        cut = short and at < len(rows)
        table.add_row(
            Text(plain(name), overflow="fold"), Text(plain(state), style=_STYLES.get(state, "")),
            Text(plain(why), no_wrap=cut, overflow="ellipsis" if cut else "fold"),
        )  # fmt: skip
    return table


def _caption(document: Mapping[str, Any]) -> str:
    told = [str(document.get("trouble") or "")]
    told.append(f"{document['messages']} messages, {document['duplicates']} duplicates dropped")
    if document.get("unreadable"):
        told.append(f"{document['unreadable']} unreadable")
    return "; ".join(filter(None, told))
