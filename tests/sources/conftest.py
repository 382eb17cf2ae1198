"""An intake, free ports and a way to wait, for tests against real servers."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from agent.clock import EngineClock
from agent.configuration.schema import Tag
from agent.decode.columns import Dictionary
from agent.intake import Intake
from agent.sources import SOURCES, TagBinding
from agent.types import Block, Command
from simulators import ports
from tests.waiting import PATIENCE_S


class Harness:
    """A running source and everything that it told the intake."""

    def __init__(self) -> None:
        self.intake = Intake(EngineClock())
        self.dictionary = Dictionary(
            on_new=lambda code, text: self.intake.command("text", {"code": code, "text": text})
        )
        self.names: list[str] = []
        self.samples: dict[str, list[tuple[float, int, int]]] = {}
        self.commands: list[dict] = []
        self.link = None
        self.telling = None
        self.told = []
        self.terms = {}
        self.marks = []
        self.identity = {}
        self._sequence = 1

    def bind(self, addresses, **more):
        """Bindings for name -> address; tag ids start at 100."""
        self.names = list(addresses)
        self.samples = {name: [] for name in addresses}
        return {
            name: TagBinding(100 + i, name, Tag(source="s", address=address, **more))
            for i, (name, address) in enumerate(addresses.items())
        }

    def create(self, config, addresses, **more):
        bindings = self.bind(addresses, **more)
        self.link = SOURCES[config.protocol].create(
            "s", config, bindings, self.intake, dictionary=self.dictionary, gateway="test",
            served=self.telling,
        )  # fmt: skip
        return self.link

    def listen(self):
        """Take what the source tells of itself, each with how many samples were there before."""

        def _told(told):
            self.collect()
            self.told.append(told)
            if told.identity is not None:
                self.identity = dict(told.identity)
            for tag, terms in told.tags.items():
                was = self.terms.get(tag, {}) if told.partial else {}
                now = {key: value for key, value in (was | terms).items() if value is not None}
                self.terms[tag] = now
                self.marks.append((tag, len(self.samples[tag]), now))

        self.telling = _told
        return self

    def term(self, tag, key):
        """A term of a tag as it was told last."""
        return self.terms.get(tag, {}).get(key)

    def values_while(self, tag, key, value):
        """The values of a tag that came while this term was told of it."""
        found, marks = [], [mark for mark in self.marks if mark[0] == tag]
        for (_, begin, terms), end in zip(
            marks, [mark[1] for mark in marks[1:]] + [None], strict=True
        ):
            if terms.get(key) == value:
                found += [row[0] for row in self.samples[tag][begin:end]]
        return found

    @contextlib.asynccontextmanager
    async def running(self, config, addresses, **more):
        link = self.create(config, addresses, **more)
        task = asyncio.create_task(link.run())
        try:
            yield link
            assert not task.done(), "a source runs until it is cancelled"
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, PATIENCE_S)

    def collect(self, *, commit=True):
        """Seal, as the application does, and sort what came by tag."""
        batch = self.intake.seal(self._sequence)
        self._sequence = batch.next_sequence
        for entry in batch.entries:
            if isinstance(entry, Command):
                self.commands.append({"kind": entry.kind, **entry.data})
            elif isinstance(entry, Block):
                for tag, value, quality, source_ns in zip(
                    entry.tag, entry.value, entry.quality, entry.source_ns, strict=True
                ):
                    row = (float(value), int(quality), int(source_ns))
                    self.samples[self.names[tag - 100]].append(row)
        if commit:
            batch.committed()
        return batch

    @property
    def states(self):
        return [c["state"] for c in self.commands if c["kind"] == "source_state"]

    def values(self, name):
        return [value for value, _, _ in self.samples[name] if not np.isnan(value)]

    def qualities(self, name):
        return [quality for _, quality, _ in self.samples[name]]

    async def until(self, condition, timeout_s=PATIENCE_S, *, commit=True):
        """Collect until the condition holds."""
        async with asyncio.timeout(timeout_s):
            while True:
                self.collect(commit=commit)
                if condition():
                    return
                await asyncio.sleep(0.02)


@pytest.fixture
def harness():
    return Harness()


@pytest.fixture
def make_harness():
    return Harness


@pytest.fixture
def free_port():
    """A port that nobody uses."""
    return ports.free_port()
