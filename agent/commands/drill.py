"""`fieldwarden drill`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from agent.commands import config_argument, model_option, one_model
from agent.commands.reading import reading_options

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from agent.configuration.schema import Configuration
    from agent.drill.faults import Fault
    from agent.drill.report import Row
    from agent.drill.trials import NormalRun
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
@click.option(
    "--quick", is_flag=True,
    help="Few faults, inputs and places, each tried once: a first look, within a minute.",
)
@click.option(
    "--workers", type=click.IntRange(1, 256), default=None, metavar="N",
    help="Processes that work on it; default: one for each core.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@reading_options
def command(
    config: Path, model: str | None, data: Path | None, repeats: int, seed: int,
    picture: Path | None, workers: int | None, how: Reading, *, quick: bool, as_json: bool,
) -> None:  # fmt: skip
    """Put faults into recorded normal data and show what the engine makes of them.

    Faults are put into the part of the record that the baseline was not fitted on, where there is
    one. For each input and fault: how large it is, the share found, how soon, incidents for one
    fault, how often its cause was told right, and the usual name; and the false alarms on that part
    of the record as it is.

    \b
    Examples:
      fieldwarden drill config.toml --model yield --picture drill.png
      fieldwarden drill config.toml --model yield --quick
      fieldwarden drill config.toml --data january.csv --repeats 20 --json
    """
    from rich.console import Console

    from agent.configuration.load import load
    from agent.drill.picture import picture as draw

    configuration = load(config)
    name = one_model(configuration, model)
    done = _drill(
        configuration, name, data, how, (1 if quick else repeats, seed, workers),
        quick=quick, quiet=as_json,
    )  # fmt: skip
    if picture is not None:
        title = (
            f"model {name}: faults found within the promise of {configuration.gateway.false_alarms}"
        )
        draw(done.rows, picture, title, done.seconds)
    if as_json:
        click.echo(json.dumps(done.document(), allow_nan=False))
        return
    console = Console()
    console.print(_table(done.rows, done.seconds))
    for line in done.lines():
        console.print(line, markup=False, highlight=False)
    if done.provisional_text:
        console.print(done.provisional_text, style="yellow", markup=False)
    if picture is not None:
        console.print(f"picture: {picture}", markup=False, highlight=False, soft_wrap=True)
    click.echo(f"next: fieldwarden check {config}")


class _Done(NamedTuple):
    """A drill that is over; `hours` and `promised` are those of the part that was drilled in."""

    rows: list[Row]
    calm: NormalRun
    without: list[tuple[str, Fault, str]]
    place: str
    quick: str
    seconds: float
    hours: float
    promised: float
    provisional_text: str

    def document(self) -> dict[str, object]:
        from agent.drill import report

        return report.document(self.rows, self.calm, self.promised, self.without, self.place)

    def lines(self) -> list[str]:
        from agent.drill import report

        calm = self.calm
        quiet = (
            f"without faults: {calm.incidents} incident{'' if calm.incidents == 1 else 's'} in "
            f"{self.hours:.3g} h (promised: {self.promised:.2g}), not trusted "
            f"{calm.not_trusted:.2%} of the time"
        )
        left_out = report.left_out_text(self.without)
        tried = [self.quick] if self.quick else []
        return [report.totals_text(self.rows), *tried, *left_out, self.place, quiet]


def _drill(
    configuration: Configuration, name: str, data: Path | None, how: Reading,
    which: tuple[int, int, int | None], *, quick: bool, quiet: bool,
) -> _Done:  # fmt: skip
    from rich.console import Console
    from rich.progress import Progress

    from agent.drill.faults import FAULTS, quick_faults
    from agent.drill.places import places
    from agent.drill.report import rows_of
    from agent.drill.trials import LEAD, columns, few, left_out, normal_run, part, trials
    from agent.records.replay import recorded_spec
    from agent.records.table import read_table, tags_of_texts
    from agent.workers import cores

    repeats, seed, workers = which
    alone = configuration.model_copy(update={"models": {name: configuration.models[name]}})
    spec = recorded_spec(alone, ())
    model = spec.models[0]
    facts = model.baseline.facts
    how = how if data else how.over(facts.get("reading"))
    record, texts = data or _record(facts, name), tags_of_texts(configuration)
    faults = quick_faults() if quick else FAULTS
    # The bar goes to stderr, so that what is printed can be piped.
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("reading the record", total=None)
        table = read_table(record, columns(model), texts=texts, how=how)
        least = LEAD + max(fault.rows for fault in faults)
        chosen = few(model) if quick else list(range(len(model.inputs)))
        place = places(facts, table.time_ns, least)
        bar.update(task, description="normal operation")
        held_back = part(table, place.first, quick=quick)
        calm = normal_run(spec, held_back)
        done = trials(
            spec, 0, table, repeats=repeats, seed=seed, faults=faults, first=place.first,
            workers=workers or cores(), inputs=chosen,
            progress=lambda what, at, of: bar.update(
                task, description=what, completed=at, total=of
            ),
        )  # fmt: skip
    tried = {model.inputs[column] for column in chosen}
    without = [one for one in left_out(model, faults) if one[0] in tried]
    small = (
        f"quick: {len(faults)} of {len(FAULTS)} faults, once each on {len(chosen)} of "
        f"{len(model.inputs)} inputs"
    )
    span_ns = int(held_back.time_ns[-1] - held_back.time_ns[0])
    return _Done(
        rows_of(done, model.baseline.modes[0].inputs), calm, without, place.text,
        small if quick else "", table.interval_ns / 1e9, span_ns / 3.6e12,
        configuration.gateway.false_alarms_per_ns * span_ns, model.baseline.provisional_text,
    )  # fmt: skip


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


_WIDEST = 26
"""Characters up to which an input's name is not broken: the rest fits in a terminal of 80."""


def _table(rows: list[Row], seconds: float) -> RichTable:
    """The inputs under each fault; what was not always found, or told wrong, stands out."""
    from textwrap import fill

    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    from agent.status.view import duration

    table = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    widest = max((max(len(row.tag) + 2, len(row.size) + 4) for row in rows), default=0)
    wide = min(widest, _WIDEST)
    headings = ("fault\n  input", "found", "median\ndelay", "incidents\neach", "cause\nright")
    for heading in headings:
        first = heading.startswith("fault")
        table.add_column(heading, justify="left" if first else "right", no_wrap=True)
    table.add_column("named", overflow="fold")
    last = ""
    for row in rows:
        if row.fault.text != last:
            table.add_row(Text(fill(row.fault.text, wide), "bold"))
        last = row.fault.text
        delay = duration(None if row.delay is None else row.delay * seconds)
        found = row.trials - row.outcomes["missed"]
        right = f"{row.outcomes['right'] / found:.0%}" if found else "-"
        each = "-" if row.incidents is None else f"{row.incidents:.1f}"
        style = "yellow" if row.found < 0.99 or row.outcomes["wrong"] else ""
        name = f"{row.name}: {row.cause}" if row.name else "-"
        tag = "\n".join(
            fill(line, wide, initial_indent=indent, subsequent_indent=indent)
            for line, indent in ((row.tag, "  "), (row.size, "    ")) if line
        )
        table.add_row(Text(tag), f"{row.found:.0%}", delay, each, right, name, style=style)
    return table
