"""`fieldwarden acknowledge`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument
from agent.commands.acting import act_on, incident_option, reason_option, subject_argument


@click.command(name="acknowledge")
@config_argument
@subject_argument
@click.option("--false", "false", is_flag=True, help="It was a false alarm: counts in the audit.")
@incident_option
@reason_option
def command(
    config: Path, subject: str, reason: str, *, false: bool, incident: bool
) -> None:
    """Acknowledge an alarm, in your name; with --false it counts against the promise.

    SUBJECT is that of an open condition (a tag, source or model), or the id of one occurrence from
    `status --json` or the events. Where none is open, the last one that cleared is meant. Saying it
    again replaces what was said.

    \b
    Examples:
      fieldwarden acknowledge config.toml reactor.temperature --reason "TT-101 is being changed"
      fieldwarden acknowledge config.toml tag/cooling.flow --false --reason "pump was tested"
      fieldwarden acknowledge config.toml reactor.temperature --incident --reason "we see to it"
      sudo fieldwarden acknowledge config.toml source/utilities --reason "switch is being changed"
    """
    data = {"subject": subject, "note": reason, "false": false}
    what = "acknowledged as false" if false else "acknowledged"
    act_on(config, "acknowledge", data, what, incident=incident)
