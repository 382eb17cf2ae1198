"""`fieldwarden change propose`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.commands import config_argument

if TYPE_CHECKING:
    from agent.configuration.schema import Configuration
    from agent.contract.proposal import Proposal


@click.command(name="propose")
@config_argument
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--reason", "--note", "reason", metavar="TEXT",
              help="Why; default: the text and who of the file.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only check the file, and say whom it touches.")
def command(config: Path, file: Path, reason: str | None, *, dry_run: bool) -> None:
    """Tell ahead of a change upstream: it is assessed, and can be approved before it comes.

    FILE is TOML; configs/change.toml shows every key. It is about one source; nothing is held for
    it. What it does to models is seen a little later: fieldwarden change show CONFIG ID.

    \b
    Examples:
      fieldwarden change propose config.toml new-transmitter.toml --dry-run
      fieldwarden change propose config.toml new-transmitter.toml
    """
    from agent.commands.acting import act
    from agent.commands.change_known import say
    from agent.configuration.load import load

    configuration = load(config)
    proposal = read(file, configuration)
    if dry_run:
        _say_whom(proposal, configuration)
        return
    why = reason or f"{proposal.text} ({proposal.who})"
    say(act(config, "propose", {"change": proposal.to_json(), "note": why[:500]}))


def read(file: Path, configuration: Configuration) -> Proposal:
    """The proposal of a file.

    Raises:
        FieldwardenError: it can not be read, or something is wrong with it.
    """
    from agent.contract.proposal import LIMIT_BYTES, parsed
    from agent.files import read_bounded

    return parsed(read_bounded(file, LIMIT_BYTES, "reading the change"), str(file), configuration)


def _say_whom(proposal: Proposal, configuration: Configuration) -> None:
    from agent.impact.whom import further, touched
    from agent.status.terminal import plain

    sources, tags = proposal.touched(configuration)
    click.echo(plain(f"sources: {', '.join(sources)}"))
    click.echo(plain(f"tags: {', '.join(tags)}"))
    for name in touched(configuration, tags):
        owner = configuration.models[name].owner
        version = configuration.models[name].version
        click.echo(plain(f"model {name} {version}, of {owner.team} <{owner.contact}>"))
    for name, by in further(configuration, tags).items():
        click.echo(plain(f"model {name} is given {', '.join(by)} of these"))
