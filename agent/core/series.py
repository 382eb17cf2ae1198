"""Block -> tag-major columns: the layout every kernel folds (one contiguous run per tag)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.core.kernels.arrange import arrange
from agent.core.spec import TagSpec
from agent.types import NO_NEWS, Block, Float64, Int64, Quality, UInt16


@dataclass(frozen=True, slots=True)
class Series:
    """Samples of some rows, row by row: row i owns `starts[i]:starts[i + 1]`, in arrival order."""

    starts: Int64
    arrival: Int64
    source: Int64
    value: Float64
    quality: UInt16

    def until(self, row: int, time_ns: int) -> Float64:
        """The values of one row that had arrived by `time_ns`."""
        start, stop = self.starts[row], self.starts[row + 1]
        count = int(np.searchsorted(self.arrival[start:stop], time_ns, side="right"))
        return self.value[start : start + count]


class TagMajor:
    """Sorts blocks by tag and sets the quality bits that only the engine can know."""

    def __init__(self, tags: tuple[TagSpec, ...]) -> None:
        highest = max((tag.index for tag in tags), default=0)
        self._row_of = np.full(highest + 1, -1, np.int64)
        self._low = np.full(len(tags), -np.inf)
        self._high = np.full(len(tags), np.inf)
        for row, tag in enumerate(tags):
            self._row_of[tag.index] = row
            if tag.physical is not None:
                self._low[row], self._high[row] = tag.physical
        self._rows = len(tags)

    def arrange(self, block: Block) -> Series:
        """The block's samples tag by tag; samples of unknown tags are left out."""
        n = len(block)
        starts = np.zeros(self._rows + 2, np.int64)
        arrival, source = np.empty(n, np.int64), np.empty(n, np.int64)
        value, quality = np.empty(n), np.empty(n, np.uint16)
        kept = arrange(
            self._row_of, self._low, self._high,
            np.ascontiguousarray(block.tag, np.int32),
            np.ascontiguousarray(block.arrival_ns, np.int64),
            np.ascontiguousarray(block.source_ns, np.int64),
            np.ascontiguousarray(block.value, np.float64),
            np.ascontiguousarray(block.quality, np.uint16),
            starts, arrival, source, value, quality,
        )  # fmt: skip
        return Series(starts[:-1], arrival[:kept], source[:kept], value[:kept], quality[:kept])


def empty_series(rows: int) -> Series:
    """No samples at all, for `rows` rows: what a tick carries."""
    nothing = np.zeros(0, np.int64)
    return Series(
        np.zeros(rows + 1, np.int64), nothing, nothing, np.zeros(0), np.zeros(0, np.uint16)
    )


def news(series: Series, source_of_row: Int64, sources: int) -> tuple[Int64, Int64]:
    """When each source brought news: (starts int64[sources + 1], times int64[n], each's rising).

    What tells of a loss, and what came late or again, is no sign that the source is there now.

    Args:
        series: tag by tag.
        source_of_row: int64[tags].
        sources: how many there are.
    """
    source = np.repeat(source_of_row, np.diff(series.starts))
    fresh = (series.quality & _NOT_THERE) == 0
    source, time = source[fresh], series.arrival[fresh]
    order = np.lexsort((time, source))
    return np.searchsorted(source[order], np.arange(sources + 1)).astype(np.int64), time[order]


_NOT_THERE = np.uint16(Quality.COMMUNICATION_LOST) | NO_NEWS
_NO_VALUE = np.uint16(
    Quality.BAD | Quality.COMMUNICATION_LOST | Quality.REPLAYED | Quality.CONTRACT_BROKEN
    | Quality.MASKED
)


def without_lost(series: Series) -> Series:
    """For looking back: what a device called bad, what came late, and what is held or masked, is no
    value of its time.
    """
    lost = (series.quality & _NO_VALUE) != 0
    if not lost.any():
        return series
    value = np.where(lost, np.nan, series.value)
    return Series(series.starts, series.arrival, series.source, value, series.quality)
