"""`fieldwarden status`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from agent.commands import config_argument


@click.command(name="status")
@config_argument
@click.option("--json", "as_json", is_flag=True, help="Print the status document as JSON.")
@click.option("--watch", is_flag=True, help="Show it anew every second until Ctrl-C.")
def command(config: Path, *, as_json: bool, watch: bool) -> None:
    """Show what the agent knows: verdicts, reasons, sources, conditions, outbox.

    It reads the store, so it works when the agent is dead too, and says that it is.

    \b
    Examples:
      fieldwarden status config.toml
      fieldwarden status config.toml --json | jq '.models[] | {name, verdict}'
      fieldwarden status config.toml --watch
    """
    from rich.console import Console

    from agent.config_load import load
    from agent.store import Reader

    if as_json and watch:
        raise click.UsageError("--json and --watch do not go together")
    reader = Reader(load(config).store_path)
    try:
        if as_json:
            click.echo(json.dumps(_effective(*_read(reader)), indent=2, allow_nan=False))
        elif watch:
            _watch(reader, Console())
        else:
            console = Console()
            console.print(_rendered(reader, console.width))
    finally:
        reader.close()


def _read(reader: Any) -> tuple[dict[str, Any], float]:
    """The stored document and its age in seconds."""
    from agent.clock import wall_ns

    document = reader.document("status") or {}
    return document, max(0.0, (wall_ns() - int(document.get("time_ns") or 0)) / 1e9)


def _effective(document: dict[str, Any], age_s: float) -> dict[str, Any]:
    """The document as it may be believed now, with its age and whether the agent runs."""
    from agent.status.view import FRESH_NS, effective_model, items

    now_ns = int(document.get("time_ns") or 0) + round(age_s * 1e9)
    models = [effective_model(model, now_ns) for model in items(document, "models")]
    known = bool(document)
    return document | {
        "models": models,
        "age_s": round(age_s, 3) if known else None,
        "running": known and age_s * 1e9 <= FRESH_NS,
    }


def _rendered(reader: Any, width: int) -> Any:
    from agent.status.terminal import render

    document, age_s = _read(reader)
    return render(document, width=width, age_s=age_s)


def _watch(reader: Any, console: Any) -> None:
    import time

    from rich.live import Live

    with Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            while True:
                live.update(_rendered(reader, console.width), refresh=True)
                time.sleep(1.0)
        except KeyboardInterrupt:
            return
