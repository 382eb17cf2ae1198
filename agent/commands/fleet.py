"""`fieldwarden fleet`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.errors import FieldwardenError

if TYPE_CHECKING:
    from rich.console import Console

Json = Mapping[str, Any]
_MOST = 200  # gateways of one answer
_WATCH_S = 2.0


@click.command(name="fleet")
@click.argument("config")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(["untrusted", "unassessable", "caution", "trusted"]),
    help="Only gateways with such a model, and only such models; may be given again.",
)
@click.option("--site", default="", help="Only this site.")
@click.option("--search", default="", help="Only what contains this: site, gateway or model.")
@click.option("--json", "as_json", is_flag=True, help="All of them as JSON.")
@click.option("--watch", is_flag=True, help="Show it anew every other second until Ctrl-C.")
@click.option("--ca", type=click.Path(dir_okay=False), help="PEM file of authorities, for a URL.")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path),
              help="File of your token, for a URL.")  # fmt: skip
@click.option("--token-env", default="", help="Environment variable of your token, for a URL.")
def command(
    config: str, only: tuple[str, ...], site: str, search: str, ca: str | None,
    token_file: Path | None, token_env: str, *, as_json: bool, watch: bool,
) -> None:  # fmt: skip
    """Show every gateway that central knows, worst first: models, verdicts, incidents, changes.

    CONFIG is central's file, whose database is read, or the address of its page.

    \b
    Examples:
      fieldwarden fleet central.toml --only untrusted --site north
      fieldwarden fleet https://central.example:8687 --token-file token --watch
      fieldwarden fleet central.toml --json | jq '.gateways[] | select(.online == false)'
    """
    from rich.console import Console

    from agent.fleet.reading import of_database, of_page

    if as_json and watch:
        raise click.UsageError("--json and --watch do not go together")
    choice = {"only": list(only), "site": site, "search": search}
    if "://" in config:
        read = of_page(config, ca=ca or "", token_file=token_file, token_env=token_env)
    else:
        read = of_database(Path(config))

    def page(offset: int, limit: int) -> Json:
        return read({**choice, "offset": offset, "limit": limit})

    console = Console()
    if as_json:
        click.echo(json.dumps(_all(page), indent=2, allow_nan=False))
    elif watch:
        _watch(page, console, frozenset(only))
    else:
        console.print(_table(page(0, _MOST), console, frozenset(only), page=page))


def _all(page: Callable[[int, int], Json]) -> Json:
    """Every page of it as one document."""
    first = page(0, _MOST)
    gateways = list(first["gateways"])
    while len(gateways) < first["total"]:
        more = page(len(gateways), _MOST)["gateways"]
        if not more:
            break
        gateways += more
    keys = "as_of", "fleet", "total"
    return {**{key: first[key] for key in keys}, "gateways": gateways}


def _table(
    document: Json, console: Console, only: frozenset[str],
    page: Callable[[int, int], Json] | None = None,
) -> Any:  # fmt: skip
    """As many gateways as a terminal's screen has room for; a file or a pipe gets all of them."""
    from agent.central.table import cut_table
    from agent.central.worst import Choice, in_trouble

    gateways = list(document["gateways"])
    lines = console.height - 1
    if page is not None and not console.is_terminal:
        gateways, lines = list(_all(page)["gateways"]), 10**9
    narrowed = Choice(only).of(gateways)
    shown = narrowed[:lines]
    beyond = document["total"] - len(shown)
    poor = document["trouble"] - sum(map(in_trouble, shown))
    caption = f"as of {document['as_of']}"
    return cut_table(
        _counted(document["fleet"]), caption, shown, (beyond, max(0, poor)), console, lines
    )


def _counted(fleet: Json) -> str:
    """``10,000 gateways, 4 offline; models: 16 untrusted, ...``, over all of the fleet."""
    from agent.central.worst import VERDICTS

    told = [f"{fleet['gateways']:,} gateway{'' if fleet['gateways'] == 1 else 's'}"]
    told += [f"{fleet['offline']:,} offline"] if fleet["offline"] else []
    told += [f"{fleet['silent']:,} not heard of"] if fleet["silent"] else []
    some = [f"{fleet[verdict]:,} {verdict}" for verdict in VERDICTS if fleet[verdict]]
    return ", ".join(told) + (f"; models: {', '.join(some)}" if some else "")


def _watch(page: Callable[[int, int], Json], console: Console, only: frozenset[str]) -> None:
    """Until Ctrl-C, or until nobody reads it; a service or database that is away is waited for."""
    import time

    from rich.live import Live
    from rich.text import Text

    from agent.cli import unread

    def now(*, known: bool) -> Any:
        try:
            return _table(page(0, _MOST), console, only)
        except FieldwardenError as error:
            if not known:  # nothing was ever had: what was asked for is wrong, perhaps
                raise
            return Text(f"{error}\nit is tried again")

    # A pipe or a file gets one after the other: there is no screen to draw on.
    screen = Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext()
    with suppress(KeyboardInterrupt), screen as live:
        shown = now(known=False)
        while True:
            console.print(shown) if live is None else live.update(shown, refresh=True)
            time.sleep(_WATCH_S)
            if unread():
                return
            shown = now(known=True)
