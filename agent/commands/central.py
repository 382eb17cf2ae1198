"""`fieldwarden central`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

_WATCH_S = 0.5


@click.command(name="central")
@click.argument(
    "config", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[CONFIG]"
)
@click.option("--check", is_flag=True, help="With CONFIG: say what is wrong, and serve nothing.")
@click.option("-v", "--verbose", is_flag=True, help="With CONFIG: log every detail.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Central's broker.")
@click.option("--port", type=click.IntRange(1, 65535), help="Default: 8883 with TLS, 1883 without.")
@click.option("--tls", is_flag=True, help="Encrypt, and verify the broker.")
@click.option(
    "--ca",
    type=click.Path(dir_okay=False, path_type=Path),
    help="PEM file of authorities; default: the system's.",
)
@click.option("--username", default="", help="User name at the broker.")
@click.option(
    "--password-file", type=click.Path(dir_okay=False, path_type=Path), help="File of the password."
)
@click.option("--password-env", default="", help="Environment variable of the password.")
@click.option("--client-id", help="With one the broker keeps messages while central is away.")
@click.option(
    "--store",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of what was received; default: one a broker in ~/.local/state/fieldwarden.",
)
@click.option(
    "--look", is_flag=True, help="Only look: keep nothing, and acknowledge nothing to gateways."
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(["untrusted", "unassessable", "caution", "trusted"]),
    help="Only gateways with such a model, and only such models; may be given again.",
)
@click.option("--site", "sites", multiple=True, help="Only this site; may be given again.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="End after so long.")
@click.option(
    "--once-idle", type=click.FloatRange(min=0.1), help="End so long after the last news."
)
@click.option("--json", "as_json", is_flag=True, help="Each new message as a line of JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    config: Path | None,
    *,
    check: bool,
    verbose: bool,
    as_json: bool,
    **reference: Any,
) -> None:
    """Central ops: every gateway's models, verdicts, conditions and gaps.

    With CONFIG it is a service for a fleet: workers take messages into a database, SQLite or
    PostgreSQL, and a page shows them (docs/central.md). SIGTERM or Ctrl-C ends it.

    Without, it subscribes to one broker as a reference does, in one process with one file.
    Messages are de-duplicated and holes in their numbers shown; verdicts expire. What was received
    is stored and then acknowledged to its gateway, which deletes it and sends again what is
    missing. A terminal gets a live table, worst first, a pipe a line a message. Ctrl-C ends it.

    \b
    Examples:
      fieldwarden central central.toml --check
      fieldwarden central central.toml
      fieldwarden central --host broker.example --tls --username ops --password-file secret
      fieldwarden central --look --only untrusted --only unassessable --site north
      fieldwarden central --look --seconds 10 --json | jq 'select(.stream == "verdict")'
    """
    if config is not None:
        _service(ctx, config, check=check, verbose=verbose, as_json=as_json)
    elif check or verbose:
        raise click.UsageError("--check and --verbose need CONFIG: fieldwarden central CONFIG")
    else:
        _reference(as_json=as_json, **reference)


def _service(
    ctx: click.Context, config: Path, *, check: bool, verbose: bool, as_json: bool
) -> None:
    """Central of a configuration, or what is to be said of it."""
    import asyncio

    from agent.commands.log_lines import set_up_logging
    from agent.fleet.configuration import load

    own = {"config", "check", "verbose", "as_json"}
    given = click.core.ParameterSource.COMMANDLINE
    for parameter in ctx.command.params:
        name = str(parameter.name)
        if name not in own and ctx.get_parameter_source(name) == given:
            raise click.UsageError(f"{parameter.opts[0]} is not for CONFIG, which says it itself")
    configuration = load(config)
    if check:
        from agent.commands.check import told
        from agent.fleet.check import check as checked

        worst = told(asyncio.run(checked(configuration)), as_json=as_json)
        ctx.exit(1 if worst == "fault" else 0)
    if as_json:
        raise click.UsageError("--json goes with --check, or without CONFIG")
    from agent.fleet.supervise import serve

    set_up_logging(verbose=verbose)
    asyncio.run(serve(configuration, verbose=verbose))


def _reference(
    host: str,
    port: int | None,
    ca: Path | None,
    username: str,
    password_file: Path | None,
    password_env: str,
    client_id: str | None,
    store: Path | None,
    seconds: float | None,
    once_idle: float | None,
    only: tuple[str, ...],
    sites: tuple[str, ...],
    *,
    tls: bool,
    look: bool,
    as_json: bool,
) -> None:
    """Central of one broker, in this process."""
    import asyncio

    from agent.central.worst import Choice
    from agent.configuration.credentials import password, tls_context
    from agent.configuration.schema import Upstream

    upstream = Upstream(
        host=host,
        port=port,
        tls=tls,
        ca=str(ca or ""),
        username=username,
        password_file=str(password_file or ""),
        password_env=password_env,
    )

    if look and store is not None:
        raise click.UsageError("--look and --store do not go together")
    memory = None if look else _memory(store, f"{host}-{upstream.port_number}", client_id)

    try:
        asyncio.run(
            _until_told(
                host, upstream.port_number, as_json=as_json, seconds=seconds,
                once_idle=once_idle, client_id=client_id, memory=memory,
                choice=Choice(frozenset(only), frozenset(sites)),
                tls=tls_context(upstream), username=username or None, password=password(upstream),
            )
        )  # fmt: skip
    finally:
        if memory is not None:
            memory.close()


async def _until_told(host: str, port: int, **more: Any) -> None:
    """Show it until SIGINT or SIGTERM, or until nobody reads it any more."""
    import asyncio
    import signal

    from agent.central.view import show_central
    from agent.cli import unread

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    async def watch() -> None:
        """As `head` has enough, the plant may be quiet for hours."""
        while not unread():  # noqa: ASYNC110 - there is no event of it
            await asyncio.sleep(_WATCH_S)
        stop.set()

    watching = asyncio.create_task(watch())
    try:
        await show_central(host, port, stop=stop, **more)
    finally:
        watching.cancel()


def _memory(given: Path | None, broker: str, client_id: str | None) -> Any:
    """Central's file; None where the usual one is another central's, beside which this one looks.

    Raises:
        StoreError: the file that was asked for can not be used.
    """
    from agent.central.memory import Memory
    from agent.store.received import InUseError

    if given is not None:
        return Memory(given)
    state = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(state) if state else Path(home, "fieldwarden")
    name = re.sub(r"[^A-Za-z0-9.-]+", "_", "-".join(filter(None, ("central", broker, client_id))))
    path = folder / f"{name[:200]}.db"
    try:
        return Memory(path)
    except InUseError:
        click.echo(
            f"another central keeps its marks in {path}: this one only looks, and acknowledges "
            "nothing",
            err=True,
        )
        return None
