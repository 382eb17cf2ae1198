"""One module a sub-command of `fieldwarden`; click at import, everything else when called."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from agent.configuration.schema import Configuration

F = TypeVar("F", bound=Callable[..., Any])


def config_argument(function: F) -> F:
    """The positional CONFIG of nearly every command."""
    return click.argument(
        "config", type=click.Path(dir_okay=False, path_type=Path), metavar="CONFIG"
    )(function)


def model_option(function: F) -> F:
    """`--model NAME`, completed from the configuration that was typed before it."""
    return click.option(
        "--model",
        "model",
        metavar="NAME",
        shell_complete=_complete_model,
        help="Model of the configuration; not needed where there is only one.",
    )(function)


def _complete_model(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    del param
    # While an option still lacks its value, click leaves the arguments unassigned.
    typed = [ctx.params.get("config"), *ctx.args]
    path = next((word for word in typed if word and not str(word).startswith("-")), None)
    if path is None:
        return []
    try:
        with Path(path).open("rb") as file:
            names = tomllib.load(file).get("models", {})
    except (OSError, tomllib.TOMLDecodeError):
        return []  # completion has nobody to tell
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def one_model(configuration: Configuration, model: str | None) -> str:
    """The model that was asked for, or the only one there is.

    Raises:
        FieldwardenError: there is no such model, or several to choose from.
    """
    from agent.configuration.rules import nearest
    from agent.errors import FieldwardenError

    names = list(configuration.models)
    if model is None and len(names) == 1:
        return names[0]
    if model in configuration.models:
        return str(model)
    cause = "none was named" if model is None else "there is no such model"
    hint = nearest(model or "", names) or "add [models.<name>] to the configuration"
    raise FieldwardenError("choosing model", model or "--model", cause, hint)
