"""How long reading a large record takes, and how much memory: 20 tags, a row a second.

    python benchmarks/bench_records.py [--gb 0.2] [--file FILE] [--reader records|polars|duckdb]

Writes a CSV of so many GB (or takes FILE), reads it in a process of its own and prints one JSON
line: seconds, GB at the peak (resident), GB of the resulting table. `records` is what `fit` does;
`polars` and `duckdb` only turn every cell into a number, with dialect and heading told. Decision
6 has the figures for 2 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

import numpy as np

TAGS, BLOCK = 20, 100_000
NAMES = [f"TI{tag:03}" for tag in range(TAGS)]


def write(path: Path, size: int) -> None:
    values = np.random.default_rng(0).normal(50.0, 5.0, (BLOCK, TAGS))
    body = [",".join(f"{value:.4f}" for value in row) for row in values]
    start, done = np.datetime64("2025-01-01T00:00:00"), 0
    with path.open("w", encoding="utf-8") as file:
        file.write(f"time,{','.join(NAMES)}\n")
        while file.tell() < size:
            stamps = np.datetime_as_string(start + np.arange(done, done + BLOCK).astype("m8[s]"))
            rows = zip(stamps, body, strict=True)
            file.write("".join(f"{s.replace('T', ' ')},{cells}\n" for s, cells in rows))
            done += BLOCK


def read(path: Path, reader: str) -> int:
    """Bytes of the values read."""
    if reader == "records":
        from agent.records.table import read_table

        return read_table(path).values.nbytes
    if reader == "polars":
        import polars as pl

        frame = pl.scan_csv(path, infer_schema=False).select(
            pl.col("time").str.to_datetime(), pl.col(NAMES).cast(pl.Float64, strict=False)
        )
        return int(frame.collect(engine="streaming").select(NAMES).to_numpy().nbytes)
    import duckdb

    cells = ", ".join(f'try_cast("{name}" as double) as "{name}"' for name in NAMES)
    source = f"read_csv('{path}', header=true, delim=',', all_varchar=true)"
    columns = duckdb.sql(f"select try_cast(time as timestamp), {cells} from {source}").fetchnumpy()
    return int(sum(columns[name].nbytes for name in NAMES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=0.2)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--reader", choices=["records", "polars", "duckdb"], default="records")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    said = parser.parse_args()
    if said.measure:
        began = monotonic()
        table = read(said.file, said.reader)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({
            "bench": "records", "reader": said.reader,
            "file_gb": round(said.file.stat().st_size / 1e9, 2),
            "seconds": round(monotonic() - began, 1), "peak_gb": round(peak / 1e9, 2),
            "table_gb": round(table / 1e9, 2),
        }))  # fmt: skip
        return
    with tempfile.TemporaryDirectory() as folder:
        path = said.file or Path(folder) / "record.csv"
        if said.file is None:
            write(path, int(said.gb * 1e9))
        words = ["--measure", "--file", str(path), "--reader", said.reader]
        subprocess.run([sys.executable, __file__, *words], check=True)


if __name__ == "__main__":
    main()
