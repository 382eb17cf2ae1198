"""Reading what became of a model: changes of its verdict, and its losses window by window."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

Place = tuple[int, int]
Spans = Sequence[tuple[Place, Place, int]]

VERDICTS_SEARCHED: Final = 100_000
"""Newest events of any model's verdict that are looked through for changes of one."""


class HistoryQueries(ABC):
    """The part of `Reader` that tells of one model over time, each answer bounded."""

    @abstractmethod
    def _all(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a query."""

    @abstractmethod
    def _spans(self) -> list[tuple[Place, Place, int]]:
        """(first place, place after the last, by how much time was set since), in order."""

    def verdict_marks(self, subject: str, most: int) -> list[dict[str, Any]]:
        """The newest changes of a model's verdict, at most so many, in order.

        An event that tells other reasons of the same verdict is none. Times are as the clock of now
        has them.

        Returns:
            Dicts with time_ns, subject and data of each event.
        """
        rows = self._all(
            "WITH newest AS (SELECT sequence, position, time_ns, subject, data FROM event "
            "WHERE kind = 'verdict' ORDER BY sequence DESC, position DESC LIMIT ?1) "
            "SELECT sequence, position, time_ns, data FROM newest "
            "WHERE subject = ?2 AND json_valid(data) "
            "AND json_extract(data, '$.verdict') <> ifnull(json_extract(data, '$.was'), '') "
            "ORDER BY sequence DESC, position DESC LIMIT ?3",
            VERDICTS_SEARCHED, subject, most,
        )  # fmt: skip
        spans = self._spans()
        return [
            {"time_ns": time_ns + shift_since(spans, (sequence, position)), "subject": subject,
             "data": json.loads(data)}
            for sequence, position, time_ns, data in reversed(rows)
        ]  # fmt: skip

    def loss_windows(self, model: str, tag: str, most: int) -> list[dict[str, Any]]:
        """The newest windows of a label, by its name, at most so many, in order.

        Times are as the clock of now has them.

        Returns:
            Dicts with start_ns, end_ns and losses (see `agent.core.loss.LossSums.to_json`).
        """
        rows = self._all(
            "SELECT entry, start_ns, end_ns, json_extract(data, '$.losses') AS losses "
            "FROM summary WHERE model = ? AND tag = ? AND json_valid(data) "
            "AND losses IS NOT NULL ORDER BY start_ns DESC, id DESC LIMIT ?",
            model, tag, most,
        )  # fmt: skip
        spans = self._spans()
        return [
            {"start_ns": start + shift, "end_ns": end + shift, "losses": json.loads(losses)}
            for entry, start, end, losses in reversed(rows)
            for shift in [shift_since(spans, (entry, 0))]
        ]


def shift_since(spans: Spans, place: Place) -> int:
    """By how much time was set since a place."""
    return next(shift for first, _, shift in reversed(spans) if first <= max(place, (0, 0)))
