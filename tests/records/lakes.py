"""Records as lakes: the same rows in any files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

BEGIN_NS = 1_767_225_600 * 10**9
SECOND = 10**9


def record(rows: int = 3000, *, seed: int = 0) -> pa.Table:
    """Three tags a second: one quantised, one with holes, one of whole numbers."""
    rng = np.random.default_rng(seed)
    times = BEGIN_NS + np.arange(rows, dtype=np.int64) * SECOND
    flow = np.round(50.0 + np.cumsum(rng.normal(size=rows)) / 30.0 + rng.normal(size=rows), 2)
    level = flow / 2.0 + rng.normal(size=rows)
    level[rng.random(rows) < 0.02] = np.nan
    return pa.table({
        "time": pa.array(times).cast(pa.timestamp("ns", "UTC")), "flow": flow, "level": level,
        "count": pa.array(rng.poisson(40, rows)),
    })  # fmt: skip


def write(table: pa.Table, file: Path, rows: int = 1000) -> Path:
    """One file, with so many rows in a row group."""
    file.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, file, row_group_size=rows)
    return file
