"""The lineage of what is guarded as a picture for the page, drawn in a thread and kept."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Final

from agent.configuration.schema import Configuration
from agent.contract.graph import graph_of, reached
from agent.contract.graph_layout import picture
from agent.mqtt.background import in_thread

_KEPT: Final = 8  # pictures; each may be some 100 kB


class Lineage:
    """Pictures of one run's lineage: many people who look cost no more than one."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        self._configuration: Configuration | None = None
        self._made: dict[tuple[frozenset[str], tuple[str, ...]], dict[str, Any]] = {}

    async def of(
        self, configuration: Configuration, versions: Mapping[str, str], tags: Collection[str]
    ) -> dict[str, Any]:
        """`reached` (names of sources, tags and models) and `picture`, JSON-ready.

        Args:
            configuration: as it is applied now.
            versions: model -> the version in service.
            tags: those that a change is of.
        """
        key = frozenset(tags), tuple(versions.values())
        async with self._one:
            if configuration is not self._configuration:
                self._configuration = configuration
                self._made.clear()
            if key not in self._made:
                if len(self._made) >= _KEPT:
                    self._made.pop(next(iter(self._made)))
                draw = partial(_drawn, configuration, versions, frozenset(tags))
                self._made[key] = await in_thread(draw, "lineage")
            return self._made[key]


def _drawn(
    configuration: Configuration, versions: Mapping[str, str], tags: Collection[str]
) -> dict[str, Any]:
    graph = graph_of(configuration, versions)
    lit = reached(graph, tags)
    return {
        "reached": {
            "sources": sorted(lit.sources), "tags": sorted(lit.tags), "models": sorted(lit.models),
        },
        "picture": picture(graph, lit),
    }  # fmt: skip
