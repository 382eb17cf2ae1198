"""Summaries of all gateways, added together; a message that covers others replaces them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from agent.core.summary import merge

MESSAGES_KEPT = 2_000  # of at most 200 windows each, the oldest go first
WINDOWS_KEPT = 50_000


class Origin(NamedTuple):
    """The message that windows came in."""

    site: str
    gateway: str
    store: str
    boot: int
    seq: int


class Windows:
    """The latest windows of every input."""

    def __init__(self) -> None:
        self._messages: dict[Origin, list[Mapping[str, Any]]] = {}
        self._windows = 0

    def take(
        self, origin: Origin, windows: list[dict[str, Any]], covered: Iterable[tuple[int, int, int]]
    ) -> None:
        """Add one message's windows in place of those that it covers: (boot, first, last)."""
        for boot, first, last in covered:
            for known in list(self._messages) if last - first > MESSAGES_KEPT else ():
                if known[:4] == (*origin[:3], boot) and first <= known.seq <= last:
                    self._drop(known)
            if last - first <= MESSAGES_KEPT:
                for seq in range(first, last + 1):
                    self._drop(Origin(*origin[:3], boot, seq))
        for one in windows:
            _ = (one["model"], one["tag"], one["baseline"])
        self._drop(origin)
        self._messages[origin] = list(windows)
        self._windows += len(windows)
        while len(self._messages) > MESSAGES_KEPT or self._windows > WINDOWS_KEPT:
            self._drop(next(iter(self._messages)))

    def _drop(self, origin: Origin) -> None:
        self._windows -= len(self._messages.pop(origin, ()))

    def inputs(self) -> list[tuple[str, str, str]]:
        """(model, tag, baseline) of every summary that is kept."""
        return sorted(
            {
                (one["model"], one["tag"], one["baseline"])
                for windows in self._messages.values()
                for one in windows
            }
        )

    def merged(self, model: str, tag: str, baseline: str) -> Mapping[str, Any] | None:
        """All windows of one model's input added together; None where none is kept."""
        total: Mapping[str, Any] | None = None
        for windows in self._messages.values():
            for one in windows:
                if (one["model"], one["tag"], one["baseline"]) == (model, tag, baseline):
                    total = one if total is None else merge(total, one)
        return total
