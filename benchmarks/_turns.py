"""The agent with each turn of its loop measured: `python benchmarks/_turns.py FILE run CONFIG`.

A turn is what a loop does between two waits: all that is due. Whoever is due meanwhile waits for
its end, so the turns tell how late a loop is (`lag_p99_ms`). On a machine that others use, most of
a turn's length is no work of the agent: its thread waits for a core, or another thread that has the
interpreter does. What does not depend on others is CPU, and the lag without them lies between

- `own_lag_p99_ms`: turns as long as the CPU that the loop's thread took in them, and
- `most_lag_p99_ms`: as long as the CPU of all threads meanwhile, as if the loop waited for each.

FILE gets 40 bytes for each turn: begin (monotonic clock), length, CPU of the thread, CPU of the
process, and what the thread waited for a core (proc(5), schedstat); int64, ns.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_ROW = struct.Struct("5q")
_LATE_SHARE = 0.01
_FLUSHED_NS = 1_000_000_000


class Recorder:
    """Writes down the turns of this thread's loop."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        task = threading.get_native_id()
        self._schedule = os.open(f"/proc/self/task/{task}/schedstat", os.O_RDONLY)
        self._thread = threading.get_ident()
        self._begun = 0, 0, 0, 0
        self._flushed = 0

    def close(self) -> None:
        """Nothing is written from here on."""
        self._thread = 0
        self._file.close()

    def _waited_ns(self) -> int:
        return int(os.pread(self._schedule, 64, 0).split()[1])

    def begin(self) -> None:
        """The loop has been waked up."""
        if threading.get_ident() == self._thread:
            self._begun = (
                self._waited_ns(), time.monotonic_ns(), time.process_time_ns(),
                time.thread_time_ns(),
            )  # fmt: skip

    def end(self) -> None:
        """It is about to wait again."""
        if threading.get_ident() != self._thread or not self._begun[1]:
            return
        own, everyone, now = time.thread_time_ns(), time.process_time_ns(), time.monotonic_ns()
        waited, begun, everyone_begun, own_begun = self._begun
        self._file.write(_ROW.pack(
            begun, now - begun, own - own_begun, everyone - everyone_begun,
            self._waited_ns() - waited,
        ))  # fmt: skip
        self._begun = 0, 0, 0, 0
        if now - self._flushed > _FLUSHED_NS:
            self._file.flush()
            self._flushed = now


def record(file: Path) -> Recorder:
    """From here on, of every loop of this thread."""
    recorder = Recorder(file.open("ab"))
    kind: Any = asyncio.SelectorEventLoop
    turn, events = kind._run_once, kind._process_events

    def _process_events(self: Any, found: Any) -> Any:
        recorder.begin()  # the wait of this turn is over
        return events(self, found)

    def _run_once(self: Any) -> None:
        turn(self)
        recorder.end()

    kind._process_events, kind._run_once = _process_events, _run_once
    return recorder


class Turns:
    """Those of a stretch of time.

    Args:
        rows: int64[n, 5], as they are written.
        span_ns: how long the stretch was.
    """

    def __init__(self, rows: np.ndarray, span_ns: int) -> None:
        self.length, self.own, self.most, self.waited = rows[:, 1:].T / 1e6
        self._span_ms = span_ns / 1e6

    @staticmethod
    def within(file: Path, spans: list[tuple[int, int]]) -> Turns:
        """Of spans of the monotonic clock; half a row at the end is left out."""
        data = file.read_bytes()
        numbers = np.frombuffer(data[: len(data) // _ROW.size * _ROW.size], np.int64)
        rows = numbers.reshape(-1, _ROW.size // 8)
        inside = np.zeros(len(rows), np.bool_)
        for start, stop in spans:
            inside |= (rows[:, 0] >= start) & (rows[:, 0] < stop)
        return Turns(rows[inside], sum(stop - start for start, stop in spans))

    def told(self) -> dict[str, float]:
        """Lags and longest turns in ms; shares of the time."""
        return {
            "lag_p99_ms": _late(self.length, self._span_ms),
            "own_lag_p99_ms": _late(self.own, self._span_ms),
            "most_lag_p99_ms": _late(self.most, self._span_ms),
            "turn_max_ms": round(float(self.length.max(initial=0.0)), 2),
            "own_turn_max_ms": round(float(self.own.max(initial=0.0)), 2),
            "busy": round(float(self.own.sum()) / self._span_ms, 4),
            "waited_for_a_core": round(float(self.waited.sum()) / self._span_ms, 4),
            "turns": len(self.own), "seconds": round(self._span_ms / 1e3, 1),
        }  # fmt: skip


def _late(lengths: np.ndarray, span_ms: float) -> float:
    """What is passed by the lag of a hundredth of all moments at which something may be due.

    Of one that is due within a turn the lag is what is left of it.
    """
    low, high = 0.0, float(lengths.max(initial=0.0))
    for _ in range(50):
        middle = (low + high) / 2.0
        if float(np.maximum(lengths - middle, 0.0).sum()) > _LATE_SHARE * span_ms:
            low = middle
        else:
            high = middle
    return round(high, 2)


if __name__ == "__main__":
    atexit.register(record(Path(sys.argv.pop(1))).close)
    from agent.cli import main

    main()
