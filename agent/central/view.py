"""What `fieldwarden central` prints: a live table in a terminal, plain lines or JSON elsewhere."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from agent.central.report import line_of
from agent.central.run import Subscriber, run_central
from agent.central.subscriber import Accepted
from agent.central.table import table_of
from agent.central.worst import EVERYTHING, Choice
from agent.clock import monotonic_ns
from agent.status.terminal import plain

LINES_KEPT = 8
_SHARE = 5
"""So many times as long as drawing takes nothing is drawn: messages are what counts."""


async def show_central(
    host: str,
    port: int,
    *,
    as_json: bool = False,
    out: TextIO | None = None,
    choice: Choice = EVERYTHING,
    **more: Any,
) -> Subscriber:
    """Run central and print: JSON lines, or a live table in a terminal, or a line a message.

    With `as_json` each new message is one line as it came, each change of central's own link one
    with the key ``link``, and the last line is what was seen in all, under the key ``central``: the
    gateways of `choice`, worst first. `more` are arguments of `run_central`.
    """
    file = out if out is not None else sys.stdout
    console = Console(file=file)
    recent: list[str] = []
    said = [True, ""]  # central's own link: connected, trouble
    drawn = [0]  # when it may be drawn again, monotonic ns
    live = (
        Live(console=console, auto_refresh=False) if console.is_terminal and not as_json else None
    )

    def say(text: str) -> None:
        if live is None:
            print(text, file=file, flush=True)
        else:
            recent.append(text)
            del recent[: -max(1, min(LINES_KEPT, console.height // 6))]

    def accepted(message: Accepted) -> None:
        if text := _line(message, choice, as_json=as_json):
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
        if live is not None and monotonic_ns() >= drawn[0]:
            began = monotonic_ns()
            lines = console.height - len(recent) - 1
            table = table_of(subscriber.document(), choice, console, lines)
            below = [Text(line, no_wrap=True, overflow="ellipsis") for line in recent]
            live.update(Group(table, *below), refresh=True)
            drawn[0] = monotonic_ns() + _SHARE * (monotonic_ns() - began)

    with live if live is not None else nullcontext():
        subscriber = await run_central(host, port, on_accepted=accepted, on_tick=tick, **more)
    document = subscriber.document()
    if as_json:
        chosen = {**document, "gateways": choice.of(document["gateways"])}
        print(json.dumps({"central": chosen}), file=file, flush=True)
    elif live is None:
        console.print(table_of(document, choice))
    return subscriber


def _line(message: Accepted, choice: Choice, *, as_json: bool) -> str:
    if not choice.at(message.view.site):
        return ""
    if as_json:
        return json.dumps(message.document)
    return plain(line_of(message.view, message.stream, message.document))
