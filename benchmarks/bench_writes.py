"""What an agent's store writes to the disk: 1,000 tags at 1 Hz, as the pump commits them.

    python benchmarks/bench_writes.py [--folder FOLDER] [--seconds 60] [--decimals 4]

Prints one JSON line: bytes a sample in the journal, bytes written to the disk (`write_bytes` of
/proc/self/io, so the folder must be on a disk and not in memory) and GB a day at that rate. A
second of the plant takes as long as the commit does, so a minute of it is measured in some seconds;
documents and snapshots come as often as in service, in engine time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from agent.runtime.backlog import Backlog
from agent.store import Batch, Store
from agent.types import Block

SECOND = 1_000_000_000
TAGS = 1_000
DOCUMENT_S, SNAPSHOT_S = 5, 180
START = 1_700_000_000 * SECOND


def written() -> int:
    """Bytes that this process caused to be written to a disk so far."""
    os.sync()
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def document(values: np.ndarray[Any, Any], now: int) -> dict[str, Any]:
    """As large as the status document of so many tags."""
    tags = [
        {"name": f"area{i % 20}.unit{i}.value", "source": f"source{i % 5}", "unit": "degC",
         "role": "input", "value": float(value), "arrival_ns": now, "source_ns": now - 5_000_000,
         "quality": 0, "quality_names": ["good"], "history": []}
        for i, value in enumerate(values)
    ]  # fmt: skip
    return {"schema": 1, "time_ns": now, "tags": tags}


async def measure(folder: Path, seconds: int, decimals: int | None) -> dict[str, Any]:
    """Commit `seconds` of a plant; what it cost."""
    rng = np.random.default_rng(1)
    level, tag = rng.normal(50.0, 20.0, TAGS), np.arange(TAGS, dtype=np.int32)
    state = rng.bytes(300_000)
    store = Store.open(folder / "bench.db", journal_limit_bytes=10**9, outbox_limit_bytes=10**8)
    backlog, stored = Backlog(), 0
    before = written()
    for second in range(1, seconds + 1):
        now = START + second * SECOND
        value = level + rng.normal(0.0, 1.0, TAGS)
        if decimals is not None:
            value = np.round(value, decimals)
        arrival = np.full(TAGS, now - 1)
        batch = Batch(entries=[Block(second, now, tag, arrival - 5_000_000, arrival, value,
                                     np.zeros(TAGS, np.uint16))])  # fmt: skip
        if second % DOCUMENT_S == 0:
            batch.documents["status"] = document(value, now)
        if second % SNAPSHOT_S == 0:
            batch.snapshot = (second, state)
        backlog.add(batch)
        if backlog.due:
            await store.commit(backlog.begin())
            backlog.committed()
    stored = store.journal_bytes
    await store.close()
    total = written() - before
    return {
        "suite": "writes", "tags": TAGS, "seconds": seconds, "decimals": decimals,
        "bytes_per_sample": round(stored / (TAGS * seconds), 2),
        "written_mb": round(total / 1e6, 2),
        "gb_per_day": round(total / seconds * 86_400 / 1e9, 2),
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--seconds", type=int, default=360)
    parser.add_argument("--decimals", type=int, nargs="*", default=[2, 4, -1])
    arguments = parser.parse_args()
    for decimals in arguments.decimals:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            places = decimals if decimals >= 0 else None
            print(json.dumps(asyncio.run(measure(Path(folder), arguments.seconds, places))))


if __name__ == "__main__":
    main()
