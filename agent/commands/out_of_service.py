"""`fieldwarden out-of-service`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument
from agent.commands.acting import act, reason_option, say, tag_argument


@click.command(name="out-of-service")
@config_argument
@tag_argument
@reason_option
def command(config: Path, tag: str, reason: str) -> None:
    """Take a tag out of service: it raises no alarm, and models that need it are not assessable.

    \b
    Examples:
      fieldwarden out-of-service config.toml reactor.temperature --reason "calibration"
      fieldwarden in-service config.toml reactor.temperature --reason "calibrated"   # afterwards
    """
    say(act(config, "out_of_service", {"tag": tag, "note": reason}), "out of service:")
