"""A lake that was looked through: what reads it from here on, whole or block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from agent.errors import FieldwardenError
from agent.records.cells import wanted_columns
from agent.records.clocks import TimeAt
from agent.records.columns import Source, Wish
from agent.records.lake.found import Lake, find, lake_error
from agent.records.lake.frame import LakeFrame
from agent.records.lake.rows import Rows, rows_of
from agent.records.lake.survey import (
    Schema,
    Survey,
    fields_of,
    look_at,
    schema_of,
    survey_of,
    tasks_of,
)
from agent.records.long import long_shape
from agent.records.quality import companions
from agent.records.times import Reading

WHOLE_CELLS = 1 << 23
"""Rows times columns up to which a lake is read whole: 1 M rows of 8 tags."""

TWICE = 4
"""Times that rows may be there before a lake is taken for a long one by their number alone."""

_BODY_ROWS = 400
_FEW_FILES, _FEW_ROWS = 64, 4_000_000  # that are looked through before other processes have begun
_MOST_CLASHES = 0.01  # share of cells

R = TypeVar("R")
Each = Callable[..., Iterator[Any]]
"""`each(function, given, tasks, doing)`: `function(*given, task)` for each task, in their order."""

Tell = Callable[[str, int, int], None]
"""Told what is done, how many rows of it, of how many."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What must be known to read any part of a lake.

    Attributes:
        body: its first rows, as texts.
        beside: name of a column of quality -> that of its column of values.
    """

    lake: Lake
    schema: Schema
    survey: Survey
    body: tuple[tuple[str, ...], ...]
    beside: tuple[tuple[str, str], ...]

    @property
    def whole(self) -> tuple[int, int]:
        """The span of all rows."""
        groups = self.survey.groups
        return min(g.first_ns for g in groups), max(g.last_ns for g in groups) + 1

    def needed(self, columns: Sequence[str] | None) -> list[str]:
        """The columns to read for those that are wanted: with their qualities."""
        time = self.schema.time.name
        wanted = [
            name for name in self.schema.names
            if name != time and (columns is None or name in columns)
        ]
        more = [quality for quality, of in self.beside if of in wanted and quality not in wanted]
        return [*wanted, *more]

    def source(self, columns: Sequence[str] | None, span: tuple[int, int], how: Reading
               ) -> tuple[Source, Rows]:  # fmt: skip
        """The rows of a span as the reader of records takes a file."""
        rows = rows_of(self.lake, self.schema, self.survey, self.needed(columns), span)
        frame = LakeFrame(self.lake, self.schema, rows)
        names = self.schema.names
        time = TimeAt((names.index(self.schema.time.name),), None)
        # What folders say is no tag, as long as nobody asks for it.
        named = [name for name in self.lake.files[0].constants if name in names]
        said = frozenset(names.index(name) for name in named)
        source = Source(Path(self.lake.data), frame, names, self.body, time, said, "", how)
        return source, rows

    def notes(self) -> list[str]:
        """What a person should know of the files."""
        return [
            f"{name}: {missing} of {sum(1 for own in self.schema.groups if sum(own))} files have "
            "no such column: missing there"
            for name, missing in self.schema.partly.items()
        ]


def here(function: Callable[..., R], given: tuple[Any, ...], tasks: Sequence[Any], doing: str
         ) -> Iterator[R]:  # fmt: skip
    """The same as any `Each`, in this process."""
    del doing
    return (function(*given, task) for task in tasks)


def open_lake(data: str, how: Reading, each: Each = here, tell: Tell | None = None) -> Opening:
    """Look through a lake.

    Args:
        data: what names it.
        how: what a person said about it.
        each: does the work.
        tell: told how far it is.

    Raises:
        FieldwardenError: see `find`, `schema_of`, `survey_of`; or it is in long format.
    """
    tell = tell or (lambda what, done, of: None)
    lake = find(data)
    numbers = range(len(lake.files))
    own = here if len(numbers) < _FEW_FILES else each
    schema = schema_of(lake, list(own(fields_of, (lake,), numbers, doing="reading lake")), how)
    total = sum(map(sum, schema.groups))
    own = here if total < _FEW_ROWS else each
    found, done = [], 0
    for task, times in zip(tasks_of(schema), own(
        look_at, (lake, schema.time), tasks_of(schema), doing="reading lake"
    ), strict=True):  # fmt: skip
        found.append(times)
        done += sum(schema.groups[task[0]][task[1] : task[2]])
        tell("times", done, total)
    survey = survey_of(lake, found)
    body = _body(lake, schema, survey)
    time = TimeAt((schema.names.index(schema.time.name),), None)
    if long_shape(schema.names, body, time, how) is not None:
        cause = "each row is a report of one tag (long format)"
        hint = "a lake is read with a column for each tag: pivot it; or --tag-column none, if it is"
        raise lake_error(data, cause, hint)
    beside = tuple(
        (schema.names[quality], schema.names[of])
        for quality, of in companions(schema.names, body).items()
    )
    return Opening(lake, schema, survey, tuple(map(tuple, body)), beside)


def _body(lake: Lake, schema: Schema, survey: Survey) -> list[list[str]]:
    """The record's first rows, as texts; columns that clash are left empty."""
    names = [
        name for name in schema.names if name != schema.time.name and name not in schema.clashes
    ]
    found: list[list[str]] = []
    for block in survey.blocks():
        span = block * survey.length_ns, (block + 1) * survey.length_ns
        frame = LakeFrame(lake, schema, rows_of(lake, schema, survey, names, span, join=False))
        found += frame.sample(_BODY_ROWS - len(found))
        if len(found) >= _BODY_ROWS:
            break
    return found


