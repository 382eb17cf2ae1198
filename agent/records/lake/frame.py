"""Rows of a lake as the reader of records takes a file: columns by position, in order of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Self

import polars as pl

from agent.records.lake.found import Lake, lake_error
from agent.records.lake.rows import Rows
from agent.records.lake.survey import Schema


class LakeFrame:
    """Some rows of a lake, with the columns that were read."""

    def __init__(self, lake: Lake, schema: Schema, rows: Rows) -> None:
        self.names: Sequence[str] = schema.names
        self.rows = len(rows.time_ns)
        self._lake, self._schema, self._found = lake, schema, rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def notes(self) -> list[str]:
        """What was joined is told of the whole lake."""
        return []

    def columns(self, places: Sequence[int]) -> Iterator[pl.Series]:
        """What the columns hold; of the time's, stamps.

        Raises:
            FieldwardenError: the column was not read.
        """
        for at in places:
            name = self.names[at]
            if name == self._schema.time.name:
                zone = "UTC" if self._schema.stamped else None
                yield pl.Series(name, self._found.time_ns).cast(pl.Datetime("ns", zone))
            elif name in self._found.columns:
                yield self._found.columns[name]
            else:
                raise lake_error(self._lake.data, f"column {name!r} was not read")

    def numbers(self, places: Sequence[int], decimal: str) -> Iterator[pl.Series]:  # noqa: ARG002
        """What the columns hold: types stand in the files."""
        return self.columns(places)

    def place(self, row: int) -> str:
        """The row of a time: rows of a lake have no other name."""
        return f"the row of {_iso(int(self._found.time_ns[row]))}"

    def sample(self, rows: int) -> list[list[str]]:
        """The first rows as texts, of all columns that were read; others are empty."""
        read = [
            next(self.columns([at])).head(rows).cast(pl.String).fill_null("").to_list()
            if name == self._schema.time.name or name in self._found.columns
            else [""] * min(rows, self.rows)
            for at, name in enumerate(self.names)
        ]
        return [[str(cell) for cell in row] for row in zip(*read, strict=True)]


def _iso(time_ns: int) -> str:
    text = datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")
