"""Where every edge's samples become one ordered sequence of blocks and commands.

Invariants:
- each call of `append` or `command`, and each seal, gets an engine time of its own that is later
  than every one before it. So a block's arrival times are < its `sealed_ns`, and those of the
  next block are later than that; a cut never falls between samples of one time. Only where the
  wall clock was set does time step, at a ``clock`` command at its place among the samples.
- entries leave in the order in which they came; a block is cut before each command.
- every batch ends with a block, empty where nothing arrived: the tick by which time passes.
- appending never blocks and never grows past `max_pending`; `received = sealed + pending +
  dropped`, in samples, each drop counted under its source and reason.

All of it runs in the event loop's thread; nothing here is safe to call from another one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from agent.clock import EngineClock
from agent.gate import Gate
from agent.types import Block, Command, Entry, Float64, Int32, Int64, UInt16

INTAKE_FULL = "intake_full"
_FIRST_CAPACITY = 1024  # samples


@dataclass(frozen=True, slots=True)
class SealedBatch:
    """Entries in order, numbered without gaps, and whom to tell once they are committed."""

    entries: tuple[Entry, ...]
    callbacks: tuple[Callable[[], None], ...]

    @property
    def next_sequence(self) -> int:
        """The number that the first entry of the next batch gets."""
        return self.entries[-1].sequence + 1

    def committed(self) -> None:
        """Tell every edge that its data is safe; call it once, after the commit.

        The callbacks must not raise: they are the sources' own, and only note or acknowledge.
        """
        for callback in self.callbacks:
            callback()


class _Columns:
    """Growing columns of samples; slices that were taken out are copies."""

    def __init__(self) -> None:
        self.size = 0
        self._allocate(_FIRST_CAPACITY)

    def _allocate(self, capacity: int) -> None:
        self.tag: Int32 = np.empty(capacity, np.int32)
        self.source_ns: Int64 = np.empty(capacity, np.int64)
        self.arrival_ns: Int64 = np.empty(capacity, np.int64)
        self.value: Float64 = np.empty(capacity, np.float64)
        self.quality: UInt16 = np.empty(capacity, np.uint16)

    def extend(
        self, tag: Int32, source_ns: Int64 | None, arrival_ns: int, value: Float64, quality: UInt16
    ) -> None:
        start, stop = self.size, self.size + len(tag)
        if stop > len(self.tag):
            self._grow(stop)
        self.tag[start:stop] = tag
        if source_ns is None:
            self.source_ns[start:stop] = arrival_ns
        else:
            self.source_ns[start:stop] = np.where(source_ns > 0, source_ns, arrival_ns)
        self.arrival_ns[start:stop] = arrival_ns
        self.value[start:stop] = value
        self.quality[start:stop] = quality
        self.size = stop

    def _grow(self, needed: int) -> None:
        old = self.block(0, 0, 0, self.size)
        self._allocate(max(needed, 2 * len(self.tag)))
        self.tag[: self.size] = old.tag
        self.source_ns[: self.size] = old.source_ns
        self.arrival_ns[: self.size] = old.arrival_ns
        self.value[: self.size] = old.value
        self.quality[: self.size] = old.quality

    def block(self, sequence: int, sealed_ns: int, start: int, stop: int) -> Block:
        part = slice(start, stop)
        return Block(
            sequence=sequence,
            sealed_ns=sealed_ns,
            tag=self.tag[part].copy(),
            source_ns=self.source_ns[part].copy(),
            arrival_ns=self.arrival_ns[part].copy(),
            value=self.value[part].copy(),
            quality=self.quality[part].copy(),
        )


@dataclass(frozen=True, slots=True)
class _Mark:
    """A command, and how many of the pending samples came before it.

    `cut_ns` ends the block of these; it differs from `time_ns` where time was set anew.
    """

    position: int
    cut_ns: int
    time_ns: int
    kind: str
    data: Mapping[str, Any]


class Intake:
    """Buffers what the edges bring until it is sealed on size or age.

    Args:
        clock: engine time.
        max_samples: samples at which a batch is sealed before its age, and the most in a block.
        max_age_ns: longest time between two seals, with samples or without.
        max_pending: samples that wait at most; what comes beyond is dropped and counted.
        max_commands: commands that wait at most.

    Attributes:
        gate: what becomes of samples on their way in; None: nothing.
        gate_over: called where the gate is not right any more by time; it sets another one.
        shifted_ns: by how much in all the wall clock was set so far. Who keeps a time of `now_ns`
            for long moves it by what this has grown since.
    """

    def __init__(
        self,
        clock: EngineClock,
        *,
        max_samples: int = 20_000,
        max_age_ns: int = 500_000_000,
        max_pending: int = 200_000,
        max_commands: int = 10_000,
    ) -> None:
        self._clock = clock
        self._max_samples = max_samples
        self._max_age_s = max_age_ns / 1e9
        self._max_pending = max_pending
        self._max_commands = max_commands
        self._columns = _Columns()
        self._marks: list[_Mark] = []
        self._callbacks: list[Callable[[], None]] = []
        self.gate: Gate | None = None
        self.gate_over: Callable[[], None] = lambda: None
        self._last_ns = 0
        self.shifted_ns = 0
        self._sealed_at_s: float | None = None  # event loop time of the latest seal
        self._full = asyncio.Event()
        self.received = 0
        self.sealed_samples = 0
        self.dropped: Counter[tuple[str, str]] = Counter()

    @property
    def pending(self) -> int:
        """Samples that wait to be sealed."""
        return self._columns.size

    def now_ns(self) -> int:
        """Engine time, for the edges: never behind anything that the intake has stamped."""
        return max(self._clock.now_ns(), self._last_ns)

    def _stamp(self, at_ns: int | None = None) -> int:
        self.alive()
        now = self._clock.now_ns()
        if at_ns is not None:
            now = min(now, at_ns)  # one of before the clock was set back lies ahead
        self._last_ns = max(now, self._last_ns + 1)
        return self._last_ns

    def alive(self) -> None:
        """The process runs: to be called every second, so that a standstill is known as one.

        What comes after it comes late, and silence in it is nobody's fault.
        """
        if self._clock.stood_still_ns():
            cut_ns = self._last_ns + 1
            self._last_ns = max(self._clock.now_ns(), cut_ns + 1)
            away = {"shift_ns": 0, "away_ns": self._last_ns - cut_ns}
            self._mark_clock(cut_ns, self._clock.facts() | away)

    def _follow_clock(self) -> None:
        """Engine time steps where the wall clock was set."""
        told = self._clock.look()
        if told is not None:
            cut_ns = max(told.before_ns, self._last_ns + 1)
            self._last_ns = cut_ns + told.shift_ns
            self.shifted_ns += told.shift_ns
            self._mark_clock(cut_ns, told.facts | {"shift_ns": told.shift_ns, "away_ns": 0})

    def _mark_clock(self, cut_ns: int, data: Mapping[str, Any]) -> None:
        self._marks.append(_Mark(self._columns.size, cut_ns, self._last_ns, "clock", data))

    def append(
        self,
        tag: Int32,
        source_ns: Int64 | None,
        value: Float64,
        quality: UInt16,
        *,
        source: str = "",
        arrival_ns: int | None = None,
        on_commit: Callable[[], None] | None = None,
    ) -> int:
        """Take the columns of one notification, poll or message; they are copied.

        Args:
            tag: int32[n], the store's tag ids.
            source_ns: int64[n], the device's own time, ns since 1970. Where it gave none (0, or
                None for all) it becomes the arrival time.
            value: float64[n], NaN where there is none.
            quality: uint16[n], `Quality` bits.
            source: whom to count a drop against.
            arrival_ns: engine time of arrival instead of now, not later than now; moved on where
                it is not later than everything taken before.
            on_commit: called once the outcome is final: what was accepted is committed and what
                was dropped is counted.

        Returns:
            How many samples were accepted; the newest of the call are those that were not.
        """
        if self.gate is not None:
            tag, value, quality = self._through_gate(tag, value, quality)
        count = len(tag)
        accepted = min(count, max(0, self._max_pending - self._columns.size))
        self.received += count
        if accepted < count:
            self.dropped[source, INTAKE_FULL] += count - accepted
        # A block must be able to end after max_samples, and may not end within one arrival time.
        for start in range(0, accepted, self._max_samples):
            part = slice(start, min(start + self._max_samples, accepted))
            self._columns.extend(
                tag[part],
                None if source_ns is None else source_ns[part],
                self._stamp(arrival_ns),
                value[part],
                quality[part],
            )
        if on_commit is not None:
            self._callbacks.append(on_commit)
        if self._columns.size >= self._max_samples:
            self._full.set()
        return accepted

    def _through_gate(
        self, tag: Int32, value: Float64, quality: UInt16
    ) -> tuple[Int32, Float64, UInt16]:
        if self.gate is not None and self.gate.until_ns <= self.now_ns():
            self.gate_over()
        return (tag, value, quality) if self.gate is None else self.gate.passed(tag, value, quality)

    def command(
        self,
        kind: str,
        data: Mapping[str, Any],
        *,
        on_commit: Callable[[], None] | None = None,
    ) -> bool:
        """Take a command at its place among the samples.

        Returns:
            Whether it was taken; refused, and counted under its kind, where `max_commands` wait.
        """
        if len(self._marks) >= self._max_commands:
            self.dropped[kind, INTAKE_FULL] += 1
            return False
        time_ns = self._stamp()
        self._marks.append(_Mark(self._columns.size, time_ns, time_ns, kind, dict(data)))
        if on_commit is not None:
            self._callbacks.append(on_commit)
        return True

    async def sealed(self, next_sequence: int) -> SealedBatch:
        """Wait until enough has come in, or long enough has passed, and hand all of it over.

        Args:
            next_sequence: the number of the batch's first entry.
        """
        loop = asyncio.get_running_loop()
        if self._sealed_at_s is None:
            self._sealed_at_s = loop.time()
        remaining = self._sealed_at_s + self._max_age_s - loop.time()
        if remaining > 0 and not self._full.is_set():
            try:
                async with asyncio.timeout(remaining):
                    await self._full.wait()
            except TimeoutError:
                pass
        self._sealed_at_s = loop.time()
        return self.seal(next_sequence)

    def seal(self, next_sequence: int) -> SealedBatch:
        """Hand over what is pending without waiting; for `sealed`, and for the last of a run."""
        self.alive()
        self._follow_clock()
        end_ns = self._stamp()
        entries: list[Entry] = []
        start = 0
        for mark in self._marks:
            self._cut(entries, next_sequence, start, mark.position, mark.cut_ns)
            entries.append(
                Command(next_sequence + len(entries), mark.time_ns, mark.kind, mark.data)
            )
            start = mark.position
        self._cut(entries, next_sequence, start, self._columns.size, end_ns, tick=True)
        batch = SealedBatch(tuple(entries), tuple(self._callbacks))
        self.sealed_samples += self._columns.size
        self._columns.size = 0
        self._marks, self._callbacks = [], []
        self._full.clear()
        return batch

    def _cut(
        self,
        entries: list[Entry],
        next_sequence: int,
        start: int,
        stop: int,
        sealed_ns: int,
        *,
        tick: bool = False,
    ) -> None:
        """Append the blocks of samples start..stop, the last sealed at `sealed_ns`."""
        while stop - start > self._max_samples:
            # The first sample of the call that does not fit any more begins the next block.
            arrival = self._columns.arrival_ns[start:stop]
            cut_ns = arrival[self._max_samples]
            cut = start + int(np.searchsorted(arrival, cut_ns))
            sequence = next_sequence + len(entries)
            entries.append(self._columns.block(sequence, int(cut_ns), start, cut))
            start = cut
        if stop > start or tick:
            sequence = next_sequence + len(entries)
            entries.append(self._columns.block(sequence, sealed_ns, start, stop))
