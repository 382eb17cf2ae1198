"""`fieldwarden fit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands import config_argument, model_option, one_model
from agent.commands.reading import reading_options, say_columns, say_notes

if TYPE_CHECKING:
    from agent.configuration.schema import Configuration
    from agent.fit.model import FitReport, FitRow
    from agent.records.table import Table
    from agent.records.times import Reading

_MANY = 8
"""Inputs from which processes of their own save more time than they take to begin."""


@click.command(name="fit")
@config_argument
@model_option
@click.option(
    "--data",
    required=True,
    metavar="FILE",
    help="Training data: CSV or Parquet, a column for every input and output, or long format; or a "
    "lake: a folder of Parquet, a pattern ('lake/**/*.parquet'), a Delta or Iceberg table.",
)
@click.option(
    "--labels",
    metavar="FILE",
    help="A file with the columns of the model's labels, at the times that they are of; that of "
    "--data where they are columns there. It must have the model's outputs, or --data must.",
)
@reading_options
@click.option(
    "--workers", type=click.IntRange(1, 256), default=None, metavar="N",
    help="Processes that work at once.  [default: one a core where there are many inputs]",
)
@click.option(
    "--scheduler", default="", metavar="tcp://HOST:PORT",
    help="Let a cluster of dask do the work, whose workers find the data at the same place.",
)
@click.option("--full", is_flag=True, help="Print every threshold, and what it was set from.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def command(
    config: Path, model: str | None, data: str, labels: str | None, how: Reading,
    workers: int | None, scheduler: str, *, full: bool, as_json: bool,
) -> None:
    """Write a model's baseline: what it was trained on, and every threshold.

    The table has a line for each input: in what time it forgets where it was (its correlation
    time), what it is watched for, and what not and why. Outputs have one too; where the data has
    no column of an output, only its arrival is watched. How often outputs, labels and the mode tag
    come is learnt from the data as well.

    With --full it shows the correlation time (tau), how many independent samples the record holds
    (n eff), how much of the input the others explain (R2) and its share of the promised false
    alarms. Below stand the thresholds, in the input's unit; those of level, drift and noise are k
    (allowance) and h (limit) of a CUSUM chart over means of so many rows, in standard deviations.

    Of a lake that is larger than what is fitted at once, all rows are read for counts and extremes,
    and charts are fitted on whole stretches of it; the report says how many. The same record gives
    the same baseline, however it is cut into files and wherever the work is done.

    With --labels it also learns how much the model errs, and where it errs more: what the chart of
    its losses judges late truth by.

    \b
    Examples:
      fieldwarden fit config.toml --model yield --data train.csv
      fieldwarden fit config.toml --model yield --data train.csv --full
      fieldwarden fit config.toml --data train.parquet --json
      fieldwarden fit config.toml --model yield --data train.csv --labels lab.csv
      fieldwarden fit config.toml --model yield --data 'lake/**/*.parquet'
    """
    from agent.commands.fit_lake import worked_by
    from agent.configuration.load import load
    from agent.core.baseline_file import write_baseline
    from agent.errors import FieldwardenError
    from agent.records.lake.named import is_lake
    from agent.records.table import tags_of_texts
    from agent.workers import cores

    configuration = load(config)
    name = one_model(configuration, model)
    chosen = configuration.models[name]
    texts = tags_of_texts(configuration)
    if of_texts := [tag for tag in chosen.inputs if tag in texts]:
        raise FieldwardenError(
            "fitting", f"input {of_texts[0]}", "its tag holds texts, which have no range or trend",
            "take it out of the inputs; a tag of texts can be the model's mode",
        )
    many = cores() if len(chosen.inputs) >= _MANY or is_lake(data) else 1
    with worked_by(scheduler, workers or many) as each:
        table, apart = _tables(configuration, name, data, how, each)
        if not as_json:
            say_notes(table.understood)  # its notes stand in the report
            say_columns(table.columns)
        report = _fit(configuration, name, (table, apart), data, how, each, quiet=as_json)
    if labels is not None:
        from agent.commands.fit_labels import with_losses

        report = with_losses(configuration, name, report, (table, apart), data, labels, how)
    target = Path(configuration.models[name].baseline)
    digest = write_baseline(target, report.baseline)
    if as_json:
        click.echo(json.dumps(_document(report, target, digest), allow_nan=False))
        return
    _print(configuration, report, target, digest, full=full)
    click.echo(f"next: fieldwarden drill {config} --model {name}")


def _tables(
    configuration: Configuration, name: str, data: str, how: Reading, each: Any
) -> tuple[Table, Table | None]:
    """The record of a model's inputs and mode, and outputs and labels beside it."""
    from agent.commands.fit_lake import read_lake
    from agent.records.beside import read_beside
    from agent.records.lake.named import is_lake
    from agent.records.table import read_table, tags_of_texts

    if is_lake(data) and (found := read_lake(configuration, name, data, how, each)):
        return found.table, found.apart
    model, texts = configuration.models[name], tags_of_texts(configuration)
    columns = [*model.inputs, *([model.mode.tag] if model.mode else [])]
    table = read_table(data, list(dict.fromkeys(columns)), texts=texts, how=how)
    return table, read_beside(configuration, model, data, how)


