"""`fieldwarden drill`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands import config_argument, model_option, one_model
from agent.commands.reading import reading_options

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from agent.drill.report import Row
    from agent.records.times import Reading


@click.command(name="drill")
@config_argument
@model_option
@click.option(
    "--data",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Recorded normal data; default: the record that the model was fitted on.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1, 1000),
    default=5,
    show_default=True,
    help="Trials per input and fault, each at another time.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same trials.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw the result as PNG or SVG.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@reading_options
def command(
    config: Path, model: str | None, data: Path | None, repeats: int, seed: int,
    picture: Path | None, how: Reading, *, as_json: bool,
) -> None:  # fmt: skip
    """Put faults into recorded normal data and show what the engine makes of them.

    For each input and fault: the share found, how soon, alarms for one fault, how often under a
    right name, and the usual name; and the false alarms on the record as it is.

    \b
    Examples:
      fieldwarden drill config.toml --model yield --picture drill.png
      fieldwarden drill config.toml --data january.csv --repeats 20 --json
    """
    from rich.console import Console
    from rich.progress import Progress

    from agent.configuration.load import load
    from agent.drill import report
    from agent.drill.faults import FAULTS
    from agent.drill.picture import picture as draw
    from agent.drill.trials import columns, left_out, normal_run, trials
    from agent.records.replay import recorded_spec
    from agent.records.table import read_table, tags_of_texts

    configuration = load(config)
    name = one_model(configuration, model)
    alone = configuration.model_copy(update={"models": {name: configuration.models[name]}})
    spec = recorded_spec(alone, ())
    model_spec = spec.models[0]
    facts = model_spec.baseline.facts
    how = how if data else how.over(facts.get("reading"))
    record, texts = data or _record(facts, name), tags_of_texts(configuration)
    table = read_table(record, columns(model_spec), texts=texts, how=how)
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as bar:
        task = bar.add_task("normal operation", total=None)
        calm = normal_run(spec, table)
        done = trials(
            spec, 0, table, repeats=repeats, seed=seed,
            progress=lambda what, at, of: bar.update(
                task, description=what, completed=at, total=of
            ),
        )  # fmt: skip
    rows = report.rows_of(done)
    without = left_out(model_spec, FAULTS)
    span_ns = int(table.time_ns[-1] - table.time_ns[0])
    promised = configuration.gateway.false_alarms_per_ns * span_ns
    if picture is not None:
        title = (
            f"model {name}: faults found within the promise of {configuration.gateway.false_alarms}"
        )
        draw(rows, picture, title, table.interval_ns / 1e9)
    if as_json:
        click.echo(json.dumps(report.document(rows, calm, promised, without), allow_nan=False))
        return
    console = Console()
    console.print(_table(rows, table.interval_ns / 1e9))
    for line in report.left_out_text(without):
        console.print(line, markup=False, highlight=False)
    console.print(
        f"without faults: {calm.alarms} alarms in {span_ns / 3.6e12:.3g} h "
        f"(promised: {promised:.2g}), not trusted {calm.not_trusted:.2%} of the time",
        highlight=False,
    )
    if model_spec.baseline.provisional:
        console.print(model_spec.baseline.provisional_text, style="yellow", markup=False)
    if picture is not None:
        console.print(f"picture: {picture}", markup=False, highlight=False, soft_wrap=True)
    click.echo(f"next: fieldwarden check {config}")


def _record(facts: object, name: str) -> Path:
    from agent.errors import FieldwardenError

    record = facts.get("record", "") if isinstance(facts, dict) else ""
    if not record:
        raise FieldwardenError(
            "drilling",
            f"model {name}",
            "its baseline does not say which record it was fitted on",
            "give one: --data FILE",
        )
    return Path(record)


_WIDEST = 28
"""Characters up to which an input's name is not broken: the rest fits in a terminal of 80."""


def _table(rows: list[Row], seconds: float) -> RichTable:
    """The inputs under each fault; what was not always found stands out."""
    from textwrap import fill

    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    from agent.status.view import duration

    table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    wide = min(max((len(row.tag) + 2 for row in rows), default=0), _WIDEST)
    for heading in ("fault\n  input", "found", "median\ndelay", "alarms\neach", "named\nright"):
        first = heading.startswith("fault")
        table.add_column(heading, justify="left" if first else "right", no_wrap=True)
    table.add_column("named", overflow="fold")
    last = ""
    for row in rows:
        if row.fault.text != last:
            table.add_row(Text(fill(row.fault.text, wide), "bold"))
        last = row.fault.text
        delay = duration(None if row.delay is None else row.delay * seconds)
        right = "-" if row.right is None else f"{row.right:.0%}"
        alarms = "-" if row.alarms is None else f"{row.alarms:.1f}"
        style = "yellow" if row.found < 0.99 or (row.right or 0.0) < 0.95 else ""
        name = f"{row.name} ({row.cause})" if row.name else "-"
        tag = fill(row.tag, wide, initial_indent="  ", subsequent_indent="  ")
        table.add_row(Text(tag), f"{row.found:.0%}", delay, alarms, right, name, style=style)
    return table
