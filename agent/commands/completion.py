"""`fieldwarden completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(name="completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that gives a shell tab completion, of model names too.

    \b
    Examples:
      eval "$(fieldwarden completion bash)"
      fieldwarden completion fish > ~/.config/fish/completions/fieldwarden.fish
    """
    completer = get_completion_class(shell)
    if completer is None:
        raise click.UsageError(f"no completion for {shell}")
    root = ctx.find_root()
    click.echo(completer(root.command, {}, "fieldwarden", "_FIELDWARDEN_COMPLETE").source())
