"""Recorded data through pyarrow: Parquet, and CSV where it is plain enough. The only user of it.

Import this late and only where pyarrow is installed (the extra `parquet`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet

from agent.records.cells import (
    MISSING,
    Dialect,
    Raw,
    data_error,
    numbers,
    scaled_ns,
    times_ns,
    wanted_columns,
)
from agent.types import Float64, Int64


def read_csv(file: Path, dialect: Dialect, wanted: list[int]) -> Raw | None:
    """The fast way; None where pyarrow does not understand everything."""
    names = [f"c{index}" for index in range(len(dialect.names))]
    try:
        table = arrow_csv.read_csv(
            file,
            read_options=arrow_csv.ReadOptions(
                column_names=names, skip_rows=1, encoding=dialect.encoding.removesuffix("-sig")
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=dialect.separator),
            convert_options=arrow_csv.ConvertOptions(
                column_types={"c0": pa.string()} | {names[index]: pa.float64() for index in wanted},
                include_columns=["c0", *(names[index] for index in wanted)],
                null_values=sorted(MISSING | {token.upper() for token in MISSING} | {"NaN"}),
                strings_can_be_null=False,
                decimal_point=dialect.decimal,
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    columns = [_arrow_floats(table.column(index + 1)) for index in range(len(wanted))]
    values = np.column_stack(columns) if columns else np.empty((table.num_rows, 0))
    if np.isinf(values).any():
        return None
    times = times_ns(file, table.column(0).to_pylist(), decimal=dialect.decimal)
    return times, [dialect.names[index] for index in wanted], values, []


def _arrow_floats(column: Any) -> Float64:
    values: Float64 = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def read_parquet(file: Path, columns: Sequence[str] | None, text: str) -> Raw:
    """Read a Parquet file; see `agent.records.table.read_table`."""
    try:
        schema = parquet.read_schema(file)
        names = list(schema.names)
        time_name = _time_column(schema)
        names.remove(time_name)
        names.insert(0, time_name)
        if len(names) < 2:
            raise data_error(file, "one column only", "the first column is time, each other a tag")
        wanted = [names[index] for index in wanted_columns(file, names, columns)]
        table = parquet.read_table(file, columns=[time_name, *wanted])
    except (pa.ArrowException, OSError, IndexError) as error:
        raise data_error(file, f"no readable Parquet: {error}", "is it complete?") from error
    times = _arrow_times(file, table.column(time_name))
    kept, arrays, notes = [], [], []
    for name in wanted:
        column = table.column(name)
        if isinstance(column.type, pa.DictionaryType):
            column = column.cast(column.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            found = numbers([cell or "" for cell in column.to_pylist()], ".")
            if isinstance(found, int):
                cause = f"column {name!r}, row {found + 1}: {column[found].as_py()!r} is no number"
                if text == "error":
                    raise data_error(file, cause, "mend the cell, or leave the column out")
                notes.append(f"left out: {cause}")
                continue
            array = found
        else:
            array = _parquet_floats(file, name, column)
        kept.append(name)
        arrays.append(array)
    values = np.column_stack(arrays) if arrays else np.empty((len(times), 0))
    return times, kept, values, notes


def _parquet_floats(file: Path, name: str, column: Any) -> Float64:
    try:
        array = _arrow_floats(column.cast(pa.float64(), safe=False))
    except (pa.ArrowException, ValueError) as error:
        cause = f"column {name!r} is of type {column.type}, no number"
        raise data_error(file, cause, "leave it out, or convert it") from error
    infinite = np.flatnonzero(np.isinf(array))
    if len(infinite):
        cause = f"column {name!r}, row {infinite[0] + 1}: infinite"
        raise data_error(file, cause, "missing values are null or NaN")
    return array


def _time_column(schema: Any) -> str:
    """The first column, unless only another one (pandas writes its index last) holds times."""
    stamps = [item.name for item in schema if pa.types.is_timestamp(item.type)]
    return str(stamps[0] if stamps and schema.names[0] not in stamps else schema.names[0])


def _arrow_times(file: Path, column: Any) -> Int64:
    if column.null_count:
        missing = column.is_null().to_pylist().index(True)
        raise data_error(file, f"row {missing + 1} has no time", "every row needs one")
    if pa.types.is_timestamp(column.type):
        stamps = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
        times: Int64 = stamps.to_numpy().astype(np.int64)
        return times
    if pa.types.is_integer(column.type):
        whole = column.to_numpy().astype(np.int64)
        return scaled_ns(whole, np.zeros(len(whole)))
    if pa.types.is_floating(column.type):
        floats = column.to_numpy()
        whole = np.floor(floats).astype(np.int64)
        return scaled_ns(whole, floats - whole)
    return times_ns(file, [str(cell) for cell in column.to_pylist()])
