"""Where a message belongs: one run of the agent on one store, and its place there. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Life(NamedTuple):
    """One run of the agent on one store."""

    store: str
    boot: int


class Place(NamedTuple):
    """Where in a store's life a message belongs."""

    boot: int
    seq: int