def _fit(
    configuration: Configuration, name: str, tables: tuple[Table, Table | None], data: str,
    how: Reading, each: Any, *, quiet: bool,
) -> FitReport:  # fmt: skip
    from rich.console import Console
    from rich.progress import Progress

    from agent.errors import FieldwardenError
    from agent.records.lake.named import absolute

    try:
        from agent.fit.model import fit_model
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "scipy":
            raise
        hint = "pip install 'fieldwarden[fit]'"
        raise FieldwardenError("fitting", f"model {name}", "this needs scipy", hint) from error
    # The bar goes to stderr, so that what is printed can be piped.
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task(f"fitting {name}", total=None)
        return fit_model(
            configuration,
            name,
            tables[0],
            apart=tables[1],
            record=absolute(data),
            reading=how.to_json(),
            elsewhere=each,
            progress=lambda what, done, of: bar.update(
                task, description=what, completed=done, total=of
            ),
        )


def _input(row: FitRow) -> dict[str, object]:
    from dataclasses import asdict

    off = [{"what": what, "why": why} for what, why in row.watched.off]
    return asdict(row) | {"watched": list(row.watched.on), "not_watched": off}


def _document(report: FitReport, target: Path, digest: str) -> dict[str, object]:
    from dataclasses import asdict

    from agent.core.spec import INPUT

    return {
        "model": report.baseline.model,
        "model_version": report.baseline.model_version,
        "baseline": str(target),
        "digest": digest,
        "provisional": report.baseline.provisional,
        "provisional_text": report.baseline.provisional_text,
        "inputs": [_input(row) for row in report.rows if row.role == INPUT],
        "outputs": [_input(row) for row in report.rows if row.role != INPUT],
        "joint_false_alarms_per_month": report.joint_per_month,
        "gateway_false_alarms_per_month": report.gateway_per_month,
        "loops": [asdict(one) for one in report.loops],
        "trial": asdict(report.trial) if report.trial is not None else None,
        "losses": [asdict(one) for one in report.losses],
        "notes": list(report.notes),
    }


def _print(
    configuration: Configuration, report: FitReport, target: Path, digest: str, *, full: bool
) -> None:
    from rich.console import Console

    from agent.commands import fit_table

    console = Console()
    baseline = report.baseline
    console.print(fit_table.full(report) if full else fit_table.short(report))
    if (loops := fit_table.loops(report)) is not None:
        console.print(loops)
    if (losses := fit_table.losses(report)) is not None:
        console.print(losses)
    console.print(
        f"false alarms expected: {report.gateway_per_month:.3g} a month for the whole gateway "
        f"(promised: {configuration.gateway.false_alarms}), "
        f"{report.joint_per_month:.3g} of them by the inputs jointly",
        highlight=False,
    )
    if report.trial is not None:
        console.print(report.trial.text(), highlight=False, markup=False)
    if baseline.provisional:
        text = f"* {baseline.provisional_text}" if not full else baseline.provisional_text
        console.print(text, style="yellow", markup=False)
    if wider := [
        f"{row.tag} {name} x {factor:.2g}" for row in report.rows
        for name, factor in row.wider.items()
    ]:
        console.print(
            f"charts made wider by time held back: {', '.join(wider)}", highlight=False,
            markup=False,
        )
    notes = [f"{row.tag}: {note}" for row in report.rows for note in row.notes]
    for note in (*notes, *report.notes):
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(f"{target}: {digest[:12]}", markup=False, highlight=False, soft_wrap=True)
