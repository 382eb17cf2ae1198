"""One file of a lake, opened: its columns by name, its row groups, and whether it has changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import fs, parquet

from agent.records.epochs import COUNTS
from agent.records.lake.found import File, Lake, lake_error
from agent.records.times import END_S
from agent.types import Int64

_FAULTS = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
_ROWS_AT_ONCE = 131_072
_PER_S = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """The column of times; `unit` of one that holds counts since 1970, empty for stamps."""

    name: str
    unit: str = ""


class Part:
    """One opened file.

    Attributes:
        file: as it was found.
        names: of its columns, and of its constants.
    """

    def __init__(self, lake: Lake, file: File, opened: parquet.ParquetFile) -> None:
        self.file = file
        self._opened = opened
        self._schema = opened.schema_arrow
        self._place = _places(lake, self._schema)
        constants = [name for name in file.constants if name not in self._place]
        self.names = [*self._place, *constants]

    @property
    def groups(self) -> list[int]:
        """Rows of each row group."""
        about = self._opened.metadata
        return [about.row_group(at).num_rows for at in range(about.num_row_groups)]

    def type_of(self, name: str) -> pa.DataType | None:
        """What a column holds; None where the file has none of that name."""
        if name in self._place:
            kind = self._schema.field(self._place[name]).type
            return kind.value_type if pa.types.is_dictionary(kind) else kind
        if name not in self.file.constants:
            return None
        return pa.array([self.file.constants[name]]).type

    def batches(
        self, groups: Sequence[int], names: Sequence[str]
    ) -> Iterator[list[pa.Array | None]]:
        """The columns `names` of some row groups, by and by; None for one that is not there."""
        there = [name for name in names if name in self._place]
        stored = [self._schema.field(self._place[name]).name for name in there]
        for batch in self._opened.iter_batches(_ROWS_AT_ONCE, list(groups), stored):
            own = dict(zip(stored, batch.columns, strict=True)) if stored else {}
            found = {name: _plain(own[text]) for name, text in zip(there, stored, strict=True)}
            yield [self._column(name, found, batch.num_rows) for name in names]

    def _column(self, name: str, found: dict[str, pa.Array], rows: int) -> pa.Array | None:
        if name in found:
            return found[name]
        if name not in self.file.constants:
            return None
        return pa.array([self.file.constants[name]] * rows)

    def times(self, group: int, time: TimeColumn) -> Int64:
        """ns since 1970 of a row group, in the file's order."""
        found = [
            self.moments(batch[0], time, group) for batch in self.batches([group], [time.name])
        ]
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def moments(self, column: pa.Array | None, time: TimeColumn, group: int) -> Int64:
        """ns since 1970 of a column of times.

        Raises:
            FieldwardenError: a row without a time, or one of another age.
        """
        if column is None:
            raise lake_error(
                self.file.path, f"no column {time.name!r}", "each file needs the column of times"
            )
        kind = column.type
        per_s = _PER_S[kind.unit] if pa.types.is_timestamp(kind) else 10**9 // COUNTS[time.unit]
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            cause = f"row {row + 1} of a part of row group {group} has no time"
            raise lake_error(self.file.path, cause, "give every row a time, or leave it out")
        counts = column.cast(pa.int64()).to_numpy()
        far = np.flatnonzero((counts < 0) | (counts >= END_S * per_s))
        if len(far):
            cause = f"a time in row group {group} is not between the years 1970 and 2199"
            raise lake_error(self.file.path, cause, "mend it, or leave the row out")
        made: Int64 = counts * (10**9 // per_s)
        return made


def _plain(column: pa.Array) -> pa.Array:
    kind = column.type
    return column.cast(kind.value_type) if pa.types.is_dictionary(kind) else column


def _places(lake: Lake, schema: pa.Schema) -> dict[str, int]:
    """Name, as the lake has it now, -> position in a file."""
    numbers = {
        int(one.metadata[b"PARQUET:field_id"]): at for at, one in enumerate(schema)
        if one.metadata and b"PARQUET:field_id" in one.metadata
    }  # fmt: skip
    if lake.ids and numbers:
        return {name: numbers[number] for name, number in lake.ids.items() if number in numbers}
    return {one.name: at for at, one in enumerate(schema)}


@contextmanager
def opened(lake: Lake, file: File) -> Iterator[Part]:
    """A file, for as long as it is read; that it was not written to is seen before and after.

    Raises:
        FieldwardenError: it can not be read, is no Parquet, or is not what was found.
    """
    where = lake.filesystem()
    _as_it_was(where, file)
    if not file.bytes:
        raise lake_error(file.path, "the file is empty: 0 bytes", "remove it, or write it anew")
    try:
        with where.open_input_file(file.path) as stream:
            found = parquet.ParquetFile(stream)
            names = found.schema_arrow.names
            if len(set(names)) < len(names):
                raise lake_error(file.path, "two columns have one name", "name each differently")
            yield Part(lake, file, found)
    except _FAULTS as error:
        _as_it_was(where, file)
        text = (str(error).splitlines() or [type(error).__name__])[0][:160]
        cause = f"no readable Parquet: {text}"
        raise lake_error(file.path, cause, "is it complete? write it anew, or remove it") from error
    _as_it_was(where, file)


def _as_it_was(where: fs.FileSystem, file: File) -> None:
    info: Any = where.get_file_info(file.path)
    if info.type == fs.FileType.NotFound:
        raise lake_error(
            file.path, "the file is not there, but was when the lake was looked through",
            "fit when nothing is moved in it; workers of a cluster need the lake at the same path",
        )
    if info.size != file.bytes or info.mtime_ns != file.changed_ns:
        raise lake_error(
            file.path, "the file has changed since the lake was looked through",
            "fit when nothing writes to it, or give a Delta or Iceberg table, which has versions",
        )
