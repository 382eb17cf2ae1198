"""`fieldwarden init`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.reading import reading_options, say_columns, say_notes

if TYPE_CHECKING:
    from agent.records.times import Reading


def _column(option: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        option, f"{option.strip('-')}s", multiple=True, metavar="COLUMN",
        help=f"{text}; may be repeated.",
    )  # fmt: skip


@click.command(name="init")
@click.option(
    "--from-csv",
    "data",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Training data: CSV or Parquet; one column time and each other a tag, or long format.",
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
@_column("--output", "A column that the model itself gives, such as its prediction")
@_column("--label", "A column that brings the truth for the output later, such as a lab value")
@_column("--exclude", "A column that is nothing to the model")
@_column("--input", "A column that is an input, whatever it looks like")
@reading_options
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def command(
    data: Path, model: str, out: Path, how: Reading, *, force: bool, **columns: tuple[str, ...]
) -> None:
    """Write a configuration from the data a model was trained on.

    Each column is an input, unless it looks like something else: of lab values, predictions and
    qualities it is asked what they are.

    \b
    Examples:
      fieldwarden init --from-csv train.csv --model yield
      fieldwarden init --from-csv train.csv --model yield --out yield/config.toml \\
        --output yield.predicted --label lab.yield --exclude anomaly
    """
    from agent.records.init import draft, duration_text, write
    from agent.records.roles import shell_word
    from agent.records.table import read_table

    table = read_table(data, text="skip", how=how)
    result = draft(
        table, model, data=data.name, exclude=columns["excludes"], inputs=columns["inputs"],
        outputs=columns["outputs"], labels=columns["labels"],
    )  # fmt: skip
    write(result, out, overwrite=force)
    say_notes(table.understood)
    say_columns(table.columns)
    say_notes(result.notes)
    every = duration_text(table.interval_ns)
    click.echo(f"{out}: model {model}, {len(result.inputs)} inputs, a scan every {every}")
    told = "".join(f" {word}" for word in map(shell_word, how.options()))
    click.echo(f"next: fieldwarden fit {out} --model {model} --data {data}{told}")
