"""The options by which a person says what a file of recorded data leaves open."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--time-column", default="", metavar="NAME", help="Column of the times, if not found."
    ),
    click.option(
        "--time-format", default="", metavar="FORMAT",
        help="How times are written: s, ms, us, ns, excel, or as for strptime: '%d.%m.%Y %H:%M'.",
    ),
    click.option(
        "--timezone", default="", metavar="ZONE",
        help="Zone of times that name none, such as Europe/Berlin; else they are taken as UTC.",
    ),
    click.option(
        "--day-first/--month-first", default=None,
        help="What 03/01/2026 means, where no row of the file tells.",
    ),
)  # fmt: skip


def reading_options(function: F) -> F:
    """Add the options; the command gets them as `how`, an `agent.records.times.Reading`."""

    @functools.wraps(function)
    def command(
        *args: Any, time_column: str, time_format: str, timezone: str, day_first: bool | None,
        **rest: Any,
    ) -> Any:  # fmt: skip
        from agent.records.times import Reading

        how = Reading(time_column, time_format, timezone, day_first)
        return function(*args, how=how, **rest)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command  # type: ignore[return-value]


def say_notes(*parts: tuple[str, ...]) -> None:
    """Notes about the data, on stderr."""
    from agent.commands.lines import hanging

    for note in (note for part in parts for note in part):
        click.echo(f"note: {hanging(note, 6, err=True)}", err=True)
