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
        help="How times are written: s, ms, us, ns, excel, excel1904, matlab, labview, wincc, "
        "filetime, ticks, or as for strptime: '%d.%m.%Y %H:%M'.",
    ),
    click.option(
        "--timezone", default="", metavar="ZONE",
        help="Zone of times that name none, such as Europe/Berlin; else they are taken as UTC.",
    ),
    click.option(
        "--day-first/--month-first", default=None,
        help="What 03/01/2026 means, where no row of the file tells.",
    ),
    click.option(
        "--encoding", default="", metavar="NAME",
        help="Encoding of a text that is neither UTF-8, UTF-16 nor Windows-1252: cp1251, gbk.",
    ),
    click.option(
        "--decimal", default="", type=click.Choice(["", "point", "comma"]), metavar="[point|comma]",
        help="What 1,234 means, where no cell of the file tells.",
    ),
    click.option(
        "--interval", default="", metavar="DURATION",
        help="How far rows are apart that have no time, or that hold reports by exception: 60s.",
    ),
    click.option(
        "--no-value", default="", metavar="NUMBERS",
        help="Numbers that mean 'no value', such as -9999,1e20; 'none' keeps every number.",
    ),
    click.option(
        "--good", default="", metavar="CELLS",
        help="What cells of a column of quality say of a good sample, such as 0 or 192,216.",
    ),
    click.option(
        "--tag-column", default="", metavar="NAME",
        help="Column that names the tag of each row (long format); 'none' where none does.",
    ),
    click.option(
        "--member", default="", metavar="NAME", help="File of a zip archive that holds several."
    ),
    click.option(
        "--sheet", default="", metavar="NAME", help="Sheet of a workbook that has several."
    ),
)  # fmt: skip


def reading_options(function: F) -> F:
    """Add the options; the command gets them as `how`, an `agent.records.times.Reading`."""

    @functools.wraps(function)
    def command(*args: Any, **rest: Any) -> Any:
        from dataclasses import fields

        from agent.records.times import Reading

        how = Reading(**{field.name: rest.pop(field.name) for field in fields(Reading)})
        return function(*args, how=how, **rest)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command  # type: ignore[return-value]


def say_notes(*parts: tuple[str, ...]) -> None:
    """Notes about the data, on stderr."""
    from agent.commands.lines import hanging

    for note in (note for part in parts for note in part):
        click.echo(f"note: {hanging(note, 6, err=True)}", err=True)


def say_columns(lines: tuple[str, ...]) -> None:
    """What was understood of each column, on stderr."""
    for line in lines:
        click.echo(f"  {line}", err=True)
