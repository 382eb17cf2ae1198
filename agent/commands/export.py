"""`fieldwarden export`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.commands import config_argument

_LONG_AGO_NS = 0


@click.command(name="export")
@config_argument
@click.option(
    "--what", default="samples", show_default=True,
    type=click.Choice(["samples", "windows", "events"]),
    help="Samples as judged, windows of summaries, or events.",
)  # fmt: skip
@click.option("--since", default="", metavar="SPAN", help="How far back: 12h, 30d; default all.")
@click.option("--tag", "tags", multiple=True, metavar="NAME", help="Only this tag; repeatable.")
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Where to; its ending says the form: .parquet or .csv.",
)  # fmt: skip
def command(config: Path, what: str, since: str, tags: tuple[str, ...], out: Path) -> None:
    """Write what the agent stored to FILE, for other tools.

    Works on the store, while the agent runs and when it is dead. Times are UTC, to the nanosecond.

    \b
    Examples:
      fieldwarden export config.toml --since 7d --out samples.parquet
      fieldwarden export config.toml --what events --out events.csv
      fieldwarden export config.toml --tag reactor.temperature --out temperature.csv
    """
    from agent.configuration.rules import nearest
    from agent.configuration.values import duration_ns
    from agent.configuration.whereabouts import find
    from agent.errors import FieldwardenError
    from agent.records.written import write_table
    from agent.report.export import CONTENTS, Order, unknown_tags
    from agent.store import Reader

    try:
        since_ns = duration_ns(since) if since else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from error
    reader = Reader(find(config).store)
    try:
        if unknown := unknown_tags(reader, tags):
            hint = nearest(unknown[0], reader.tag_ids())
            raise FieldwardenError("exporting", unknown[0], "the store has no such tag", hint)
        until_ns = reader.last_time_ns()
        first_ns = _LONG_AGO_NS if since_ns is None else until_ns - since_ns
        content = CONTENTS[what]
        order = Order(frozenset(tags), first_ns, until_ns)
        count = write_table(out, content.types, content.read(reader, order))
    finally:
        reader.close()
    click.echo(f"{count} {what} in {out}")
