"""What the groups of commands share by which people see what is asked of them, and decide on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from agent.commands import config_argument
from agent.commands.acting import reason_option

if TYPE_CHECKING:
    from agent.errors import FieldwardenError

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="As JSON.")(function)


def known(config: Path, what: str) -> list[dict[str, Any]]:
    """A list of the status document, of the running agent, else as its store has it."""
    from agent.commands.status import document_of
    from agent.status.view import items

    return [dict(one) for one in items(document_of(config), what)]


def show(found: Any, lines: Iterable[str], *, as_json: bool) -> None:
    """Print what was found as JSON, or else its lines."""
    import json

    from agent.status.terminal import plain

    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in lines:
        click.echo(plain(line))


def none_such(
    operation: str, asked: str, cause: str, there: Iterable[Mapping[str, Any]]
) -> FieldwardenError:
    """The error that there is nothing of this id, with the nearest that there is."""
    from agent.configuration.rules import nearest
    from agent.errors import FieldwardenError

    hint = nearest(asked, [str(one.get("id")) for one in there])
    return FieldwardenError(operation, asked, cause, hint)


def decision(
    name: str, argument: str, text: str, act: Callable[[Path, str, str], Any]
) -> click.Command:
    """A command by which a person decides with a reason, and with nothing else.

    Args:
        name: of the command.
        argument: what is decided on, as help shows it.
        text: the command's help.
        act: has it done: configuration, what is decided on, reason.
    """

    @click.command(name=name, help=text)
    @config_argument
    @click.argument("what", metavar=argument)
    @reason_option
    def command(config: Path, what: str, reason: str) -> None:
        act(config, what, reason)

    return command
