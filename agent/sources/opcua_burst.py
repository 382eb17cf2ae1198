"""OPC UA: which samples of the burst after a silence are late.

A server or a link that was frozen delivers at once what was kept. Values of now are of now; those
that were measured while nobody could hear them are late, which says nothing of the sensor.
"""

from __future__ import annotations

import numpy as np

from agent.decode.columns import Samples
from agent.types import Int64, Quality

_LEAST_SILENCE_S = 1.0
_SILENT_PUBLISHES = 3.0  # publishing intervals without a response are a silence
_BURST_S = 1.0  # what comes within this after a silence belongs to its burst
_UNKNOWN = np.iinfo(np.int64).min // 2


class Bursts:
    """Marks late samples as `REPLAYED`.

    The clocks of server and agent may differ by anything: a tag's sample is late by comparison
    with the least delay that the tag had.

    Args:
        publishing_s: of the subscription; with changing values a response comes so often.
    """

    def __init__(self, publishing_s: float) -> None:
        self._limit_s = max(_LEAST_SILENCE_S, _SILENT_PUBLISHES * publishing_s)
        self._until_s = self._now_s = 0.0
        self._ahead: Int64 = np.empty(0, np.int64)  # most by which a tag's times led our clock, ns

    def heard(self, now_s: float, silence_s: float) -> None:
        """A publish response came, so long after the one before it; monotonic seconds."""
        self._now_s = now_s
        if silence_s > self._limit_s:
            self._until_s = now_s + _BURST_S

    def mark(self, samples: Samples) -> None:
        """Set the bit, in place, on what is late in a burst; other samples only teach delays."""
        if not len(samples):
            return
        is_timed = samples.source_ns > 0
        ahead = samples.source_ns - int(self._now_s * 1e9)
        self._grow(int(samples.tag.max()) + 1)
        if self._now_s <= self._until_s:
            late = is_timed & (self._ahead[samples.tag] - ahead > int(self._limit_s * 1e9))
            # Without a time of its own, a value is late where a newer one came with it.
            newest = {int(tag): place for place, tag in enumerate(samples.tag)}
            is_newest = np.zeros(len(samples), np.bool_)
            is_newest[np.array(list(newest.values()), np.intp)] = True
            samples.quality[late | (~is_timed & ~is_newest)] |= int(Quality.REPLAYED)
        np.maximum.at(self._ahead, samples.tag[is_timed], ahead[is_timed])

    def _grow(self, size: int) -> None:
        if size > len(self._ahead):
            more = np.full(size - len(self._ahead), _UNKNOWN, np.int64)
            self._ahead = np.concatenate([self._ahead, more])
