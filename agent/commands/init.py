"""`fieldwarden init`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands.reading import reading_options, say_columns, say_notes
from agent.commands.starting import starting_options

if TYPE_CHECKING:
    from agent.records.table import Table
    from agent.records.times import Reading
    from agent.starting.begin import Begun, Start

_UNSAID = re.compile(r'^[^#\n]*= "EDIT\b', re.MULTILINE)  # a value that no command takes


def _column(option: str, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        option, f"{option.strip('-')}s", multiple=True, metavar="COLUMN",
        help=f"{text}; may be repeated.",
    )  # fmt: skip


@click.command(name="init")
@click.option(
    "--from-csv",
    "data",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Training data, CSV, Excel or Parquet: one column time, each other a tag; or long format.",
)
@click.option("--model", default="", metavar="NAME", help="Name of the model.")
@click.option(
    "--out",
    default=Path("config.toml"),
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write the configuration; a name that ends in .csv: a list of tags alone.",
)
@starting_options
@_column("--output", "A column that the model itself gives, such as its prediction")
@_column("--label", "A column that brings the truth for the output later, such as a lab value")
@_column("--exclude", "A column that is nothing to the model")
@_column("--input", "A column that is an input, whatever it looks like")
@reading_options
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def command(
    data: Path | None, start: Start, how: Reading, *, force: bool, **columns: tuple[str, ...]
) -> None:
    """Write a configuration from training data, from what a source offers, or from both.

    Each column of training data is an input, unless it looks like something else: of lab values,
    predictions and qualities it is asked what they are. Where a source is given too, each column is
    looked for there by its name; what was found only nearly so, or not at all, is marked EDIT, and
    no command takes the file until a person has edited that.

    Without training data all that the source offers becomes a list of tags, to be edited in a
    spreadsheet and applied: fieldwarden contract apply CONFIG TAGS.csv --dry-run. Nothing is ever
    written to a source.

    \b
    Examples:
      fieldwarden init --from-csv train.csv --model yield --output yield.predicted --label lab.yield
      fieldwarden init --opcua opc.tcp://plc:4840 --from-csv train.csv --model yield
      fieldwarden init --opcua opc.tcp://plc:4840 --under Plant/Line1 --out tags.csv
      fieldwarden init --opcua opc.tcp://plc:4840 --set security=Basic256Sha256 \\
        --set certificate=agent.der --set private_key=agent.pem --set server_certificate=plc.der
      fieldwarden init --modbus-map meter.csv --set host=10.0.0.7 --word-order CDAB
      fieldwarden init --mqtt broker --listen 60s --under 'plant/#'
      fieldwarden init --mqtt broker --sparkplug --listen 5min
      fieldwarden init --opcua opc.tcp://plc:4840 --model yield --model-signature models/yield
    """
    from dataclasses import replace

    from agent.records.init import write_all
    from agent.starting.begin import begin, look
    from agent.starting.signature import read_signature

    said = {
        "exclude": columns["excludes"], "inputs": columns["inputs"],
        "outputs": columns["outputs"], "labels": columns["labels"],
    }  # fmt: skip
    start = replace(start, said=said)
    table = None if data is None else _table(data, how, start.model)
    if data is not None and not start.protocol:
        start = replace(start, place=data.name)
    signature = None if start.path is None else read_signature(start.path)
    found, tables = look(start, _progress) if start.protocol else (None, "")
    _progress("")
    made = begin(start, found, tables, table, signature)
    write_all(made.texts, overwrite=force)
    say_notes(table.understood if table else ())
    say_columns(table.columns if table else ())
    say_notes(tuple(made.notes))
    _say(made, start, data, how)


def _table(data: Path, how: Reading, model: str) -> Table:
    from agent.errors import FieldwardenError
    from agent.records.table import read_table

    if not model:
        cause = "no model was named, and training data is that of one"
        raise FieldwardenError("beginning from", str(data), cause, "give --model NAME")
    return read_table(data, text="skip", how=how)


def _progress(text: str) -> None:
    """One line that is written over in a terminal; in a pipe, none."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


def _say(made: Begun, start: Start, data: Path | None, how: Reading) -> None:
    """What was written, and what comes next."""
    from agent.records.roles import shell_word

    click.echo(made.summary)
    if made.table:
        click.echo(f"\nThe configuration needs this source:\n\n{made.table}", err=True)
        click.echo(f"next: edit it, then fieldwarden contract apply CONFIG {start.out} --dry-run")
    elif data is not None:
        told = f" --labels {data}" if start.said["labels"] else ""
        told += "".join(f" {word}" for word in map(shell_word, how.options()))
        left = len(_UNSAID.findall(made.texts[start.out]))
        first = f"edit the values that begin with EDIT ({left}), then " if left else ""
        fit = f"fieldwarden fit {start.out} --model {start.model} --data {data}{told}"
        click.echo(f"next: {first}{fit}")
    else:
        click.echo(f"next: edit what is marked EDIT, then fieldwarden check {start.out}")
