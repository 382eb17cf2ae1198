"""The feeds: every configured source, running; replaced one by one when the file changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from agent.backoff import Backoff
from agent.configuration.schema import Configuration, Source, Tag
from agent.decode.columns import Dictionary, lost
from agent.intake import Intake
from agent.runtime.supervisor import LONGEST_WAIT_S, Supervisor
from agent.sources import SOURCES, SourceLink, TagBinding
from agent.sources.base import Noting, Recalling, Served, Telling, tag_ids
from agent.store import Reader
from agent.types import Block, SourceState

NOTES = "what sources noted"
_RECALLED = 400  # entries


def _blocks(reader: Reader, first: int) -> list[Block]:
    """The blocks with samples among the entries from `first` on."""
    entries = reader.journal(first)
    return [entry for entry in entries if isinstance(entry, Block) and len(entry)]


class Agreement(Protocol):
    """The contract, as far as sources have to do with it."""

    @property
    def governs(self) -> bool:
        """Whether there is one."""

    def served(self, told: Served) -> None:
        """A source tells what it serves."""

    def bound(self, name: str, tag: Tag) -> Tag:
        """How a tag is to be read."""


@dataclass(slots=True)
class _Trouble:
    """A source that died of a fault of ours, until it is live again."""

    reason: str = ""
    since_ns: int = 0
    again_s: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(0.5, LONGEST_WAIT_S))


class Feeds:
    """Runs sources; one that dies of a fault of ours is told, and started again.

    Args:
        configuration: says the sources and their tags.
        ids: the store's id of each tag.
        intake: gets what they bring.
        texts: code -> text, as journaled so far.
        supervisor: counts and tells what fails.
        agreement: the contract: is told what sources serve, and says how tags are to be read.
    """

    def __init__(
        self, configuration: Configuration, ids: Mapping[str, int], intake: Intake,
        texts: Mapping[int, str], supervisor: Supervisor, agreement: Agreement | None = None,
    ) -> None:
        self._intake = intake
        self._agreement = agreement
        self._supervisor = supervisor
        self._troubles: dict[str, _Trouble] = {}
        self._dictionary = Dictionary(
            {text: code for code, text in texts.items()},
            on_new=lambda code, text: intake.command("text", {"code": code, "text": text}),
        )
        self._links: dict[str, SourceLink] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wanted: dict[str, tuple[Source, dict[str, TagBinding]]] = {}
        self._notes: dict[str, dict[str, Any]] = {}  # of each source, as the document `NOTES`
        self._gateway = configuration.gateway.name
        self._configured = configuration, ids
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
                    tag: TagBinding(ids[tag], tag, self._bound(tag, item))
                    for tag, item in configuration.tags.items() if item.source == name
                },
            )
            for name, source in configuration.sources.items()
        }
        changed = [name for name in wanted if wanted[name] != self._wanted.get(name)]
        self._replace(wanted, changed)
        self._configured = configuration, ids

    def anew(self, *names: str) -> None:
        """Connect these sources anew: they are to be asked otherwise, or read otherwise."""
        self._replace(self._wanted, names)

    def reread(self, source: str) -> None:
        """The tags of a source are read as the contract says by now, on a connection made anew."""
        before = self._links.get(source)
        want = partial(self.want, *self._configured)
        self._supervisor.call(f"source {source}, read otherwise", want, None)
        if before is not None and self._links.get(source) is before:
            self.anew(source)

    def _replace(
        self, wanted: dict[str, tuple[Source, dict[str, TagBinding]]], changed: Iterable[str]
    ) -> None:
        links = {name: self._make(name, *wanted[name]) for name in changed}
        for name in set(self._wanted) - set(wanted) | set(changed):
            self._links.pop(name, None)
            self._troubles.pop(name, None)
            task = self._tasks.pop(name, None)
            if task is not None:
                task.cancel()
        self._links |= links
        self._wanted = wanted

    def _make(self, name: str, source: Source, tags: dict[str, TagBinding]) -> SourceLink:
        link = SOURCES[source.protocol].create(
            name, source, tags, self._intake, dictionary=self._dictionary,
            gateway=self._gateway, served=self._telling(),
        )  # fmt: skip
        if isinstance(link, Noting):
            link.remember(self._noted(name))
        return link

    def _bound(self, name: str, tag: Tag) -> Tag:
        return tag if self._agreement is None else self._agreement.bound(name, tag)

    def _telling(self) -> Telling | None:
        """Whom a source tells what it serves: the contract; None where there is none."""
        agreement = self._agreement
        if agreement is None or not agreement.governs:
            return None
        compare = agreement.served
        return lambda told: self._supervisor.call(
            f"contract of source {told.source}", partial(compare, told), None
        )

    def _noted(self, name: str) -> dict[str, Any]:
        """What a source noted so far, in this run or an earlier one."""
        known = self._notes.get(name, {})
        link: object = self._links.get(name)
        if isinstance(link, Noting):
            return self._supervisor.call(f"source {name}, its notes", link.notes, known)
        return known

    def notes(self, *, again: bool = False) -> dict[str, Any]:
        """The document of what the sources noted, by its name; nothing where it did not change.

        It is stored with the next commit: what a source noted less than that before a kill -9 is
        noted anew.

        Args:
            again: also where nothing changed: the store may be a new one.
        """
        noted = {name: made for name in self._links if (made := self._noted(name))}
        if noted == self._notes and not (again and noted):
            return {}
        self._notes = noted
        return {NOTES: noted}

    def recall(self, reader: Reader, last: int) -> None:
        """What sources noted in earlier runs, and the journal's end, for those that may be sent
        again what it holds; before `run`.

        Args:
            reader: of the store.
            last: sequence of the last entry.
        """
        read = partial(_blocks, reader, max(0, last - _RECALLED))
        blocks = self._supervisor.call("what was heard last", read, list[Block]())
        for link in self._links.values():
            if isinstance(link, Recalling):
                link.recall(blocks)
        noted = self._supervisor.call("what sources noted", partial(reader.document, NOTES), None)
        self._notes = {
            name: told for name, told in (noted if isinstance(noted, dict) else {}).items()
            if isinstance(told, dict)
        }
        for name, link in self._links.items():
            if isinstance(link, Noting):
                link.remember(self._notes.get(name, {}))

    async def run(self) -> None:
        """Keep every wanted source running until cancelled."""
        try:
            while True:
                for name in list(self._links):
                    task = self._tasks.get(name)
                    if task is not None and task.done():
                        self._ended(name, task)
                    if name not in self._tasks and self._due(name):
                        run = self._links[name].run()
                        self._tasks[name] = asyncio.create_task(run, name=f"source {name}")
                await asyncio.sleep(0.5)
        finally:
            running = list(self._tasks.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _due(self, name: str) -> bool:
        trouble = self._troubles.get(name)
        return trouble is None or asyncio.get_running_loop().time() >= trouble.again_s

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        """A source that died of a fault of ours: its values are lost, and it is made anew."""
        del self._tasks[name]
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        self._supervisor.failed(f"source {name}", error)
        trouble = self._troubles.setdefault(name, _Trouble())
        trouble.again_s = asyncio.get_running_loop().time() + trouble.backoff.next_s()
        trouble.since_ns = self._intake.now_ns()
        trouble.reason = f"a fault of the agent: {type(error).__name__}: {error}"
        source, tags = self._wanted[name]
        told = {"source": name, "state": SourceState.FAILED.value, "reason": trouble.reason}
        self._intake.command("source_state", told)
        samples = lost(tag_ids(tags))
        self._intake.append(
            samples.tag, samples.source_ns, samples.value, samples.quality, source=name
        )
        fresh = self._supervisor.call(
            f"source {name}", lambda: self._make(name, source, tags), None
        )
        self._links[name] = fresh or self._links[name]

    def reports(self) -> list[dict[str, Any]]:
        """Each source's state, JSON-ready, as the status document shows it."""
        return [self._supervisor.call(f"source {name}, its description",
                                      partial(self._report, name), self._unknown(name))
                for name in self._links]  # fmt: skip

    def _report(self, name: str) -> dict[str, Any]:
        report = self._links[name].describe()
        made = {
            "name": name, "protocol": report.protocol, "state": report.state.value,
            "reason": report.reason, "since_ns": report.since_ns,
            "received": report.received, "last_arrival_ns": report.last_arrival_ns,
            "details": report.details, "times": report.times,
        }
        trouble = self._troubles.get(name)
        if trouble is not None and report.state is SourceState.LIVE and name in self._tasks:
            del self._troubles[name]
        elif trouble is not None:
            made |= {"state": SourceState.FAILED.value, "reason": trouble.reason,
                     "since_ns": trouble.since_ns}  # fmt: skip
        return made

    def _unknown(self, name: str) -> dict[str, Any]:
        """A source of which nobody can say how it is."""
        return {
            "name": name, "protocol": self._wanted[name][0].protocol,
            "state": SourceState.FAILED.value, "since_ns": self._intake.now_ns(), "received": 0,
            "reason": "its state could not be told: a fault of the agent, see its log",
            "last_arrival_ns": None,
        }
