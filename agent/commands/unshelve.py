"""`fieldwarden unshelve`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument
from agent.commands.acting import act_on, incident_option, note_option, subject_argument


@click.command(name="unshelve")
@config_argument
@subject_argument
@incident_option
@note_option
def command(config: Path, subject: str, note: str, *, incident: bool) -> None:
    """Bring a shelved condition back before its time.

    \b
    Examples:
      fieldwarden unshelve config.toml reactor.temperature
    """
    data = {"subject": subject, "note": note}
    act_on(config, "unshelve", data, "unshelved", incident=incident)
