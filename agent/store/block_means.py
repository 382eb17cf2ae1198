"""Block means: what the inputs of each model were in each window, kept for training a model anew.

One row a model and window, made of the summaries that the fold gives, so that they are there for
weeks after the journal's samples went. They have a share of the disk of their own: what is older
than `KEPT_NS` goes, and beyond the share the oldest; what a request needs (`pins`) goes last.

Times are of the clock of then; `Reader.block_means` moves them as the clock was set since.
"""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from agent.store.connection import share_of

LIMIT_BYTES: Final = 1_000_000_000
SHARE: Final = 0.1  # of the file system that they may take, where that is less
KEPT_NS: Final = 92 * 86_400 * 1_000_000_000
ROW_OVERHEAD: Final = 150  # bytes of a row and its index besides its blob
ROWS_AT_ONCE: Final = 500
UNITS_PER_SD: Final = 1024  # of the sums of a summary
_LEVEL: Final = 6


class BlockMeans:
    """The writer's side.

    Args:
        connection: the writer's.
        folder: of the store.
        limit_bytes: that they may take.
    """

    def __init__(
        self, connection: sqlite3.Connection, folder: Path, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self._connection = connection
        self._limit = min(limit_bytes, share_of(folder, SHARE))
        self._pins: Mapping[str, int] = {}

    def pin(self, pins: Mapping[str, int] | None) -> None:
        """From now on these must stay: model -> since when (ns)."""
        self._pins = self._pins if pins is None else dict(pins)

    def insert(self, summaries: Iterable[Mapping[str, Any]]) -> None:
        """Rows of windows that closed; those that are there already are left alone."""
        windows: dict[tuple[Any, ...], dict[str, Any]] = {}
        for one in summaries:
            if one.get("model") and one.get("good"):
                key = (one["model"], one["start_ns"], one["end_ns"],
                       str(one.get("baseline") or ""), one.get("entry") or 0)
                windows.setdefault(key, {})[str(one["tag"])] = block_of(one)
        for key, inputs in windows.items():
            text = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
            self._connection.execute(
                "INSERT OR IGNORE INTO block_mean (model, start_ns, end_ns, baseline, entry, data) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (*key, zlib.compress(text.encode(), _LEVEL)),
            )

    def trim(self) -> None:
        """Delete what is too old, and the oldest beyond the limit; some at a time."""
        (newest,) = self._connection.execute(
            "SELECT end_ns FROM block_mean ORDER BY id DESC LIMIT 1"
        ).fetchone() or (0,)
        free = " AND ".join("NOT (model = ? AND end_ns > ?)" for _ in self._pins) or "1"
        pinned = [value for pair in self._pins.items() for value in pair]
        self._delete(f"{free} AND end_ns < ?", [*pinned, newest - KEPT_NS], 0)
        for where, values in ((free, pinned), ("1", [])):
            if (over := self._bytes() - self._limit) > 0:
                self._delete(where, values, over)

    def _bytes(self) -> int:
        """What all rows take; SQLite knows the length of a blob without reading it."""
        query = f"SELECT ifnull(sum(length(data) + {ROW_OVERHEAD}), 0) FROM block_mean"  # noqa: S608
        return int(self._connection.execute(query).fetchone()[0])

    def _delete(self, where: str, values: list[Any], most_bytes: int) -> None:
        """The oldest rows of these: all that are looked at, or until so many bytes are free."""
        rows = self._connection.execute(
            f"SELECT id, length(data) FROM block_mean WHERE {where} "  # noqa: S608
            "ORDER BY id LIMIT ?",
            (*values, ROWS_AT_ONCE),
        ).fetchall()
        freed, gone = 0, []
        for row, size in rows:
            if most_bytes and freed >= most_bytes:
                break
            gone.append((row,))
            freed += size + ROW_OVERHEAD
        self._connection.executemany("DELETE FROM block_mean WHERE id = ?", gone)


def block_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of one input in one window: mean and standard deviation in its unit, how many
    good samples, the least and the largest, and how many lay in each bin of its baseline.
    """
    good, centre, scale = int(summary["good"]), summary["centre"], summary["scale"]
    off = summary["sum"] / good / UNITS_PER_SD
    spread = math.sqrt(max(summary["sum_sq"] / good / UNITS_PER_SD**2 - off * off, 0.0))
    ends = [
        None if summary[name] is None else centre + summary[name] / UNITS_PER_SD * scale
        for name in ("min", "max")
    ]
    return {
        "mean": centre + off * scale, "sd": spread * scale, "good": good,
        "min": ends[0], "max": ends[1], "bins": list(summary["histogram"]),
    }


def unpacked(data: bytes) -> dict[str, Any]:
    """The inputs of a row; empty where the disk damaged it."""
    try:
        inputs = json.loads(zlib.decompress(data))
    except (zlib.error, ValueError):
        return {}
    return inputs if isinstance(inputs, dict) else {}
