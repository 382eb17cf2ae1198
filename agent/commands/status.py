"""`fieldwarden status`."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from agent.commands import config_argument

if TYPE_CHECKING:
    from agent.configuration.whereabouts import Whereabouts
    from agent.errors import ConfigurationError

_PATIENCE_S = 3.0


@click.command(name="status")
@config_argument
@click.option("--json", "as_json", is_flag=True, help="Print the status document as JSON.")
@click.option("--watch", is_flag=True, help="Show it anew every second until Ctrl-C.")
def command(config: Path, *, as_json: bool, watch: bool) -> None:
    """Show what the agent knows: verdicts, reasons, sources, conditions, outbox.

    It asks the running agent. Where none runs, it says so, and shows what the store holds. A
    configuration that can not be loaded hides neither: what is wrong with it is shown beside.

    \b
    Examples:
      fieldwarden status config.toml
      fieldwarden status config.toml --json | jq '.models[] | {name, verdict}'
      fieldwarden status config.toml --watch
    """
    from rich.console import Console

    from agent.configuration.whereabouts import find
    from agent.errors import StoreError

    if as_json and watch:
        raise click.UsageError("--json and --watch do not go together")
    place = find(config)
    fault = _told(place.fault, config)

    def read() -> Known:
        try:
            known = _read(place)
        except StoreError as error:
            raise place.fault or error from error
        return known._replace(document=known.document | {"file": fault})

    console = Console()
    if as_json:
        click.echo(json.dumps(_effective(read()), indent=2, allow_nan=False))
    elif watch:
        _watch(read, console)
    else:
        console.print(_rendered(read(), console.width))


def document_of(config: Path) -> dict[str, Any]:
    """The status document, from the running agent, else from its store."""
    from agent.configuration.whereabouts import find

    return _read(find(config)).document


class Known(NamedTuple):
    """A status document, its age in seconds of real time, and whether the agent runs.

    The document's `file` says what is wrong with the configuration by now. The age is None where
    the machine was started anew since.
    """

    document: dict[str, Any]
    age_s: float | None
    running: bool


def _read(place: Whereabouts) -> Known:
    """What the agent itself answers, or else what is stored.

    Where this user may not ask, or the agent does not answer, the document's age tells whether it
    runs; so too where its socket is gone, but somebody writes the store.
    """
    from agent.client import NobodyError, request
    from agent.errors import FieldwardenError
    from agent.status.view import FRESH_NS
    from agent.store import Reader, is_written

    gone = False
    try:
        asked = "/api/v1/status?history=false"
        document = request(place.socket, "GET", asked, timeout_s=_PATIENCE_S)
    except NobodyError:
        gone = not is_written(place.store)
    except FieldwardenError:
        pass
    else:
        return Known(document, _age_s(document), running=True)
    with closing(Reader(place.store)) as reader:
        document = reader.document("status") or {}
    age_s = _age_s(document)
    fresh = age_s is not None and age_s * 1e9 <= FRESH_NS
    return Known(document, age_s, running=fresh and not gone)


def _told(error: ConfigurationError | None, file: Path) -> dict[str, str]:
    """What is wrong with the configuration: of many faults the first; empty where nothing is."""
    if error is None:
        return {}
    first, more = error.faults[0], len(error.faults) - 1
    text = f"the file can not be loaded: {first.operation} {first.subject}: {first.cause}"
    text += f" (and {more} more)" if more else ""
    hint = f"{first.hint}; " if first.hint and not more else ""
    return {"text": text, "hint": f"{hint}see all of it: fieldwarden check {file}"}


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
    models = [
        effective_model(model, now_ns, gone=not running) for model in items(document, "models")
    ]
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
