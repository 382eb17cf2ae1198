"""The `fieldwarden` command: one module a sub-command, imported only when it is used.

Exit codes: 0 done, 1 a `FieldwardenError` (printed once, no traceback), 2 wrong usage.
A traceback is a defect of ours.
"""

from __future__ import annotations

import importlib
import os
import select
import signal
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import click

from agent import __version__
from agent.errors import FieldwardenError

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "run": "run the agent",
        "check": "validate a configuration, try its sources, print the plan",
        "init": "write a configuration from training data",
        "fit": "write a model's baseline from training data",
        "drill": "what would be noticed and what not, before going live",
        "replay": "put recorded data through the same engine",
        "status": "what the agent knows, also when it is dead",
        "acknowledge": "say that an alarm was seen, or that it was false",
        "shelve": "put an open condition aside for a time",
        "unshelve": "bring a shelved condition back",
        "out-of-service": "take a tag out of service",
        "in-service": "put a tag back into service",
        "contract": "what sources and models have agreed on, and what is different now",
        "report": "a model's verdicts, incidents, drift and decisions, as a page",
        "review": "sign a report that you have read",
        "export": "samples, windows or events as Parquet or CSV",
        "retraining": "what asks for a model to be trained anew, and what people decide",
        "change": "what is different upstream, and what people decide on it",
        "audit": "who decided what, and whether the account of it is whole",
        "token": "make a token for somebody who acts over HTTP",
        "central": "the reference subscriber for central ops",
        "fleet": "every gateway that central knows, worst first",
        "demo": "a simulated plant with scripted faults, the agent and central ops",
        "completion": "print the tab completion for a shell",
    }
)
"""Sub-command -> one line of help; its click command is `agent.commands.<name>.command`, with "_"
for "-"."""


class _Failure(click.ClickException):
    """A `FieldwardenError` on its way to the terminal."""

    exit_code = 1

    def format_message(self) -> str:
        """Line by line, broken between words; what click prints before the first is "Error: "."""
        from agent.commands.lines import hanging  # here, for the sake of a fast `--help`

        first, *others = self.message.split("\n")
        lines = [hanging(first, len("Error: "), err=True)]
        for line in others:
            text = line.lstrip()
            begin = line[: len(line) - len(text)] + "hint: " * text.startswith("hint: ")
            lines.append(begin + hanging(line[len(begin) :], len(begin), err=True))
        return "\n".join(lines)


class _LazyGroup(click.Group):
    """Imports a sub-command when it is called, so that `--help` and completion are fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"agent.commands.{cmd_name.replace('-', '_')}").command
        return command if isinstance(command, click.Command) else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = nearest_hint(args[0], list(COMMANDS))
            ctx.fail(f"no such command {args[0]!r}.{' ' + hint if hint else ''}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()  # here, where it can still be told that nobody reads it
        except FieldwardenError as error:
            raise _Failure(str(error)) from error
        except BrokenPipeError:
            _end_without_a_reader()
            raise
        except SystemExit as error:  # rich's way of ending where nobody reads on
            if isinstance(error.__context__, BrokenPipeError):
                _end_without_a_reader(known=True)
            raise
        return done


def _end_without_a_reader(*, known: bool = False) -> None:
    """End as `cat` and `yes` do when `head` has enough: quietly, by SIGPIPE.

    Only where it is stdout that nobody reads, and not some connection; rich has closed it by then,
    and `known` says so.
    """
    if known or unread():
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)


def unread() -> bool:
    """Whether stdout is a pipe whose other end is closed."""
    try:
        watched = select.poll()
        watched.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in watched.poll(0))
    except (OSError, ValueError):  # no file at all, as in a test
        return False


def nearest_hint(name: str, valid: list[str]) -> str:
    """``"did you mean 'x'?"`` where one of `valid` is near, else nothing."""
    import difflib

    near = difflib.get_close_matches(name, valid, n=1)
    return f"did you mean {near[0]!r}?" if near else ""


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fieldwarden")
def cli() -> None:
    """Fieldwarden says when the models beside a plant can be trusted, and why not.

    \b
    A new plant, from training data to service:
      fieldwarden init --from-csv train.csv --model yield --out yield/config.toml
      fieldwarden fit yield/config.toml --model yield --data train.csv
      fieldwarden check yield/config.toml
      fieldwarden run yield/config.toml
    """


def main() -> None:
    """Entry point of the `fieldwarden` command."""
    cli(prog_name="fieldwarden")


if __name__ == "__main__":
    main()
