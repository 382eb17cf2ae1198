"""`fieldwarden in-service`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument
from agent.commands.acting import act, note_option, say, tag_argument


@click.command(name="in-service")
@config_argument
@tag_argument
@note_option
def command(config: Path, tag: str, note: str) -> None:
    """Put a tag back into service after `out-of-service`.

    \b
    Examples:
      fieldwarden in-service config.toml reactor.temperature
    """
    say(act(config, "in_service", {"tag": tag, "note": note}), "in service:")
