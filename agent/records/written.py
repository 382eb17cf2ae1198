"""Tables as files: Parquet through pyarrow (the extra `parquet`), CSV by the standard library.

Written in parts, so that memory does not grow with the table; the same table gives the same bytes.
"""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from agent.errors import FieldwardenError
from agent.files import replacing

ENDINGS: Final = (".parquet", ".csv")

Columns = Mapping[str, Sequence[Any]]
"""One part of a table: name -> values, all of one length; times in ns since 1970-01-01 UTC."""


def write_table(path: Path, types: Mapping[str, str], parts: Iterable[Columns]) -> int:
    """Write a table, whole or not at all; how many rows.

    Args:
        path: its ending says the form.
        types: column -> ``time``, ``text``, ``number`` or ``count``.
        parts: in order.

    Raises:
        FieldwardenError: another ending, pyarrow is not installed, or it could not be written.
    """
    if path.suffix not in ENDINGS:
        raise FieldwardenError("writing", str(path), f"it ends in none of {', '.join(ENDINGS)}")
    write = _parquet if path.suffix == ".parquet" else _csv
    with replacing(path) as draft:
        return write(draft, types, parts)


def parquet_bytes(columns: Mapping[str, np.ndarray[Any, Any] | Sequence[Any]]) -> bytes:
    """A small table as the content of a Parquet file; needs pyarrow.

    Columns whose names end in ``time`` hold ns since 1970, UTC. Numbers stay what they are, texts
    are stored as a dictionary.
    """
    import pyarrow as pa  # noqa: PLC0415 only where it is installed
    from pyarrow import parquet  # noqa: PLC0415

    arrays = {}
    for name, values in columns.items():
        if name.endswith("time"):
            arrays[name] = pa.array(np.asarray(values, np.int64)).cast(pa.timestamp("ns", tz="UTC"))
        elif isinstance(values, np.ndarray):
            arrays[name] = pa.array(values)
        else:
            arrays[name] = pa.array(list(values), pa.string()).dictionary_encode()
    out = io.BytesIO()
    parquet.write_table(pa.table(arrays), out, compression="zstd")
    return out.getvalue()


def _parquet(path: Path, types: Mapping[str, str], parts: Iterable[Columns]) -> int:
    if importlib.util.find_spec("pyarrow") is None:
        raise FieldwardenError(
            "writing", str(path), "this needs pyarrow",
            "pip install 'fieldwarden[parquet]', or write a .csv",
        )
    import pyarrow as pa  # noqa: PLC0415 only where it is installed
    from pyarrow import parquet  # noqa: PLC0415

    kinds = {"time": pa.timestamp("ns", "UTC"), "text": pa.string(), "number": pa.float64(),
             "count": pa.int64()}  # fmt: skip
    schema = pa.schema([(name, kinds[kind]) for name, kind in types.items()])
    rows = 0
    with parquet.ParquetWriter(path, schema, compression="zstd") as file:
        for part in parts:
            table = pa.table({name: pa.array(part[name], schema.field(name).type)
                              for name in types}, schema)  # fmt: skip
            file.write_table(table)
            rows += table.num_rows
    return rows


def _csv(path: Path, types: Mapping[str, str], parts: Iterable[Columns]) -> int:
    rows = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(types)
        for part in parts:
            shown = [
                [_iso(value) for value in part[name]] if kind == "time" else part[name]
                for name, kind in types.items()
            ]
            for row in zip(*shown, strict=True):
                out.writerow(row)
                rows += 1
    return rows


def _iso(time_ns: int) -> str:
    """``2026-03-01T02:14:07.250000000Z``; no digit of the time is lost."""
    return f"{np.datetime64(int(time_ns), 'ns')}Z"
