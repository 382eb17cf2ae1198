"""Recorded entries for a replay: joined into large blocks, numbered anew, held samples let through.

That blocks may be cut, and so joined, in any way without another outcome is the engine's promise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from agent.types import Block, Command, Entry, Quality

LEFT_OUT: Final = frozenset(
    {"trial", "trial_judged", "accept", "reject", "rollback", "superseded", "declare", "close",
     "withdraw", "reload", "contract", "approve", "reject_change", "revert", "assessed", "propose"}
)  # fmt: skip
"""Commands of the journal that a replay does not repeat: it judges by what serves now, neither asks
for retraining nor tries candidates, and what was held is marked so in the samples themselves."""

_MOST_SAMPLES: Final = 20_000
_LONGEST_NS: Final = 60_000_000_000


def joined(
    entries: Iterable[Entry], *, most: int = _MOST_SAMPLES, longest_ns: int = _LONGEST_NS
) -> Iterator[Entry]:
    """The same entries in fewer blocks.

    Args:
        entries: in order.
        most: samples of one block, unless one alone has more.
        longest_ns: time of one block.
    """
    waiting: list[Block] = []
    samples, since_ns = 0, 0
    for entry in entries:
        if isinstance(entry, Command):
            if waiting:
                yield _one(waiting)
            waiting, samples = [], 0
            if entry.kind not in LEFT_OUT:
                yield entry
            continue
        if waiting and (
            samples + len(entry) > most or entry.sealed_ns - since_ns > longest_ns
        ):
            yield _one(waiting)
            waiting, samples = [], 0
        if not waiting:
            since_ns = entry.sealed_ns
        waiting.append(entry)
        samples += len(entry)
    if waiting:
        yield _one(waiting)


def _one(blocks: list[Block]) -> Block:
    last = blocks[-1]
    if len(blocks) == 1:
        return last
    return Block(
        last.sequence, last.sealed_ns,
        np.concatenate([one.tag for one in blocks]),
        np.concatenate([one.source_ns for one in blocks]),
        np.concatenate([one.arrival_ns for one in blocks]),
        np.concatenate([one.value for one in blocks]),
        np.concatenate([one.quality for one in blocks]),
    )  # fmt: skip


def before(block: Block, first: Block, time_ns: int) -> Block:
    """`first`'s samples, all at `time_ns`, and then those of the block."""
    if not len(first):
        return block
    times = np.full(len(first), time_ns, np.int64)
    return Block(
        block.sequence, block.sealed_ns, np.concatenate([first.tag, block.tag]),
        np.concatenate([times, block.source_ns]), np.concatenate([times, block.arrival_ns]),
        np.concatenate([first.value, block.value]), np.concatenate([first.quality, block.quality]),
    )  # fmt: skip


class Released:
    """Held samples let through as they are.

    Args:
        tags: whose, by their index.
    """

    def __init__(self, tags: Collection[int]) -> None:
        self._tags = np.array(sorted(tags), np.int32)

    def apply(self, block: Block) -> Block:
        """Without the mark of what is held."""
        bit = np.uint16(Quality.CONTRACT_BROKEN)
        held = ((block.quality & bit) != 0) & np.isin(block.tag, self._tags)
        if not held.any():
            return block
        return replace(block, quality=np.where(held, block.quality & ~bit, block.quality))

    def begin(self, time_ns: int, latest: Mapping[str, float]) -> Block:  # noqa: ARG002
        """Nothing comes unasked."""
        none = np.zeros(0, np.int64)
        tag, quality = np.zeros(0, np.int32), np.zeros(0, np.uint16)
        return Block(0, time_ns + 1, tag, none, none, np.zeros(0), quality)
