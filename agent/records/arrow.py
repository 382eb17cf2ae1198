"""Recorded data through pyarrow: Parquet, and CSV where it is plain enough. The only user of it.

Import this late and only where pyarrow is installed (the extra `parquet`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from agent.decode.columns import Dictionary
from agent.records.cells import (
    MISSING,
    Raw,
    column_of,
    data_error,
    wanted_columns,
)
from agent.records.delimited import Layout, find_time
from agent.records.times import END_S, CellError, Reading, time_formats
from agent.types import Float64, Int64

_SAMPLE_ROWS = 400
_ROWS_AT_ONCE = 65_536


def read_csv(
    file: Path, layout: Layout, wanted: list[int], settle: Callable[[Int64, bool], Int64]
) -> Raw | None:
    """The fast way; None where pyarrow does not understand everything."""
    places = [f"c{index}" for index in range(layout.cells)]
    time, columns = places[layout.time], [places[index] for index in wanted]
    missing = MISSING | {token.upper() for token in MISSING} | {token.title() for token in MISSING}
    try:
        table = arrow_csv.read_csv(
            file,
            read_options=arrow_csv.ReadOptions(
                column_names=places, skip_rows=layout.head,
                encoding=layout.encoding.removesuffix("-sig"),
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=layout.separator),
            convert_options=arrow_csv.ConvertOptions(
                column_types={time: pa.string()} | dict.fromkeys(columns, pa.float64()),
                include_columns=[time, *columns],
                null_values=sorted(missing | {"NaN"}),
                strings_can_be_null=False,
                decimal_point=layout.decimal or ".",
            ),
        )  # fmt: skip
        layout.time_format.add([cell.strip() for cell in table.column(0).to_pylist()])
        times = settle(*layout.time_format.finish())
    except (pa.ArrowException, UnicodeError, CellError):
        return None
    arrays = [_floats(table.column(index + 1)) for index in range(len(wanted))]
    values = np.column_stack(arrays) if arrays else np.empty((table.num_rows, 0))
    if np.isinf(values).any():
        return None
    return Raw(times, [layout.names[index] for index in wanted], values, [])


def _floats(column: Any) -> Float64:
    values: Float64 = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def read_parquet(
    file: Path, columns: Sequence[str] | None, how: Reading, settle: Callable[[Int64, bool], Int64],
    *, lenient: bool, skip_text: bool, texts: Collection[str], dictionary: Dictionary,
) -> Raw:  # fmt: skip
    """Read a Parquet file; see `agent.records.table.read_table`."""
    try:
        opened = parquet.ParquetFile(file)
        names = [str(name) for name in opened.schema_arrow.names]
        time, kind = _time_column(file, opened, names, how)
        wanted = wanted_columns(file, names, time, columns, lenient=lenient)
        table = parquet.read_table(file, columns=[names[time], *(names[at] for at in wanted)])
        times = settle(*_times(file, table.column(names[time]), kind, how))
        raw = Raw(times, [], np.empty((len(times), 0)), [])
        arrays = []
        for name in (names[at] for at in wanted):
            array, fault, note = _column(name, table.column(name), texts, dictionary)
            if fault and not skip_text:
                raise data_error(file, fault, "mend it, or leave the column out of the model")
            raw.notes.extend([f"left out: {fault}"] if fault else [note] if note else [])
            if array is not None:
                raw.names.append(name)
                arrays.append(array)
    except CellError as error:
        cause = f"row {error.position + 1}, column {names[time]!r}: {error.cause}"
        raise data_error(file, cause, error.hint) from error
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise data_error(file, f"no readable Parquet: {error}", "is it complete?") from error
    values = np.column_stack(arrays) if arrays else np.empty((len(times), 0))
    return Raw(times, raw.names, values, raw.notes)


def _time_column(
    file: Path, opened: Any, names: list[str], how: Reading
) -> tuple[int, int | None]:
    """(position, which of `time_formats` it has; None for a column of time stamps)."""
    if len(names) < 2:
        raise data_error(file, "one column only", "the first column is time, each other a tag")
    if len(set(names)) < len(names):
        raise data_error(file, "two columns have one name", "name every column differently")
    types = [field.type for field in opened.schema_arrow]
    stamps = [at for at, kind in enumerate(types) if pa.types.is_timestamp(kind)]
    if how.time_column:
        stamps = [at for at in stamps if names[at] == how.time_column]
    if stamps:
        return stamps[0], None
    batch = next(opened.iter_batches(batch_size=_SAMPLE_ROWS), None)
    cells = [[_text(cell) for cell in column.to_pylist()] for column in (batch or ())]
    body = list(zip(*cells, strict=True))
    return find_time(file, names, body, how, body[0] if body else [""] * len(names))


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def _times(file: Path, column: Any, kind: int | None, how: Reading) -> tuple[Int64, bool]:
    if column.null_count:
        missing = column.is_null().to_pylist().index(True)
        raise data_error(file, f"row {missing + 1} has no time", "every row needs one")
    if kind is None:
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
        counts = column.cast(pa.int64()).to_numpy().astype(np.int64)
        far = np.flatnonzero((counts < 0) | (counts >= END_S * per_second))
        if len(far):
            raise CellError(int(far[0]), "it is not between the years 1970 and 2199")
        return counts * (10**9 // per_second), column.type.tz is not None
    form = time_formats(how)[kind]()
    for start in range(0, len(column), _ROWS_AT_ONCE):
        form.add([_text(cell) for cell in column.slice(start, _ROWS_AT_ONCE).to_pylist()])
    return form.finish()


def _column(
    name: str, column: Any, texts: Collection[str], dictionary: Dictionary
) -> tuple[Float64 | None, str, str]:
    """(values or None, why there are none, note) of one column."""
    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not is_text and name not in texts:
        try:
            array = _floats(column.cast(pa.float64(), safe=False))
        except (pa.ArrowException, ValueError):
            return None, f"column {name!r} is of type {column.type}, no number", ""
        infinite = np.flatnonzero(np.isinf(array))
        fault = f"column {name!r}, row {infinite[0] + 1}: infinite" if len(infinite) else ""
        return (None if fault else array), fault, ""
    made = column_of(name, texts, dictionary, ".", "row")
    for start in range(0, len(column), _ROWS_AT_ONCE):
        cells = [_text(cell) for cell in column.slice(start, _ROWS_AT_ONCE).to_pylist()]
        made.add(cells, range(start + 1, start + 1 + len(cells)))
    return (None if made.fault else made.values()), made.fault, made.note
