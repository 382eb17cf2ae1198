"""`fieldwarden replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands import config_argument
from agent.commands.reading import reading_options, say_notes

if TYPE_CHECKING:
    from agent.records.times import Reading


@click.command(name="replay")
@config_argument
@click.option(
    "--data",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Wide CSV or Parquet, or the journal (SQLite) of an agent.",
)
@click.option(
    "--events",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the events, one JSON object a line.",
)
@click.option(
    "--scans",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write one CSV line a scan: time, verdict, joint scores, worst detectors.",
)
@reading_options
def command(
    config: Path, data: Path, events: Path | None, scans: Path | None, how: Reading
) -> None:
    """Put recorded data through the same engine that runs in service.

    \b
    Examples:
      fieldwarden replay config.toml --data week.csv --events events.jsonl --scans scans.csv
      fieldwarden replay config.toml --data state/fieldwarden.db --events events.jsonl
    """
    from agent.commands.lines import counted
    from agent.configuration.load import load
    from agent.records.replay import replay

    if events is None and scans is None:
        raise click.UsageError("nothing to write: give --events, --scans or both")
    result = replay(load(config), data, events, scans, how)
    say_notes(result.notes)
    counts = {
        "entry": result.entries, "scan": result.scans, "event": result.events,
        "condition": result.raised,
    }  # fmt: skip
    text = ", ".join(counted(number, word) for word, number in counts.items())
    click.echo(f"{text} raised")
    for written in (events, scans):
        if written is not None:
            click.echo(f"written: {written}")
