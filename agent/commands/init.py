"""`fieldwarden init`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="init")
@click.option(
    "--from-csv",
    "data",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Training data: wide CSV (or Parquet), first column time, one column a tag.",
)
@click.option("--model", required=True, metavar="NAME", help="Name of the model.")
@click.option(
    "--out",
    default=Path("config.toml"),
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write the configuration.",
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="COLUMN",
    help="A column that is no input of the model; may be repeated.",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def command(data: Path, model: str, out: Path, exclude: tuple[str, ...], *, force: bool) -> None:
    """Write a configuration from the data a model was trained on.

    \b
    Examples:
      fieldwarden init --from-csv train.csv --model yield
      fieldwarden init --from-csv train.csv --model yield --out yield/config.toml --exclude anomaly
    """
    from agent.commands.lines import hanging
    from agent.records.init import draft, duration_text, write
    from agent.records.table import read_table

    table = read_table(data, text="skip")
    result = draft(table, model, data=data.name, exclude=exclude)
    write(result, out, overwrite=force)
    for note in result.notes:
        click.echo(f"note: {hanging(note, 6, err=True)}", err=True)
    every = duration_text(table.interval_ns)
    click.echo(f"{out}: model {model}, {len(result.inputs)} inputs, a scan every {every}")
    click.echo(f"next: fieldwarden fit {out} --model {model} --data {data}")
