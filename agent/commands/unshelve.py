"""`fieldwarden unshelve`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument
from agent.commands.acting import act, note_option, say, subject_argument


@click.command(name="unshelve")
@config_argument
@subject_argument
@note_option
def command(config: Path, subject: str, note: str) -> None:
    """Bring a shelved condition back before its time.

    \b
    Examples:
      fieldwarden unshelve config.toml reactor.temperature
    """
    say(act(config, "unshelve", {"subject": subject, "note": note}), "unshelved")
