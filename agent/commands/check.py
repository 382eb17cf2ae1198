"""`fieldwarden check`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands import config_argument

if TYPE_CHECKING:
    from agent.checking.item import Item

_SIGNS = {"ok": ("green", "ok"), "warning": ("yellow", "warning"), "fault": ("red", "FAULT")}


@click.command(name="check")
@config_argument
@click.option("--offline", is_flag=True, help="Connect to nothing.")
@click.option("--strict", is_flag=True, help="Warnings fail too: before going live.")
@click.option(
    "--timeout",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.1, 600.0),
    help="Seconds for each source, and to listen for what is sent unasked.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_context
def command(
    ctx: click.Context, config: Path, *, offline: bool, strict: bool, timeout: float, as_json: bool
) -> None:
    """Validate a configuration, try its sources, print the plan; exit 0 or 1.

    Every tag is read once and shown: raw, decoded, unit, time, quality, and whether it is within
    its physical range and what its models were trained on.

    What is wrong in the file, in a baseline or at a source that answers is a fault. A source that
    does not answer now, or a baseline not made yet, is a warning: the agent copes with both.
    Baselines that together allow more false alarms than the configuration promises, because the
    number was changed or a model was added after `fit`, are a fault; the hint says what to run.

    \b
    Examples:
      fieldwarden check config.toml
      fieldwarden check config.toml --offline
      fieldwarden check config.toml --strict      # all is there, answers, none a placeholder
    """
    import asyncio

    from agent.checking.check import check
    from agent.configuration.load import load

    configuration = load(config)
    items = asyncio.run(check(configuration, offline=offline, timeout_s=timeout, strict=strict))
    worst = told(items, as_json=as_json)
    ctx.exit(1 if worst == "fault" or (strict and worst == "warning") else 0)


def told(items: Iterable[Item], *, as_json: bool) -> str:
    """Print a report; the worst level in it."""
    from rich.console import Console

    from agent.commands.lines import hanging

    console = Console(highlight=False, soft_wrap=True)
    worst = "ok"
    for item in items if as_json else once_each(items):
        if item.level == "fault" or (item.level == "warning" and worst == "ok"):
            worst = item.level
        if as_json:
            click.echo(
                json.dumps(
                    {
                        "level": item.level,
                        "subject": item.subject,
                        "text": item.text,
                        "hint": item.hint,
                    }
                    | ({"tag": dict(item.tag)} if item.tag is not None else {})
                )
            )
            continue
        style, sign = _SIGNS[item.level]
        console.print(f"[{style}]{sign:>7}[/{style}]  ", end="")
        console.print(hanging(f"{item.subject}: {item.text}", 9), markup=False)
        if item.hint:
            console.print(f"{'':9}hint: {hanging(item.hint, 15)}", markup=False)
    return worst


def once_each(items: Iterable[Item]) -> Iterator[Item]:
    """Of tags of one source that have one fault in the same words, one line, for people."""
    from dataclasses import replace
    from itertools import groupby

    from agent.sources.base import some_of

    def alike(item: Item) -> tuple[object, ...]:
        is_fault_of_tag = item.tag is not None and item.level != "ok"
        return item.level, item.text, item.hint, None if is_fault_of_tag else id(item)

    for _, found in groupby(items, alike):
        same = list(found)
        names = [str(item.tag["name"]) for item in same if item.tag is not None]
        if len(same) == 1:
            yield same[0]
        else:
            yield replace(same[0], subject=f"{len(same)} tags, {some_of(names)}")
