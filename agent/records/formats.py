"""The formats of times that are tried, in this order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from agent.records.epochs import NAMES, Numbers
from agent.records.tidy import Tidied
from agent.records.times import (
    NumericDates,
    Reading,
    Stamps,
    TimeFormat,
    iso,
    local,
    moment_of,
    named,
)

ISO = "ISO 8601"


def _said(pattern: str) -> Callable[[str], tuple[int, bool]]:
    return lambda cell: moment_of(datetime.strptime(cell, pattern))  # noqa: DTZ007 - see moment_of


def time_formats(how: Reading, heading: str = "") -> list[Callable[[], TimeFormat]]:
    """The formats that may be tried; only one where a person said which.

    Args:
        how: what a person said.
        heading: of the column, which may say the unit of numbers.
    """
    if how.time_format in NAMES:
        return [lambda: Numbers(how)]
    if how.time_format:
        text, parse = f"format {how.time_format}", _said(how.time_format)
        return [lambda: Stamps(text, parse)]
    clean = partial(local, zone=how.timezone) if how.timezone else str
    texts: list[Callable[[], TimeFormat]] = [
        lambda: Stamps(ISO, lambda cell: iso(clean(cell))),
        lambda: NumericDates(how),
        lambda: Stamps("date with the month's name", lambda cell: named(clean(cell))),
    ]
    return [lambda: Numbers(how, heading), *texts, *(partial(_tidied, make) for make in texts)]


def _tidied(make: Callable[[], TimeFormat]) -> TimeFormat:
    return Tidied(make())
