"""What a source found in an earlier run is kept in the store, and holds after a restart."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from asyncua import ua

from agent.configuration.load import load
from agent.runtime.app import Agent
from agent.runtime.feeds import NOTES
from agent.types import Block, Quality
from tests.runtime.test_reload import Service
from tests.sources.conftest import free_port  # noqa: F401 - a fixture
from tests.sources.test_opcua_source import URI, plant
from tests.waiting import PATIENCE_S, until

NEW = "urn:new"
REFUSED = Quality.BAD | Quality.ADDRESS_REFUSED


@pytest.fixture
def written(tmp_path, free_port):  # noqa: F811 - the fixture
    """Writes a configuration with these addresses; returns its path."""
    path = tmp_path / "config.toml"

    def write(**addresses):
        tags = "".join(
            f"[tags.{name}]\nsource = 'plc'\naddress = '{address}'\n"
            for name, address in addresses.items()
        )
        path.write_text(
            "schema = 1\n[gateway]\nsite = 's'\nname = 'g'\n[sources.plc]\nprotocol = 'opcua'\n"
            f"endpoint = 'opc.tcp://127.0.0.1:{free_port}/plant'\npublishing = '50ms'\n"
            f"timeout = '10s'\n{tags}",
            encoding="utf-8",
        )
        return path

    return write


class Running:
    """An agent between its start and its end, and the latest sample of each tag."""

    def __init__(self, agent):
        self.agent = agent
        self._first = agent.engine.sequence + 1

    def samples(self, tag):
        number = self.agent.store.tag_ids([tag])[tag]
        return [
            (float(value), int(quality))
            for block in self.agent.reader.journal(self._first) if isinstance(block, Block)
            for one, value, quality in zip(block.tag, block.value, block.quality, strict=True)
            if one == number
        ]

    def details(self):
        (source,) = self.agent.feeds.reports()
        return source["details"]

    async def heard(self, *tags):
        """The latest sample of each tag, once each has one that the server sent or refused."""
        lost = int(Quality.COMMUNICATION_LOST)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = {
                    tag: [row for row in self.samples(tag) if not row[1] & lost] for tag in tags
                }
                if all(found.values()):
                    return [rows[-1] for rows in found.values()]
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def running(file):
    agent = Agent(load(file))
    agent.service = Service()
    await agent.open()
    tasks = [asyncio.create_task(agent.feeds.run()), asyncio.create_task(agent._pump())]
    try:
        yield Running(agent)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await agent.close()


async def strangers(server, **values):
    """Nodes of the first namespace, with the names of ours."""
    for name, value in values.items():
        node, title = ua.NodeId(name, 2), ua.QualifiedName(name, 2)
        await server.server.nodes.objects.add_variable(node, title, value)


async def first_run(file, port, tags):
    async with plant(port, dict.fromkeys(tags, 1.0)), running(file) as agent:
        assert await agent.heard(*tags) == [(1.0, 0)] * len(tags)
        # As after kill -9: it is stored without the end of the run.
        kept = agent.agent.reader.document(NOTES)["plc"]["namespaces"]
        assert kept == {tag: [f"ns=2;s={tag}", URI] for tag in tags}


async def test_a_server_reordered_while_the_agent_was_down_reads_the_same_nodes(
    written, free_port  # noqa: F811
):
    """What has the old index is another device's; people are told, and can have it by nsu=."""
    file = written(a="ns=2;s=a", b="ns=2;s=b", c="ns=2;s=c")
    await first_run(file, free_port, "abc")
    async with plant(free_port, dict.fromkeys("abc", 2.0), extra_namespaces=[NEW]) as server:
        await strangers(server, a=999.0, b=999.0, c=999.0)
        async with running(file) as agent:
            assert await agent.heard("a", "b", "c") == [(2.0, 0)] * 3
            (told,) = agent.details()
            assert f"ns=2 is {NEW}: a, b, c are read from {URI} as before" in told
            assert f"nsu={URI}" in told and f"nsu={NEW}" in told
            # The same by a reload, which makes the source anew where one of its tags changed.
            configuration = load(written(a=f"nsu={NEW};s=a", b="ns=3;s=b", c="ns=2;s=c"))
            agent.agent.feeds.want(configuration, agent.agent.store.tag_ids(["a", "b", "c"]))
            async with asyncio.timeout(PATIENCE_S):
                while (await agent.heard("a"))[0] != (999.0, 0):
                    await asyncio.sleep(0.05)
        async with running(file) as agent:
            assert await agent.heard("a", "b", "c") == [(999.0, 0), (2.0, 0), (2.0, 0)]
            (told,) = agent.details()
            assert "ns=2 is urn:new: c is read from" in told


async def test_a_namespace_that_vanished_while_the_agent_was_down_is_refused(
    written, free_port  # noqa: F811
):
    """No value of the namespace that has its index now; one line for all tags says what to do."""
    file = written(**{name: f"ns=2;s={name}" for name in "abcdefg"})
    await first_run(file, free_port, "abcdefg")
    async with plant(free_port, {}, extra_namespaces=[NEW]) as server:
        await strangers(server, **dict.fromkeys("abcdefg", 999.0))
        await server.server.get_namespace_array()
        array = server.server.get_node(ua.ObjectIds.Server_NamespaceArray)
        names = await array.read_value()
        await array.write_value([name for name in names if name != URI])
        async with running(file) as agent:
            assert [quality for _, quality in await agent.heard(*"abcdefg")] == [REFUSED] * 7
            (told,) = await until(agent.details)
            assert told.startswith("a, b, c, d, e and 2 more: no such namespace any more")
            assert "write nsu=" in told and f"(it is {NEW} now)" in told
            assert not [value for value, _ in agent.samples("a") if value == 999.0]


async def test_what_was_noted_in_a_strange_form_is_noted_anew(written, monkeypatch):
    """A damaged document ends no start."""
    good = {"plc": {"namespaces": {"a": ["ns=2;s=a", URI], "gone": ["ns=2;s=gone", URI]}}}
    strange = ([], {"plc": []}, {"plc": {"namespaces": []}}, {"other": good["plc"]},
               {"plc": {"namespaces": {"a": ["ns=2;s=a", 7]}}},
               {"plc": {"namespaces": {"a": ["ns=2;s=b", URI]}}})  # fmt: skip
    async with running(written(a="ns=2;s=a")) as agent:
        feeds, reader = agent.agent.feeds, agent.agent.reader
        for told in (*strange, good):
            monkeypatch.setattr(reader, "document", lambda _, told=told: told)
            feeds.recall(reader, 0)
            expected = {"namespaces": {"a": ["ns=2;s=a", URI]}} if told is good else {}
            assert feeds._links["plc"].notes() == expected
