"""Parquet files through pyarrow, column by column. The only user of it.

polars reads Parquet too, but panics on damaged files and prints that to stderr. Import this late,
and only where pyarrow is installed (the extra `parquet`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from agent.records.cells import data_error
from agent.records.clocks import TimeAt
from agent.records.times import Reading

_SAMPLE_ROWS = 400
_FAULTS = (pa.ArrowException, pl.exceptions.PolarsError, OSError, ValueError, OverflowError)


def _in_python(column: pa.Array) -> list[object]:
    """Its cells; of times those that Python has, which ends at microseconds."""
    kind, coarse = column.type, None
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        coarse = pa.timestamp("us", kind.tz)
    elif pa.types.is_time64(kind) and kind.unit == "ns":
        coarse = pa.time64("us")
    elif pa.types.is_duration(kind) and kind.unit == "ns":
        coarse = pa.duration("us")
    return list((column.cast(coarse, safe=False) if coarse is not None else column).to_pylist())


class ParquetFrame:
    """One Parquet file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self._opened = parquet.ParquetFile(file)
            schema = self._opened.schema_arrow
            self.rows = int(self._opened.metadata.num_rows)
        except (*_FAULTS, MemoryError) as error:
            raise self._damaged(error) from error
        self.names: Sequence[str] = [str(name) for name in schema.names]
        self._stamps = [pa.types.is_timestamp(field.type) for field in schema]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def notes(self) -> list[str]:
        """Nothing is left out."""
        return []

    def _damaged(self, error: BaseException) -> Exception:
        text = (str(error).splitlines() or [type(error).__name__])[0][:160]
        return data_error(self.file, f"no readable Parquet: {text}", "is it complete?")

    def stamps(self, how: Reading) -> TimeAt | None:
        """The first column of stamps, or the one that was said; None where there is none."""
        named = [at for at, name in enumerate(self.names) if how.time_column in {"", name}]
        found = [at for at in named if self._stamps[at]]
        return TimeAt((found[0],), None) if found else None

    def sample(self) -> list[list[str]]:
        """The first rows, as texts."""
        try:
            batch = next(self._opened.iter_batches(batch_size=_SAMPLE_ROWS), None)
            columns = [_in_python(column) for column in batch] if batch is not None else []
        except (*_FAULTS, MemoryError) as error:
            raise self._damaged(error) from error
        rows = zip(*columns, strict=True)
        return [["" if cell is None else str(cell).strip() for cell in row] for row in rows]

    def columns(self, places: Sequence[int]) -> Iterator[pl.Series]:
        """What the columns hold; texts stripped, dictionaries resolved."""
        for at in places:
            try:
                table = parquet.read_table(self.file, columns=[self.names[at]])
                array = table.column(0)
                if isinstance(array.type, pa.DictionaryType):
                    array = array.cast(array.type.value_type)
                column = pl.Series(self.names[at], array)
                if len(column) != self.rows:
                    raise ValueError("rows are missing")
            except (*_FAULTS, MemoryError) as error:
                raise self._damaged(error) from error
            yield column.str.strip_chars() if column.dtype == pl.String else column

    def numbers(self, places: Sequence[int], decimal: str) -> Iterator[pl.Series]:  # noqa: ARG002
        """What the columns hold: types stand in the file."""
        return self.columns(places)

    def place(self, row: int) -> str:
        """The row, from 1."""
        return f"row {row + 1}"