def lake_source(data: str, wish: Wish, how: Reading) -> tuple[Source, tuple[str, ...]]:
    """A whole lake as the reader of records takes a file, and what was understood of it.

    Raises:
        FieldwardenError: it can not be read, or is larger than what is read whole.
    """
    opening = open_lake(data, how)
    count = len(wanted(opening, wish))
    if opening.survey.rows * count > TWICE * WHOLE_CELLS:
        raise _too_much(opening, opening.survey.rows, count)
    source, rows = opening.source(wish.columns, opening.whole, how)
    cells = len(rows.time_ns) * count
    if cells > WHOLE_CELLS:
        raise _too_much(opening, len(rows.time_ns), count)
    told = joined_notes(opening.lake, rows.joined, rows.clashes, cells)
    return source, (opening.lake.text, *opening.notes(), *told)


def _too_much(opening: Opening, rows: int, columns: int) -> FieldwardenError:
    cause = f"{rows:,} rows of {columns} columns are too much at once"
    hint = "give a part of it, such as 'lake/month=06/*.parquet'; `fit` takes all of it"
    return lake_error(opening.lake.data, cause, hint)


def wanted(opening: Opening, wish: Wish) -> list[str]:
    """The columns that are wanted, of those there are.

    Raises:
        FieldwardenError: one is missing, and that is not allowed.
    """
    names, time = opening.schema.names, opening.schema.time.name
    places = wanted_columns(
        Path(opening.lake.data), names, (names.index(time),), wish.columns, lenient=wish.lenient
    )
    return [names[at] for at in places]


def joined_notes(lake: Lake, joined: int, clashes: int, cells: int) -> list[str]:
    """What was joined, in sentences.

    Raises:
        FieldwardenError: of too many cells nothing can be said.
    """
    if clashes > max(3, _MOST_CLASHES * cells):
        cause = f"{clashes:,} of {cells:,} cells are told differently at one time"
        hint = "is each row of another machine? give one's files; or write times with fractions"
        raise lake_error(lake.data, cause, hint)
    found = []
    if joined:
        found.append(f"{joined:,} rows had the time of another row and were joined to it")
    if clashes:
        found.append(f"{clashes:,} cells were told differently at one time: taken as missing")
    return found
