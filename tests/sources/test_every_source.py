"""What must hold for each row of `SOURCES`, whatever its protocol."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import numpy as np
import pytest

from agent.configuration.load import load
from agent.configuration.schema import SOURCE_TABLES, ModbusSource, MqttSource, OpcUaSource
from agent.decode import parse_address
from agent.sources import SOURCES
from agent.sources.base import Health
from agent.types import Quality, SourceState

CONFIGS = Path(__file__).parents[2] / "configs"
ADDRESSES = {"opcua": "ns=2;s=a", "modbus": "holding 0", "mqtt": "t /v"}


def configured(protocol, port):
    if protocol == "opcua":
        endpoint = f"opc.tcp://127.0.0.1:{port}/x"
        return OpcUaSource(protocol=protocol, endpoint=endpoint, timeout="1s")
    kind = ModbusSource if protocol == "modbus" else MqttSource
    return kind(protocol=protocol, host="127.0.0.1", port=port)


def test_the_table_of_sources_and_the_configuration_have_the_same_protocols():
    """What a file may say can be made, and nothing else can."""
    assert set(SOURCES) == set(SOURCE_TABLES)


@pytest.mark.parametrize("protocol", SOURCES)
def test_what_is_known_on_paper_needs_no_device(protocol, make_harness, free_port):
    """`check --offline` can ask every source: where it is, and what keeps it from working."""
    config = configured(protocol, free_port)
    assert config.place == ("127.0.0.1", free_port)
    bindings = make_harness().bind({"a": ADDRESSES[protocol]})
    remarks = SOURCES[protocol].on_paper("s", config, bindings)
    levels = {remark.level for remark in remarks}
    assert levels == {"opcua": {"warning"}, "modbus": {"ok"}, "mqtt": set()}[protocol]


@pytest.mark.parametrize("protocol", SOURCES)
def test_the_sample_configuration_is_valid_and_shows_the_protocol(protocol, make_harness):
    """configs/<protocol>.toml loads, and a source can be made of each of its sources."""
    configuration = load(CONFIGS / f"{protocol}.toml")
    assert {source.protocol for source in configuration.sources.values()} == {protocol}
    assert configuration.models
    for name, config in configuration.sources.items():
        harness = make_harness()
        tags = {n: t.address for n, t in configuration.tags.items() if t.source == name}
        report = harness.create(config, tags).describe()
        assert report.state is SourceState.CONNECTING and report.received == 0 and report.plan


@pytest.mark.parametrize("protocol", SOURCES)
def test_equal_addresses_are_equal(protocol):
    """Two spellings of one place compare equal, so that the configuration can refuse the second."""
    text = ADDRESSES[protocol]
    assert parse_address(protocol, text) == parse_address(protocol, f" {text} ")


@pytest.mark.parametrize("protocol", SOURCES)
async def test_an_absent_device_is_told_once(protocol, harness, free_port):
    """Many vain tries make one state change and one lost sample a tag."""
    async with harness.running(configured(protocol, free_port), {"a": ADDRESSES[protocol]}) as link:
        await harness.until(lambda: harness.states)
        await asyncio.sleep(1.5)
        harness.collect()
        assert link.describe().state is SourceState.FAILED and link.describe().received == 0
    assert harness.states == ["failed"]
    assert harness.qualities("a") == [Quality.COMMUNICATION_LOST]


@pytest.mark.parametrize("protocol", SOURCES)
async def test_a_device_that_accepts_and_says_nothing_delays_no_end(protocol, harness, free_port):
    """Cancelled while it waits for a mute device, a source ends within seconds."""
    hanging = []

    async def mute(reader, writer):
        hanging.append(writer)
        with contextlib.suppress(ConnectionError):
            await reader.read()

    server = await asyncio.start_server(mute, "127.0.0.1", free_port)
    async with server:
        link = harness.create(configured(protocol, free_port), {"a": ADDRESSES[protocol]})
        task = asyncio.create_task(link.run())
        async with asyncio.timeout(5):
            while not hanging:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=4)
        assert done
        for writer in hanging:
            writer.close()


@pytest.mark.parametrize("protocol", SOURCES)
async def test_a_source_without_tags_harms_nothing(protocol, harness, free_port):
    """Configured ahead of its tags, it runs, reads nothing and ends when told to."""
    async with harness.running(configured(protocol, free_port), {}):
        await harness.until(lambda: harness.states == ["failed"])


def test_coming_back_tells_the_gap(harness):
    """Stale, failed, live: one lost sample a tag, and one gap from last sample to return."""
    health = Health("s", "modbus", harness.intake, np.array([100, 101], np.int32))
    harness.bind({"a": "x", "b": "y"})
    health.live()
    health.arrived(1)
    last_ns = harness.intake.now_ns()
    health.stale("no keep-alive")
    health.failed("refused")
    health.failed("refused again")
    health.live()
    harness.collect()
    assert harness.states == ["live", "stale", "failed", "live"]
    assert harness.qualities("a") == harness.qualities("b") == [Quality.COMMUNICATION_LOST]
    gaps = [command["gap"] for command in harness.commands if "gap" in command]
    assert len(gaps) == 1 and gaps[0]["reason"] == "no keep-alive"
    assert gaps[0]["from_ns"] <= last_ns <= gaps[0]["to_ns"]


def test_a_source_that_was_never_reached_has_no_gap(harness):
    """Nothing is missing of what never came."""
    health = Health("s", "modbus", harness.intake, np.array([100], np.int32))
    harness.bind({"a": "x"})
    health.failed("refused")
    health.live()
    harness.collect()
    assert not any("gap" in command for command in harness.commands)
