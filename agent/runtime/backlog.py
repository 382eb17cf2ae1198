"""What was folded and is not committed yet: one batch, however many folds it is of.

While the store takes nothing, sampling and judgement go on, and this grows up to its limits. Then
the oldest samples go: their blocks stay, empty, so that the journal keeps its order and its
numbers. Nobody was told that they are safe, so no source forgets them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agent.store import LOST, Batch
from agent.types import Block, Command, Entry

MOST_SAMPLES = 500_000  # some 20 MB
MOST_ENTRIES = 20_000
MOST_ROWS = 20_000  # events, summaries and messages, of each
FOLDS_PER_COMMIT = 2  # where nobody waits: each commit writes whole pages


class Backlog:
    """Batches that wait for one commit; while it is under way, others gather behind it.

    Args:
        most_samples: samples that wait at most.

    Attributes:
        dropped: what had to go since the last commit, by kind.
    """

    def __init__(self, most_samples: int = MOST_SAMPLES) -> None:
        self._most_samples = most_samples
        self._batch, self._under_way = Batch(), Batch()
        self._callbacks: list[Callable[[], None]] = []
        self._asked: list[Callable[[], None]] = []  # of what is under way
        self._folds = 0
        self.dropped: dict[str, int] = {}

    @property
    def due(self) -> bool:
        """Whether to commit now: somebody waits, something happened, or it is time."""
        return bool(self._callbacks or self._batch.events) or self._folds >= FOLDS_PER_COMMIT

    @property
    def empty(self) -> bool:
        """Whether nothing waits, nor is under way."""
        return not self._folds and not self._batch.entries and not self._under_way.entries

    def add(self, batch: Batch, callbacks: tuple[Callable[[], None], ...] = ()) -> None:
        """Put a batch behind the others."""
        _append(self._batch, batch)
        self._callbacks += callbacks
        self._folds += 1
        self._limit()

    def begin(self) -> Batch:
        """All that waits; `committed` or `failed` says what came of it."""
        self._under_way, self._asked = self._batch, self._callbacks
        self._batch, self._callbacks, self._folds = Batch(), [], 0
        return self._under_way

    def committed(self) -> None:
        """What was under way is safe: tell whoever waits for that."""
        callbacks = self._asked
        self._under_way, self._asked, self.dropped = Batch(), [], {}
        for callback in callbacks:
            callback()

    def failed(self) -> None:
        """What was under way waits again, before all that came meanwhile."""
        _append(self._under_way, self._batch)
        self._batch, self._under_way = self._under_way, Batch()
        self._callbacks, self._asked = self._asked + self._callbacks, []
        self._folds = FOLDS_PER_COMMIT
        self._limit()

    def describe(self) -> dict[str, Any]:
        """How much waits, and from when to when: for people, and for the next start."""
        entries = self._batch.entries
        return {
            "count": sum(map(_samples, entries)), "unit": "samples", "entries": len(entries),
            "events": len(self._batch.events),
            "start_ns": entries[0].sealed_ns if entries else 0,
            "end_ns": entries[-1].sealed_ns if entries else 0,
        }

    def _limit(self) -> None:
        batch = self._batch
        excess = sum(map(_samples, batch.entries)) - self._most_samples
        for place, entry in enumerate(batch.entries):
            if excess <= 0:
                break
            if isinstance(entry, Block) and len(entry):
                self._drop("samples", len(entry))
                excess -= len(entry)
                batch.entries[place] = _emptied(entry)
        if len(batch.entries) > MOST_ENTRIES:
            self._drop("entries", len(batch.entries) // 2)
            batch.entries = _joined(batch.entries, len(batch.entries) // 2)
        lists: tuple[tuple[str, list[Any]], ...] = (
            ("messages", batch.messages), ("events", batch.events), ("summaries", batch.summaries),
            ("messages for hooks", batch.hooks),
        )  # fmt: skip
        for what, rows in lists:
            if len(rows) > MOST_ROWS:
                self._drop(what, len(rows) - MOST_ROWS)
                del rows[: len(rows) - MOST_ROWS]

    def _drop(self, what: str, count: int) -> None:
        self.dropped[what] = self.dropped.get(what, 0) + count


def _append(to: Batch, batch: Batch) -> None:
    to.entries += batch.entries
    to.events += batch.events
    to.summaries += batch.summaries
    to.messages += batch.messages
    to.documents |= batch.documents
    to.snapshot = batch.snapshot or to.snapshot
    to.delivered += batch.delivered
    to.rejected |= batch.rejected
    to.acknowledged += batch.acknowledged
    to.pins = to.pins if batch.pins is None else batch.pins
    to.hooks += batch.hooks
    to.hooks_done |= batch.hooks_done


def _joined(entries: list[Entry], count: int) -> list[Entry]:
    """One entry in the place of the first `count`: their numbers are used, their content gone."""
    first, last = entries[0], entries[count - 1]
    told = {
        "part": "store", "reason": "the disk took nothing for too long", "count": count,
        "unit": "entries", "first": first.sequence,
    }  # fmt: skip
    return [Command(last.sequence, last.sealed_ns, LOST, told), *entries[count:]]


def _samples(entry: Entry) -> int:
    return len(entry) if isinstance(entry, Block) else 0


def _emptied(block: Block) -> Block:
    return Block(
        block.sequence, block.sealed_ns, block.tag[:0], block.source_ns[:0], block.arrival_ns[:0],
        block.value[:0], block.quality[:0],
    )
