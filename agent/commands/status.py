"""`fieldwarden status`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import click

from agent.commands import config_argument

_PATIENCE_S = 3.0


@click.command(name="status")
@config_argument
@click.option("--json", "as_json", is_flag=True, help="Print the status document as JSON.")
@click.option("--watch", is_flag=True, help="Show it anew every second until Ctrl-C.")
def command(config: Path, *, as_json: bool, watch: bool) -> None:
    """Show what the agent knows: verdicts, reasons, sources, conditions, outbox.

    It reads the store, so it works when the agent is dead too, and says that it is. An agent that
    runs but has stored nothing for some time, as on a full disk, is asked what keeps it.

    \b
    Examples:
      fieldwarden status config.toml
      fieldwarden status config.toml --json | jq '.models[] | {name, verdict}'
      fieldwarden status config.toml --watch
    """
    from rich.console import Console

    from agent.configuration.load import load
    from agent.store import Reader

    if as_json and watch:
        raise click.UsageError("--json and --watch do not go together")
    configuration = load(config)
    reader = Reader(configuration.store_path)

    def read() -> Known:
        return _read(reader, configuration.socket_path)

    try:
        if as_json:
            click.echo(json.dumps(_effective(read()), indent=2, allow_nan=False))
        elif watch:
            _watch(read, Console())
        else:
            console = Console()
            console.print(_rendered(read(), console.width))
    finally:
        reader.close()


class Known(NamedTuple):
    """A status document, its age in seconds of real time, and whether the agent runs.

    The age is None where the machine was started anew since.
    """

    document: dict[str, Any]
    age_s: float | None
    running: bool


def _read(reader: Any, socket: Path) -> Known:
    """What is stored; where that is old or nothing, what the agent itself answers."""
    from agent.client import request
    from agent.errors import FieldwardenError
    from agent.status.view import FRESH_NS

    document = reader.document("status") or {}
    age_s = _age_s(document)
    if age_s is not None and age_s * 1e9 <= FRESH_NS:
        return Known(document, age_s, running=True)
    try:
        document = request(socket, "GET", "/api/v1/status?history=false", timeout_s=_PATIENCE_S)
    except FieldwardenError:
        return Known(document, age_s, running=False)
    return Known(document, _age_s(document), running=True)


def _age_s(document: dict[str, Any]) -> float | None:
    from agent.clock import boot_id, boottime_ns
    from agent.status.view import passed_ns

    passed = passed_ns(document, boot_id(), boottime_ns())
    return None if passed is None else passed / 1e9


def _effective(known: Known) -> dict[str, Any]:
    """The document as it may be believed now, with its age and whether the agent runs."""
    from agent.status.view import effective_model, items

    document, age_s, running = known
    now_ns = None
    if age_s is not None:
        now_ns = int(document.get("time_ns") or 0) + round(age_s * 1e9)
    models = [effective_model(model, now_ns) for model in items(document, "models")]
    return document | {
        "models": models,
        "age_s": round(age_s, 3) if age_s is not None else None,
        "running": running,
    }


def _rendered(known: Known, width: int) -> Any:
    from agent.status.terminal import render

    document, age_s, running = known
    return render(document, width=width, age_s=age_s, running=running)


def _watch(read: Callable[[], Known], console: Any) -> None:
    import time

    from rich.live import Live

    def show(live: Any) -> None:
        rendered = _rendered(read(), console.width)
        console.print(rendered) if live is None else live.update(rendered, refresh=True)

    # A pipe or a file gets one after the other: there is no screen to draw on.
    screen = Live(console=console, screen=True, auto_refresh=False)
    with screen if console.is_terminal else nullcontext() as live:
        try:
            while True:
                show(live)
                time.sleep(1.0)
        except KeyboardInterrupt:
            return
