"""`fieldwarden central`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="central")
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
@click.option("--seconds", type=click.FloatRange(min=0.1), help="End after so long.")
@click.option(
    "--once-idle", type=click.FloatRange(min=0.1), help="End so long after the last news."
)
@click.option("--json", "as_json", is_flag=True, help="Each new message as a line of JSON.")
def command(
    host: str,
    port: int | None,
    ca: Path | None,
    username: str,
    password_file: Path | None,
    password_env: str,
    client_id: str | None,
    seconds: float | None,
    once_idle: float | None,
    *,
    tls: bool,
    as_json: bool,
) -> None:
    """Subscribe as central ops does: every gateway's models, verdicts, conditions and gaps.

    Messages are de-duplicated and holes in their numbers shown; verdicts expire. A terminal gets a
    live table, a pipe a line a message. Ctrl-C ends it.

    \b
    Examples:
      fieldwarden central --host broker.example --tls --username ops --password-file secret
      fieldwarden central --seconds 10 --json | jq 'select(.stream == "verdict")'
    """
    import asyncio
    import signal

    from agent.central.view import show_central
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

    async def until_told() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await show_central(
            host,
            upstream.port_number,
            as_json=as_json,
            seconds=seconds,
            once_idle=once_idle,
            client_id=client_id,
            stop=stop,
            tls=tls_context(upstream),
            username=username or None,
            password=password(upstream),
        )

    asyncio.run(until_told())
