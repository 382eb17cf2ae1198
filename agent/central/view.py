"""What `fieldwarden central` prints: a live table in a terminal, plain lines or JSON elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, TextIO

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from agent.central.subscriber import Accepted, Central, line_of, run_central
from agent.clock import wall_ns

_STYLES = {
    "trusted": "green",
    "caution": "yellow",
    "untrusted": "red",
    "unassessable": "magenta",
    "online": "green",
    "offline": "red",
}
LINES_KEPT = 8


_WIDEST = 30
"""Characters up to which a name is not broken; in a terminal of 80 that leaves enough to `why`."""


def table_of(document: Mapping[str, Any], trouble: str = "") -> Table:
    """Every gateway, its models under it, from `Central.document`; whole names at 80 columns."""
    table = Table(title="central ops", caption=escape(_caption(document, trouble)))
    rows = [row for gateway in document["gateways"] for row in _rows(gateway)]
    heading = "gateway\n  model"
    longest = max((len(name) for name, _, _ in rows), default=len(heading))
    table.add_column(heading, overflow="fold", min_width=min(longest, _WIDEST))
    table.add_column("state\nverdict", no_wrap=True)
    table.add_column("why", overflow="fold")
    for name, state, why in rows:
        style = _STYLES.get(state, "")
        shown = f"[{style}]{state}[/{style}]" if style else escape(state)
        table.add_row(escape(name), shown, escape(why))
    return table


def _rows(gateway: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, state or verdict, why): one of the gateway itself, then one for each model."""
    count, lost = gateway["open_conditions"], _lost(gateway)
    told = [f"{count} open condition{'' if count == 1 else 's'}"] if count else []
    told += [f"lost: {lost}"] if lost else []
    own = (f"{gateway['site']}/{gateway['gateway']}", _state(gateway), "; ".join(told))
    models = gateway["models"]
    return [own, *((f"  {item['model']}", str(item["verdict"]), _why(item)) for item in models)]


def _caption(document: Mapping[str, Any], trouble: str) -> str:
    counts = f"{document['messages']} messages, {document['duplicates']} duplicates dropped"
    return f"{trouble}; {counts}" if trouble else counts


def _state(gateway: Mapping[str, Any]) -> str:
    return {True: "online", False: "offline", None: "?"}[gateway["online"]]


def _why(model: Mapping[str, Any]) -> str:
    if model.get("told", model["verdict"]) != model["verdict"]:
        return f"no longer valid (was {model['told']})"
    return "; ".join(str(reason.get("text", "")) for reason in model["reasons"])


def _lost(gateway: Mapping[str, Any]) -> str:
    missing = {
        name: sum(last - first + 1 for first, last in holes)
        for name, holes in gateway["missing"].items()
    }
    told = [f"{count} {reason}" for reason, count in gateway["dropped"].items()]
    return ", ".join([*(f"{count} {name} missing" for name, count in missing.items()), *told])


async def show_central(
    host: str,
    port: int,
    *,
    as_json: bool = False,
    seconds: float | None = None,
    once_idle: float | None = None,
    out: TextIO | None = None,
    **connection: Any,
) -> Central:
    """Run central and print: JSON lines, or a live table in a terminal, or a line a message.

    With `as_json` each new message is one line as it came, and the last line is what was seen in
    all, under the key ``central``. Arguments as for `run_central`.
    """
    file = out if out is not None else sys.stdout
    console = Console(file=file)
    recent: list[str] = []
    last_trouble = [""]
    live = (
        Live(console=console, auto_refresh=False) if console.is_terminal and not as_json else None
    )

    def accepted(message: Accepted) -> None:
        text = json.dumps(message.document) if as_json else line_of(message)
        if not text:
            return
        if live is None:
            print(text, file=file, flush=True)
        else:
            recent.append(text)
            del recent[:-LINES_KEPT]

    def tick(central: Central, trouble: str) -> None:
        last_trouble[0] = trouble
        if live is not None:
            table = table_of(central.document(wall_ns()), trouble)
            table.caption = "\n".join([str(table.caption), *map(escape, recent)])
            live.update(table, refresh=True)

    with live if live is not None else nullcontext():
        central = await run_central(
            host,
            port,
            on_accepted=accepted,
            on_tick=tick,
            seconds=seconds,
            once_idle=once_idle,
            **connection,
        )
    document = central.document(wall_ns())
    if as_json:
        print(
            json.dumps({"central": {**document, "trouble": last_trouble[0]}}), file=file, flush=True
        )
    elif live is None:
        console.print(table_of(document, last_trouble[0]))
    return central
