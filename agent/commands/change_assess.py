"""`fieldwarden change assess`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent.commands import config_argument

if TYPE_CHECKING:
    from rich.table import Table

    from agent.configuration.schema import Configuration
    from agent.impact.replay import Progress
    from agent.impact.task import Task

_VERDICTS = ("trusted", "caution", "untrusted", "unassessable")


@click.command(name="assess")
@config_argument
@click.argument("change", metavar="[ID]", required=False)
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              metavar="FILE", help="A change that nobody proposed yet: see configs/change.toml.")
@click.option("--days", type=click.FloatRange(min=0.0, min_open=True, max=365.0), default=7.0,
              show_default=True, help="How far back the replay goes, as far as there is a journal.")
@click.option("--limit", type=click.FloatRange(min=1.0, max=1440.0), default=15.0,
              show_default=True, metavar="MINUTES", help="That the replay may take.")
@click.option("--json", "as_json", is_flag=True, help="Print the assessment as one JSON object.")
def command(
    config: Path, change: str | None, file: Path | None, days: float, limit: float, *,
    as_json: bool,
) -> None:
    """What a change does to models: the last days are replayed with it, through the very engine.

    For each model that it touches: the share of scans in which the verdict is another one, alarms,
    and losses where truths are known. It reads the store of the agent, which may run or not, and
    writes nothing. A running agent does the same by itself for each change.

    \b
    Examples:
      fieldwarden change assess config.toml line-3
      fieldwarden change assess config.toml --file new-transmitter.toml --days 2
      fieldwarden change assess config.toml --file new-transmitter.toml --json
    """
    from agent.configuration.load import load

    if bool(change) == bool(file):
        raise click.UsageError("give the ID of a change, or --file FILE")
    configuration = load(config)
    task = _of_file(file, configuration) if file else _of_change(config, str(change))
    task = replace(task, back_ns=round(days * 86_400e9), limit_s=60.0 * limit)
    found = _assessed(configuration, task, quiet=as_json)
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
        return
    _print(found)


def _of_file(file: Path, configuration: Configuration) -> Task:
    from agent.commands.change_propose import read
    from agent.impact.task import Task

    return Task(proposal=read(file, configuration).to_json())


def _of_change(config: Path, change: str) -> Task:
    from agent.commands.change_known import known
    from agent.impact.task import task_of

    return task_of(known(config, change, "assessing change"))


def _assessed(configuration: Configuration, task: Task, *, quiet: bool) -> dict[str, Any]:
    import asyncio

    from rich.console import Console
    from rich.progress import Progress as Bar

    from agent.impact.process import assess

    with Bar(console=Console(stderr=True), transient=True, disable=quiet) as bar:
        place = bar.add_task("replaying", total=1.0)

        def told(progress: Progress) -> None:
            bar.update(place, completed=progress.done)

        return asyncio.run(assess(configuration, task, told))


def _print(found: Mapping[str, Any]) -> None:
    from rich.console import Console

    console = Console()
    console.print(found["text"], markup=False, highlight=False)
    if found["models"]:
        console.print(table_of(found))
    for name, by in found["further"].items():
        told = f"{name} is given {', '.join(by)} of these models; what that would have been nobody "
        console.print(f"{told}knows", markup=False, highlight=False)
    for note in found["notes"]:
        console.print(f"note: {note}", markup=False, highlight=False)
    for tag, part in found["map"].items():
        told = ", ".join(f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
                         for key, value in part.items())  # fmt: skip
        console.print(f"a map undoes it: {tag}: {told}", markup=False, highlight=False)


def table_of(found: Mapping[str, Any]) -> Table:
    """A row a model: whose, how many scans change, verdicts, alarms and losses on both sides."""
    from rich.table import Table

    from agent.impact.words import percent

    table = Table(title_justify="left")
    for name in ("model", "owner", "scans", "another verdict", "now", "with it", "alarms", "loss"):
        table.add_column(name)
    for name, one in found["models"].items():
        now, then = (one["verdicts"][side] for side in ("now", "then"))
        table.add_row(
            f"{name} {one['version']}", one["owner"], str(one["scans"]), percent(one["share"]),
            _shares(now, one["scans"]), _shares(then, one["scans"]),
            f"{one['alarms']['now']} -> {one['alarms']['then']}", _losses(one["losses"]),
        )  # fmt: skip
    return table


def _shares(counts: Mapping[str, int], scans: int) -> str:
    from agent.impact.words import percent

    told = [f"{name} {percent(counts[name] / scans)}" for name in _VERDICTS
            if scans and counts.get(name)]  # fmt: skip
    return "\n".join(told) or "-"


def _losses(losses: Mapping[str, Any] | None) -> str:
    told = []
    for name, one in (losses or {}).items():
        now, then = (one[side]["mean"] for side in ("now", "then"))
        if now is not None and then is not None:
            told.append(f"{name}: {now:.4g} -> {then:.4g}")
    return "\n".join(told) or "-"
