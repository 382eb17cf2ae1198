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

from agent.central.report import line_of
from agent.central.run import Subscriber, run_central
from agent.central.subscriber import Accepted

_STYLES = {
    "trusted": "green",
    "caution": "yellow",
    "untrusted": "red",
    "unassessable": "magenta",
    "online": "green",
    "offline": "red",
}
LINES_KEPT = 8
INCIDENTS_NAMED = 5  # of a gateway in the table
_CLOCK_TROUBLE = frozenset({"unsynchronised", "implausible"})


_WIDEST = 30
"""Characters up to which a name is not broken; in a terminal of 80 that leaves enough to `why`."""


def table_of(document: Mapping[str, Any]) -> Table:
    """Every gateway, its models and its open incidents under it; whole names at 80 columns.

    Args:
        document: of `Subscriber.document`.
    """
    table = Table(title="central ops", caption=escape(_caption(document)))
    linked = document.get("link", {}).get("connected", True)
    rows = [row for gateway in document["gateways"] for row in _rows(gateway, linked=linked)]
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


def _rows(gateway: Mapping[str, Any], *, linked: bool) -> list[tuple[str, str, str]]:
    """(name, state or verdict, why): one of the gateway itself, then one for each model."""
    state, told = _state(gateway), _told(gateway)
    if not linked:
        state, told = "?", [f"no link to the broker, last known: {state}", *told]
    own = (f"{gateway['site']}/{gateway['gateway']}", state, "; ".join(told))
    several = len({item.get("store") for item in gateway["models"]}) > 1
    models = [
        (
            f"  {item['model']}" + (f" ({item['store']})" if several else ""),
            str(item["verdict"]),
            _why(item),
        )
        for item in gateway["models"]
    ]
    return [own, *models, *_incidents(gateway)]


def _incidents(gateway: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """A row for each of the latest open incidents: what it began with, on whom, since when."""
    found = gateway.get("incidents", ())
    rows = [("  incident", str(one["cause"]), _incident(one)) for one in found[:INCIDENTS_NAMED]]
    if (more := gateway["open_incidents"] - len(rows)) > 0 and rows:
        rows.append(("", "", f"and {plural(more, 'incident')} more: see --json"))
    return rows


def _incident(one: Mapping[str, Any]) -> str:
    told = [f"since {one['since']}"]
    if one["conditions"] > 1:
        told.append(plural(one["conditions"], "condition"))
    if one["models"]:
        told.append(", ".join(one["models"]))
    return f"{one['text']} ({'; '.join(told)})"


def plural(number: int, what: str) -> str:
    """``1 incident``, ``2 incidents``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _told(gateway: Mapping[str, Any]) -> list[str]:
    """What a person has to know of a gateway."""
    told = []
    clash, count, lost = gateway.get("clash"), gateway["open_incidents"], _lost(gateway)
    if clash:
        told.append(
            f"{len(clash)} gateways have this one name, and throw each other out: "
            f"stores {' and '.join(clash)}; give one of them another name"
        )
    if gateway.get("time_quality") in _CLOCK_TROUBLE:
        told.append(f"its clock is {gateway['time_quality']}")
    if count:
        several = gateway["open_conditions"] > count
        of = f" of {plural(gateway['open_conditions'], 'condition')}" if several else ""
        told.append(f"{plural(count, 'open incident')}{of}")
    if lost:
        told.append(f"lost: {lost}")
    awaited = [f"{count} {name}" for name, count in gateway.get("awaited", {}).items()]
    if awaited:
        told.append(f"still at the gateway: {', '.join(awaited)}")
    earlier = [f"{count} {name}" for name, count in gateway.get("received_earlier", {}).items()]
    if earlier:
        told.append(f"received by an earlier central: {', '.join(earlier)}")
    return told


def _caption(document: Mapping[str, Any]) -> str:
    told = [str(document.get("trouble") or "")]
    told.append(f"{document['messages']} messages, {document['duplicates']} duplicates dropped")
    if document.get("unreadable"):
        told.append(f"{document['unreadable']} unreadable")
    return "; ".join(filter(None, told))


def _state(gateway: Mapping[str, Any]) -> str:
    return {True: "online", False: "offline", None: "?"}[gateway["online"]]


def _why(model: Mapping[str, Any]) -> str:
    if model.get("why"):
        return f"{model['why']} (was {model['told']})"
    return "; ".join(str(reason.get("text", "")) for reason in model["reasons"])


def _lost(gateway: Mapping[str, Any]) -> str:
    told = [f"{count} {reason}" for reason, count in gateway["dropped"].items()]
    missing = gateway["missing_count"].items()
    return ", ".join([*(f"{count} {name} missing" for name, count in missing), *told])


async def show_central(
    host: str,
    port: int,
    *,
    as_json: bool = False,
    out: TextIO | None = None,
    **more: Any,
) -> Subscriber:
    """Run central and print: JSON lines, or a live table in a terminal, or a line a message.

    With `as_json` each new message is one line as it came, each change of central's own link one
    with the key ``link``, and the last line is what was seen in all, under the key ``central``.
    `more` are arguments of `run_central`.
    """
    file = out if out is not None else sys.stdout
    console = Console(file=file)
    recent: list[str] = []
    said = [True, ""]  # central's own link: connected, trouble
    live = (
        Live(console=console, auto_refresh=False) if console.is_terminal and not as_json else None
    )

    def say(text: str) -> None:
        if live is None:
            print(text, file=file, flush=True)
        else:
            recent.append(text)
            del recent[:-LINES_KEPT]

    def accepted(message: Accepted) -> None:
        document = message.document
        text = json.dumps(document) if as_json else line_of(message.view, message.stream, document)
        if text:
            say(text)

    def tick(subscriber: Subscriber) -> None:
        state = subscriber.link_state
        if (now := [state.connected, state.trouble]) != said:
            first_try = not said[1] and state.reason == "connecting"
            said[:] = now if not first_try else said
            if as_json and not first_try:
                say(json.dumps({"link": state.document()}))
            elif not first_try:
                say(state.trouble or "the link to the broker is back")
        if live is not None:
            table = table_of(subscriber.document())
            table.caption = "\n".join([str(table.caption), *map(escape, recent)])
            live.update(table, refresh=True)

    with live if live is not None else nullcontext():
        subscriber = await run_central(host, port, on_accepted=accepted, on_tick=tick, **more)
    document = subscriber.document()
    if as_json:
        print(json.dumps({"central": document}), file=file, flush=True)
    elif live is None:
        console.print(table_of(document))
    return subscriber
