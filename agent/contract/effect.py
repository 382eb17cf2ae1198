"""What a change upstream does to samples: pure, by columns; what it does not touch stays as it is.

Invariants:
- cutting the same samples into other blocks gives the same samples (what lasts is in the effect);
- arrival times do not decrease, and none is moved: samples come as they came, come no more, or with
  another value. Only `begin` adds some, those that a source sends unasked when a value changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.types import NOT_USABLE, Block, Float64, Int32, Int64, Quality, UInt16

Gone = Literal["", "refused", "wrong type", "silent"]

_QUALITY: Final[Mapping[str, int]] = {
    "refused": int(Quality.BAD | Quality.ADDRESS_REFUSED),
    "wrong type": int(Quality.BAD | Quality.NOT_A_NUMBER | Quality.WRONG_TYPE),
}
"""What the samples of a tag that is gone say; one that is "silent" has none."""

Span = tuple[float, float]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TagEffect:
    """What becomes of one tag. Served afterwards is `value * factor + offset`, then what follows.

    Attributes:
        shows: the tag whose samples come in its place; empty: its own.
        factor, offset: as above, of the value as the agent reads it, in the tag's unit.
        span: values beyond it come as its ends.
        decimals: digits behind the point that are left; None: all. 0 gives whole numbers.
        single: values come with the precision of float32.
        interval_ns: time between two samples; 0: as they came.
        held: the source is asked at its own pace, and answers with the latest value it has; else
            fewer samples come.
        gone: nothing usable comes any more, and how that shows.
        unasked: the source sends values as they change, so also at the moment of the change.
    """

    shows: str = ""
    factor: float = 1.0
    offset: float = 0.0
    span: Span | None = None
    decimals: int | None = None
    single: bool = False
    interval_ns: int = 0
    held: bool = False
    gone: Gone = ""
    unasked: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether samples come as before."""
        return replace(self, held=False, unasked=False) == TagEffect()

    def value(self, value: Float64) -> Float64:
        """float64[n] as it is served afterwards, but for what depends on time or other tags."""
        made: Float64 = value * self.factor + self.offset
        if self.single:
            made = made.astype(np.float32).astype(np.float64)
        if self.decimals is not None:
            made = np.round(made, self.decimals)
        return made if self.span is None else np.clip(made, *self.span)


class Registers(NamedTuple):
    """Tags whose values are read from registers that hold something else now.

    Attributes:
        needs: the tags whose latest values the registers are made of.
        read: float64[n, needs] -> (float64[n], uint16[n] quality bits) of the tag.
    """

    needs: tuple[str, ...]
    read: Callable[[Float64], tuple[Float64, UInt16]]


@dataclass(slots=True)
class _Carried:
    """What lasts of a tag: when a sample was let through last, and its value and quality."""

    time_ns: int = -1
    value: float = float("nan")
    quality: int = int(Quality.NOT_AVAILABLE | Quality.BAD)


@dataclass(slots=True)
class _Latest:
    """The newest usable value of a tag, as it was served before the change."""

    value: float = float("nan")


