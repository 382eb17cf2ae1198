"""`fieldwarden in-service`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument
from agent.commands.acting import act, reason_option, say, tag_argument


@click.command(name="in-service")
@config_argument
@tag_argument
@reason_option
def command(config: Path, tag: str, reason: str) -> None:
    """Put a tag back into service after `out-of-service`.

    \b
    Examples:
      fieldwarden in-service config.toml reactor.temperature --reason "calibrated"
    """
    say(act(config, "in_service", {"tag": tag, "note": reason}), "in service:")
