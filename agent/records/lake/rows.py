"""The rows of a span of time, out of all files that have some: in order, each time once.

What the files are makes no difference to it. Rows of one time are joined, cell by cell: what is
told once or told alike stands; of what is told differently nothing can be said, for files have no
order, and it is taken as missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from agent.records.lake.found import Lake, lake_error
from agent.records.lake.parts import opened
from agent.records.lake.survey import Schema, Survey
from agent.types import Int64

_TIME = "\0time"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in order of time.

    Attributes:
        time_ns: int64[n], increasing.
        columns: the columns asked for, each of n cells.
        joined: rows that had the time of another one and were joined to it.
        clashes: cells that were told differently.
    """

    time_ns: Int64
    columns: dict[str, pl.Series]
    joined: int
    clashes: int


def rows_of(
    lake: Lake, schema: Schema, survey: Survey, names: Sequence[str], span: tuple[int, int], *,
    join: bool = True,
) -> Rows:  # fmt: skip
    """The rows of [start, stop) ns.

    Args:
        lake: its files.
        schema: of all of them.
        survey: which row groups to read.
        names: columns, none of them the time's.
        span: start and stop.
        join: rows of one time; else they follow each other in any order.

    Raises:
        FieldwardenError: a file can not be read, or a column has no one type.
    """
    for name in names:
        if name in schema.clashes:
            cause = f"column {name!r} is {schema.clashes[name]}"
            raise lake_error(lake.data, cause, "write it alike in all of them, or leave it out")
    start, stop = span
    times: list[Int64] = []
    found: dict[str, list[pa.Array]] = {name: [] for name in names}
    for file, groups in survey.within(start, stop).items():
        with opened(lake, lake.files[file]) as part:
            for batch in part.batches(groups, [schema.time.name, *names]):
                own = part.moments(batch[0], schema.time, groups[0])
                kept = np.flatnonzero((own >= start) & (own < stop))
                if not len(kept):
                    continue
                times.append(own[kept])
                for name, column in zip(names, batch[1:], strict=True):
                    found[name].append(_cells(column, schema.kinds[name], kept, len(own)))
    time_ns = np.concatenate(times) if times else np.empty(0, np.int64)
    columns = {name: _series(name, parts, schema.kinds[name]) for name, parts in found.items()}
    return _in_order(time_ns, columns, join=join)


def _cells(
    column: pa.Array | None, kind: pa.DataType | None, kept: Int64, rows: int
) -> pa.Array:  # fmt: skip
    if column is None or pa.types.is_null(column.type):
        return pa.nulls(len(kept), kind)
    own = column if len(kept) == rows else column.take(pa.array(kept))
    return own if own.type == kind else own.cast(kind, safe=False)


def _series(name: str, parts: Sequence[pa.Array], kind: pa.DataType | None) -> pl.Series:
    made = pl.Series(name, pa.chunked_array(parts, kind))
    return made.str.strip_chars() if made.dtype == pl.String else made


def _in_order(time_ns: Int64, columns: dict[str, pl.Series], *, join: bool) -> Rows:
    frame = pl.DataFrame([pl.Series(_TIME, time_ns), *columns.values()])
    if len(time_ns) and (np.diff(time_ns) <= 0).any():
        frame = frame.sort(_TIME)
        time_ns = frame[_TIME].to_numpy()
    again = np.diff(time_ns) == 0
    clashes = 0
    if join and again.any():
        of_many = np.append(again, False) | np.append(False, again)
        many = frame.filter(pl.Series(of_many))
        clashes, one_each = _joined(many, list(columns))
        frame = pl.concat([frame.filter(pl.Series(~of_many)), one_each]).sort(_TIME)
    return Rows(
        frame[_TIME].to_numpy(), {name: frame[name] for name in columns},
        int(np.count_nonzero(again)) if join else 0, clashes,
    )  # fmt: skip


def _joined(many: pl.DataFrame, names: Sequence[str]) -> tuple[int, pl.DataFrame]:
    """(cells told differently, one row of each time)."""
    told = {
        name: pl.col(name).drop_nulls() if many[name].dtype not in {pl.Float32, pl.Float64}
        else (pl.col(name).drop_nulls().drop_nans() + 0.0)  # -0 is 0
        for name in names
    }  # fmt: skip
    grouped = many.group_by(_TIME).agg(
        *(own.n_unique().alias(f"\0{at}") for at, own in enumerate(told.values())),
        *(own.max().alias(name) for name, own in told.items()),
    )
    counts = [grouped[f"\0{at}"] for at in range(len(names))]
    made = [
        grouped[name].zip_with(count <= 1, pl.Series([None], dtype=grouped[name].dtype))
        for name, count in zip(names, counts, strict=True)
    ]
    clashes = sum(int((count > 1).sum()) for count in counts)
    return clashes, pl.DataFrame([grouped[_TIME], *made])
