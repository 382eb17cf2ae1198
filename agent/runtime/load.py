"""The agent's own load: event loop lag, memory, CPU; measured, never judged by."""

from __future__ import annotations

import asyncio
import resource
from collections import deque
from typing import Any

import numpy as np

from agent.clock import monotonic_ns

_EVERY_S = 0.1
_KEPT = 600  # the last minute


class LoadMeter:
    """Measures how late the loop wakes up; reports the last minute."""

    def __init__(self) -> None:
        self._lags_ms: deque[float] = deque(maxlen=_KEPT)
        self._cpu: deque[tuple[int, float]] = deque(maxlen=_KEPT)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            before = monotonic_ns()
            await asyncio.sleep(_EVERY_S)
            after = monotonic_ns()
            self._lags_ms.append(max(0.0, (after - before) / 1e6 - _EVERY_S * 1e3))
            usage = resource.getrusage(resource.RUSAGE_SELF)
            self._cpu.append((after, usage.ru_utime + usage.ru_stime))

    def report(self) -> dict[str, Any]:
        """`loop_lag_p99_ms`, `rss_mb` (peak) and `cpu_percent` of one core."""
        lag = float(np.percentile(self._lags_ms, 99)) if self._lags_ms else 0.0
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        percent = 0.0
        if len(self._cpu) > 1:
            (first_ns, first), (last_ns, last) = self._cpu[0], self._cpu[-1]
            percent = 100.0 * (last - first) / ((last_ns - first_ns) / 1e9)
        return {
            "loop_lag_p99_ms": round(lag, 3), "rss_mb": round(peak, 1),
            "cpu_percent": round(percent, 2),
        }