@dataclass(slots=True)
class Effect:
    """A change, compiled for tags by their index.

    Args:
        tags: by name; those that are not in it come as before.
        ids: index of every tag that is meant, by name.
        registers: by name, of tags that are read from other registers than before.
    """

    tags: Mapping[str, TagEffect]
    ids: Mapping[str, int]
    registers: Mapping[str, Registers] = field(default_factory=dict)
    _carried: dict[int, _Carried] = field(default_factory=dict)
    _latest: dict[str, _Latest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        needed = {tag for one in self.registers.values() for tag in one.needs}
        self._latest = {tag: _Latest() for tag in sorted(needed) if tag in self.ids}

    @property
    def is_nothing(self) -> bool:
        """Whether all samples come as before."""
        return not self.registers and all(one.is_nothing for one in self.tags.values())

    # --- samples ----------------------------------------------------------------------------------

    def apply(self, block: Block) -> Block:
        """The block as it had been, were the change in force before its first sample."""
        if not len(block) or self.is_nothing:
            return block
        value, quality = block.value.copy(), block.quality.copy()
        kept = np.ones(len(block), bool)
        self._reread(block, value, quality)
        tag = self._shown(block.tag)
        for name, one in self.tags.items():
            if name not in self.ids or one.is_nothing:
                continue
            rows = np.nonzero(tag == self.ids[name])[0]
            if len(rows):
                self._one(one, self.ids[name], rows, block.arrival_ns, value, quality, kept)
        made = Block(block.sequence, block.sealed_ns, tag, block.source_ns, block.arrival_ns,
                     value, quality)  # fmt: skip
        return made if kept.all() else _only(made, kept)

    def begin(self, time_ns: int, latest: Mapping[str, float]) -> Block:
        """What sources send unasked as the change comes: values that are others at once, refusals.

        Args:
            time_ns: engine time of the change; the samples arrive then.
            latest: the last usable value of tags, by name, as they were served before.

        Returns:
            A block (sequence 0, sealed at `time_ns + 1`) of them, perhaps of none.
        """
        rows: list[tuple[int, float, int]] = []
        for name, one in self.tags.items():
            if name not in self.ids or one.is_nothing:
                continue
            if one.gone in _QUALITY:
                rows.append((self.ids[name], np.nan, _QUALITY[one.gone]))
            elif one.unasked and not one.gone:
                was = latest.get(one.shows or name, np.nan)
                if np.isfinite(was):
                    rows.append((self.ids[name], float(one.value(np.array([was]))[0]), 0))
        for name in self._latest:
            self._latest[name].value = latest.get(name, np.nan)
        times = np.full(len(rows), time_ns, np.int64)
        return Block(
            0, time_ns + 1, np.array([row[0] for row in rows], np.int32), times, times.copy(),
            np.array([row[1] for row in rows], np.float64),
            np.array([row[2] for row in rows], np.uint16),
        )  # fmt: skip

    def _shown(self, tag: Int32) -> Int32:
        """Whose samples come as whose."""
        found = tag
        moved = {one.shows: name for name, one in self.tags.items() if one.shows}
        for shows, name in moved.items():
            if shows in self.ids and name in self.ids:
                found = found if found is not tag else tag.copy()
                found[tag == self.ids[shows]] = self.ids[name]
        return found

    def _one(
        self, one: TagEffect, index: int, rows: Int64, arrival: Int64, value: Float64,
        quality: UInt16, kept: Bools,
    ) -> None:  # fmt: skip
        """Change the samples of one tag, in place."""
        if one.gone:
            kept[rows] = one.gone in _QUALITY
            value[rows], quality[rows] = np.nan, _QUALITY.get(one.gone, 0)
            return
        value[rows] = one.value(value[rows])
        if not one.interval_ns:
            return
        carried = self._carried.setdefault(index, _Carried())
        through = _spaced(arrival[rows], one.interval_ns, carried.time_ns)
        if one.held:
            _hold(rows, through, value, quality, carried)
        else:
            kept[rows] = through
        if through.any():
            carried.time_ns = int(arrival[rows][through][-1])

    def _reread(self, block: Block, value: Float64, quality: UInt16) -> None:
        """Values of registers that hold something else now, at the times at which they are read."""
        if not self.registers:
            return
        usable = (block.quality & NOT_USABLE) == 0
        news = {name: np.nonzero((block.tag == self.ids[name]) & usable)[0]
                for name in self._latest}  # fmt: skip
        for name, one in self.registers.items():
            rows = np.nonzero(block.tag == self.ids.get(name, -1))[0]
            if not len(rows):
                continue
            served = np.column_stack([
                self._as_of(tag, news[tag], block, block.arrival_ns[rows]) for tag in one.needs
            ]) if one.needs else np.zeros((len(rows), 0))  # fmt: skip
            value[rows], quality[rows] = one.read(served)
        for name, rows in news.items():
            if len(rows):
                self._latest[name].value = float(block.value[rows[-1]])

    def _as_of(self, tag: str, rows: Int64, block: Block, times: Int64) -> Float64:
        """The values of a tag at these times: one poll brings all of one arrival time."""
        place = np.searchsorted(block.arrival_ns[rows], times, side="right") - 1
        known = np.append(block.value[rows], self._latest[tag].value)  # -1: of a block before
        return known[place]


def _spaced(times: Int64, interval_ns: int, last_ns: int) -> Bools:
    """Which samples come where one comes an interval: the first of each interval of the clock."""
    slots = times // interval_ns
    before = np.concatenate([[last_ns // interval_ns if last_ns >= 0 else -1], slots[:-1]])
    return slots > before


def _hold(
    rows: Int64, through: Bools, value: Float64,
    quality: UInt16, carried: _Carried,
) -> None:  # fmt: skip
    """The others repeat the one before them."""
    place = np.cumsum(through) - 1
    values = np.append(value[rows][through], carried.value)  # -1: of a block before
    marks = np.append(quality[rows][through], np.uint16(carried.quality))
    value[rows], quality[rows] = values[place], marks[place]
    carried.value, carried.quality = float(value[rows[-1]]), int(quality[rows[-1]])


def _only(block: Block, kept: Bools) -> Block:
    return Block(
        block.sequence, block.sealed_ns, block.tag[kept], block.source_ns[kept],
        block.arrival_ns[kept], block.value[kept], block.quality[kept],
    )  # fmt: skip
