"""`fieldwarden unshelve`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument
from agent.commands.acting import act_on, incident_option, reason_option, subject_argument


@click.command(name="unshelve")
@config_argument
@subject_argument
@incident_option
@reason_option
def command(config: Path, subject: str, reason: str, *, incident: bool) -> None:
    """Bring a shelved condition back before its time.

    \b
    Examples:
      fieldwarden unshelve config.toml reactor.temperature --reason "day shift is here"
    """
    data = {"subject": subject, "note": reason}
    act_on(config, "unshelve", data, "unshelved", incident=incident)
