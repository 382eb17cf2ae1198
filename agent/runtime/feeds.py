"""The feeds: every configured source, running; replaced one by one when the file changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from agent.configuration.schema import Configuration, Source
from agent.decode.columns import Dictionary
from agent.intake import Intake
from agent.sources import SOURCES, SourceLink, TagBinding

logger = logging.getLogger(__name__)


class Feeds:
    """Runs sources; one that dies of a fault of ours is told, and started again.

    Args:
        configuration: says the sources and their tags.
        ids: the store's id of each tag.
        intake: gets what they bring.
        texts: code -> text, as journaled so far.
    """

    def __init__(
        self, configuration: Configuration, ids: Mapping[str, int], intake: Intake,
        texts: Mapping[int, str],
    ) -> None:
        self._intake = intake
        self._dictionary = Dictionary(
            {text: code for code, text in texts.items()},
            on_new=lambda code, text: intake.command("text", {"code": code, "text": text}),
        )
        self._links: dict[str, SourceLink] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wanted: dict[str, tuple[Source, dict[str, TagBinding]]] = {}
        self._gateway = configuration.gateway.name
        self.want(configuration, ids)

    def want(self, configuration: Configuration, ids: Mapping[str, int]) -> None:
        """Take the sources of a configuration; those that did not change are left alone.

        Raises:
            ConfigurationError: an address is not understood; nothing has changed then.
        """
        wanted = {
            name: (
                source,
                {
                    tag: TagBinding(ids[tag], tag, item)
                    for tag, item in configuration.tags.items() if item.source == name
                },
            )
            for name, source in configuration.sources.items()
        }
        changed = [name for name in wanted if wanted[name] != self._wanted.get(name)]
        links = {name: self._make(name, *wanted[name]) for name in changed}
        for name in set(self._wanted) - set(wanted) | set(changed):
            self._links.pop(name, None)
            task = self._tasks.pop(name, None)
            if task is not None:
                task.cancel()
        self._links |= links
        self._wanted = wanted

    def _make(self, name: str, source: Source, tags: dict[str, TagBinding]) -> SourceLink:
        return SOURCES[source.protocol].create(
            name, source, tags, self._intake, dictionary=self._dictionary, gateway=self._gateway
        )

    async def run(self) -> None:
        """Keep every wanted source running until cancelled."""
        try:
            while True:
                for name, link in self._links.items():
                    task = self._tasks.get(name)
                    if task is None or task.done():
                        self._tell_end(name, task)
                        self._tasks[name] = asyncio.create_task(link.run(), name=f"source {name}")
                await asyncio.sleep(0.5)
        finally:
            running = list(self._tasks.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    @staticmethod
    def _tell_end(name: str, task: asyncio.Task[None] | None) -> None:
        if task is not None and not task.cancelled() and (error := task.exception()) is not None:
            logger.error("source %s stopped by a fault of ours; starting it again", name,
                         exc_info=error)

    def reports(self) -> list[dict[str, Any]]:
        """Each source's state, JSON-ready, as the status document shows it."""
        made = []
        for name, link in self._links.items():
            report = link.describe()
            made.append({
                "name": name, "protocol": report.protocol, "state": report.state.value,
                "reason": report.reason, "since_ns": report.since_ns,
                "received": report.received, "last_arrival_ns": report.last_arrival_ns,
            })
        return made
