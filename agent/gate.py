"""The gate at the edge: what becomes of samples before they are journaled, by tag id.

A tag that is held gets a quality bit, one with a map is converted, and two that traded places are
put back. Unused, there is no gate; used, it costs a gather of each column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from agent.types import Float64, Int32, UInt16

FOR_EVER: Final = 1 << 62


class Gate:
    """What is in force now; made anew where something of it changes.

    Args:
        ids: the store's id of each tag.
        bits: tag -> quality bits that its samples get.
        maps: tag -> its map: ``factor``, ``offset`` (value * factor + offset), ``swap_with``.
        until_ns: engine time until which it is right; later it must be made anew.

    Attributes:
        last, last_quality: what came last of each tag that is held, as its source sent it; `old`
            where nothing came since it is held, and that is of before.
        swaps: whether tags are given each other's values.
    """

    def __init__(
        self, ids: Mapping[str, int], bits: Mapping[str, int],
        maps: Mapping[str, Mapping[str, object]], until_ns: int = FOR_EVER,
    ) -> None:
        size = max(ids.values(), default=-1) + 2  # the last is of tags that came later
        self.until_ns = until_ns
        self.bits: UInt16 = np.zeros(size, np.uint16)
        self.factor, self.offset = np.ones(size), np.zeros(size)
        self._as: Int32 = np.arange(size, dtype=np.int32)
        self.last: Float64 = np.full(size, np.nan)
        self.last_quality: UInt16 = np.zeros(size, np.uint16)
        self.old = np.zeros(size, np.bool_)
        for tag, bit in bits.items():
            self.bits[ids[tag]] = bit
        for tag, part in maps.items():
            self._take(ids, tag, part)
        self._holds = bool(self.bits.any())
        self.swaps = bool((self._as != np.arange(size)).any())
        self._converts = bool((self.factor != 1.0).any() or self.offset.any())

    def _take(self, ids: Mapping[str, int], tag: str, part: Mapping[str, object]) -> None:
        factor, offset = part.get("factor", 1.0), part.get("offset", 0.0)
        if tag not in ids or not isinstance(factor, int | float):
            return
        if not isinstance(offset, int | float):
            return
        self.factor[ids[tag]], self.offset[ids[tag]] = float(factor), float(offset)
        other = ids.get(str(part.get("swap_with", "")))
        if other is not None:  # what comes as the other's is this one's, and the other way round
            self._as[other], self._as[ids[tag]] = ids[tag], other

    def inherit(self, before: Gate) -> None:
        """Know of tags that stay held what came last of them."""
        size = min(len(self.bits), len(before.bits))
        held = np.nonzero((self.bits[:size] != 0) & (before.bits[:size] != 0))[0]
        self.last[held], self.last_quality[held] = before.last[held], before.last_quality[held]
        self.old[held] = before.old[held]

    def sent_as(self, index: NDArray[np.intp]) -> NDArray[np.intp]:
        """The tags as which their source sends what becomes these: swaps are undone."""
        return self._as.take(index).astype(np.intp)

    def hold(self, index: int, bit: int) -> None:
        """From now on a tag is held, until a gate is made anew."""
        self.bits[index] |= bit
        self._holds = True

    def know(self, index: int, value: float, quality: int) -> None:
        """What a tag that is held from now on was before."""
        self.last[index], self.last_quality[index], self.old[index] = value, quality, True

    def _note(self, tag: Int32, value: Float64, quality: UInt16) -> None:
        real = np.isfinite(value)
        tag = tag[real]
        self.last[tag], self.last_quality[tag], self.old[tag] = value[real], quality[real], False

    @property
    def idle(self) -> bool:
        """Whether it does nothing, now and later."""
        active = self._holds or self.swaps or self._converts
        return not active and self.until_ns == FOR_EVER

    def passed(
        self, tag: Int32, value: Float64, quality: UInt16
    ) -> tuple[Int32, Float64, UInt16]:
        """The columns as they are journaled; none of those given is changed.

        Args:
            tag: int32[n].
            value: float64[n].
            quality: uint16[n].
        """
        if self.swaps:
            tag = np.where(tag < len(self._as), self._as.take(tag, mode="clip"), tag)
        if self._holds:
            bits = self.bits.take(tag, mode="clip")
            held = bits != 0
            if held.any():
                self._note(tag[held], value[held], quality[held])
                quality = quality | bits
        if self._converts:
            value = value * self.factor.take(tag, mode="clip")
            value += self.offset.take(tag, mode="clip")
        return tag, value, quality
