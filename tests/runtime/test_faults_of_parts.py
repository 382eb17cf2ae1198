"""One part's fault in a whole agent: it is told, the others go on, and no start ends of it."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from agent.configuration.load import load
from agent.core.engine import Engine
from agent.errors import FieldwardenError
from agent.runtime.app import Agent
from agent.store import Reader
from agent.types import Command
from tests.runtime.test_reload import CONFIG, TAGS, Service, bring, folded, trained
from tests.waiting import PATIENCE_S, until


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(CONFIG, encoding="utf-8")
    trained(tmp_path)
    return path


@contextlib.asynccontextmanager
async def opened(file):
    agent = Agent(load(file))
    await agent.open()
    agent.service = Service()
    try:
        yield agent
    finally:
        await agent.close()


@contextlib.asynccontextmanager
async def task_of(coroutine):
    task = asyncio.create_task(coroutine)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Broken:
    """A source whose decoder raises, and that can not even say how it is."""

    def __init__(self):
        self.runs = 0

    async def run(self):
        self.runs += 1
        raise ZeroDivisionError("decoding")

    def describe(self):
        raise AttributeError("state")


async def test_a_source_that_raises_is_failed_and_the_others_are_shown(file):
    """Its description may raise, too: the document is made, and says that it failed and why."""
    async with opened(file) as agent:
        name = next(iter(agent.feeds._links))
        agent.feeds._links[name] = Broken()
        shown = agent.view.document()
        (source,) = [one for one in shown["sources"] if one["name"] == name]
        assert source["state"] == "failed" and "fault of the agent" in source["reason"]
        agent.feeds._make = lambda *_: Broken()
        async with task_of(agent.feeds.run()), task_of(agent._pump()):
            state, reason, _ = await until(lambda: agent.engine.judge.sources.states.get(name))
            assert (state, reason) == (
                "failed", "a fault of the agent: ZeroDivisionError: decoding",
            )
        parts = {part["name"]: part for part in agent.view.document()["parts"]}
        assert parts[f"source {name}"]["reason"] == "ZeroDivisionError: decoding"
        assert f"source {name}, its description" in parts


@pytest.mark.parametrize("part", ["outgoing", "audit", "load", "uplink", "document"])
async def test_no_exception_of_another_part_stops_the_fold(file, monkeypatch, part):
    """Messages, audit, load meter, uplink or document: the journal goes on, the part is named."""

    def bad(*_, **__):
        raise IndexError("none of this was expected")

    async with opened(file) as agent:
        target, method = {
            "outgoing": (agent.outgoing, "messages"), "audit": (agent.view.audit, "count"),
            "load": (agent.load, "report"), "uplink": (agent.outside, "report"),
            "document": (agent.view, "document"),
        }[part]  # fmt: skip
        monkeypatch.setattr(target, method, bad)
        agent._document_ns = 0
        async with task_of(agent._pump()) as pump:
            bring(agent)
            await folded(agent)
            bring(agent)
            await folded(agent)
            assert not pump.done()
        monkeypatch.undo()
        agent._document()
        assert any("none of this" in one["reason"] for one in agent.supervisor.report())


async def test_what_the_engine_can_not_fold_is_journaled_and_left_out_of_the_next_start(
    file, monkeypatch
):
    """The process stops after committing; the next one starts without that entry, and says so."""
    real, poison = Engine.step, []

    def step(self, entry):
        if isinstance(entry, Command) and entry.data.get("text") == "poison":
            poison.append(entry.sequence)
            raise ArithmeticError("not to be judged")
        return real(self, entry)

    monkeypatch.setattr(Engine, "step", step)
    async with opened(file) as agent:
        async with task_of(agent._pump()) as pump:
            bring(agent)
            await folded(agent)
            agent.intake.command("note", {"text": "poison"})
            with pytest.raises(FieldwardenError, match="not to be judged"):
                await asyncio.wait_for(pump, PATIENCE_S)
    reader = Reader(load(file).store_path)
    assert poison[0] in [entry.sequence for entry in reader.journal()]
    reader.close()
    for _ in range(2):
        async with opened(file) as agent:
            async with task_of(agent._pump()):
                bring(agent)
                await folded(agent)
                await folded(agent)
            events = agent.reader.events(100)
    assert any(f"entry {poison[0]} could not be judged" in str(one["data"]) for one in events)


async def test_a_damaged_store_is_told_upstream_and_the_fold_goes_on(file):
    """What was lost is an event, in the journal's order, and stands in the next one's place."""
    async with opened(file) as agent, task_of(agent._pump()):
        bring(agent)
        await folded(agent)
    path = load(file).store_path
    with path.open("r+b") as store:
        store.write(bytes(5000))
    async with opened(file) as agent, task_of(agent._pump()):
        bring(agent)
        await folded(agent)
        (told,) = agent.reader.events(100, kind="engine")
        assert told["data"]["part"] == "store" and "damaged" in told["data"]["set_aside"]
        sample = np.zeros(1)
        ids = agent.store.tag_ids(list(TAGS))
        agent.intake.append(np.array([ids[TAGS[0]]], np.int32), None, sample, sample.astype("u2"))
        path.unlink()
        await folded(agent)
        await until(lambda: len(agent.reader.events(100, kind="engine")) >= 2)
        (latest,) = agent.reader.events(1, "engine")
        assert "removed while it was in use" in latest["data"]["reason"]
        (part,) = [one for one in agent.view.document()["parts"] if one["name"] == "store"]
        assert part["restarts"] == 2 and "removed" in part["reason"]


async def test_the_note_of_a_stop_is_told_by_the_next_start(file):
    """What could not be stored at SIGTERM becomes an event and a gap, once."""
    note = load(file).store_path.with_suffix(".lost")
    async with opened(file):
        pass
    note.write_text('{"part": "store", "reason": "not stored before the stop: full", "count": 7}')
    async with opened(file) as agent, task_of(agent._pump()):
        await folded(agent)
        await folded(agent)
        (gap,) = agent.reader.events(100, kind="gap")
        assert gap["data"]["count"] == 7
    assert not note.exists()
