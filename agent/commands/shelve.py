"""`fieldwarden shelve`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument
from agent.commands.acting import act, note_option, say, subject_argument


@click.command(name="shelve")
@config_argument
@subject_argument
@click.option("--for", "span", required=True, metavar="8h", help="How long: 30min, 8h, 7d.")
@note_option
def command(config: Path, subject: str, span: str, note: str) -> None:
    """Put an open condition aside for a time; it comes back by itself.

    \b
    Examples:
      fieldwarden shelve config.toml reactor.temperature --for 8h --note "until the day shift"
      fieldwarden shelve config.toml source/utilities --for 30min
    """
    from agent.configuration.values import duration_ns

    try:
        for_ns = duration_ns(span)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from error
    event = act(config, "shelve", {"subject": subject, "note": note, "for_ns": for_ns})
    say(event, f"shelved for {span}:")
