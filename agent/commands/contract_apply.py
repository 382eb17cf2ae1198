"""`fieldwarden contract apply`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands import config_argument
from agent.commands.contract_lines import (
    live_contract,
    path_of,
    saved,
    say,
    summary,
    timeout_option,
)

if TYPE_CHECKING:
    from agent.configuration.schema import Configuration
    from agent.contract.differences import Difference
    from agent.contract.document import Contract

_MOST_SHOWN = 20


@click.command(name="apply")
@config_argument
@click.argument(
    "tags", metavar="TAGS.csv", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--dry-run", is_flag=True, help="Show the difference; write nothing.")
@click.option(
    "--list", "target", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Which of the configuration's lists it goes to, where there are several.",
)
@click.option("--remove", is_flag=True, help="Take out tags of its sources that the list lacks.")
@click.option("--replace", is_flag=True, help="Write it although something breaks.")
@click.option("--offline", is_flag=True, help="Ask no source; keep of each what it told last.")
@timeout_option
@click.pass_context
def apply(
    ctx: click.Context, config: Path, tags: Path, target: Path | None, *, dry_run: bool,
    remove: bool, replace: bool, offline: bool, timeout: float,
) -> None:  # fmt: skip
    """Put a list of tags into a configuration, and into its contract.

    Tags that the configuration has and the list lacks stay, unless --remove is given. Of a tag with
    a table of its own in the file, keys are set in place, and comments stay. All files are written,
    or none. With --dry-run the exit code is 1 where something would break.

    \b
    Examples:
      fieldwarden init --opcua opc.tcp://plc:4840 --out tags.csv     # then edit it
      fieldwarden contract apply config.toml tags.csv --dry-run
      fieldwarden contract apply config.toml tags.csv
    """
    from agent.contract.document import text_of
    from agent.errors import FieldwardenError
    from agent.files import write_texts
    from agent.starting.apply import plan

    planned = plan(config, tags, target, remove=remove)
    agreed = _agreed(config)
    now = _now(planned.configuration, agreed, None if offline else timeout, dry_run=dry_run)
    found = _differences(agreed, now)
    _say_some(found)
    click.echo(summary(agreed, found))
    if planned.staying:
        click.echo(f"{planned.staying} tags that the list lacks stay; --remove takes them out")
    breaks = sum(one.grade == "breaking" for one in found)
    if dry_run:
        for path in planned.texts:
            click.echo(f"would be written: {path}")
        ctx.exit(1 if breaks else 0)
    if breaks and not replace:
        cause = f"{breaks} of the differences break what was agreed"
        hint = "look at them above; then write it with --replace"
        raise FieldwardenError("applying", str(tags), cause, hint)
    write_texts({**planned.texts, path_of(config): text_of(now)})
    for path in (*planned.texts, path_of(config)):
        click.echo(f"{path}: written")


def _say_some(found: list[Difference]) -> None:
    """All that breaks, and of thousands of others the first ones of each grade."""
    for grade in ("breaking", "compatible", "additive"):
        own = [one for one in found if one.grade == grade]
        shown = own if grade == "breaking" else own[:_MOST_SHOWN]
        say(shown)
        if more := len(own) - len(shown):
            click.echo(f"{grade:>10}  ... and {more} more")


def _agreed(config: Path) -> Contract:
    """The contract; where there is none, what the configuration says so far."""
    from agent.configuration.load import load
    from agent.contract.document import Contract
    from agent.contract.made import baselines, made
    from agent.errors import ConfigurationError

    if path_of(config).exists():
        return saved(path_of(config))
    try:
        before = load(config)
    except ConfigurationError:  # it waits for just this list
        return Contract("", "", {}, {}, "no contract so far")
    return made(before, baselines(before), {}, "no contract so far")


def _now(
    configuration: Configuration, agreed: Contract, timeout_s: float | None, *, dry_run: bool
) -> Contract:
    """The contract as it would be, with what live sources tell; None: none is asked."""
    from agent.clock import wall_ns
    from agent.contract.document import carried_over
    from agent.contract.made import baselines, made
    from agent.core.figures import clock
    from agent.status.terminal import plain

    if timeout_s is None:
        offline = made(configuration, baselines(configuration), {}, clock(wall_ns()))
        return carried_over(agreed, offline, offline.sources)
    now, failed = live_contract(configuration, timeout_s)
    for name, error in failed.items():
        if not dry_run:
            error.hint = f"{error.hint}; or --offline keeps what it told last".removeprefix("; ")
            raise error
        told = f"source {name} does not answer, so what it serves is not compared: {error}"
        click.echo(plain(told), err=True)
    return carried_over(agreed, now, failed)


def _differences(agreed: Contract, now: Contract) -> list[Difference]:
    from agent.contract.differences import differences
    from agent.contract.document import silent, without_served

    return differences(without_served(agreed, (), silent(agreed, now, now.sources)), now)
