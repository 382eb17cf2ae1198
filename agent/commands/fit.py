"""`fieldwarden fit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands import config_argument, model_option, one_model
from agent.commands.reading import reading_options, say_columns, say_notes

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from agent.configuration.schema import Configuration
    from agent.fit.model import FitReport
    from agent.records.table import Table
    from agent.records.times import Reading


@click.command(name="fit")
@config_argument
@model_option
@click.option(
    "--data",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Training data: CSV or Parquet with a column for every input, or long format.",
)
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def command(
    config: Path, model: str | None, data: Path, how: Reading, *, as_json: bool
) -> None:
    """Write a model's baseline: what it was trained on, and every threshold.

    The table shows for each input its correlation time (tau), how many independent samples the
    record holds (n eff), how much of it the other inputs explain (R2) and its share of the promised
    false alarms. Below stand the thresholds, in the input's unit; those of level, drift and noise
    are k (allowance) and h (limit) of a CUSUM chart over means of so many rows, in standard
    deviations.

    \b
    Examples:
      fieldwarden fit config.toml --model yield --data train.csv
      fieldwarden fit config.toml --data train.parquet --json
    """
    from agent.configuration.load import load
    from agent.core.baseline_file import write_baseline
    from agent.errors import FieldwardenError
    from agent.records.table import read_table, tags_of_texts

    configuration = load(config)
    name = one_model(configuration, model)
    chosen = configuration.models[name]
    columns = [*chosen.inputs, *([chosen.mode.tag] if chosen.mode else [])]
    texts = tags_of_texts(configuration)
    if of_texts := [tag for tag in chosen.inputs if tag in texts]:
        raise FieldwardenError(
            "fitting", f"input {of_texts[0]}", "its tag holds texts, which have no range or trend",
            "take it out of the inputs; a tag of texts can be the model's mode",
        )
    table = read_table(data, list(dict.fromkeys(columns)), texts=texts, how=how)
    if not as_json:
        say_notes(table.understood)  # its notes stand in the report
        say_columns(table.columns)
    report = _fit(configuration, name, table, data, how, quiet=as_json)
    target = Path(configuration.models[name].baseline)
    digest = write_baseline(target, report.baseline)
    if as_json:
        click.echo(json.dumps(_document(report, target, digest), allow_nan=False))
        return
    _print(configuration, report, target, digest)
    click.echo(f"next: fieldwarden drill {config} --model {name}")


def _fit(
    configuration: Configuration, name: str, table: Table, data: Path, how: Reading,
    *, quiet: bool,
) -> FitReport:  # fmt: skip
    from rich.console import Console
    from rich.progress import Progress

    from agent.errors import FieldwardenError

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
            table,
            record=str(data.resolve()),
            reading=how.to_json(),
            progress=lambda what, done, of: bar.update(
                task, description=what, completed=done, total=of
            ),
        )


def _document(report: FitReport, target: Path, digest: str) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "model": report.baseline.model,
        "model_version": report.baseline.model_version,
        "baseline": str(target),
        "digest": digest,
        "provisional": report.baseline.provisional,
        "provisional_text": report.baseline.provisional_text,
        "inputs": [asdict(row) for row in report.rows],
        "joint_false_alarms_per_month": report.joint_per_month,
        "gateway_false_alarms_per_month": report.gateway_per_month,
        "notes": list(report.notes),
    }


def _print(configuration: Configuration, report: FitReport, target: Path, digest: str) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console()
    baseline = report.baseline
    console.print(_table(report))
    console.print("thresholds")
    for row in report.rows:
        parts = ", ".join(f"{name} {value}" for name, value in row.thresholds.items())
        text = Text.assemble((f"{row.tag}: ", "bold"), parts)
        console.print(Padding(text, (0, 0, 0, 2)))
    console.print(
        f"false alarms expected: {report.gateway_per_month:.3g} a month for the whole gateway "
        f"(promised: {configuration.gateway.false_alarms}), "
        f"{report.joint_per_month:.3g} of them by the inputs jointly",
        highlight=False,
    )
    if baseline.provisional:
        console.print(baseline.provisional_text, style="yellow", markup=False)
    notes = [f"{row.tag}: {note}" for row in report.rows for note in row.notes]
    for note in (*notes, *report.notes):
        console.print(f"note: {note}", markup=False, highlight=False)
    console.print(f"{target}: {digest[:12]}", markup=False, highlight=False, soft_wrap=True)


def _table(report: FitReport) -> RichTable:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    from agent.status.view import duration

    title = f"model {report.baseline.model}, version {report.baseline.model_version}"
    table = RichTable(
        title=Text(title), box=box.SIMPLE_HEAD, title_justify="left", padding=(0, 1, 0, 0)
    )
    table.add_column("input", overflow="fold")
    table.add_column("unit", no_wrap=True)
    for heading in ("tau", "n eff", "R2", "alarms\na month", "provisional"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in report.rows:
        table.add_row(
            Text(row.tag),  # not markup: a name may end in [degC]
            Text(row.unit),
            f"{row.tau_s:.3g} s",
            f"{row.n_eff:.0f}",
            f"{row.r2:.2f}",
            f"{row.false_alarms_per_month:.2g}",
            f"{duration(row.needed_s)} more" if row.provisional else "no",
        )
    return table
