"""`fieldwarden shelve`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument
from agent.commands.acting import act_on, incident_option, reason_option, subject_argument


@click.command(name="shelve")
@config_argument
@subject_argument
@click.option("--for", "span", required=True, metavar="8h", help="How long: 30min, 8h, 7d.")
@incident_option
@reason_option
def command(config: Path, subject: str, span: str, reason: str, *, incident: bool) -> None:
    """Put an open condition aside for a time; it comes back by itself.

    \b
    Examples:
      fieldwarden shelve config.toml reactor.temperature --for 8h --reason "until the day shift"
      fieldwarden shelve config.toml source/utilities --for 30min --reason "restart"
    """
    from agent.configuration.values import duration_ns

    try:
        for_ns = duration_ns(span)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from error
    data = {"subject": subject, "note": reason, "for_ns": for_ns}
    act_on(config, "shelve", data, f"shelved for {span}:", incident=incident)
