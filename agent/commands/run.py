"""`fieldwarden run`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument
from agent.commands.log_lines import set_up_logging


@click.command(name="run")
@config_argument
@click.option("-v", "--verbose", is_flag=True, help="Log every detail, with tracebacks.")
def command(config: Path, *, verbose: bool) -> None:
    """Run the agent until SIGTERM or Ctrl-C; SIGHUP reads the configuration again.

    \b
    Examples:
      fieldwarden run /etc/fieldwarden/config.toml
      systemctl reload fieldwarden          # the same configuration file, read again
    """
    import asyncio
    import signal

    # Unhandled it would end the process, and to import all this takes seconds. Nothing is lost:
    # the file is read afterwards.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from agent.configuration.load import load
    from agent.runtime.app import run

    set_up_logging(verbose=verbose)
    asyncio.run(run(load(config)))
