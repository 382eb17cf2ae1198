"""Numbers of one stream of one run of one store: which arrived, which are lost, which are missing.

Pure. Memory is bounded without ever taking a number for received that was not: where there are too
many ranges the smallest is forgotten, and reads as missing.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.store import ranges

RANGES_KEPT = 10_000  # received ranges a stream
MISSING_ASKED = 500  # ranges in one acknowledgement


@dataclass(slots=True)
class Stream:
    """What is known of one stream.

    Attributes:
        received: numbers that arrived, or that one which arrived covers.
        lost: numbers that the gateway said it dropped.
        earlier: numbers that the gateway says a central acknowledged before.
        told: numbers among which are those that the gateway dropped.
        announced: numbers among which are those that the gateway said it still holds.
        count: messages, each once.
        duplicates: messages that had arrived before.
    """

    received: ranges.Ranges = field(default_factory=list)
    lost: ranges.Ranges = field(default_factory=list)
    earlier: ranges.Ranges = field(default_factory=list)
    told: ranges.Ranges = field(default_factory=list)
    announced: ranges.Ranges = field(default_factory=list)
    count: int = 0
    duplicates: int = 0
    most: int = RANGES_KEPT

    def add(self, seq: int) -> bool:
        """Note a message; False where it was there before."""
        if holds(self.received, seq):
            self.duplicates += 1
            return False
        self.count += 1
        _insert(self.received, seq)
        self._bound()
        return True

    def cover(self, some: Iterable[tuple[int, int]]) -> None:
        """Note numbers that a message of another number holds."""
        self.received = ranges.union([*self.received, *some])
        self._bound()

    def lose(self, some: Iterable[tuple[int, int]], *, exact: bool) -> None:
        """Note numbers that the gateway dropped; `exact`: all of them, and not some among them.

        A number too many in `lost` would be acknowledged though it may still come.
        """
        if exact:
            self.lost = ranges.union([*self.lost, *some])[-self.most :]
        else:
            self.told = ranges.union([*self.told, *some])[-self.most :]

    def _bound(self) -> None:
        if len(self.received) > self.most:
            sizes = [last - first for first, last in self.received]
            del self.received[sizes.index(min(sizes))]

    @property
    def through(self) -> int:
        """The highest number that arrived, 0 where none did."""
        return self.received[-1][1] if self.received else 0

    def missing(self) -> ranges.Ranges:
        """Holes from 1 on that nothing explains."""
        known = [*self.received, *self.lost, *self.earlier, *self.told, *self.announced]
        return holes(known, self.through)

    def awaited(self) -> int:
        """How many numbers the gateway has announced that did not arrive yet."""
        known = [*self.received, *self.lost, *self.earlier]
        whole = max((last for _, last in self.announced), default=0)
        open_ = holes(known, whole)
        return sum(
            max(0, min(last, end) - max(first, begin) + 1)
            for first, last in open_
            for begin, end in self.announced
        )

    def unexplained(self) -> bool:
        """Whether there is something that the gateway may be asked for."""
        return bool(self.missing()) or self.awaited() > 0

    @property
    def settled_through(self) -> int:
        """The highest number that arrived, or is known to be lost, or was there earlier.

        It is what is acknowledged: a gateway that was told of less would tell of its losses again.
        """
        return max(
            (some[-1][1] for some in (self.received, self.lost, self.earlier) if some), default=0
        )

    def asked(self) -> ranges.Ranges:
        """Numbers below `settled_through` that are not settled; too many ranges are joined."""
        settled = [*self.received, *self.lost, *self.earlier]
        return ranges.limited(holes(settled, self.settled_through), MISSING_ASKED)


def holds(some: ranges.Ranges, seq: int) -> bool:
    """Whether sorted, disjoint ranges hold a number."""
    place = bisect_right(some, (seq, math.inf)) - 1
    return place >= 0 and some[place][1] >= seq


def holes(known: Iterable[tuple[int, int]], through: int) -> ranges.Ranges:
    """What of 1 to `through` is in none of `known`."""
    found, at = [], 1
    for first, last in ranges.union(known):
        if first > through:
            break
        if first > at:
            found.append((at, first - 1))
        at = max(at, last + 1)
    if at <= through:
        found.append((at, through))
    return found


def _insert(some: ranges.Ranges, seq: int) -> None:
    """Put a number that is not there yet into sorted, disjoint ranges."""
    place = bisect_right(some, (seq, seq))
    before = place > 0 and some[place - 1][1] == seq - 1
    after = place < len(some) and some[place][0] == seq + 1
    if before and after:
        some[place - 1 : place + 1] = [(some[place - 1][0], some[place][1])]
    elif before:
        some[place - 1] = (some[place - 1][0], seq)
    elif after:
        some[place] = (seq, some[place][1])
    else:
        some.insert(place, (seq, seq))
